//! What the server's own commands do for people who come in: the first start, a lost second factor.

use crate::config::Http;
use anyhow::{Context, ensure};
use tokio_postgres::GenericClient;

/// Keeps the digest of a new code of the first start, in place of the one before.
///
/// # Errors
/// There is an administrator, who invites the others; or the database's own word.
pub async fn put_setup_code(client: &impl GenericClient, digest: &[u8]) -> anyhow::Result<()> {
    ensure!(
        !has_administrator(client).await?,
        "there is an administrator already, who invites the others; `rideguard admin account` gives one a new password"
    );
    let sql = "INSERT INTO setup_code (code_sha256) VALUES ($1) ON CONFLICT (one) DO UPDATE SET code_sha256 = $1, made_at = now()";
    client.execute(sql, &[&digest]).await?;
    Ok(())
}

/// Whether somebody can log in as an administrator.
///
/// # Errors
/// The database's own word.
pub async fn has_administrator(client: &impl GenericClient) -> anyhow::Result<bool> {
    Ok(client.query_one("SELECT has_administrator()", &[]).await?.get(0))
}

/// The address of the first start. The code stands behind `#`, which browsers send to nobody.
pub fn setup_address(http: &Http, code: &str) -> String {
    format!("http://{}/#/setup/{code}", http.listen)
}

/// Takes the second factor and the recovery codes of an account away. Its number.
///
/// # Errors
/// No account has this login, or the database's own word.
pub async fn forget_second_factor(client: &impl GenericClient, login: &str) -> anyhow::Result<i64> {
    let row = client.query_opt("SELECT account_id FROM account WHERE login = $1", &[&login]).await?;
    let account = row.with_context(|| format!("no account has the login {login:?}"))?.get::<_, i64>(0);
    client.execute("DELETE FROM second_factor WHERE account_id = $1", &[&account]).await?;
    client.execute("DELETE FROM recovery_code WHERE account_id = $1", &[&account]).await?;
    Ok(account)
}
