//! Kill-all as a person does it: arm, then execute with another key.
//!
//! Repeating one key fails (a held key repeats), Enter becomes a reflex, typing a name is too slow. So `Ctrl-K` or
//! `Ctrl-X` arms, and `K` counts only after a moment without any key. This file holds that state and its times; it
//! must not know what is drawn, nor send anything itself.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::Real;
use knightwatch_core::control::OrderId;
use knightwatch_engine::backend::{Ack, OrderError};

/// `K` counts once so long no key has come: Caps Lock and held keys cannot do it.
pub const QUIET_MS: u64 = 300;
/// Armed no longer than this.
pub const ARMED_MS: u64 = 10_000;

/// Where kill-all stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Kill {
    /// Nothing under way.
    #[default]
    Idle,
    /// Waiting for `K`.
    Armed {
        /// Armed then.
        since: Real,
        /// The last key came then.
        quiet_since: Real,
        /// Whether a `K` came too soon since then, and did nothing.
        too_soon: bool,
    },
    /// The order is out and has no answer.
    Sent {
        /// Its id.
        order: OrderId,
        /// Sent then.
        at: Real,
        /// Whether the panel was closed in the meantime; the answer opens it again.
        hidden: bool,
    },
    /// The backend acknowledged it.
    Acknowledged(Ack),
    /// It was refused, not sent, or nothing was heard. Arming again makes a new order with a new id: an old id might
    /// have acted before somebody re-armed, and would then be answered without acting.
    Failed(OrderError),
}

/// What a key came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    /// Not for kill-all.
    NotMine,
    /// Taken.
    Taken,
    /// Send it now.
    Execute,
    /// It was armed and is not any more.
    Cancelled,
}

/// Whether a key arms kill-all.
pub(super) fn arms(key: &KeyEvent) -> bool {
    key.modifiers.contains(KeyModifiers::CONTROL)
        && !key.modifiers.contains(KeyModifiers::ALT)
        && matches!(key.code, KeyCode::Char('k' | 'K' | 'x' | 'X'))
}

/// Whether a key is the one that executes.
fn executes(key: &KeyEvent) -> bool {
    key.code == KeyCode::Char('K') && !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
}

impl Kill {
    /// Begins to wait for `K`. Arming again restarts the quiet time, not the ten seconds; while an order is out
    /// its panel is shown instead, because one kill-all is one order.
    pub(super) fn arm(&mut self, now: Real) {
        match self {
            Self::Armed { quiet_since, too_soon, .. } => (*quiet_since, *too_soon) = (now, false),
            Self::Sent { hidden, .. } => *hidden = false,
            Self::Idle | Self::Acknowledged(_) | Self::Failed(_) => {
                *self = Self::Armed { since: now, quiet_since: now, too_soon: false };
            }
        }
    }

    /// Takes a key while armed.
    pub(super) fn key(&mut self, now: Real, key: &KeyEvent) -> Pressed {
        self.expire(now);
        let Self::Armed { quiet_since, too_soon, .. } = self else { return Pressed::NotMine };
        if executes(key) {
            let quiet = now.since(*quiet_since) >= QUIET_MS && key.kind == KeyEventKind::Press;
            (*quiet_since, *too_soon) = (now, !quiet);
            return if quiet { Pressed::Execute } else { Pressed::Taken };
        }
        if arms(key) {
            (*quiet_since, *too_soon) = (now, false);
            return Pressed::Taken;
        }
        *self = Self::Idle;
        Pressed::Cancelled
    }

    /// Disarms when its time is over; says whether it did.
    pub(super) fn expire(&mut self, now: Real) -> bool {
        let over = matches!(self, Self::Armed { since, .. } if now.since(*since) >= ARMED_MS);
        if over {
            *self = Self::Idle;
        }
        over
    }

    /// Whether `K` would execute now.
    pub(super) fn is_ready(&self, now: Real) -> bool {
        matches!(self, Self::Armed { quiet_since, .. } if now.since(*quiet_since) >= QUIET_MS)
    }

    /// When it will look different by itself.
    pub(super) fn wake_at(&self, now: Real) -> Option<Real> {
        match self {
            Self::Armed { quiet_since, .. } if !self.is_ready(now) => Some(quiet_since.plus(QUIET_MS)),
            Self::Armed { since, .. } => Some(since.plus(ARMED_MS)),
            _ => None,
        }
    }

    /// Whether its panel is on the screen.
    pub(super) fn is_shown(&self) -> bool {
        !matches!(self, Self::Idle | Self::Sent { hidden: true, .. })
    }

    /// Closes the panel; an order that is out stays out.
    pub(super) fn close(&mut self) {
        match self {
            Self::Sent { hidden, .. } => *hidden = true,
            _ => *self = Self::Idle,
        }
    }
}
