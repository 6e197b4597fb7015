//! What goes into `update` and what comes out of it.
//!
//! The runtime loop turns the terminal, the clock and the backend into messages and carries out the effects; nothing
//! here does any I/O itself, so that every screen can be tested without a terminal.

use crossterm::event::KeyEvent;

use knightwatch_agent::training::TrainingLine;
use knightwatch_core::control::{Entry, Order, OrderId, Seq};
use knightwatch_engine::backend::{Ack, OrderError, Pace, Update};

/// Monotonic real time in milliseconds since the program started. Key time-outs use it; controller time may stand
/// still or run a thousand times faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Real(pub u64);

impl Real {
    /// `milliseconds` later.
    #[must_use]
    pub const fn plus(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds since `earlier`; 0 when that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Which characters the terminal can be trusted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Arrows, diamonds, eighth blocks and box drawing.
    #[default]
    Unicode,
    /// Block elements and box drawing for graphs, ASCII for everything else.
    Blocks,
    /// ASCII only.
    Ascii,
}

/// Whether colours are used. Shape and word say the same without them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// Grey is normal, blue is people, orange is abnormal, red is kill-all and what is critical.
    #[default]
    Colour,
    /// No colours: bold, dim, underline and reverse only (`NO_COLOR`).
    Monochrome,
}

/// What the control room is told once, at its start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who sits here: the name orders are given under.
    pub operator: String,
    /// Which characters to draw with.
    pub glyphs: Glyphs,
    /// Whether to use colours.
    pub palette: Palette,
    /// Whether nothing may be changed from here.
    pub read_only: bool,
    /// Whether a new critical alarm rings the bell.
    pub bell: bool,
    /// Unique to this run: order ids begin with it.
    pub order_prefix: String,
    /// The command line that does kill-all from another terminal.
    pub elsewhere: String,
    /// Whether the briefing is shown to an operator who has not acknowledged it.
    pub briefing: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// The backend's stream.
    Update(Update),
    /// A key.
    Key(KeyEvent),
    /// Text pasted in one piece (bracketed paste).
    Paste(String),
    /// The terminal's new size: columns, rows.
    Resize(u16, u16),
    /// The answer to an order.
    OrderAnswered {
        /// Which order.
        order: OrderId,
        /// What became of it.
        result: Result<Ack, OrderError>,
    },
    /// Journal entries that were asked for, newest last.
    Entries(Result<Vec<Entry>, OrderError>),
    /// The backend does not change its pace, and says why.
    PaceRefused(String),
    /// The trainer's next line.
    Training(TrainingLine),
    /// The moment named by [`Model::wake_at`](super::Model::wake_at) has come.
    Wake,
    /// SIGINT: the same as Ctrl-C.
    Interrupt,
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Give this order; its answer comes back as [`Message::OrderAnswered`].
    Send(Order),
    /// Fetch older journal entries; they come back as [`Message::Entries`].
    FetchEntries {
        /// Only entries before this one.
        before: Option<Seq>,
        /// At most so many.
        limit: usize,
    },
    /// Ask for a pace.
    SetPace(Pace),
    /// Put a text on the clipboard.
    Copy(String),
    /// Ring the bell once.
    Bell,
    /// Clear the screen and redraw.
    Redraw,
    /// Leave.
    Quit,
}
