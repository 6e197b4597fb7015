//! What the operating system tells the control room: signals, and the loss of its line.
//!
//! Both are watched on threads of their own, so that they are heard while the loop is busy, and so that the program
//! ends even when the loop never comes back. Knows nothing of what is on the screen.

use std::{io, process, thread, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal as Unix, getpgrp, getsid, kill_current_process_group},
    stdio::{stdin, stdout},
};
use tokio::{
    runtime,
    signal::unix::{Signal as Stream, SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::terminal;

/// How long the loop has to end by itself after an [`Event`] that ends it. Longer than it waits for answers to orders.
const FORCE_AFTER: Duration = Duration::from_secs(4);

/// How often the line is looked at. Linux wakes a waiting poll at once when a pseudo-terminal is closed, so that this
/// is for serial lines only; elsewhere nothing is promised.
const LINE_INTERVAL: Timespec = if cfg!(target_os = "linux") {
    Timespec { tv_sec: 2, tv_nsec: 0 }
} else {
    Timespec { tv_sec: 0, tv_nsec: 500_000_000 }
};

/// Why the control room ends without being asked by a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM.
    Terminated,
    /// SIGQUIT.
    Aborted,
    /// SIGHUP.
    HungUp,
    /// The terminal is gone: its line was hung up, whether or not a signal said so.
    LinkLost,
}

impl Ending {
    /// The exit status: 128 and the signal's number, as shells have it.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Terminated => 143,
            Self::Aborted => 131,
            Self::HungUp | Self::LinkLost => 129,
        }
    }
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The program has to end.
    End(Ending),
    /// SIGINT: what it means depends on what is on the screen.
    Interrupt,
    /// SIGTSTP: somebody wants the shell back.
    Suspend,
    /// SIGCONT: somebody wants the program back.
    Continue,
}

/// Exit status after SIGINT.
pub(super) const INTERRUPTED: u8 = 130;

/// Begins to watch. When an event that ends the program was sent and the program is still there [`FORCE_AFTER`]
/// later, or is told again, the watch itself leaves the terminal and ends it.
///
/// # Errors
/// When a signal cannot be handled or a thread not be started.
pub(super) fn watch() -> io::Result<UnboundedReceiver<Event>> {
    let (events, heard) = unbounded_channel();
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let of_signals = events.clone();
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(signals.forward(&of_signals)))?;
    thread::Builder::new().name("line".to_owned()).spawn(move || {
        if wait_for_hang_up().is_ok() {
            forward_ending(&events, Ending::LinkLost);
        }
    })?;
    Ok(heard)
}

struct Signals {
    terminate: Stream,
    quit: Stream,
    hang_up: Stream,
    interrupt: Stream,
    suspend: Stream,
    resume: Stream,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            suspend: signal(SignalKind::from_raw(Unix::TSTP.as_raw()))?,
            resume: signal(SignalKind::from_raw(Unix::CONT.as_raw()))?,
        })
    }

    async fn forward(mut self, events: &UnboundedSender<Event>) {
        let mut ending = false;
        loop {
            let event = tokio::select! {
                _ = self.terminate.recv() => Event::End(Ending::Terminated),
                _ = self.quit.recv() => Event::End(Ending::Aborted),
                _ = self.hang_up.recv() => Event::End(Ending::HungUp),
                _ = self.interrupt.recv() => Event::Interrupt,
                _ = self.suspend.recv() => Event::Suspend,
                _ = self.resume.recv() => Event::Continue,
            };
            match event {
                Event::End(cause) if ending => end_by_force(cause.status()),
                Event::End(cause) => {
                    ending = true;
                    let events = events.clone();
                    let forward = move || forward_ending(&events, cause);
                    if thread::Builder::new().name("last-resort".to_owned()).spawn(forward).is_err() {
                        end_by_force(cause.status());
                    }
                }
                // The handler stays when the loop is over: without this nothing could interrupt what comes after.
                Event::Interrupt if events.is_closed() => end_by_force(INTERRUPTED),
                Event::Interrupt | Event::Suspend | Event::Continue => {
                    let _ = events.send(event);
                }
            }
        }
    }
}

/// Tells the loop to end and gives it some time.
fn forward_ending(events: &UnboundedSender<Event>, cause: Ending) {
    if events.send(Event::End(cause)).is_ok() {
        thread::sleep(FORCE_AFTER);
    }
    end_by_force(cause.status());
}

fn end_by_force(status: u8) -> ! {
    terminal::leave();
    process::exit(i32::from(status))
}

/// Blocks until the terminal is gone. The kernel reports a hang-up whether asked for or not, so no event is asked for
/// and keys do not wake this.
fn wait_for_hang_up() -> io::Result<()> {
    let (input, output) = (stdin(), stdout());
    loop {
        let mut fds = [PollFd::new(&input, PollFlags::empty()), PollFd::new(&output, PollFlags::empty())];
        match poll(&mut fds, Some(&LINE_INTERVAL)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if fds.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)) {
            return Ok(());
        }
    }
}

/// Whether somebody would take over the terminal and could wake the program again: a shell with job control puts a
/// job into a process group of its own. Where there is none (a command given to ssh, the only process of a container)
/// stopping would be for ever.
pub(super) fn can_stop() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp())
}

/// Stops the whole job, the wrapper that started this program included: a shell sees a job as stopped only then.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn stop() -> io::Result<()> {
    Ok(kill_current_process_group(Unix::STOP)?)
}
