//! The operator's own commands: this very program, as somebody at a shell runs it.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::process::Command;

/// What all variables of lastunit begin with: those of whoever started the prover are meant for another cluster.
const VARIABLES: &str = "LASTUNIT_";

/// Runs commands.
#[derive(Debug, Clone)]
pub(super) struct Commands {
    program: PathBuf,
}

/// A command that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undone {
    /// Its exit code, where it ended by itself.
    pub(super) code: Option<i32>,
    /// Its last line on stderr.
    pub(super) line: String,
    /// The command and what it said.
    pub(super) why: String,
}

impl Commands {
    /// Those of that program.
    pub(super) fn of(program: PathBuf) -> Commands {
        Commands { program }
    }

    /// Runs a command with `--json`, showing that token where there is one, and answers its document. The process ends
    /// with whoever waits for it.
    pub(super) async fn run(&self, arguments: &[&str], token: Option<&str>) -> Result<Value, Undone> {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--json").stdin(Stdio::null()).kill_on_drop(true).process_group(0);
        let variables = std::env::vars_os().map(|(name, _)| name);
        for name in variables.filter(|name| name.to_string_lossy().starts_with(VARIABLES)) {
            command.env_remove(name);
        }
        command.envs(token.map(|token| ("LASTUNIT_TOKEN", token)));
        let called = || format!("lastunit {}", arguments.join(" "));
        match command.output().await {
            Ok(output) => read(&output).ok_or_else(|| undone(&called(), &output)),
            Err(cause) => {
                Err(Undone { code: None, line: String::new(), why: format!("{}: {cause}", called()) })
            }
        }
    }
}

fn read(output: &Output) -> Option<Value> {
    let text = output.status.success().then_some(&output.stdout)?;
    serde_json::from_slice(text).ok()
}

fn undone(called: &str, output: &Output) -> Undone {
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.trim().lines().last().unwrap_or_default().to_owned();
    let why = format!("{called}: {}: {}", output.status, said.trim());
    Undone { code: output.status.code(), line, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_or_tells_no_document_was_not_done() {
        let sh = Commands::of("/bin/sh".into());
        assert_eq!(sh.run(&["-c", "echo '{\"a\":1}'"], None).await.unwrap()["a"], 1);
        let shown = sh.run(&["-c", "echo \"\\\"$LASTUNIT_TOKEN\\\"\""], Some("lu_x")).await;
        assert_eq!(shown, Ok(Value::from("lu_x")));
        let failed = sh.run(&["-c", "echo no >&2; exit 3"], None).await.unwrap_err();
        assert!(failed.code == Some(3) && failed.why.ends_with(": no"), "{failed:?}");
        assert_eq!(failed.line, "no");
        assert!(sh.run(&["-c", "echo none"], None).await.is_err());
        assert_eq!(Commands::of("/nowhere".into()).run(&[], None).await.unwrap_err().code, None);
    }
}
