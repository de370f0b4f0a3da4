//! Makes the cluster's own authority, and the certificates of its nodes.
//!
//! The authority vouches for nodes and for nothing else: its name is random, it is in nobody's system store, and what
//! it makes is made out to one node's id, and to the hosts at which that node is reached.

use std::net::IpAddr;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use raft::{PeerKeys, PeerTls, node_name};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, Error, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode;

use crate::clock;
use crate::config::NodeConfig;

/// How this machine itself reaches a node that runs on it.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What all names of authorities begin with; a random number follows.
const NAME: &str = "lastunit authority";

/// An authority, with its key in memory.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    /// The certificate.
    pub(crate) cert: String,
    /// Its key.
    pub(crate) key: String,
}

impl Authority {
    /// A new one, that lasts so many days, with its certificate and its key.
    ///
    /// # Errors
    /// Where no key can be made.
    pub(crate) fn new(days: u32) -> Result<(Authority, Pair), Error> {
        let key = KeyPair::generate()?;
        let mut params = authority_params(&format!("{NAME} {:08x}", rand::random::<u32>()));
        valid_for(&mut params, days);
        let pair = Pair { cert: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
        Ok((Authority { issuer: Issuer::new(params, key) }, pair))
    }

    /// The one of this certificate and key.
    ///
    /// # Errors
    /// In words, where either is not one that [`Authority::new`] has made.
    pub(crate) fn load(cert: &str, key: &str) -> Result<Authority, String> {
        let der = CertificateDer::from_pem_slice(cert.as_bytes());
        let der = der.map_err(|_| "the authority's certificate is not PEM".to_owned())?;
        let name = subject(&der).ok_or("the authority is not one that lastunit cert new has made")?;
        // The library's own text may quote the file.
        let key = KeyPair::from_pem(key).map_err(|_| "the authority's key is not PEM".to_owned())?;
        Ok(Authority { issuer: Issuer::new(authority_params(&name), key) })
    }

    /// Makes the certificate of a node, that lasts so many days and is made out to these further hosts.
    ///
    /// # Errors
    /// Where a host is not a name or an address, or no key can be made.
    pub(crate) fn issue(&self, node: &NodeConfig, hosts: &[String], days: u32) -> Result<Pair, Error> {
        let mut params = CertificateParams::new(names(node, hosts))?;
        params.distinguished_name.push(DnType::CommonName, node_name(node.id));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, days);
        let key = KeyPair::generate()?;
        Ok(Pair { cert: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }
}

/// What a node says of its own certificate at its start.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence.
pub(crate) fn check(id: u64, ca: &str, pair: &Pair) -> Result<(), String> {
    let authorities: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca.as_bytes()).collect();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pair.cert.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes());
    let (Ok(authorities), Ok(chain), Ok(key)) = (authorities, chain, key) else {
        return Err("is not PEM".to_owned());
    };
    PeerTls::new(id, PeerKeys { authorities, chain, key }).map(drop).map_err(|unfit| unfit.to_string())
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// From yesterday on, since clocks differ.
fn valid_for(params: &mut CertificateParams, days: u32) {
    let day = |days: i64| {
        let today = Timestamp::from_millisecond(clock::wall_ms().cast_signed()).unwrap_or_default();
        let date = today.to_zoned(TimeZone::UTC).date().saturating_add(days.days());
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (day(-1), day(i64::from(days)));
}

/// The name in the certificate of an authority of ours.
fn subject(der: &CertificateDer<'_>) -> Option<String> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    let name = certificate.tbs_certificate.subject.to_string();
    name.strip_prefix("CN=").filter(|name| name.starts_with(NAME)).map(str::to_owned)
}

/// All that a node's certificate is made out to. An address at which it listens for all is none to call it at.
fn names(node: &NodeConfig, hosts: &[String]) -> Vec<String> {
    let mut names = vec![node_name(node.id)];
    let own = [&node.http, &node.raft].into_iter().filter_map(|address| address.rsplit_once(':'));
    let own = own.map(|(host, _)| host.trim_matches(['[', ']']));
    for host in own.chain(hosts.iter().map(String::as_str)).chain(LOOPBACK) {
        let is_all = host.parse().is_ok_and(|address: IpAddr| address.is_unspecified());
        if !is_all && !host.is_empty() && !names.iter().any(|name| name == host) {
            names.push(host.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_out_to_all_by_which_a_node_is_reached() {
        let node = |http: &str, raft: &str| NodeConfig {
            id: 2,
            http: http.to_owned(),
            raft: raft.to_owned(),
            data_dir: "d".into(),
        };
        let all = |node: NodeConfig, hosts: &[&str]| {
            let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
            names(&node, &hosts).join(" ")
        };
        let local = "localhost 127.0.0.1 ::1";
        for (node, hosts, told) in [
            (node("127.0.0.1:1", "127.0.0.1:2"), &[][..], "127.0.0.1 localhost ::1"),
            (node("0.0.0.0:1", "[::]:2"), &["shop.example"], &format!("shop.example {local}")),
            (
                node("[fd00::1]:1", "b.internal:2"),
                &["10.0.0.1"],
                &format!("fd00::1 b.internal 10.0.0.1 {local}"),
            ),
        ] {
            assert_eq!(all(node, hosts), format!("node-2.lastunit.internal {told}"));
        }
    }

    #[test]
    fn an_authority_is_the_same_when_it_comes_from_its_files() {
        let (_, pair) = Authority::new(10).unwrap();
        assert!(Authority::load(&pair.cert, &pair.key).is_ok());
        assert!(Authority::load("none", &pair.key).is_err());
        let quoted = Authority::load(&pair.cert, &pair.key[..60]).err().unwrap();
        assert!(!quoted.contains(&pair.key[30..50]), "{quoted}");
    }
}
