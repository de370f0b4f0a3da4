//! Mutual TLS between the nodes: each side shows a certificate of the cluster's own authority, made out to its node.
//!
//! ```text
//!   dialler, node 1                                         answerer, node 2
//!     TLS 1.3, to node-2.lastunit.internal  -------------->
//!       <--------------------------------------------------  certificate
//!     of our authority, in date, of that name? else the dialler goes away
//!     certificate  --------------------------------------->  of our authority, in date? else an alert
//!     Hello, from node 1  -------------------------------->  is the certificate node 1's? else nothing of it is used
//!       <--------------------------------------------------  Greeting: the handshake as without TLS
//! ```
//!
//! A node's name is [`node_name`] of its id, so that the library's own check of names is the check of ids.
//!
//! Invariants:
//! - What a dialler says is used only where its certificate is of the node that it says it is.
//! - Each connection is checked anew: no session is resumed, so that none begins after its certificate has ended.
//! - Either all nodes speak TLS or none does. Who does the other is refused, and told of in the log.
//!
//! Absent on purpose: lists of revoked certificates. A key that is lost is answered by a new authority for all nodes.
//! Connections that exist go on with the certificates that they began with.

mod ends;
mod strangers;

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore, ServerConfig};
use tokio::io::AsyncBufReadExt as _;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use self::ends::Joined;
pub(crate) use self::strangers::Strangers;
use super::Local;
use super::dial::Connection;
use super::wire::{ReadEnd, WriteEnd};

/// What a wire gives: both ends of a connection.
pub(crate) type Ends = (ReadEnd, WriteEnd);

/// What a node shows to the others, and whom it trusts.
pub struct PeerKeys {
    /// The certificates of the authorities whose nodes are trusted: one, or two while one takes the other's place.
    pub authorities: Vec<CertificateDer<'static>>,
    /// This node's certificate, and then what stands between it and its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the certificate.
    pub key: PrivateKeyDer<'static>,
}

/// Why keys are of no use, by the part that is at fault; each is the rest of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// An authority's certificate.
    #[error("{0}")]
    Authority(String),
    /// The node's own certificate.
    #[error("{0}")]
    Certificate(String),
    /// Its key.
    #[error("{0}")]
    Key(String),
}

/// TLS of the connections between nodes. What it goes by can be replaced while connections are made.
pub struct PeerTls {
    node_id: u64,
    configs: RwLock<Arc<Configs>>,
}

struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

/// What a dialler has shown.
pub(crate) enum Shown {
    /// Nothing, where nothing is asked for.
    Nothing,
    /// A certificate that is valid, of some node.
    Certificate(CertificateDer<'static>),
}

/// The name that a node's certificate is made out to. `.internal` is for private use: no public authority vouches for
/// it.
pub fn node_name(id: u64) -> String {
    format!("node-{id}.lastunit.internal")
}

impl PeerTls {
    /// TLS of that node.
    ///
    /// # Errors
    /// Where the others would refuse it with these keys: they do not belong together, are not in date, or are of
    /// another node or authority.
    pub fn new(node_id: u64, keys: PeerKeys) -> Result<PeerTls, Unfit> {
        let configs = RwLock::new(Arc::new(Configs::new(node_id, keys)?));
        Ok(PeerTls { node_id, configs })
    }

    /// Connections that begin from now on go by these keys.
    ///
    /// # Errors
    /// As [`PeerTls::new`]; nothing has changed then.
    pub fn replace(&self, keys: PeerKeys) -> Result<(), Unfit> {
        let configs = Arc::new(Configs::new(self.node_id, keys)?);
        *self.configs.write().unwrap_or_else(PoisonError::into_inner) = configs;
        Ok(())
    }

    fn configs(&self) -> Arc<Configs> {
        self.configs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The dialler's side. Answers only where it is that node which has been reached.
    pub(crate) async fn dial(&self, to: u64, ends: Ends) -> io::Result<Ends> {
        let name = server_name(to).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.configs().client.clone());
        let stream = connector.connect(name, Joined::of(ends)).await?;
        Ok(ends::split(TlsStream::Client(stream)))
    }

