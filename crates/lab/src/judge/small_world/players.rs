//! Two baselines of the small world: one that does not look, and one that counts failed checks as Flagger does.

use super::{Move, Seen, SmallPolicy};

/// Up at each tick, whatever happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind;

impl SmallPolicy for Blind {
    fn name(&self) -> &'static str {
        "blind ramping"
    }

    fn choose(&mut self, _: &Seen) -> Move {
        Move::Up
    }
}

/// A check after each tick, against a fixed limit: up where it passes, stay where it fails, roll back at the last of
/// so many failed ones.
#[derive(Clone, Copy, Debug)]
pub struct FlaggerLike {
    /// The largest share of requests that may fail.
    pub limit: f64,
    /// Failed checks that roll back.
    pub threshold: u32,
    failed_checks: u32,
}

impl Default for FlaggerLike {
    fn default() -> Self {
        Self { limit: 0.01, threshold: 5, failed_checks: 0 }
    }
}

impl SmallPolicy for FlaggerLike {
    fn name(&self) -> &'static str {
        "flagger-like"
    }

    fn begin(&mut self) {
        self.failed_checks = 0;
    }

    fn choose(&mut self, seen: &Seen) -> Move {
        if seen.requests == 0.0 {
            return Move::Hold;
        }
        // Not divided: 20 of 2 000 are 1 % exactly.
        if f64::from(seen.failed) <= self.limit * seen.requests {
            return Move::Up;
        }
        self.failed_checks += 1;
        if self.failed_checks >= self.threshold { Move::RollBack } else { Move::Hold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_failed_check_rolls_back_and_none_is_ever_taken_back() {
        let mut rule = FlaggerLike::default();
        let seen = |failed| Seen { tick: 1, step: 5, requests: 2_000.0, failed, log_odds: 0.0 };
        let mut choose = |failed| rule.choose(&seen(failed));
        assert_eq!([choose(21), choose(20), choose(99)], [Move::Hold, Move::Up, Move::Hold]);
        assert_eq!([choose(21), choose(0), choose(21)], [Move::Hold, Move::Up, Move::Hold]);
        assert_eq!(choose(21), Move::RollBack);
        rule.begin();
        assert_eq!(rule.choose(&seen(21)), Move::Hold);
        assert_eq!(rule.choose(&Seen { requests: 0.0, failed: 0, ..seen(0) }), Move::Hold);
    }
}
