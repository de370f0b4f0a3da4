//! The members of a running cluster are changed, by the commands that an operator gives, while buyers go on.
//!
//! The lines that a removed or an emptied node says are those of docs/operations.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use client::Client;
use client::api::{AuditVerdict, ClusterView, MembershipView};
use rand::Rng;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use support::cluster::{Cluster, IDS, free_ports, others};
use support::load::{Ledger, Load};
use support::process::{Lines, Process};
use support::program::{Ended, program};
use support::{say, wait_for};

/// The nodes that are added.
const NEW: [u64; 2] = [4, 5];

/// How many calls are answered between two changes.
const CALLS: usize = 50;

/// What the operator can mend.
const MENDABLE: i32 = 2;

/// A cluster of three with buyers, and nodes that may be added to it.
struct Drill {
    cluster: Cluster,
    ledger: Ledger,
    load: Option<Load>,
    new: BTreeMap<u64, Node>,
}

/// A node that is not one of the first three.
struct Node {
    http: String,
    raft: String,
    data_dir: PathBuf,
    lines: Lines,
    process: Option<Process>,
}

impl Drill {
    async fn start() -> Drill {
        let (cluster, mut ledger) = (Cluster::start().await, Ledger::default());
        let directory = cluster.config().parent().unwrap().to_owned();
        let ports = free_ports(2 * NEW.len());
        let node = |(id, ports): (u64, &[u16])| {
            let [http, raft] = [ports[0], ports[1]].map(|port| format!("127.0.0.1:{port}"));
            let data_dir = directory.join(id.to_string());
            (id, Node { http, raft, data_dir, lines: Lines::default(), process: None })
        };
        let new: BTreeMap<u64, Node> = NEW.into_iter().zip(ports.chunks_exact(2)).map(node).collect();
        let mut text = fs::read_to_string(cluster.config()).unwrap();
        for (id, Node { http, raft, data_dir, .. }) in &new {
            writeln!(text, "\n[[node]]\nid = {id}\nhttp = \"{http}\"\nraft = \"{raft}\"").unwrap();
            writeln!(text, "data_dir = {data_dir:?}").unwrap();
        }
        fs::write(directory.join("grown.toml"), text).unwrap();
        let load = Some(Load::start(&cluster, &mut ledger).await);
        Drill { cluster, ledger, load, new }
    }

    /// The cluster file of the nodes that are added, and of the operator: it names all five.
    fn config(&self) -> PathBuf {
        self.cluster.config().with_file_name("grown.toml")
    }

    /// Starts a node that is not one of the first three.
    fn spawn(&mut self, id: u64) {
        let config = self.config();
        let node = self.new.get_mut(&id).unwrap();
        node.lines.push("--- started".to_owned());
        node.process = Some(Process::start(serve(&config, id), &node.lines));
    }

    /// Gives a command to its end.
    async fn command(&self, line: &str) -> Ended {
        let command = self.begin(line);
        Ended::of(command.await.unwrap())
    }

