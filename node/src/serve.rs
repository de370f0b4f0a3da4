//! `lastunit serve`: one node in the foreground, from its cluster file to its exit code.
//!
//! ```text
//!   cluster file -> http listener -> storage and raft -> serving
//!        2              2               2 or 1             |  SIGTERM, SIGINT, or the end of stdin where asked:
//!                                                          |    finish calls -> hand over, checkpoint -> 0
//!                                                          |  a fatal failure of storage or raft:
//!                                                          |    say why, serve nothing more -> 1
//!                                                          |  the cluster refuses the directory: likewise -> 2
//!                                                          |  no room on the disk:
//!                            ^                             \    let go of everything --.
//!                            |                                                        |
//!                            '--- there is room <--- answer 503 to everybody <--------'
//! ```
//!
//! Exit code 2: what was asked for cannot be had, and the line on stderr names the key and the mend. Exit code 1:
//! this node failed.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;
use raft::{Group, GroupOptions, Member, StartError, Stop, StopKind, Tuning};
use storage::StorageError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::access::AccessArgs;
use crate::auth::Access;
use crate::clock::SystemClock;
use crate::config::{ClusterFile, NodeConfig, SettingArgs, Settings};
use crate::http::{self, Api, Door};
use crate::lab::Lab;
use crate::logs::{self, LogFormat};
use crate::supervisor;
use crate::threads::ConnectionThreads;
use crate::tls::Tls;
use crate::trace::{TraceArgs, Tracer};
use crate::tuning::TuningArgs;

/// It failed.
const EXIT_FAILED: u8 = 1;
/// What was asked for cannot be had.
const EXIT_USAGE: u8 = 2;

/// How often it is looked whether there is room on the disk by now.
const ROOM_AFTER: Duration = Duration::from_secs(1);

/// How long a start is put off at most that failed although there seemed to be room: a file system may lack other
/// things than free bytes, such as inodes or this user's quota.
const ROOM_AFTER_MAX: Duration = Duration::from_secs(30);

/// How long handing leadership over and writing the checkpoint may take.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(30);

/// Runs one node of a cluster file in the foreground.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The cluster file.
    #[arg(long, value_name = "FILE", default_value = "cluster.toml", env = "LASTUNIT_CONFIG")]
    config: PathBuf,
    /// Which node of the file this process is, by its id.
    #[arg(long, value_name = "ID", env = "LASTUNIT_NODE")]
    node: u64,
    /// How log lines are written on stderr; which ones, LASTUNIT_LOG says, such as `info,raft=debug`.
    #[arg(long, value_enum, default_value_t = LogFormat::Human, env = "LASTUNIT_LOG_FORMAT")]
    log_format: LogFormat,
    /// Stop in order at the end of stdin, as on SIGTERM.
    #[arg(long, hide = true, env = "LASTUNIT_EXIT_WITH_STDIN", value_parser = BoolishValueParser::new())]
    exit_with_stdin: bool,
    /// Let whoever holds stdin make the wall clock wrong and hurt the disk, as `lastunit prove` does.
    #[arg(long, hide = true, env = "LASTUNIT_LAB", value_parser = BoolishValueParser::new(), requires = "exit_with_stdin")]
    lab: bool,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    trace: TraceArgs,
    #[command(flatten)]
    tuning: TuningArgs,
}

/// Why a node ends other than in order.
#[derive(Debug)]
struct Failure {
    code: u8,
    why: String,
}

/// Runs the node until it is told to stop, or fails.
pub(crate) async fn run(args: Args) -> ExitCode {
    match node(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, why }) => {
            say_last(&why);
            ExitCode::from(code)
        }
    }
}

/// Says why the process ends. Nobody gets a word in after that: what fails because of it would only bury it.
fn say_last(why: &str) {
    let mut stderr = io::stderr().lock();
    // Where nobody listens there is nobody to tell.
    let _ = writeln!(stderr, "lastunit: {why}");
    std::mem::forget(stderr);
}

