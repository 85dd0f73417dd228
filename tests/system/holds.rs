//! Legal holds through the API: of one's own case, with reason and end, audited.

use crate::harness::{Up, use_ring};
use rideguard::clock::now;
use serde_json::{Value, json};

#[tokio::test]
async fn a_hold_is_placed_seen_and_released_by_its_case_only() {
    use_ring();
    let up = Up::start(3, &[]).await;
    let (police, chief) = (up.log_in("police").await, up.administrator().await);
    let client = up.sql().await;
    let grant = police.grant().await;
    // A second case of the same officer, and one that is over.
    client
        .batch_execute(
            "INSERT INTO access_grant (grant_id, account_id, case_number, document, purpose, approved_by, valid_to)
             SELECT 2, account_id, 'C-2', document, purpose, approved_by, valid_to FROM access_grant;
             INSERT INTO access_grant (grant_id, account_id, case_number, document, purpose, approved_by, valid_from, valid_to)
             SELECT 3, account_id, 'C-3', document, purpose, approved_by, now() - interval '2 days', now() - interval '1 day' FROM access_grant WHERE grant_id <> 2",
        )
        .await
        .unwrap();
    let case: String =
        client.query_one("SELECT case_number FROM access_grant WHERE grant_id > 3", &[]).await.unwrap().get(0);
    let plate: String = client.query_one("SELECT min(plate) FROM vehicle", &[]).await.unwrap().get(0);
    let day = |n: f64| now().plus_secs_f64(n * 86_400.0).to_string();
    let hold = |more: Value| {
        let mut asked = json!({ "plate": plate, "from": day(-2.0), "to": day(1.0), "ends_at": day(30.0), "reason": "  stolen, seen by a camera " });
        more.as_object().unwrap().iter().for_each(|(k, v)| asked[k] = v.clone());
        Some(asked)
    };

    let (status, placed) = police.ask("POST", "/holds", hold(json!({ "grant_id": grant }))).await;
    assert_eq!((status, placed["case_number"].as_str()), (201, Some(&*case)), "{placed}");
    assert_eq!(
        (&placed["plate"], &placed["reason"], &placed["placed_by"], &placed["in_force"], &placed["released_by"]),
        (&json!(plate), &json!("stolen, seen by a camera"), &json!("police"), &json!(true), &Value::Null)
    );
    let (status, other) = police.ask("POST", "/holds", hold(json!({ "grant_id": "2" }))).await;
    assert_eq!((status, other["case_number"].as_str()), (201, Some("C-2")), "{other}");
    let (status, of_chief) = chief.ask("POST", "/holds", hold(json!({ "case_number": "C-9" }))).await;
    assert_eq!((status, of_chief["placed_by"].as_str()), (201, Some("chief")), "{of_chief}");
    let in_force = "SELECT count(*) FROM hold_in_force";
    assert_eq!(up.count(in_force).await, 3);

    // What cannot be is refused with the limit, and places nothing.
    for (who, more, status, said) in [
        (&police, json!({}), 403, "no grant (none) of yours"),
        (&police, json!({ "grant_id": "3" }), 403, "no grant 3 of yours"),
        (&police, json!({ "grant_id": grant, "case_number": "C-9" }), 400, "case_number is for administrators"),
        (&chief, json!({ "grant_id": grant, "case_number": "C-9" }), 400, "grant_id is for police"),
        (&chief, json!({}), 400, "case_number has 0 characters"),
        (&chief, json!({ "case_number": "C".repeat(65) }), 400, "case_number has 65 characters"),
        (&police, json!({ "grant_id": grant, "reason": "  " }), 400, "reason has 0 characters"),
        (&police, json!({ "grant_id": grant, "to": day(-3.0) }), 400, "from and to are"),
        (&police, json!({ "grant_id": grant, "ends_at": day(-1.0) }), 400, "within 5 years"),
        (&police, json!({ "grant_id": grant, "ends_at": day(2000.0) }), 400, "within 5 years"),
        (&police, json!({ "grant_id": grant, "ends_at": "soon" }), 400, "ends_at is \"soon\""),
        (&police, json!({ "grant_id": grant, "plate": "湘H·Z9999" }), 404, "no vehicle has the plate 湘H·Z9999"),
    ] {
        let (got, answer) = who.ask("POST", "/holds", hold(more.clone())).await;
        assert_eq!(got, status, "{more}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(said), "{more}: {answer}");
    }
    assert_eq!(up.count("SELECT count(*) FROM legal_hold").await, 3);

    // Each sees the holds of the case; the administrator sees all, page by page.
    let ids =
        |page: &Value| -> Vec<Value> { page["holds"].as_array().unwrap().iter().map(|h| h["id"].clone()).collect() };
    assert_eq!(ids(&police.get(&format!("/holds?grant_id={grant}")).await), [placed["id"].clone()]);
    assert_eq!(ids(&police.get("/holds?grant_id=2").await), [other["id"].clone()]);
    assert_eq!(police.ask("GET", "/holds", None).await.0, 403);
    let first = chief.get("/holds?limit=2").await;
    let second = chief.get(&format!("/holds?limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!(ids(&first), [of_chief["id"].clone(), other["id"].clone()]);
    assert_eq!((ids(&second), &second["next_cursor"]), (vec![placed["id"].clone()], &Value::Null));

    // A hold of another case is as if it were not there.
    let release = |hold: &Value| format!("/holds/{}/release", hold["id"].as_str().unwrap());
    let over = |grant: &str| Some(json!({ "grant_id": grant, "reason": "case closed" }));
    assert_eq!(police.ask("POST", &release(&other), over(&grant)).await.0, 404);
    assert_eq!(police.ask("POST", &release(&of_chief), over("2")).await.0, 404);
    assert_eq!(up.count(in_force).await, 3);
    let (status, released) = police.ask("POST", &release(&placed), over(&grant)).await;
    assert_eq!(
        (status, &released["in_force"], &released["released_by"], &released["release_reason"]),
        (200, &json!(false), &json!("police"), &json!("case closed"))
    );
    assert_eq!(police.ask("POST", &release(&placed), over(&grant)).await.0, 409);
    assert_eq!(chief.ask("POST", &release(&other), Some(json!({ "reason": "by court" }))).await.0, 200);
    assert_eq!(up.count(in_force).await, 1);
    let audited = "SELECT string_agg(p.login || ' ' || action || ' ' || coalesce(grant_id::text, '-') || ' ' || coalesce(rows_returned::text, '-'), ', ' ORDER BY audit_id)
        FROM audit JOIN account p USING (account_id) WHERE action LIKE 'hold%'";
    let audited: String = client.query_one(audited, &[]).await.unwrap().get(0);
    assert_eq!(
        audited,
        format!(
            "police hold {grant} -, police hold 2 -, chief hold - -, police holds {grant} 1, police holds 2 1, \
             chief holds - 2, chief holds - 1, police hold_released {grant} -, chief hold_released - -"
        )
    );
}