    /// Gives a command, and does not wait for it.
    fn begin(&self, line: &str) -> JoinHandle<Output> {
        let mut command = program();
        command.args(line.split_whitespace()).arg("--json").arg("--config").arg(self.config());
        tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap())
    }

    /// Gives a command that is done, and answers the members that vote.
    async fn done(&self, line: &str) -> Vec<u64> {
        let ended = self.command(line).await;
        assert_eq!(ended.code, 0, "{line}: {}{}", ended.stdout, ended.stderr);
        say(line);
        voters(&ended)
    }

    /// Gives a command until it is done: what is retried was interrupted by what the test does.
    async fn done_in_the_end(&self, line: &str) {
        wait_for(line.to_owned(), async || {
            let ended = self.command(line).await;
            (ended.code == 0).then_some(())
        })
        .await;
    }

    /// Gives a command that is refused, and checks for what.
    async fn refused(&self, line: &str, code: &str) {
        let ended = self.command(line).await;
        let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        assert_eq!(
            (ended.code, &told["code"]),
            (1, &code.into()),
            "{line}: {}{}",
            ended.stdout,
            ended.stderr
        );
        assert_eq!(told["executed"], "no", "{line}");
    }

    /// Waits until buyers have had more answers.
    async fn sell(&self) {
        self.load.as_ref().unwrap().more(CALLS).await;
    }

    /// A client of one node alone.
    fn only(&self, id: u64) -> Client {
        match self.new.get(&id) {
            Some(node) => Client::new([&node.http]).unwrap(),
            None => self.cluster.only(id),
        }
    }

    /// The leader as these nodes see it, once they agree.
    async fn leader(&self, ids: &[u64]) -> u64 {
        wait_for("all agree on a leader", async || {
            let mut leaders = Vec::new();
            for id in ids {
                leaders.push(self.view(*id).await?.leader_id?);
            }
            leaders.iter().all(|leader| *leader == leaders[0]).then_some(leaders[0])
        })
        .await
    }

    async fn view(&self, id: u64) -> Option<ClusterView> {
        let call = self.only(id).cluster().tries_max(1).deadline(Duration::from_secs(2));
        call.await.ok().map(|answer| answer.value)
    }

    /// Waits until these nodes, and no others, are members for each of them, and all of them serve; and until an audit
    /// has found that all have the same state.
    async fn agree(&self, ids: &[u64]) {
        wait_for(format!("the members are {ids:?}"), async || {
            for id in ids {
                self.only(*id).ready().tries_max(1).deadline(Duration::from_secs(2)).await.ok()?;
                let members: Vec<u64> =
                    self.view(*id).await?.members.iter().map(|member| member.id).collect();
                if members != ids {
                    return None;
                }
            }
            Some(())
        })
        .await;
        wait_for("an audit is sound", async || {
            let audit = self.only(ids[0]).audit().await.ok()?.value;
            assert_ne!(audit.verdict, AuditVerdict::Broken, "{audit:?}");
            assert_eq!(audit.nodes.iter().map(|node| node.id).collect::<Vec<_>>(), ids);
            (audit.verdict == AuditVerdict::Sound).then_some(())
        })
        .await;
    }

    /// Sends the buyers home, and checks that what they were told holds, on each of the first three nodes.
    async fn check(&mut self) {
        self.load.take().unwrap().stop(&mut self.ledger).await;
        self.ledger.check(&self.cluster).await;
        say(&format!("{} calls hold", self.ledger.calls()));
    }

    /// Waits until a node has ended because it was removed, and checks what it said; likewise when it is started again.
    async fn is_gone(&mut self, id: u64) {
        let (status, said) = self.ended(id).await;
        assert_eq!(status.code(), Some(MENDABLE), "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.contains("this node was removed from the cluster, by entry"), "{said}");
        self.start_again(id);
        let (status, said) = self.ended(id).await;
        let last = said.lines().last().unwrap();
        assert_eq!(status.code(), Some(MENDABLE), "{said}");
        assert!(last.contains("refused: this node was removed from the cluster, by entry"), "{said}");
        assert!(last.contains("`lastunit member add` it"), "{said}");
    }

    fn start_again(&mut self, id: u64) {
        match self.new.contains_key(&id) {
            true => self.spawn(id),
            false => self.cluster.spawn(id),
        }
    }

    async fn ended(&mut self, id: u64) -> (ExitStatus, String) {
        match self.new.get_mut(&id) {
            None => (self.cluster.ended(id).await, self.cluster.said(id)),
            Some(node) => {
                let status = node.process.take().unwrap().wait(&format!("node {id}")).await;
                (status, node.lines.text())
            }
        }
    }

    fn kill(&mut self, id: u64) {
        match self.new.get_mut(&id) {
            None => self.cluster.kill(id),
            Some(node) => node.process.take().unwrap().kill(),
        }
    }

    /// Empties the directory of a node that does not run.
    fn wipe(&self, id: u64) {
        let of_new = self.new.get(&id).map(|node| node.data_dir.clone());
        fs::remove_dir_all(of_new.unwrap_or_else(|| self.cluster.data_dir(id))).unwrap();
    }
}

impl Drop for Drill {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (id, node) in &self.new {
                eprintln!("node {id} said last:\n{}", node.lines.text());
            }
        }
    }
}

fn serve(config: &Path, id: u64) -> Command {
    let mut command = program();
    command.args(["serve", "--exit-with-stdin", "--node", &id.to_string(), "--config"]).arg(config);
    command
}

