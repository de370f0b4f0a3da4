//! Log lines on stderr: for people, with colours on a terminal, or as JSON for programs.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// The environment variable that says which lines are written.
pub(crate) const FILTER_VARIABLE: &str = "LASTUNIT_LOG";

/// What is written where it says nothing: this system's own news, and its dependencies' troubles. A node that is
/// down is no news ten times a second, which is how often openraft warns of it.
pub(crate) const FILTER_DEFAULT: &str = "info,openraft=error,sled=warn";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object on each line.
    Json,
}

/// Sends this process's log lines to stderr from here on.
pub(crate) fn init(format: LogFormat) -> Result<(), String> {
    let filter = given_filter()?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let begun = match format {
        LogFormat::Human => lines.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| format!("cannot begin to log: {error}"))
}

/// Which log lines are written, as the environment says.
///
/// # Errors
/// In one line that names the variable and the mend.
pub(crate) fn given_filter() -> Result<EnvFilter, String> {
    let given = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    filter(&given)
        .map_err(|error| format!("{FILTER_VARIABLE}={given:?}: {error}; write such as info,raft=debug"))
}

fn filter(given: &str) -> Result<EnvFilter, ParseError> {
    match given.trim() {
        "" => EnvFilter::builder().parse(FILTER_DEFAULT),
        given => EnvFilter::builder().parse(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_what_was_given_or_the_default() {
        assert_eq!(filter(" ").unwrap().to_string(), filter(FILTER_DEFAULT).unwrap().to_string());
        assert_eq!(filter("warn").unwrap().to_string(), "warn");
        assert!(filter("raft=loud").is_err());
    }
}
