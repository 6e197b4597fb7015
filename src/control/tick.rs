//! The tick: one pass of samples, evidence, policy and shield over all flags.
//!
//! A pure function: state, what is remembered of telemetry, a policy and the time go in, events come out. The engine,
//! `simulate`, the judge and training all call this one; there is no second loop anywhere.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    Action, Actor, AlarmId, AlarmKind, ControlConfig, Decision, Event, FlagState, Observation, Outcome,
    Phase, Policy, PolicyFault, Proposal, Reason, Ruling, Shield, State,
};
use crate::{
    flag::{FlagId, Rollout, ServiceName},
    telemetry::{Context, Feed, Millis, Rejection, Sample, Verdict, Window, WindowReport},
};

/// Something that happened, and who did it.
pub type Happened = (Actor, Event);

/// When a tick is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// End of the interval that it closes.
    pub end: Millis,
    /// Controller time; not before `end`.
    pub now: Millis,
}

/// What came of a flag at the last tick: what the flag screen shows.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// The evidence.
    pub report: WindowReport,
    /// What the policy wanted; `None` when it was not asked.
    pub proposal: Option<Proposal>,
    /// What the shield made of it; `None` when nothing was proposed.
    pub ruling: Option<Ruling>,
    /// Ticks in a row with the same ruling.
    pub repeated: u32,
    /// Holds since the last journalled decision.
    pub holds: u32,
    /// The last veto journalled: a repeated one is counted, not journalled.
    vetoed: Option<(std::mem::Discriminant<Action>, std::mem::Discriminant<Reason>)>,
    /// Intervals since the last rejected sample that speaks of a broken source.
    clean_intervals: u32,
    rejected_before: u32,
}

/// What is remembered of telemetry: the fold of samples, as [`State`] is the fold of events. Not journalled; after a
/// restart it is empty, and everything holds until telemetry is fresh.
#[derive(Debug, Default)]
pub struct Observatory {
    windows: Vec<Window>,
    outlooks: Vec<Outlook>,
    /// Samples of intervals not yet closed.
    pending: Vec<Sample>,
    /// For each flag, the numbers of its control and treatment samples ([`one_of`]).
    slots: Vec<[Option<u32>; 2]>,
    proposals: Vec<Proposal>,
    /// Samples for no flag that is known.
    strays: u32,
}

/// Intervals without a rejected sample after which a source counts as sound again.
const SOUND_AFTER: u32 = 6;

/// Complete flags of one service that break a limit in the same interval before it is not any one flag's doing.
const TOGETHER: u32 = 2;

/// Part of a hard limit at which a complete flag raises an alarm.
const EARLY_WARNING: f64 = 0.5;

impl Observatory {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The evidence on a flag as of the last tick.
    #[must_use]
    pub fn report(&self, flag: FlagId) -> Option<&WindowReport> {
        self.outlooks.get(flag.index()).map(|outlook| &outlook.report)
    }

    /// What came of a flag at the last tick.
    #[must_use]
    pub fn outlook(&self, flag: FlagId) -> Option<&Outlook> {
        self.outlooks.get(flag.index())
    }

    /// The window of a flag.
    #[must_use]
    pub fn window(&self, flag: FlagId) -> Option<&Window> {
        self.windows.get(flag.index())
    }

    /// Takes in a feed and closes the interval that ends at `moment.end`.
    pub fn observe(&mut self, state: &State, config: &ControlConfig, feed: &Feed, moment: Moment) {
        let flags = state.flags.len();
        self.windows.resize_with(flags, Window::default);
        self.outlooks.resize_with(flags, Outlook::default);
        self.slots.clear();
        self.slots.resize(flags, [None; 2]);
        for (flag, why) in &feed.rejected {
            self.reject(*flag, *why);
        }
        self.sort_out(config, feed, moment);
        for flag in &state.flags {
            let context = context(config, flag, moment);
            let [control, treatment] = self.slots[flag.id.index()]
                .map(|slot| slot.and_then(|slot| one_of(&self.pending, feed, slot)));
            let window = &mut self.windows[flag.id.index()];
            window.close(&context, control, treatment);
            self.outlooks[flag.id.index()].report = window.report(&context);
        }
        // What lies in the future is not kept: the source's clock is wrong, and its next sample may be right.
        let open = |sample: &Sample| sample.end() > moment.end && sample.start <= moment.now;
        self.pending.retain(open);
        self.pending.extend(feed.samples.iter().filter(|sample| open(sample)));
    }

