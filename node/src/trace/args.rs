//! The flags of traces.

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use super::Tracer;
use super::export::Exporter;
use super::span::Resource;

/// Where OTLP wants spans to be posted.
const TRACES: &str = "/v1/traces";

/// The flags of traces.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TraceArgs {
    /// Export spans to this collector, by OTLP over HTTP in JSON, such as http://localhost:4318. None unless given.
    #[arg(long, value_name = "URL", env = "LASTUNIT_OTLP", value_parser = parse_collector)]
    otlp: Option<Uri>,
    /// Of the calls that come without a traceparent, the part that is traced all the same: 0 for none, 1 for all. One
    /// that comes with it is traced where its sampled flag is set.
    #[arg(long, value_name = "RATIO", default_value_t = 1.0, env = "LASTUNIT_OTLP_RATIO", value_parser = parse_ratio)]
    otlp_ratio: f64,
}

impl TraceArgs {
    /// What traces the calls of that node.
    pub(crate) fn tracer(&self, cluster: &str, node_id: u64) -> Tracer {
        let resource = || Resource { cluster: cluster.to_owned(), node_id };
        match &self.otlp {
            Some(collector) => Tracer::to(Exporter::start(collector.clone(), resource()), self.otlp_ratio),
            None => Tracer::default(),
        }
    }
}

/// The address of the collector's traces.
fn parse_collector(given: &str) -> Result<Uri, String> {
    let why = "not an address such as http://localhost:4318";
    let mut parts = given.parse::<Uri>().map_err(|_| why.to_owned())?.into_parts();
    match parts.scheme.as_ref().map(|scheme| scheme.as_str()) {
        // The address is in log lines: it must not have a password in it.
        Some("http") if parts.authority.as_ref().is_some_and(|it| !it.as_str().contains('@')) => {}
        Some("https") => return Err("only http:// is spoken; run a collector on this machine".to_owned()),
        _ => return Err(why.to_owned()),
    }
    let path = parts.path_and_query.as_ref().map_or("", |path| path.path()).trim_end_matches('/');
    let path = if path.ends_with(TRACES) { path.to_owned() } else { format!("{path}{TRACES}") };
    parts.path_and_query = Some(path.parse::<PathAndQuery>().map_err(|_| why.to_owned())?);
    Uri::from_parts(parts).map_err(|_| why.to_owned())
}

fn parse_ratio(given: &str) -> Result<f64, String> {
    let ratio = given.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "not a number from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_an_address_with_or_without_its_path() {
        for (given, address) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("http://c:4318/otlp/", "http://c:4318/otlp/v1/traces"),
            ("http://c:4318/v1/traces", "http://c:4318/v1/traces"),
        ] {
            assert_eq!(parse_collector(given).unwrap().to_string(), address);
        }
        for bad in [
            "",
            "localhost:4318",
            "https://c:4318",
            "/v1/traces",
            "http://",
            "ftp://c",
            "http://me:secret@c:4318",
        ] {
            assert!(parse_collector(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_from_0_to_1() {
        assert_eq!((parse_ratio("0"), parse_ratio("0.25"), parse_ratio("1")), (Ok(0.0), Ok(0.25), Ok(1.0)));
        for bad in ["", "-1", "1.1", "NaN", "all"] {
            assert!(parse_ratio(bad).is_err(), "{bad}");
        }
    }
}
