//! One plate in every spelling: entered, looked for, and brought over from a database that took any text.

use crate::harness::{Database, Up, lines, program, seed, use_ring};
use crate::upgrade::old_database;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rideguard::domain::{Plate, plate};
use rideguard::store::{migrate, plates};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// A plate as people, forms and other programs write it.
const SPELLINGS: [&str; 8] =
    ["湘H·D0001", "湘HD0001", "湘hd0001", " 湘H D0001", "湘Ｈ・Ｄ０００１", "湘h•d0001", "湘H-D0001", "湘　H．D0001"];

/// A random spelling of a random plate, or something that is none.
fn random_text(random: &mut StdRng) -> String {
    const PARTS: [&str; 30] = [
        "湘", "京", "益", "阳", "学", "警", "挂", "h", "H", "Ｈ", "ｄ", "D", "0", "1", "７", "9", "·", "・", "•", "-",
        " ", "\u{3000}", "\u{200b}", ".", "é", "я", "あ", "ｱ", "#", "\u{2fad}",
    ];
    (0..random.random_range(0..20)).map(|_| *PARTS.choose(random).unwrap()).collect()
}

/// What the database makes of texts: key and canonical form.
async fn as_sql_says(client: &Client, texts: &[String]) -> Vec<(String, Option<String>)> {
    let sql = "SELECT plate_key(t), plate_canonical(t) FROM unnest($1::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n";
    client.query(sql, &[&texts]).await.unwrap().iter().map(|r| (r.get(0), r.get(1))).collect()
}

#[tokio::test]
async fn the_program_and_the_database_have_one_rule_for_plates() {
    let seed = seed("the_program_and_the_database_have_one_rule_for_plates");
    let mut random = StdRng::seed_from_u64(seed);
    let database = Database::start().await;
    let client = database.connect().await;
    let mut texts: Vec<String> = SPELLINGS.iter().map(|s| (*s).to_owned()).collect();
    // Every character of the basic plane by itself, between two letters; NUL is no text for PostgreSQL.
    texts.extend((1..=0xffff).filter_map(char::from_u32).map(|c| format!("A{c}1")));
    texts.extend(["益阳 123456", "使014·578", "湘A12345学", "湘AD12345", "", "1", "22", "湘H"].map(str::to_owned));
    texts.extend(["9".repeat(16), "9".repeat(17), "湘H".repeat(9)]);
    texts.extend((0..20_000).map(|_| random_text(&mut random)));
    let said = as_sql_says(&client, &texts).await;
    let ours = texts.iter().map(|t| (plate::key(t), Plate::parse(t).ok().map(|p| p.as_str().to_owned())));
    let mut plates = 0;
    for ((text, ours), said) in texts.iter().zip(ours).zip(said) {
        assert_eq!(ours.1, said.1, "{text:?}");
        // Of what is no plate the two may know different versions of Unicode.
        assert!(ours.1.is_none() || ours.0 == said.0, "{text:?}: {ours:?} {said:?}");
        plates += usize::from(ours.1.is_some());
    }
    assert!(plates > 40_000, "only {plates} of the texts were plates");
}

