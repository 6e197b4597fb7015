//! The policy that is being trained, behind the same trait as the deployed one: it draws its moves instead of taking
//! the likeliest, and keeps what it saw.

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use knightwatch_agent::{
    CHOICES, Choice, Features, HarmWeight, Memory, Network, Normaliser, features, legal, probabilities,
};
use knightwatch_core::{
    control::{Observation, Policy, PolicyFault, Proposal},
    flag::FlagId,
};

/// What was seen and chosen for one flag at one tick.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) flag: FlagId,
    pub(super) raw: Features,
    pub(super) input: Features,
    pub(super) legal: [bool; CHOICES],
    pub(super) choice: u8,
    pub(super) log_probability: f32,
}

/// How moves are chosen.
pub(super) enum Chooser<'a> {
    /// Drawn from the network's probabilities.
    Network(&'a Network, &'a Normaliser),
    /// As they were chosen before.
    Script(&'a [(u8, f32)], &'a Normaliser),
    /// Holds and raises at random: for the normaliser's statistics.
    Stroll,
}

/// See the module.
pub(super) struct Sampler<'a> {
    pub(super) chooser: Chooser<'a>,
    pub(super) harm_weight: HarmWeight,
    pub(super) memories: &'a mut [Memory],
    pub(super) chance: &'a mut Pcg64Mcg,
    pub(super) asked: &'a mut Vec<Asked>,
}

impl Policy for Sampler<'_> {
    fn name(&self) -> &'static str {
        "sampler"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        for seen in observations {
            let raw = features(seen, self.harm_weight, &mut self.memories[seen.flag.index()]);
            let legal = legal(seen);
            let draw: f32 = self.chance.random();
            let (input, choice, log_probability) = match &mut self.chooser {
                Chooser::Network(network, normaliser) => {
                    let input = normaliser.apply(&raw);
                    let all = probabilities(&network.answer(&input).logits, &legal);
                    let choice = drawn(&all, draw);
                    (input, choice, libm::logf(all[choice]))
                }
                Chooser::Script(script, normaliser) => {
                    let (choice, log_probability) =
                        script.split_off_first().copied().unwrap_or((Choice::Hold as u8, 0.0));
                    (normaliser.apply(&raw), usize::from(choice), log_probability)
                }
                Chooser::Stroll => (raw, strolled(legal, draw), 0.0),
            };
            proposals.push(Proposal::to(Choice::ALL[choice].action(seen)));
            #[expect(clippy::cast_possible_truncation, reason = "there are six choices")]
            let choice = choice as u8;
            self.asked.push(Asked { flag: seen.flag, raw, input, legal, choice, log_probability });
        }
        Ok(())
    }
}

/// The choice on which `draw`, uniform from 0 to 1, falls.
fn drawn(probabilities: &[f32; CHOICES], draw: f32) -> usize {
    let (mut sum, mut last) = (0.0, Choice::Hold as usize);
    for (choice, p) in probabilities.iter().enumerate() {
        if *p > 0.0 {
            sum += p;
            last = choice;
            if draw < sum {
                return choice;
            }
        }
    }
    // Rounding may leave the sum a little below one.
    last
}

/// Two times in three the largest raise there is, now and then a step down, else a hold.
fn strolled(legal: [bool; CHOICES], draw: f32) -> usize {
    let largest = (0..CHOICES).rev().find(|choice| legal[*choice]).unwrap_or(Choice::Hold as usize);
    match draw {
        low if low < 0.01 && legal[Choice::StepDown as usize] => Choice::StepDown as usize,
        most if most < 0.67 && largest > Choice::Hold as usize => largest,
        _ => Choice::Hold as usize,
    }
}
