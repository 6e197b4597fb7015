//! What one iteration learns from: steps in flat buffers, and where their episodes are cut. (A rollout in the sense of
//! PPO; the share of traffic that gets a flag is `flag::Rollout`.) Knows nothing of who took the steps.

use super::LearnError;

/// How many numbers a step has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What the actor sees, O.
    pub observations: usize,
    /// What only the critic sees in addition, P; may be 0 (asymmetric actor-critic: Pinto et al. 2017, arXiv 1710.06542).
    pub privileged: usize,
    /// How many actions there are, A: 2 to 255.
    pub actions: usize,
}

impl Shape {
    pub(super) fn check(self) -> Result<(), LearnError> {
        let wrong = |key, detail| Err(LearnError::Setting { key, detail });
        if !(1..=65_536).contains(&self.observations) {
            return wrong("observations", format!("expected 1 to 65536, found {}", self.observations));
        }
        if self.privileged > 65_536 {
            return wrong("privileged", format!("expected 0 to 65536, found {}", self.privileged));
        }
        if !(2..=255).contains(&self.actions) {
            return wrong("actions", format!("expected 2 to 255, found {}", self.actions));
        }
        Ok(())
    }
}

/// How a segment goes on after its last step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Not at all: the episode is over, nothing is to be had any more.
    Terminal,
    /// The episode was ended from outside (a time limit). It would have gone on from this row of the bootstrap buffers,
    /// whose value stands for the rest.
    Truncated(usize),
    /// The rollout is full; the episode goes on in the next one, from this row of the bootstrap buffers.
    CutOff(usize),
}

impl Tail {
    /// The row whose value stands for what is missing.
    #[must_use]
    pub const fn bootstrap(self) -> Option<usize> {
        match self {
            Self::Terminal => None,
            Self::Truncated(row) | Self::CutOff(row) => Some(row),
        }
    }
}

/// Consecutive steps of one episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first row.
    pub start: usize,
    /// The row after its last.
    pub end: usize,
    /// In which environment it happened. Only the scaling of rewards looks at it: the discounted return of an episode
    /// that was cut off continues in the next segment of its lane.
    pub lane: u32,
    /// How it goes on.
    pub tail: Tail,
}

/// M steps, each row-major. Segments cover the rows in order, without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// M × O, as the network sees them (normalised).
    pub observations: Vec<f32>,
    /// M × P.
    pub privileged: Vec<f32>,
    /// M × A: 1 where the action was legal, else 0.
    pub masks: Vec<u8>,
    /// M: which was taken; legal.
    pub actions: Vec<u8>,
    /// M: the natural logarithm of the probability it was taken with.
    pub log_probs: Vec<f32>,
    /// M: the reward for it.
    pub rewards: Vec<f32>,
    /// Where episodes begin, end and are cut.
    pub segments: Vec<Segment>,
    /// B × O: the observations after the last steps of segments that are not terminal.
    pub bootstrap_observations: Vec<f32>,
    /// B × P.
    pub bootstrap_privileged: Vec<f32>,
}

impl Rollout {
    /// How many steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// How many observations to bootstrap from.
    #[must_use]
    pub fn bootstraps(&self, shape: Shape) -> usize {
        self.bootstrap_observations.len() / shape.observations
    }

    /// Adds the steps of another rollout behind its own.
    pub fn append(&mut self, other: &Self, shape: Shape) {
        let (rows, bootstraps) = (self.len(), self.bootstraps(shape));
        self.observations.extend_from_slice(&other.observations);
        self.privileged.extend_from_slice(&other.privileged);
        self.masks.extend_from_slice(&other.masks);
        self.actions.extend_from_slice(&other.actions);
        self.log_probs.extend_from_slice(&other.log_probs);
        self.rewards.extend_from_slice(&other.rewards);
        self.bootstrap_observations.extend_from_slice(&other.bootstrap_observations);
        self.bootstrap_privileged.extend_from_slice(&other.bootstrap_privileged);
        self.segments.extend(other.segments.iter().map(|segment| Segment {
            start: segment.start + rows,
            end: segment.end + rows,
            lane: segment.lane,
            tail: match segment.tail {
                Tail::Terminal => Tail::Terminal,
                Tail::Truncated(row) => Tail::Truncated(row + bootstraps),
                Tail::CutOff(row) => Tail::CutOff(row + bootstraps),
            },
        }));
    }

