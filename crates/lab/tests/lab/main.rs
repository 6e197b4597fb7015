//! The lab: comparisons, recordings, training, and its command line.

#[path = "../../../../tests/support/command.rs"]
mod command;
mod evaluate;
mod judge;
mod learning;
mod libtorch_script;
mod program;
mod recordings;
#[path = "../../../../tests/support/training.rs"]
mod training;
mod what_if;
#[path = "../../../../tests/support/zip.rs"]
mod zip;

mod support {
    //! What tests of several packages share.
    pub(crate) use crate::{command, training, zip};
}