    /// Finds for each flag and arm the sample of the interval to be closed; counts what cannot be used. The order of
    /// arrival makes no difference: of two that contradict each other the one with more requests counts.
    fn sort_out(&mut self, config: &ControlConfig, feed: &Feed, moment: Moment) {
        for here in 0_u32.. {
            let Some(sample) = one_of(&self.pending, feed, here) else { break };
            if sample.end() > moment.end && sample.start <= moment.now {
                // Of an interval still open; its turn comes.
                continue;
            }
            let flag = sample.flag;
            let Some(slots) = self.slots.get_mut(flag.index()) else {
                self.strays = self.strays.saturating_add(1);
                continue;
            };
            let on_grid = moment.end.0.abs_diff(sample.end().0).is_multiple_of(config.interval.0.max(1));
            let why = if sample.span != config.interval || !on_grid {
                Rejection::Misaligned
            } else if sample.start > moment.now {
                Rejection::Skewed
            } else if sample.end() < moment.end {
                Rejection::Late
            } else {
                let slot = &mut slots[sample.arm as usize];
                let Some(other) = slot.and_then(|slot| one_of(&self.pending, feed, slot)) else {
                    *slot = Some(here);
                    continue;
                };
                let rank = |s: &Sample| (s.requests, s.errors, *s.latency.counts());
                if rank(sample) > rank(other) {
                    *slot = Some(here);
                }
                Rejection::Duplicate
            };
            self.reject(flag, why);
        }
    }

    /// Services whose trouble is not one flag's doing, with how many flags show it: control itself is bad, or several
    /// complete flags are worse than their records in the same interval.
    fn troubled(&self, state: &State, config: &ControlConfig) -> BTreeMap<ServiceName, u32> {
        let mut bad_control: BTreeMap<ServiceName, u32> = BTreeMap::new();
        let mut breaking: BTreeMap<ServiceName, u32> = BTreeMap::new();
        for flag in &state.flags {
            let (window, outlook) = (&self.windows[flag.id.index()], &self.outlooks[flag.id.index()]);
            if outlook.report.dependency {
                *bad_control.entry(flag.spec.service.clone()).or_default() += 1;
            }
            let breaks = || window.breach(&config.shield.hard, false, EARLY_WARNING).is_some();
            if flag.rollout.is_full() && breaks() {
                *breaking.entry(flag.spec.service.clone()).or_default() += 1;
            }
        }
        breaking.retain(|_, flags| *flags >= TOGETHER);
        for (service, flags) in breaking {
            *bad_control.entry(service).or_default() += flags;
        }
        bad_control
    }

    fn reject(&mut self, flag: FlagId, why: Rejection) {
        match self.windows.get_mut(flag.index()) {
            Some(window) => window.reject(why),
            None => self.strays = self.strays.saturating_add(1),
        }
    }

    /// Samples that came for no flag that is known.
    #[must_use]
    pub const fn strays(&self) -> u32 {
        self.strays
    }
}

/// The sample with this number: those still pending come first, then those of the feed.
fn one_of<'a>(pending: &'a [Sample], feed: &'a Feed, number: u32) -> Option<&'a Sample> {
    let number = number as usize;
    pending.get(number).or_else(|| feed.samples.get(number - pending.len()))
}

fn context<'a>(config: &'a ControlConfig, flag: &FlagState, moment: Moment) -> Context<'a> {
    Context {
        config: &config.evidence,
        end: moment.end,
        now: moment.now,
        stale_after: config.shield.stale_after,
        interval: config.interval,
        ramp: flag.ramp,
        changed_at: flag.changed_at,
        rollout: flag.rollout,
        next: flag.spec.ladder.above(flag.rollout, 1),
    }
}

