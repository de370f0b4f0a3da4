//! `lastunit completions`: what a shell needs to complete our command lines.

use clap_complete::{Shell, generate};

use super::failure::Failure;
use super::out;

/// Write the completions of a shell.
///
/// Such as: `lastunit completions bash > /etc/bash_completion.d/lastunit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell.
    shell: Shell,
}

pub(super) fn run(args: &Args, mut line: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut line, "lastunit", &mut script);
    out::text(&String::from_utf8_lossy(&script))
}
