//! The binary as a command line: how it ended and what it said.

use std::process::{Command, Output};

use serde_json::Value;

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// What the system tells of a process that ended by itself.
    pub(crate) fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code().expect("it ends by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The JSON documents on stdout, one a line.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The binary, with nothing of our own environment that would change what it does.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastunit"));
    let ours = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_string_lossy().starts_with("LASTUNIT_"));
    // Which bug is planted is no setting, but what is tested.
    for name in ours.filter(|name| name != "LASTUNIT_PLANTED") {
        command.env_remove(name);
    }
    command
}
