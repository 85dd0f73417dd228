//! The webhook channel: a signed POST of the alert as JSON.
//!
//! `X-RideGuard-Signature: sha256=HEX` is HMAC-SHA-256 with the receiver's secret over
//! `X-RideGuard-Timestamp`, a full stop and the body. `X-RideGuard-Delivery` stays the same over all
//! attempts, so that a receiver can drop repeats. No redirects, 5 s; no private addresses and no plain
//! http unless the deployment says so: a webhook must not reach into our own network, nor be read on the way.

use super::{Channel, SendError};
use crate::config::Notify;
use crate::store::outbox::Due;
use futures_util::future::{BoxFuture, FutureExt};
use hmac::{Hmac, Mac};
use ipnet::IpNet;
use sha2::Sha256;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

/// Longest an attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(5);

/// The address is not a URL of http or https.
fn no_url() -> SendError {
    SendError::never("the webhook address is not a valid URL; expected http or https")
}

/// Sends webhooks.
pub struct Webhook {
    allow_private: bool,
    allow_http: bool,
    shared: Option<reqwest::Client>,
}

impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn send<'a>(&'a self, due: &'a Due) -> BoxFuture<'a, Result<String, SendError>> {
        self.post(due).boxed()
    }
}

impl Webhook {
    /// As the settings allow.
    pub fn new(settings: &Notify) -> Self {
        let (allow_private, allow_http) = (settings.allow_private_webhooks, settings.allow_http_webhooks);
        let shared = if allow_private { client(None).ok() } else { None };
        Self { allow_private, allow_http, shared }
    }

    async fn post(&self, due: &Due) -> Result<String, SendError> {
        let url = reqwest::Url::parse(&due.address).map_err(|_| no_url())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(no_url());
        }
        if url.scheme() == "http" && !self.allow_http {
            return Err(SendError::never("the webhook is plain http, which notify.allow_http_webhooks does not allow"));
        }
        let client = match (&self.shared, self.allow_private) {
            (Some(shared), true) => shared.clone(),
            _ => client(Some(self.checked_address(&url).await?)).map_err(|_| SendError::later("no client"))?,
        };
        let body =
            serde_json::json!({ "delivery": due.outbox_id.to_string(), "attempt": due.attempt, "alert": due.alert })
                .to_string();
        let timestamp = crate::clock::now().micros() / 1_000_000;
        let answer = client
            .post(url)
            .header("Content-Type", "application/json")
            .header("X-RideGuard-Timestamp", timestamp.to_string())
            .header("X-RideGuard-Delivery", due.outbox_id.to_string())
            .header("X-RideGuard-Signature", format!("sha256={}", signature(&due.secret, timestamp, &body)))
            .body(body)
            .send()
            .await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer.status().as_u16().to_string()),
            Ok(answer) => Err(SendError::later(answer.status().as_u16().to_string())),
            Err(error) if error.is_timeout() => Err(SendError::later("no answer in time")),
            Err(error) if error.is_connect() => Err(SendError::later("nobody answers there")),
            Err(_) => Err(SendError::later("the connection broke")),
        }
    }

    /// Resolves the host once and checks where it leads; the connection goes to that address.
    async fn checked_address(&self, url: &reqwest::Url) -> Result<(String, SocketAddr), SendError> {
        let host = url.host_str().ok_or_else(no_url)?.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().ok_or_else(no_url)?;
        let found = tokio::net::lookup_host((host.as_str(), port)).await.map(|mut found| found.next());
        let address = found.ok().flatten().ok_or_else(|| SendError::later("the host has no address"))?;
        if is_private(address.ip()) {
            Err(SendError::later("the webhook leads to a private address"))
        } else {
            Ok((host, address))
        }
    }
}

fn client(to: Option<(String, SocketAddr)>) -> reqwest::Result<reqwest::Client> {
    let mut builder =
        reqwest::Client::builder().timeout(ATTEMPT_MAX).redirect(reqwest::redirect::Policy::none()).no_proxy();
    if let Some((host, address)) = to {
        builder = builder.resolve(&host, address);
    }
    builder.build()
}

/// HMAC-SHA-256 over `timestamp.body`, in hexadecimal.
pub fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{timestamp}.{body}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Addresses that are nobody's on the public Internet, and those that carry another address inside.
///
/// Source: IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890), rows not globally reachable; multicast
/// (RFC 5771, RFC 4291, 2.7); NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056) and Teredo (RFC 4380), which lead to an IPv4
/// address of the sender's choice; site-local (RFC 3879).
const NOT_PUBLIC: [&str; 35] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Whether an address must not be reached by a webhook.
fn is_private(ip: IpAddr) -> bool {
    static NETS: LazyLock<Vec<IpNet>> =
        LazyLock::new(|| NOT_PUBLIC.iter().filter_map(|net| net.parse().ok()).collect());
    NETS.iter().any(|net| net.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_hmac_sha256_of_time_and_body() {
        // printf '1.x' | openssl dgst -sha256 -hmac Jefe
        assert_eq!(signature("Jefe", 1, "x"), "2f7ccbd0f043456ad29514b2d24a8aa345ec6673a5db1b44e91c8ac99d1841e3");
    }

    #[tokio::test]
    async fn plain_http_is_not_even_tried_unless_the_settings_allow_it() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let due = Due {
            outbox_id: 1,
            attempt: 1,
            channel: "webhook".into(),
            address: format!("http://{}/", listener.local_addr().unwrap()),
            secret: "s".into(),
            alert: serde_json::json!({}),
        };
        let send = async |allow_http_webhooks| {
            let settings = Notify { allow_private_webhooks: true, allow_http_webhooks, ..Notify::default() };
            Webhook::new(&settings).post(&due).await.unwrap_err()
        };
        let refused = send(false).await;
        assert!(refused.is_final && refused.result.contains("allow_http_webhooks"), "{refused:?}");
        let asked = tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
        assert!(!send(true).await.is_final, "it was tried, and the line broke");
        asked.await.unwrap();
    }

    #[test]
    fn private_addresses_are_known() {
        assert!(NOT_PUBLIC.iter().all(|net| net.parse::<IpNet>().is_ok_and(|n| n.trunc() == n)));
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "::ffff:1.1.1.1",
            "::ffff:0:10.0.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.9",
            "255.255.255.255",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "100::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["1.1.1.1", "223.5.5.5", "2400:3200::1", "2606:4700::1111"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
