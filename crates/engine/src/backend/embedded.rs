//! The embedded backend: an engine inside, on a thread of its own, with its observer turning state into views.
//!
//! Each control room has a bounded queue. One that does not keep up loses messages, not the engine's time, and gets a
//! new snapshot as soon as there is room.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::mpsc::Receiver;

use super::{
    Ack, ArmPoint, Backend, Change, ControllerView, FlagView, OrderError, Pace, Pending, Point, Snapshot,
    Update, kill_path,
    subscribers::Subscribers,
    view::{NEWEST, push_point},
};
use crate as engine;
use crate::{Engine, Handle, KillSwitch, Observer};
use knightwatch_core::{
    control::{Command, Entry, Event, FlagState, Order, Seq},
    flag::FlagSpec,
    telemetry::{ArmStats, Millis},
};

/// What the embedded backend has to know beside its engine.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The pace to begin with.
    pub pace: Pace,
    /// What kind of policy steers, in a clause.
    pub about: String,
    /// Whether controller time is simulated.
    pub simulated: bool,
    /// Controller time to live through at once, before anything is shown.
    pub fast_forward: Millis,
}

/// An engine inside. Dropping it ends the engine and waits for that, so that its journal is closed.
pub struct Embedded {
    handle: Handle,
    subscribers: Subscribers,
    /// The kill path, where there is one.
    kill_switch: Option<Arc<KillSwitch>>,
}

impl Embedded {
    /// Starts `engine` on its own thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(engine: Engine, options: EmbeddedOptions) -> std::io::Result<Self> {
        Self::start_with(engine, options, None)
    }

    /// The same with a kill switch: kill-all goes past the engine, and evaluation reads its serving table.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start_with(
        mut engine: Engine,
        options: EmbeddedOptions,
        kill_switch: Option<Arc<KillSwitch>>,
    ) -> std::io::Result<Self> {
        let subscribers = Subscribers::default();
        let pace = options.pace;
        let until = engine.now() + options.fast_forward;
        let mut views = Views::new(&engine, options, subscribers.clone(), kill_switch.clone());
        while engine.now() < until && !engine.done() {
            let news = engine.step();
            views.remember(&engine, &news, true);
        }
        let handle = engine::run(engine, pace, Box::new(views))?;
        Ok(Self { handle, subscribers, kill_switch })
    }
}

impl Backend for Embedded {
    fn subscribe(&self) -> Receiver<Update> {
        let updates = self.subscribers.join();
        self.handle.look();
        updates
    }

    fn send(&self, order: Order) -> Pending<Result<Ack, OrderError>> {
        if let Some(kill_switch) = &self.kill_switch {
            match order.command {
                Command::KillAll => return kill_path::kill(kill_switch, &self.handle, order),
                Command::Rearm { .. } => return kill_path::rearm(kill_switch, &self.handle, order),
                _ => {}
            }
        }
        let answer = self.handle.order(order);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(unanswered())) })
    }

    fn entries(&self, before: Option<Seq>, limit: usize) -> Pending<Result<Vec<Entry>, OrderError>> {
        let answer = self.handle.entries(before, limit);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(unanswered())) })
    }

    fn set_pace(&self, pace: Pace) -> Result<(), String> {
        if let Pace::Times(times) = pace {
            Pace::times(times).map_err(|error| error.to_string())?;
        }
        self.handle.set_pace(pace);
        Ok(())
    }
}

/// It was taken, and its engine ended before it said what became of it.
fn unanswered() -> OrderError {
    OrderError::Unknown("the engine has ended".to_owned())
}

/// Turns the engine's state into what control rooms see, on the engine's thread.
struct Views {
    options: EmbeddedOptions,
    specs: Vec<Arc<FlagSpec>>,
    history: Vec<VecDeque<Point>>,
    entries: VecDeque<Entry>,
    subscribers: Subscribers,
    kill_switch: Option<Arc<KillSwitch>>,
}

impl Observer for Views {
    fn happened(&mut self, engine: &Engine, pace: Pace, news: &[Entry], ticked: bool) {
        self.remember(engine, news, ticked);
        // Those that are behind get a fresh snapshot, this change included, from `catch_up`.
        self.subscribers.tell(|| Update::Change(Arc::new(self.change(engine, pace, news, ticked))));
    }

    fn catch_up(&mut self, engine: &Engine, pace: Pace) -> bool {
        self.subscribers.catch_up(None, || Arc::new(self.snapshot(engine, pace)))
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        // However the engine ended: every stream ends with it.
        self.subscribers.end();
    }
}

