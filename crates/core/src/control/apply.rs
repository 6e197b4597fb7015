//! Folding events into state. Nothing else changes state, and nothing here can fail: what could be refused was refused
//! before the event was made.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Action, Actor, Archived, Decision, Deployed, Entry, Event, FlagState, Hold, LastAction, Latch, Outcome,
    Phase, RearmAsked, Reason, Recheck, Seq, State, Waiting, state::Raise,
};
use crate::{
    flag::{FlagId, FlagSpec, Rollout, clean_line},
    telemetry::Millis,
};

/// What stands between what happened and why, in an entry's sentence.
const REASON_GIVEN: &str = " Reason given: ";

/// How long raises and reversals are remembered: no window of the shield is longer.
const REMEMBERED: Millis = Millis::from_secs(24 * 3_600);

impl State {
    /// Numbers what happened and puts it in words; changes nothing. `note` is the person's reason, if any.
    #[must_use]
    pub fn entries(&self, at: Millis, happened: Vec<(Actor, Event)>, note: &str) -> Vec<Entry> {
        let at = at.max(self.at);
        let note = clean_line(note);
        let mut created = Vec::new();
        (self.seq.0 + 1..)
            .zip(happened)
            .map(|(seq, (actor, event))| {
                let flag = match &event {
                    Event::Created { spec } => {
                        created.push(spec.key.clone());
                        Some(spec.key.clone())
                    }
                    Event::AlarmRaised { kind, .. } => kind.flag().cloned(),
                    Event::AlarmCleared { id }
                    | Event::AlarmAcknowledged { id }
                    | Event::AlarmShelved { id, .. }
                    | Event::AlarmUnshelved { id } => self
                        .alarms
                        .iter()
                        .find(|alarm| alarm.id == *id)
                        .and_then(|alarm| alarm.kind.flag().cloned()),
                    event => event.flag().and_then(|id| {
                        let known = self.flags.get(id.index()).map(|flag| &flag.spec.key);
                        known.or_else(|| created.get(id.index().checked_sub(self.flags.len())?)).cloned()
                    }),
                };
                let mut sentence = event.sentence(flag.as_ref(), self, at);
                if !note.is_empty() {
                    sentence.push_str(REASON_GIVEN);
                    sentence.push_str(&note);
                }
                Entry { seq: Seq(seq), at, actor, flag, event, sentence }
            })
            .collect()
    }

    /// Folds one entry in.
    pub fn apply(&mut self, entry: &Entry) {
        self.seq = entry.seq;
        self.at = self.at.max(entry.at);
        let at = self.at;
        match &entry.event {
            Event::SessionStarted { environment, .. } => self.environment.clone_from(environment),
            Event::Created { spec } => self.create(spec, at),
            Event::Changed { flag, change } => self.change(entry, *flag, |flag, _| {
                change.apply(&mut flag.spec);
                format!("changed: {change}")
            }),
            Event::Archived { flag, .. } => self.archive(entry, *flag),
            Event::Started { flag, to } => self.change(entry, *flag, |flag, raises| {
                flag.begin_ramp(at);
                flag.move_to(*to, at, raises);
                format!("started at {to}")
            }),
            Event::Waiting { flag } => self.change(entry, *flag, |flag, _| {
                flag.waiting = Some(Waiting { by: entry.actor.clone(), since: at });
                flag.let_go();
                flag.enter(Phase::Idle, at);
                "waits for its deployment".to_owned()
            }),
            Event::Deployed { kind, what } => {
                let by = entry.actor.clone();
                self.note_deployment(Deployed { at, by, kind: *kind, what: what.clone() });
            }
            Event::Decided(decision) => self.decided(entry, decision),
            Event::Paused { flag, .. } => self.change(entry, *flag, |flag, _| {
                flag.enter(Phase::Paused, at);
                "paused".to_owned()
            }),
            Event::Resumed { flag } | Event::Released { flag } => self.change(entry, *flag, |flag, _| {
                flag.let_go();
                if flag.phase == Phase::Paused {
                    flag.enter(Phase::Ramping, at);
                }
                if matches!(entry.event, Event::Resumed { .. }) { "resumed" } else { "handed back" }
                    .to_owned()
            }),
            Event::RolledBack { flag, .. } => self.change(entry, *flag, |flag, raises| {
                flag.move_to(Rollout::ZERO, at, raises);
                flag.enter(Phase::RolledBack, at);
                flag.waiting = None;
                flag.let_go();
                "rolled back".to_owned()
            }),
            Event::Set { flag, to, until, guard_off, .. } => {
                self.set(entry, *flag, *to, *until, *guard_off);
            }
            Event::Promoted { flag, .. } => self.change(entry, *flag, |flag, raises| {
                if flag.phase.needs_start() {
                    flag.begin_ramp(at);
                }
                flag.move_to(Rollout::FULL, at, raises);
                flag.enter(Phase::Complete, at);
                flag.let_go();
                "promoted to 100 %".to_owned()
            }),
            Event::HoldExpired { flag } => {
                if let Some(flag) = self.flags.get_mut(flag.index()) {
                    flag.let_go();
                }
            }
            Event::KilledAll { exposed } => self.kill(entry, *exposed),
            Event::RearmAsked { who, until } => {
                let (by, who, until) = (entry.actor.clone(), who.clone(), *until);
                if let Some(latch) = &mut self.latch {
                    latch.asked = Some(RearmAsked { by, who, at, until });
                }
            }
            Event::Rearmed => self.latch = None,
            Event::AlarmRaised { .. }
            | Event::AlarmCleared { .. }
            | Event::AlarmAcknowledged { .. }
            | Event::AlarmShelved { .. }
            | Event::AlarmUnshelved { .. } => self.fold_alarm(entry),
            Event::BriefingAcknowledged => self.briefed = true,
            // Who steers is not the state's to know, and nothing that a shadow says is done.
            Event::SessionResumed { .. } | Event::Shadow { .. } | Event::ShadowFaulty { .. } => {}
        }
    }

