//! A terminal that is drawn on, and is as it was before when this is dropped.
//!
//! Escape sequences and the termios of rustix, which is in the tree anyway: a table that is drawn anew each second
//! needs no library of widgets. Signals stay on, so that Ctrl-C is what it is everywhere.

use std::io::{self, IsTerminal, Read, Write, stdin, stdout};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

/// Another screen than the one with the shell's lines, and no cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// The terminal.
pub(super) struct Screen {
    /// How stdin was, where it is a terminal.
    before: Option<Termios>,
    keys: mpsc::Receiver<()>,
    colours: bool,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn open() -> io::Result<Screen> {
        let before = stdin().is_terminal().then(keys_at_once).transpose()?;
        let (quit, keys) = mpsc::channel(1);
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        // From here on whatever fails leaves the terminal as it was.
        let screen = Screen { before, keys, colours };
        if screen.before.is_some() {
            std::thread::Builder::new().name("keys".into()).spawn(move || wait_for_q(&quit))?;
        }
        write(ENTER)?;
        Ok(screen)
    }

    /// Resolves once `q` was pressed; never, where there is no keyboard.
    pub(super) async fn quit(&mut self) {
        if self.keys.recv().await.is_none() {
            std::future::pending().await
        }
    }

    /// Draws a text over the last one.
    pub(super) fn draw(&self, text: &str) -> io::Result<()> {
        // A terminal that does not know its size has lines as long as they are.
        let columns = tcgetwinsize(stdout()).map_or(0, |size| usize::from(size.ws_col));
        write(&drawn(text, columns, self.colours))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is there to tell that it failed.
        let _ = write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

/// Keys are read as they are pressed, and not shown. Answers how it was before.
fn keys_at_once() -> io::Result<Termios> {
    let before = tcgetattr(stdin())?;
    let mut now = before.clone();
    now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    tcsetattr(stdin(), OptionalActions::Now, &now)?;
    Ok(before)
}

fn wait_for_q(quit: &mpsc::Sender<()>) {
    for key in stdin().lock().bytes().map_while(Result::ok) {
        if matches!(key, b'q' | b'Q') && quit.blocking_send(()).is_err() {
            return;
        }
    }
    // At the end of stdin there is no `q` to come: the sender stays, so that its end is not taken for one.
    std::thread::park();
}

/// The text as it is written to a terminal of so many columns (0: any): the table's header stands out, and who is down.
fn drawn(text: &str, columns: usize, colours: bool) -> String {
    let mut drawn = HOME.to_owned();
    for line in text.lines() {
        let columns = if columns == 0 { usize::MAX } else { columns };
        let shown: String = line.chars().take(columns).collect();
        match style(line).filter(|_| colours) {
            Some(style) => drawn.push_str(&format!("{style}{shown}{PLAIN}")),
            None => drawn.push_str(&shown),
        }
        drawn.push_str(REST_OF_LINE);
        drawn.push_str("\r\n");
    }
    drawn + REST_OF_SCREEN
}

fn style(line: &str) -> Option<&'static str> {
    let is_header = line.trim_start().starts_with("NODE ");
    let is_down = line.contains(" down ");
    is_header.then_some(BOLD).or(is_down.then_some(RED))
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_edge_and_coloured_where_they_may_be() {
        let text = "NODE  ROLE\n   1  down  -\n";
        assert_eq!(drawn(text, 7, false), "\x1b[HNODE  R\x1b[K\r\n   1  d\x1b[K\r\n\x1b[J");
        let coloured = drawn(text, 0, true);
        assert!(
            coloured.contains("\x1b[1mNODE  ROLE\x1b[0m")
                && coloured.contains("\x1b[31m   1  down  -\x1b[0m")
        );
    }
}