fn voters(ended: &Ended) -> Vec<u64> {
    let view: MembershipView = serde_json::from_str(&ended.stdout).unwrap();
    view.members.iter().filter(|member| member.votes).map(|member| member.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_grows_to_five_and_back_while_buyers_go_on() {
    let mut drill = Drill::start().await;
    for id in NEW {
        drill.sell().await;
        drill.spawn(id);
        let voters = drill.done(&format!("member add {id}")).await;
        assert!(!voters.contains(&id));
        drill.sell().await;
        assert!(drill.done(&format!("member promote {id}")).await.contains(&id));
    }
    drill.agree(&[1, 2, 3, 4, 5]).await;
    // Five survive the death of two, the leader among them.
    drill.done("leader transfer --to 4").await;
    drill.kill(4);
    drill.kill(5);
    drill.sell().await;
    NEW.into_iter().for_each(|id| drill.spawn(id));
    drill.agree(&[1, 2, 3, 4, 5]).await;
    // One that leads hands over before it goes.
    drill.done("leader transfer --to 5").await;
    assert_eq!(drill.done("member remove 5").await, [1, 2, 3, 4]);
    drill.is_gone(5).await;
    drill.sell().await;
    assert_eq!(drill.done("member remove 4").await, [1, 2, 3]);
    drill.is_gone(4).await;
    drill.sell().await;
    drill.agree(&IDS).await;
    drill.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_replaced_by_a_new_one_while_buyers_go_on() {
    let mut drill = Drill::start().await;
    let dead = drill.cluster.leader().await;
    drill.sell().await;
    drill.kill(dead);
    drill.sell().await;
    drill.spawn(4);
    let left = others(dead);
    assert_eq!(drill.done(&format!("member replace {dead} 4")).await, [left[0], left[1], 4]);
    drill.agree(&[left[0], left[1], 4]).await;
    drill.sell().await;
    // It comes back, and knows nothing of what has happened.
    drill.start_again(dead);
    drill.is_gone(dead).await;
    drill.sell().await;
    // With an empty directory its id is as good as any other.
    drill.wipe(dead);
    drill.start_again(dead);
    drill.done(&format!("member add {dead}")).await;
    assert_eq!(drill.done(&format!("member replace 4 {dead}")).await, IDS);
    drill.is_gone(4).await;
    drill.sell().await;
    drill.agree(&IDS).await;
    drill.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_directory_is_removed_and_added_again() {
    let mut drill = Drill::start().await;
    let id = drill.cluster.followers().await[0];
    drill.sell().await;
    drill.kill(id);
    drill.wipe(id);
    // It takes part in nothing until an operator says so.
    drill.start_again(id);
    let (status, said) = drill.ended(id).await;
    assert_eq!(status.code(), Some(MENDABLE), "{said}");
    assert!(
        said.lines().last().unwrap().contains("`lastunit member replace` puts a new one in its place"),
        "{said}"
    );
    drill.sell().await;
    let replacing = drill.begin(&format!("member replace {id}"));
    let left = others(id);
    wait_for("it is removed", async || {
        let view = drill.view(left[0]).await?;
        (view.members.len() == 2).then_some(())
    })
    .await;
    drill.sell().await;
    drill.start_again(id);
    let ended = Ended::of(replacing.await.unwrap());
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert_eq!(voters(&ended), IDS);
    drill.sell().await;
    drill.agree(&IDS).await;
    drill.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_where_it_is_told_while_buyers_go_on() {
    let mut drill = Drill::start().await;
    for id in [1, 2, 3, 3] {
        drill.sell().await;
        drill.done(&format!("leader transfer --to {id}")).await;
        assert_eq!(drill.leader(&IDS).await, id);
    }
    drill.done("leader transfer").await;
    assert_ne!(drill.leader(&IDS).await, 3);
    drill.refused("leader transfer --to 9", "member_not_found").await;
    drill.spawn(4);
    drill.done("member add 4").await;
    drill.refused("leader transfer --to 4", "member_is_learner").await;
    assert_eq!(drill.done("member remove 4").await, IDS);
    drill.is_gone(4).await;
    drill.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_would_cost_the_quorum_or_makes_no_sense_is_refused() {
    let mut drill = Drill::start().await;
    drill.refused("member remove 3", "members_out_of_range").await;
    drill.refused("member remove 9", "member_not_found").await;
    drill.refused("member promote 9", "member_not_found").await;
    drill.refused("member replace 3 --wait 0s", "quorum_would_be_lost").await;
    let place = format!("--raft {} --http 127.0.0.1:1", drill.new[&4].raft);
    drill.refused(&format!("member add 3 {place} --wait 0s"), "member_exists").await;
    drill.refused(&format!("member add 4 {place} --wait 0s"), "member_unreachable").await;
    let taken = format!("--raft {} --http 127.0.0.1:1", drill.cluster.raft(3));
    drill.refused(&format!("member add 4 {taken} --wait 0s"), "member_exists").await;
    NEW.into_iter().for_each(|id| drill.spawn(id));
    for id in NEW {
        drill.done(&format!("member add {id}")).await;
        drill.done(&format!("member promote {id}")).await;
        // Again, it is done already.
        drill.done(&format!("member promote {id}")).await;
    }
    NEW.into_iter().for_each(|id| drill.kill(id));
    // Three of five serve; of the four that were left only two would.
    wait_for("the dead are not heard of", async || {
        let view = drill.view(drill.leader(&IDS).await).await?;
        let dead = view.members.iter().filter(|member| !member.reachable).count();
        (dead == NEW.len()).then_some(())
    })
    .await;
    drill.refused("member remove 1", "quorum_would_be_lost").await;
    assert_eq!(drill.done("member remove 4").await, [1, 2, 3, 5]);
    assert_eq!(drill.done("member remove 5").await, IDS);
    drill.sell().await;
    drill.agree(&IDS).await;
    drill.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_changes_at_once_are_made_one_after_the_other_or_one_is_refused() {
    let mut drill = Drill::start().await;
    NEW.into_iter().for_each(|id| drill.spawn(id));
    let commands = NEW.map(|id| drill.begin(&format!("member add {id}")));
    for command in commands {
        let ended = Ended::of(command.await.unwrap());
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        // A try that went unanswered leaves it unknown what was done.
        let refused = ["membership_changing", "outcome_unknown"].iter().any(|code| told["code"] == *code);
        assert!(ended.code == 0 || refused, "{}{}", ended.stdout, ended.stderr);
    }
    for id in NEW {
        drill.done_in_the_end(&format!("member add {id}")).await;
    }
    // The same of promotions, and of removals against them.
    let lines = ["member promote 4", "member remove 5", "member promote 4", "member remove 5"];
    let commands = lines.map(|line| drill.begin(line));
    for command in commands {
        let ended = Ended::of(command.await.unwrap());
        let told: Value = serde_json::from_str(&ended.stdout).unwrap();
        let codes = ["membership_changing", "member_not_found", "outcome_unknown"];
        let refused = codes.iter().any(|code| told["code"] == *code);
        assert!(ended.code == 0 || refused, "{}{}", ended.stdout, ended.stderr);
    }
    drill.done_in_the_end("member promote 4").await;
    wait_for("node 5 is removed", async || {
        let ended = drill.command("member remove 5").await;
        ended.stdout.contains("member_not_found").then_some(())
    })
    .await;
    drill.is_gone(5).await;
    drill.agree(&[1, 2, 3, 4]).await;
    assert_eq!(drill.done("member remove 4").await, IDS);
    drill.is_gone(4).await;
    drill.check().await;
}

/// Wherever it dies, what it had begun is done or not done, and the next leader ends what was half done.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_during_a_change_leaves_nothing_half_done() {
    let mut drill = Drill::start().await;
    let mut random = drill.cluster.random();
    NEW.into_iter().for_each(|id| drill.spawn(id));
    for id in NEW {
        drill.done(&format!("member add {id}")).await;
    }
    drill.done("member promote 4").await;
    // Node 4 and node 5 take each other's place, again and again; the one that is gone comes back anew.
    let (mut inside, mut outside) = (4, 5);
    for _ in 0..3 {
        let all = [1, 2, 3, inside];
        let leader = drill.leader(&all).await;
        let line = format!("member replace {inside} {outside}");
        let replacing = drill.begin(&line);
        sleep(Duration::from_millis(random.random_range(0..400))).await;
        drill.kill(leader);
        // Whatever it says, the command may be given again.
        drop(replacing.await.unwrap());
        if leader != inside {
            drill.start_again(leader);
        }
        drill.done_in_the_end(&line).await;
        if leader == inside {
            drill.start_again(leader);
        }
        drill.is_gone(inside).await;
        drill.agree(&sorted(&[1, 2, 3, outside])).await;
        drill.sell().await;
        drill.wipe(inside);
        drill.start_again(inside);
        drill.done_in_the_end(&format!("member add {inside}")).await;
        (inside, outside) = (outside, inside);
    }
    for id in NEW {
        assert!(!drill.done(&format!("member remove {id}")).await.contains(&id));
        drill.is_gone(id).await;
    }
    drill.agree(&IDS).await;
    drill.check().await;
}

fn sorted(ids: &[u64]) -> Vec<u64> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

/// Nodes that were stopped while the members changed come back to a cluster that they do not know, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_after_a_change_find_one_another() {
    let mut drill = Drill::start().await;
    NEW.into_iter().for_each(|id| drill.spawn(id));
    drill.kill(1);
    for id in NEW {
        drill.done(&format!("member add {id}")).await;
        drill.done(&format!("member promote {id}")).await;
    }
    drill.load.take().unwrap().stop(&mut drill.ledger).await;
    // The one that knows of three members, and two that were not among them: together they are a quorum of five.
    [2, 3, 4, 5].into_iter().for_each(|id| drill.kill(id));
    [1, 4, 5].into_iter().for_each(|id| drill.start_again(id));
    for id in [1, 4, 5] {
        let client = drill.only(id);
        let ready = async || client.ready().tries_max(1).deadline(Duration::from_secs(2)).await.ok();
        wait_for(format!("node {id} serves"), ready).await;
    }
    [2, 3].into_iter().for_each(|id| drill.start_again(id));
    drill.agree(&[1, 2, 3, 4, 5]).await;
    drill.ledger.check(&drill.cluster).await;
}
