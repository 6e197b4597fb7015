//! The kill switch: kill-all bypasses the engine's queue, its ticks and its journal.
//!
//! Evaluation is off at once (the serving table), then the latch file is on the disk, and beside that the engine journals the
//! order like any other. In force is the file or the journal, whichever says so; only re-arming opens both.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Engine, ServingTable};
use knightwatch_core::{
    control::{Actor, Command, Order, OrderId, State},
    telemetry::Millis,
};
use knightwatch_store::{LatchFile, LatchRecord, StoreError};

/// The kill latch where it works without the engine.
#[derive(Debug)]
pub struct KillSwitch {
    serving_table: Arc<ServingTable>,
    file: Mutex<LatchFile>,
}

impl KillSwitch {
    /// The switch over the latch file at `path`, which is made, open, where there is none.
    ///
    /// # Errors
    /// When the file can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { serving_table: Arc::default(), file: Mutex::new(LatchFile::open(path)?) })
    }

    /// What evaluation reads.
    #[must_use]
    pub const fn serving_table(&self) -> &Arc<ServingTable> {
        &self.serving_table
    }

    /// Who has set the file, where it is set.
    pub fn read(&self) -> Option<LatchRecord> {
        self.file().read()
    }

    /// A kill-all begins: in force for everybody who evaluates, at once. Says whether another one was in force already.
    pub(crate) fn kill(&self) -> bool {
        self.serving_table.kill()
    }

    /// That kill-all is in the engine's state: from here on the state says how long it holds.
    pub(crate) fn settled(&self) {
        self.serving_table.settled();
    }

    /// Sets the file; on the disk when it returns. A kill-all that comes `again`, while another one is in force, leaves
    /// in it who was first, as it does in the state.
    ///
    /// # Errors
    /// When the disk did not take it.
    pub(crate) fn write(&self, by: &str, at: Millis, again: bool) -> Result<(), StoreError> {
        let mut file = self.file();
        // Written all the same: what can be read back need not be on the disk.
        match file.read().filter(|_| again) {
            Some(LatchRecord { by, at: Some(at) }) => file.set(&by, at),
            Some(LatchRecord { at: None, .. }) | None => file.set(by, at),
        }
    }

    /// Opens the file after a re-arm, unless another kill-all has come meanwhile.
    ///
    /// # Errors
    /// When the disk did not take it: at the next start kill-all is in force again.
    pub(crate) fn release(&self) -> Result<(), StoreError> {
        let mut file = self.file();
        if self.serving_table.is_latched() { Ok(()) } else { file.release() }
    }

    /// Takes over what has changed in the engine's state.
    pub(crate) fn publish(&self, state: &State) {
        self.serving_table.publish(state);
    }

    /// Brings the file and the journal together before anything is steered: one of them set means both are.
    ///
    /// # Errors
    /// When the file cannot be set although the journal says so.
    pub fn reconcile(&self, engine: &mut Engine) -> Result<(), StoreError> {
        let found = self.read();
        match (found, &engine.state().latch) {
            (Some(record), None) => {
                let order = Order {
                    id: OrderId(format!("latch-file-{}", engine.state().seq.0)),
                    actor: Actor::Person(record.by),
                    authenticated: None,
                    reason: "found in the latch file at the start".to_owned(),
                    expected: None,
                    command: Command::KillAll,
                };
                // Kill-all is never refused; where the journal fails it is in force all the same, and waits in the outbox.
                if let Err(error) = engine.order(&order) {
                    tracing::error!("the latch file is set, but the engine does not take it: {error}");
                    self.serving_table.kill();
                }
            }
            (None, Some(latch)) => self.write(&latch.by.to_string(), latch.at, false)?,
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.publish(engine.state());
        Ok(())
    }

    fn file(&self) -> std::sync::MutexGuard<'_, LatchFile> {
        // A file is written whole or not at all, also where a thread has panicked.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_who_was_first_while_kill_all_is_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let kill_switch = KillSwitch::open(&folder.path().join("latch")).unwrap();
        let first = LatchRecord { by: "root".to_owned(), at: Some(Millis(7)) };
        assert!(!kill_switch.kill());
        kill_switch.write("root", Millis(7), false).unwrap();
        assert!(kill_switch.kill());
        kill_switch.write("alice", Millis(9), true).unwrap();
        assert_eq!(kill_switch.read(), Some(first));
        // Over, and another one: a re-arm that found it under way left the file set.
        kill_switch.write("alice", Millis(11), false).unwrap();
        assert_eq!(kill_switch.read(), Some(LatchRecord { by: "alice".to_owned(), at: Some(Millis(11)) }));
        // What was written by hand names nobody.
        std::fs::write(folder.path().join("latch"), "set\n").unwrap();
        kill_switch.write("ben", Millis(13), true).unwrap();
        assert_eq!(kill_switch.read(), Some(LatchRecord { by: "ben".to_owned(), at: Some(Millis(13)) }));
    }
}
