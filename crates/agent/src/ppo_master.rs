//! PPO-Master: the learned policy, as it steers in production. Features, network, mask, the likeliest move, and why.

use std::sync::Arc;

use super::{
    CHOICES, Choice, Features, HarmWeight, Memory, NetworkOutput, Weights, WeightsError, explain, features,
    legal, probabilities,
};
use knightwatch_core::control::{
    Action, Explanation, Observation, Policy, PolicyFault, PolicySettings, Proposal,
};

/// The trained weights that the program ships with.
static SHIPPED: &[u8] = include_bytes!("../../../assets/ppo-master.safetensors");

/// What the shipped weights are called in an alarm.
const SHIPPED_NAME: &str = "the shipped weights";

/// Most proposals of one tick that are explained: each takes as long as some forty proposals. Where more flags than
/// that want to move at once, rollbacks and step downs come first, then the fleet's order; the shield's caps let few
/// of the others through anyway.
pub const MAX_EXPLAINED: usize = 250;

/// See the module.
#[derive(Clone, Debug)]
pub struct PpoMaster {
    /// Where the weights are from, for the alarm.
    name: Arc<str>,
    /// The file they are from, to be found again from any folder.
    file: Option<Arc<str>>,
    weights: Result<Arc<Weights>, WeightsError>,
    harm_weight: HarmWeight,
    memories: Vec<Memory>,
    /// Of one tick, kept for their room: what is seen of each flag, the same normalised, and the answers.
    seen: Vec<Features>,
    inputs: Vec<Features>,
    answers: Vec<NetworkOutput>,
}

/// The hash of the shipped weights' file.
#[expect(clippy::disallowed_types, reason = "a constant that is computed once; nothing can change it")]
fn shipped_hash() -> &'static str {
    static HASH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    HASH.get_or_init(|| super::weights::hash(SHIPPED))
}

impl PpoMaster {
    /// With the weights of this file. One that cannot be used makes a policy that answers with that fault: everything
    /// holds, an alarm says why, and the shield still rolls back.
    #[must_use]
    pub fn from_file(bytes: &[u8]) -> Self {
        Self::new(Weights::parse(bytes).map(Arc::new))
    }

    /// With the weights that the program ships with.
    #[must_use]
    pub fn shipped() -> Self {
        Self::from_file(SHIPPED).named(SHIPPED_NAME)
    }

