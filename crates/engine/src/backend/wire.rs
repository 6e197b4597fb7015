//! How updates travel: as JSON, the serialised form of [`Snapshot`] and [`Change`].
//!
//! Only the flags of a change differ: a whole flag is about two kilobytes, and after a tick most of it is as it was. The
//! [`Encoder`] keeps the last value of each flag and writes the difference as a merge patch (RFC 7396); the [`Decoder`] keeps
//! the same and applies it. Both start over with each snapshot. Knows nothing of how the text is carried.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{Change, FlagView, Snapshot, Update};

/// Names of the two kinds of message.
pub const SNAPSHOT: &str = "snapshot";
/// See [`SNAPSHOT`].
pub const CHANGE: &str = "change";

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

/// A flag on the wire: its number, and the merge patch on its last value.
type Patch = (usize, Value);

fn values(flags: &[FlagView]) -> Result<Vec<Value>, WireError> {
    Ok(flags.iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
}

/// Writes updates as text.
#[derive(Debug, Default)]
pub struct Encoder {
    flags: Vec<Value>,
}

impl Encoder {
    /// A snapshot as text. It needs no encoder: whoever reads it starts over.
    ///
    /// # Errors
    /// A value that has no JSON form.
    pub fn snapshot(snapshot: &Snapshot) -> Result<String, WireError> {
        Ok(serde_json::to_string(snapshot)?)
    }

    /// Starts over: the next change is one of this snapshot.
    ///
    /// # Errors
    /// A value that has no JSON form.
    pub fn start_from(&mut self, snapshot: &Snapshot) -> Result<(), WireError> {
        self.flags = values(&snapshot.flags)?;
        Ok(())
    }

    /// A change as text, with each flag as its difference from what was last written of it.
    ///
    /// # Errors
    /// A value that has no JSON form.
    pub fn change(&mut self, change: &Change) -> Result<String, WireError> {
        let Change { controller, tick, flags, entries } = change;
        let mut patches: Vec<Patch> = Vec::with_capacity(flags.len());
        for flag in flags {
            let number = flag.id.index();
            let value = serde_json::to_value(flag)?;
            if number >= self.flags.len() {
                self.flags.resize(number + 1, Value::Null);
            }
            patches.push((number, difference(&self.flags[number], &value)));
            self.flags[number] = value;
        }
        let (controller, entries) = (controller.clone(), entries.clone());
        Ok(serde_json::to_string(&Change { controller, tick: *tick, flags: patches, entries })?)
    }
}

/// Reads updates from text.
#[derive(Debug, Default)]
pub struct Decoder {
    flags: Vec<Value>,
}

impl Decoder {
    /// The update that a message of a kind holds.
    ///
    /// # Errors
    /// Text that is no message of a backend, or a change of a flag that was not sent.
    pub fn decode(&mut self, kind: &str, text: &str) -> Result<Update, WireError> {
        match kind {
            SNAPSHOT => Ok(Update::Snapshot(Arc::new(self.snapshot(text)?))),
            CHANGE => Ok(Update::Change(Arc::new(self.change(text)?))),
            other => Err(WireError::Kind(knightwatch_core::flag::clean_line(other))),
        }
    }

    fn snapshot(&mut self, text: &str) -> Result<Snapshot, WireError> {
        let snapshot: Snapshot = serde_json::from_str(text)?;
        self.flags = values(&snapshot.flags)?;
        Ok(snapshot)
    }

    fn change(&mut self, text: &str) -> Result<Change, WireError> {
        let Change { controller, tick, flags: patches, entries }: Change<Patch> = serde_json::from_str(text)?;
        let mut flags = Vec::with_capacity(patches.len());
        for (number, patch) in patches {
            // A new flag comes right after the last one.
            if number == self.flags.len() {
                self.flags.push(Value::Null);
            }
            let known = self.flags.get_mut(number).ok_or(WireError::UnknownFlag(number))?;
            merge(known, patch);
            flags.push(FlagView::deserialize(&*known)?);
        }
        Ok(Change { controller, tick, flags, entries })
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

    #[test]
    fn the_members_of_both_kinds_of_message() {
        let controller = crate::backend::ControllerView {
            policy: crate::backend::PolicyView { name: String::new(), about: String::new(), fault: None },
            now: knightwatch_core::telemetry::Millis(1),
            pace: crate::backend::Pace::Times(60),
            seq: knightwatch_core::control::Seq(2),
            latch: None,
            alarms: Vec::new(),
            briefed: true,
            done: false,
        };
        let (flags, entries) = (Vec::new(), Vec::new());
        let change = Change { controller: controller.clone(), tick: true, flags, entries };
        let text = Encoder::default().change(&change).unwrap();
        let mut expected = json!({
            "policy": {"name": "", "about": "", "fault": null}, "now": 1, "pace": {"times": 60}, "seq": 2,
            "latch": null, "alarms": [], "briefed": true, "done": false, "tick": true, "flags": [], "entries": [],
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);

        let point =
            crate::backend::Point { at: knightwatch_core::telemetry::Millis(3), ..Default::default() };
        let snapshot = Snapshot {
            environment: "test".to_owned(),
            source: "a test".to_owned(),
            simulated: true,
            interval: knightwatch_core::telemetry::Millis(10),
            controller,
            flags: Vec::new(),
            history: vec![[point].into()],
            entries: Vec::new(),
        };
        let text = Encoder::snapshot(&snapshot).unwrap();
        merge(
            &mut expected,
            json!({
                "environment": "test", "source": "a test", "simulated": true, "interval": 10,
                "history": [[[3, 0, null, null, null, null, null, null]]], "tick": null,
            }),
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
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