impl Views {
    fn new(
        engine: &Engine,
        options: EmbeddedOptions,
        subscribers: Subscribers,
        kill_switch: Option<Arc<KillSwitch>>,
    ) -> Self {
        let (specs, history, entries) = (Vec::new(), Vec::new(), VecDeque::new());
        let mut views = Self { options, specs, history, entries, subscribers, kill_switch };
        views.remember(engine, &[], false);
        views
    }

    fn remember(&mut self, engine: &Engine, news: &[Entry], ticked: bool) {
        let flags = &engine.state().flags;
        for flag in &flags[self.specs.len().min(flags.len())..] {
            self.specs.push(Arc::new(flag.spec.clone()));
            self.history.push(VecDeque::new());
        }
        for entry in news {
            if let Event::Changed { flag, .. } = &entry.event {
                self.specs[flag.index()] = Arc::new(flags[flag.index()].spec.clone());
            }
        }
        if ticked {
            for (flag, history) in flags.iter().zip(&mut self.history) {
                push_point(history, point(engine, flag), flags.len());
            }
        }
        if let Some(kill_switch) = &self.kill_switch {
            kill_switch.publish(engine.state());
        }
        self.entries.extend(news.iter().cloned());
        let surplus = self.entries.len().saturating_sub(NEWEST);
        self.entries.drain(..surplus);
    }

    fn controller(&self, engine: &Engine, pace: Pace) -> ControllerView {
        ControllerView::of(engine, pace, &self.options.about)
    }

    fn flags(&self, engine: &Engine, which: impl Fn(&FlagState) -> bool) -> Vec<FlagView> {
        let flags = engine.state().flags.iter().filter(|flag| which(flag));
        let view = |flag: &FlagState| {
            let place = flag.id.index();
            let point = self.history[place].back().copied().unwrap_or_default();
            FlagView::of(engine, flag, &self.specs[place], point)
        };
        flags.map(view).collect()
    }

    fn snapshot(&self, engine: &Engine, pace: Pace) -> Snapshot {
        Snapshot {
            environment: engine.state().environment.clone(),
            source: engine.source_name().to_owned(),
            simulated: self.options.simulated,
            interval: engine.config().interval,
            controller: self.controller(engine, pace),
            flags: self.flags(engine, |_| true),
            history: self.history.clone(),
            entries: self.newest(engine),
        }
    }

    /// The newest entries; from the journal where this observer has not seen enough of them itself.
    fn newest(&self, engine: &Engine) -> Vec<Entry> {
        if self.entries.len() < NEWEST
            && let Ok(entries) = engine.entries(None, NEWEST)
            && entries.len() > self.entries.len()
        {
            return entries;
        }
        self.entries.iter().cloned().collect()
    }

    fn change(&self, engine: &Engine, pace: Pace, news: &[Entry], ticked: bool) -> Change {
        let state = engine.state();
        let everything = ticked || news.iter().any(|entry| entry.event.affects_all_flags());
        let touched: Vec<_> = news.iter().filter_map(|entry| entry.event.flag()).collect();
        let created = news.iter().filter(|entry| matches!(entry.event, Event::Created { .. })).count();
        // A flag that is made is told alone: ten thousand that are made one after the other would be told ten thousand times.
        let first_new = state.flags.len().saturating_sub(created);
        Change {
            controller: self.controller(engine, pace),
            tick: ticked,
            flags: self.flags(engine, |flag| {
                everything || flag.id.index() >= first_new || touched.contains(&flag.id)
            }),
            entries: news.to_vec(),
        }
    }
}

fn point(engine: &Engine, flag: &FlagState) -> Point {
    let arms = engine.telemetry_state().window(flag.id).map(|window| *window.latest()).unwrap_or_default();
    let [control, treatment] = arms.map(|arm| arm.as_ref().map_or_else(ArmPoint::default, arm_point));
    Point { at: engine.interval_end(), control, treatment, rollout: flag.rollout }
}

fn arm_point(arm: &ArmStats) -> ArmPoint {
    #[expect(clippy::cast_possible_truncation, reason = "for drawing; f32 is fine enough")]
    ArmPoint {
        requests: Some(u32::try_from(arm.requests).unwrap_or(u32::MAX)),
        error_rate: arm.error_rate().map(|rate| rate as f32),
        p99_ms: arm.p99_ms.map(|p99| p99 as f32),
    }
}

#[cfg(test)]
mod tests;
