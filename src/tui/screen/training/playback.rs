//! A training on the screen: its log, and up to where it is shown.
//!
//! A live one follows the trainer, and can be looked back in; a recorded one is played like a video. Time is an
//! argument; it must not know how anything is drawn.

use crate::tui::Real;
use knightwatch_agent::training::{TrainingEnd, TrainingLine, TrainingLog, TrainingPoint};

/// Times faster than the training was.
const SPEEDS: [u32; 12] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_200, 3_600, 7_200];

/// Seconds that a recording takes at most, at the speed it is opened with.
const WHOLE: f64 = 15.0;

/// Least milliseconds between two pictures of a recording; the loop draws less often where it is told to.
const FRAME_MS: u64 = 100;

/// What is shown of a training.
#[derive(Clone, Debug)]
pub(in crate::tui) struct Training {
    log: TrainingLog,
    live: bool,
    /// Seconds of the training up to which it is shown; `None` is all there is.
    at: Option<f64>,
    playing: bool,
    speed: usize,
    /// When the playing was last brought up to date.
    since: Real,
}

impl Training {
    /// One that is under way, as far as it has come.
    pub(in crate::tui) const fn live(log: TrainingLog) -> Self {
        Self { log, live: true, at: None, playing: false, speed: 0, since: Real(0) }
    }

    /// One that is over, played from its beginning.
    pub(in crate::tui) fn recorded(log: TrainingLog, now: Real) -> Self {
        let mut training = Self { live: false, ..Self::live(log) };
        training.restart(now);
        training
    }

    /// Plays one that is over from its beginning; one that is under way stays as it is.
    pub(in crate::tui) fn restart(&mut self, now: Real) {
        if self.live {
            return;
        }
        let seconds = self.log.points.last().map_or(0.0, |point| point.seconds);
        let enough = |times: &u32| seconds / f64::from(*times) <= WHOLE;
        self.speed = SPEEDS.iter().position(enough).unwrap_or(SPEEDS.len() - 1);
        self.playing = !self.log.points.is_empty();
        self.at = self.playing.then_some(0.0);
        self.since = now;
    }

    pub(in crate::tui) const fn log(&self) -> &TrainingLog {
        &self.log
    }

    pub(in crate::tui) const fn is_live(&self) -> bool {
        self.live
    }

    pub(in crate::tui) const fn is_playing(&self) -> bool {
        self.playing
    }

    /// Times faster than it was.
    pub(in crate::tui) fn times(&self) -> u32 {
        SPEEDS[self.speed]
    }

    /// The points shown.
    pub(in crate::tui) fn points(&self) -> &[TrainingPoint] {
        let points = &self.log.points;
        let shown = self.at.map_or(points.len(), |at| points.partition_point(|point| point.seconds <= at));
        &points[..shown]
    }

    /// Whether all there is is shown.
    pub(in crate::tui) const fn is_at_end(&self) -> bool {
        self.at.is_none()
    }

    /// How it ended, once it is shown to its end.
    pub(in crate::tui) fn end(&self) -> Option<&TrainingEnd> {
        self.log.end.as_ref().filter(|_| self.is_at_end())
    }

    /// Takes the trainer's next line.
    pub(in crate::tui) fn push(&mut self, line: TrainingLine) -> Result<(), String> {
        self.log.push(line)
    }

    /// Plays on up to now; `in_sight` says whether somebody sees it, otherwise it waits. Says whether the picture has
    /// changed.
    pub(in crate::tui) fn advance(&mut self, now: Real, in_sight: bool) -> bool {
        let passed = now.since(self.since);
        self.since = now;
        let (true, true, Some(at)) = (self.playing, in_sight, self.at) else { return false };
        let before = self.points().len();
        let passed = std::time::Duration::from_millis(passed).as_secs_f64();
        self.show_until(at + passed * f64::from(self.times()));
        if self.at.is_none() {
            self.playing = false;
        }
        self.at.is_none() || self.points().len() != before
    }

    /// Shows it up to a moment; to its end from the last point on.
    fn show_until(&mut self, at: f64) {
        let last = self.log.points.last().map_or(0.0, |point| point.seconds);
        self.at = (at < last).then_some(at);
    }

