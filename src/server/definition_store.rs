//! The definitions in force: read by evaluation without waiting, replaced whole.

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use knightwatch_core::flag::{clean, definition::Definitions};

/// The definitions in force, and what is wrong with those that should be.
#[derive(Debug)]
pub struct DefinitionStore {
    current: ArcSwap<Definitions>,
    fault: ArcSwapOption<String>,
    changed: watch::Sender<()>,
}

impl DefinitionStore {
    /// These definitions are in force.
    #[must_use]
    pub fn new(definitions: Definitions) -> Self {
        Self {
            current: ArcSwap::from_pointee(definitions),
            fault: ArcSwapOption::empty(),
            changed: watch::Sender::new(()),
        }
    }

    /// The definitions in force.
    #[must_use]
    pub fn current(&self) -> Arc<Definitions> {
        self.current.load_full()
    }

    /// Other definitions are in force from here on.
    pub(super) fn replace(&self, definitions: Definitions) {
        self.current.store(Arc::new(definitions));
        self.fault.store(None);
        self.changed.send_replace(());
    }

    /// What should be in force cannot be: what was in force stays.
    pub(super) fn fail(&self, why: &str) {
        self.fault.store(Some(Arc::new(clean(why).into_owned())));
    }

    /// What is wrong with the definitions that should be in force.
    pub(super) fn fault(&self) -> Option<Arc<String>> {
        self.fault.load_full()
    }

    /// Wakes whenever others are in force.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}