/// One tick. Returns what happened, in order; the caller journals it and then folds it into the state.
pub fn tick(
    state: &State,
    observatory: &mut Observatory,
    policy: &mut dyn Policy,
    config: &ControlConfig,
    feed: &Feed,
    moment: Moment,
) -> Vec<Happened> {
    let mut happened = Vec::new();
    observatory.observe(state, config, feed, moment);
    for flag in &state.flags {
        if flag.hold.as_ref().is_some_and(|hold| hold.until <= moment.now) {
            happened.push((Actor::System, Event::HoldExpired { flag: flag.id }));
        }
    }
    let mut shield = Shield::new(&config.shield, config.interval, state, moment.now);
    let mut alarms = Alarms { next: state.alarm_count + 1, state, happened: Vec::new() };
    let troubled = observatory.troubled(state, config);
    let mut asked = Vec::new();
    for flag in &state.flags {
        let Observatory { windows, outlooks, .. } = &mut *observatory;
        let (window, outlook) = (&windows[flag.id.index()], &mut outlooks[flag.id.index()]);
        // At 100 % there is no live control to tell a dependency from the flag; the service's other flags can.
        let excused = flag.rollout.is_full() && troubled.contains_key(&flag.spec.service);
        let obliged = shield.obliged(flag, window, &outlook.report).filter(|_| !excused);
        match obliged {
            Some(reason) => {
                let ruling =
                    Ruling { outcome: Outcome::Obliged, action: Action::RollBack, to: Rollout::ZERO, reason };
                outlook.proposal = None;
                settle(flag, outlook, Action::Hold, ruling, &mut alarms, &mut happened);
            }
            None if flag.phase == Phase::Ramping => asked.push(flag.id),
            None => {
                outlook.proposal = None;
                outlook.ruling = None;
            }
        }
        lost_beyond_deadline(flag, outlook, config, moment, &mut happened);
    }
    let fault = ask(state, observatory, policy, config, &shield, &asked, moment);
    for (index, id) in asked.iter().enumerate() {
        let flag = &state.flags[id.index()];
        let proposal = observatory.proposals[index];
        let outlook = &mut observatory.outlooks[id.index()];
        let ruling = shield.rule(flag, &outlook.report, proposal.action);
        outlook.proposal = fault.is_none().then_some(proposal);
        settle(flag, outlook, proposal.action, ruling, &mut alarms, &mut happened);
    }
    alarms.policy(fault.as_ref());
    alarms.telemetry(observatory, config, troubled);
    happened.append(&mut alarms.happened);
    happened
}

/// Asks the policy about the flags in `asked`. On any fault every proposal is to hold, and the fault is returned.
fn ask(
    state: &State,
    observatory: &mut Observatory,
    policy: &mut dyn Policy,
    config: &ControlConfig,
    shield: &Shield<'_>,
    asked: &[FlagId],
    moment: Moment,
) -> Option<PolicyFault> {
    let mut proposals = std::mem::take(&mut observatory.proposals);
    proposals.clear();
    let mut moving: BTreeMap<&ServiceName, u32> = BTreeMap::new();
    for id in asked {
        *moving.entry(&state.flags[id.index()].spec.service).or_default() += 1;
    }
    let observations: Vec<Observation<'_>> = asked
        .iter()
        .map(|id| {
            let flag = &state.flags[id.index()];
            let report = &observatory.outlooks[id.index()].report;
            Observation {
                flag: flag.id,
                ramp: flag.ramp,
                now: moment.now,
                interval: config.interval,
                phase: flag.phase,
                rollout: flag.rollout,
                ladder: &flag.spec.ladder,
                since_change: moment.now.since(flag.changed_at),
                report,
                moving_in_service: moving.get(&flag.spec.service).copied().unwrap_or(1).saturating_sub(1),
                mask: shield.mask(flag, report),
            }
        })
        .collect();
    let answer = if observations.is_empty() {
        Ok(())
    } else {
        catch_unwind(AssertUnwindSafe(|| policy.propose(&observations, &mut proposals)))
            .unwrap_or_else(|panic| Err(PolicyFault::panicked(panic.as_ref())))
            .and_then(|()| sane(asked, &proposals))
    };
    if answer.is_err() {
        proposals.clear();
        proposals.resize(asked.len(), Proposal::HOLD);
    }
    drop(observations);
    observatory.proposals = proposals;
    answer.err()
}

