//! What the control room knows of the world: the last snapshot with every change since folded in.
//!
//! Holds copies of what the backend sent and nothing derived from keys; the screens read it. It must not know which
//! screen is open.

use std::collections::{HashMap, HashSet, VecDeque};

use knightwatch_core::{
    control::{Alarm, AlarmId, AlarmKind, Entry, Latch, Phase, Priority, Seq},
    flag::{FlagKey, FlagKind},
    telemetry::{Millis, Verdict},
};
use knightwatch_engine::backend::{Change, FlagView, Pace, Point, PolicyView, Snapshot};

/// Points kept of each flag: 40 min at the default interval.
const RING: usize = 240;
/// Points kept of each flag in a large fleet, where 240 would cost 150 MB.
const RING_LARGE: usize = 60;
/// A fleet is large from here on.
const LARGE_FLEET: usize = 2_000;
/// Journal entries kept; older ones are fetched again when somebody scrolls to them.
const KEPT_ENTRIES: usize = 5_000;

/// The backend's state as last heard.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) environment: String,
    pub(super) source: String,
    pub(super) simulated: bool,
    pub(super) policy: PolicyView,
    pub(super) now: Millis,
    pub(super) interval: Millis,
    pub(super) pace: Pace,
    pub(super) seq: Seq,
    pub(super) latch: Option<Latch>,
    pub(super) alarms: Vec<Alarm>,
    pub(super) flags: Vec<FlagView>,
    pub(super) history: Vec<VecDeque<Point>>,
    /// Oldest first, numbers ascending.
    pub(super) entries: VecDeque<Entry>,
    pub(super) briefed: bool,
    pub(super) done: bool,
    index: HashMap<FlagKey, usize>,
}

impl World {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let mut world = Self {
            environment: snapshot.environment.clone(),
            source: snapshot.source.clone(),
            simulated: snapshot.simulated,
            policy: snapshot.policy.clone(),
            now: snapshot.now,
            interval: snapshot.interval,
            pace: snapshot.pace,
            seq: snapshot.seq,
            latch: snapshot.latch.clone(),
            alarms: snapshot.alarms.clone(),
            flags: snapshot.flags.clone(),
            history: Vec::with_capacity(snapshot.flags.len()),
            entries: VecDeque::new(),
            briefed: snapshot.briefed,
            done: snapshot.done,
            index: snapshot.flags.iter().enumerate().map(|(i, flag)| (flag.spec.key.clone(), i)).collect(),
        };
        let ring = world.ring();
        for place in 0..snapshot.flags.len() {
            let points = snapshot.history.get(place).map_or(&[][..], Vec::as_slice);
            world.history.push(points[points.len().saturating_sub(ring)..].iter().copied().collect());
        }
        world.add_entries(&snapshot.entries);
        world
    }

    pub(super) fn change(&mut self, change: &Change) {
        self.now = change.now;
        self.seq = change.seq;
        self.pace = change.pace;
        if let Some(policy) = &change.policy {
            self.policy = policy.clone();
        }
        self.latch.clone_from(&change.latch);
        self.alarms.clone_from(&change.alarms);
        self.briefed = change.briefed;
        self.done = change.done;
        let ring = self.ring();
        for flag in &change.flags {
            let place = *self.index.entry(flag.spec.key.clone()).or_insert(self.flags.len());
            if place == self.flags.len() {
                self.flags.push(flag.clone());
                self.history.push(VecDeque::new());
            } else {
                self.flags[place].clone_from(flag);
            }
            // The same point may come again with a command between two ticks.
            let points = &mut self.history[place];
            if change.tick && points.back().is_none_or(|last| last.at < flag.point.at) {
                if points.len() >= ring {
                    points.pop_front();
                }
                points.push_back(flag.point);
            }
        }
        self.add_entries(&change.entries);
        while self.entries.len() > KEPT_ENTRIES {
            self.entries.pop_front();
        }
    }

    /// Adds entries newer than all that are here.
    fn add_entries(&mut self, entries: &[Entry]) {
        for entry in entries {
            if self.entries.back().is_none_or(|last| last.seq < entry.seq) {
                self.entries.push_back(entry.clone());
            }
        }
    }

    /// Adds entries older than all that are here; `entries` is newest last. Returns how many were new.
    pub(super) fn add_older(&mut self, entries: Vec<Entry>) -> usize {
        let mut added = 0;
        for entry in entries.into_iter().rev() {
            if self.entries.front().is_none_or(|first| entry.seq < first.seq) {
                self.entries.push_front(entry);
                added += 1;
            }
        }
        added
    }

    fn ring(&self) -> usize {
        if self.flags.len() > LARGE_FLEET { RING_LARGE } else { RING }
    }

    pub(super) fn place(&self, key: &FlagKey) -> Option<usize> {
        self.index.get(key).copied()
    }

    pub(super) fn flag(&self, key: &FlagKey) -> Option<&FlagView> {
        self.place(key).map(|place| &self.flags[place])
    }

    /// How many flags have treatment traffic.
    pub(super) fn exposed(&self) -> usize {
        self.flags.iter().filter(|flag| !flag.rollout.is_zero()).count()
    }

    /// The flags that were not archived.
    pub(super) fn alive(&self) -> impl Iterator<Item = &FlagView> {
        self.flags.iter().filter(|flag| flag.archived.is_none())
    }

    /// Alarms out of sight for a time.
    pub(super) fn shelved(&self) -> usize {
        self.alarms.iter().filter(|alarm| alarm.shelf.is_some()).count()
    }

    pub(super) fn count(&self, phase: Phase) -> usize {
        self.alive().filter(|flag| flag.phase == phase).count()
    }

    /// Alarms that nobody has acknowledged and that are not shelved: the highest priority first, what lasts before what is over, then the newest.
    pub(super) fn unacknowledged(&self) -> Vec<&Alarm> {
        let mut alarms: Vec<_> = self.alarms.iter().filter(|alarm| alarm.is_open()).collect();
        alarms.sort_by_key(|alarm| urgency(alarm));
        alarms
    }

    /// All alarms in the order of the list: unacknowledged, acknowledged, shelved; of each as on the banner.
    pub(super) fn alarms_in_order(&self) -> Vec<&Alarm> {
        let mut alarms: Vec<_> = self.alarms.iter().collect();
        alarms.sort_by_key(|alarm| (alarm.shelf.is_some(), alarm.acknowledged_by.is_some(), urgency(alarm)));
        alarms
    }

    /// Flags that were rolled back, or are worse than their record, and nobody has said to have seen it.
    pub(super) fn unseen(&self) -> HashSet<&FlagKey> {
        let alarms = self.alarms.iter().filter(|alarm| alarm.acknowledged_by.is_none());
        alarms
            .filter_map(|alarm| match &alarm.kind {
                AlarmKind::RolledBack(key) | AlarmKind::Breach(key) => Some(key),
                _ => None,
            })
            .collect()
    }

    /// The journal entry with this number, where it is still here.
    pub(super) fn entry(&self, seq: Seq) -> Option<&Entry> {
        self.entries.binary_search_by_key(&seq, |entry| entry.seq).ok().map(|place| &self.entries[place])
    }

    /// Numbers of the critical alarms that nobody has acknowledged.
    pub(super) fn critical(&self) -> HashSet<AlarmId> {
        self.alarms
            .iter()
            .filter(|alarm| alarm.priority() == Priority::Critical && alarm.acknowledged_by.is_none())
            .map(|alarm| alarm.id)
            .collect()
    }

    /// Whether the flag's telemetry is too old to be shown as current.
    pub(super) fn is_old(&self, flag: &FlagView) -> bool {
        flag.verdict == Verdict::Lost || flag.report.age.is_some_and(|age| age.0 > 3 * self.interval.0.max(1))
    }

    /// Number of the interval that a point closed: what the sweep of a sparkline goes by.
    pub(super) fn interval_number(&self, at: Millis) -> u64 {
        at.0 / self.interval.0.max(1)
    }
}

