//! Orders: what people ask for, carried out once each, and how they are answered.
//!
//! An order is decided, journalled and then folded in; kill-all acts also while the journal cannot be written. It must not
//! know who sends orders, or how.

use super::{
    answer::{Ack, FlagsOff, OrderError, StoredAck},
    steering::Steering,
};
use knightwatch_core::control::{Actor, Command, Entry, Order, OrderId, Refusal, decide};
use knightwatch_store::StoreError;

/// What an order's id says of it.
enum Identity {
    /// It is carried out, under this id.
    Fresh(OrderId),
    /// It was, and this is what it was told.
    Answered(Ack),
}

impl Steering {
    /// Carries out an order. The same order id acts once. Beside the answer comes what is new in the journal.
    ///
    /// # Errors
    /// When it is refused or cannot be made durable; nothing has changed then.
    pub(super) fn order(&mut self, order: &Order) -> Result<(Ack, Vec<Entry>), OrderError> {
        // First of all: what is found on the disk then may number and decide differently.
        let trouble = self.recover().err();
        let id = match self.identity(order)? {
            Identity::Fresh(id) => id,
            Identity::Answered(ack) => return Ok((ack, std::mem::take(&mut self.surfaced))),
        };
        let now = self.source.now();
        let granted = decide(&self.state, &self.telemetry_state, &self.config, now, order)?;
        let entries = self.state.entries(now, granted.happened, &order.reason);
        let mut ack = Ack {
            seq: entries.last().map_or(self.state.seq, |entry| entry.seq),
            done: entries.iter().map(|entry| entry.sentence.clone()).collect(),
            warnings: granted.warnings,
            durable: true,
            flags_off: None,
        };
        let kill = order.command == Command::KillAll;
        if kill {
            // Counted before it is written, so that an answer repeated from the journal is the same.
            let mut after = self.state.clone();
            for entry in &entries {
                after.apply(entry);
            }
            ack.flags_off = Some(FlagsOff::count(&after));
        }
        let mut kept = StoredAck::new(ack.clone(), &order.command);
        let written = match trouble {
            None => self.outbox.append(Some((&id, &kept)), &entries),
            Some(error) => Err(error),
        };
        match written {
            Ok(()) => self.fold(&entries),
            Err(StoreError::Repeated { order, outcome }) => {
                let unreadable = |error| OrderError::Unknown(format!("{order} has acted already: {error}"));
                let kept: StoredAck = serde_json::from_str(&outcome).map_err(unreadable)?;
                return Ok((kept.ack, Vec::new()));
            }
            // Kill-all needs no disk: it is in force, says so, and is written when the disk is back.
            Err(error) if kill => {
                self.fold(&entries);
                self.outbox.put(Some((id.clone(), kept.clone())), entries.clone());
                ack.durable = false;
                ack.warnings.push(format!("in force, NOT durable: {error}"));
            }
            Err(error) => return Err(OrderError::NotDurable(error.to_string())),
        }
        kept.ack = ack.clone();
        self.answers.keep(id, kept);
        let mut news = std::mem::take(&mut self.surfaced);
        news.extend(entries);
        Ok((ack, news))
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

    fn answered(&self, id: &OrderId) -> Option<StoredAck> {
        self.answers.get(id).or_else(|| {
            let answer = self.outbox.outcome(id).ok()??;
            serde_json::from_str(&answer).ok()
        })
    }

    /// The people that the scenario has start a flag about now.
    pub(super) fn started_on_schedule(&mut self) -> Vec<Entry> {
        let now = self.source.now();
        let mut news = Vec::new();
        while let Some(scheduled) = self.scheduled_starts.pop_front_if(|scheduled| scheduled.at <= now) {
            let Some(flag) = self.state.flags.get(scheduled.flag.index()).map(|flag| flag.spec.key.clone())
            else {
                continue;
            };
            let order = Order {
                id: OrderId(format!("scheduled-start-{}-{}", scheduled.at.0, scheduled.flag.0)),
                actor: Actor::Person(scheduled.operator.clone()),
                authenticated: None,
                reason: String::new(),
                expected: None,
                command: Command::Start { flag },
            };
            match self.order(&order) {
                Ok((_, entries)) => news.extend(entries),
                // Whoever hears that the journal fails tries again.
                Err(OrderError::NotDurable(_)) => {
                    self.scheduled_starts.push_front(scheduled);
                    break;
                }
                // A person may have been faster, or kill-all is in force: then there is nothing to start.
                Err(_) => {}
            }
        }
        news
    }
}