/// Whether there is one finite proposal for each flag.
fn sane(asked: &[FlagId], proposals: &[Proposal]) -> Result<(), PolicyFault> {
    if proposals.len() != asked.len() {
        let found = format!("{} proposals for {} flags", proposals.len(), asked.len());
        return Err(PolicyFault::Nonsense(found));
    }
    match proposals.iter().find(|proposal| !proposal.is_finite()) {
        Some(_) => Err(PolicyFault::Nonsense("a probability or value that is not a number".to_owned())),
        None => Ok(()),
    }
}

/// Turns a ruling into an event where it is news, and counts it where it is not.
fn settle(
    flag: &FlagState,
    outlook: &mut Outlook,
    proposed: Action,
    ruling: Ruling,
    alarms: &mut Alarms<'_>,
    happened: &mut Vec<Happened>,
) {
    let same = outlook.ruling.as_ref().is_some_and(|last| {
        last.outcome == ruling.outcome
            && std::mem::discriminant(&last.reason) == std::mem::discriminant(&ruling.reason)
    });
    outlook.repeated = if same { outlook.repeated.saturating_add(1) } else { 1 };
    let news = match (ruling.outcome, ruling.action) {
        (Outcome::Vetoed, _) => {
            let veto = (std::mem::discriminant(&proposed), std::mem::discriminant(&ruling.reason));
            let news = outlook.vetoed != Some(veto);
            outlook.vetoed = Some(veto);
            news
        }
        (_, Action::Hold) => false,
        _ => {
            outlook.vetoed = None;
            true
        }
    };
    if news {
        let decision = Decision {
            flag: flag.id,
            proposed,
            outcome: ruling.outcome,
            action: ruling.action,
            from: flag.rollout,
            to: ruling.to,
            reason: ruling.reason.clone(),
            evidence: in_words(&outlook.report),
            holds: std::mem::take(&mut outlook.holds),
        };
        let by_shield = matches!(ruling.outcome, Outcome::Obliged | Outcome::Vetoed);
        if ruling.action == Action::RollBack {
            let who = if by_shield { "shield" } else { "agent" };
            let text = format!(
                "{} was rolled back from {} by the {who}: {}.",
                flag.spec.key, flag.rollout, ruling.reason
            );
            alarms.raise(AlarmKind::RolledBack(flag.spec.key.clone()), text);
        }
        happened.push((if by_shield { Actor::Shield } else { Actor::Agent }, Event::Decided(decision)));
    } else {
        outlook.holds = outlook.holds.saturating_add(1);
    }
    outlook.ruling = Some(ruling);
}

fn lost_beyond_deadline(
    flag: &FlagState,
    outlook: &Outlook,
    config: &ControlConfig,
    moment: Moment,
    happened: &mut Vec<Happened>,
) {
    if flag.phase != Phase::Ramping || outlook.report.verdict != Verdict::Lost {
        return;
    }
    let deadline = config.shield.lost_deadline;
    let age = outlook.report.age.unwrap_or_else(|| moment.now.since(flag.changed_at));
    if age > deadline {
        let reason = Some(Reason::TelemetryLost { age, deadline });
        happened.push((Actor::Shield, Event::Paused { flag: flag.id, reason }));
    }
}

/// The evidence as one clause: both arms, with their sample sizes.
fn in_words(report: &WindowReport) -> String {
    let percent = |rate: Option<f64>| rate.map_or("no".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    let ms = |p99: Option<f64>| p99.map_or("no".to_owned(), |p99| format!("{p99:.0} ms"));
    let (treatment, control) = (&report.treatment, &report.control);
    if treatment.requests == 0 {
        return String::new();
    }
    format!(
        "errors {} against {}, P99 {} against {}, n {} against {}{}",
        percent(treatment.error_rate()),
        percent(control.error_rate()),
        ms(treatment.p99_ms),
        ms(control.p99_ms),
        super::reason::grouped(treatment.requests),
        super::reason::grouped(control.requests),
        if report.control_recorded { ", recorded" } else { "" }
    )
}

/// Raises and clears alarms: one of a kind at a time.
struct Alarms<'a> {
    next: u64,
    state: &'a State,
    happened: Vec<Happened>,
}

