//! The control room: screens, keys, a real terminal.

mod scenes;
mod screens;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod training;
