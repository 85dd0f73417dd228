//! The old journal is sealed block by block: it reads as it was for whoever has the key, and for nobody else.

use crate::harness::{Database, Up, lines, seed, settled, tell, use_ring};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rideguard::clock::now;
use rideguard::config::{Journal, Retention};
use rideguard::domain::{Entry, Lane, Packet, Shard, Timestamp, Way};
use rideguard::engine::LaneState;
use rideguard::store::archive::keys::KeyStore;
use rideguard::store::archive::write;
use rideguard::store::archive::write::Sealed;
use rideguard::store::journal::{self, Asked};
use rideguard::store::rebuild::verify;
use rideguard::store::retention;
use rideguard::store::retention::erasure;
use rideguard::store::retention::erasure::Asked as Asking;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::Client;

/// The lane that the made-up journal is of.
const LANE: Lane = Lane(3);
const ROWS: i64 = 120;

/// A journal of six trackers over some hours, three days ago, with ticks and somebody without a name; applied, and
/// with a seam in the middle and a checkpoint at its end.
async fn write_journal(client: &Client, random: &mut StdRng) -> Vec<String> {
    let idents: Vec<String> =
        (0..).map(|n| format!("yy{n:06}")).filter(|i| Shard::of(i).lane() == LANE).take(6).collect();
    let mut at = now().plus_secs_f64(-3.0 * 86_400.0);
    for n in 1..=ROWS {
        if n == ROWS {
            at = now();
        }
        let mut entries = vec![Entry::Tick { at }];
        for _ in 0..random.random_range(0..20) {
            at = at.plus_secs_f64(random.random_range(0.0..12.0));
            let ident = &idents[random.random_range(0..idents.len())];
            let topic = if random.random_bool(0.05) {
                format!("v1/{}/ /up", LANE.0)
            } else {
                format!("v1/{}/{ident}/up", Shard::of(ident).0)
            };
            let payload = (0..random.random_range(0..60)).map(|_| random.random()).collect();
            entries.push(Entry::Packet(Packet { topic, received_at: at, payload, way: Way::Broker }));
        }
        let (first, last) = (entries[0].at(), entries[entries.len() - 1].at());
        let outcomes: Vec<u8> = entries.iter().map(|e| u8::from(matches!(e, Entry::Packet(_)))).collect();
        let sql = "WITH o AS (INSERT INTO journal_outcome VALUES ($1, $2, $7))
            INSERT INTO journal (lane, n, first_at, last_at, entries, content) VALUES ($1, $2, $3, $4, $5, $6)";
        let content = journal::pack(&entries).unwrap();
        client
            .execute(sql, &[&(LANE.0 as i16), &n, &first, &last, &(entries.len() as i32), &content, &outcomes])
            .await
            .unwrap();
    }
    let state = journal::pack_any(&LaneState::default()).unwrap();
    for sql in [
        "UPDATE lane SET journaled = $2, applied = $2 WHERE lane = $1 AND $3::bytea IS NOT NULL",
        "INSERT INTO checkpoint (lane, n, state) VALUES ($1, $2, $3)",
        "INSERT INTO journal_seam SELECT lane, n, last_at, $3 FROM journal WHERE lane = $1 AND n = $2::bigint / 2",
    ] {
        client.execute(sql, &[&(LANE.0 as i16), &ROWS, &state]).await.unwrap();
    }
    idents
}

/// Every row of the lane's journal after `n`.
async fn rows(client: &Client, key_store: &KeyStore, mut n: i64) -> Vec<(i64, Vec<Entry>)> {
    let mut rows = Vec::new();
    loop {
        let batches = journal::read_after(client, key_store, LANE, n, 50).await.unwrap();
        let Some(last) = batches.last() else { return rows };
        n = last.n;
        rows.extend(batches.into_iter().map(|b| (b.n, b.entries)));
    }
}

/// Every packet as `rideguard journal` shows it.
async fn shown(client: &mut Client, key_store: &KeyStore, tracker: Option<&str>) -> Vec<(Packet, &'static str)> {
    let (from, to) = (Timestamp::from_secs(0), now());
    let mut packets = Vec::new();
    let asked = Asked { from, to, tracker: tracker.map(str::to_owned) };
    journal::scan(client, key_store, &asked, |judged| {
        for (entry, outcome) in std::iter::zip(judged.entries, judged.outcomes) {
            if let Entry::Packet(packet) = entry
                && tracker.is_none_or(|t| packet.is_of(t))
            {
                packets.push((packet, outcome.name()));
            }
        }
        Ok(())
    })
    .await
    .unwrap();
    packets
}