    /// The answerer's side. Which node has dialled, it says later, and [`Shown::is_of`] tells whether that is so.
    pub(crate) async fn answer(&self, ends: Ends) -> io::Result<(Ends, Shown)> {
        let acceptor = TlsAcceptor::from(self.configs().server.clone());
        let stream = acceptor.accept(Joined::of(ends)).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        // The library asks for one; who shows none may speak as no node.
        let shown = shown.cloned().ok_or_else(|| io::Error::from(io::ErrorKind::PermissionDenied))?;
        let shown = Shown::Certificate(shown);
        Ok((ends::split(TlsStream::Server(stream)), shown))
    }
}

/// The answerer's side of a connection that begins, with TLS or without, as the cluster file has it.
pub(crate) async fn answer(local: &Local, ends: Ends) -> io::Result<(Connection, Shown)> {
    if let Some(tls) = &local.tls {
        let (ends, shown) = tls.answer(ends).await.map_err(|why| local.strangers.failed(why))?;
        return Ok((Connection::of(ends), shown));
    }
    let mut connection = Connection::of(ends);
    if strangers::is_tls(connection.reader.fill_buf().await?) {
        return Err(local.strangers.speaks_tls());
    }
    Ok((connection, Shown::Nothing))
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTls").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

impl Shown {
    /// Whether it may speak as that node.
    pub(crate) fn is_of(&self, id: u64) -> bool {
        let Shown::Certificate(certificate) = self else { return true };
        let parsed = ParsedCertificate::try_from(certificate);
        let named = |parsed| verify_server_name(&parsed, &server_name(id)?);
        parsed.and_then(named).is_ok()
    }
}

impl Configs {
    fn new(node_id: u64, keys: PeerKeys) -> Result<Configs, Unfit> {
        let PeerKeys { authorities, chain, key } = keys;
        let provider = Arc::new(ring::default_provider());
        let trusted = trust(authorities)?;
        let name = server_name(node_id).map_err(certificate)?;
        let answerers = WebPkiServerVerifier::builder_with_provider(trusted.clone(), provider.clone());
        let answerers = answerers.build().map_err(authority)?;
        let diallers = WebPkiClientVerifier::builder_with_provider(trusted, provider.clone());
        let diallers = diallers.build().map_err(authority)?;
        let own = chain.first().ok_or_else(|| Unfit::Certificate("has no certificate in it".to_owned()))?;
        let now = UnixTime::now();
        answerers
            .verify_server_cert(own, &chain[1..], &name, &[], now)
            .map_err(|why| mistake(node_id, why))?;
        diallers.verify_client_cert(own, &chain[1..], now).map_err(|why| mistake(node_id, why))?;
        let client =
            client(provider.clone(), answerers, chain.clone(), key.clone_key()).map_err(key_error)?;
        let server = server(provider, diallers, chain, key).map_err(key_error)?;
        Ok(Configs { client: Arc::new(client), server: Arc::new(server) })
    }
}

fn trust(authorities: Vec<CertificateDer<'static>>) -> Result<Arc<RootCertStore>, Unfit> {
    let mut trusted = RootCertStore::empty();
    authorities.into_iter().try_for_each(|one| trusted.add(one)).map_err(authority)?;
    Ok(Arc::new(trusted))
}

fn client(
    provider: Arc<CryptoProvider>,
    answerers: Arc<WebPkiServerVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let config = config.with_webpki_verifier(answerers);
    let mut config = config.with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server(
    provider: Arc<CryptoProvider>,
    diallers: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let mut config = config.with_client_cert_verifier(diallers).with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn server_name(id: u64) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(node_name(id)).map_err(|why| Error::General(why.to_string()))
}

fn authority(why: impl fmt::Display) -> Unfit {
    Unfit::Authority(format!("is of no use as an authority: {why}"))
}

fn certificate(why: impl fmt::Display) -> Unfit {
    Unfit::Certificate(format!("is of no use: {why}"))
}

fn key_error(why: Error) -> Unfit {
    Unfit::Key(match why {
        Error::InconsistentKeys(_) => "is not the key of the certificate".to_owned(),
        why => format!("is of no use: {why}"),
    })
}

/// What the other nodes would say against this node's own certificate.
fn mistake(node_id: u64, why: Error) -> Unfit {
    Unfit::Certificate(match &why {
        Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. }) => {
            format!("is not made out to {}", node_name(node_id))
        }
        Error::InvalidCertificate(why) => said_of(why),
        why => format!("is of no use: {why}"),
    })
}

/// What is wrong with a certificate, in an operator's words.
fn said_of(why: &CertificateError) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    match why {
        Expired | ExpiredContext { .. } => "has expired".to_owned(),
        NotValidYet | NotValidYetContext { .. } => "is not valid yet".to_owned(),
        NotValidForName | NotValidForNameContext { .. } => "is another node's".to_owned(),
        UnknownIssuer => "is of another authority".to_owned(),
        why => format!("is of no use: {why}"),
    }
}

#[cfg(test)]
mod tests;
