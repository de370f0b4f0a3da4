//! What the cluster file may say, and how each mistake in it is told.

use super::*;

const SHIPPED: &str = include_str!("../../../cluster.toml");

fn shipped_with(from: &str, to: &str) -> String {
    assert!(SHIPPED.contains(from), "the shipped file has no {from:?}");
    SHIPPED.replacen(from, to, 1)
}

fn error_of(text: &str) -> ConfigError {
    ClusterFile::parse(text).expect_err("a mistake")
}

#[test]
fn the_shipped_file_is_three_nodes_with_the_usual_limits() {
    let file = ClusterFile::parse(SHIPPED).unwrap();
    assert_eq!(file.name, "lastunit-dev");
    assert_eq!(file.ids(), "1, 2, 3");
    assert_eq!((file.max_ttl, file.max_hold), (Duration::from_secs(1800), Duration::from_secs(1800)));
    assert_eq!(
        (file.retention, file.idempotency),
        (Duration::from_secs(86_400), Duration::from_secs(86_400))
    );
    assert_eq!((file.events_retention, file.events_max), (Duration::from_secs(86_400), 262_144));
    let second = file.node(2).unwrap();
    assert_eq!((second.http.as_str(), second.raft.as_str()), ("127.0.0.1:8102", "127.0.0.1:9102"));
    assert_eq!(second.data_dir, PathBuf::from("data/2"));
    assert_eq!(file.node(4), None);
}

#[test]
fn limits_are_read_where_given() {
    let name = "name = \"lastunit-dev\"";
    let limits = "max_ttl_seconds = 60\nmax_hold_seconds = 90\nretention_seconds = 7\nidempotency_seconds = 8\n\
                  events_retention_seconds = 9\nevents_max = 10";
    let file = ClusterFile::parse(&shipped_with(name, &format!("{name}\n{limits}\n#"))).unwrap();
    let seconds = [file.max_ttl, file.max_hold, file.retention, file.idempotency].map(|d| d.as_secs());
    assert_eq!(seconds, [60, 90, 7, 8]);
    assert_eq!((file.events_retention, file.events_max), (Duration::from_secs(9), 10));
    assert_eq!(file.hold_limits, HoldLimits::NONE);
    let most = "customer_holds_max = 1\ncustomer_units_max = 1_000_000_000_000\nhold_extensions_max = 0";
    let file = ClusterFile::parse(&shipped_with(name, &format!("{name}\n{most}\n#"))).unwrap();
    let HoldLimits { customer_holds_max, customer_units_max, hold_extensions_max } = file.hold_limits;
    let all = [customer_holds_max, customer_units_max, hold_extensions_max];
    assert_eq!(all, [Some(1), Some(1_000_000_000_000), Some(0)]);
}

