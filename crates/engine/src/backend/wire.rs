//! How updates travel: JSON in which a flag is told as what has changed of it, and a point of history as a row of numbers.
//!
//! A whole flag is about two kilobytes, and after a tick most of it is as it was. The [`Encoder`] keeps what was last said of
//! each flag and says the difference as a merge patch (RFC 7396); the [`Decoder`] keeps the same and undoes it. Both begin
//! anew with each snapshot. Knows nothing of how the text is carried.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{ArmPoint, Change, FlagView, Point, PolicyView, Snapshot, Update, view::HISTORY};
use crate::Pace;
use knightwatch_core::{
    control::{Alarm, Entry, Latch, Seq},
    flag::Rollout,
    telemetry::Millis,
};

/// Names of the two kinds of message.
pub const SNAPSHOT: &str = "snapshot";
/// See [`SNAPSHOT`].
pub const CHANGE: &str = "change";

/// Points of history in a snapshot, over all flags: about 60 bytes each.
const POINTS: usize = 60_000;

/// What came is not what a backend sends.
#[derive(Debug, Error)]
pub enum WireError {
    /// It is not the JSON that was expected.
    #[error("a message of the backend cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A patch for a flag that was never told.
    #[error("the backend changes flag number {0}, which it has not told")]
    UnknownFlag(usize),
    /// A message of an unknown kind.
    #[error("the backend sends messages of the kind {0:?}; it may be of a later version")]
    Kind(String),
}

/// `[at, rollout, control requests, errors, p99, treatment requests, errors, p99]`.
type Row = (Millis, Rollout, Option<u32>, Option<f32>, Option<f32>, Option<u32>, Option<f32>, Option<f32>);

fn row(point: &Point) -> Row {
    let Point { at, control, treatment, rollout } = *point;
    let ([c, t], at) = ([control, treatment], at);
    (at, rollout, c.requests, c.error_rate, c.p99_ms, t.requests, t.error_rate, t.p99_ms)
}

fn point((at, rollout, cn, ce, cp, tn, te, tp): Row) -> Point {
    let arm = |requests, error_rate, p99_ms| ArmPoint { requests, error_rate, p99_ms };
    Point { at, control: arm(cn, ce, cp), treatment: arm(tn, te, tp), rollout }
}

/// Everything but flags and their history.
#[derive(Serialize, Deserialize)]
struct Head {
    environment: String,
    source: String,
    simulated: bool,
    policy: PolicyView,
    now: Millis,
    interval: Millis,
    pace: Pace,
    seq: Seq,
    latch: Option<Latch>,
    alarms: Vec<Alarm>,
    entries: Vec<Entry>,
    briefed: bool,
    done: bool,
}

#[derive(Serialize, Deserialize)]
struct WireSnapshot<F> {
    #[serde(flatten)]
    head: Head,
    flags: F,
    history: Vec<Vec<Row>>,
}

#[derive(Serialize, Deserialize)]
struct WireChange {
    now: Millis,
    seq: Seq,
    tick: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy: Option<PolicyView>,
    pace: Pace,
    latch: Option<Latch>,
    alarms: Vec<Alarm>,
    /// Merge patches, each with the flag's number.
    flags: Vec<(usize, Value)>,
    entries: Vec<Entry>,
    briefed: bool,
    done: bool,
}

/// Puts updates into text.
#[derive(Debug, Default)]
pub struct Encoder {
    flags: Vec<Value>,
}

impl Encoder {
    /// Everything anew.
    pub fn snapshot(&mut self, snapshot: &Snapshot) -> Result<String, WireError> {
        self.flags = snapshot.flags.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
        encode_snapshot(snapshot, &self.flags)
    }

    /// The same for somebody who comes later, while others go on with changes: what was said of the flags stays.
    pub fn anew(&self, snapshot: &Snapshot) -> Result<String, WireError> {
        encode_snapshot(snapshot, &self.flags)
    }

