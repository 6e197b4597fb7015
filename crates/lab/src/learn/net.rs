//! The networks: an actor, a critic that may see more, and a readout of the value from the actor's last hidden layer. All
//! parameters lie in one flat tensor, so that the optimiser, the clipping of gradients and a checkpoint are a few
//! operations on one vector. Knows nothing of losses.

use tch::{Kind, Tensor, no_grad};

use super::{
    LearnError, Shape,
    random::{Purpose, generator, normal},
};

/// The actor in plain numbers: what the product evaluates without libtorch.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorWeights {
    /// Each layer's weights, row-major out × in, and its bias. Between layers tanh; the last gives the logits.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
    /// Weights over the last hidden layer and a bias: the value seen from observations alone, in units of scaled reward
    /// ([`Ppo::reward_deviation`](super::Ppo::reward_deviation) turns it into reward).
    pub readout: (Vec<f32>, f32),
}

/// What is added to the logit of an illegal action: its probability is exactly 0 in f32, without the NaN that infinity
/// brings into the entropy.
pub const MASKED: f32 = -1e8;

/// How many of the parameter blocks are the actor's: three weights, three biases. Then come the critic's six and the
/// readout's two.
const ACTOR: usize = 6;
const CRITIC: usize = 12;
const BLOCKS: usize = 14;

/// See the module.
#[derive(Debug)]
pub(super) struct Net {
    shape: Shape,
    hidden: usize,
    /// All parameters, flat.
    pub(super) parameters: Tensor,
}

/// The blocks of a flat tensor (parameters or their gradient) as matrices and vectors: views, so that what happens to
/// the one happens to the other.
#[derive(Debug)]
pub(super) struct Blocks(Vec<Tensor>);

/// Which of the two networks, by its first block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Actor = 0,
    Critic = 6,
}

/// One network's way from inputs to outputs.
pub(super) struct Pass {
    /// Rows × h, after tanh.
    first: Tensor,
    /// Rows × h, after tanh.
    pub(super) last: Tensor,
    /// Rows × A logits (unmasked), or rows × 1 values.
    pub(super) outputs: Tensor,
}

impl Net {
    /// Rows and columns of each block; a bias is one row.
    fn dimensions(shape: Shape, hidden: usize) -> [(usize, usize); BLOCKS] {
        let seen = shape.observations + shape.privileged;
        [
            (hidden, shape.observations),
            (1, hidden),
            (hidden, hidden),
            (1, hidden),
            (shape.actions, hidden),
            (1, shape.actions),
            (hidden, seen),
            (1, hidden),
            (hidden, hidden),
            (1, hidden),
            (1, hidden),
            (1, 1),
            (1, hidden),
            (1, 1),
        ]
    }

    /// How many parameters there are: of the actor, of actor and critic, and of all three.
    pub(super) fn counts(shape: Shape, hidden: usize) -> (usize, usize, usize) {
        let sizes = Self::dimensions(shape, hidden).map(|(rows, columns)| rows * columns);
        (sizes[..ACTOR].iter().sum(), sizes[..CRITIC].iter().sum(), sizes.iter().sum())
    }

    /// New networks: orthogonal weights with gain sqrt 2 for hidden layers, 0.01 for the policy and 1 for values (the 37
    /// details, core 2), biases 0.
    pub(super) fn new(shape: Shape, hidden: usize, seed: u64) -> Self {
        let root = std::f64::consts::SQRT_2;
        let gains = [root, 0.0, root, 0.0, 0.01, 0.0, root, 0.0, root, 0.0, 1.0, 0.0, 1.0, 0.0];
        let mut flat = Vec::with_capacity(Self::counts(shape, hidden).1);
        let dimensions = Self::dimensions(shape, hidden);
        for (block, ((rows, columns), gain)) in (0_u64..).zip(dimensions.into_iter().zip(gains)) {
            if gain > 0.0 {
                flat.extend(orthogonal(rows, columns, gain, seed, block));
            } else {
                flat.resize(flat.len() + rows * columns, 0.0);
            }
        }
        Self::from_flat(shape, hidden, &flat)
    }

    /// Networks with the given parameters; as many as [`Self::counts`] says.
    pub(super) fn from_flat(shape: Shape, hidden: usize, flat: &[f32]) -> Self {
        Self { shape, hidden, parameters: Tensor::from_slice(flat) }
    }

    /// All parameters.
    pub(super) fn flat(&self) -> Vec<f32> {
        numbers(&self.parameters)
    }

    /// The blocks of the parameters.
    pub(super) fn blocks(&self) -> Blocks {
        self.blocks_of(&self.parameters)
    }