    fn create(&mut self, spec: &FlagSpec, at: Millis) {
        let id = FlagId(u32::try_from(self.flags.len()).unwrap_or(u32::MAX));
        self.by_key.insert(spec.key.clone(), id);
        self.flags.push(FlagState {
            id,
            spec: spec.clone(),
            phase: Phase::Idle,
            phase_since: at,
            rollout: Rollout::ZERO,
            changed_at: at,
            ramp: 0,
            hold: None,
            guard_off_until: None,
            lowered_at: None,
            reversals: VecDeque::new(),
            last: None,
            waiting: None,
            probed_at: None,
            rechecks: BTreeMap::new(),
            auto_rolled_back_at: None,
            archived: None,
        });
    }

    /// Out of everything but the journal and the list of keys that were used. Its place stays its own.
    fn archive(&mut self, entry: &Entry, id: FlagId) {
        let at = self.at;
        self.change(entry, id, |flag, raises| {
            flag.move_to(Rollout::ZERO, at, raises);
            flag.let_go();
            flag.archived = Some(Archived { at, by: entry.actor.clone() });
            "archived".to_owned()
        });
        self.alarms.retain(|alarm| alarm.kind.flag().is_none() || alarm.kind.flag() != entry.flag.as_ref());
    }

    fn set(&mut self, entry: &Entry, id: FlagId, to: Rollout, until: Millis, guard_off: bool) {
        let at = self.at;
        let by = entry.actor.to_string();
        self.change(entry, id, |flag, raises| {
            if flag.phase.needs_start() && !to.is_zero() {
                flag.begin_ramp(at);
            }
            flag.waiting = None;
            flag.move_to(to, at, raises);
            match (to.is_zero(), to.is_full()) {
                (true, _) => flag.enter(Phase::RolledBack, at),
                (_, true) => flag.enter(Phase::Complete, at),
                _ if flag.phase == Phase::Complete => flag.enter(Phase::Ramping, at),
                _ => {}
            }
            flag.hold = Some(Hold { by, until });
            flag.guard_off_until = guard_off.then_some(until);
            format!("set to {to}")
        });
    }

