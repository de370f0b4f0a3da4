//! Files of SKUs: what an import takes and refuses, and what an export gives back.

use super::*;

/// 2,000 lines, some of which cannot be done, and how many lines that are.
fn rows() -> (String, Vec<(u64, &'static str)>) {
    let mut text = "sku,on_hand,safety_stock,max_per_customer\n".to_owned();
    let mut bad = Vec::new();
    for number in 2..=2001 {
        let fault = match number {
            20 => Some(("a b,1,0,", "sku: is not 1 to 128")),
            500 => Some(("SKU-500,many,0,", "on_hand: \"many\" is not a whole number")),
            501 => Some(("SKU-501,-1,0,", "on_hand: \"-1\" is not a whole number")),
            502 => Some(("SKU-502,1", "has 2 cells, and the header 4")),
            1000 => Some(("SKU-1000,1000000000000001,0,", "on_hand: 1000000000000001 is not 0 to")),
            1001 => Some(("SKU-1001,1,0,0", "max_per_customer: 0 is not 1 to")),
            2001 => Some((",7,0,", "sku: is missing")),
            _ => None,
        };
        match fault {
            Some((line, why)) => {
                writeln!(text, "{line}").unwrap();
                bad.push((number, why));
            }
            None => writeln!(text, "SKU-{number},{number},{},{}", number % 3, limit(number)).unwrap(),
        }
    }
    (text, bad)
}

/// Every second SKU has a limit, and every fourth says so by name that it has none.
fn limit(number: u64) -> String {
    match number % 4 {
        0 => "none".to_owned(),
        1 | 3 => (number % 7 + 1).to_string(),
        _ => String::new(),
    }
}

/// A file of the test.
pub(super) fn write(directory: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

pub(super) async fn import(cluster: &Cluster, file: &Path, flags: &str) -> Ended {
    let mut command = lastunit();
    command.args(["sku", "import"]).arg(file).args(flags.split_whitespace());
    run(command.env("LASTUNIT_NODES", addresses(cluster, &IDS))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_does_what_it_can_and_names_the_rest_by_line() {
    let cluster = Cluster::start().await;
    let directory = TempDir::new().unwrap();
    let (text, bad) = rows();
    let file = write(&directory, "rows.csv", &text);
    let good = 2000 - bad.len();

    let dry = import(&cluster, &file, "--dry-run").await;
    dry.failed(1, &["7 of 2000 lines rejected"]);
    let sum = format!("dry run, nothing was changed: 2000 lines: {good} made, 7 rejected");
    assert_eq!(dry.stdout.lines().last(), Some(sum.as_str()));
    assert_eq!(cli(&cluster, "sku list --json").await.stdout, "", "a dry run changes nothing");

    let done = import(&cluster, &file, "--json --import-id i-1").await;
    done.failed(1, &["7 of 2000 lines rejected"]);
    let mut lines = done.documents();
    let sum = lines.pop().unwrap();
    assert_eq!((&sum["made"], &sum["rejected"], &sum["import_id"]), (&json!(good), &json!(7), &json!("i-1")));
    let mut told: Vec<_> = lines.iter().map(|line| (line["line"].as_u64().unwrap(), line)).collect();
    told.sort_by_key(|(number, _)| *number);
    assert_eq!(told.len(), bad.len());
    for ((number, line), (expected, why)) in told.iter().zip(&bad) {
        assert_eq!(number, expected);
        assert!(line["reason"].as_str().unwrap().starts_with(why), "{line}");
    }

    // Under the same name nothing is done twice, whatever happened since.
    assert_eq!(cli(&cluster, "sku set SKU-2 --on-hand 77").await.code, 0);
    let again = import(&cluster, &file, "--import-id i-1").await;
    assert!(again.stdout.ends_with(&format!("2000 lines: {good} done before, 7 rejected\n")), "{again:?}");
    assert_eq!(cli(&cluster, "sku get SKU-2 --json").await.json()["on_hand"], 77);
    let other = import(&cluster, &file, "--dry-run").await;
    let sum = format!("2000 lines: 1 set, {} unchanged, 7 rejected\n", good - 1);
    assert!(other.stdout.ends_with(&sum), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_comes_back_as_it_was() {
    let cluster = Cluster::start().await;
    let directory = TempDir::new().unwrap();
    let mut text = "sku,on_hand,safety_stock,max_per_customer\n".to_owned();
    for number in 1..=1200 {
        writeln!(text, "A{number:04},{number},{},{}", number % 5, limit(number).replace("none", "")).unwrap();
    }
    let file = write(&directory, "rows.csv", &text);
    assert_eq!(import(&cluster, &file, "").await.code, 0);
    let [csv, ndjson] = ["csv", "ndjson"].map(|format| directory.path().join(format!("export.{format}")));
    for path in [&csv, &ndjson] {
        let told = cli(&cluster, &format!("sku export {}", path.display())).await;
        assert_eq!((told.code, told.stdout.as_str()), (0, ""), "{told:?}");
    }
    let exported = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(exported.lines().count(), 1201);
    assert_eq!(exported.lines().nth(1), Some("A0001,1,1,2"));
    assert_eq!(exported.lines().nth(2), Some("A0002,2,2,none"));
    assert_eq!(cli(&cluster, "sku export").await.stdout, exported, "stdout is CSV, too");
    let before = cli(&cluster, "sku list --json").await.documents();

    // Everything else first, then back to what the export says.
    let spoilt: String = (1..=1200)
        .map(|n| format!("{{\"sku\":\"A{n:04}\",\"on_hand\":9,\"max_per_customer\":9}}\n"))
        .collect();
    for path in [csv, ndjson] {
        assert_eq!(import(&cluster, &write(&directory, "spoilt.ndjson", &spoilt), "").await.code, 0);
        let told = import(&cluster, &path, "").await;
        assert_eq!(told.stdout, "1200 lines: 1200 set\n", "{told:?}");
        let after = cli(&cluster, "sku list --json").await.documents();
        for (before, after) in before.iter().zip(&after) {
            for figure in ["sku", "on_hand", "safety_stock", "max_per_customer"] {
                assert_eq!(before[figure], after[figure]);
            }
        }
        assert_eq!(after.len(), 1200);
    }
    let few = cli(&cluster, "sku list --prefix A11 --limit 3").await;
    assert_eq!(few.stdout.lines().count(), 4, "{few:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_added_in_the_order_of_its_lines() {
    let cluster = Cluster::start().await;
    put(&cluster, "A", 0).await;
    // Each takes what the one before it brought: in any other order one would be refused.
    let mut text = "delta,sku,reason\n".to_owned();
    (0..100).for_each(|_| text.push_str("1,A,delivery\n-1,A,\"lost, again\"\n"));
    text.push_str("-1,A,too many\n5,B,unknown\n");
    let mut command = lastunit();
    command.args(["sku", "import", "-", "--adjust"]).env("LASTUNIT_NODES", addresses(&cluster, &IDS));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (wrote, output) = tokio::join!(
        async move { stdin.write_all(text.as_bytes()).await },
        timeout(PATIENCE, child.wait_with_output())
    );
    wrote.unwrap();
    let output = output.unwrap().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("line 202: A: stock_below_held: "), "{told}");
    assert!(told.contains("line 203: B: sku_not_found: "), "{told}");
    assert!(told.ends_with("202 lines: 200 adjusted, 2 rejected\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_without_a_cluster_gives_up_and_says_how_to_go_on() {
    let mut cluster = Cluster::start().await;
    let directory = TempDir::new().unwrap();
    let (text, _) = rows();
    let file = write(&directory, "rows.csv", &text);
    cluster.kill_all();
    let told = import(&cluster, &file, "--deadline 200ms --concurrency 4 --import-id i-2").await;
    told.failed(3, &["lines not executed", "--import-id i-2"]);
    assert!(told.stdout.lines().count() < 100, "it does not try all lines: {told:?}");
    cluster.start_all().await;
    let done = import(&cluster, &file, "--import-id i-2").await;
    assert!(done.stdout.ends_with("2000 lines: 1993 made, 7 rejected\n"), "{done:?}");
}
