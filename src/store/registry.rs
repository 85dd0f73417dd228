//! People and things as administrators enter them.

use crate::domain::{Profile, Transport};
use crate::store::plates;
use anyhow::{Context, bail, ensure};
use std::collections::HashSet;
use tokio_postgres::{Client, GenericClient};

/// An account to make.
pub struct NewAccount<'a> {
    /// What is typed.
    pub login: &'a str,
    /// How the person is called.
    pub name: &'a str,
    /// `owner`, `family`, `installer`, `operator`, `police`, `approver`, `auditor` or `admin`.
    pub role: &'a str,
    /// Argon2id, PHC string.
    pub password_hash: &'a str,
    /// Organisation and its kind, with a unit of it.
    pub unit: Option<(&'a str, &'a str, &'a str)>,
    /// Address and secret of a webhook; none: it keeps the one that it has.
    pub webhook: Option<(&'a str, &'a str)>,
    /// Whether it is to have none from now on.
    pub drops_webhook: bool,
    /// Whether it logs in by its password alone, whatever its role: for scripts and tests.
    pub without_second_factor: bool,
}

/// Makes an account, or gives the one of this login a new password, name and webhook.
///
/// # Errors
/// The login has another role, or the database's own word.
pub async fn put_account(client: &impl GenericClient, new: &NewAccount<'_>) -> anyhow::Result<i64> {
    let unit: Option<i64> = match new.unit {
        Some((organisation, kind, unit)) => {
            client
                .execute(
                    "INSERT INTO organisation (name, kind) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    &[&organisation, &kind],
                )
                .await?;
            client
                .execute(
                    "INSERT INTO unit (organisation_id, name) SELECT organisation_id, $2 FROM organisation WHERE name = $1 ON CONFLICT DO NOTHING",
                    &[&organisation, &unit],
                )
                .await?;
            let row = client
                .query_one("SELECT unit_id FROM unit u JOIN organisation o USING (organisation_id) WHERE o.name = $1 AND u.name = $2", &[&organisation, &unit])
                .await?;
            Some(row.get(0))
        }
        None => None,
    };
    // Whoever could turn an owner into an officer would open what the owner may not see.
    let row = client
        .query_opt(
            "INSERT INTO account (login, name, role, unit_id, password_hash, webhook_url, webhook_secret, without_second_factor)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $9)
             ON CONFLICT (login) DO UPDATE SET name = EXCLUDED.name, password_hash = EXCLUDED.password_hash,
                without_second_factor = EXCLUDED.without_second_factor, unit_id = coalesce(account.unit_id, EXCLUDED.unit_id),
                webhook_url = CASE WHEN NOT $8 THEN coalesce(EXCLUDED.webhook_url, account.webhook_url) END,
                webhook_secret = CASE WHEN NOT $8 THEN coalesce(EXCLUDED.webhook_secret, account.webhook_secret) END
             WHERE account.role = EXCLUDED.role RETURNING account_id",
            &[&new.login, &new.name, &new.role, &unit, &new.password_hash, &new.webhook.map(|w| w.0), &new.webhook.map(|w| w.1), &new.drops_webhook, &new.without_second_factor],
        )
        .await?;
    let row = row.with_context(|| format!("the login {:?} is there with another role than {}", new.login, new.role))?;
    Ok(row.get(0))
}

/// Ends every session of an account, their tickets with them; open streams end within 5 s.
///
/// # Errors
/// The database's own word.
pub async fn end_sessions(client: &impl GenericClient, account: i64) -> anyhow::Result<()> {
    client.execute("DELETE FROM session WHERE account_id = $1", &[&account]).await?;
    Ok(())
}

/// Lets an account in again, or no more: then its sessions end, and its webhook gets nothing. Its number.
///
/// # Errors
/// There is none of this login, or the database's own word.
pub async fn set_disabled(client: &impl GenericClient, login: &str, disabled: bool) -> anyhow::Result<i64> {
    let sql = "UPDATE account SET disabled = $2 WHERE login = $1 RETURNING account_id";
    let row = client.query_opt(sql, &[&login, &disabled]).await?;
    let account = row.with_context(|| format!("no account has the login {login:?}"))?.get(0);
    end_sessions(client, account).await?;
    Ok(account)
}

