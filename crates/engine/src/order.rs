//! Orders: what people ask for, carried out once each, and how they are answered.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    core::{Engine, Mode},
    keep::Owed,
};
use knightwatch_core::{
    control::{Actor, Command, Entry, Order, OrderId, Refusal, Seq, decide},
    flag::{Variant, evaluate},
};
use knightwatch_store::StoreError;

/// The answer to an order that was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// Number of the last entry it made in the journal.
    pub seq: Seq,
    /// What was done, as sentences.
    pub done: Vec<String>,
    /// What a person should know: which of the agent's rules this went over.
    pub warnings: Vec<String>,
    /// Whether it is on disk. Only kill-all is ever acknowledged without.
    pub durable: bool,
    /// How many targets read the new value back, of how many.
    pub read_back: (u32, u32),
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
    /// Whoever answered does not take it: not from whoever asks, not in this form, or not at this place; nothing has changed.
    #[error("{0}")]
    TurnedAway(String),
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
pub(super) struct Kept {
    #[serde(flatten)]
    pub(super) ack: Ack,
    /// Hash of the command. Absent in older journals: there the id alone counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<String>,
}

impl Kept {
    fn is_of(&self, command: &Command) -> bool {
        self.of.as_ref().is_none_or(|of| *of == fingerprint(command))
    }
}

/// What tells commands apart. A command holds text and whole numbers only, which always can be written.
fn fingerprint(command: &Command) -> String {
    let text = serde_json::to_vec(command).unwrap_or_default();
    const_hex::encode(Sha256::digest(text))
}

/// Answers kept in memory beside those in the journal.
const ANSWERS_KEPT: usize = 1_024;

/// What an order's id says of it.
enum Identity {
    /// It is carried out, under this id.
    Fresh(OrderId),
    /// It was, and this is what it was told.
    Answered(Ack),
}

/// The newest answers, for orders that come twice while the journal cannot be asked.
#[derive(Default)]
pub(super) struct Answers {
    by_order: BTreeMap<OrderId, Kept>,
    /// Oldest first.
    age: VecDeque<OrderId>,
}

impl Answers {
    fn get(&self, order: &OrderId) -> Option<Kept> {
        self.by_order.get(order).cloned()
    }

    /// Keeps an answer, in place of an earlier one to the same order.
    pub(super) fn keep(&mut self, order: OrderId, kept: Kept) {
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

impl Engine {
    /// Carries out an order. The same order id acts once. Beside the answer comes what is new in the journal.
    ///
    /// # Errors
    /// When it is refused or cannot be made durable; nothing has changed then.
    pub fn order(&mut self, order: &Order) -> Result<(Ack, Vec<Entry>), OrderError> {
        if matches!(self.mode, Mode::Playback(_)) {
            return Err(OrderError::NotSent("this is a recording, nothing can be changed in it".to_owned()));
        }
        // First of all: what is found on the disk then may number and decide differently.
        let trouble = self.recover().err();
        let id = match self.identity(order)? {
            Identity::Fresh(id) => id,
            Identity::Answered(ack) => return Ok((ack, std::mem::take(&mut self.surfaced))),
        };
        let now = self.now();
        let granted = decide(&self.state, &self.observatory, &self.config, now, order)?;
        let entries = self.state.entries(now, granted.happened, &order.reason);
        let mut ack = Ack {
            seq: entries.last().map_or(self.state.seq, |entry| entry.seq),
            done: entries.iter().map(|entry| entry.sentence.clone()).collect(),
            warnings: granted.warnings,
            durable: true,
            read_back: (1, 1),
        };
        let kill = order.command == Command::KillAll;
        if kill {
            let all = u32::try_from(self.state.alive().count()).unwrap_or(u32::MAX);
            ack.read_back = (all, all);
        }
        let mut kept = Kept { ack: ack.clone(), of: Some(fingerprint(&order.command)) };
        let written = match trouble {
            None => self.write(Some((&id, &kept)), &entries),
            Some(error) => Err(error),
        };
        match written {
            Ok(()) => {
                self.fold(&entries);
                self.durable = self.state.seq;
            }
            Err(StoreError::Repeated { order, outcome }) => {
                let unreadable = |error| OrderError::Unknown(format!("{order} has acted already: {error}"));
                let kept: Kept = serde_json::from_str(&outcome).map_err(unreadable)?;
                return Ok((kept.ack, Vec::new()));
            }
            // Kill-all needs no disk: it is in force, says so, and is written when the disk is back.
            Err(error) if kill => {
                self.fold(&entries);
                let order = Some((id.clone(), kept.clone()));
                self.owed.push(Owed { order, entries: entries.clone() });
                ack.durable = false;
                ack.warnings.push(format!("in force, NOT durable: {error}"));
            }
            Err(error) => return Err(OrderError::NotDurable(error.to_string())),
        }
        if kill {
            ack.read_back.0 = self.read_back_off();
        }
        kept.ack = ack.clone();
        self.answers.keep(id, kept);
        let mut news = std::mem::take(&mut self.surfaced);
        news.extend(entries);
        Ok((ack, news))
    }

    /// How many flags answer `off` when asked, after kill-all.
    fn read_back_off(&self) -> u32 {
        let latched = self.state.latch.is_some();
        let off = self
            .state
            .alive()
            .filter(|flag| evaluate(&flag.spec.key, flag.rollout, latched, "read-back") == Variant::Off);
        u32::try_from(off.count()).unwrap_or(u32::MAX)
    }

    /// Whether the order is new, was answered, or has the id of another one: that is refused. Kill-all is never refused:
    /// it acts under an id made of that one.
    fn identity(&self, order: &Order) -> Result<Identity, Refusal> {
        let kill = order.command == Command::KillAll;
        let mut id = order.id.clone();
        loop {
            match self.answered(&id) {
                None => return Ok(Identity::Fresh(id)),
                Some(kept) if kept.is_of(&order.command) => return Ok(Identity::Answered(kept.ack)),
                Some(_) if kill => id.0.push_str("+kill-all"),
                Some(_) => return Err(Refusal::IdUsed { id: id.0 }),
            }
        }
    }

    fn answered(&self, id: &OrderId) -> Option<Kept> {
        self.answers.get(id).or_else(|| {
            let answer = self.log.as_ref()?.outcome(id).ok()??;
            serde_json::from_str(&answer).ok()
        })
    }

    /// The people that the scenario has start a flag about now.
    pub(super) fn cued(&mut self) -> Vec<Entry> {
        let now = self.now();
        let mut news = Vec::new();
        while let Some(cue) = self.cues.pop_front_if(|cue| cue.at <= now) {
            let Some(flag) = self.state.flags.get(cue.flag.index()).map(|flag| flag.spec.key.clone()) else {
                continue;
            };
            let order = Order {
                id: OrderId(format!("cue-{}-{}", cue.at.0, cue.flag.0)),
                actor: Actor::Person(cue.operator.clone()),
                authenticated: None,
                reason: String::new(),
                expected: None,
                command: Command::Start { flag },
            };
            match self.order(&order) {
                Ok((_, entries)) => news.extend(entries),
                // Whoever hears that the journal fails tries again.
                Err(OrderError::NotDurable(_)) => {
                    self.cues.push_front(cue);
                    break;
                }
                // A person may have been faster, or kill-all is in force: then there is nothing to start.
                Err(_) => {}
            }
        }
        news
    }
}
