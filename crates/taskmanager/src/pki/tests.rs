//! Certificates as their receivers see them: rustls on both sides of a connection in memory.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use clap::Parser as _;
use rustls::client::WebPkiServerVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

/// 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600_000);
const DAY: Duration = Duration::from_secs(86_400);

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        NOW
    }
    fn random_id(&self) -> Uuid {
        Uuid::nil()
    }
    fn ordered_id(&self) -> Uuid {
        Uuid::nil()
    }
    fn jitter(&self, most: Duration) -> Duration {
        most
    }
}

/// The time that both sides of a connection believe it is.
#[derive(Debug)]
struct At(Timestamp);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.since(Timestamp(0))))
    }
}

fn id() -> InstanceId {
    "416b0b16-ba55-4302-bbd3-ff566032e1c1".parse().unwrap()
}

fn authority() -> (TempDir, Authority) {
    let directory = TempDir::new().unwrap();
    init(directory.path(), NOW).unwrap();
    let authority = Authority::load(directory.path(), NOW).unwrap();
    (directory, authority)
}

fn roots(ca_pem: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
    Arc::new(roots)
}

fn chain(issued: &Issued) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
    (vec![certificate], PrivateKeyDer::from_pem_slice(issued.key_pem.expose_secret().as_bytes()).unwrap())
}

/// One mutual handshake at `at`, both sides trusting `ca`; the role that the server sees in the client.
fn shake_hands(
    ca: &str,
    server: &Issued,
    client: &Issued,
    name: &str,
    at: Timestamp,
) -> Result<Option<Role>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca), Arc::clone(&provider)).build().unwrap();
    let (certificates, key) = chain(server);
    let config = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(At(at)))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)?;
    let mut server = Connection::from(ServerConnection::new(Arc::new(config))?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca), Arc::clone(&provider)).build().unwrap();
    let (certificates, key) = chain(client);
    let config = ClientConfig::builder_with_details(provider, Arc::new(At(at)))
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(certificates, key)?;
    let name = name.to_owned().try_into().unwrap();
    let mut client = Connection::from(ClientConnection::new(Arc::new(config), name)?);
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    // In TLS 1.3 the server judges the client's certificate after the client is done.
    carry(&mut client, &mut server)?;
    Ok(Role::of_peer(server.peer_certificates().unwrap_or_default()))
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn the_control_plane_and_a_guest_accept_each_other() {
    let (_directory, authority) = authority();
    let guest = authority.issue_guest(id(), NOW).unwrap();
    for role in [Role::Control, Role::Reader] {
        let client = authority.issue_role(role, NOW).unwrap();
        let seen = shake_hands(authority.ca_pem(), &guest, &client, &id().to_string(), NOW).unwrap();
        assert_eq!(seen, Some(role));
    }
}

#[test]
fn a_certificate_is_good_for_nothing_but_its_purpose() {
    let (_directory, authority) = authority();
    let (_other_directory, other) = self::authority();
    let guest = authority.issue_guest(id(), NOW).unwrap();
    let client = authority.issue_role(Role::Control, NOW).unwrap();
    let ca = authority.ca_pem();
    let name = id().to_string();
    assert!(shake_hands(ca, &guest, &guest, &name, NOW).is_err(), "a guest's as a client's");
    assert!(shake_hands(ca, &client, &client, "control.role.redtrove", NOW).is_err(), "a client's as a server's");
    let another = "516b0b16-ba55-4302-bbd3-ff566032e1c1";
    assert!(shake_hands(ca, &guest, &client, another, NOW).is_err(), "one guest's as another's");
    let foreign = other.issue_role(Role::Control, NOW).unwrap();
    assert!(shake_hands(ca, &guest, &foreign, &name, NOW).is_err(), "another authority's client");
    let foreign = other.issue_guest(id(), NOW).unwrap();
    assert!(shake_hands(ca, &foreign, &client, &name, NOW).is_err(), "another authority's guest");
}

#[test]
fn a_certificate_is_valid_from_a_day_ago_for_as_long_as_it_says() {
    let (_directory, authority) = authority();
    let guest = authority.issue_guest(id(), NOW).unwrap();
    let client = authority.issue_role(Role::Control, NOW).unwrap();
    let valid = |at: Timestamp| shake_hands(authority.ca_pem(), &guest, &client, &id().to_string(), at).is_ok();
    assert!(valid(Timestamp(NOW.0 - 1_439 * 60 * 1000)));
    assert!(!valid(Timestamp(NOW.0 - 1_441 * 60 * 1000)));
    assert!(valid(NOW.after(365 * DAY)));
    assert!(!valid(NOW.after(367 * DAY)));
    let later = NOW.after(4 * 365 * DAY);
    let renewed = authority.issue_role(Role::Control, later).unwrap();
    assert!(shake_hands(authority.ca_pem(), &guest, &renewed, &id().to_string(), later).is_ok());
}

