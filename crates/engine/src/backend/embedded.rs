//! The embedded backend: an engine inside, on a thread of its own, with its observer turning state into views.
//!
//! Each control room has a bounded queue. One that does not keep up loses messages, not the engine's time, and gets a
//! new snapshot as soon as there is room.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::mpsc::Receiver;

use super::{
    Ack, ArmPoint, Backend, Change, FlagView, OrderError, Pace, Pending, Point, PolicyView, ProposalView,
    RulingView, Snapshot, Update,
    crowd::Crowd,
    lane,
    view::{HISTORY, NEWEST},
};
use crate as engine;
use crate::{Engine, Handle, Observer, Switch};
use knightwatch_core::{
    control::{AlarmKind, Command, Entry, Event, FlagState, Order, Outlook, Seq},
    flag::FlagSpec,
    telemetry::{ArmStats, Millis, Window},
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
    pub ahead: Millis,
}

/// An engine inside. Dropping it ends the engine and waits for that, so that its journal is closed.
pub struct Embedded {
    handle: Handle,
    crowd: Crowd,
    /// Kill-all's own lane, where there is one.
    switch: Option<Arc<Switch>>,
}

impl Embedded {
    /// Starts `engine` on its own thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(engine: Engine, options: EmbeddedOptions) -> std::io::Result<Self> {
        Self::start_with(engine, options, None)
    }

    /// The same with a kill switch: kill-all goes past the engine, and evaluation reads the switch's register.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start_with(
        mut engine: Engine,
        options: EmbeddedOptions,
        switch: Option<Arc<Switch>>,
    ) -> std::io::Result<Self> {
        let crowd = Crowd::default();
        let pace = options.pace;
        let until = engine.now() + options.ahead;
        let mut views = Views {
            options,
            specs: Vec::new(),
            history: Vec::new(),
            entries: VecDeque::new(),
            crowd: crowd.clone(),
            switch: switch.clone(),
        };
        views.remember(&engine, &[], false);
        while engine.now() < until && !engine.done() {
            let news = engine.step();
            views.remember(&engine, &news, true);
        }
        let handle = engine::run(engine, pace, Box::new(views))?;
        Ok(Self { handle, crowd, switch })
    }
}

impl Backend for Embedded {
    fn subscribe(&self) -> Receiver<Update> {
        let updates = self.crowd.join();
        self.handle.look();
        updates
    }

