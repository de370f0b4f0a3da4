//! Both sides of the TLS between nodes over a pipe in memory: who gets through, and what is said of who does not.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use storage::peers::Promised;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::transport::frame::{self, Kind, Sender};

/// An authority, as `lastunit cert` makes one.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// In which years a certificate is valid.
type Years = (i32, i32);

const VALID: Years = (2000, 2100);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// What it gives to the node of that name, for these years.
    fn keys(&self, name: &str, years: Years) -> PeerKeys {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        PeerKeys { authorities: vec![self.certificate.clone()], chain, key }
    }

    fn node(&self, id: u64) -> PeerKeys {
        self.keys(&node_name(id), VALID)
    }
}

/// A connection over the loopback: what the dialler has of it, and the answerer.
async fn connection() -> (Ends, Ends) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    let ends = |stream: TcpStream| {
        let (reader, writer) = stream.into_split();
        (Box::new(reader) as ReadEnd, Box::new(writer) as WriteEnd)
    };
    (ends(ours.unwrap()), ends(theirs.unwrap().0))
}

/// TLS that trusts that authority and shows these keys, however bad they are.
fn careless(trusted: &Authority, shown: PeerKeys) -> PeerTls {
    let provider = Arc::new(ring::default_provider());
    let trusted = trust(vec![trusted.certificate.clone()]).unwrap();
    let answerers = WebPkiServerVerifier::builder_with_provider(trusted.clone(), provider.clone());
    let diallers = WebPkiClientVerifier::builder_with_provider(trusted, provider.clone()).build().unwrap();
    let PeerKeys { chain, key, .. } = shown;
    let client = client(provider.clone(), answerers.build().unwrap(), chain.clone(), key.clone_key());
    let server = server(provider, diallers, chain, key);
    let configs = Configs { client: Arc::new(client.unwrap()), server: Arc::new(server.unwrap()) };
    PeerTls { node_id: 0, configs: RwLock::new(Arc::new(configs)) }
}

/// What both sides make of each other, where the dialler wants node 2.
async fn meet(dialler: &PeerTls, answerer: &PeerTls) -> (io::Result<Ends>, io::Result<(Ends, Shown)>) {
    let (ours, theirs) = connection().await;
    tokio::join!(dialler.dial(2, ours), answerer.answer(theirs))
}

/// What the answerer says against a dialler.
fn refused<T>(answered: io::Result<T>) -> String {
    Strangers::default().failed(answered.err().expect("refused")).to_string()
}

async fn send(writer: &mut WriteEnd, bytes: &[u8]) {
    writer.write_all(bytes).await.unwrap();
    writer.flush().await.unwrap();
}

#[tokio::test]
async fn nodes_of_one_authority_speak_and_each_knows_who_the_other_is() {
    let ours = Authority::new("ours");
    let (one, two) = (PeerTls::new(1, ours.node(1)).unwrap(), PeerTls::new(2, ours.node(2)).unwrap());
    let (dialled, answered) = meet(&one, &two).await;
    let (mut back, mut forth) = dialled.unwrap();
    let ((mut reader, mut writer), shown) = answered.unwrap();
    assert_eq!([1, 2, 3, 11].map(|id| shown.is_of(id)), [true, false, false, false]);
    let large = vec![7; 16 << 20];
    let (mut there, mut here) = (vec![0; large.len()], vec![0; large.len()]);
    // Both directions at once, each with more than the sockets take.
    let (read, read_back, (), ()) = tokio::join!(
        reader.read_exact(&mut there),
        back.read_exact(&mut here),
        send(&mut forth, &large),
        send(&mut writer, &large)
    );
    assert_eq!((read.unwrap(), read_back.unwrap()), (large.len(), large.len()));
    assert!(there == large && here == large);
    drop(forth);
    assert_eq!(reader.read(&mut [0]).await.unwrap(), 0, "as without TLS, dropping the writing end is an end");
    send(&mut writer, b"more").await;
    let mut more = [0; 4];
    back.read_exact(&mut more).await.unwrap();
    assert_eq!(&more, b"more", "and the other direction goes on");
}

#[tokio::test]
async fn a_dialler_with_a_wrong_certificate_is_refused_and_it_is_said_why() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let two = PeerTls::new(2, ours.node(2)).unwrap();
    for (shown, why) in [
        (theirs.node(1), "its certificate is of another authority"),
        (Authority::new("ours").node(1), "its certificate is of"),
        (ours.keys(&node_name(1), (2000, 2001)), "its certificate has expired"),
        (ours.keys(&node_name(1), (2099, 2100)), "its certificate is not valid yet"),
    ] {
        let (_, answered) = meet(&careless(&ours, shown), &two).await;
        let said = refused(answered);
        assert!(said.contains(why), "{why}: {said}");
    }
    let (_, answered) = meet(&careless(&ours, ours.node(3)), &two).await;
    let (_, shown) = answered.unwrap();
    assert!(shown.is_of(3) && !shown.is_of(1), "node 3 does not speak as node 1");
}