    /// Empties every buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.observations.clear();
        self.privileged.clear();
        self.masks.clear();
        self.actions.clear();
        self.log_probs.clear();
        self.rewards.clear();
        self.segments.clear();
        self.bootstrap_observations.clear();
        self.bootstrap_privileged.clear();
    }

    /// Whether everything fits together: libtorch would stop the program, or worse, learn from nonsense.
    ///
    /// # Errors
    /// What was expected and what was found, as a sentence without its place.
    pub fn check(&self, shape: Shape) -> Result<(), String> {
        let m = self.len();
        if m == 0 {
            return Err("expected at least one step, found none".to_owned());
        }
        let bootstraps = self.bootstraps(shape);
        for (name, found, expected) in [
            ("observations", self.observations.len(), m * shape.observations),
            ("privileged", self.privileged.len(), m * shape.privileged),
            ("masks", self.masks.len(), m * shape.actions),
            ("log_probs", self.log_probs.len(), m),
            ("rewards", self.rewards.len(), m),
            ("bootstrap_observations", self.bootstrap_observations.len(), bootstraps * shape.observations),
            ("bootstrap_privileged", self.bootstrap_privileged.len(), bootstraps * shape.privileged),
        ] {
            if found != expected {
                return Err(format!("{name}: expected {expected} values for {m} steps, found {found}"));
            }
        }
        for (name, values) in [
            ("observations", &self.observations),
            ("privileged", &self.privileged),
            ("log_probs", &self.log_probs),
            ("rewards", &self.rewards),
            ("bootstrap_observations", &self.bootstrap_observations),
            ("bootstrap_privileged", &self.bootstrap_privileged),
        ] {
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(format!("{name}: expected finite numbers, found {} at index {at}", values[at]));
            }
        }
        self.check_actions(shape)?;
        self.check_segments(bootstraps)
    }

    fn check_actions(&self, shape: Shape) -> Result<(), String> {
        for (row, (action, mask)) in
            self.actions.iter().zip(self.masks.chunks_exact(shape.actions)).enumerate()
        {
            if let Some(other) = mask.iter().find(|legal| **legal > 1) {
                return Err(format!("step {row}: expected masks of 0 and 1, found {other}"));
            }
            match mask.get(usize::from(*action)) {
                Some(1) => {}
                Some(_) => return Err(format!("step {row}: action {action} was taken, but its mask is 0")),
                None => {
                    return Err(format!(
                        "step {row}: expected an action from 0 to {}, found {action}",
                        shape.actions - 1
                    ));
                }
            }
        }
        if let Some(row) = self.log_probs.iter().position(|log_prob| *log_prob > 1e-4) {
            return Err(format!(
                "step {row}: expected a log probability up to 0, found {}",
                self.log_probs[row]
            ));
        }
        Ok(())
    }

    fn check_segments(&self, bootstraps: usize) -> Result<(), String> {
        let mut next = 0;
        for (number, segment) in self.segments.iter().enumerate() {
            if segment.start != next || segment.end <= segment.start {
                return Err(format!(
                    "segment {number}: expected it to start at step {next} and to end after it, found {} to {}",
                    segment.start, segment.end
                ));
            }
            if let Some(row) = segment.tail.bootstrap().filter(|row| *row >= bootstraps) {
                return Err(format!(
                    "segment {number}: bootstraps from row {row}, but there are {bootstraps}"
                ));
            }
            next = segment.end;
        }
        if next != self.len() {
            return Err(format!(
                "expected segments over all {} steps, found them to end at {next}",
                self.len()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { observations: 2, privileged: 1, actions: 2 };

    fn whole() -> Rollout {
        Rollout {
            observations: vec![0.0; 6],
            privileged: vec![0.0; 3],
            masks: vec![1, 1, 1, 0, 1, 1],
            actions: vec![1, 0, 1],
            log_probs: vec![-0.7, 0.0, -0.7],
            rewards: vec![1.0; 3],
            segments: vec![
                Segment { start: 0, end: 2, lane: 0, tail: Tail::Terminal },
                Segment { start: 2, end: 3, lane: 0, tail: Tail::CutOff(0) },
            ],
            bootstrap_observations: vec![0.0; 2],
            bootstrap_privileged: vec![0.0],
        }
    }

    fn fault(spoil: impl FnOnce(&mut Rollout)) -> String {
        let mut rollout = whole();
        spoil(&mut rollout);
        rollout.check(SHAPE).unwrap_err()
    }

    #[test]
    fn a_whole_rollout_passes_and_each_flaw_is_named() {
        assert_eq!(whole().check(SHAPE), Ok(()));
        assert!(fault(Rollout::clear).contains("at least one step"));
        assert!(fault(|r| r.rewards.truncate(2)).contains("rewards: expected 3 values for 3 steps, found 2"));
        assert!(fault(|r| r.observations[4] = f32::NAN).contains("observations: expected finite numbers"));
        assert!(fault(|r| r.actions[1] = 1).contains("step 1: action 1 was taken, but its mask is 0"));
        assert!(fault(|r| r.actions[0] = 2).contains("step 0: expected an action from 0 to 1, found 2"));
        assert!(fault(|r| r.masks[0] = 7).contains("masks of 0 and 1, found 7"));
        assert!(fault(|r| r.log_probs[0] = 0.5).contains("a log probability up to 0"));
        assert!(fault(|r| r.segments[1].start = 1).contains("segment 1: expected it to start at step 2"));
        assert!(fault(|r| r.segments[1].tail = Tail::Truncated(1)).contains("row 1, but there are 1"));
        assert!(fault(|r| r.segments.truncate(1)).contains("segments over all 3 steps"));
    }
}