    /// The blocks of a flat tensor as long as the parameters.
    pub(super) fn blocks_of(&self, flat: &Tensor) -> Blocks {
        let dimensions = Self::dimensions(self.shape, self.hidden);
        let sizes = dimensions.map(|(rows, columns)| size(rows * columns));
        let pieces = flat.split_with_sizes(&sizes[..], 0);
        let shaped =
            pieces.into_iter().zip(dimensions).enumerate().map(|(block, (piece, (rows, columns)))| {
                // Blocks come in pairs of a weight and its bias, which stays a vector.
                if block.is_multiple_of(2) { piece.view([size(rows), size(columns)]) } else { piece }
            });
        Blocks(shaped.collect())
    }

    /// The actor and the readout in plain numbers.
    pub(super) fn actor(&self) -> ActorWeights {
        let flat = self.flat();
        let mut blocks = Vec::with_capacity(BLOCKS);
        let mut rest = flat.as_slice();
        for (rows, columns) in Self::dimensions(self.shape, self.hidden) {
            let (block, behind) = rest.split_at(rows * columns);
            blocks.push(block.to_vec());
            rest = behind;
        }
        let layers = blocks[..ACTOR].chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        ActorWeights { layers, readout: (blocks[CRITIC].clone(), blocks[CRITIC + 1][0]) }
    }

    /// Puts the given actor and readout in place of its own; the critic stays.
    pub(super) fn set_actor(&mut self, weights: &ActorWeights) -> Result<(), LearnError> {
        let dimensions = Self::dimensions(self.shape, self.hidden);
        let bias = [weights.readout.1];
        let given: Vec<&[f32]> =
            weights.layers.iter().flat_map(|(weight, bias)| [weight.as_slice(), bias.as_slice()]).collect();
        if given.len() != ACTOR {
            let detail = format!("expected {} layers, found {}", ACTOR / 2, weights.layers.len());
            return Err(LearnError::Weights { detail });
        }
        let readout: [&[f32]; 2] = [&weights.readout.0, &bias];
        let blocks = (0..ACTOR).zip(given).chain((CRITIC..BLOCKS).zip(readout));
        let mut flat = self.flat();
        for (block, values) in blocks {
            let (rows, columns) = dimensions[block];
            if values.len() != rows * columns {
                let found = values.len();
                let detail =
                    format!("expected {rows} x {columns} numbers in parameter block {block}, found {found}");
                return Err(LearnError::Weights { detail });
            }
            if values.iter().any(|value| !value.is_finite()) {
                let detail = format!("expected finite numbers in parameter block {block}");
                return Err(LearnError::Weights { detail });
            }
            let start: usize = dimensions[..block].iter().map(|(rows, columns)| rows * columns).sum();
            flat[start..start + values.len()].copy_from_slice(values);
        }
        let fresh = Tensor::from_slice(&flat);
        no_grad(|| self.parameters.copy_(&fresh));
        Ok(())
    }
}

impl Blocks {
    /// From inputs (rows × O for the actor, rows × (O + P) for the critic) to outputs.
    pub(super) fn forward(&self, part: Part, inputs: &Tensor) -> Pass {
        let at = part as usize;
        let first = tanh(inputs.linear(&self.0[at], Some(&self.0[at + 1])));
        let last = tanh(first.linear(&self.0[at + 2], Some(&self.0[at + 3])));
        let outputs = last.linear(&self.0[at + 4], Some(&self.0[at + 5]));
        Pass { first, last, outputs }
    }

    /// From the gradient with respect to the outputs (rows × A, or rows × 1) to that with respect to the parameters, which
    /// is written into `gradient`'s blocks.
    pub(super) fn backward(
        &self,
        part: Part,
        inputs: &Tensor,
        pass: &Pass,
        outputs: &Tensor,
        gradient: &Self,
    ) {
        let at = part as usize;
        gradient.layer(at + 4, outputs, &pass.last);
        let last = Tensor::tanh_backward(&outputs.mm(&self.0[at + 4]), &pass.last);
        gradient.layer(at + 2, &last, &pass.first);
        let first = Tensor::tanh_backward(&last.mm(&self.0[at + 2]), &pass.first);
        gradient.layer(at, &first, inputs);
    }

    /// Values (rows × 1) for the actor's last hidden layer.
    pub(super) fn readout(&self, last: &Tensor) -> Tensor {
        last.linear(&self.0[CRITIC], Some(&self.0[CRITIC + 1]))
    }

    /// From the gradient with respect to the readout's values (rows × 1) to that with respect to its parameters. It stops
    /// there: the actor learns nothing from it.
    pub(super) fn readout_backward(last: &Tensor, outputs: &Tensor, gradient: &Self) {
        gradient.layer(CRITIC, outputs, last);
    }

    /// One block.
    #[cfg(test)]
    pub(super) fn at(&self, block: usize) -> &Tensor {
        &self.0[block]
    }

    /// Writes a layer's gradient: with respect to its weights and its bias.
    fn layer(&self, at: usize, outputs: &Tensor, inputs: &Tensor) {
        let _ = outputs.tr().mm_out(&self.0[at], inputs);
        let _ = outputs.sum_intlist_out(&self.0[at + 1], &[0_i64][..], false, None::<Kind>);
    }
}

