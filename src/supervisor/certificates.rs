//! Certificates of the private broker: an authority of our own and one server certificate.

use crate::supervisor::Folder;
use crate::supervisor::data_dir::write_private;
use anyhow::bail;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
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

/// Makes them at the first call, for `localhost`, 127.0.0.1 and the name under which trackers connect
/// from outside.
///
/// # Errors
/// They cannot be made or written, or were made for another name: trackers trust this authority, so
/// it is not replaced behind their back.
pub fn make(folder: &Folder, public_name: Option<&str>) -> anyhow::Result<Certificates> {
    let there = Certificates {
        ca: folder.path("ca.pem"),
        server: folder.path("secrets/broker.pem"),
        server_key: folder.path("secrets/broker.key"),
    };
    let names_file = folder.path("secrets/broker.name");
    if there.server.exists() && there.server_key.exists() && there.ca.exists() {
        let made_for = std::fs::read_to_string(&names_file).unwrap_or_default();
        match public_name {
            Some(name) if made_for.trim() != name => bail!(
                "the broker's certificate was made for {:?}, not {name:?}; remove {} to make a new authority, and give trackers its new {}",
                made_for.trim(),
                there.server.display(),
                there.ca.display()
            ),
            _ => return Ok(there),
        }
    }
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "RideGuard private authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.not_before = rcgen::date_time_ymd(2024, 1, 1);
    authority.not_after = rcgen::date_time_ymd(2046, 1, 1);
    let authority_key = KeyPair::generate()?;
    let ca = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let names = ["localhost", "127.0.0.1"].into_iter().chain(public_name).map(str::to_owned);
    let mut server = CertificateParams::new(names.collect::<Vec<_>>())?;
    server.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth); // phones ask for it
    server.distinguished_name.push(DnType::CommonName, "RideGuard private broker");
    server.not_before = rcgen::date_time_ymd(2024, 1, 1);
    server.not_after = rcgen::date_time_ymd(2046, 1, 1);
    let server_key = KeyPair::generate()?;
    let certificate = server.signed_by(&server_key, &issuer)?;
    // The authority's key is not kept: nothing else will ever be signed with it.
    write_private(&there.server_key, &server_key.serialize_pem())?;
    write_private(&there.server, &certificate.pem())?;
    std::fs::write(&there.ca, ca.pem())?;
    write_private(&names_file, public_name.unwrap_or_default())?;
    Ok(there)
}