async fn verified(client: &Client) {
    for check in verify::run(client).await.unwrap() {
        assert_eq!(check.broken, 0, "{}", check.name);
    }
}

fn settings(folder: &Path, digits: &str) -> Journal {
    let file = folder.join("journal-key");
    fs::write(&file, digits.repeat(32)).unwrap();
    Journal { key_file: Some(file), ..Journal::default() }
}

#[tokio::test]
async fn a_sealed_journal_reads_as_it_was_wherever_sealing_is_broken_off() {
    use_ring();
    let random = &mut StdRng::seed_from_u64(seed("a_sealed_journal_reads_as_it_was"));
    let database = Database::start().await;
    let mut client = database.connect().await;
    let idents = write_journal(&client, random).await;
    let folder = tempfile::tempdir().unwrap();
    let key_store = KeyStore::of(&settings(folder.path(), "5e"));
    let before = rows(&client, &key_store, 0).await;
    let packets = shown(&mut client, &key_store, None).await;
    assert_eq!(before.len() as i64, ROWS);

    // Broken off at any moment: nothing is lost and nothing is there twice, and the next run goes on.
    let mut broken_off = 0;
    loop {
        let mut sealing = database.rollup().await;
        let (key_store, mut sealed) = (key_store.clone(), Sealed::default());
        let limit = Duration::from_micros(random.random_range(0..(2 + broken_off) * 5_000));
        match tokio::time::timeout(limit, write::run(&mut sealing, &key_store, now(), &mut sealed)).await {
            Ok(done) => break done.unwrap(),
            Err(_) => broken_off += 1,
        }
        assert_eq!(rows(&client, &key_store, 0).await, before);
    }
    println!("broken off {broken_off} times");
    let (lane, ranges) = (LANE.0, "SELECT from_n, to_n FROM journal_range ORDER BY 1");
    let ranges: Vec<(i64, i64)> =
        client.query(ranges, &[]).await.unwrap().iter().map(|r| (r.get(0), r.get(1))).collect();
    assert!(ranges.len() > 2 && ranges.iter().any(|r| r.1 == ROWS / 2), "hours, and the seam between two: {ranges:?}");
    assert_eq!(ranges.last().unwrap().1, ROWS - 1, "recovery reads rows only: from its checkpoint on they stay");
    let left = format!("SELECT count(*) FROM journal WHERE lane = {lane}");
    assert_eq!(client.query_one(&left, &[]).await.unwrap().get::<_, i64>(0), 1);

    assert_eq!(rows(&client, &key_store, 0).await, before);
    assert_eq!(rows(&client, &key_store, 17).await, before[17..]);
    assert_eq!(shown(&mut client, &key_store, None).await, packets);
    let of_one: Vec<_> = packets.iter().filter(|(p, _)| p.is_of(&idents[1])).cloned().collect();
    assert!(!of_one.is_empty());
    assert_eq!(shown(&mut client, &key_store, Some(&idents[1])).await, of_one);
    verified(&client).await;
    let mut again = Sealed::default();
    write::run(&mut database.rollup().await, &key_store, now(), &mut again).await.unwrap();
    assert_eq!(again, Sealed::default(), "what is sealed is sealed");

    // Without its key it is nothing, and one sentence says so.
    let other = KeyStore::of(&settings(folder.path(), "0a"));
    for (key_store, words) in
        [(KeyStore::default(), "journal.key_file is not set"), (other, "is not the one that this journal")]
    {
        let error = format!("{:#}", journal::read_after(&client, &key_store, LANE, 0, 50).await.err().unwrap());
        assert!(error.contains(words) && !error.contains('\n'), "{error}");
    }

    // The days are over up to the seam; a tracker under a hold stays, the others of its hours do not.
    client
        .execute(
            "WITH v AS (INSERT INTO vehicle (plate, kind) VALUES ('T1', 'ebike') RETURNING vehicle_id),
                t AS (INSERT INTO tracker (ident, profile) VALUES ($1, '{}') RETURNING tracker_id),
                a AS (INSERT INTO account (login, name, role, password_hash) VALUES ('chief', 'C', 'admin', '!') RETURNING account_id),
                i AS (INSERT INTO installation SELECT tracker_id, vehicle_id, '2020-01-01' FROM v, t)
             INSERT INTO legal_hold (case_number, vehicle_id, from_at, to_at, reason, placed_by, ends_at)
                SELECT 'C-1', vehicle_id, now() - interval '9 days', now(), 'theft', account_id, now() + interval '1 day' FROM v, a",
            &[&idents[1]],
        )
        .await
        .unwrap();
    // The seam of tonight is too young to begin at; the one in the middle is not.
    let days = Retention { journal_days: 1, ..Retention::default() };
    let unsealed = Journal::default();
    let report = retention::run(&mut database.rollup().await, &days, &unsealed, false).await.unwrap().unwrap();
    assert_eq!((report.journal_rows, report.journal_rows_kept), (0, ROWS / 2), "{report:?}");
    assert_eq!(rows(&client, &key_store, ROWS / 2).await, before[ROWS as usize / 2..]);
    let is_new =
        |p: &Packet| before[ROWS as usize / 2..].iter().any(|(_, row)| row.contains(&Entry::Packet(p.clone())));
    let kept: Vec<_> = packets.iter().filter(|(p, _)| p.is_of(&idents[1]) || is_new(p)).cloned().collect();
    assert_eq!(shown(&mut client, &key_store, None).await, kept);
    verified(&client).await;
    client.batch_execute("UPDATE legal_hold SET released_at = now(), released_by = placed_by").await.unwrap();
    let report = retention::run(&mut database.rollup().await, &days, &unsealed, false).await.unwrap().unwrap();
    assert_eq!((report.journal_rows, report.journal_rows_kept), (ROWS / 2, 0), "{report:?}");
    verified(&client).await;
    let orphans =
        "SELECT count(*) FROM journal_key k WHERE NOT EXISTS (SELECT FROM journal_block b WHERE b.key_id = k.key_id)
        AND NOT EXISTS (SELECT FROM journal_range r WHERE r.key_id = k.key_id)";
    assert_eq!(client.query_one(orphans, &[]).await.unwrap().get::<_, i64>(0), 0);

    // A key that is deleted leaves marks where its packets were, whoever holds the master key; verify notices.
    let sql = "DELETE FROM journal_key WHERE holder = 'tracker ' || $1";
    assert!(client.execute(sql, &[&idents[2]]).await.unwrap() > 0);
    let left = rows(&client, &key_store, ROWS / 2).await;
    for ((n, was), (_, is)) in std::iter::zip(&before[ROWS as usize / 2..], &left) {
        for (was, is) in std::iter::zip(was, is) {
            let is_gone = matches!(was, Entry::Packet(p) if p.is_of(&idents[2])) && *n < ROWS;
            let expected = if is_gone { &Entry::Tombstone { at: was.at() } } else { was };
            assert_eq!(is, expected);
        }
    }
    let broken: Vec<_> =
        verify::run(&client).await.unwrap().into_iter().filter(|c| c.broken > 0).map(|c| c.name).collect();
    assert_eq!(broken, ["what_is_sealed_and_was_not_let_go_has_its_key"]);

    // So is a byte that was changed.
    let sql = "UPDATE journal_block SET content = set_byte(content, 20, get_byte(content, 20) # 1) WHERE ctid = (SELECT ctid FROM journal_block b
        WHERE from_n = (SELECT min(from_n) FROM journal_range WHERE from_n > $1) AND key_id IN (SELECT key_id FROM journal_key) LIMIT 1) RETURNING key_id";
    let key: i64 = client.query_one(sql, &[&(ROWS / 2)]).await.unwrap().get(0);
    let error = journal::read_after(&client, &key_store, LANE, ROWS / 2, 50).await.err().unwrap();
    let error = format!("{error:#}");
    assert!(error.contains(&format!("under key {key} of lane {lane}")) && error.contains("does not open"), "{error}");
}

