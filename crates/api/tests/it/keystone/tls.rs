//! Keystone behind TLS: only a certificate of the right authority is talked to.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use redtrove_api::auth::Authenticator;
use redtrove_service::tls::install_crypto_provider;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::fake::Fake;
use super::is_unavailable;

/// Takes those connections whose TLS handshake succeeds.
struct Tls(TcpListener, TlsAcceptor);

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// An authority's certificate in PEM, and a server's settings with a certificate of that authority.
fn authority() -> (String, ServerConfig) {
    install_crypto_provider();
    let (key, server_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&server_key, &issuer).unwrap();
    let server_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der()));
    let config = ServerConfig::builder().with_no_client_auth();
    (pem, config.with_single_cert(vec![server.der().clone()], server_key).unwrap())
}

#[tokio::test]
async fn only_a_certificate_of_the_named_authority_is_trusted() {
    let (pem, config) = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let tls = Tls(listener, TlsAcceptor::from(Arc::new(config)));
    let fake = Fake::serve(url, |router| async move { axum::serve(tls, router).await.unwrap() });
    fake.add("canary-1");
    let file = |name: &str, pem: &str| -> PathBuf {
        let path = fake.password_file().with_file_name(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let (right, wrong) = (file("right.pem", &pem), file("wrong.pem", &authority().0));
    for (settings, good) in [(json!({"ca_file": right}), true), (json!({"ca_file": wrong}), false), (json!({}), false)]
    {
        let keystone = fake.keystone(&settings);
        if good {
            keystone.identify("canary-1").await.unwrap();
        } else {
            assert!(is_unavailable(&keystone, "canary-1").await, "{settings}");
        }
    }
    assert_eq!(fake.counts(), (1, 1), "a stranger is told nothing");
}
