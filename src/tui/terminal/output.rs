//! The one writer to the terminal, on a thread of its own.
//!
//! A terminal that takes nothing (a stalled link, a stopped multiplexer) blocks whoever writes to it. Here that is
//! this thread and nobody else: the loop goes on giving orders, hearing signals and running what shares its thread.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The writer's thread name.
const NAME: &str = "terminal-writer";

/// How long to wait for a terminal that takes nothing when leaving it.
const PATIENCE: Duration = Duration::from_secs(1);

/// The alternate screen, no cursor, pastes in brackets; nothing else, so that nothing else has to be undone.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[?2004h";

/// The way back. It begins by ending whatever string sequence was cut short, and a synchronised update, so that the
/// rest is heard.
const LEAVE: &[u8] = b"\x1b\\\x1b[?2026l\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// What the writer is to do.
enum Job {
    /// Enter the terminal.
    Enter,
    /// Write a frame, or anything else while the terminal is entered.
    Write(Vec<u8>),
    /// Leave, and say so. What comes after is dropped until the next `Enter`.
    Leave(mpsc::SyncSender<()>),
}

/// What became of one [`Output::enter`] or [`Output::write`].
#[derive(Debug)]
pub(crate) struct Written {
    /// The buffer, to be used again.
    pub(crate) buffer: Vec<u8>,
    /// Whether it reached the terminal.
    pub(crate) result: io::Result<()>,
}

/// A handle to the writer. Any thread may hold one.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    jobs: mpsc::Sender<Job>,
}

impl Output {
    /// Starts the writer on standard output. Each job but leaving is answered on the receiver.
    ///
    /// # Errors
    /// When standard output cannot be duplicated or no thread started.
    pub(crate) fn start() -> io::Result<(Self, UnboundedReceiver<Written>)> {
        let terminal = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (jobs, queue) = mpsc::channel();
        let (answers, written) = unbounded_channel();
        thread::Builder::new().name(NAME.to_owned()).spawn(move || serve(terminal, &queue, &answers))?;
        Ok((Self { jobs }, written))
    }

    /// Enters the terminal. Answered.
    pub(crate) fn enter(&self) {
        // A writer that is gone has panicked, and then the program is ending.
        let _ = self.jobs.send(Job::Enter);
    }

    /// Writes `bytes` in one piece. Answered.
    pub(crate) fn write(&self, bytes: Vec<u8>) {
        let _ = self.jobs.send(Job::Write(bytes));
    }

    /// Leaves the terminal after what was handed over before, and waits for that; but not for long.
    pub(crate) fn leave(&self) {
        let by_hand = || {
            if let Ok(fd) = io::stdout().as_fd().try_clone_to_owned() {
                let _ = write_all(&mut File::from(fd), LEAVE);
            }
        };
        if thread::current().name() == Some(NAME) {
            return by_hand();
        }
        let (done, left) = mpsc::sync_channel(1);
        if self.jobs.send(Job::Leave(done)).is_err()
            || left.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Disconnected)
        {
            by_hand();
        }
    }
}

fn serve(mut terminal: File, jobs: &mpsc::Receiver<Job>, answers: &UnboundedSender<Written>) {
    let mut entered = false;
    for job in jobs {
        let written = match job {
            Job::Enter => {
                entered = true;
                Written { buffer: Vec::new(), result: write_all(&mut terminal, ENTER) }
            }
            Job::Write(buffer) => {
                let result = if entered { write_all(&mut terminal, &buffer) } else { Ok(()) };
                Written { buffer, result }
            }
            Job::Leave(done) => {
                entered = false;
                // Nobody could be told of an error, and there is no other way back.
                let _ = write_all(&mut terminal, LEAVE);
                let _ = done.send(());
                continue;
            }
        };
        // The loop may have ended already.
        let _ = answers.send(written);
    }
}

/// Like [`Write::write_all`], but a terminal that somebody else switched to non-blocking is waited for.
fn write_all(terminal: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match terminal.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(terminal, PollFlags::OUT)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