impl Alarms<'_> {
    fn raise(&mut self, kind: AlarmKind, text: String) {
        let id = AlarmId(self.next);
        self.next += 1;
        self.happened.push((Actor::System, Event::AlarmRaised { id, kind, text }));
    }

    /// Makes the alarm of this kind stand, or be over.
    fn stand(&mut self, kind: AlarmKind, standing: bool, text: impl FnOnce() -> String) {
        match (self.state.alarm(&kind), standing) {
            (None, true) => self.raise(kind, text()),
            (Some(alarm), false) => {
                self.happened.push((Actor::System, Event::AlarmCleared { id: alarm.id }));
            }
            _ => {}
        }
    }

    fn policy(&mut self, fault: Option<&PolicyFault>) {
        self.stand(AlarmKind::PolicyFault, fault.is_some(), || {
            let fault = fault.map(ToString::to_string).unwrap_or_default();
            format!("{fault}. The agent holds everywhere; the shield still rolls back.")
        });
    }

    fn telemetry(
        &mut self,
        observatory: &mut Observatory,
        config: &ControlConfig,
        troubled: BTreeMap<ServiceName, u32>,
    ) {
        let state = self.state;
        for flag in &state.flags {
            let Observatory { windows, outlooks, .. } = &mut *observatory;
            let (window, outlook) = (&windows[flag.id.index()], &mut outlooks[flag.id.index()]);
            let key = &flag.spec.key;
            let lost = outlook.report.verdict == Verdict::Lost && !flag.rollout.is_zero();
            if lost || state.alarms.iter().any(|alarm| alarm.kind.flag() == Some(key)) {
                self.stand(AlarmKind::TelemetryLost(key.clone()), lost, || {
                    let age = outlook.report.age.map_or("ever".to_owned(), |age| age.to_string());
                    format!(
                        "No telemetry of {key} for {age}: it holds, and is paused after {}.",
                        config.shield.lost_deadline
                    )
                });
            }
            if flag.phase == Phase::Complete {
                let breach = window.breach(&config.shield.hard, false, EARLY_WARNING);
                self.stand(AlarmKind::Breach(key.clone()), breach.is_some(), || {
                    format!(
                        "{key} at 100 % is worse than its recorded control ({}).",
                        in_words(&outlook.report)
                    )
                });
            }
            let broken: u32 = Rejection::ALL
                .iter()
                .zip(window.rejected())
                .filter(|(why, _)| !matches!(why, Rejection::Late | Rejection::Duplicate))
                .map(|(_, count)| *count)
                .sum();
            if broken > outlook.rejected_before {
                outlook.rejected_before = broken;
                outlook.clean_intervals = 0;
                self.stand(AlarmKind::BadTelemetry(key.clone()), true, || {
                    format!("The source of {key} reports what cannot be: {broken} samples rejected so far.")
                });
            } else if outlook.clean_intervals < SOUND_AFTER {
                outlook.clean_intervals += 1;
                if outlook.clean_intervals == SOUND_AFTER && broken > 0 {
                    self.stand(AlarmKind::BadTelemetry(key.clone()), false, String::new);
                }
            }
        }
        let standing: Vec<ServiceName> = state
            .alarms
            .iter()
            .filter_map(|alarm| match &alarm.kind {
                AlarmKind::Dependency(service) if alarm.cleared_at.is_none() => Some(service.clone()),
                _ => None,
            })
            .collect();
        for service in standing.iter().filter(|service| !troubled.contains_key(*service)) {
            self.stand(AlarmKind::Dependency(service.clone()), false, String::new);
        }
        for (service, flags) in troubled {
            self.stand(AlarmKind::Dependency(service.clone()), true, || {
                format!(
                    "Both arms of {service} are bad ({flags} flags): a dependency; its raises are frozen."
                )
            });
        }
    }
}