    fn decided(&mut self, entry: &Entry, decision: &Decision) {
        let at = self.at;
        let to = decision.to;
        match decision.action {
            // A veto is journalled and changes nothing.
            Action::Hold => {}
            Action::RollBack => self.change(entry, decision.flag, |flag, raises| {
                flag.move_to(Rollout::ZERO, at, raises);
                flag.enter(Phase::RolledBack, at);
                flag.auto_rolled_back_at = Some(at);
                flag.let_go();
                format!("rolled back from {}", decision.from)
            }),
            Action::StepDown => self.change(entry, decision.flag, |flag, raises| {
                if flag.phase == Phase::Complete {
                    flag.enter(Phase::Ramping, at);
                }
                let recheck = match &decision.reason {
                    Reason::BaselineBreach { metric, .. } => Some(*metric),
                    _ => None,
                };
                if let Some(metric) = recheck {
                    let rechecked = flag.rechecks.entry(metric).or_insert(Recheck { times: 0, at });
                    *rechecked = Recheck { times: rechecked.times.saturating_add(1), at };
                }
                // A recheck needs no answer; a broken limit does.
                flag.probed_at = (decision.outcome == Outcome::Enforced && recheck.is_none()).then_some(at);
                flag.move_to(to, at, raises);
                flag.lowered_at = Some(at);
                flag.reversals.push_back(at);
                forget(&mut flag.reversals, at);
                if to.is_zero() {
                    flag.enter(Phase::RolledBack, at);
                    flag.auto_rolled_back_at = Some(at);
                }
                format!("stepped down to {to}")
            }),
            Action::RaiseTo(_) => self.change(entry, decision.flag, |flag, raises| {
                flag.move_to(to, at, raises);
                if to.is_full() {
                    flag.enter(Phase::Complete, at);
                }
                format!("raised to {to}")
            }),
        }
    }

    fn kill(&mut self, entry: &Entry, exposed: u32) {
        let at = self.at;
        // Who stopped everything first, and why, is what everybody has to know until it is over.
        let again = self.latch.is_some();
        let latch = self.latch.get_or_insert_with(|| Latch {
            by: entry.actor.clone(),
            at,
            seq: entry.seq,
            exposed,
            reason: entry.reason_given().unwrap_or_default().to_owned(),
            asked: None,
        });
        latch.asked = None;
        for flag in self.flags.iter_mut().filter(|flag| flag.archived.is_none()) {
            if again && flag.phase == Phase::Killed {
                continue;
            }
            flag.rollout = Rollout::ZERO;
            flag.changed_at = at;
            flag.waiting = None;
            flag.let_go();
            flag.enter(Phase::Killed, at);
            flag.last =
                Some(LastAction { at, by: entry.actor.clone(), what: "killed".to_owned(), seq: entry.seq });
        }
    }

    /// Changes a flag and notes it as the last thing done to it.
    fn change(
        &mut self,
        entry: &Entry,
        id: FlagId,
        change: impl FnOnce(&mut FlagState, &mut VecDeque<Raise>) -> String,
    ) {
        let at = self.at;
        let Some(flag) = self.flags.get_mut(id.index()) else { return };
        let raises = self.raises.entry(flag.spec.service.clone()).or_default();
        while raises.front().is_some_and(|raise| at.since(raise.at) > REMEMBERED) {
            raises.pop_front();
        }
        let what = change(flag, raises);
        flag.last = Some(LastAction { at, by: entry.actor.clone(), what, seq: entry.seq });
    }
}

impl Entry {
    /// The person's reason, as [`State::entries`] put it into the sentence.
    #[must_use]
    pub fn reason_given(&self) -> Option<&str> {
        self.sentence.split_once(REASON_GIVEN).map(|(_, reason)| reason)
    }
}

impl FlagState {
    fn enter(&mut self, phase: Phase, at: Millis) {
        if self.phase != phase {
            self.phase = phase;
            self.phase_since = at;
        }
    }

    /// Ends a person's hold, and with it whatever was switched off for its time.
    fn let_go(&mut self) {
        self.hold = None;
        self.guard_off_until = None;
    }

    fn begin_ramp(&mut self, at: Millis) {
        self.ramp += 1;
        self.waiting = None;
        self.auto_rolled_back_at = None;
        self.rechecks.clear();
        self.let_go();
        self.lowered_at = None;
        self.reversals.clear();
        self.enter(Phase::Ramping, at);
    }

    fn move_to(&mut self, to: Rollout, at: Millis, raises: &mut VecDeque<Raise>) {
        if to > self.rollout {
            let basis_points = to.basis_points() - self.rollout.basis_points();
            raises.push_back(Raise { at, basis_points });
        }
        if to != self.rollout {
            self.rollout = to;
            self.changed_at = at;
        }
    }
}

fn forget(times: &mut VecDeque<Millis>, at: Millis) {
    while times.front().is_some_and(|time| at.since(*time) > REMEMBERED) {
        times.pop_front();
    }
}
