//! The cart and its pole: physics, limits and time limit of Gymnasium's `CartPole-v1`. Knows nothing of learning.

use rand::Rng;

use crate::learn::uniform;

/// One cart with one pole.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CartPole {
    /// Position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
    state: [f64; 4],
    /// Steps of this episode.
    steps: u32,
}

/// How an episode ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The pole fell or the cart left the track.
    Fell,
    /// 500 steps are over.
    OutOfTime,
}

const GRAVITY: f64 = 9.8;
const MASS_POLE: f64 = 0.1;
const MASS_ALL: f64 = 1.0 + MASS_POLE;
/// Half of the pole.
const LENGTH: f64 = 0.5;
const FORCE: f64 = 10.0;
/// Seconds a step.
const TAU: f64 = 0.02;
/// 12 degrees.
const MAX_ANGLE: f64 = 12.0 * 2.0 * std::f64::consts::PI / 360.0;
const MAX_POSITION: f64 = 2.4;
/// Steps of the longest episode.
pub(super) const MAX_STEPS: u32 = 500;

impl CartPole {
    /// At the beginning of an episode: all four numbers uniform within 0.05 of 0.
    pub fn begin(draws: &mut impl Rng) -> Self {
        Self { state: std::array::from_fn(|_| uniform(draws) * 0.1 - 0.05), steps: 0 }
    }

    /// In a given state (m, m/s, rad, rad/s).
    #[must_use]
    pub const fn at(state: [f64; 4]) -> Self {
        Self { state, steps: 0 }
    }

    /// Position, velocity, angle, angular velocity.
    #[must_use]
    pub const fn state(&self) -> [f64; 4] {
        self.state
    }

    /// What is seen: the state in single precision.
    #[must_use]
    pub fn observation(&self) -> [f32; 4] {
        #[expect(clippy::cast_possible_truncation, reason = "as in Gymnasium")]
        self.state.map(|value| value as f32)
    }

    /// Steps of this episode so far.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Pushes to the right, or to the left, for one step (explicit Euler). The reward is 1, at the last step too.
    pub fn step(&mut self, right: bool) -> Option<End> {
        let [x, x_dot, theta, theta_dot] = self.state;
        let force = if right { FORCE } else { -FORCE };
        let (sin, cos) = (libm::sin(theta), libm::cos(theta));
        let pole = MASS_POLE * LENGTH;
        let push = (force + pole * theta_dot * theta_dot * sin) / MASS_ALL;
        let theta_acc =
            (GRAVITY * sin - cos * push) / (LENGTH * (4.0 / 3.0 - MASS_POLE * cos * cos / MASS_ALL));
        let x_acc = push - pole * theta_acc * cos / MASS_ALL;
        self.state =
            [x + TAU * x_dot, x_dot + TAU * x_acc, theta + TAU * theta_dot, theta_dot + TAU * theta_acc];
        self.steps += 1;
        if self.state[0].abs() > MAX_POSITION || self.state[2].abs() > MAX_ANGLE {
            Some(End::Fell)
        } else if self.steps >= MAX_STEPS {
            Some(End::OutOfTime)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Purpose, generator};

    fn close(found: [f64; 4], expected: [f64; 4]) {
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn it_moves_as_gymnasiums_does() {
        let mut cart = CartPole::at([0.01, -0.02, 0.03, 0.04]);
        for action in [1, 1, 0, 1, 0, 0, 0, 1, 1, 0] {
            assert_eq!(cart.step(action == 1), None);
        }
        // What gymnasium 1.4.0 says after the same ten actions from the same state.
        close(
            cart.state(),
            [
                0.033_075_226_737_691_4,
                -0.021_722_714_704_495_077,
                0.002_345_964_480_012_011_8,
                0.077_981_924_410_698_01,
            ],
        );
    }

    #[test]
    fn it_falls_beyond_12_degrees_and_beyond_the_track() {
        let end = |state| CartPole::at(state).step(true);
        assert_eq!(end([0.0, 0.0, 0.208, 0.1]), Some(End::Fell));
        assert_eq!(end([0.0, 0.0, -0.208, -0.1]), Some(End::Fell));
        assert_eq!(end([2.39, 1.0, 0.0, 0.0]), Some(End::Fell));
        assert_eq!(end([-2.39, -1.0, 0.0, 0.0]), Some(End::Fell));
        assert_eq!(end([2.39, 0.1, 0.2, 0.1]), None);
    }

    #[test]
    fn an_episode_ends_after_500_steps() {
        let mut cart = CartPole::at([0.0; 4]);
        for step in 1..=500 {
            // A controller that holds the pole up: pushes to where it is falling.
            let [x, x_dot, theta, theta_dot] = cart.state();
            let end = cart.step(theta + 0.5 * theta_dot + 0.05 * x + 0.1 * x_dot > 0.0);
            assert_eq!(end, (step == 500).then_some(End::OutOfTime), "step {step}, {:?}", cart.state());
        }
    }

    #[test]
    fn episodes_begin_within_a_twentieth_of_0() {
        let mut draws = generator(1, Purpose::Episode, 0);
        let all: Vec<f64> = (0..1_000).flat_map(|_| CartPole::begin(&mut draws).state()).collect();
        assert!(all.iter().all(|value| value.abs() <= 0.05));
        assert!(all.iter().any(|value| *value > 0.049) && all.iter().any(|value| *value < -0.049));
    }
}
