//! What several tests share. Each test binary uses part of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "tests; each binary uses part of it"
)]

/// The name by which this binary runs a test again: the path of its function, which the compiler checks.
pub(crate) fn name_of<T>(_test: &T) -> &'static str {
    std::any::type_name::<T>().split_once("::").unwrap().1
}

pub(crate) mod command;
pub(crate) mod disk;
pub(crate) mod fixture;
pub(crate) mod fleet;
pub(crate) mod http;
pub(crate) mod pty;
pub(crate) mod scene;
pub(crate) mod served;
pub(crate) mod test_app;
pub(crate) mod training;
pub(crate) mod weights;