#[tokio::test]
async fn a_dialler_without_a_certificate_or_without_tls_is_refused() {
    let ours = Authority::new("ours");
    let two = PeerTls::new(2, ours.node(2)).unwrap();
    let mut nothing = careless(&ours, ours.node(1));
    let provider = Arc::new(ring::default_provider());
    let trusted = trust(vec![ours.certificate.clone()]).unwrap();
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).unwrap();
    let config = config.with_root_certificates(trusted).with_no_client_auth();
    let configs = nothing.configs();
    nothing.configs =
        RwLock::new(Arc::new(Configs { client: Arc::new(config), server: configs.server.clone() }));
    let (_, answered) = meet(&nothing, &two).await;
    assert_eq!(refused(answered), "it shows no certificate");

    let ((_reader, mut writer), theirs) = connection().await;
    let frame = frame::seal(Kind::Hello, 0, sender(), &[7; 100]).unwrap();
    let ((), answered) = tokio::join!(send(&mut writer, &frame), two.answer(theirs));
    assert!(refused(answered).starts_with("it does not speak TLS"));
    assert!(!strangers::is_tls(&frame));
}

#[tokio::test]
async fn how_tls_begins_is_known_where_none_is_spoken() {
    let ours = Authority::new("ours");
    let one = PeerTls::new(1, ours.node(1)).unwrap();
    let (dialler, (mut reader, writer)) = connection().await;
    let mut start = [0; 3];
    let answering = async {
        reader.read_exact(&mut start).await.unwrap();
        drop((reader, writer));
    };
    let (dialled, ()) = tokio::join!(one.dial(2, dialler), answering);
    assert!(dialled.is_err());
    assert!(strangers::is_tls(&start), "{start:?}");
}

#[tokio::test]
async fn whoever_answers_in_a_nodes_place_is_refused() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let one = PeerTls::new(1, ours.node(1)).unwrap();
    for (shown, kind) in [
        (theirs.node(2), CertificateError::UnknownIssuer),
        (ours.keys(&node_name(2), (2000, 2001)), CertificateError::Expired),
        (ours.node(3), CertificateError::NotValidForName),
    ] {
        let (dialled, _) = meet(&one, &careless(&ours, shown)).await;
        let why = dialled.err().expect("refused");
        let Some(Error::InvalidCertificate(found)) = why.get_ref().and_then(|why| why.downcast_ref()) else {
            panic!("{kind:?}: {why}");
        };
        assert_eq!(said_of(found), said_of(&kind));
        Strangers::default().note_dialled(2, &why);
    }
}

#[test]
fn a_node_does_not_start_with_what_the_others_would_refuse() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let other_key = PeerKeys { key: ours.node(1).key, ..ours.node(1) };
    let nothing = PeerKeys { chain: Vec::new(), ..ours.node(1) };
    let foreign = PeerKeys { authorities: vec![theirs.certificate.clone()], ..ours.node(1) };
    let nobody = PeerKeys { authorities: Vec::new(), ..ours.node(1) };
    let certificate = |what: &str| Unfit::Certificate(what.to_owned());
    for (keys, unfit) in [
        (ours.node(2), certificate("is not made out to node-1.lastunit.internal")),
        (ours.keys(&node_name(1), (2000, 2001)), certificate("has expired")),
        (ours.keys(&node_name(1), (2099, 2100)), certificate("is not valid yet")),
        (foreign, certificate("is of another authority")),
        (nothing, certificate("has no certificate in it")),
        (other_key, Unfit::Key("is not the key of the certificate".to_owned())),
    ] {
        assert_eq!(PeerTls::new(1, keys).err(), Some(unfit));
    }
    assert!(matches!(PeerTls::new(1, nobody), Err(Unfit::Authority(_))));
}

#[tokio::test]
async fn replaced_keys_count_for_the_next_connection_and_bad_ones_change_nothing() {
    let (ours, next) = (Authority::new("ours"), Authority::new("next"));
    let both = |mut keys: PeerKeys| {
        keys.authorities = vec![ours.certificate.clone(), next.certificate.clone()];
        keys
    };
    let (one, two) = (PeerTls::new(1, ours.node(1)).unwrap(), PeerTls::new(2, ours.node(2)).unwrap());
    // Everybody trusts both, then everybody shows what is of the next, then nobody trusts the first any more.
    for (id, tls, keys) in [
        (1, &one, both(ours.node(1))),
        (2, &two, both(ours.node(2))),
        (2, &two, both(next.node(2))),
        (1, &one, both(next.node(1))),
        (1, &one, next.node(1)),
        (2, &two, next.node(2)),
    ] {
        tls.replace(keys).unwrap();
        let (dialled, answered) = meet(&one, &two).await;
        assert!(dialled.is_ok() && answered.unwrap().1.is_of(1), "after node {id}");
    }
    assert!(one.replace(ours.node(2)).is_err());
    let (dialled, answered) = meet(&one, &two).await;
    assert!(dialled.is_ok() && answered.is_ok());
}

fn sender() -> Sender {
    Sender { wall_ms: 0, promised: Promised { term: 0, node: 0, entries: 0 } }
}
