//! The policy network in plain Rust: two tanh layers, six logits and a value.
//!
//! It must give the same bytes on any machine: no fused multiply-add, sums in a fixed order, its own tanh. Weights lie
//! transposed and in blocks, so that the compiler keeps a block of sums in registers. Where weights come from is not
//! its business.

use super::{CHOICES, FEATURE_COUNT};

/// Units of each hidden layer.
pub const HIDDEN: usize = 64;

/// Outputs: the logits, then the value.
const OUTPUTS: usize = 8;

/// Sums kept in registers at a time.
const BLOCK: usize = 16;

const _: () = assert!(HIDDEN.is_multiple_of(BLOCK) && CHOICES < OUTPUTS);

/// A dense layer of `I` inputs and `O` outputs, as blocks of `BLOCK` outputs: `blocks[b][i]` are the weights of input
/// `i` on the outputs of block `b`.
#[derive(Clone, Debug, PartialEq)]
struct Dense<const I: usize, const B: usize, const W: usize> {
    blocks: Box<[[[f32; W]; I]; B]>,
    bias: [[f32; W]; B],
}

impl<const I: usize, const B: usize, const W: usize> Dense<I, B, W> {
    /// From rows of inputs for each output (the layout of libtorch), missing rows being zero.
    fn new(weight: &[f32], bias: &[f32]) -> Self {
        let mut dense = Self { blocks: Box::new([[[0.0; W]; I]; B]), bias: [[0.0; W]; B] };
        for (output, row) in weight.chunks_exact(I).enumerate() {
            for (input, weight) in row.iter().enumerate() {
                dense.blocks[output / W][input][output % W] = *weight;
            }
        }
        for (output, bias) in bias.iter().enumerate() {
            dense.bias[output / W][output % W] = *bias;
        }
        dense
    }

    #[inline]
    fn forward(&self, input: &[f32; I], output: &mut [[f32; W]; B]) {
        for ((weights, bias), output) in self.blocks.iter().zip(&self.bias).zip(output) {
            let mut sums = *bias;
            for (weights, input) in weights.iter().zip(input) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += weight * input;
                }
            }
            *output = sums;
        }
    }
}

/// The network.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    first: Dense<FEATURE_COUNT, { HIDDEN / BLOCK }, BLOCK>,
    second: Dense<HIDDEN, { HIDDEN / BLOCK }, BLOCK>,
    last: Dense<HIDDEN, 1, OUTPUTS>,
}

/// The network's parameters as libtorch has them: a row of inputs for each output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// First layer, `HIDDEN` x `FEATURE_COUNT`, and its bias.
    pub first: (Vec<f32>, Vec<f32>),
    /// Second layer, `HIDDEN` x `HIDDEN`, and its bias.
    pub second: (Vec<f32>, Vec<f32>),
    /// Logits, `CHOICES` x `HIDDEN`, and their bias.
    pub policy: (Vec<f32>, Vec<f32>),
    /// The value, 1 x `HIDDEN`, and its bias.
    pub value: (Vec<f32>, Vec<f32>),
}

/// What the network says of one flag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// One logit for each choice, before the mask.
    pub logits: [f32; CHOICES],
    /// What is still to come, in the training's reward (higher is better).
    pub value: f32,
}

impl Network {
    /// Of these parameters, whose lengths have been checked: surplus ones are left out, missing ones are zero.
    #[must_use]
    pub fn new(parameters: &Parameters) -> Self {
        let Parameters { first, second, policy, value } = parameters;
        let rows = [policy.0.as_slice(), value.0.as_slice()].concat();
        let biases = [policy.1.as_slice(), value.1.as_slice()].concat();
        Self {
            first: Dense::new(&first.0, &first.1),
            second: Dense::new(&second.0, &second.1),
            last: Dense::new(&rows, &biases),
        }
    }

    /// Evaluates normalised inputs.
    #[must_use]
    pub fn answer(&self, input: &[f32; FEATURE_COUNT]) -> Answer {
        let (mut one, mut two) = ([[0.0; BLOCK]; HIDDEN / BLOCK], [[0.0; BLOCK]; HIDDEN / BLOCK]);
        let mut out = [[0.0; OUTPUTS]; 1];
        self.first.forward(input, &mut one);
        one.as_flattened_mut().iter_mut().for_each(|x| *x = tanh(*x));
        self.second.forward(&flat(&one), &mut two);
        two.as_flattened_mut().iter_mut().for_each(|x| *x = tanh(*x));
        self.last.forward(&flat(&two), &mut out);
        let [out] = out;
        let [a, b, c, d, e, f, value, _] = out;
        Answer { logits: [a, b, c, d, e, f], value }
    }
}

/// The blocks as one row.
fn flat(blocks: &[[f32; BLOCK]; HIDDEN / BLOCK]) -> [f32; HIDDEN] {
    let mut row = [0.0; HIDDEN];
    row.copy_from_slice(blocks.as_flattened());
    row
}

/// Beyond it `tanh` is 1 in single precision.
const TANH_BOUND: f32 = 7.905_311;

/// `tanh` to a few units in the last place, without a branch, so that it runs on whole registers: the rational minimax
/// approximation of Eigen (`generic_fast_tanh_float`), of degree 13 over 6.
#[inline]
fn tanh(x: f32) -> f32 {
    let x = x.clamp(-TANH_BOUND, TANH_BOUND);
    let s = x * x;
    let above = x
        * (4.893_524_6e-3
            + s * (6.372_619_3e-4
                + s * (1.485_722_4e-5
                    + s * (5.122_297_1e-8
                        + s * (-8.604_672e-11 + s * (2.000_188e-13 + s * -2.760_768_5e-16))))));
    let below = 4.893_525_2e-3 + s * (2.268_434_6e-3 + s * (1.185_347_1e-4 + s * 1.198_258_4e-6));
    above / below
}

/// Probabilities of the choices that are `legal`: the softmax of their logits. Others get exactly 0.
#[must_use]
pub fn probabilities(logits: &[f32; CHOICES], legal: &[bool; CHOICES]) -> [f32; CHOICES] {
    let most = logits.iter().zip(legal).filter(|(_, legal)| **legal).map(|(logit, _)| *logit);
    let most = most.fold(f32::NEG_INFINITY, f32::max);
    let mut all = [0.0; CHOICES];
    for ((p, logit), legal) in all.iter_mut().zip(logits).zip(legal) {
        *p = if *legal { libm::expf(logit - most) } else { 0.0 };
    }
    let sum: f32 = all.iter().sum();
    all.map(|p| p / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tanh_is_tanh() {
        let worst = (-12_000..=12_000)
            .map(|i| i as f32 / 1_000.0)
            .map(|x| (f64::from(tanh(x)) - libm::tanh(f64::from(x))).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1e-6, "{worst}");
    }

    #[test]
    fn what_is_not_legal_has_no_probability() {
        let all = probabilities(&[9.0, 1.0, 0.0, 2.0, 3.0, 4.0], &[false, true, true, false, false, false]);
        assert_eq!(all[0], 0.0);
        assert!((all.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((all[1] / all[2] - 1.0_f32.exp()).abs() < 1e-5);
    }
}
