//! The policy network in plain Rust: two tanh layers, six logits and a value.
//!
//! It must give the same bytes on any machine: no fused multiply-add, sums in a fixed order, its own tanh. Weights lie
//! transposed and in blocks, so that the compiler keeps a block of sums in registers; several flags go through at a
//! time, so that a loaded weight is used more than once. Wider registers do the same operations on the same numbers in
//! the same order, only more of them at once. Where weights come from is not its business.

use super::{CHOICES, FEATURE_COUNT};

/// Units of each hidden layer.
pub const HIDDEN: usize = 64;

/// Outputs: the logits, then the value.
const OUTPUTS: usize = 8;

/// Sums of one flag kept in registers at a time.
const BLOCK: usize = 16;

/// Flags that go through together in registers of four numbers (SSE2, NEON): more spill.
const TOGETHER: usize = 2;

/// Flags that go through together in registers of eight numbers (AVX2).
#[cfg(target_arch = "x86_64")]
const TOGETHER_WIDE: usize = 4;

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

    /// `T` flags at once. Each output is its bias, then weight times input in the order of the inputs, whatever `T` is.
    #[expect(clippy::inline_always, reason = "it takes on the registers of the caller")]
    #[inline(always)]
    fn forward<const T: usize, const O: usize>(&self, inputs: &[[f32; I]; T], outputs: &mut [[f32; O]; T]) {
        for (block, (weights, bias)) in self.blocks.iter().zip(&self.bias).enumerate() {
            let mut sums = [*bias; T];
            for (input, weights) in weights.iter().enumerate() {
                for (sums, inputs) in sums.iter_mut().zip(inputs) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum += weight * inputs[input];
                    }
                }
            }
            for (output, sums) in outputs.iter_mut().zip(&sums) {
                output[block * W..(block + 1) * W].copy_from_slice(sums);
            }
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
pub struct NetworkOutput {
    /// One logit for each choice, before the mask.
    pub logits: [f32; CHOICES],
    /// What is still to come, in the training's reward (higher is better).
    pub value: f32,
}

impl NetworkOutput {
    /// Whether every number in it is finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.value.is_finite() && self.logits.iter().all(|logit| logit.is_finite())
    }
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

    /// Evaluates normalised inputs of one flag.
    #[must_use]
    pub fn answer(&self, input: &[f32; FEATURE_COUNT]) -> NetworkOutput {
        let [answer] = self.together(&[*input]);
        answer
    }

    /// Evaluates normalised inputs of many flags, in order, after what is in `answers` already: the same bytes as one by
    /// one, at a fraction of the time.
    pub fn answers(&self, inputs: &[[f32; FEATURE_COUNT]], answers: &mut Vec<NetworkOutput>) {
        answers.reserve(inputs.len());
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "calling it needs AVX2, which was just found")]
            // SAFETY: the only condition is that the processor has AVX2.
            unsafe {
                self.many_wide(inputs, answers);
            }
            return;
        }
        self.many::<TOGETHER>(inputs, answers);
    }

    /// The same with registers of eight numbers. AVX2 alone has no fused multiply-add, which would round differently.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn many_wide(&self, inputs: &[[f32; FEATURE_COUNT]], answers: &mut Vec<NetworkOutput>) {
        self.many::<TOGETHER_WIDE>(inputs, answers);
    }

    #[expect(clippy::inline_always, reason = "it takes on the registers of the caller")]
    #[inline(always)]
    fn many<const T: usize>(&self, inputs: &[[f32; FEATURE_COUNT]], answers: &mut Vec<NetworkOutput>) {
        let (full, rest) = inputs.as_chunks::<T>();
        for inputs in full {
            answers.extend(self.together(inputs));
        }
        if !rest.is_empty() {
            // Flags do not touch one another: beside the last ones go empty ones, whose answers are dropped.
            let mut last = [[0.0; FEATURE_COUNT]; T];
            last[..rest.len()].copy_from_slice(rest);
            answers.extend(&self.together(&last)[..rest.len()]);
        }
    }

    #[expect(clippy::inline_always, reason = "it takes on the registers of the caller")]
    #[inline(always)]
    fn together<const T: usize>(&self, inputs: &[[f32; FEATURE_COUNT]; T]) -> [NetworkOutput; T] {
        let (mut one, mut two) = ([[0.0; HIDDEN]; T], [[0.0; HIDDEN]; T]);
        let mut out = [[0.0; OUTPUTS]; T];
        self.first.forward(inputs, &mut one);
        one.as_flattened_mut().iter_mut().for_each(|x| *x = tanh(*x));
        self.second.forward(&one, &mut two);
        two.as_flattened_mut().iter_mut().for_each(|x| *x = tanh(*x));
        self.last.forward(&two, &mut out);
        out.map(|[a, b, c, d, e, f, value, _]| NetworkOutput { logits: [a, b, c, d, e, f], value })
    }
}

/// Beyond it `tanh` is 1 in single precision.
const TANH_BOUND: f32 = 7.905_311;