#[tokio::test]
async fn a_plate_in_any_spelling_is_one_vehicle_and_every_question_finds_it() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let count = "SELECT count(*) FROM vehicle";
    let before = up.count(count).await;
    let enter = |plate: &str, owner: &str| {
        let mut command = std::process::Command::new(program());
        command.args(["admin", "--config"]).arg(up.config());
        command.args(["vehicle", plate, "--kind", "ebike", "--owner", owner]).output().unwrap()
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    for spelling in SPELLINGS {
        let printed = lines(&enter(spelling, "owner"));
        assert!(printed[0].ends_with(" 湘H·D0001"), "{spelling:?}: {printed:?}");
        let refused = enter(spelling, "city");
        assert!(said(&refused).contains("the vehicle 湘H·D0001 belongs to somebody else"), "{}", said(&refused));
    }
    assert_eq!(up.count(count).await, before, "no spelling made another vehicle");
    for (none, why) in [
        ("", "has 0 letters and digits; it must have 2 to 16"),
        ("  ·  ", "has 0 letters and digits"),
        ("无牌", "has no digit"),
        ("湘H·D0001😀", "has the character '😀'"),
        ("湘H·D00010000100001", "has 17 letters and digits"),
    ] {
        let refused = enter(none, "owner");
        assert!(!refused.status.success() && said(&refused).contains(why), "{none:?}: {}", said(&refused));
    }
    assert_eq!(up.count(count).await, before);
    // Nobody else who writes into the table is taken at their word.
    let client = up.sql().await;
    for wrong in ["湘hd0001", "湘HD0777", "", " ", "湘H·D0001#1"] {
        let put =
            client.execute("INSERT INTO vehicle (plate, kind) VALUES ($1, 'ebike')", &[&wrong]).await.unwrap_err();
        assert_eq!(put.as_db_error().unwrap().constraint(), Some("vehicle_plate_is_canonical"), "{wrong:?}");
    }

    let (police, operator, owner) = (up.log_in("police").await, up.log_in("operator").await, up.log_in("owner").await);
    let plates_of = |found: &Value, list: &str| -> Vec<String> {
        found[list].as_array().unwrap().iter().map(|v| v["plate"].as_str().unwrap().to_owned()).collect()
    };
    let grant = police.grant().await;
    let mine = owner.get("/vehicles").await;
    assert!(plates_of(&mine, "vehicles").contains(&"湘H·D0001".to_owned()));
    let day = |n: f64| rideguard::clock::now().plus_secs_f64(n * 86_400.0).to_string();
    for spelling in SPELLINGS.into_iter().chain(["ｈｄ０００１", "d0001", "D-0001"]) {
        let q: String = url(spelling);
        let found = police.get(&format!("/vehicles?grant_id={grant}&q={q}")).await;
        assert_eq!(plates_of(&found, "vehicles"), ["湘H·D0001"], "{spelling:?}");
        let found = operator.get(&format!("/trackers?q={q}&reason=test")).await;
        assert_eq!(plates_of(&found, "trackers"), ["湘H·D0001"], "{spelling:?}");
    }
    for spelling in SPELLINGS {
        let asked = json!({ "grant_id": grant, "plate": spelling, "from": day(-2.0), "to": day(1.0), "ends_at": day(30.0), "reason": "stolen" });
        let (status, hold) = police.ask("POST", "/holds", Some(asked)).await;
        assert_eq!((status, hold["plate"].as_str()), (201, Some("湘H·D0001")), "{spelling:?}: {hold}");
    }
    // Trackers are found in any width, too; a few letters that half a city has are not searched for.
    let ident = up.tracker(0).0;
    let wide: String = ident.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
    assert_eq!(
        plates_of(&police.get(&format!("/vehicles?grant_id={grant}&q={}", url(&wide))).await, "vehicles").len(),
        1
    );
    for few in ["湘H·", "· · ·", "a-_"] {
        let (status, refused) = police.ask("GET", &format!("/vehicles?grant_id={grant}&q={}", url(few)), None).await;
        assert_eq!(status, 400, "{few:?}: {refused}");
        assert!(
            refused["message"].as_str().unwrap().contains("letters and digits; 3 to 32 are searched for"),
            "{refused}"
        );
    }
    let (status, refused) = police
        .ask("POST", "/holds", Some(json!({ "grant_id": grant, "plate": "无牌", "from": day(-2.0), "to": day(1.0), "ends_at": day(30.0), "reason": "x" })))
        .await;
    assert_eq!(
        (status, refused["message"].as_str()),
        (400, Some("the plate \"无牌\" has no digit; it must have one at least"))
    );
}