/// What is to be looked at first: the higher priority, what a flag did to people before what cannot be known of it,
/// what still lasts, the newest.
fn urgency(alarm: &Alarm) -> impl Ord + use<> {
    use std::cmp::Reverse;
    let kind = match alarm.kind {
        AlarmKind::PolicyFault | AlarmKind::NotDurable => 0,
        AlarmKind::Breach(_) | AlarmKind::RolledBack(_) | AlarmKind::LeftOn(_) => 1,
        AlarmKind::Dependency(_) | AlarmKind::Definitions => 2,
        AlarmKind::TelemetryLost(_) | AlarmKind::BadTelemetry(_) => 3,
    };
    let over = alarm.cleared_at.is_some();
    (Reverse(alarm.priority()), kind, over, Reverse(alarm.raised_at), Reverse(alarm.id))
}

/// How much a flag asks to be looked at: the lower, the more. `unseen`: it was rolled back and nobody has said to have
/// seen it.
pub(super) fn attention(flag: &FlagView, now: Millis, unseen: bool) -> u8 {
    let guard_off = flag.guard_off_until.is_some_and(|until| until > now);
    match (flag.phase, flag.verdict) {
        (Phase::Ramping | Phase::Paused | Phase::Complete, Verdict::Regressed) => 0,
        _ if guard_off => 1,
        (Phase::Ramping | Phase::Paused | Phase::Complete, Verdict::Lost) => 2,
        (Phase::RolledBack, _) if unseen => 3,
        (Phase::Paused, _) => 4,
        (Phase::Ramping, _) => 5,
        (Phase::RolledBack, _) => 6,
        (Phase::Killed, _) => 7,
        (Phase::Complete, _) => 8,
        (Phase::Idle, _) => 9,
    }
}

/// The unit of a flag's traffic.
pub(super) fn unit(flag: &FlagView) -> &'static str {
    match flag.spec.kind {
        FlagKind::Requests => "requests",
        FlagKind::Jobs => "jobs",
    }
}