    /// With these weights.
    #[must_use]
    pub fn new(weights: Result<Arc<Weights>, WeightsError>) -> Self {
        Self {
            name: Arc::from("the weights"),
            file: None,
            weights,
            harm_weight: HarmWeight::default(),
            memories: Vec::new(),
            seen: Vec::new(),
            inputs: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// The same, its weights called this in an alarm: a file's name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: knightwatch_core::flag::clean_line(name).into(), ..self }
    }

    /// The same, read from this file: an absolute path.
    #[must_use]
    pub fn read_from(self, file: &str) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The same, weighing harm against waiting in this way.
    #[must_use]
    pub fn with_harm_weight(self, harm_weight: HarmWeight) -> Self {
        Self { harm_weight, ..self }
    }

    /// How it weighs harm against waiting.
    #[must_use]
    pub const fn harm_weight(&self) -> HarmWeight {
        self.harm_weight
    }

    /// What the weights are, or why there are none.
    pub const fn weights(&self) -> &Result<Arc<Weights>, WeightsError> {
        &self.weights
    }

    fn unfit(&self, why: &dyn std::fmt::Display) -> PolicyFault {
        PolicyFault::Unfit(format!("{}: {why}", self.name))
    }

    /// Says why, of the proposals that move a flag: see [`MAX_EXPLAINED`].
    fn explain(&self, weights: &Weights, observations: &[Observation<'_>], proposals: &mut [Proposal]) {
        let moves = |raise: bool| {
            let of = move |proposal: &Proposal| match proposal.action {
                Action::Hold => false,
                Action::RaiseTo(_) => raise,
                Action::RollBack | Action::StepDown => !raise,
            };
            proposals.iter().enumerate().filter(move |(_, proposal)| of(proposal)).map(|(index, _)| index)
        };
        let explained: Vec<usize> = moves(false).chain(moves(true)).take(MAX_EXPLAINED).collect();
        for index in explained {
            let (seen, answer) = (&self.seen[index], &self.answers[index]);
            let legal = legal(&observations[index]);
            let probabilities = probabilities(&answer.logits, &legal);
            let influences = explain::influences(weights, seen, &legal, Choice::likeliest(&probabilities));
            proposals[index].explanation = Some(Box::new(Explanation {
                probabilities,
                value: answer.value,
                legal,
                features: seen.to_vec(),
                weights: weights.hash.clone(),
                moved_by: explain::moved_by(&influences, seen),
            }));
        }
    }
}

impl Policy for PpoMaster {
    fn name(&self) -> &'static str {
        "ppo-master"
    }

    fn settings(&self) -> Option<PolicySettings> {
        let weights = self.weights.as_ref().map(|weights| weights.hash.clone()).unwrap_or_default();
        let shipped = weights == shipped_hash();
        let mut non_default = Vec::new();
        if self.harm_weight != HarmWeight::default() {
            non_default.push(format!("harm weight {}", self.harm_weight));
        }
        if !shipped {
            non_default.push(match weights.get(..8) {
                Some(short) => format!("weights {short}"),
                None => "no usable weights".to_owned(),
            });
        }
        let file = self.file.as_ref().filter(|_| !shipped).map(ToString::to_string);
        Some(PolicySettings {
            harm_weight: self.harm_weight.into(),
            weights,
            file,
            non_default: non_default.join(", "),
        })
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        let weights = Arc::clone(self.weights.as_ref().map_err(|error| self.unfit(error))?);
        self.seen.clear();
        self.inputs.clear();
        self.answers.clear();
        for seen in observations {
            let flag = seen.flag.index();
            if self.memories.len() <= flag {
                self.memories.resize_with(flag + 1, Memory::default);
            }
            let seen_as = features(seen, self.harm_weight, &mut self.memories[flag]);
            self.inputs.push(weights.normaliser.apply(&seen_as));
            self.seen.push(seen_as);
        }
        weights.network.answers(&self.inputs, &mut self.answers);
        if let Some(index) = self.answers.iter().position(|answer| !answer.is_finite()) {
            let flag = observations[index].flag;
            return Err(PolicyFault::NotFinite { weights: self.name.to_string(), flag });
        }
        proposals.extend(observations.iter().zip(&self.answers).map(|(seen, answer)| {
            let probabilities = probabilities(&answer.logits, &legal(seen));
            Proposal {
                action: Choice::likeliest(&probabilities).action(seen),
                probabilities: Some(probabilities),
                value: Some(answer.value),
                explanation: None,
            }
        }));
        self.explain(&weights, observations, proposals);
        Ok(())
    }
}

impl Choice {
    /// The one with the largest probability; of equals the first, which is the more careful one.
    #[must_use]
    pub fn likeliest(probabilities: &[f32; CHOICES]) -> Self {
        let mut best = Self::RollBack;
        for (choice, p) in Self::ALL.into_iter().zip(probabilities) {
            if *p > probabilities[best as usize] {
                best = choice;
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{FEATURES, weights::tests::drawn};
    use knightwatch_core::{
        control::{ActionMask, Phase},
        flag::{FlagId, Ladder, Rollout},
        telemetry::{ArmStats, Millis, WindowReport},
    };

    /// A flag that has been on its rung for a while, and may be lowered.
    fn observation<'a>(
        flag: u32,
        rollout: Rollout,
        ladder: &'a Ladder,
        report: &'a WindowReport,
        raise_to: Option<Rollout>,
    ) -> Observation<'a> {
        Observation {
            flag: FlagId(flag),
            ramp: 1,
            now: Millis::from_secs(100),
            interval: Millis::from_secs(10),
            phase: Phase::Ramping,
            rollout,
            ladder,
            since_change: Millis::from_secs(90),
            report,
            latest: &[None; 2],
            slower: None,
            moving_in_service: 0,
            mask: ActionMask { lower: true, raise_to },
        }
    }

    #[test]
    fn of_too_many_moves_those_that_go_down_are_explained_first() {
        // Raising wins wherever it is legal; where it is not, rolling back does.
        let mut parameters = drawn(1, 1.0).parameters;
        parameters.policy.1 = vec![20.0, -20.0, -20.0, 60.0, -20.0, -20.0];
        let weights = Weights::new(parameters, super::super::Normaliser::default(), BTreeMap::default());
        let mut policy = PpoMaster::new(Ok(Arc::new(weights)));
        let (ladder, report) = (Ladder::default(), WindowReport::default());
        let rollout = Rollout::from_percent(25.0).unwrap();
        let seen = |flag: u32, raise_to| observation(flag, rollout, &ladder, &report, raise_to);
        let up = Some(ladder.above(rollout, 1));
        let mut all: Vec<Observation<'_>> = (0..300).map(|flag| seen(flag, up)).collect();
        all.extend((300..350).map(|flag| seen(flag, None)));
        let mut proposals = Vec::new();
        policy.propose(&all, &mut proposals).unwrap();
        let explained = |proposals: &[Proposal]| proposals.iter().filter(|p| p.explanation.is_some()).count();
        assert!(proposals[300..].iter().all(|proposal| proposal.action == Action::RollBack));
        assert_eq!(explained(&proposals), MAX_EXPLAINED);
        assert_eq!(explained(&proposals[300..]), 50);
        assert_eq!(explained(&proposals[..MAX_EXPLAINED - 50]), MAX_EXPLAINED - 50);
    }

    #[test]
    fn the_more_requests_a_flag_has_the_more_harm_weighs_and_a_gap_changes_nothing() {
        let harm_weight = FEATURES.iter().position(|feature| feature.key == "harm_weight").unwrap();
        let weights =
            Weights::new(drawn(1, 1.0).parameters, super::super::Normaliser::default(), BTreeMap::new());
        let mut by_traffic = PpoMaster::new(Ok(Arc::new(weights)));
        let mut factor = by_traffic.clone().with_harm_weight(HarmWeight::Factor(2.0));
        let (ladder, report) = (Ladder::default(), WindowReport::default());
        let arm = |requests| Some(ArmStats { requests, ..ArmStats::default() });
        // Of two flags: a tenth of a request a second, and ten thousand; then a gap.
        let latest = [[arm(1), arm(0)], [arm(90_000), arm(10_000)]];
        let weighed = |policy: &mut PpoMaster, latest: &[[Option<ArmStats>; 2]]| {
            let seen = |(flag, latest)| Observation {
                latest,
                ..observation(flag, Rollout::from_percent(10.0).unwrap(), &ladder, &report, None)
            };
            let all: Vec<_> = (0..).zip(latest).map(seen).collect();
            policy.propose(&all, &mut Vec::new()).unwrap();
            policy.seen.iter().map(|features| libm::expf(features[harm_weight])).collect::<Vec<_>>()
        };
        let weights = weighed(&mut by_traffic, &latest);
        let [few, many] = weights[..] else { panic!("{weights:?}") };
        assert!(few < 1.5 && many > 10.0 * few, "{few} {many}");
        assert_eq!(weighed(&mut by_traffic, &[latest[0], [None, None]]), [few, many]);
        assert!(weighed(&mut factor, &latest).iter().all(|factor| (factor - 2.0).abs() < 1e-5));
    }

    #[test]
    fn of_equal_probabilities_the_more_careful_choice_is_taken() {
        assert_eq!(Choice::likeliest(&[0.1, 0.1, 0.3, 0.3, 0.2, 0.0]), Choice::Hold);
        assert_eq!(Choice::likeliest(&[0.0, 0.0, 0.2, 0.2, 0.6, 0.0]), Choice::RaiseMedium);
    }
}