/// Ends a grant now; what it opened ends within 5 s.
///
/// # Errors
/// There is none of this number in force, or the database's own word.
pub async fn revoke_grant(client: &impl GenericClient, grant: i64) -> anyhow::Result<()> {
    let sql = "UPDATE access_grant SET valid_to = greatest(now(), valid_from + interval '1 microsecond') WHERE grant_id = $1 AND valid_to > now()";
    let ended = client.execute(sql, &[&grant]).await?;
    ensure!(ended == 1, "no grant {grant} is in force");
    Ok(())
}

/// Gives a vehicle to another owner; what was the earlier one's (zones, schedule, guarding, phones) ends.
///
/// # Errors
/// It has no owner or this one already, or the database's own word.
pub async fn transfer(client: &impl GenericClient, vehicle: i64, to: i64) -> anyhow::Result<()> {
    client.execute("SELECT transfer_vehicle($1, $2)", &[&vehicle, &to]).await.map_err(super::said)?;
    Ok(())
}

/// Leaves a row of audit for a command on the server: it has no account, and what it says holds no secret.
///
/// # Errors
/// The database's own word.
pub async fn note_command(client: &impl GenericClient, command: &str, what: &serde_json::Value) -> anyhow::Result<()> {
    client.execute("SELECT write_audit(NULL, NULL, $1, $2, NULL)", &[&command, &what]).await?;
    Ok(())
}

/// How a tracker connects, if it is known.
///
/// # Errors
/// The database's own word.
pub async fn transport(client: &impl GenericClient, ident: &str) -> anyhow::Result<Option<Transport>> {
    let row = client.query_opt("SELECT profile FROM tracker WHERE ident = $1", &[&ident]).await?;
    let profile = row.and_then(|row| serde_json::from_value::<Profile>(row.get(0)).ok());
    Ok(profile.map(|profile| profile.transport))
}

/// Makes a tracker, or gives the one of this identifier another profile.
///
/// # Errors
/// The database's own word: an identifier it does not allow.
pub async fn put_tracker(client: &impl GenericClient, ident: &str, profile: &Profile) -> anyhow::Result<i64> {
    let row = client
        .query_one(
            "INSERT INTO tracker (ident, profile) VALUES ($1, $2) ON CONFLICT (ident) DO UPDATE SET profile = EXCLUDED.profile RETURNING tracker_id",
            &[&ident, &serde_json::to_value(profile)?],
        )
        .await?;
    Ok(row.get(0))
}

/// Makes a vehicle of an owner, or finds the owner's with this plate, however it is spelled.
///
/// # Errors
/// The text is no plate, it belongs to somebody else, or the database's own word.
pub async fn put_vehicle(
    client: &impl GenericClient,
    plate: &str,
    kind: &str,
    model: &str,
    owner: i64,
) -> anyhow::Result<(i64, String)> {
    let (vehicle, plate) = plates::put(client, plate, kind, model).await?;
    client
        .execute(
            "INSERT INTO ownership (vehicle_id, account_id) SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM ownership WHERE vehicle_id = $1 AND valid_to IS NULL)",
            &[&vehicle, &owner],
        )
        .await?;
    let holder: i64 = client
        .query_one("SELECT account_id FROM ownership WHERE vehicle_id = $1 AND valid_to IS NULL", &[&vehicle])
        .await?
        .get(0);
    ensure!(holder == owner, "the vehicle {plate} belongs to somebody else");
    Ok((vehicle, plate))
}

