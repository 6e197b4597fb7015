//! What the control room knows of the world: the backend's [`Snapshot`], kept up to date, and a longer log.
//!
//! Holds what the backend sent and nothing derived from keys; the screens read it. It must not know which screen is open.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Deref,
    sync::Arc,
};

use knightwatch_core::{
    control::{Alarm, AlarmId, AlarmKind, Entry, Phase, Priority, Seq},
    flag::{FlagKey, FlagKind},
    telemetry::{Millis, Verdict},
};
use knightwatch_engine::backend::{Change, FlagView, Snapshot};

/// Journal entries kept; older ones are fetched again when somebody scrolls to them.
const KEPT_ENTRIES: usize = 5_000;

/// The backend's state as last heard. Reads as a [`Snapshot`]; only [`FleetView::apply`] changes that.
#[derive(Clone, Debug)]
pub(super) struct FleetView {
    /// Copied by a change only while somebody else still holds it.
    snapshot: Arc<Snapshot>,
    /// Journal entries from before those of the snapshot, oldest first.
    older: VecDeque<Entry>,
    index: HashMap<FlagKey, usize>,
}

impl Deref for FleetView {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl FleetView {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        let mut fleet = Self { snapshot, older: VecDeque::new(), index: HashMap::new() };
        fleet.index_from(0);
        fleet
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let known = self.flags.len();
        let dropped = Arc::make_mut(&mut self.snapshot).apply(change);
        self.older.extend(dropped);
        let surplus = self.log_len().saturating_sub(KEPT_ENTRIES);
        self.older.drain(..surplus.min(self.older.len()));
        self.index_from(known);
    }

    /// Notes the keys of the flags from this place on.
    fn index_from(&mut self, first: usize) {
        let flags = self.snapshot.flags.iter().enumerate().skip(first);
        self.index.extend(flags.map(|(place, flag)| (flag.spec.key.clone(), place)));
    }

    /// The journal as far as it is here, oldest first, numbers ascending.
    pub(super) fn log(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.older.iter().chain(&self.entries)
    }

    pub(super) fn log_len(&self) -> usize {
        self.older.len() + self.entries.len()
    }

    /// Number of the oldest journal entry that is here.
    pub(super) fn oldest(&self) -> Option<Seq> {
        self.log().next().map(|entry| entry.seq)
    }

    /// How many of the entries that are here have a smaller number.
    pub(super) fn log_before(&self, seq: Seq) -> usize {
        let is_before = |entry: &Entry| entry.seq < seq;
        self.older.partition_point(is_before) + self.entries.partition_point(is_before)
    }

    /// The journal entry with this number, where it is still here.
    pub(super) fn entry(&self, seq: Seq) -> Option<&Entry> {
        let place = self.log_before(seq);
        let entry = match place.checked_sub(self.older.len()) {
            None => self.older.get(place),
            Some(place) => self.entries.get(place),
        };
        entry.filter(|entry| entry.seq == seq)
    }

    /// Adds entries older than all that are here; `entries` is newest last. Returns how many were new.
    pub(super) fn add_older(&mut self, entries: Vec<Entry>) -> usize {
        let mut added = 0;
        for entry in entries.into_iter().rev() {
            if self.oldest().is_none_or(|oldest| entry.seq < oldest) {
                self.older.push_front(entry);
                added += 1;
            }
        }
        added
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

    pub(super) fn count(&self, phase: Phase) -> usize {
        self.alive().filter(|flag| flag.phase == phase).count()
    }

    /// Alarms that nobody has acknowledged and that are not shelved: the highest priority first, what lasts before what is over, then the newest.
    pub(super) fn unacknowledged(&self) -> Vec<&Alarm> {
        let mut alarms: Vec<_> = self.controller.alarms.iter().filter(|alarm| alarm.is_open()).collect();
        alarms.sort_by_key(|alarm| urgency(alarm));
        alarms
    }

    /// All alarms in the order of the list: unacknowledged, acknowledged, shelved; of each as on the banner.
    pub(super) fn alarms_in_order(&self) -> Vec<&Alarm> {
        let mut alarms: Vec<_> = self.controller.alarms.iter().collect();
        alarms.sort_by_key(|alarm| (alarm.shelf.is_some(), alarm.acknowledged_by.is_some(), urgency(alarm)));
        alarms
    }

    /// Flags that were rolled back, or are worse than their record, and nobody has said to have seen it.
    pub(super) fn unseen(&self) -> HashSet<&FlagKey> {
        let alarms = self.controller.alarms.iter().filter(|alarm| alarm.acknowledged_by.is_none());
        alarms
            .filter_map(|alarm| match &alarm.kind {
                AlarmKind::RolledBack(key) | AlarmKind::Breach(key) => Some(key),
                _ => None,
            })
            .collect()
    }

    /// Numbers of the critical alarms that nobody has acknowledged.
    pub(super) fn critical(&self) -> HashSet<AlarmId> {
        self.controller
            .alarms
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
