//! The subcommands that talk to a cluster, over the client crate.
//!
//! What they tell goes to stdout, in lines that a program may read; how far they are, and errors, go to stderr.
//! Exit code 0: done. 1: it failed. 2: it was asked wrongly.

pub(crate) mod sale;
pub(crate) mod up;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// It failed.
pub(crate) const EXIT_FAILED: u8 = 1;
/// It was asked wrongly.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Ctrl-C or SIGTERM. While one of these is there, neither ends the process by itself.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens from now on.
    fn new() -> std::io::Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Resolves at the next of them.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
        }
    }
}

/// Writes to stdout. Who closed it does not want to hear more, so an error is no failure.
fn tell(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Says on stderr, in one line, why the command ends.
fn fail(code: u8, why: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("lastunit: {why}");
    ExitCode::from(code)
}

/// The program whose `serve` runs a node: this one.
fn this_program() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|cause| format!("cannot tell where this program is: {cause}"))
}

/// Where to call a node that listens at that address: one that listens on all addresses is called on the loopback.
fn dial(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0" | "", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_address_for_all_is_dialled_on_the_loopback() {
        let table = [
            ("127.0.0.1:8101", "127.0.0.1:8101"),
            ("0.0.0.0:8101", "127.0.0.1:8101"),
            ("[::]:8101", "[::1]:8101"),
            ("[::1]:8101", "[::1]:8101"),
            ("shop.example:80", "shop.example:80"),
        ];
        for (listen, dial) in table {
            assert_eq!(super::dial(listen), dial);
        }
    }
}