#[test]
fn every_mistake_names_its_line_its_key_and_the_mend() {
    // What is replaced in the shipped file, by what; the key named; what the line says.
    let cases = [
        ("[cluster]", "[clutser]", "cluster", "is missing"),
        ("name = \"lastunit-dev\"", "", "cluster.name", "is missing"),
        ("\"lastunit-dev\"", "\"\"", "cluster.name", "is empty"),
        ("\"lastunit-dev\"", "7", "cluster.name", "is of type integer"),
        ("\"lastunit-dev\"", "\"a\\nb\"", "cluster.name", "control character"),
        ("# max_ttl_seconds = 1800", "max_ttl_seconds = 0", "cluster.max_ttl_seconds", "0 is out of range"),
        ("# max_ttl_seconds = 1800", "max_ttl_seconds = -1", "cluster.max_ttl_seconds", "-1 is out of range"),
        (
            "# customer_holds_max = 10",
            "customer_holds_max = 0",
            "cluster.customer_holds_max",
            "0 is out of range",
        ),
        (
            "# customer_units_max = 50",
            "customer_units_max = true",
            "cluster.customer_units_max",
            "type boolean",
        ),
        (
            "# hold_extensions_max = 3",
            "hold_extensions_max = 10001",
            "cluster.hold_extensions_max",
            "out of range",
        ),
        ("# max_ttl_seconds = 1800", "max_ttl_seconds = 1.5", "cluster.max_ttl_seconds", "of type float"),
        (
            "# max_ttl_seconds = 1800",
            "max_ttl_seconds = 1801",
            "cluster.max_ttl_seconds",
            "more than max_hold",
        ),
        (
            "# retention_seconds = 86400",
            "retention_seconds = 315360001",
            "cluster.retention_seconds",
            "range",
        ),
        (
            "# events_retention_seconds = 86400",
            "events_retention_seconds = 0",
            "cluster.events_retention_seconds",
            "0 is out of range",
        ),
        ("# events_max = 262144", "events_max = 0", "cluster.events_max", "0 is out of range"),
        ("# events_max = 262144", "events_max = 16777217", "cluster.events_max", "out of range"),
        ("# max_ttl_seconds", "max_tll_seconds", "cluster.max_tll_seconds", "is not a key of this file"),
        ("id = 1", "", "node[1].id", "is missing"),
        ("id = 1", "id = 0", "node[1].id", "is 0"),
        ("id = 1", "id = 99999999999999999999", "node[1].id", "out of range"),
        ("id = 1", "id = \"1\"", "node[1].id", "is of type string"),
        ("id = 2", "id = 1", "node[2].id", "another node has the id 1"),
        ("http = \"127.0.0.1:8102\"", "", "node[2].http", "is missing"),
        ("127.0.0.1:8102", "127.0.0.1", "node[2].http", "not a host and a port"),
        ("127.0.0.1:8102", "127.0.0.1:0", "node[2].http", "not a host and a port"),
        ("127.0.0.1:8102", "127.0.0.256:8102", "node[2].http", "not a host and a port"),
        ("127.0.0.1:8102", "http://a:80", "node[2].http", "not a host and a port"),
        ("127.0.0.1:8102", "127.0.0.1:8101", "node[2].http", "stands in this file twice"),
        ("127.0.0.1:9103", "127.0.0.1:8103", "node[3].raft", "stands in this file twice"),
        ("raft = \"127.0.0.1:9103\"", "", "node[3].raft", "is missing"),
        ("data_dir = \"data/3\"", "", "node[3].data_dir", "is missing"),
        ("data_dir = \"data/3\"", "data_dir = \"data/2\"", "node[3].data_dir", "another node of this host"),
        ("data_dir = \"data/3\"", "data_dir = \"data/3\"\nzone = \"a\"", "node[3].zone", "is not a key"),
    ];
    for (from, to, key, what) in cases {
        let error = error_of(&shipped_with(from, to));
        assert_eq!(error.key, key, "{from} -> {to}: {error}");
        let line = error.to_string();
        assert!(line.contains(what), "{from} -> {to}: {line}");
        assert!(!error.mend.is_empty() && !line.contains('\n'), "{line}");
    }
}

#[test]
fn a_mistake_reads_as_one_line_of_plain_words() {
    let error =
        ConfigError { file: Some("cluster.toml".into()), ..error_of(&shipped_with("id = 2", "id = 1")) };
    let told = "cluster.toml, line 25, key `node[2].id`: another node has the id 1; give each node its own";
    assert_eq!(error.to_string(), told);
}

#[test]
fn three_to_five_nodes_make_a_cluster() {
    let cluster = "[cluster]\nname = \"n\"\n";
    for count in 0..=7 {
        let nodes: String = (1..=count)
            .map(|n| format!("[[node]]\nid={n}\nhttp=\"h{n}:1\"\nraft=\"h{n}:2\"\ndata_dir=\"d\"\n"))
            .collect();
        let parsed = ClusterFile::parse(&format!("{cluster}{nodes}"));
        match parsed {
            Ok(file) => assert!((3..=5).contains(&count) && file.nodes.len() == count),
            Err(error) => assert!(!(3..=5).contains(&count) && error.key == "node", "{error}"),
        }
    }
}

