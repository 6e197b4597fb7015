//! Answers: what whoever gave an order is told, and the answers that are kept for orders that come twice.
//!
//! An order may be sent again by a client that heard no answer. It acts once and gets the same answer. Answers are plain
//! data. They must not know the engine, and how an order is carried out.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use knightwatch_core::control::{Command, OrderId, Refusal, Seq, State};

/// The answer to an order that was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// Number of the last entry it made in the journal.
    pub seq: Seq,
    /// What was done, as sentences.
    pub done: Vec<String>,
    /// What a person should know: which of the agent's rules this overrode.
    pub warnings: Vec<String>,
    /// Whether it is on disk. Only kill-all is ever acknowledged without.
    pub durable: bool,
    /// After kill-all, how many flags it left at 0 %. `None` for every other order, and where the engine has not answered.
    pub flags_off: Option<FlagsOff>,
}

/// How many flags are at 0 % in the engine's own state. Applications are not asked: it does not say what they received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagsOff {
    /// Flags at 0 %.
    pub off: u32,
    /// All flags that are not archived.
    pub of: u32,
}

impl FlagsOff {
    /// Of this state.
    pub(super) fn count(state: &State) -> Self {
        let count = |flags: usize| u32::try_from(flags).unwrap_or(u32::MAX);
        Self {
            off: count(state.alive().filter(|flag| flag.rollout.is_zero()).count()),
            of: count(state.alive().count()),
        }
    }
}

/// Why an order got no acknowledgement.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum OrderError {
    /// It was refused; nothing has changed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It never left: nothing has changed.
    #[error("NOT SENT: {0}")]
    NotSent(String),
    /// The caller may not give it (HTTP 401 or 403); nothing has changed.
    #[error("{0}")]
    NotPermitted(String),
    /// The server does not accept it in this form or at this place; nothing has changed.
    #[error("{0}")]
    NotAccepted(String),
    /// It left, and no answer came: it may or may not have acted.
    #[error("no answer: {0}")]
    Unknown(String),
    /// The journal could not be written; the order has not acted.
    #[error("not done: the journal cannot be written ({0})")]
    NotDurable(String),
    /// This control room is read-only.
    #[error("read-only")]
    ReadOnly,
}

/// An answer as it is kept: with what it was an answer to, so that an id that is used again for something else is told apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredAck {
    #[serde(flatten)]
    pub(super) ack: Ack,
    /// Hash of the command. Absent in older journals: there the id alone counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<String>,
}

impl StoredAck {
    /// The answer to this command.
    pub(super) fn new(ack: Ack, command: &Command) -> Self {
        Self { ack, of: Some(fingerprint(command)) }
    }

    /// Whether it answers this command, and not another under the same id.
    pub(super) fn is_of(&self, command: &Command) -> bool {
        self.of.as_ref().is_none_or(|of| *of == fingerprint(command))
    }

    /// As the journal keeps it. It holds text and whole numbers only, which always can be written.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What tells commands apart. A command holds text and whole numbers only, which always can be written.
fn fingerprint(command: &Command) -> String {
    let text = serde_json::to_vec(command).unwrap_or_default();
    const_hex::encode(Sha256::digest(text))
}

/// Answers kept in memory beside those in the journal.
const ANSWERS_KEPT: usize = 1_024;

/// The newest answers, for orders that come twice while the journal cannot be asked.
#[derive(Default)]
pub(super) struct AckStore {
    by_order: BTreeMap<OrderId, StoredAck>,
    /// Oldest first.
    age: VecDeque<OrderId>,
}

impl AckStore {
    /// The answer to this order, where it is among the newest.
    pub(super) fn get(&self, order: &OrderId) -> Option<StoredAck> {
        self.by_order.get(order).cloned()
    }

    /// Keeps an answer, in place of an earlier one to the same order.
    pub(super) fn keep(&mut self, order: OrderId, kept: StoredAck) {
        if self.by_order.insert(order.clone(), kept).is_none() {
            self.age.push_back(order);
        }
        if self.age.len() > ANSWERS_KEPT
            && let Some(oldest) = self.age.pop_front()
        {
            self.by_order.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(seq: u64, command: &Command) -> StoredAck {
        let ack =
            Ack { seq: Seq(seq), done: Vec::new(), warnings: Vec::new(), durable: true, flags_off: None };
        StoredAck::new(ack, command)
    }

    fn id(number: usize) -> OrderId {
        OrderId(format!("order-{number}"))
    }

    #[test]
    fn an_answer_is_of_its_command_alone() {
        let start = Command::Start { flag: "checkout".parse().unwrap() };
        let kept = answer(1, &Command::KillAll);
        assert!(kept.is_of(&Command::KillAll) && !kept.is_of(&start));
        let read: StoredAck = serde_json::from_str(&kept.to_json()).unwrap();
        assert_eq!(read, kept, "the journal gives it back as it was");
        assert!(!read.is_of(&start));
    }

    #[test]
    fn the_oldest_answer_goes_first() {
        let mut answers = AckStore::default();
        for number in 0..=ANSWERS_KEPT {
            answers.keep(id(number), answer(number as u64, &Command::KillAll));
        }
        assert_eq!(answers.get(&id(0)), None);
        assert_eq!(answers.get(&id(1)).map(|kept| kept.ack.seq), Some(Seq(1)));
        let newest = answers.get(&id(ANSWERS_KEPT)).map(|kept| kept.ack.seq);
        assert_eq!(newest, Some(Seq(ANSWERS_KEPT as u64)));
    }

    #[test]
    fn a_later_answer_replaces_the_earlier_one() {
        let mut answers = AckStore::default();
        answers.keep(id(1), answer(5, &Command::KillAll));
        answers.keep(id(1), answer(7, &Command::KillAll));
        assert_eq!(answers.get(&id(1)).map(|kept| kept.ack.seq), Some(Seq(7)));
    }
}
