//! What the control API answers, as documented data: shapes of their own, so that the engine's insides may change.
//!
//! Times are controller time in milliseconds since the Unix epoch, spans are in milliseconds, rollouts in percent. What is not
//! known is `null`, never 0.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use knightwatch_core::{
    control::{self, Phase},
    flag::Rollout,
    telemetry::{ArmStats, Millis},
};
use knightwatch_engine::backend::{self, FlagView, Pace, Snapshot};

/// The backend at a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Status {
    /// The environment's name: re-arming asks for it.
    pub(crate) environment: String,
    /// What is steered.
    pub(crate) source: String,
    /// Whether controller time is simulated.
    pub(crate) simulated: bool,
    /// The policy in charge.
    pub(crate) policy: String,
    /// Why the agent holds everywhere, where it does.
    pub(crate) policy_fault: Option<String>,
    /// Controller time.
    pub(crate) now: u64,
    /// The control interval.
    pub(crate) interval: u64,
    /// How fast controller time goes: times real time, 0 while it stands still.
    pub(crate) speed: u32,
    /// Number of the last entry in the journal.
    pub(crate) seq: u64,
    /// Kill-all, while it is in force.
    pub(crate) latch: Option<Latch>,
    /// Flags in each phase.
    pub(crate) phases: Phases,
    /// Alarms that stand; those of them that nobody has acknowledged and are not shelved; those that are shelved.
    pub(crate) alarms: usize,
    /// See `alarms`.
    pub(crate) unacknowledged: usize,
    /// See `alarms`.
    pub(crate) shelved: usize,
    /// Whether what is steered has come to its end.
    pub(crate) done: bool,
    /// Why flag definitions were not changed, while those that should be in force cannot be.
    pub(crate) definitions_fault: Option<String>,
    /// The addresses that this backend listens at, as ADDRESS:PORT.
    pub(crate) listen: Vec<String>,
}

/// Flags in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Phases {
    pub(crate) idle: usize,
    pub(crate) ramping: usize,
    pub(crate) paused: usize,
    pub(crate) rolled_back: usize,
    pub(crate) complete: usize,
    pub(crate) killed: usize,
}

/// Kill-all in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Latch {
    /// Who.
    pub(crate) by: String,
    /// When.
    pub(crate) at: u64,
    /// The number of the kill-all.
    pub(crate) seq: u64,
    /// Flags that were on for somebody.
    pub(crate) exposed: u32,
    /// Why, in the person's words; `null` where nothing was said.
    pub(crate) reason: Option<String>,
    /// One person's asking for re-arming, while another one may agree to it.
    pub(crate) asked: Option<Asked>,
}

/// One person has asked for re-arming; another one has to agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Asked {
    /// Who they authenticated as.
    pub(crate) by: String,
    /// When.
    pub(crate) at: u64,
    /// Until when it holds.
    pub(crate) until: u64,
}

impl Latch {
    fn at(latch: &control::Latch, now: Millis) -> Self {
        let asked = latch.asked_at(now).map(|asked| Asked {
            by: asked.who.clone(),
            at: asked.at.0,
            until: asked.until.0,
        });
        let (by, at, seq) = (latch.by.to_string(), latch.at.0, latch.seq.0);
        let reason = Some(latch.reason.clone()).filter(|reason| !reason.is_empty());
        Self { by, at, seq, exposed: latch.exposed, reason, asked }
    }
}

