//! When to draw and when to wake: pure arithmetic on moments.
//!
//! A key is answered at once, the backend's updates at most so many times a second, and a model that asks to be woken
//! all the time is not. Knows neither the terminal nor the model.

use std::time::{Duration, Instant};

/// Least time between two frames that keys cause: held keys draw 40 times a second, and the second of two quick keys
/// is still shown within 30 ms.
const KEY_FRAME: Duration = Duration::from_millis(25);

/// Least time between two wakes.
const WAKE_FLOOR: Duration = Duration::from_millis(25);

/// The pace of one loop.
#[derive(Debug)]
pub(super) struct Pacing {
    frame: Duration,
    started: Instant,
    drawn: Option<Instant>,
    woken: Option<Instant>,
    urgent: bool,
    demanded: bool,
}

impl Pacing {
    /// At most `fps` frames a second (at least 1) that nobody hurries.
    pub(super) fn new(fps: u32, started: Instant) -> Self {
        Self {
            frame: Duration::from_secs(1) / fps.max(1),
            started,
            drawn: None,
            woken: None,
            urgent: false,
            demanded: false,
        }
    }

    /// What has changed is somebody's doing, and shown at once.
    pub(super) fn hurry(&mut self) {
        self.urgent = true;
    }

    /// A frame is wanted even if nothing has changed.
    pub(super) fn demand(&mut self) {
        self.demanded = true;
        self.urgent = true;
    }

    /// When the next frame is due, if one is: `dirty` says that something has changed. The very first is due at once.
    pub(super) fn draw_at(&self, dirty: bool) -> Option<Instant> {
        if !dirty && !self.demanded {
            return None;
        }
        let frame = if self.urgent { KEY_FRAME.min(self.frame) } else { self.frame };
        Some(self.drawn.map_or(self.started, |drawn| drawn + frame))
    }

    /// A frame was drawn.
    pub(super) fn drawn(&mut self, now: Instant) {
        self.drawn = Some(now);
        self.urgent = false;
        self.demanded = false;
    }

    /// When to wake who wants to be woken at `at`.
    pub(super) fn wake_at(&self, at: Instant) -> Instant {
        self.woken.map_or(at, |woken| at.max(woken + WAKE_FLOOR))
    }

    /// The wake was given.
    pub(super) fn woken(&mut self, now: Instant) {
        self.woken = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_is_drawn_when_nothing_has_changed() {
        let mut pacing = Pacing::new(4, Instant::now());
        assert_eq!(pacing.draw_at(false), None);
        pacing.demand();
        assert!(pacing.draw_at(false).is_some(), "but for a redraw");
        pacing.drawn(Instant::now());
        assert_eq!(pacing.draw_at(false), None);
    }

    #[test]
    fn the_first_frame_is_due_at_once_and_updates_wait_for_theirs() {
        let start = Instant::now();
        let mut pacing = Pacing::new(4, start);
        assert_eq!(pacing.draw_at(true), Some(start));
        pacing.drawn(start);
        assert_eq!(pacing.draw_at(true), Some(start + 250 * MS));
    }

    #[test]
    fn a_key_does_not_wait_for_the_frame_of_an_update() {
        let start = Instant::now();
        let mut pacing = Pacing::new(1, Instant::now());
        pacing.drawn(start);
        pacing.hurry();
        assert_eq!(pacing.draw_at(true), Some(start + KEY_FRAME));
        pacing.drawn(start + KEY_FRAME);
        assert_eq!(pacing.draw_at(true), Some(start + KEY_FRAME + Duration::from_secs(1)), "once only");
    }

    #[test]
    fn whoever_wants_to_be_woken_all_the_time_is_not() {
        let start = Instant::now();
        let mut pacing = Pacing::new(4, Instant::now());
        assert_eq!(pacing.wake_at(start), start);
        pacing.woken(start);
        assert_eq!(pacing.wake_at(start), start + WAKE_FLOOR);
        assert_eq!(pacing.wake_at(start + 500 * MS), start + 500 * MS);
    }
}