async fn node(args: Args) -> Result<(), Failure> {
    logs::init(args.log_format).map_err(usage)?;
    #[cfg(feature = "planted-bugs")]
    let bug = planted_bug()?;
    let settings = Settings::new(Some(args.node), &args.settings);
    let file = ClusterFile::load_with(&args.config, &settings).map_err(usage)?;
    let Some(node) = file.node(args.node) else {
        let (asked, config, ids) = (args.node, args.config.display(), file.ids());
        return Err(usage(format!("--node {asked}: {config} has no such node; choose one of {ids}")));
    };
    // Asked for first, so that a signal during the start is obeyed after it.
    let lab = Lab::new(args.lab);
    let mut stop = pin!(stop(args.exit_with_stdin, lab.clone()).map_err(failed)?);
    let tls = Tls::open(&file, node.id).map_err(usage)?;
    let threads = ConnectionThreads::start();
    let threads = Arc::new(threads.map_err(|error| failed(format!("cannot start its threads: {error}")))?);
    let mut listener = listen(node, &tls, &threads).await?;
    let access = args.access.open(&file).map_err(usage)?;
    args.access.check(&access, node, listener.listener()).map_err(usage)?;
    warn_of_others(node, &tls);
    // They take notice of changed tokens and certificates for as long as the process lives.
    tokio::spawn(access.clone().watch());
    tokio::spawn(tls.clone().watch());
    let tracer = args.trace.tracer(&file.name, node.id);
    let options = options(&file, node, args.tuning.tuning());
    let mut started = start(node, &options, &lab, &tls).await?;
    supervisor::ready(node.id, matches!(started, Started::Serving(_)));
    let mut pause = ROOM_AFTER;
    #[cfg(feature = "planted-bugs")]
    warn_of(bug);
    loop {
        let began = Instant::now();
        let why = match started {
            Started::Serving(group) => {
                match serve(&file, node, &access, (&tls, &tracer), listener, group, stop.as_mut()).await? {
                    Ended::InOrder => {
                        tracer.flush().await;
                        return Ok(());
                    }
                    Ended::OutOfSpace(why) => {
                        listener = listen(node, &tls, &threads).await?;
                        why
                    }
                }
            }
            Started::OutOfSpace(why) => why,
        };
        pause = next_pause(pause, began.elapsed());
        tracing::error!(node = node.id, "out of space, waiting for room: {why}");
        started = tokio::select! {
            biased;
            () = stop.as_mut() => return Ok(()),
            started = start_when_there_is_room(node, &options, &lab, &tls, listener, pause) => started?,
        };
        listener = listen(node, &tls, &threads).await?;
    }
}

/// Which planted bug this process has. Nobody shall take such a build for one that can be used.
#[cfg(feature = "planted-bugs")]
fn planted_bug() -> Result<Option<&'static str>, Failure> {
    use storage::planted::{VARIABLE, choice};
    choice().map_err(|asked| usage(format!("{VARIABLE}: {asked} is no planted bug; see docs/guarantees.md")))
}

#[cfg(feature = "planted-bugs")]
fn warn_of(bug: Option<&str>) {
    match bug {
        Some(bug) => tracing::error!("this node has a planted bug, {bug}: it may lose or break all it holds"),
        None => tracing::warn!("this build has planted bugs, though none was chosen: it is for tests alone"),
    }
}

/// How a start ended.
enum Started {
    /// The group takes part.
    Serving(Group),
    /// There was no room on the disk, in words.
    OutOfSpace(String),
}

/// How serving ended.
enum Ended {
    /// Told to stop, and all is done.
    InOrder,
    /// There was no room on the disk, in words; everything was let go of.
    OutOfSpace(String),
}