impl Status {
    /// Of what is steered, by a backend whose definitions have this fault and that listens at these addresses.
    pub(crate) fn of(snapshot: &Snapshot, definitions_fault: Option<String>, listen: &[SocketAddr]) -> Self {
        let mut phases = Phases::default();
        for flag in snapshot.alive() {
            *match flag.phase {
                Phase::Idle => &mut phases.idle,
                Phase::Ramping => &mut phases.ramping,
                Phase::Paused => &mut phases.paused,
                Phase::RolledBack => &mut phases.rolled_back,
                Phase::Complete => &mut phases.complete,
                Phase::Killed => &mut phases.killed,
            } += 1;
        }
        let open = |alarm: &&control::Alarm| alarm.is_open();
        Self {
            environment: snapshot.environment.clone(),
            source: snapshot.source.clone(),
            simulated: snapshot.simulated,
            policy: snapshot.controller.policy.name.clone(),
            policy_fault: snapshot.controller.policy.fault.clone(),
            now: snapshot.controller.now.0,
            interval: snapshot.interval.0,
            speed: speed(snapshot.controller.pace),
            seq: snapshot.controller.seq.0,
            latch: snapshot.controller.latch.as_ref().map(|latch| Latch::at(latch, snapshot.controller.now)),
            phases,
            alarms: snapshot.controller.alarms.len(),
            unacknowledged: snapshot.controller.alarms.iter().filter(open).count(),
            shelved: snapshot.controller.shelved(),
            done: snapshot.controller.done,
            definitions_fault,
            listen: listen.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Times real time; 0 while time stands still.
pub(crate) const fn speed(pace: Pace) -> u32 {
    match pace {
        Pace::Real => 1,
        Pace::Times(times) => times,
        Pace::Stopped => 0,
    }
}

/// One arm over the last intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Arm {
    /// Requests.
    pub(crate) requests: u64,
    /// Share of failed ones, 0 to 1.
    pub(crate) error_rate: Option<f64>,
    /// P99 in milliseconds.
    pub(crate) p99_ms: Option<f64>,
}

impl From<&ArmStats> for Arm {
    fn from(arm: &ArmStats) -> Self {
        Self { requests: arm.requests, error_rate: arm.error_rate(), p99_ms: arm.p99_ms }
    }
}

/// A person's hold: the agent keeps off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Hold {
    /// Who.
    pub(crate) by: String,
    /// Until when.
    pub(crate) until: u64,
}

/// The last thing done to a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Last {
    /// When.
    pub(crate) at: u64,
    /// By whom: `agent`, `shield`, `system` or a person.
    pub(crate) by: String,
    /// What.
    pub(crate) what: String,
    /// Its number in the journal; the flag's `ETag`.
    pub(crate) seq: u64,
}

/// One flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Flag {
    /// Its key.
    pub(crate) key: String,
    /// The service that it is in.
    pub(crate) service: String,
    /// What it is for.
    pub(crate) description: String,
    /// Its phase: `idle`, `ramping`, `paused`, `rolled_back`, `complete` or `killed`.
    #[schema(value_type = String)]
    pub(crate) phase: Phase,
    /// Since when.
    pub(crate) phase_since: u64,
    /// The share of traffic that gets `on`, 0 to 100.
    pub(crate) percent: f64,
    /// When that last changed.
    pub(crate) changed_at: u64,
    /// The rungs of its ladder, in percent.
    pub(crate) ladder: Vec<f64>,
    /// What the evidence says: `healthy`, `regressed`, `insufficient` or `lost`.
    pub(crate) verdict: String,
    /// How old the newest telemetry is.
    pub(crate) age: Option<u64>,
    /// Requests with the flag on.
    pub(crate) treatment: Arm,
    /// Requests with the flag off.
    pub(crate) control: Arm,
    /// A person's hold.
    pub(crate) hold: Option<Hold>,
    /// Until when the hard limits are off.
    pub(crate) guard_off_until: Option<u64>,
    /// The last thing done to it.
    pub(crate) last: Option<Last>,
    /// The deployment that it waits for, once its start is ordered.
    pub(crate) waits_for: Option<String>,
    /// What the shield said at the last tick.
    pub(crate) ruling: Option<String>,
    /// When it was archived, where it was.
    pub(crate) archived_at: Option<u64>,
}

impl From<&FlagView> for Flag {
    fn from(flag: &FlagView) -> Self {
        let millis = |at: Millis| at.0;
        Self {
            key: flag.spec.key.to_string(),
            service: flag.spec.service.to_string(),
            description: flag.spec.description.clone(),
            phase: flag.phase,
            phase_since: flag.phase_since.0,
            percent: flag.rollout.percent(),
            changed_at: flag.changed_at.0,
            ladder: flag.spec.ladder.rungs().iter().map(|rung| Rollout::percent(*rung)).collect(),
            verdict: flag.verdict.to_string(),
            age: flag.report.age.map(millis),
            treatment: flag.treatment().into(),
            control: flag.control().into(),
            hold: flag.hold.as_ref().map(|hold| Hold { by: hold.by.clone(), until: hold.until.0 }),
            guard_off_until: flag.guard_off_until.map(millis),
            last: flag.last.as_ref().map(|last| Last {
                at: last.at.0,
                by: last.by.to_string(),
                what: last.what.clone(),
                seq: last.seq.0,
            }),
            waits_for: flag
                .waiting
                .as_ref()
                .and_then(|_| flag.spec.deployment.as_ref().map(ToString::to_string)),
            ruling: flag.ruling.as_ref().map(|ruling| ruling.reason.to_string()),
            archived_at: flag.archived.as_ref().map(|archived| archived.at.0),
        }
    }
}

