//! A backup of one node, taken and verified by the commands for it, and held against what clients know.

use std::fs;

use serde_json::Value;

use super::cluster::Cluster;
use super::commands::Undone;
use super::keys::Part;
use super::operation::NO_DOCUMENT;
use super::recorder::Recorder;

/// How the line begins that says that there is none: no quorum answered in time. Other faults may be under way. What
/// else ends with that code, such as a file that cannot be written, has lines of its own.
const NOT_EXECUTED: &str = "lastunit: not executed: ";
/// The exit code beside it.
const NOT_EXECUTED_CODE: Option<i32> = Some(3);
/// How long a node may take to begin.
const DEADLINE: &str = "30s";

/// Takes a backup of that node. Answers whether there was one; an error says what is wrong with it.
pub(super) async fn take(cluster: &Cluster, recorder: &Recorder, node: u64) -> Result<bool, String> {
    let file = cluster.data.join("prove.backup");
    let acknowledged = recorder.acknowledged();
    let taken = fetch(cluster, node, &file.to_string_lossy()).await;
    let checked = match taken {
        Ok(Some(taken)) => check(cluster, &file.to_string_lossy(), &taken, acknowledged).await.map(|()| true),
        Ok(None) => Ok(false),
        Err(why) => Err(why),
    };
    // Where there is none there is nothing to remove.
    let _ = fs::remove_file(&file);
    checked
}

async fn fetch(cluster: &Cluster, node: u64, file: &str) -> Result<Option<Value>, String> {
    let keys = cluster.wire.keys();
    let (url, ca) = (cluster.url(node), cluster.data.join("tls/ca.pem"));
    let ca = ca.to_string_lossy();
    let mut arguments = vec!["backup", "--to", file, "--nodes", &url, "--deadline", DEADLINE];
    if keys.ca.is_some() {
        arguments.extend(["--ca", &ca]);
    }
    let token = keys.tokens.get(&Part::Operator).map(|token| token.text.as_str());
    match cluster.commands.run(&arguments, token).await {
        Ok(taken) => Ok(Some(taken)),
        Err(undone) if is_of_no_quorum(&undone) => Ok(None),
        Err(undone) => Err(undone.why),
    }
}

/// Whether a cluster may say so that is well, or has no leader for now.
fn is_of_no_quorum(undone: &Undone) -> bool {
    let why = undone.line.strip_prefix(NOT_EXECUTED).filter(|_| undone.code == NOT_EXECUTED_CODE);
    why.is_some_and(|why| !why.contains(NO_DOCUMENT))
}

/// It is whole, says the same when it is read again, and has all that was acknowledged before it was asked for.
async fn check(cluster: &Cluster, file: &str, taken: &Value, acknowledged: u64) -> Result<(), String> {
    let verified =
        cluster.commands.run(&["backup", "verify", file], None).await.map_err(|undone| undone.why)?;
    if verified != *taken {
        return Err(format!(
            "a backup is of {taken} when it is taken, and of {verified} when it is read again"
        ));
    }
    let sequence = taken["sequence"].as_u64().ok_or("a backup without a sequence")?;
    if sequence < acknowledged {
        return Err(format!(
            "a backup ends with {sequence}; {acknowledged} was acknowledged before it was asked for"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cluster_without_a_quorum_may_give_no_backup_and_no_other_failure_of_that_code() {
        for (code, line, is_of_no_quorum) in [
            (3, "lastunit: not executed: 503 no_quorum: The leader cannot reach one. (tries: 9)", true),
            (3, "lastunit: not executed: no node began to send a backup within 30s", true),
            (3, "lastunit: not executed: status 500 without a problem document (tries: 9)", false),
            (3, "lastunit: cannot write the backup: No space left on device", false),
            (3, "lastunit: invalid answer: status 418: not a problem document: ", false),
            (1, "lastunit: refused: forbidden: The token is not for this.", false),
            (4, "lastunit: not executed: ", false),
        ] {
            let undone = Undone { code: Some(code), line: line.to_owned(), why: String::new() };
            assert_eq!(super::is_of_no_quorum(&undone), is_of_no_quorum, "{line}");
        }
    }
}