fn url(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

/// Rows as a version of before took them: three spellings of one plate, an empty one, words, one that is already right.
const BEFORE: &str = "
    INSERT INTO account (login, name, role, password_hash) VALUES ('anna', 'Anna', 'owner', '!'), ('ben', 'Ben', 'owner', '!');
    INSERT INTO vehicle (vehicle_id, plate, kind) OVERRIDING SYSTEM VALUE VALUES
        (1, '湘h d0001', 'ebike'), (2, '湘H·D0001', 'ebike'), (3, '湘HD0001', 'ebike'), (4, '', 'ebike'), (5, ' 湘h d0005 ', 'ebike'),
        (6, '待上牌', 'motorcycle'), (7, 'erased-7', 'ebike'), (8, '湘H·D0008', 'ebike'), (9, '湘H·D0001#1', 'ebike');
    INSERT INTO ownership (vehicle_id, account_id) SELECT vehicle_id, a.account_id FROM vehicle, account a WHERE login = CASE WHEN vehicle_id % 2 = 0 THEN 'ben' ELSE 'anna' END;
    INSERT INTO tracker (ident, profile) VALUES ('yy3', '{\"protocol\": \"json\"}');
    INSERT INTO installation (tracker_id, vehicle_id) SELECT tracker_id, 3 FROM tracker";

#[tokio::test]
async fn plates_of_before_are_neither_merged_nor_lost_and_an_administrator_settles_them() {
    let database = Database::start().await;
    let mut old = old_database(&database, "0031").await;
    old.batch_execute(BEFORE).await.unwrap();
    assert!(migrate::migrate(&mut old).await.unwrap() > 0);

    let stand = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|r| r.get(0)).collect::<Vec<String>>();
    let all = "SELECT plate FROM vehicle ORDER BY vehicle_id";
    // Number 3 carries a tracker, so it keeps the plate without a mark.
    assert_eq!(
        stand(old.query(all, &[]).await.unwrap()),
        ["湘H·D0001#1", "湘H·D0001#2", "湘H·D0001", "#4", "湘H·D0005", "#6", "erased-7", "湘H·D0008", "#9"]
    );
    let unclear = plates::unclear(&old).await.unwrap();
    let told: Vec<_> = unclear
        .iter()
        .map(|u| (u["vehicle"].as_i64().unwrap(), u["was"].as_str().unwrap(), u["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            (1, "湘h d0001", "shared"),
            (2, "湘H·D0001", "shared"),
            (4, "", "none"),
            (6, "待上牌", "none"),
            (9, "湘H·D0001#1", "none")
        ]
    );
    assert_eq!((&unclear[0]["shared_with"], &unclear[0]["owner"]), (&json!([2, 3]), &json!("anna")));
    assert_eq!(plates::count_unclear(&old).await.unwrap(), 5);

    // A search finds all of them; a question that means one vehicle wants to know which.
    let found = "SELECT vehicle_id::text FROM vehicle WHERE plate_key = plate_key('湘Ｈ d0001') ORDER BY 1";
    assert_eq!(stand(old.query(found, &[]).await.unwrap()), ["1", "2", "3"]);
    let refused = plates::vehicle(&old, "湘hd0001").await.unwrap_err().to_string();
    assert!(refused.contains("name one of them: 湘H·D0001#1, 湘H·D0001#2, 湘H·D0001#3"), "{refused}");
    for (said, number) in [
        ("湘hd0001#1", Some(1)),
        ("湘H D0001＃3", Some(3)),
        ("#4", Some(4)),
        ("湘HD0001#8", None),
        ("湘hd0005", Some(5)),
        ("湘H9", None),
    ] {
        assert_eq!(plates::vehicle(&old, said).await.unwrap(), number, "{said}");
    }
    let refused = plates::set(&old, 1, Some("湘h d0008")).await.unwrap_err().to_string();
    assert_eq!(refused, "the plate 湘H·D0008 is that of vehicle 8");
    // One gets its right plate, one has none: the last of them is alone with its plate.
    assert_eq!(plates::set(&old, 1, Some("湘h d0011")).await.unwrap(), "湘H·D0011");
    assert_eq!(plates::set(&old, 3, Some("湘H·D0033")).await.unwrap(), "湘H·D0033");
    for vehicle in [4, 6, 9] {
        assert_eq!(plates::set(&old, vehicle, None).await.unwrap(), format!("#{vehicle}"));
    }
    assert_eq!(plates::vehicle(&old, "湘hd0001").await.unwrap(), Some(2));
    assert_eq!(plates::count_unclear(&old).await.unwrap(), 0);
    assert_eq!(
        stand(old.query(all, &[]).await.unwrap()),
        ["湘H·D0011", "湘H·D0001", "湘H·D0033", "#4", "湘H·D0005", "#6", "erased-7", "湘H·D0008", "#9"]
    );
}

#[tokio::test]
async fn of_somebody_who_is_erased_no_plate_of_before_is_kept() {
    let database = Database::start().await;
    let mut old = old_database(&database, "0031").await;
    old.batch_execute(BEFORE).await.unwrap();
    migrate::migrate(&mut old).await.unwrap();
    let erase = "SELECT close_account(b.account_id, a.account_id, 'R-1') FROM account a, account b WHERE a.login = 'anna' AND b.login = 'ben'";
    old.execute(erase, &[]).await.unwrap();
    let left = plates::unclear(&old).await.unwrap();
    assert_eq!(left.iter().map(|u| u["vehicle"].as_i64().unwrap()).collect::<Vec<_>>(), [1, 9]);
    let kept = "SELECT string_agg(plate, ' ' ORDER BY vehicle_id) FROM vehicle WHERE vehicle_id % 2 = 0";
    let kept: String = old.query_one(kept, &[]).await.unwrap().get(0);
    assert_eq!(kept, "erased-2 erased-4 erased-6 erased-8");
    assert_eq!(plates::vehicle(&old, "erased-2").await.unwrap(), None, "what is erased is not found by a plate");
}