    /// A change, against what was said before.
    pub fn change(&mut self, change: &Change) -> Result<String, WireError> {
        let mut flags = Vec::with_capacity(change.flags.len());
        for flag in &change.flags {
            let place = flag.id.index();
            let told = serde_json::to_value(flag)?;
            if place >= self.flags.len() {
                self.flags.resize(place + 1, Value::Null);
            }
            flags.push((place, difference(&self.flags[place], &told)));
            self.flags[place] = told;
        }
        let Change { now, seq, tick, policy, pace, latch, alarms, entries, briefed, done, .. } =
            change.clone();
        let wire = WireChange { now, seq, tick, policy, pace, latch, alarms, flags, entries, briefed, done };
        Ok(serde_json::to_string(&wire)?)
    }
}

fn encode_snapshot(snapshot: &Snapshot, flags: &[Value]) -> Result<String, WireError> {
    let each = (POINTS / snapshot.history.len().max(1)).clamp(2, HISTORY);
    let history = snapshot
        .history
        .iter()
        .map(|points| points[points.len().saturating_sub(each)..].iter().map(row).collect());
    let head = Head {
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
        entries: snapshot.entries.clone(),
        briefed: snapshot.briefed,
        done: snapshot.done,
    };
    Ok(serde_json::to_string(&WireSnapshot { head, flags, history: history.collect() })?)
}

/// Gets updates back from text.
#[derive(Debug, Default)]
pub struct Decoder {
    flags: Vec<Value>,
}

impl Decoder {
    /// The update that a message of a kind holds.
    pub fn decode(&mut self, kind: &str, text: &str) -> Result<Update, WireError> {
        match kind {
            SNAPSHOT => Ok(Update::Snapshot(Arc::new(self.snapshot(text)?))),
            CHANGE => Ok(Update::Change(Arc::new(self.change(text)?))),
            other => Err(WireError::Kind(knightwatch_core::flag::clean_line(other))),
        }
    }

    fn snapshot(&mut self, text: &str) -> Result<Snapshot, WireError> {
        let WireSnapshot { head, flags, history }: WireSnapshot<Vec<Value>> = serde_json::from_str(text)?;
        let views = flags.iter().map(FlagView::deserialize).collect::<Result<_, _>>()?;
        self.flags = flags;
        let Head {
            environment,
            source,
            simulated,
            policy,
            now,
            interval,
            pace,
            seq,
            latch,
            alarms,
            entries,
            briefed,
            done,
        } = head;
        Ok(Snapshot {
            environment,
            source,
            simulated,
            policy,
            now,
            interval,
            pace,
            seq,
            latch,
            alarms,
            flags: views,
            history: history.into_iter().map(|rows| rows.into_iter().map(point).collect()).collect(),
            entries,
            briefed,
            done,
        })
    }

    fn change(&mut self, text: &str) -> Result<Change, WireError> {
        let wire: WireChange = serde_json::from_str(text)?;
        let mut flags = Vec::with_capacity(wire.flags.len());
        for (place, patch) in wire.flags {
            // A new flag comes right after the last one.
            if place == self.flags.len() {
                self.flags.push(Value::Null);
            }
            let known = self.flags.get_mut(place).ok_or(WireError::UnknownFlag(place))?;
            merge(known, patch);
            flags.push(FlagView::deserialize(&*known)?);
        }
        let WireChange { now, seq, tick, policy, pace, latch, alarms, entries, briefed, done, .. } = wire;
        Ok(Change { now, seq, tick, policy, pace, latch, alarms, flags, entries, briefed, done })
    }
}

/// The merge patch that makes `new` of `old`. A null in `new` says that the member is not there: what is optional reads
/// both alike.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let mut patch = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(former) if former == value => {}
            None if value.is_null() => {}
            Some(former) if former.is_object() && value.is_object() => {
                patch.insert(key.clone(), difference(former, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7396, appendix A.
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target;
            merge(&mut merged, patch);
            assert_eq!(merged, result);
        }
    }

    fn json_like() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), any::<i32>().prop_map(Value::from)];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_told_as_a_difference_comes_out_whole(old in json_like(), new in json_like()) {
            let mut target = old.clone();
            merge(&mut target, difference(&old, &new));
            prop_assert_eq!(target, new);
        }
    }
}
