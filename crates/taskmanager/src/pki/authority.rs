//! The authority itself: keys, certificates, what they are good for and for how long.

use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use redtrove_core::{InstanceId, Timestamp};
use redtrove_guest_rpc::role::{CONTROL_NAME, READER_NAME, Role};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use secrecy::{ExposeSecret as _, SecretString};
use time::OffsetDateTime;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::{CA_FILE, CA_KEY_FILE, PkiError, files, role_name};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_LASTS: Duration = Duration::from_secs(3653 * DAY.as_secs());
/// The control plane's certificates are renewed by `pki issue`.
const ROLE_LASTS: Duration = Duration::from_secs(366 * DAY.as_secs());
/// Nothing renews a guest's certificate during its life yet.
const GUEST_LASTS: Duration = Duration::from_secs(5 * 366 * DAY.as_secs());
/// Certificates begin before they are made, for machines whose clock is behind: a guest's is made by whichever taskmanager
/// is at work, and called by others.
const BACKDATED: Duration = DAY;

/// A certificate and its private key, PEM.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub cert_pem: String,
    /// The key, PKCS #8.
    pub key_pem: SecretString,
}

/// An authority that can sign.
pub struct Authority {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority's certificate and key.
    pub(super) fn create(now: Timestamp) -> Result<Issued, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = ca_params();
        set_validity(&mut params, now, CA_LASTS)?;
        let cert_pem = params.self_signed(&key)?.pem();
        Ok(Issued { cert_pem, key_pem: key.serialize_pem().into() })
    }

    /// Reads the authority in `directory` and tries whether what its key signs is accepted by its certificate.
    ///
    /// # Errors
    /// A file is missing, holds something else, or the two do not belong together.
    pub fn load(directory: &Path, now: Timestamp) -> Result<Self, PkiError> {
        let (ca_path, key_path) = (directory.join(CA_FILE), directory.join(CA_KEY_FILE));
        let ca_pem = files::read(&ca_path)?;
        let key_pem = SecretString::from(files::read(&key_path)?);
        // The parser's own message may quote the file.
        let key = KeyPair::from_pem(key_pem.expose_secret()).map_err(|_| PkiError::Content {
            path: key_path,
            what: "key",
            reason: "it is not a private key in PEM that can be used here".to_owned(),
        })?;
        let authority = Self { ca_pem, issuer: Issuer::new(ca_params(), key) };
        let reason = match authority.try_out(now) {
            Ok(()) => return Ok(authority),
            Err(TryOut::Pki(error)) => return Err(error),
            Err(TryOut::Refused(reason)) => reason,
        };
        Err(PkiError::Content { path: ca_path, what: "certificate", reason })
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A certificate for the guest of an instance: for a server only, named by the instance's id, valid for five
    /// years.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn issue_guest(&self, id: InstanceId, now: Timestamp) -> Result<Issued, PkiError> {
        self.sign(&id.to_string(), &id.to_string(), ExtendedKeyUsagePurpose::ServerAuth, now, GUEST_LASTS)
    }

    /// A certificate for the control plane: for a client only, named by its role, valid for one year.
    ///
    /// # Errors
    /// The signature cannot be made.
    pub fn issue_role(&self, role: Role, now: Timestamp) -> Result<Issued, PkiError> {
        let dns_name = match role {
            Role::Control => CONTROL_NAME,
            Role::Reader => READER_NAME,
        };
        let common_name = format!("redtrove {}", role_name(role));
        self.sign(dns_name, &common_name, ExtendedKeyUsagePurpose::ClientAuth, now, ROLE_LASTS)
    }

    /// ECDSA on P-256, what every TLS library takes. The serial number is a hash of the new public key.
    fn sign(
        &self,
        dns_name: &str,
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
        now: Timestamp,
        lasts: Duration,
    ) -> Result<Issued, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([dns_name.to_owned()])?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, lasts)?;
        let cert_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert_pem, key_pem: key.serialize_pem().into() })
    }

    /// Issues a certificate and checks it as its receivers will.
    fn try_out(&self, now: Timestamp) -> Result<(), TryOut> {
        let refused = |what: &str, error: &dyn std::fmt::Display| TryOut::Refused(format!("{what} ({error})"));
        let ca = CertificateDer::from_pem_slice(self.ca_pem.as_bytes())
            .map_err(|error| refused("it is not a certificate in PEM", &error))?;
        let anchor = anchor_from_trusted_cert(&ca).map_err(|error| refused("it is no authority's", &error))?;
        let probe = self.issue_role(Role::Reader, now).map_err(TryOut::Pki)?;
        let probe = CertificateDer::from_pem_slice(probe.cert_pem.as_bytes())
            .map_err(|error| refused("what it signs cannot be read", &error))?;
        let seconds = u64::try_from(now.0 / 1000).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let verified = EndEntityCert::try_from(&probe).and_then(|probe| {
            let algorithms = [webpki::ring::ECDSA_P256_SHA256];
            probe.verify_for_usage(&algorithms, &[anchor], &[], time, KeyUsage::client_auth(), None, None).map(drop)
        });
        verified.map_err(|error| refused("it does not vouch for what the key beside it signs", &error))
    }
}

enum TryOut {
    Pki(PkiError),
    Refused(String),
}

/// What the authority's certificate says. An issuer is rebuilt from this, so it must never change for one that
/// exists; [`Authority::load`] notices.
fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "redtrove certificate authority");
    // It signs certificates, not other authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, lasts: Duration) -> Result<(), PkiError> {
    let out_of_range = || PkiError::Time(now);
    let now = OffsetDateTime::from_unix_timestamp(now.0.div_euclid(1000)).map_err(|_| out_of_range())?;
    let (backdated, lasts) = (
        time::Duration::try_from(BACKDATED).map_err(|_| out_of_range())?,
        time::Duration::try_from(lasts).map_err(|_| out_of_range())?,
    );
    params.not_before = now.checked_sub(backdated).ok_or_else(out_of_range)?;
    params.not_after = now.checked_add(lasts).ok_or_else(out_of_range)?;
    // What a certificate can state: a longer year has no place in it.
    let states = |time: OffsetDateTime| (1950..=9999).contains(&time.year());
    if states(params.not_before) && states(params.not_after) { Ok(()) } else { Err(out_of_range()) }
}