/// Puts a tracker into a vehicle, with `replace` in place of the one that it carries; where both are so already, nothing
/// changes.
///
/// # Errors
/// One of them is taken.
pub async fn install(client: &impl GenericClient, tracker: i64, vehicle: i64, replace: bool) -> anyhow::Result<()> {
    // The count makes PostgreSQL take the old one out before it puts the new one in.
    let installed = client
        .execute(
            "WITH taken_out AS (
                UPDATE installation SET valid_to = greatest(now(), valid_from + interval '1 microsecond')
                WHERE $3 AND vehicle_id = $2 AND tracker_id <> $1 AND valid_to IS NULL RETURNING 1)
             INSERT INTO installation (tracker_id, vehicle_id) SELECT $1, $2 FROM (SELECT count(*) FROM taken_out) t
             WHERE NOT EXISTS (SELECT 1 FROM installation WHERE tracker_id = $1 AND vehicle_id = $2 AND valid_to IS NULL)",
            &[&tracker, &vehicle, &replace],
        )
        .await;
    match installed {
        Ok(_) => Ok(()),
        Err(error) => match error.as_db_error().and_then(|e| e.constraint()) {
            Some("installation_tracker") => bail!("the tracker is in another vehicle"),
            Some("installation_vehicle") => bail!("the vehicle carries another tracker; --replace takes that one out"),
            _ => Err(error.into()),
        },
    }
}

/// Guards a vehicle or stops guarding it, as its owner would. `false` if it is not this owner's.
///
/// # Errors
/// The vehicle carries no tracker.
pub async fn arm(client: &Client, owner: i64, vehicle: i64, armed: bool) -> anyhow::Result<bool> {
    // One whose positioning is off by choice is left as its owner wants it.
    let sql = "SELECT CASE WHEN $3 AND is_off($2) THEN NULL ELSE arm_vehicle($1, $2, $3) END";
    let row = client.query_one(sql, &[&owner, &vehicle, &armed]).await?;
    Ok(row.get::<_, Option<i64>>(0).is_some())
}

/// Gives an officer access for a case, approved by another person.
///
/// # Errors
/// Both are one person, or an account is missing.
pub async fn put_grant(
    client: &impl GenericClient,
    officer: i64,
    approver: i64,
    case_number: &str,
    purpose: &str,
    (days, tell_owner_after_days): (f64, i32),
) -> anyhow::Result<i64> {
    ensure!(officer != approver, "an officer cannot approve a grant of his own");
    let row = client
        .query_one(
            "INSERT INTO access_grant (account_id, case_number, document, purpose, approved_by, valid_to, area_km2_max, hours_max, tell_owner_after_days)
             VALUES ($1, $2, $2, $3, $4, now() + make_interval(secs => $5), 2000, 48, $6) RETURNING grant_id",
            &[&officer, &case_number, &purpose, &approver, &(days * 86_400.0), &tell_owner_after_days],
        )
        .await?;
    Ok(row.get(0))
}

/// Plates of the vehicles that carry a tracker.
///
/// # Errors
/// The database's own word.
pub async fn plates_with_tracker(client: &Client) -> anyhow::Result<HashSet<String>> {
    let sql = "SELECT plate FROM vehicle JOIN installation USING (vehicle_id) WHERE valid_to IS NULL";
    Ok(client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// The row of an account that has one of these roles.
///
/// # Errors
/// There is none of this login, or it has another role.
pub async fn account(client: &impl GenericClient, login: &str, roles: &[&str]) -> anyhow::Result<i64> {
    let row = client.query_opt("SELECT account_id, role FROM account WHERE login = $1", &[&login]).await?;
    let row = row.with_context(|| format!("no account has the login {login:?}"))?;
    let role: &str = row.get(1);
    ensure!(roles.contains(&role), "the role of {login} is {role}; it must be {}", roles.join(" or "));
    Ok(row.get(0))
}

/// The row of a tracker.
///
/// # Errors
/// There is none of this identifier.
pub async fn tracker(client: &impl GenericClient, ident: &str) -> anyhow::Result<i64> {
    let row = client.query_opt("SELECT tracker_id FROM tracker WHERE ident = $1", &[&ident]).await?;
    Ok(row.with_context(|| format!("no tracker has the identifier {ident:?}"))?.get(0))
}
