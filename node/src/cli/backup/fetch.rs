//! A backup from whichever node sends one to its end.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use client::{Client, Download, Error};
use indicatif::ProgressBar;
use tokio::time::timeout;

use crate::cli::failure::{EXIT_NOT_EXECUTED, Failure};
use crate::cli::{bar, out};

/// How often it is begun anew at least where a node breaks off, however few nodes are named.
const TRIES_MIN: usize = 3;

/// Why a try came to nothing.
enum Broken {
    /// The node went away: another one may not.
    Off(Error),
    /// There is no use in another try.
    ForGood(Failure),
}

/// Writes a backup to that file. A node that breaks off is followed by another one, from the beginning.
pub(super) async fn fetch(
    client: &Client,
    deadline: Option<Duration>,
    file: &File,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let mut tries_left = client.nodes().max(TRIES_MIN);
    loop {
        let download = begin(client, deadline).await?;
        match receive(download, file, progress).await {
            Ok(()) => return Ok(()),
            Err(Broken::ForGood(failure)) => return Err(failure),
            Err(Broken::Off(error)) => {
                tries_left -= 1;
                if tries_left == 0 {
                    return Err(error.into());
                }
                progress.suspend(|| out::complain(&format!("begins anew with another node: {error}")));
            }
        }
    }
}

async fn begin(client: &Client, deadline: Option<Duration>) -> Result<Download, Failure> {
    let Some(deadline) = deadline else { return Ok(client.backup().await?) };
    match timeout(deadline, client.backup()).await {
        Ok(download) => Ok(download?),
        Err(_) => {
            let line = format!("not executed: no node began to send a backup within {deadline:?}");
            Err(Failure::new(EXIT_NOT_EXECUTED, line))
        }
    }
}

async fn receive(mut download: Download, mut file: &File, progress: &ProgressBar) -> Result<(), Broken> {
    let unwritten = |cause| Broken::ForGood(Failure::system("cannot write the backup")(cause));
    file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).map_err(unwritten)?;
    bar::bytes(progress, download.bytes(), "received");
    while let Some(piece) = download.piece().await.map_err(Broken::Off)? {
        file.write_all(&piece).map_err(unwritten)?;
        progress.inc(piece.len() as u64);
    }
    Ok(())
}