async fn start(node: &NodeConfig, options: &GroupOptions, lab: &Lab, tls: &Tls) -> Result<Started, Failure> {
    match Group::start_secured(lab.disk(), tls.peers(), options.clone(), Arc::new(SystemClock)).await {
        Ok(group) => {
            tracing::info!(node = node.id, http = node.http, raft = node.raft, "serving");
            Ok(Started::Serving(group))
        }
        Err(StartError::Storage(full)) if full.is_out_of_space() => Ok(Started::OutOfSpace(full.to_string())),
        Err(error) => Err(not_started(node, error)),
    }
}

/// How long to wait before the next start, after one whose group has served for so long.
fn next_pause(last: Duration, served: Duration) -> Duration {
    if served > ROOM_AFTER_MAX { ROOM_AFTER } else { ROOM_AFTER_MAX.min(last * 2) }
}

/// Refuses everybody until there is room and the group has started again, which is a recovery as after a crash. However
/// much room there seems to be, it is not tried before the pause is over.
async fn start_when_there_is_room(
    node: &NodeConfig,
    options: &GroupOptions,
    lab: &Lab,
    tls: &Tls,
    listener: Door,
    pause: Duration,
) -> Result<Started, Failure> {
    let (done, waiting) = oneshot::channel::<()>();
    let starting = async {
        wait_for_room(options, lab, pause).await;
        tracing::info!(node = node.id, "there is room again");
        let started = start(node, options, lab, tls).await;
        drop(done);
        started
    };
    let refusing = http::serve(listener, http::full(), async {
        // Its end is the message.
        let _ = waiting.await;
    });
    tokio::join!(starting, refusing).0
}

async fn wait_for_room(options: &GroupOptions, lab: &Lab, pause: Duration) {
    sleep(pause).await;
    while !has_room(options, lab).await {
        sleep(ROOM_AFTER).await;
    }
}

/// Asked on a thread of its own: a disk that hangs shall hold up no answer.
async fn has_room(options: &GroupOptions, lab: &Lab) -> bool {
    let (options, disk) = (options.clone(), lab.disk());
    tokio::task::spawn_blocking(move || raft::has_room_on(disk, &options)).await.unwrap_or(false)
}

/// Serves until told to stop, or until the group ends.
async fn serve(
    file: &ClusterFile,
    node: &NodeConfig,
    access: &Access,
    (tls, tracer): (&Tls, &Tracer),
    listener: Door,
    group: Group,
    stop: impl Future<Output = ()>,
) -> Result<Ended, Failure> {
    let api = Api::new(group.clone(), file.name.clone(), node.id, file.max_ttl.as_secs());
    let reads = file.rate_limits.share_of_reads(file.nodes.len());
    let api = api.guarded_by(access.clone()).reads_at_most(reads).traced_by(tracer.clone());
    let api = api.with_certificates(tls.ends());
    let (drain, mut ended) = (api.drain(), Ended::InOrder);
    let ending = async {
        tokio::select! {
            why = fatal(&group, |kind| kind == StopKind::OutOfSpace) => ended = Ended::OutOfSpace(why.to_string()),
            () = stop => {}
        }
        drain.begin();
    };
    tokio::select! {
        // A failure outranks a stop in order: what failed must not be called finished.
        biased;
        why = fatal(&group, |kind| kind != StopKind::OutOfSpace) => return Err(stopped(node, &why)),
        () = http::serve(listener, api.service(), ending) => {}
    }
    tracing::info!("no call is in flight any more; letting go of the group");
    // From here on Raft stops because it is told to, which is no failure.
    match timeout(SHUTDOWN_TIME_MAX, group.shutdown()).await {
        Ok(left) => left.map(|()| ended).map_err(failed),
        Err(_) => {
            Err(failed(format!("node {} did not end within {} s", node.id, SHUTDOWN_TIME_MAX.as_secs())))
        }
    }
}

/// Resolves when the group ends for a reason of such a kind.
async fn fatal(group: &Group, is_meant: impl Fn(StopKind) -> bool) -> Stop {
    let stop = group.fatal().await;
    match is_meant(stop.kind) {
        true => stop,
        false => std::future::pending().await,
    }
}

