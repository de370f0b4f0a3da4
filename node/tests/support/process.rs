//! One child process: its signals, its end, and what it said.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::wait_for;

/// How many log lines of a node are kept.
const LINES_KEPT: usize = 40;

/// The last lines that a node's processes said, over its restarts.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    /// Adds one.
    pub(crate) fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap();
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// All that are kept, under each other.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|line| format!("  {line}\n")).collect()
    }
}

/// A child process. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    /// Starts it. Its stderr goes to `lines`, and its stdin is a pipe that ends with this process.
    pub(crate) fn start(mut command: Command, lines: &Lines) -> Process {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the node's process starts");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = lines.clone();
        let reader = thread::spawn(move || {
            let told = stderr.lines().map_while(Result::ok);
            told.for_each(|line| lines.push(line));
        });
        Process { child, reader: Some(reader) }
    }

    /// Its id, while it is not reaped.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Sends a signal, unless it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
            kill_process(pid, signal).expect("a child can be signalled");
        }
    }

    /// Whether it was stopped by a signal, and each of its threads stands still: one in the midst of a system call ends
    /// that first.
    pub(crate) fn stands_still(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        // A thread that ends meanwhile is not there to be read: then this is looked at again.
        threads.map(Result::unwrap).all(|thread| {
            let state = fs::read_to_string(thread.path().join("stat"));
            state.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
        })
    }

    /// How it ended, where it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until it has ended and all that it said was read.
    pub(crate) async fn wait(&mut self, what: &str) -> ExitStatus {
        let status = wait_for(format!("{what} ends"), async || self.ended()).await;
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