#[tokio::test]
async fn an_erasure_deletes_whole_keys_and_seals_the_edges_again() {
    use_ring();
    let random = &mut StdRng::seed_from_u64(seed("an_erasure_deletes_whole_keys"));
    let database = Database::start().await;
    let mut client = database.connect().await;
    let idents = write_journal(&client, random).await;
    let folder = tempfile::tempdir().unwrap();
    let key_store = KeyStore::of(&settings(folder.path(), "5e"));
    let before = rows(&client, &key_store, 0).await;
    let edge = before[ROWS as usize / 3].1[0].at();
    // All of the first tracker is theirs, of the second what came after the edge; before it, the third is under a hold.
    client
        .batch_execute(&format!(
            "INSERT INTO vehicle (plate, kind) VALUES ('T0', 'ebike'), ('T1', 'ebike'), ('T2', 'ebike');
             INSERT INTO tracker (ident, profile) VALUES ('{0}', '{{}}'), ('{1}', '{{}}'), ('{2}', '{{}}');
             INSERT INTO installation SELECT tracker_id, vehicle_id, '2020-01-01' FROM (VALUES ('{0}', 'T0'), ('{1}', 'T1'), ('{2}', 'T2')) p (ident, plate)
                JOIN tracker USING (ident) JOIN vehicle USING (plate);
             INSERT INTO account (login, name, role, password_hash) VALUES ('chief', 'C', 'admin', '!'), ('owner', 'O', 'owner', '!');
             INSERT INTO ownership SELECT vehicle_id, a.account_id, CASE WHEN plate = 'T1' THEN timestamptz '{edge}' ELSE '2020-01-01' END
                FROM vehicle, account a WHERE login = 'owner';
             INSERT INTO legal_hold (case_number, vehicle_id, from_at, to_at, reason, placed_by, ends_at)
                SELECT 'C-1', vehicle_id, '2020-01-01', timestamptz '{edge}' - interval '1 day', 'theft', account_id, now() + interval '1 day'
                FROM vehicle, account WHERE plate = 'T2' AND login = 'chief'",
            idents[0], idents[1], idents[2]
        ))
        .await
        .unwrap();
    // Something of the first and something of the second, after the edge, was set aside.
    let mut set_aside = 0_i64;
    for ident in &idents[..2] {
        let place = before.iter().take(ROWS as usize - 1).skip(ROWS as usize / 3).find_map(|(n, row)| {
            let entry = row.iter().position(|e| matches!(e, Entry::Packet(p) if p.is_of(ident)))?;
            Some((*n, entry as i32))
        });
        let (n, entry) = place.unwrap();
        let sql =
            "INSERT INTO quarantine (lane, n, entry, topic, ident, reason, detail, security, received_at, payload)
            VALUES ($1, $2, $3, 'v1/0/' || $4 || '/up', $4, 'decode', '', false, now(), '')";
        client.execute(sql, &[&(LANE.0 as i16), &n, &entry, ident]).await.unwrap();
        set_aside += 1;
    }
    let sql = "UPDATE lane SET received = $2, quarantined = $2 WHERE lane = $1";
    client.execute(sql, &[&(LANE.0 as i16), &set_aside]).await.unwrap();
    verified(&client).await;
    write::run(&mut client, &key_store, now(), &mut Sealed::default()).await.unwrap();

    let goes = |entry: &Entry| match entry {
        Entry::Packet(p) => {
            p.is_of(&idents[0]) || (p.received_at >= edge && (p.is_of(&idents[1]) || p.is_of(&idents[2])))
        }
        _ => false,
    };
    let sealed_ones = before[..ROWS as usize - 1].iter().flat_map(|(_, row)| row).filter(|e| goes(e)).count();
    let keys = "SELECT count(*) FROM journal_key WHERE holder = 'tracker ' || $1";
    for dry_run in [true, false] {
        let asked = Asking { login: "owner", by: "chief", request: "R-1", dry_run };
        let proof = erasure::erase(&mut client, &key_store, &asked).await.unwrap();
        assert_eq!(proof["journal"]["of_them_sealed"], sealed_ones, "{proof}");
        assert!(dry_run || proof["journal"]["quarantined"] == set_aside, "{proof}");
        let keys: i64 = client.query_one(keys, &[&idents[0]]).await.unwrap().get(0);
        assert_eq!(keys > 0, dry_run, "a dry run only counts");
    }
    for (n, is) in rows(&client, &key_store, 0).await {
        let was = &before[n as usize - 1].1;
        for (was, is) in std::iter::zip(was, is) {
            assert_eq!(is, if goes(was) { Entry::Tombstone { at: was.at() } } else { was.clone() });
        }
    }
    assert_eq!(client.query_one("SELECT count(*) FROM quarantine", &[]).await.unwrap().get::<_, i64>(0), 0);
    verified(&client).await;
}

