//! What clients are shown.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// The TLS of the HTTP side. Who connects takes no lock: a new certificate takes the place of the old one.
#[derive(Debug)]
pub(crate) struct HttpTls(ArcSwap<ServerConfig>);

impl HttpTls {
    pub(super) fn new(config: ServerConfig) -> HttpTls {
        HttpTls(ArcSwap::from_pointee(config))
    }

    pub(super) fn replace(&self, config: ServerConfig) {
        self.0.store(Arc::new(config));
    }

    /// What takes the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

/// TLS 1.2 and 1.3, HTTP/1.1, and no certificates of clients: they show tokens.
pub(super) fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
