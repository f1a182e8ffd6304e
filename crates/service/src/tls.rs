//! One TLS implementation for the whole process.

/// Makes ring the process's TLS cryptography. May be called again; the first call counts.
///
/// rustls refuses to guess when a build holds none or several, and panics at the first connection instead; so
/// this comes before anything that speaks TLS.
pub fn install_crypto_provider() {
    // The error only says that a provider is in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_provider_is_in_place_after_two_calls() {
        super::install_crypto_provider();
        super::install_crypto_provider();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
