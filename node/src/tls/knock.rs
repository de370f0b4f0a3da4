//! Dials a node as another node does: which certificates it takes from nodes is seen by nobody else.
//!
//! ```text
//!   TLS 1.3, the node's own name ----> its certificate, of an authority that is trusted
//!   certificate, in question --------> alert: unknown authority        refused
//!                                      nothing, as Hello is waited for     taken
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;

use raft::node_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{AlertDescription, ClientConfig, Error, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::authority::Pair;

/// How long a node may take to answer.
const ANSWERS_TIME_MAX: Duration = Duration::from_secs(10);

/// Dials, showing that certificate.
pub(crate) struct Knock {
    connector: TlsConnector,
}

impl Knock {
    /// What trusts these authorities (PEM) and shows that certificate.
    ///
    /// # Errors
    /// In words, where either is of no use.
    pub(crate) fn new(authorities: &str, pair: &Pair) -> Result<Knock, String> {
        let config = config(authorities, pair).map_err(|why| why.to_string())?;
        Ok(Knock { connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Whether the node of that id, whose peers find it there, says that the certificate is of no authority that it
    /// knows. Whatever else comes of it says nothing.
    pub(crate) async fn is_refused(&self, id: u64, raft: &str) -> bool {
        let knocked = timeout(ANSWERS_TIME_MAX, self.knock(id, raft)).await;
        knocked.is_ok_and(|came| came.is_err_and(|why| is_of_unknown_authority(&why)))
    }

    async fn knock(&self, id: u64, raft: &str) -> io::Result<()> {
        let name = ServerName::try_from(node_name(id)).map_err(io::Error::other)?;
        let stream = TcpStream::connect(raft).await?;
        let mut stream = self.connector.connect(name, stream).await?;
        // The dialler has ended its part before the answerer looks at the certificate.
        stream.read_u8().await.map(drop)
    }
}

fn config(authorities: &str, pair: &Pair) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let mut trusted = RootCertStore::empty();
    for one in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
        trusted.add(one?)?;
    }
    let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_protocol_versions(&[&TLS13])?.with_root_certificates(trusted);
    Ok(config.with_client_auth_cert(chain, key)?)
}

fn is_of_unknown_authority(why: &io::Error) -> bool {
    let why = why.get_ref().and_then(|why| why.downcast_ref::<Error>());
    matches!(why, Some(Error::AlertReceived(AlertDescription::UnknownCA)))
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::config::NodeConfig;
    use crate::tls::authority::Authority;

    fn made() -> (String, Pair) {
        let (authority, ca) = Authority::new(10).unwrap();
        let (http, raft) = ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        let node = NodeConfig { id: 2, http, raft, data_dir: "d".into() };
        (ca.cert, authority.issue(&node, &[], 10).unwrap())
    }

    /// Answers as node 2, which trusts that authority, and goes away where it takes a certificate.
    async fn answer(listener: TcpListener, authority: String, pair: Pair) {
        let provider = Arc::new(ring::default_provider());
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider.clone());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = config.with_client_cert_verifier(verifier.build().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
        while let Ok((stream, _)) = listener.accept().await {
            // Either end is what the dialler is to find out.
            let _ = acceptor.accept(stream).await;
        }
    }

    #[tokio::test]
    async fn a_certificate_is_refused_where_its_authority_is_not_known_and_nowhere_else() {
        let ((own, shown), (_, other)) = (made(), made());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let knocks = [&shown, &other].map(|pair| Knock::new(&own, pair).unwrap());
        let served = tokio::spawn(answer(listener, own, shown));
        assert!(!knocks[0].is_refused(2, &place).await);
        assert!(knocks[1].is_refused(2, &place).await);
        assert!(!knocks[1].is_refused(3, &place).await, "another node is none of it");
        served.abort();
        assert!(served.await.is_err());
        assert!(!knocks[1].is_refused(2, &place).await, "nobody is there");
    }
}