/// A page of flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the name in the JSON")]
pub(crate) struct Flags {
    /// The flags of this page.
    pub(crate) flags: Vec<Flag>,
    /// How many there are that fit.
    pub(crate) total: usize,
    /// The offset of the next page, where there is one.
    pub(crate) next: Option<usize>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Ack {
    /// Number of its last entry in the journal; 0 where the journal has not answered yet.
    pub(crate) seq: u64,
    /// What was done, as sentences.
    pub(crate) done: Vec<String>,
    /// What a person should know: which of the agent's rules this overrode.
    pub(crate) warnings: Vec<String>,
    /// Whether it is on the disk. Only kill-all is ever acknowledged without.
    pub(crate) durable: bool,
    /// After kill-all, how many flags it left at 0 %. `null` for every other order, and where the engine has not answered.
    pub(crate) flags_off: Option<FlagsOff>,
}

/// How many flags are at 0 % in the engine's own state. Applications are not asked: it does not say what they received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FlagsOff {
    /// Flags at 0 %.
    pub(crate) off: u32,
    /// All flags that are not archived.
    pub(crate) of: u32,
}

impl From<backend::Ack> for Ack {
    fn from(ack: backend::Ack) -> Self {
        Self {
            seq: ack.seq.0,
            done: ack.done,
            warnings: ack.warnings,
            durable: ack.durable,
            flags_off: ack.flags_off.map(|count| FlagsOff { off: count.off, of: count.of }),
        }
    }
}

/// An alarm that stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Alarm {
    /// Its number.
    pub(crate) id: u64,
    /// `low`, `high` or `critical`.
    pub(crate) priority: String,
    /// The flag it is about, where it is about one.
    pub(crate) flag: Option<String>,
    /// What it says.
    pub(crate) text: String,
    /// Since when.
    pub(crate) raised_at: u64,
    /// Since when it is over; it stands until it is acknowledged too.
    pub(crate) cleared_at: Option<u64>,
    /// Who has acknowledged it.
    pub(crate) acknowledged_by: Option<String>,
    /// Out of sight for a time, while it is.
    pub(crate) shelf: Option<Shelf>,
}

/// An alarm's time on the shelf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Shelf {
    /// Who put it there.
    pub(crate) by: String,
    /// Until when; it comes back by itself.
    pub(crate) until: u64,
    /// Why.
    pub(crate) why: String,
}

impl From<&control::Alarm> for Alarm {
    fn from(alarm: &control::Alarm) -> Self {
        Self {
            id: alarm.id.0,
            priority: alarm.kind.priority().to_string(),
            flag: alarm.kind.flag().map(ToString::to_string),
            text: alarm.text.clone(),
            raised_at: alarm.raised_at.0,
            cleared_at: alarm.cleared_at.map(|at| at.0),
            acknowledged_by: alarm.acknowledged_by.clone(),
            shelf: alarm.shelf.as_ref().map(|shelf| Shelf {
                by: shelf.by.clone(),
                until: shelf.until.0,
                why: shelf.why.clone(),
            }),
        }
    }
}

/// All alarms that stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Alarms {
    /// Oldest first.
    pub(crate) alarms: Vec<Alarm>,
}

/// A page of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Page {
    /// Oldest first. Each has `seq`, `at`, `actor`, `flag`, `event` and `sentence`.
    #[schema(value_type = Vec<Object>)]
    pub(crate) entries: Vec<Value>,
    /// What to give as `before` for the page before this one; `null` at the beginning.
    pub(crate) before: Option<u64>,
}

/// The pace of simulated time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Speed {
    /// Times real time, 0 (standing still) to 3 600.
    #[schema(maximum = 3600)]
    pub(crate) speed: u32,
    /// Whether it is real time, as a clock goes; `speed` is 1 then.
    #[serde(default)]
    pub(crate) real: bool,
}

/// Whether the backend is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or a word for what is not.
    pub(crate) status: String,
    /// What is not as it should be, in sentences.
    pub(crate) details: Vec<String>,
}
