//! The terminal: entered once, left exactly once, whatever ends the program.
//!
//! Holds what is switched on (raw mode, the alternate screen, bracketed paste, a hidden cursor) and the only way to
//! switch it off again, which the loop, the panic hook and the signal watch share. Knows nothing of what is drawn.

mod clipboard;
mod output;
mod painter;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env,
    io::{self, Write as _},
    panic::{self, PanicHookInfo},
    process,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
};

use crossterm::{
    style::force_color_output,
    terminal::{disable_raw_mode, enable_raw_mode},
};
use ratatui::layout::Size;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    stdio::{stdin, stdout},
    termios::{isatty, tcgetwinsize},
};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedReceiver;

pub(super) use clipboard::{Multiplexer, copy};
use output::Output;
pub(super) use output::Written;
pub use painter::{Painted, Painter};

use knightwatch_core::flag::clean;

/// Exit status after a panic, as Rust has it.
const PANICKED: i32 = 101;

/// Threads whose names begin so run a policy: their panics are caught by the engine, and only logged.
const POLICY_THREADS: &str = "policy";

/// Fewer columns hold no word at all. Narrow screens above that get a summary line.
const MIN_COLUMNS: u16 = 2;

/// What has to be left; `None` while the terminal is not ours. Process-wide, as the terminal is.
static ENTERED: Mutex<Option<Output>> = Mutex::new(None);

/// Why the control room cannot be drawn here.
#[derive(Debug, Error)]
pub enum Unfit {
    /// Standard input cannot give keys.
    #[error("standard input is not a terminal; {WATCH}")]
    Input,
    /// Standard output cannot be drawn on.
    #[error("standard output is not a terminal; {WATCH}")]
    Output,
    /// `TERM` says that the terminal only prints lines.
    #[error("this terminal cannot place a cursor (TERM=dumb); {WATCH}")]
    Dumb,
    /// There is no room for a word, or the terminal does not say how large it is.
    #[error(
        "this terminal reports {columns}x{rows} characters, at least {MIN_COLUMNS}x1 are needed; {WATCH}"
    )]
    Size {
        /// Columns found.
        columns: u16,
        /// Rows found.
        rows: u16,
    },
}

/// The way out that every [`Unfit`] names.
const WATCH: &str = "'knightwatch watch' prints one line per change instead";

/// Whether `size` has room for anything.
#[must_use]
pub(super) const fn has_room(size: Size) -> bool {
    size.width >= MIN_COLUMNS && size.height >= 1
}

/// The terminal's size now, in cells.
///
/// # Errors
/// When the terminal cannot be asked.
pub(super) fn size() -> io::Result<Size> {
    let size = tcgetwinsize(stdout())?;
    Ok(Size::new(size.ws_col, size.ws_row))
}

/// Whether the terminal is gone: its line was hung up.
#[must_use]
pub(super) fn is_lost() -> bool {
    let (input, output) = (stdin(), stdout());
    let mut fds = [PollFd::new(&input, PollFlags::empty()), PollFd::new(&output, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok()
        && fds.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}

/// Looks whether the control room can be drawn here, and how large.
///
/// # Errors
/// With a sentence that names the way that works without a terminal.
pub fn check() -> Result<Size, Unfit> {
    if !isatty(stdin()) {
        return Err(Unfit::Input);
    }
    if !isatty(stdout()) {
        return Err(Unfit::Output);
    }
    if env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Err(Unfit::Dumb);
    }
    let size = size().unwrap_or_default();
    if has_room(size) { Ok(size) } else { Err(Unfit::Size { columns: size.width, rows: size.height }) }
}

/// The terminal while it is ours. Dropping it leaves the terminal as it was.
#[derive(Debug)]
pub(super) struct Terminal {
    output: Output,
    written: UnboundedReceiver<Written>,
}

impl Terminal {
    /// Takes the terminal. The answer to the first write comes as with any other.
    ///
    /// # Errors
    /// When raw mode cannot be set or the writer not started; the terminal is then as it was.
    pub(super) fn enter() -> io::Result<Self> {
        install_hook();
        // Under NO_COLOR crossterm 0.29 also drops reverse and bold, and the alarms with them. The monochrome palette
        // leaves the colours out instead.
        force_color_output(true);
        let (output, written) = Output::start()?;
        let terminal = Self { output, written };
        terminal.enter_again()?;
        Ok(terminal)
    }

    /// Takes the terminal again after [`leave`], or after somebody else may have changed it.
    ///
    /// # Errors
    /// When raw mode cannot be set; the terminal is then as it was.
    pub(super) fn enter_again(&self) -> io::Result<()> {
        let mut entered = lock();
        // Whoever had the terminal in between may have left other modes: ask for them again.
        let _ = disable_raw_mode();
        // Modes first: a process in the background is stopped here, before it has written anything.
        enable_raw_mode()?;
        *entered = Some(self.output.clone());
        self.output.enter();
        Ok(())
    }

    /// Hands bytes to the terminal. Every call is answered by [`Terminal::written`].
    pub(super) fn write(&self, bytes: Vec<u8>) {
        self.output.write(bytes);
    }

    /// The next answer; `None` when the writer is gone.
    pub(super) async fn written(&mut self) -> Option<Written> {
        self.written.recv().await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// Leaves the terminal as it was, if it is ours; whoever comes second waits for the first, and does nothing. A line
/// that was hung up gets no sequences: nobody would read them.
pub(super) fn leave() {
    let mut entered = lock();
    let Some(output) = entered.take() else { return };
    if !is_lost() {
        output.leave();
    }
    // On a lost line this fails, and nobody misses it.
    let _ = disable_raw_mode();
}

fn lock() -> MutexGuard<'static, Option<Output>> {
    ENTERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a panic in any thread leave the terminal, say what happened and end the program: the screen would go on
/// drawing over a dead task otherwise. A policy's panic is the engine's to catch.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = lock().is_some();
            if !ours {
                return previous(info);
            }
            let thread = thread::current();
            let report = report(info, thread.name().unwrap_or("without a name"));
            tracing::error!("{report}");
            if thread.name().is_some_and(|name| name.starts_with(POLICY_THREADS)) {
                return;
            }
            leave();
            let _ = writeln!(io::stderr(), "{report}");
            let trace = Backtrace::capture();
            if trace.status() == BacktraceStatus::Captured {
                let _ = writeln!(io::stderr(), "{trace}");
            }
            process::exit(PANICKED);
        }));
    });
}

/// What happened, where, in one line without anything that drives a terminal.
fn report(info: &PanicHookInfo<'_>, thread: &str) -> String {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = info.payload_as_str().unwrap_or("no message");
    format!(
        "knightwatch stopped on an error of its own, in thread {} at {place}: {}",
        clean(thread),
        clean(message)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_needs_room_for_a_word() {
        assert!(!has_room(Size::new(0, 0)));
        assert!(!has_room(Size::new(1, 1)));
        assert!(!has_room(Size::new(80, 0)));
        assert!(has_room(Size::new(2, 1)));
    }

    #[test]
    fn every_reason_names_the_way_out() {
        for unfit in [Unfit::Input, Unfit::Output, Unfit::Dumb, Unfit::Size { columns: 1, rows: 1 }] {
            assert!(unfit.to_string().contains("'knightwatch watch'"), "{unfit}");
        }
    }
}