/// Whose fault it is that the group has ended: as of a failed start.
fn stopped(node: &NodeConfig, why: &Stop) -> Failure {
    let what = format!("node {} stops: {why}", node.id);
    match why.kind {
        StopKind::Refused => usage(what),
        StopKind::OutOfSpace | StopKind::Failed => failed(what),
    }
}

/// Without TLS the nodes' own port asks nobody who is there.
fn warn_of_others(node: &NodeConfig, tls: &Tls) {
    let local = |address: &SocketAddr| address.ip().is_loopback();
    if tls.peers().is_none() && !node.raft.parse().as_ref().is_ok_and(local) {
        let what = "whoever reaches the nodes' own port may speak as a node: keep it on a network of theirs alone, \
             or give the cluster file a [tls]";
        tracing::warn!(node = node.id, raft = node.raft, "{what}");
    }
}

async fn listen(node: &NodeConfig, tls: &Tls, threads: &Arc<ConnectionThreads>) -> Result<Door, Failure> {
    let listener = http::bind(&node.http).await.map_err(|error| {
        let NodeConfig { id, http, .. } = node;
        usage(format!("cannot listen on {http} (key `http` of node {id}): {error}; {}", address_mend(&error)))
    })?;
    Ok(Door::new(listener, tls.http()).served_by(Arc::clone(threads)))
}

fn address_mend(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop the process that uses it, or choose another port",
        io::ErrorKind::PermissionDenied => "choose a port of 1024 or more",
        _ => "choose an address of this machine",
    }
}

fn options(file: &ClusterFile, node: &NodeConfig, tuning: Tuning) -> GroupOptions {
    let member = |node: &NodeConfig| Member { id: node.id, http: node.http.clone(), raft: node.raft.clone() };
    GroupOptions {
        cluster_name: file.name.clone(),
        node_id: node.id,
        members: file.nodes.iter().map(member).collect(),
        data_dir: node.data_dir.clone(),
        retention: file.retention,
        idempotency_retention: file.idempotency,
        max_hold: file.max_hold,
        events_retention: file.events_retention,
        events_max: file.events_max,
        limits: file.hold_limits,
        rates: file.rate_limits.of_commands(),
        tuning,
    }
}

/// Whose fault a failed start is: the configuration's, which can be mended, or this node's.
fn not_started(node: &NodeConfig, error: StartError) -> Failure {
    let NodeConfig { id, data_dir, .. } = node;
    match error {
        StartError::Listen { ref source, .. } => usage(format!("{error}; {}", address_mend(source))),
        StartError::Storage(StorageError::Refused { .. }) => usage(error),
        StartError::Storage(StorageError::Io { ref source, .. }) if is_of_configuration(source) => {
            let mend = "name a directory that this user may write";
            usage(format!("{error}; key `data_dir` of node {id} is {}: {mend}", data_dir.display()))
        }
        error => failed(format!("node {id} does not start: {error}")),
    }
}

/// Whether a directory that cannot be used is the operator's choice, rather than a failing disk.
fn is_of_configuration(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        ReadOnlyFilesystem,
    };
    matches!(
        error.kind(),
        AlreadyExists
            | InvalidFilename
            | IsADirectory
            | NotADirectory
            | NotFound
            | PermissionDenied
            | ReadOnlyFilesystem
    )
}

/// Resolves at SIGTERM, at SIGINT, and at the end of stdin where asked.
fn stop(with_stdin: bool, lab: Lab) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let why = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = end_of_stdin(lab), if with_stdin => "the end of stdin",
        };
        supervisor::stopping(why);
        tracing::info!(why, "stopping: finishing calls in flight");
    })
}

/// Resolves once nobody holds the other end of stdin. Whatever is written to it is read, and obeyed in a laboratory.
async fn end_of_stdin(lab: Lab) {
    let (ended, end) = oneshot::channel::<()>();
    // A thread of its own: a read that never returns must not hold up the end of the runtime.
    std::thread::spawn(move || {
        let lines = io::stdin().lock().split(b'\n').map_while(Result::ok);
        lines.for_each(|line| lab.obey(&String::from_utf8_lossy(&line)));
        drop(ended);
    });
    let _ = end.await;
}

