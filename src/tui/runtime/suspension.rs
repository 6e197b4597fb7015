//! The terminal changes hands or size: Ctrl-Z and `fg`, a stop by signal, a resize.
//!
//! After each of them nothing is known of what is on the screen, so everything is redrawn. Knows nothing of what
//! that is.

use std::time::{Duration, Instant};

use tokio::time;

use super::{
    super::{
        Message,
        signals::{self, Ending, Event},
        terminal,
    },
    App, Cause,
};

/// How long SIGCONT is waited for after the job was started again.
const CONTINUE_GRACE: Duration = Duration::from_secs(1);

impl App {
    /// Gives the terminal back to the shell until the job is continued.
    pub(super) async fn suspend(&mut self) -> Option<Cause> {
        if !signals::can_stop() {
            self.ring();
            return None;
        }
        terminal::leave();
        if let Err(error) = signals::stop() {
            tracing::warn!("the job cannot be stopped: {error}");
        } else {
            // The signal may take effect a moment after it was sent; the terminal must not be taken before.
            loop {
                match time::timeout(CONTINUE_GRACE, self.events.recv()).await {
                    Ok(Some(Event::End(ending))) => return Some(Cause::Ended(ending)),
                    Ok(Some(Event::Interrupt | Event::Suspend)) => {}
                    Ok(Some(Event::Continue) | None) | Err(_) => break,
                }
            }
        }
        self.resume()
    }

    pub(super) fn resume(&mut self) -> Option<Cause> {
        if let Err(error) = self.terminal.enter_again() {
            tracing::warn!("the terminal cannot be taken again: {error}");
            return Some(Cause::Ended(Ending::LinkLost));
        }
        self.writing += 1;
        self.painter.forget();
        self.pacing.demand();
        let now = Instant::now();
        self.resized(now).or_else(|| self.urgent(now, Message::Wake))
    }

    /// Asks the terminal itself: the event may be old, and of another terminal than standard output.
    pub(super) fn resized(&mut self, at: Instant) -> Option<Cause> {
        let Ok(size) = terminal::size() else { return None };
        self.painter.resize(size);
        // Even at the old size: a terminal that was smaller for a moment has cut what it showed.
        self.painter.forget();
        self.pacing.demand();
        self.urgent(at, Message::Resize(size.width, size.height))
    }
}
