//! Who a caller is: the role in its client certificate.
//!
//! TLS has checked already that the certificate comes from the stack's CA and is one for clients (extended key
//! usage clientAuth; a guest's own certificate is not). What is left is the role, a DNS name among its
//! subjectAltNames.

use rustls_pki_types::{CertificateDer, DnsName, ServerName};
use webpki::EndEntityCert;

/// The DNS name of a caller that may call every method.
pub const CONTROL_NAME: &str = "control.role.redtrove";
/// The DNS name of a caller that may only read.
pub const READER_NAME: &str = "reader.role.redtrove";

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Call the methods that the contract marks "reads".
    Reader,
    /// Call every method.
    Control,
}

impl Role {
    /// The role in a certificate chain, whose first is the caller's own; the higher one if it has both. Absent
    /// when there is no certificate, when it cannot be read, or when it names neither role.
    pub fn of_peer(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificates.first()?).ok()?;
        let is_for = |name| {
            DnsName::try_from_str(name)
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&ServerName::DnsName(name)).is_ok())
        };
        if is_for(CONTROL_NAME) {
            Some(Self::Control)
        } else if is_for(READER_NAME) {
            Some(Self::Reader)
        } else {
            None
        }
    }

    /// The role of whoever sent `request`; absent as in [`Role::of_peer`].
    pub fn of_request<T>(request: &tonic::Request<T>) -> Option<Self> {
        Self::of_peer(&request.peer_certs()?)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn role(names: &[&str]) -> Option<Role> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
        Role::of_peer(&[certificate.der().clone()])
    }

    #[test]
    fn the_role_is_a_name_in_the_certificate() {
        assert_eq!(role(&[CONTROL_NAME]), Some(Role::Control));
        assert_eq!(role(&["a.example", READER_NAME]), Some(Role::Reader));
        assert_eq!(role(&[READER_NAME, CONTROL_NAME]), Some(Role::Control));
        assert!(Role::Control > Role::Reader);
    }

    #[test]
    fn anything_else_is_no_role() {
        assert_eq!(role(&["role.redtrove"]), None);
        assert_eq!(role(&["x.control.role.redtrove"]), None);
        assert_eq!(role(&["416b0b16-ba55-4302-bbd3-ff566032e1c1"]), None);
        assert_eq!(Role::of_peer(&[]), None);
        assert_eq!(Role::of_peer(&[CertificateDer::from(vec![1, 2, 3])]), None);
    }
}
