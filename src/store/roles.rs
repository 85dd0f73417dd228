//! The roles of PostgreSQL: a superuser makes them at the start, and nobody is one afterwards.

use crate::config::{Database, read_secret};
use crate::store::{self, Role};
use anyhow::{Context, bail, ensure};
use std::path::Path;
use tokio_postgres::{Client, Transaction};

/// What no migration can make; for administrators of a server of their own, too.
const ROLES: &str = include_str!("../../schema/roles.sql");
/// Who has the schema.
pub(super) const OWNER: &str = "rideguard_owner";
/// The name that the superuser of an earlier `rideguard up` gets: PostgreSQL takes its first role's rights from nobody.
const BOOTSTRAP: &str = "rideguard_bootstrap";

/// A role that a process logs in as.
struct Login<'a> {
    name: &'a str,
    password: String,
    /// Its rights, as the grants of a group.
    group: &'static str,
}

impl<'a> Login<'a> {
    /// Everyone of whom the settings know a password.
    fn all(database: &'a Database) -> anyhow::Result<Vec<Self>> {
        let mut logins = Vec::new();
        for role in Role::ALL {
            let Some((name, file)) = database.login(role) else { continue };
            let (name, password) = (identifier(name)?, secret(file)?);
            ensure!(
                logins.iter().all(|l: &Self| l.name != name),
                "two processes have the role {name} in [database]; each needs one of its own"
            );
            logins.push(Self { name, password, group: role.group() });
        }
        Ok(logins)
    }
}

/// Makes the roles with their passwords, and closes what PostgreSQL opens to everybody. Where the settings name no superuser
/// and we are none, it is only checked that an administrator has done so.
///
/// # Errors
/// A role is missing, a password file cannot be read, or the database's own word.
pub async fn prepare(database: &Database) -> anyhow::Result<()> {
    if let Some(file) = &database.superuser_password_file {
        ensure!(
            database.superuser != database.user,
            "database.superuser and database.user are both {:?}; nobody but the start may be superuser",
            database.user
        );
        let mut client = superuser(database, &secret(file)?).await?;
        return secure(&mut client, database, true).await.context("making the roles of PostgreSQL");
    }
    let mut client = store::connect(&store::settings(database, Role::Admin)?, "roles").await?;
    if is_superuser(&client).await? {
        tracing::warn!(
            user = database.user,
            "RideGuard administers PostgreSQL as a superuser; set database.superuser_password_file and another database.user"
        );
        return secure(&mut client, database, false).await.context("making the roles of PostgreSQL");
    }
    check(&client, &database.user).await
}

/// A connection as the superuser. A deployment of before has none but `database.user`, which makes it.
async fn superuser(database: &Database, password: &str) -> anyhow::Result<Client> {
    let settings = store::settings_as(database, &database.superuser, password);
    let refused = match store::connect(&settings, "roles").await {
        Ok(client) => return Ok(client),
        Err(error) => error,
    };
    let Ok(earlier) = store::connect(&store::settings(database, Role::Admin)?, "roles").await else {
        return Err(refused);
    };
    if !is_superuser(&earlier).await? {
        return Err(refused).with_context(|| {
            format!(
                "the role {} is refused; database.superuser_password_file must hold its password",
                database.superuser
            )
        });
    }
    let role = identifier(&database.superuser)?;
    earlier
        .batch_execute(&format!(
            "BEGIN; DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE \"{role}\"; END IF; END $$;
             ALTER ROLE \"{role}\" SUPERUSER LOGIN PASSWORD '{password}'; COMMIT"
        ))
        .await?;
    store::connect(&settings, "roles").await
}

async fn is_superuser(client: &Client) -> anyhow::Result<bool> {
    Ok(client.query_one("SELECT rolsuper FROM pg_roles WHERE rolname = session_user", &[]).await?.get(0))
}