fn usage(why: impl Display) -> Failure {
    Failure { code: EXIT_USAGE, why: why.to_string() }
}

fn failed(why: impl Display) -> Failure {
    Failure { code: EXIT_FAILED, why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeConfig {
        let (http, raft) = ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        NodeConfig { id: 7, http, raft, data_dir: "data/7".into() }
    }

    fn io_error(kind: io::ErrorKind) -> StartError {
        let source = io::Error::from(kind);
        StartError::Storage(StorageError::Io { action: "open", path: "data/7/log".into(), source })
    }

    #[test]
    fn what_the_operator_can_mend_ends_with_2_and_damage_with_1() {
        let (path, what, mend) = (PathBuf::from("data/7"), "w".to_owned(), "m".to_owned());
        let refused = StorageError::Refused { path: path.clone(), what: what.clone(), mend: mend.clone() };
        let corrupt = StorageError::Corrupt { path, offset: 9, what, mend };
        let source = io::Error::from(io::ErrorKind::AddrInUse);
        for (error, code) in [
            (StartError::Storage(refused), EXIT_USAGE),
            (StartError::Storage(corrupt), EXIT_FAILED),
            (StartError::Listen { addr: "127.0.0.1:2".to_owned(), node_id: 7, source }, EXIT_USAGE),
            (StartError::Raft("no".to_owned()), EXIT_FAILED),
            (io_error(io::ErrorKind::PermissionDenied), EXIT_USAGE),
            (io_error(io::ErrorKind::NotADirectory), EXIT_USAGE),
            (io_error(io::ErrorKind::StorageFull), EXIT_FAILED),
            (io_error(io::ErrorKind::Other), EXIT_FAILED),
        ] {
            let failure = not_started(&node(), error);
            assert_eq!(failure.code, code, "{}", failure.why);
            assert!(!failure.why.contains('\n'), "{}", failure.why);
        }
    }

    #[test]
    fn a_start_that_fails_though_there_is_room_is_tried_ever_more_seldom() {
        let (mut pause, mut pauses) = (ROOM_AFTER, Vec::new());
        for _ in 0..7 {
            pause = next_pause(pause, Duration::from_millis(3));
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(next_pause(pause, Duration::from_secs(600)), ROOM_AFTER);
    }

    #[tokio::test]
    async fn where_there_seems_to_be_room_a_start_still_waits_for_its_pause() {
        let members = vec![];
        let directory = std::env::temp_dir();
        let file_options = GroupOptions {
            cluster_name: "lastunit-dev".to_owned(),
            node_id: 7,
            members,
            data_dir: directory,
            retention: Duration::ZERO,
            idempotency_retention: Duration::ZERO,
            max_hold: Duration::ZERO,
            events_retention: Duration::ZERO,
            events_max: 0,
            limits: raft::HoldLimits::NONE,
            rates: raft::RateLimits::default(),
            tuning: Tuning { segment_bytes: 0, ..Tuning::default() },
        };
        let (began, pause) = (Instant::now(), Duration::from_millis(50));
        wait_for_room(&file_options, &Lab::new(false), pause).await;
        assert!(began.elapsed() >= pause);
    }

    #[tokio::test]
    async fn an_address_in_use_names_the_key_and_the_mend() {
        let taken = http::bind("127.0.0.1:0").await.unwrap();
        let http = taken.local_addr().unwrap().to_string();
        let threads = Arc::new(ConnectionThreads::start().unwrap());
        let node = NodeConfig { http, ..node() };
        let failure = listen(&node, &Tls::default(), &threads).await.err().expect("in use");
        assert_eq!(failure.code, EXIT_USAGE);
        assert!(failure.why.contains("key `http` of node 7"), "{}", failure.why);
        assert!(failure.why.ends_with("stop the process that uses it, or choose another port"));
    }
}
