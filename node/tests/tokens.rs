//! Who may make which call: every route by every role, through a real server; tokens made, revoked and taken notice of
//! while it runs; and what is served where there are none.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use client::api::PutSkuRequest;
use client::{Client, Error, code};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use support::cluster::{Cluster, free_places};
use support::http::{self, Reply};
use support::program::{Ended, program};
use support::{PATIENCE, wait_for};

const ROLES: [&str; 4] = ["read", "checkout", "stock", "admin"];

/// A call, and which of the roles may make it.
type Row = (&'static str, &'static str, &'static str, [bool; 4]);

const RESERVE: &str = r#"{"cart_id":"c","items":[{"sku":"X","qty":1}]}"#;
const ID: &str = r#"{"reservation_id":"res_00000000000000000000000000"}"#;
const OF_CHECKOUT: [bool; 4] = [false, true, false, true];
const OF_STOCK: [bool; 4] = [false, false, true, true];
const OF_READ: [bool; 4] = [true, false, false, true];
const OF_ALL: [bool; 4] = [true; 4];

const OF_ADMIN: [bool; 4] = [false, false, false, true];

const TABLE: [Row; 27] = [
    ("POST", "/api/checkout/reserve", RESERVE, OF_CHECKOUT),
    ("POST", "/api/checkout/commit", ID, OF_CHECKOUT),
    ("POST", "/api/checkout/release", ID, OF_CHECKOUT),
    ("POST", "/api/checkout/extend", ID, OF_CHECKOUT),
    ("POST", "/api/checkout/return", ID, OF_CHECKOUT),
    ("GET", "/api/reservations", "", OF_READ),
    ("GET", "/api/reservations/res_00000000000000000000000000", "", [true, true, false, true]),
    ("GET", "/api/inventory", "", OF_ALL),
    ("GET", "/api/inventory/X", "", OF_ALL),
    ("PUT", "/api/inventory/X", r#"{"on_hand":9}"#, OF_STOCK),
    ("DELETE", "/api/inventory/NONE", "", OF_STOCK),
    ("POST", "/api/inventory/X/adjust", r#"{"delta":1}"#, OF_STOCK),
    (
        "POST",
        "/api/batch",
        r#"{"operations":[{"op":"adjust","sku":"NONE","delta":1}]}"#,
        [false, true, true, true],
    ),
    ("GET", "/api/events", "", OF_READ),
    ("GET", "/api/cluster", "", OF_READ),
    ("GET", "/api/audit", "", OF_ADMIN),
    ("HEAD", "/api/audit", "", OF_ADMIN),
    ("GET", "/api/cluster/backup", "", OF_ADMIN),
    ("POST", "/api/cluster/members", "{}", OF_ADMIN),
    ("POST", "/api/cluster/members/9/promote", "", OF_ADMIN),
    ("POST", "/api/cluster/members/9/replace", "{}", OF_ADMIN),
    ("DELETE", "/api/cluster/members/9", "", OF_ADMIN),
    ("POST", "/api/cluster/leader", "{\"to\":9}", OF_ADMIN),
    ("GET", "/metrics", "", OF_READ),
    // What no route answers is nobody's to learn without a token, and everybody's with one.
    ("GET", "/api/none", "", OF_ALL),
    ("PATCH", "/api/inventory/X", "", OF_STOCK),
    ("POST", "/api/cluster", "{}", OF_ADMIN),
];

const OPEN: [&str; 4] = ["/livez", "/readyz", "/openapi.json", "/docs"];

/// A tokens file, changed by the commands.
struct Tokens {
    path: PathBuf,
    _scratch: TempDir,
}

impl Tokens {
    fn new() -> Tokens {
        let scratch = tempfile::tempdir().unwrap();
        Tokens { path: scratch.path().join("tokens.toml"), _scratch: scratch }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(program().arg("token").args(arguments).arg("--tokens").arg(&self.path).output().unwrap())
    }

    fn make(&self, roles: &str) -> String {
        let ended = self.run(&["new", "--role", roles, "--name", "of a test"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        ended.stdout.trim().to_owned()
    }

    fn setting(&self) -> String {
        format!("tokens = {:?}", self.path)
    }
}

/// The answer to a call with that token, or with none.
async fn ask(address: &str, (method, path, body, _): Row, token: Option<&str>) -> Reply {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let headers = format!("Content-Type: application/json\r\n{authorization}");
    http::call(address, method, path, &headers, body.as_bytes()).await
}

/// Whether an address is one of that path, in which `{..}` stands for any name.
fn is_at(address: &str, path: &str) -> bool {
    let (address, path) = (address.split('/'), path.split('/'));
    address.clone().count() == path.clone().count()
        && address.zip(path).all(|(given, known)| given == known || known.starts_with('{'))
}

fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_those_roles_that_may_and_nobody_else() {
    let tokens = Tokens::new();
    let of_roles = ROLES.map(|role| tokens.make(role));
    let revoked = tokens.make("admin");
    let cluster = Cluster::start_with(&tokens.setting()).await;
    let address = cluster.http(2);
    assert_eq!(tokens.run(&["revoke", id(&revoked)]).code, 0);
    wait_for("the revoked token is refused", async || {
        (ask(address, TABLE[14], Some(&revoked)).await.status == 401).then_some(())
    })
    .await;
    let mut pairs = 0;
    for row in TABLE {
        let wrong = format!("{}A", &of_roles[3]);
        for token in [None, Some(&wrong), Some(&revoked)] {
            let reply = ask(address, row, token.map(String::as_str)).await;
            assert_eq!(reply.status, 401, "{row:?}");
            assert!(row.0 == "HEAD" || reply.code() == code::UNAUTHENTICATED, "{row:?}");
            let challenge = reply.header("www-authenticate").unwrap();
            assert_eq!(challenge.contains("invalid_token"), token.is_some(), "{challenge}");
            pairs += 1;
        }
        for (token, may) in of_roles.iter().zip(row.3) {
            let reply = ask(address, row, Some(token)).await;
            assert_eq!(![401, 403].contains(&reply.status), may, "{row:?} {token} {reply:?}");
            pairs += 1;
        }
    }
    for path in OPEN {
        assert_eq!(http::get(address, path).await.status, 200, "{path}");
    }
    let document = http::get(address, "/openapi.json").await.json();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let known = TABLE.iter().any(|row| row.0.eq_ignore_ascii_case(method) && is_at(row.1, path));
            assert!(known || OPEN.contains(&path.as_str()), "nobody asked who may {method} {path}");
        }
    }
    support::say(&format!("{pairs} pairs of a call and a token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_and_the_client_show_a_token() {
    let tokens = Tokens::new();
    let (stock, checkout) = (tokens.make("stock,read"), tokens.make("checkout"));
    let admin = tokens.make("admin");
    let cluster = Cluster::start_with(&tokens.setting()).await;
    let client = Client::builder().token(&stock).build([cluster.http(1)]).unwrap();
    client.put_sku("X", &PutSkuRequest { on_hand: 5, ..Default::default() }).await.unwrap();
    let without = Client::new([cluster.http(1)]).unwrap().sku("X").await;
    let Err(Error::Refused(refusal)) = without else { panic!("{without:?}") };
    assert_eq!(refusal.problem.code, code::UNAUTHENTICATED);
    let reserve = |token: Option<&str>| {
        let mut command = program();
        command.args(["reserve", "c-1", "X=1", "--nodes", cluster.http(1)]);
        if let Some(token) = token {
            command.env("LASTUNIT_TOKEN", token);
        }
        Ended::of(command.output().unwrap())
    };
    assert_eq!(reserve(Some(&checkout)).code, 0);
    for (token, told) in [(None, code::UNAUTHENTICATED), (Some(stock.as_str()), code::FORBIDDEN)] {
        let ended = reserve(token);
        assert!(ended.code == 1 && ended.stderr.contains(told), "{ended:?}");
    }
    let bench = program()
        .args(["bench", "mixed", "--connections", "4", "--count", "200", "--warm-up", "0s", "--skus", "10"])
        .args(["--nodes", cluster.http(1)])
        .env("LASTUNIT_TOKEN", admin)
        .output();
    let ended = Ended::of(bench.unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// What a planted secret must not be found in: whatever the commands and the nodes say, and their files.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told_twice() {
    let tokens = Tokens::new();
    let made = tokens.make("checkout");
    let secret = made.splitn(3, '_').nth(2).unwrap();
    assert_eq!(secret.len(), 43);
    for ended in [tokens.run(&["list"]), tokens.run(&["list", "--json"]), tokens.run(&["revoke", "00000000"])]
    {
        assert!(!format!("{ended:?}").contains(secret), "{ended:?}");
    }
    assert!(!fs::read_to_string(&tokens.path).unwrap().contains(secret));
    let cluster = Cluster::start_with(&tokens.setting()).await;
    let payment = "tok_planted_4242424242424242";
    let commit =
        format!(r#"{{"reservation_id":"res_00000000000000000000000000","payment_token":"{payment}"}}"#);
    let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {made}\r\n");
    for body in [commit.as_str(), &commit[..commit.len() - 1], RESERVE] {
        let reply =
            http::call(cluster.http(1), "POST", "/api/checkout/commit", &headers, body.as_bytes()).await;
        let told = format!("{reply:?}");
        assert!(!told.contains(secret) && !told.contains(payment), "{told}");
    }
    let metrics = http::call(cluster.http(1), "GET", "/metrics", &headers, b"").await;
    for told in [format!("{metrics:?}"), cluster.said(1)] {
        assert!(!told.contains(secret) && !told.contains(payment), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tokens_other_machines_are_not_served_unless_it_is_spelled_out() {
    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("cluster.toml");
    let mut text = "[cluster]\nname = \"open\"\n".to_owned();
    for (id, place) in (1..).zip(free_places()) {
        let http = place.http.replace("127.0.0.1", "0.0.0.0");
        let data_dir = scratch.path().join(format!("{id}"));
        text += &format!(
            "[[node]]\nid = {id}\nhttp = {http:?}\nraft = {:?}\ndata_dir = {data_dir:?}\n",
            place.raft
        );
    }
    fs::write(&config, &text).unwrap();
    let refused = serve(&config, &[]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("key `http` of node 1") && refused.stderr.contains("--insecure-no-auth"));
    let tokens = Tokens::new();
    tokens.make("read");
    let both = serve(&config, &["--insecure-no-auth", "--tokens", tokens.path.to_str().unwrap()]);
    assert!(both.code == 2 && both.stderr.contains("leave out one of the two"), "{both:?}");
    let none = serve(&config, &["--tokens", "/nowhere/tokens.toml"]);
    assert!(none.code == 2 && none.stderr.contains("/nowhere/tokens.toml"), "{none:?}");
    for flags in [vec!["--insecure-no-auth"], vec!["--tokens", tokens.path.to_str().unwrap()]] {
        let mut command = tokio::process::Command::from(program());
        command.args(["serve", "--config"]).arg(&config).args(["--node", "1"]).args(flags).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let address = text.split("http = \"0.0.0.0:").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let address = format!("127.0.0.1:{address}");
        wait_for("it serves", async || http::try_call(&address, "GET", "/livez", "").await).await;
        child.kill().await.unwrap();
    }
}

fn serve(config: &Path, flags: &[&str]) -> Ended {
    Ended::of(
        program().args(["serve", "--config"]).arg(config).args(["--node", "1"]).args(flags).output().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_tokens_file_changes_nothing_while_a_node_runs() {
    let tokens = Tokens::new();
    let read = tokens.make("read");
    let cluster = Cluster::start_with(&tokens.setting()).await;
    let good = fs::read(&tokens.path).unwrap();
    fs::write(&tokens.path, "[[token]]\nid = 7\n").unwrap();
    wait_for("it says so", async || {
        cluster.said(2).contains("the tokens of before stay valid").then_some(())
    })
    .await;
    assert_eq!(ask(cluster.http(2), TABLE[14], Some(&read)).await.status, 200);
    fs::write(&tokens.path, good).unwrap();
    let stock = tokens.make("stock");
    wait_for("a new token is taken notice of", async || {
        (ask(cluster.http(2), TABLE[10], Some(&stock)).await.status == 404).then_some(())
    })
    .await;
}

/// A stream that was open when its token was revoked, by which a dismissed reader would go on reading.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_is_revoked() {
    let tokens = Tokens::new();
    let (read, stock) = (tokens.make("read"), tokens.make("stock"));
    let cluster = Cluster::start_with(&tokens.setting()).await;
    let mut stream = TcpStream::connect(cluster.http(3)).await.unwrap();
    let head = format!(
        "GET /api/events HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: text/event-stream\r\n\
         Authorization: Bearer {read}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 1024];
    assert!(stream.read(&mut first).await.unwrap() > 0);
    assert_eq!(tokens.run(&["revoke", id(&read)]).code, 0);
    wait_for("the revoked token is refused", async || {
        (ask(cluster.http(3), TABLE[14], Some(&read)).await.status == 401).then_some(())
    })
    .await;
    let put =
        ask(cluster.http(3), ("PUT", "/api/inventory/SECRET", r#"{"on_hand":1}"#, OF_STOCK), Some(&stock))
            .await;
    assert_eq!(put.status, 201, "{put:?}");
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the stream ends").unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains("SECRET"));
}

#[test]
fn tokens_made_and_revoked_at_once_are_all_kept() {
    let tokens = Tokens::new();
    let gone = tokens.make("read");
    let made = std::thread::scope(|scope| {
        let making: Vec<_> = (0..6).map(|_| scope.spawn(|| tokens.make("read"))).collect();
        assert_eq!(tokens.run(&["revoke", id(&gone)]).code, 0);
        making.into_iter().map(|made| id(&made.join().unwrap()).to_owned()).collect::<BTreeSet<_>>()
    });
    let listed = tokens.run(&["list", "--json"]).documents();
    let listed: BTreeSet<_> = listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, made);
}

/// A node that runs as another user than whoever gives the command must still be able to read the file.
#[test]
fn a_changed_file_stays_its_owners_and_a_link_stays_one() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let tokens = Tokens::new();
    tokens.make("read");
    if std::os::unix::fs::chown(&tokens.path, Some(12_345), Some(12_345)).is_err() {
        support::say("SKIPPED the owner of a tokens file: this user may give no file away");
        return;
    }
    fs::set_permissions(&tokens.path, fs::Permissions::from_mode(0o640)).unwrap();
    let link = tokens.path.with_file_name("link.toml");
    symlink(&tokens.path, &link).unwrap();
    let ended = program().args(["token", "new", "--role", "stock", "--tokens"]).arg(&link).output().unwrap();
    assert_eq!(Ended::of(ended).code, 0);
    let file = fs::metadata(&tokens.path).unwrap();
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (12_345, 12_345, 0o640));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(tokens.run(&["list", "--json"]).documents().len(), 2);
}