    fn send(&self, order: Order) -> Pending<Result<Ack, OrderError>> {
        if let Some(switch) = &self.switch {
            match order.command {
                Command::KillAll => return lane::kill(switch, &self.handle, order),
                Command::Rearm { .. } => return lane::rearm(switch, &self.handle, order),
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
    crowd: Crowd,
    switch: Option<Arc<Switch>>,
}

impl Observer for Views {
    fn happened(&mut self, engine: &Engine, pace: Pace, news: &[Entry], ticked: bool) {
        self.remember(engine, news, ticked);
        // Those that are behind get everything anew, this included, from `catch_up`.
        self.crowd.tell(|| Update::Change(Arc::new(self.change(engine, pace, news, ticked))));
    }

    fn catch_up(&mut self, engine: &Engine, pace: Pace) -> bool {
        self.crowd.catch_up(None, || Arc::new(self.snapshot(engine, pace)))
    }
}

impl Drop for Views {
    fn drop(&mut self) {
        // However the engine ended: every stream ends with it.
        self.crowd.end();
    }
}

impl Views {
    fn remember(&mut self, engine: &Engine, news: &[Entry], ticked: bool) {
        let flags = &engine.state().flags;
        for flag in &flags[self.specs.len().min(flags.len())..] {
            self.specs.push(Arc::new(flag.spec.clone()));
            self.history.push(VecDeque::with_capacity(HISTORY));
        }
        for entry in news {
            if let Event::Changed { flag, .. } = &entry.event {
                self.specs[flag.index()] = Arc::new(flags[flag.index()].spec.clone());
            }
        }
        if ticked {
            for (flag, history) in flags.iter().zip(&mut self.history) {
                if history.len() == HISTORY {
                    history.pop_front();
                }
                history.push_back(point(engine, flag));
            }
        }
        if let Some(switch) = &self.switch {
            switch.publish(engine.state());
        }
        self.entries.extend(news.iter().cloned());
        let surplus = self.entries.len().saturating_sub(NEWEST);
        self.entries.drain(..surplus);
    }

    /// What is not as usual about the policy, or what kind of policy it is; and who decides beside it, if somebody does.
    fn about(&self, engine: &Engine) -> String {
        let unusual = engine.policy_settings().map(|settings| settings.unusual);
        let about =
            unusual.filter(|unusual| !unusual.is_empty()).unwrap_or_else(|| self.options.about.clone());
        // First, because the end is what a narrow screen cuts off.
        engine.shadow_name().map_or_else(|| about.clone(), |shadow| format!("shadow {shadow}; {about}"))
    }

    fn policy(&self, engine: &Engine) -> PolicyView {
        PolicyView {
            name: engine.policy_name().to_owned(),
            about: self.about(engine),
            fault: engine.state().alarm(&AlarmKind::PolicyFault).map(|alarm| alarm.text.clone()),
        }
    }

    fn flags(&self, engine: &Engine, which: impl Fn(&FlagState) -> bool) -> Vec<FlagView> {
        let flags = engine.state().flags.iter().filter(|flag| which(flag));
        flags.map(|flag| self.view(engine, flag)).collect()
    }

    fn view(&self, engine: &Engine, flag: &FlagState) -> FlagView {
        let observatory = engine.observatory();
        let nothing = Outlook::default();
        let outlook = observatory.outlook(flag.id).unwrap_or(&nothing);
        FlagView {
            id: flag.id,
            spec: Arc::clone(&self.specs[flag.id.index()]),
            phase: flag.phase,
            phase_since: flag.phase_since,
            rollout: flag.rollout,
            changed_at: flag.changed_at,
            hold: flag.hold.clone(),
            guard_off_until: flag.guard_off_until,
            last: flag.last.clone(),
            waiting: flag.waiting.clone(),
            archived: flag.archived.clone(),
            verdict: outlook.report.verdict,
            report: outlook.report.clone(),
            point: self.history[flag.id.index()].back().copied().unwrap_or_default(),
            assumed: observatory.window(flag.id).is_some_and(Window::assumed),
            proposal: outlook.proposal.as_ref().map(|proposal| ProposalView {
                action: proposal.action,
                probabilities: proposal.probabilities,
                value: proposal.value,
            }),
            ruling: outlook.ruling.as_ref().map(|ruling| RulingView {
                outcome: ruling.outcome,
                reason: ruling.reason.to_string().into(),
                repeated: outlook.repeated,
            }),
        }
    }

    fn snapshot(&self, engine: &Engine, pace: Pace) -> Snapshot {
        let state = engine.state();
        Snapshot {
            environment: state.environment.clone(),
            source: engine.source_name().to_owned(),
            simulated: self.options.simulated,
            policy: self.policy(engine),
            now: engine.now(),
            interval: engine.config().interval,
            pace,
            seq: state.seq,
            latch: state.latch.clone(),
            alarms: state.alarms.clone(),
            flags: self.flags(engine, |_| true),
            history: self.history.iter().map(|points| points.iter().copied().collect()).collect(),
            entries: self.newest(engine),
            briefed: state.briefed,
            done: engine.done(),
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
            now: engine.now(),
            seq: state.seq,
            tick: ticked,
            policy: Some(self.policy(engine)),
            pace,
            latch: state.latch.clone(),
            alarms: state.alarms.clone(),
            flags: self.flags(engine, |flag| {
                everything || flag.id.index() >= first_new || touched.contains(&flag.id)
            }),
            entries: news.to_vec(),
            briefed: state.briefed,
            done: engine.done(),
        }
    }
}

fn point(engine: &Engine, flag: &FlagState) -> Point {
    let arms = engine.observatory().window(flag.id).map(|window| *window.latest()).unwrap_or_default();
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