#[tokio::test]
async fn a_person_is_erased_from_the_sealed_journal_by_deleting_keys() {
    use_ring();
    let mut up = Up::start(8, &[]).await;
    let client = up.sql().await;
    // The demonstration's owner has three vehicles; the last is of somebody else.
    let others = "SELECT count(*) FROM ownership o JOIN installation i USING (vehicle_id) JOIN tracker t USING (tracker_id) JOIN account a USING (account_id)
        WHERE t.ident = $1 AND a.login <> 'owner'";
    let (own, other) = (up.tracker(0).0, up.tracker(6).0);
    assert_eq!(client.query_one(others, &[&own]).await.unwrap().get::<_, i64>(0), 0);
    assert_eq!(client.query_one(others, &[&other]).await.unwrap().get::<_, i64>(0), 1);
    client
        .batch_execute(
            "INSERT INTO zone (name, shape, rule, vehicle_id, account_id) SELECT 'home', '{\"type\":\"circle\",\"centre\":{\"lat_deg\":28.5,\"lon_deg\":112.3},\"radius_m\":100.0}', 'exit', vehicle_id, account_id
                FROM ownership JOIN account USING (account_id) WHERE login = 'owner' LIMIT 1;
             INSERT INTO account (login, name, role, password_hash) VALUES ('chief', 'C', 'admin', '!')",
        )
        .await
        .unwrap();
    tell(&up, 0).await;
    tell(&up, 6).await;
    settled(&up).await;
    // Rows are sealed that lie before the checkpoint's.
    let lanes = BTreeSet::from([&own, &other].map(|ident| Shard::of(ident).lane()));
    let is_behind = "SELECT count(*) FROM lane l WHERE stored > 0 AND applied > (SELECT max(n) FROM journal_outcome o
        WHERE o.lane = l.lane AND position('\\x01'::bytea IN o.outcomes) > 0)";
    up.wait_for(is_behind, lanes.len() as i64).await;
    // A clean end leaves a checkpoint of every lane.
    assert!(up.interrupt());
    up.start_again().await;
    settled(&up).await;
    let before = lines(&up.command(&["journal"]));
    let of_other = lines(&up.command(&["journal", "--tracker", &other]));
    assert_eq!((before.len(), of_other.len()), (40, 20));
    lines(&up.command(&["rebuild", "--check"]));

    let client = up.sql().await;
    let key_file = up.folder.join("secrets/journal-key");
    let key_store = KeyStore::of(&Journal { key_file: Some(key_file.clone()), ..Journal::default() });
    let mut sealed = Sealed::default();
    write::run(&mut up.rollup().await, &key_store, now(), &mut sealed).await.unwrap();
    assert!(sealed.entries >= 40 && sealed.blocks >= 2, "{sealed:?}");
    assert_eq!(lines(&up.command(&["journal"])), before);
    assert_eq!(lines(&up.command(&["journal", "--tracker", &other])), of_other);
    lines(&up.command(&["verify"]));
    lines(&up.command(&["rebuild", "--check"]));

    // The commands say what is missing, each in one sentence.
    let elsewhere = up.folder.join("secrets/elsewhere");
    fs::rename(&key_file, &elsewhere).unwrap();
    for command in [&["journal"][..], &["rebuild", "--check"], &["backtest", "--journal"]] {
        let output = up.command(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("journal-key: No such file") && said.trim().lines().count() == 1,
            "{said}"
        );
    }
    fs::rename(&elsewhere, &key_file).unwrap();

    // On the topic of another shard, which the broker lets it: another lane's journal has it, and the quarantine.
    let (password, shard) = (up.tracker(0).1, Shard::of(&own).0);
    let astray = format!("v1/{}/{own}/up", (shard + 1) % 64);
    assert_ne!(Shard::of(&own).lane(), Shard((shard + 1) % 64).lane());
    let place = format!(r#"{{"v":1,"id":"{own}","fixes":[{{"t":{},"lat":28.5,"lon":112.3}}]}}"#, now().micros() / 1000);
    up.publish(&own, &password, vec![(astray, place.into_bytes())]).await;
    up.wait_for("SELECT count(*) FROM quarantine WHERE reason = 'topic'", 1).await;
    settled(&up).await;

    let keys = "SELECT count(*) FROM journal_key WHERE holder LIKE 'vehicle %' OR holder = 'tracker ' || $1";
    assert_eq!(client.query_one(keys, &[&own]).await.unwrap().get::<_, i64>(0), 2, "its packets, and the zone");
    let erase = ["erase", "owner", "--by", "chief", "--request", "R-1"];
    let dry: Value =
        serde_json::from_str(&lines(&up.command(&[&erase[..], &["--dry-run"]].concat())).join("")).unwrap();
    let proof: Value = serde_json::from_str(&lines(&up.command(&erase)).join("")).unwrap();
    assert_eq!(dry["journal"]["of_them_sealed"], 21, "{dry}");
    assert_eq!(proof["journal"]["of_them_sealed"], 21, "{proof}");
    assert_eq!(client.query_one(keys, &[&own]).await.unwrap().get::<_, i64>(0), 0);
    settled(&up).await;
    assert_eq!(up.count("SELECT count(*) FROM quarantine").await, 0, "nor where it went astray");
    assert_eq!(lines(&up.command(&["journal"])), of_other, "nothing of the person, everything of the other");
    let verified = lines(&up.command(&["verify"])).join("\n");
    assert!(verified.contains("1 erased people"), "{verified}");
    lines(&up.command(&["rebuild", "--check"]));
}
