//! Layer 13: the control room.

mod keys;
mod message;
mod model;
mod runtime;
mod signals;
mod terminal;

pub use message::{Effect, Glyphs, Message, Palette, Real, Settings};
pub use model::{Model, update, view};
pub use runtime::{Cause, Exit, RunError, RuntimeOptions, run};
pub use signals::Ending;
pub use terminal::{Painted, Painter, Unfit, check};