#[test]
fn an_authority_is_never_overwritten() {
    let (directory, authority) = authority();
    let key = fs::read_to_string(directory.path().join("ca.key")).unwrap();
    assert!(matches!(init(directory.path(), NOW), Err(PkiError::Exists(_))));
    fs::remove_file(directory.path().join("ca.pem")).unwrap();
    assert!(matches!(init(directory.path(), NOW), Err(PkiError::Exists(_))), "a key alone counts");
    assert_eq!(fs::read_to_string(directory.path().join("ca.key")).unwrap(), key);
    drop(authority);
}

#[test]
fn keys_are_for_their_owner_only_and_nothing_else_is_left_behind() {
    let (directory, _authority) = authority();
    let out = directory.path().join("out");
    for _ in 0..2 {
        issue(directory.path(), Role::Reader, &out, NOW).unwrap();
    }
    for key in [directory.path().join("ca.key"), out.join("reader.key")] {
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "{}", key.display());
    }
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["reader.key", "reader.pem"]);
}

#[test]
fn what_is_no_authority_is_refused_with_the_file_and_without_its_content() {
    let (one, _) = authority();
    let (two, _) = authority();
    fs::copy(two.path().join("ca.pem"), one.path().join("ca.pem")).unwrap();
    let error = Authority::load(one.path(), NOW).err().unwrap().to_string();
    assert!(error.contains("ca.pem") && error.contains("does not vouch"), "{error}");

    fs::write(two.path().join("ca.key"), "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n").unwrap();
    let error = Authority::load(two.path(), NOW).err().unwrap().to_string();
    assert!(error.contains("ca.key") && !error.contains("canary"), "{error}");

    fs::write(one.path().join("ca.pem"), "nothing").unwrap();
    assert!(matches!(Authority::load(one.path(), NOW), Err(PkiError::Content { .. })));
    let nothing = TempDir::new().unwrap();
    assert!(matches!(Authority::load(nothing.path(), NOW), Err(PkiError::File { .. })));
}

#[test]
fn a_clock_out_of_range_is_an_error() {
    for now in [Timestamp(i64::MAX), Timestamp(i64::MIN), Timestamp(-10_000_000_000_000)] {
        assert!(matches!(Authority::create(now), Err(PkiError::Time(_))), "{now:?}");
    }
}

#[test]
fn guests_get_theirs_from_the_issuer() {
    let (directory, authority) = authority();
    let issuer = GuestIssuer::open(directory.path(), Arc::new(FixedClock)).unwrap();
    let given = issuer.issue(id()).unwrap();
    assert_eq!(given.ca_pem, authority.ca_pem());
    let guest = Issued { cert_pem: given.cert_pem, key_pem: given.key_pem };
    let again = issuer.issue(id()).unwrap();
    assert_ne!(again.key_pem.expose_secret(), guest.key_pem.expose_secret(), "every birth has its own key");
    let client = authority.issue_role(Role::Control, NOW).unwrap();
    assert!(shake_hands(&given.ca_pem, &guest, &client, &id().to_string(), NOW).is_ok());
}

#[derive(clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: cli::PkiCommand,
}

#[test]
fn the_commands_make_what_they_say() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pki").display().to_string();
    let run = |args: &[&str]| {
        let command = Cli::try_parse_from([&["pki"], args].concat())?.command;
        let mut out = Vec::new();
        command.run(NOW, &mut out)?;
        anyhow::Ok(String::from_utf8(out)?)
    };
    assert!(run(&["init", "--directory", &path]).unwrap().contains(&path));
    assert!(run(&["init", "--directory", &path]).is_err());
    let issue = ["issue", "--directory", &path, "--out-dir", &path, "--role"];
    assert!(run(&[&issue[..], &["control"]].concat()).unwrap().contains("control.key"));
    assert!(fs::exists(directory.path().join("pki/control.pem")).unwrap());
    assert!(run(&[&issue[..], &["root"]].concat()).is_err());
}
