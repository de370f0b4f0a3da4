//! `lastunit man`: the manual pages, made from the very command line that is parsed.

use std::path::PathBuf;

use clap_mangen::Man;

use super::failure::Failure;
use super::{EXIT_FAILED, out};

/// Write the manual pages: this program's to stdout, or one for each command into a directory.
///
/// Such as: `lastunit man --dir /usr/local/share/man/man1`, and then `man lastunit-sku-set`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the pages of all commands go; it must be there.
    #[arg(long, value_name = "DIR", env = "LASTUNIT_MAN_DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, line: clap::Command) -> Result<(), Failure> {
    match &args.dir {
        Some(dir) => {
            let cannot =
                |cause| Failure::new(EXIT_FAILED, format!("cannot write to {}: {cause}", dir.display()));
            clap_mangen::generate_to(line, dir).map_err(cannot)
        }
        None => {
            let mut page = Vec::new();
            Man::new(line).render(&mut page).map_err(super::unheard)?;
            out::text(&String::from_utf8_lossy(&page))
        }
    }
}