/// tanh(x) = 2 sigmoid(2x) - 1: in libtorch two and a half times as fast as its tanh, which rounds more carefully than
/// f32 weights deserve. The absolute error stays below 2e-7.
fn tanh(mut sums: Tensor) -> Tensor {
    sums.g_mul_scalar_(2.0).sigmoid_().g_mul_scalar_(2.0).g_sub_scalar_(1.0)
}

/// A matrix with orthonormal rows (or columns, where there are more rows than columns) times `gain`, row-major.
///
/// Saxe et al. 2013 (arXiv 1312.6120): Gram-Schmidt on normal draws, in f64, each vector orthogonalised twice
/// against rounding.
fn orthogonal(rows: usize, columns: usize, gain: f64, seed: u64, block: u64) -> Vec<f32> {
    let (few, many) = (rows.min(columns), rows.max(columns));
    let mut draws = generator(seed, Purpose::Weights, block);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(few);
    while basis.len() < few {
        let mut vector: Vec<f64> = (0..many).map(|_| normal(&mut draws)).collect();
        for _ in 0..2 {
            for other in &basis {
                let along = dot(&vector, other);
                vector.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let length = dot(&vector, &vector).sqrt();
        // A draw within the span of the others is next to impossible; another is drawn then.
        if length > 1e-6 {
            for value in &mut vector {
                *value /= length;
            }
            basis.push(vector);
        }
    }
    let entry = |at: usize| {
        let (row, column) = (at / columns, at % columns);
        if rows <= columns { basis[row][column] } else { basis[column][row] }
    };
    #[expect(clippy::cast_possible_truncation, reason = "the network calculates in f32")]
    let matrix = (0..rows * columns).map(|at| (entry(at) * gain) as f32).collect();
    matrix
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A size as libtorch counts.
pub(super) fn size(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// All numbers of a tensor, as f32.
pub(super) fn numbers(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.detach().to_kind(Kind::Float).contiguous();
    let mut out = vec![0.0; flat.numel()];
    let count = out.len();
    flat.copy_data(&mut out, count);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { observations: 5, privileged: 3, actions: 4 };

    #[test]
    fn first_weights_are_orthogonal_with_their_gain() {
        for (rows, columns) in [(8, 5), (5, 8), (6, 6)] {
            let matrix = orthogonal(rows, columns, 2.0, 3, 0);
            let entry = |row: usize, column: usize| matrix[row * columns + column];
            let few = rows.min(columns);
            for a in 0..few {
                for b in 0..few {
                    let product: f32 = if rows <= columns {
                        (0..columns).map(|i| entry(a, i) * entry(b, i)).sum()
                    } else {
                        (0..rows).map(|i| entry(i, a) * entry(i, b)).sum()
                    };
                    let expected = if a == b { 4.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-5, "{rows}x{columns}: {a} {b} {product}");
                }
            }
        }
    }

    #[test]
    fn the_exported_actor_gives_the_same_logits_and_value() {
        let mut net = Net::new(SHAPE, 16, 1);
        let mut weights = net.actor();
        // Biases too, which are 0 at first.
        weights.layers[1].1[3] = 0.5;
        weights.readout.1 = -0.25;
        net.set_actor(&weights).unwrap();
        assert_eq!(net.actor(), weights);
        let observation = [0.3, -1.0, 0.7, 0.0, 2.0];
        let mut layer = observation.to_vec();
        let mut hidden = Vec::new();
        for (number, (weight, bias)) in weights.layers.iter().enumerate() {
            let inputs = layer.len();
            let sums = weight
                .chunks_exact(inputs)
                .zip(bias)
                .map(|(row, bias)| row.iter().zip(&layer).map(|(w, x)| w * x).sum::<f32>() + bias);
            hidden.clone_from(&layer);
            layer = if number < 2 { sums.map(libm::tanhf).collect() } else { sums.collect() };
        }
        let value: f32 =
            weights.readout.0.iter().zip(&hidden).map(|(w, x)| w * x).sum::<f32>() + weights.readout.1;
        let blocks = net.blocks();
        let pass = blocks.forward(Part::Actor, &Tensor::from_slice(&observation).view([1, 5]));
        for (a, b) in numbers(&pass.outputs).iter().zip(&layer) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert!((numbers(&blocks.readout(&pass.last))[0] - value).abs() < 1e-5);
    }

    #[test]
    fn weights_of_another_shape_are_refused() {
        let mut net = Net::new(SHAPE, 16, 1);
        let mut weights = net.actor();
        weights.layers[0].0.pop();
        let fault = net.set_actor(&weights).unwrap_err().to_string();
        assert!(fault.contains("expected 16 x 5 numbers in parameter block 0, found 79"), "{fault}");
    }
}
