//! The serving table: what evaluation reads of the engine's state, without ever waiting for it.
//!
//! Every flag's rollout lies in one immutable table that is exchanged whole when something has changed; the kill latch is
//! a word of its own beside it, set before anything is written anywhere. Readers take neither a lock nor a disk nor a tick.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use knightwatch_core::{
    control::{Phase, State},
    flag::{FlagId, FlagKey, Rollout, definition::ServedFlag},
};

/// All flags at one moment.
#[derive(Clone, Debug, Default)]
pub struct ServedFlags {
    flags: Vec<ServedFlag>,
    /// Exchanged only when a flag is new or was archived; one that was is not in it.
    index: Arc<HashMap<FlagKey, FlagId>>,
}

impl ServedFlags {
    /// How `key` stands; `None` where no such flag is steered.
    #[must_use]
    pub fn get(&self, key: &FlagKey) -> Option<ServedFlag> {
        self.index.get(key).and_then(|id| self.flags.get(id.index())).copied()
    }

    /// The keys of all flags.
    pub fn keys(&self) -> impl Iterator<Item = &FlagKey> {
        self.index.keys()
    }

    /// The place of `key` in the fleet; `None` where no such flag is steered.
    #[must_use]
    pub fn id(&self, key: &FlagKey) -> Option<FlagId> {
        self.index.get(key).copied()
    }

    /// How many flags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

/// What evaluation reads.
#[derive(Debug)]
pub struct ServingTable {
    served_flags: ArcSwap<ServedFlags>,
    /// Whether the folded state has kill-all in force.
    in_state: AtomicBool,
    /// Kill-alls that are under way: in force already, not yet in the state.
    under_way: AtomicU32,
    /// Goes up with every change of a standing or the latch.
    revision: watch::Sender<u64>,
}

impl Default for ServingTable {
    fn default() -> Self {
        Self {
            served_flags: ArcSwap::default(),
            in_state: AtomicBool::new(false),
            under_way: AtomicU32::new(0),
            revision: watch::Sender::new(1),
        }
    }
}

impl ServingTable {
    /// Whether kill-all is in force. To be asked after [`Self::served_flags`] were taken, so that a standing from before a
    /// kill-all is never used with a latch from before it.
    #[must_use]
    pub fn is_latched(&self) -> bool {
        self.under_way.load(Ordering::SeqCst) > 0 || self.in_state.load(Ordering::SeqCst)
    }

    /// How all flags stand now.
    #[must_use]
    pub fn served_flags(&self) -> Arc<ServedFlags> {
        self.served_flags.load_full()
    }

    /// How flags stand, all of one moment, the latch included: under it everything is off.
    pub fn view(&self) -> impl Fn(&FlagKey) -> Option<ServedFlag> + use<> {
        let served_flags = self.served_flags();
        let latched = self.is_latched();
        move |key| {
            let served = served_flags.get(key)?;
            Some(if latched { ServedFlag { rollout: Rollout::ZERO, off_for_all: true } } else { served })
        }
    }

    /// Counts changes; a receiver wakes at each.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// The number of the last change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// A kill-all begins: it is in force from here on, until [`Self::settled`] and as long as the state says so. Says
    /// whether another one was in force already.
    pub(super) fn kill(&self) -> bool {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst);
        self.changed();
        under_way > 0 || self.in_state.load(Ordering::SeqCst)
    }

    /// The kill-all that began is in the state now.
    pub(super) fn settled(&self) {
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }

    /// Takes over what has changed in the engine's state.
    pub(super) fn publish(&self, state: &State) {
        let former = self.served_flags.load();
        let served = |flag: &knightwatch_core::control::FlagState| ServedFlag {
            rollout: flag.rollout,
            off_for_all: matches!(flag.phase, Phase::RolledBack | Phase::Killed),
        };
        let latched = state.latch.is_some();
        let alive = state.alive().count();
        // Archiving cannot be undone: as many flags of as many are the same ones.
        let same_keys = former.flags.len() == state.flags.len() && former.index.len() == alive;
        let same =
            same_keys && former.flags.iter().zip(&state.flags).all(|(former, flag)| *former == served(flag));
        if same && latched == self.in_state.load(Ordering::SeqCst) {
            return;
        }
        // Closing goes before the table, opening after it: no reader sees an open latch with a table from before it.
        if latched {
            self.in_state.store(true, Ordering::SeqCst);
        }
        if !same {
            let index = if same_keys {
                Arc::clone(&former.index)
            } else {
                Arc::new(state.alive().map(|flag| (flag.spec.key.clone(), flag.id)).collect())
            };
            let flags = state.flags.iter().map(served).collect();
            self.served_flags.store(Arc::new(ServedFlags { flags, index }));
        }
        if !latched {
            self.in_state.store(false, Ordering::SeqCst);
        }
        self.changed();
    }

    fn changed(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }
}