#[test]
fn hosts_may_have_names_and_ipv6_addresses() {
    for (address, good) in [
        ("lastunit-1.internal:8101", true),
        ("localhost:1", true),
        ("[::1]:8101", true),
        ("localhost:65536", false),
        ("local host:1", false),
        (":8101", false),
        ("::1:8101", false),
    ] {
        assert_eq!(is_address(address), good, "{address}");
    }
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let error = error_of("[cluster]\nname = lastunit\n");
    assert_eq!((error.line, error.key.as_str()), (Some(2), ""));
    let twice = error_of("[cluster]\nname = \"a\"\nname = \"b\"\n");
    assert_eq!(twice.line, Some(3), "{twice}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = ClusterFile::load(Path::new("no/such/cluster.toml")).expect_err("no file");
    assert!(error.to_string().starts_with("no/such/cluster.toml: cannot be read"), "{error}");
}

/// The shipped file with such a section.
fn with_tls(lines: &str) -> String {
    format!("{SHIPPED}\n[tls]\n{lines}\n")
}

#[test]
fn tls_is_for_both_ports_by_files_of_one_directory_unless_it_is_said_otherwise() {
    let tls = |lines: &str| ClusterFile::parse(&with_tls(lines)).unwrap().tls.unwrap();
    let path = |named: &Named| (named.key.clone(), named.path.display().to_string());
    let plain = tls("");
    assert!(plain.http && plain.peers);
    let files = plain.files(2);
    assert_eq!(path(&files.ca), ("tls.dir".to_owned(), "tls/ca.pem".to_owned()));
    assert_eq!(files.http, files.peers);
    assert_eq!(files.peers.each_ref().map(|named| path(named).1), ["tls/node-2.pem", "tls/node-2.key"]);
    let told = tls("dir = \"d\"\nhttp_cert = \"all.pem\"\nhttp_key = \"all.key\"\n\
                    [[tls.node]]\nid = 2\ncert = \"2.pem\"\nkey = \"2.key\"\n\
                    [[tls.node]]\nid = 3\nhttp_cert = \"3.pem\"\nhttp_key = \"3.key\"");
    let names = |id| {
        let NodeFiles { peers, http, .. } = told.files(id);
        [path(&peers[0]).1, path(&http[0]).1]
    };
    assert_eq!(
        [1, 2, 3].map(names),
        [["d/node-1.pem", "all.pem"], ["2.pem", "all.pem"], ["d/node-3.pem", "3.pem"]]
    );
    assert_eq!(path(&told.files(2).peers[1]).0, "tls.node[1].key");
    assert_eq!(ClusterFile::parse(SHIPPED).unwrap().tls, None);
}

#[test]
fn clients_trust_the_authority_of_the_file_where_nodes_show_what_it_has_made() {
    for (lines, scheme, ca) in [
        ("", "https", Some("tls/ca.pem")),
        ("ca = \"a.pem\"", "https", Some("a.pem")),
        ("http = false", "http", None),
        ("http_cert = \"a\"\nhttp_key = \"b\"", "https", None),
    ] {
        let file = ClusterFile::parse(&with_tls(lines)).unwrap();
        assert_eq!((file.scheme(), file.client_ca()), (scheme, ca.map(PathBuf::from)), "{lines}");
    }
    assert_eq!(ClusterFile::parse(SHIPPED).unwrap().scheme(), "http");
}

#[test]
fn every_mistake_in_tls_names_its_key_and_the_mend() {
    for (lines, key, what) in [
        ("dir = 7", "tls.dir", "is of type integer"),
        ("dir = \"\"", "tls.dir", "is empty"),
        ("http = \"yes\"", "tls.http", "is of type string"),
        ("http = false\npeers = false", "tls.http", "is false, and so is peers"),
        ("cert = \"a\"", "tls.cert", "is not a key of this file"),
        ("http_cert = \"a\"", "tls.http_key", "is missing"),
        ("http_key = \"a\"", "tls.http_cert", "is missing"),
        ("node = 7", "tls.node", "is of type integer"),
        ("[[tls.node]]\ncert = \"a\"", "tls.node[1].id", "is missing"),
        ("[[tls.node]]\nid = 7", "tls.node[1].id", "no [[node]] has the id 7"),
        ("[[tls.node]]\nid = 1\ncert = \"a\"", "tls.node[1].key", "is missing"),
        ("[[tls.node]]\nid = 1\nzone = \"a\"", "tls.node[1].zone", "is not a key of this file"),
    ] {
        let error = error_of(&with_tls(lines));
        assert_eq!(error.key, key, "{lines}: {error}");
        let line = error.to_string();
        assert!(line.contains(what) && !error.mend.is_empty() && !line.contains('\n'), "{lines}: {line}");
    }
}