/// `tanh` to a few units in the last place, without a branch, so that it runs on whole registers: the rational minimax
/// approximation of Eigen (`generic_fast_tanh_float`), of degree 13 over 6.
#[expect(clippy::inline_always, reason = "it takes on the registers of the caller")]
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let x = x.clamp(-TANH_BOUND, TANH_BOUND);
    let s = x * x;
    let above = x
        * (4.893_524_6e-3
            + s * (6.372_619_3e-4
                + s * (1.485_722_4e-5
                    + s * (5.122_297_1e-8
                        + s * (-8.604_672e-11 + s * (2.000_188e-13 + s * -2.760_768_5e-16))))));
    let below = 4.893_525e-3 + s * (2.268_434_6e-3 + s * (1.185_347_1e-4 + s * 1.198_258_4e-6));
    above / below
}

/// Probabilities of the choices that are `legal`: the softmax of their logits. Others get exactly 0, and these never do,
/// so that the two can be told apart.
#[must_use]
pub fn probabilities(logits: &[f32; CHOICES], legal: &[bool; CHOICES]) -> [f32; CHOICES] {
    let most = logits.iter().zip(legal).filter(|(_, legal)| **legal).map(|(logit, _)| *logit);
    let most = most.fold(f32::NEG_INFINITY, f32::max);
    let mut all = [0.0; CHOICES];
    for ((p, logit), legal) in all.iter_mut().zip(logits).zip(legal) {
        *p = if *legal { libm::expf(logit - most).max(f32::MIN_POSITIVE) } else { 0.0 };
    }
    let sum: f32 = all.iter().sum();
    all.map(|p| p / sum)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, clippy::cast_precision_loss, reason = "a test")]

    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::{super::weights::tests::drawn, *};

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
        let far =
            probabilities(&[500.0, -500.0, 0.0, 0.0, 0.0, 0.0], &[true, true, false, false, false, false]);
        assert!(
            far[1] > 0.0 && far[0] == 1.0,
            "{far:?}: a choice that is legal is never taken for one that is not"
        );
    }

    /// Layer by layer as it stands in a textbook, in double precision, on the rows as libtorch has them.
    fn naive(parameters: &Parameters, input: &[f32; FEATURE_COUNT]) -> ([f64; CHOICES], f64) {
        let layer = |(weight, bias): &(Vec<f32>, Vec<f32>), input: &[f64]| -> Vec<f64> {
            weight
                .chunks_exact(input.len())
                .zip(bias)
                .map(|(row, bias)| {
                    f64::from(*bias) + row.iter().zip(input).map(|(w, x)| f64::from(*w) * x).sum::<f64>()
                })
                .collect()
        };
        let tanh = |row: Vec<f64>| row.into_iter().map(libm::tanh).collect::<Vec<_>>();
        let one = tanh(layer(&parameters.first, &input.map(f64::from)));
        let two = tanh(layer(&parameters.second, &one));
        (layer(&parameters.policy, &two).try_into().unwrap(), layer(&parameters.value, &two)[0])
    }

    fn inputs(n: usize, random: &mut Pcg64) -> Vec<[f32; FEATURE_COUNT]> {
        (0..n).map(|_| std::array::from_fn(|_| random.random_range(-6.0..6.0))).collect()
    }

    fn likeliest(all: &[f64; CHOICES]) -> usize {
        (0..CHOICES).max_by(|a, b| all[*a].total_cmp(&all[*b])).unwrap()
    }

    #[test]
    fn it_computes_what_the_formula_says_for_ten_thousand_inputs() {
        let parameters = drawn(3, 1.0).parameters;
        let network = Network::new(&parameters);
        let inputs = inputs(10_000, &mut Pcg64::seed_from_u64(1));
        let mut answers = Vec::new();
        network.answers(&inputs, &mut answers);
        assert_eq!(answers.len(), inputs.len());
        let mut chosen = [0; CHOICES];
        for (input, answer) in inputs.iter().zip(&answers) {
            let (logits, value) = naive(&parameters, input);
            for (found, expected) in answer.logits.iter().zip(&logits).chain([(&answer.value, &value)]) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} is not {expected}");
            }
            assert_eq!(likeliest(&answer.logits.map(f64::from)), likeliest(&logits));
            chosen[likeliest(&logits)] += 1;
        }
        assert!(chosen.iter().all(|n| *n > 100), "every choice is the likeliest somewhere: {chosen:?}");
    }

    #[test]
    fn many_flags_at_once_get_the_bytes_that_each_gets_alone() {
        let network = drawn(5, 1.0).network;
        let inputs = inputs(23, &mut Pcg64::seed_from_u64(2));
        let bits = |answer: &NetworkOutput| (answer.logits.map(f32::to_bits), answer.value.to_bits());
        for n in 0..inputs.len() {
            let alone: Vec<_> = inputs[..n].iter().map(|input| bits(&network.answer(input))).collect();
            let (mut any, mut narrow) = (Vec::new(), Vec::new());
            network.answers(&inputs[..n], &mut any);
            network.many::<TOGETHER>(&inputs[..n], &mut narrow);
            assert_eq!(any.iter().map(bits).collect::<Vec<_>>(), alone, "{n} flags");
            assert_eq!(narrow.iter().map(bits).collect::<Vec<_>>(), alone, "{n} flags without AVX2");
        }
    }
}