    /// When the next point is due.
    pub(in crate::tui) fn wake_at(&self) -> Option<Real> {
        let at = self.at.filter(|_| self.playing)?;
        let next = self.log.points.get(self.points().len())?;
        let wait = (next.seconds - at).max(0.0) / f64::from(self.times()) * 1_000.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and a point that is years off may come a little early"
        )]
        let wait = wait.ceil() as u64;
        Some(self.since.plus(wait.max(FRAME_MS)))
    }

    /// Plays, or stands still. From the end it restarts; a live one stands still where it is, or follows again.
    pub(in crate::tui) fn toggle(&mut self) {
        if self.live {
            self.at = match (self.at, self.log.points.last()) {
                (None, Some(last)) => Some(last.seconds),
                _ => None,
            };
            return;
        }
        if self.log.points.is_empty() {
            return;
        }
        self.playing = !self.playing;
        if self.playing && self.at.is_none() {
            self.at = Some(0.0);
        }
    }

    /// Plays so many steps of speed faster or slower; `None` where there is none further.
    pub(in crate::tui) fn changed_speed(&self, by: isize) -> Option<usize> {
        self.speed.checked_add_signed(by).filter(|speed| *speed < SPEEDS.len())
    }

    pub(in crate::tui) const fn set_speed(&mut self, speed: usize) {
        self.speed = speed;
    }

    /// Stands still at a point, counted from 0; at the last one a live one follows again.
    pub(in crate::tui) fn scrub(&mut self, place: usize) {
        self.playing = false;
        if let Some(point) = self.log.points.get(place) {
            let last = place + 1 == self.log.points.len();
            self.at = (!last).then_some(point.seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A training of `points` iterations, ten seconds each.
    fn log(points: u64) -> TrainingLog {
        let mut log = TrainingLog::parse(r#"{"training":{"format":1,"when":"today","seed":1}}"#).unwrap().log;
        for iteration in 1..=points {
            let seconds = 10.0 * f64::from(u32::try_from(iteration).unwrap());
            let point = TrainingPoint { iteration, steps: iteration, seconds, ..TrainingPoint::default() };
            log.push(TrainingLine::Point(point)).unwrap();
        }
        log
    }

    #[test]
    fn a_recording_is_played_to_its_end_in_some_seconds() {
        let mut training = Training::recorded(log(360), Real(1_000));
        assert_eq!((training.times(), training.points().len()), (300, 0), "an hour");
        training.advance(Real(2_000), true);
        assert_eq!(training.points().len(), 30);
        assert!(training.is_playing() && training.wake_at().is_some());
        training.advance(Real(13_000), true);
        assert_eq!(training.points().len(), 360);
        assert!(training.is_at_end() && !training.is_playing());
        assert_eq!(training.wake_at(), None, "nothing moves any more");
        training.toggle();
        assert_eq!(training.points().len(), 0, "from the beginning again");
    }

    #[test]
    fn out_of_sight_it_waits() {
        let mut training = Training::recorded(log(360), Real(0));
        assert!(!training.advance(Real(60_000), false));
        training.advance(Real(61_000), true);
        assert_eq!(training.points().len(), 30);
    }

    #[test]
    fn a_live_one_follows_until_somebody_looks_back() {
        let mut training = Training::live(log(3));
        assert_eq!(training.points().len(), 3);
        training.scrub(1);
        for line in log(5).points.into_iter().skip(3).map(TrainingLine::Point) {
            training.push(line).unwrap();
        }
        assert_eq!(training.points().len(), 2, "what was looked at stands still");
        training.toggle();
        assert_eq!(training.points().len(), 5);
        training.toggle();
        assert!(!training.is_at_end(), "the picture stands still");
        training.scrub(4);
        assert!(training.is_at_end());
    }

    #[test]
    fn the_picture_is_not_brought_up_to_date_more_often_than_anybody_sees() {
        let mut training = Training::recorded(log(360), Real(500));
        assert_eq!(training.wake_at(), Some(Real(600)), "ten points a frame");
        training.set_speed(0);
        assert_eq!(training.wake_at(), Some(Real(10_500)), "one point in ten seconds");
        training.scrub(7);
        assert_eq!((training.wake_at(), training.points().len()), (None, 8));
    }

    #[test]
    fn an_empty_log_has_nothing_to_play() {
        let mut training = Training::recorded(log(0), Real(0));
        training.toggle();
        training.scrub(3);
        assert!(!training.is_playing() && training.points().is_empty() && training.is_at_end());
    }
}
