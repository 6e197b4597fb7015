//! Reads the keyboard on a thread of its own.
//!
//! The event reader blocks in the middle of a half-arrived sequence and spins on a lost line; neither must hold up the
//! loop. Each event carries the moment it was read, because the kill-all panel counts time between keys.

use std::{io, thread, time::Instant};

use crossterm::event::{self, Event};
use tokio::sync::mpsc::{Receiver, channel};

/// Most events read ahead; beyond that the terminal has to wait.
const READ_AHEAD: usize = 1_024;

/// Something from the terminal.
#[derive(Debug)]
pub(super) struct Input {
    /// When it was read.
    pub(super) at: Instant,
    /// What it was.
    pub(super) event: Event,
}

/// Begins to read. The channel closes when nothing can be read any more.
///
/// # Errors
/// When no thread can be started.
pub(super) fn read() -> io::Result<Receiver<Input>> {
    let (inputs, received) = channel(READ_AHEAD);
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        loop {
            match event::read() {
                Ok(event) => {
                    if inputs.blocking_send(Input { at: Instant::now(), event }).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!("the keyboard cannot be read: {error}");
                    return;
                }
            }
        }
    })?;
    Ok(received)
}
