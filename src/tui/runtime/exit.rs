//! How the control room ended, for the command line: the exit status, and what is still to be said.

use std::io::{self, Write as _};

use super::super::{
    signals::{Ending, INTERRUPTED},
    terminal::Painted,
};
use knightwatch_core::{control::OrderId, flag::clean};
use knightwatch_engine::backend::{Ack, OrderError};

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody left.
    Quit,
    /// Somebody left by SIGINT.
    Interrupted,
    /// There is nothing left to show: the trainer has ended.
    Finished,
    /// It was ended from outside.
    Ended(Ending),
}

/// How it ended. The terminal is as it was.
#[derive(Debug)]
pub struct Exit {
    /// Why.
    pub cause: Cause,
    /// Orders that were answered after the terminal was left.
    pub late: Vec<(OrderId, Result<Ack, OrderError>)>,
    /// Orders that got no answer: they may or may not have acted.
    pub unanswered: Vec<OrderId>,
    /// What was painted.
    pub painted: Painted,
}

impl Exit {
    /// The exit status: 0 when somebody left or the trainer ended, 130 by SIGINT, else 128 and the signal's number (129 for a lost link).
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self.cause {
            Cause::Quit | Cause::Finished => 0,
            Cause::Interrupted => INTERRUPTED,
            Cause::Ended(ending) => ending.status(),
        }
    }

    /// What nobody has seen on the screen any more, a sentence a line.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let late = self.late.iter().map(|(order, result)| match result {
            Ok(ack) => {
                let durable = if ack.durable { "" } else { " (in force, NOT durable)" };
                format!("order {order}: {}{durable}", ack.done.join("; "))
            }
            Err(error) => format!("order {order}: {error}"),
        });
        let unanswered = self.unanswered.iter().map(|order| {
            format!("order {order}: no answer before the control room closed; it may or may not have acted: see 'knightwatch audit show'")
        });
        late.chain(unanswered).map(|note| clean(&note).into_owned()).collect()
    }

    /// Prints [`Exit::notes`] on standard error. Nothing happens where nobody can read it any more.
    pub fn report(&self) {
        let mut error = io::stderr().lock();
        for note in self.notes() {
            let _ = writeln!(error, "{note}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_core::control::Seq;

    #[test]
    fn what_became_of_late_orders_is_said() {
        let ack = Ack {
            seq: Seq(7),
            done: vec!["kill-all is in force".to_owned()],
            warnings: Vec::new(),
            durable: false,
            flags_off: None,
        };
        let exit = Exit {
            cause: Cause::Quit,
            late: vec![
                (OrderId("a-1".to_owned()), Ok(ack)),
                (OrderId("a-2".to_owned()), Err(OrderError::NotSent("no\u{1b}[2J route".to_owned()))),
            ],
            unanswered: vec![OrderId("a-3".to_owned())],
            painted: Painted::default(),
        };
        let notes = exit.notes();
        assert_eq!(notes[0], "order a-1: kill-all is in force (in force, NOT durable)");
        assert_eq!(notes[1], "order a-2: NOT SENT: no[2J route");
        assert!(notes[2].starts_with("order a-3: no answer"), "{}", notes[2]);
        assert_eq!(exit.status(), 0);
    }
}
