//! The best policy of the small world, by dynamic programming backwards in time over beliefs.
//!
//! `V_t(i, l) = min{K_R + K_FR (1 - p), min over i' of c(i', p) + E V_t+1(i', l')}`, l being the log-odds that the flag is
//! bad and p its probability, i' the steps that a move leads to. The belief lies on a grid and is interpolated between its
//! points; ten times as many points change no digit that is shown. No policy that sees only counts can cost less.

use super::{Counts, Move, NEGLIGIBLE, SHARES, Seen, SmallPolicy, SmallWorld, step_after, waiting};

/// Points of the grid of log-odds.
const POINTS: usize = 561;
/// Its ends, as log-odds: beyond 14 a flag is bad but for one in a million.
const END: f64 = 14.0;
/// Its width.
const WIDTH: f64 = 2.0 * END / LAST;
/// The last point.
const LAST: f64 = 560.0;

/// In the order of [`Best::moves`]; of two as good the first is taken.
const MOVES: [Move; 4] = [Move::Up, Move::Hold, Move::Down, Move::RollBack];

/// A number for each step and each point of the grid.
type Plane<T> = Vec<[T; POINTS]>;

/// The best policy, and what it costs.
#[derive(Clone, Debug)]
pub struct Best {
    cost: f64,
    /// What to do before each tick, at each step and belief, as an index into [`MOVES`].
    moves: Vec<Plane<u8>>,
}

impl Best {
    /// Computes it: about half a second.
    #[must_use]
    pub fn of(world: &SmallWorld) -> Self {
        let kernels: Vec<Kernel> = (0..SHARES.len()).map(|step| Kernel::of(world, step)).collect();
        let mut values: Plane<f64> = vec![[0.0; POINTS]; SHARES.len()];
        let mut moves = Vec::with_capacity(world.ticks);
        for _ in 0..world.ticks {
            let mut at: Plane<f64> = vec![[0.0; POINTS]; SHARES.len()];
            for (step, at) in at.iter_mut().enumerate() {
                for (point, at) in at.iter_mut().enumerate() {
                    let ahead = kernels[step].ahead(&values[step], point);
                    *at = waiting(step) + bad(point) * world.harm(step) + ahead;
                }
            }
            let mut chosen: Plane<u8> = vec![[0; POINTS]; SHARES.len()];
            for step in 0..SHARES.len() {
                for point in 0..POINTS {
                    let mut least = f64::INFINITY;
                    for (index, candidate) in (0..).zip(MOVES) {
                        let cost = match step_after(step, candidate) {
                            Some(step) => at[step][point],
                            None => world.rollback + world.false_rollback * (1.0 - bad(point)),
                        };
                        if cost < least {
                            least = cost;
                            chosen[step][point] = index;
                        }
                    }
                    values[step][point] = least;
                }
            }
            moves.push(chosen);
        }
        moves.reverse();
        let (point, part) = place(libm::log(world.prior / (1.0 - world.prior)));
        let cost = values[0][point] + part * (values[0][point + 1] - values[0][point]);
        Self { cost, moves }
    }

    /// The expected cost of a flag under it: the least that any policy can have.
    #[must_use]
    pub const fn cost(&self) -> f64 {
        self.cost
    }
}

impl SmallPolicy for Best {
    fn name(&self) -> &'static str {
        "bayes-optimal"
    }

    fn choose(&mut self, seen: &Seen) -> Move {
        let (point, part) = place(seen.log_odds);
        let nearest = point + usize::from(part >= 0.5);
        let chosen = self.moves.get(seen.tick).map_or(1, |moves| moves[seen.step][nearest]);
        MOVES[usize::from(chosen)]
    }
}

/// The point of the grid below a belief, never the last, and which part of the way to the next one it is.
fn place(log_odds: f64) -> (usize, f64) {
    let x = ((log_odds + END) / WIDTH).clamp(0.0, LAST);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the grid")]
    let point = (x as usize).min(POINTS - 2);
    (point, x - real(point))
}

/// The probability that the flag is bad at a point of the grid.
fn bad(point: usize) -> f64 {
    1.0 / (1.0 + libm::exp(END - WIDTH * real(point)))
}

#[expect(clippy::cast_precision_loss, reason = "at most the last point")]
fn real(point: usize) -> f64 {
    point as f64
}

/// Where a tick at one step takes the belief. From any point it goes by the same distances, so that one list serves all.
struct Kernel {
    /// By how many points, and with which probability where the flag is good, and where it is bad.
    jumps: Vec<(isize, [f64; 2])>,
}

impl Kernel {
    fn of(world: &SmallWorld, step: usize) -> Self {
        let [good, bad] = [false, true].map(|bad| Counts::of(world.mean(SHARES[step], bad)).probabilities);
        let mut jumps: Vec<(isize, [f64; 2])> = Vec::new();
        for count in 0..good.len().max(bad.len()) {
            let likely = [&good, &bad].map(|all| all.get(count).copied().unwrap_or(0.0));
            if likely.iter().all(|likely| *likely < NEGLIGIBLE) {
                continue;
            }
            let points = world.evidence(step, u32::try_from(count).unwrap_or(u32::MAX)) / WIDTH;
            let whole = libm::floor(points);
            for (part, more) in [(1.0 - (points - whole), 0), (points - whole, 1)] {
                #[expect(clippy::cast_possible_truncation, reason = "some thousands of points at most")]
                jumps.push((whole as isize + more, likely.map(|likely| likely * part)));
            }
        }
        Self { jumps }
    }

    /// What is to be expected of `values` after a tick from this point.
    fn ahead(&self, values: &[f64; POINTS], point: usize) -> f64 {
        let bad = bad(point);
        let mut expected = [0.0; 2];
        for (jump, likely) in &self.jumps {
            let to = point.saturating_add_signed(*jump).min(POINTS - 1);
            expected[0] += likely[0] * values[to];
            expected[1] += likely[1] * values[to];
        }
        (1.0 - bad) * expected[0] + bad * expected[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_belief_is_found_on_the_grid_and_beyond_its_ends() {
        assert_eq!(place(-END), (0, 0.0));
        assert_eq!(place(-99.0), (0, 0.0));
        assert_eq!(place(99.0), (POINTS - 2, 1.0));
        let (point, part) = place(0.02);
        assert_eq!(point, 280);
        assert!((part - 0.4).abs() < 1e-9 && (bad(280) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_tick_leaves_what_is_believed_where_it_was_on_average() {
        // The probability that a flag is bad is a martingale, so its mean after a tick is what it was before.
        let world = SmallWorld::new(0.005);
        let probabilities: [f64; POINTS] = std::array::from_fn(bad);
        for step in 0..SHARES.len() {
            for point in [200, 260, 300] {
                let ahead = Kernel::of(&world, step).ahead(&probabilities, point);
                assert!((ahead - bad(point)).abs() < 1e-3, "step {step}: {ahead} from {}", bad(point));
            }
        }
    }

    #[test]
    fn it_rolls_back_what_is_surely_bad_and_raises_what_is_surely_good() {
        let mut best = Best::of(&SmallWorld { ticks: 30, ..SmallWorld::new(0.1) });
        let mut choose =
            |step, log_odds| best.choose(&Seen { tick: 2, step, requests: 20.0, failed: 0, log_odds });
        assert_eq!((choose(2, 9.0), choose(2, -9.0)), (Move::RollBack, Move::Up));
    }
}
