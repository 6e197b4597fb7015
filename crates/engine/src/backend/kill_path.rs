//! The kill path: kill-all on threads of its own: it acts whoever waits for its answer, and whatever the engine is doing.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Ack, OrderError, Pending};
use crate::{Handle, KillSwitch, wall_clock};
use knightwatch_core::control::{Order, Seq};
use knightwatch_store::StoreError;

/// How long the answer to a kill-all waits for the disk and the engine, before it says what it knows.
const PATIENCE: Duration = Duration::from_secs(3);

type OrderResult = Result<Ack, OrderError>;

/// Kill-all: in force for evaluation when this returns; the answer comes when it is on the disk, or cannot be.
pub(super) fn kill(kill_switch: &Arc<KillSwitch>, handle: &Handle, order: Order) -> Pending<OrderResult> {
    let again = kill_switch.kill();
    let by = order.actor.to_string();
    let engine = handle.order(order);
    // What the latch file has come to, also where the engine goes on to wait for its own disk.
    let kept = Arc::new(OnceLock::new());
    let keep = Arc::clone(&kept);
    let answered = on_its_own("kill-all", Arc::clone(kill_switch), move |kill_switch| {
        let written = kill_switch.write(&by, wall_clock(), again);
        let _ = keep.set(written.is_ok());
        let answer = engine.blocking_recv();
        if let Ok(Ok(_)) = &answer {
            kill_switch.settled();
            // An order that acted before, and was re-armed since, is answered as it was and kills nothing.
            if !kill_switch.serving_table().is_latched()
                && let Err(error) = kill_switch.release()
            {
                tracing::error!("the latch file stays set: {error}");
            }
        }
        Ok(acknowledgement(answer.ok(), written))
    });
    Box::pin(async move {
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) if kept.get() == Some(&true) => {
                Ok(in_force("it is on the disk as the latch file; the engine has not answered yet", true))
            }
            Ok(Err(_)) | Err(_) => Ok(in_force("the disk has not answered yet", false)),
        }
    })
}

/// What is said of a kill-all, after what the engine and the latch file have said.
fn acknowledgement(engine: Option<OrderResult>, written: Result<(), StoreError>) -> Ack {
    match (engine, written) {
        (Some(Ok(mut ack)), Ok(())) => {
            if !ack.durable {
                ack.durable = true;
                ack.warnings
                    .push("on the disk as the latch file; the journal is written when it can be".to_owned());
            }
            ack
        }
        (Some(Ok(mut ack)), Err(error)) => {
            ack.warnings.push(format!("the latch file could not be written: {error}"));
            ack
        }
        // The engine refuses no kill-all: it has ended, or plays a recording.
        (Some(Err(error)), Ok(())) => {
            in_force(&format!("{error}; it is on the disk as the latch file"), true)
        }
        (None, Ok(())) => in_force("the engine has ended; it is on the disk as the latch file", true),
        (_, Err(error)) => in_force(&error.to_string(), false),
    }
}

fn in_force(why: &str, durable: bool) -> Ack {
    let warning = if durable { format!("in force; {why}") } else { format!("in force, NOT durable: {why}") };
    Ack {
        seq: Seq(0),
        done: vec!["Kill-all is in force: every flag evaluates to off.".to_owned()],
        warnings: vec![warning],
        durable,
        flags_off: None,
    }
}

/// Re-arming: the journal first, then the latch file. Where the file stays set, that is said.
pub(super) fn rearm(kill_switch: &Arc<KillSwitch>, handle: &Handle, order: Order) -> Pending<OrderResult> {
    let engine = handle.order(order);
    let answered = on_its_own("re-arm", Arc::clone(kill_switch), move |kill_switch| {
        let mut ack = engine.blocking_recv().unwrap_or_else(|_| Err(ended()))?;
        if let Err(error) = kill_switch.release() {
            ack.warnings.push(format!(
                "the latch file stays set, and kill-all comes back at the next start: {error}"
            ));
        }
        Ok(ack)
    });
    Box::pin(async move { answered.await.unwrap_or_else(|_| Err(ended())) })
}

fn ended() -> OrderError {
    OrderError::Unknown("the engine has ended".to_owned())
}

/// Does `work` on a thread of its own: nobody has to wait for it, and it waits for nobody.
fn on_its_own(
    name: &str,
    kill_switch: Arc<KillSwitch>,
    work: impl FnOnce(&KillSwitch) -> OrderResult + Send + 'static,
) -> oneshot::Receiver<OrderResult> {
    let (answer, answered) = oneshot::channel();
    let begun = thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Whoever asked may have gone; it has acted.
        let _ = answer.send(work(&kill_switch));
    });
    if let Err(error) = begun {
        tracing::error!("no thread for {name}: {error}");
    }
    answered
}
