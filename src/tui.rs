//! The control room on a terminal.
//!
//! Elm-like: a [`Message`] goes into [`update`], which changes the [`Model`] and answers [`Effect`]s; [`view`] draws the
//! model and only reads it. Both are pure; the runtime loop beside them owns the terminal, the clock and the backend.
//!
//! ```text
//! backend, keys, clock -> Message -> update(Model) -> Effect -> orders, clipboard, bell
//!                                       Model -> view -> Frame
//! ```
//!
//! Each screen is a type of its own behind one trait, registered in one table (`screen.rs`).

mod command;
mod dialog;
mod figures;
mod fleet_view;
mod keys;
mod kill;
mod message;
mod model;
mod pace;
mod pen;
mod picture;
mod runtime;
mod screen;
mod signals;
mod spark;
mod terminal;
mod theme;
mod update;
mod view;

pub use command::{COMMANDS, Chord, CommandId, Scope, Spec, key_table_markdown};
pub use kill::{ARMED_MS, QUIET_MS};
pub use message::{Effect, Glyphs, Message, Palette, Real, Settings};
pub use model::Model;
pub use pen::wrap;
pub use picture::svg;
pub use runtime::{Cause, Exit, RunError, RuntimeOptions, run, run_training};
pub use screen::{Ability, ScreenId};
pub use signals::Ending;
pub use terminal::{Painted, Painter, Unfit, check};
pub use update::update;
pub use view::view;
