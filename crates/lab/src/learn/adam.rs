//! Adam (Kingma and Ba 2014, arXiv 1412.6980) on one flat vector, written out: libtorch's own keeps its moments where a
//! checkpoint cannot reach them. Knows nothing of what the parameters are.

use tch::{Kind, Tensor, no_grad};

use super::net::{numbers, size};

/// Decay of the mean and of the square: the paper's.
const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;

/// See the module.
#[derive(Debug)]
pub(super) struct Adam {
    mean: Tensor,
    square: Tensor,
    steps: i32,
    epsilon: f64,
}

impl Adam {
    /// For `count` parameters, none of them moved yet.
    pub(super) fn new(count: usize, epsilon: f64) -> Self {
        let zeros = || Tensor::zeros([size(count)], (Kind::Float, tch::Device::Cpu));
        Self { mean: zeros(), square: zeros(), steps: 0, epsilon }
    }

    /// As it was after `steps` steps.
    pub(super) fn resume(mean: &[f32], square: &[f32], steps: i32, epsilon: f64) -> Self {
        Self { mean: Tensor::from_slice(mean), square: Tensor::from_slice(square), steps, epsilon }
    }

    /// Both moments and the number of steps.
    pub(super) fn state(&self) -> (Vec<f32>, Vec<f32>, i32) {
        (numbers(&self.mean), numbers(&self.square), self.steps)
    }

    /// An independent copy.
    pub(super) fn copy(&self) -> Self {
        Self { mean: self.mean.copy(), square: self.square.copy(), steps: self.steps, epsilon: self.epsilon }
    }

    /// Moves `parameters` against `gradient`, in the order of operations of libtorch's own Adam.
    pub(super) fn step(&mut self, parameters: &mut Tensor, gradient: &Tensor, rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let bias_1 = 1.0 - libm::pow(BETA_1, f64::from(self.steps));
        let bias_2 = 1.0 - libm::pow(BETA_2, f64::from(self.steps));
        no_grad(|| {
            let _ = self.mean.lerp_(gradient, 1.0 - BETA_1);
            let weighted = gradient.g_mul_scalar(1.0 - BETA_2);
            let _ = self.square.g_mul_scalar_(BETA_2).addcmul_(gradient, &weighted);
            let mut below = self.square.sqrt();
            let _ = below.g_div_scalar_(bias_2.sqrt()).g_add_scalar_(self.epsilon);
            let mut step = &self.mean / below;
            let _ = parameters.g_add_(&step.g_mul_scalar_(-rate / bias_1));
        });
    }
}

#[cfg(test)]
mod tests {
    use tch::nn::{self, OptimizerConfig};

    use super::*;

    #[test]
    fn it_moves_as_libtorchs_own_does() {
        let start = [1.0_f32, -2.0, 0.5, 3.0];
        let scale = Tensor::from_slice(&[1.0_f32, 10.0, 0.1, 0.001]);
        let loss = |x: &Tensor| ((x * x) * &scale).sum(None) + x.sin().sum(None);

        let store = nn::VarStore::new(tch::Device::Cpu);
        let theirs = store.root().var_copy("x", &Tensor::from_slice(&start));
        let mut optimiser = nn::Adam::default().eps(1e-5).build(&store, 0.05).unwrap();
        let mut ours = Tensor::from_slice(&start).set_requires_grad(true);
        let mut adam = Adam::new(4, 1e-5);
        for _ in 0..200 {
            optimiser.backward_step(&loss(&theirs));
            let gradient = Tensor::run_backward(&[loss(&ours)], &[&ours], false, false).remove(0);
            adam.step(&mut ours, &gradient, 0.05);
        }
        for (a, b) in numbers(&ours).iter().zip(numbers(&theirs)) {
            assert!((a - b).abs() < 1e-5, "{a} instead of {b}");
        }
    }
}
