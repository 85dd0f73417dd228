//! Certificates of the private broker: an authority of our own and one server certificate.

use super::Folder;
use super::folder::write_private;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::PathBuf;

/// Where they are.
pub struct Certificates {
    /// The authority, for everybody to trust.
    pub ca: PathBuf,
    /// The broker's certificate.
    pub server: PathBuf,
    /// The broker's key; 0600.
    pub server_key: PathBuf,
}

/// Makes them at the first call, for `localhost` and 127.0.0.1.
///
/// # Errors
/// They cannot be made or written.
pub fn make(folder: &Folder) -> anyhow::Result<Certificates> {
    let there = Certificates {
        ca: folder.path("ca.pem"),
        server: folder.path("secrets/broker.pem"),
        server_key: folder.path("secrets/broker.key"),
    };
    if there.server.exists() && there.server_key.exists() && there.ca.exists() {
        return Ok(there);
    }
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "RideGuard private authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.not_before = rcgen::date_time_ymd(2024, 1, 1);
    authority.not_after = rcgen::date_time_ymd(2046, 1, 1);
    let authority_key = KeyPair::generate()?;
    let ca = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let mut server = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()])?;
    server.distinguished_name.push(DnType::CommonName, "RideGuard private broker");
    server.not_before = rcgen::date_time_ymd(2024, 1, 1);
    server.not_after = rcgen::date_time_ymd(2046, 1, 1);
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    // The authority's key is not kept: nothing else will ever be signed with it.
    write_private(&there.server_key, &server_key.serialize_pem())?;
    write_private(&there.server, &certificate.pem())?;
    std::fs::write(&there.ca, ca.pem())?;
    Ok(there)
}