/// A name that can stand in a statement as it is; PostgreSQL cuts longer ones (`NAMEDATALEN`).
fn identifier(name: &str) -> anyhow::Result<&str> {
    ensure!(
        (1..=63).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
        "the role {name:?} has other characters than letters, digits and _, or is not 1 to 63 long"
    );
    Ok(name)
}

/// A password that can stand in a statement as it is.
fn secret(file: &Path) -> anyhow::Result<String> {
    let password = read_secret(file)?;
    ensure!(
        password.chars().all(|c| c.is_ascii_alphanumeric()),
        "the password in {} may have letters and digits only",
        file.display()
    );
    Ok(password)
}

/// One transaction: killed anywhere, it happened or it did not.
async fn secure(client: &mut Client, database: &Database, takes_rights: bool) -> anyhow::Result<()> {
    let logins = Login::all(database)?;
    let transaction = client.transaction().await?;
    if takes_rights {
        demote(&transaction, &database.user).await?;
    }
    transaction.batch_execute(ROLES).await?;
    for Login { name, password, group } in &logins {
        let is_admin = *name == database.user;
        if is_admin && !takes_rights {
            // We ourselves; the superuser of a server of one's own stays what it is.
            transaction.batch_execute(&format!("GRANT {group} TO \"{name}\"")).await?;
            continue;
        }
        // A backup is a replica's beginning (pg_basebackup).
        let replication = if is_admin { "REPLICATION" } else { "NOREPLICATION" };
        transaction
            .batch_execute(&format!(
                "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN CREATE ROLE \"{name}\"; END IF; END $$;
                 ALTER ROLE \"{name}\" LOGIN INHERIT NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS {replication} PASSWORD '{password}';
                 GRANT {group} TO \"{name}\""
            ))
            .await?;
        if is_admin {
            // Who looks for a slow question sees those of every process; questions have no values in them.
            transaction.batch_execute(&format!("GRANT pg_read_all_stats TO \"{name}\"")).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Takes the rights of a superuser from the role that administers. Of PostgreSQL's first role they cannot be taken: it gets
/// another name and no log-in, and the name goes to a new role.
async fn demote(transaction: &Transaction<'_>, user: &str) -> anyhow::Result<()> {
    let user = identifier(user)?;
    // 10: BOOTSTRAP_SUPERUSERID (PostgreSQL, pg_authid.dat).
    let sql = "SELECT oid = 10 FROM pg_roles WHERE rolname = $1 AND rolsuper";
    match transaction.query_opt(sql, &[&user]).await?.map(|row| row.get::<_, bool>(0)) {
        Some(true) => {
            tracing::info!(user, "The role that administers is no superuser any more");
            transaction
                .batch_execute(&format!(
                    "ALTER ROLE \"{user}\" RENAME TO {BOOTSTRAP}; ALTER ROLE {BOOTSTRAP} NOLOGIN PASSWORD NULL"
                ))
                .await?;
        }
        Some(false) => transaction.batch_execute(&format!("ALTER ROLE \"{user}\" NOSUPERUSER")).await?,
        None => {}
    }
    Ok(())
}

/// That an administrator of the server has run `schema/roles.sql`.
async fn check(client: &Client, user: &str) -> anyhow::Result<()> {
    let groups: Vec<&str> = Role::ALL.iter().map(|role| role.group()).collect();
    let missing: Option<String> = client
        .query_one(
            "SELECT string_agg(r, ', ') FROM unnest($1::text[]) r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r)",
            &[&groups],
        )
        .await?
        .get(0);
    if let Some(missing) = missing {
        bail!(
            "PostgreSQL has no role {missing}: an administrator runs schema/roles.sql once (docs/deploy.md, \"Roles\")"
        );
    }
    let is_member: bool =
        client.query_one("SELECT pg_has_role(session_user, $1::text, 'MEMBER')", &[&OWNER]).await?.get(0);
    ensure!(
        is_member,
        "the role {user} is no member of {OWNER}: an administrator runs GRANT {OWNER} TO {user} (docs/deploy.md, \"Roles\")"
    );
    Ok(())
}
