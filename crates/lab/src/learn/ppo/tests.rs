//! What an update does to the parameters, and what it refuses.

use rand::RngExt;

use tch::{Kind, Reduction};

use super::*;
use crate::learn::{MASKED, RateSchedule, Segment, Tail, ValueLoss};

const SHAPE: Shape = Shape { observations: 3, privileged: 2, actions: 3 };

fn config() -> PpoConfig {
    PpoConfig { hidden: 16, minibatch: 64, learning_rate: 3e-3, ..PpoConfig::default() }
}

/// Steps of an untrained policy: one-step episodes whose reward is 1 for the action 1, plus what only the critic is told.
/// The third action is never legal.
fn rollout(ppo: &Ppo, rows: usize, number: u64) -> Rollout {
    let mut draws = generator(9, Purpose::Other, number);
    let mut rollout = Rollout::default();
    let observations: Vec<f32> = (0..rows * 3).map(|_| draws.random_range(-1.0..1.0_f32)).collect();
    let probabilities = no_grad(|| {
        let inputs = Tensor::from_slice(&observations).view([-1, 3]);
        numbers(
            &(ppo.net.blocks().forward(Part::Actor, &inputs).outputs
                + Tensor::from_slice(&[0.0, 0.0, MASKED]))
            .log_softmax(-1, None::<Kind>),
        )
    });
    for row in 0..rows {
        let likely = &probabilities[row * 3..row * 3 + 2];
        let action = usize::from(draws.random_range(0.0..1.0_f32) > likely[0].exp());
        let told = f32::from(u8::from(draws.random_range(0..2) == 1));
        rollout.privileged.extend([told, 0.0]);
        rollout.masks.extend([1, 1, 0]);
        rollout.actions.push(u8::try_from(action).unwrap());
        rollout.log_probs.push(likely[action]);
        rollout.rewards.push(if action == 1 { 1.0 } else { 0.0 } + 4.0 * told);
        rollout.segments.push(Segment { start: row, end: row + 1, lane: 0, tail: Tail::Terminal });
    }
    rollout.observations = observations;
    rollout
}

fn bits(ppo: &Ppo) -> Vec<u32> {
    ppo.parameters().iter().map(|value| value.to_bits()).collect()
}

fn trained(config: PpoConfig, seed: u64, iterations: u64) -> (Ppo, UpdateStats) {
    let mut ppo = Ppo::new(config, SHAPE, seed).unwrap();
    let mut last = None;
    for number in 0..iterations {
        let rollout = rollout(&ppo, 256, number);
        last = Some(ppo.update(&rollout).unwrap());
    }
    (ppo, last.unwrap())
}

#[test]
fn the_better_action_wins_and_the_illegal_one_is_never_touched() {
    let (ppo, stats) = trained(PpoConfig { entropy: 0.0, ..config() }, 1, 60);
    let after = rollout(&ppo, 1_000, 1_000);
    let better = after.actions.iter().map(|action| usize::from(*action)).sum::<usize>();
    assert!(better > 900, "{better} of 1000");
    assert!(stats.entropy < 0.5, "{}", stats.entropy);
    let (_, bias) = &ppo.actor().layers[2];
    assert!(bias[2].abs() < f32::EPSILON, "no gradient reaches the bias of an action that never was legal");
    assert!(bias[1] > bias[0]);
}

#[test]
fn the_critic_learns_from_what_only_it_sees_and_the_readout_cannot() {
    let (_, stats) = trained(config(), 1, 60);
    assert!(stats.explained_variance > 0.9, "{}", stats.explained_variance);
    // A told step is worth 4 more: half of the time, so the variance that cannot be seen is 4.
    assert!(stats.readout_loss > 3.0, "{}", stats.readout_loss);
    assert!(stats.value_loss < 0.5, "{}", stats.value_loss);
}

#[test]
fn the_same_seed_gives_the_same_parameters_bit_for_bit() {
    let config = PpoConfig { value_clip: Some(0.2), scale_rewards: true, ..config() };
    let run = |seed| bits(&trained(config.clone(), seed, 3).0);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn before_the_first_step_nothing_has_moved() {
    let mut ppo = Ppo::new(PpoConfig { epochs: 1, minibatch: 256, ..config() }, SHAPE, 3).unwrap();
    let rollout = rollout(&ppo, 256, 0);
    let stats = ppo.update(&rollout).unwrap();
    assert!(stats.approx_kl.abs() < 1e-9 && stats.clip_fraction == 0.0, "{stats:?}");
    // Normalised advantages have mean 0, and every ratio is 1.
    assert!(stats.policy_loss.abs() < 1e-5, "{stats:?}");
    assert!((stats.entropy - std::f64::consts::LN_2).abs() < 0.01, "two legal actions: {stats:?}");
    assert_eq!((stats.epochs, stats.minibatches, stats.steps), (1, 1, 256));
}

#[test]
fn a_target_divergence_ends_the_epochs() {
    let wild = PpoConfig { learning_rate: 0.1, epochs: 50, ..config() };
    let (_, free) = trained(wild.clone(), 1, 1);
    let (_, stopped) = trained(PpoConfig { target_kl: Some(0.01), ..wild }, 1, 1);
    assert_eq!(free.epochs, 50);
    assert!(stopped.epochs < 50, "{stopped:?}");
}

#[test]
fn the_adaptive_rate_falls_where_the_policy_moves_too_far() {
    let adaptive = PpoConfig { learning_rate_schedule: RateSchedule::Adaptive, ..config() };
    let fast = PpoConfig { learning_rate: 1e-2, epochs: 20, desired_kl: 1e-5, ..adaptive.clone() };
    assert!(trained(fast, 1, 2).1.learning_rate < 1e-2);
    let slow = PpoConfig { learning_rate: 1e-5, ..adaptive };
    assert!(trained(slow, 1, 2).1.learning_rate > 1e-5);
}

#[test]
fn rewards_in_another_unit_teach_the_same_when_they_are_scaled() {
    let learn = |factor: f32| {
        let config = PpoConfig { scale_rewards: true, ..config() };
        let mut ppo = Ppo::new(config, SHAPE, 2).unwrap();
        let mut rollout = rollout(&ppo, 256, 0);
        rollout.rewards.iter_mut().for_each(|reward| *reward *= factor);
        let stats = ppo.update(&rollout).unwrap();
        (stats.mean_return, stats.reward_deviation)
    };
    let ((one, deviation), (other, large)) = (learn(10.0), learn(10_000.0));
    assert!((one - other).abs() < 0.01, "{one} {other}");
    assert!((large / deviation / 1_000.0 - 1.0).abs() < 0.01, "{large} {deviation}");
}

#[test]
fn an_update_that_runs_off_is_undone_and_names_its_iteration() {
    let (mut ppo, _) = trained(config(), 1, 2);
    let mut bad = rollout(&ppo, 256, 5);
    bad.rewards.fill(3e38);
    bad.rewards[0] = -3e38;
    let before = (bits(&ppo), ppo.adam.state(), ppo.state.clone());
    let fault = ppo.update(&bad).unwrap_err().to_string();
    assert!(fault.starts_with("iteration 3: ") && fault.contains("is not a finite number"), "{fault}");
    assert_eq!((bits(&ppo), ppo.adam.state(), ppo.state.clone()), before);
    let good = rollout(&ppo, 256, 6);
    assert_eq!(ppo.update(&good).unwrap().iteration, 3, "it goes on");
}

#[test]
fn a_rollout_that_does_not_hold_together_is_refused_with_its_iteration() {
    let mut ppo = Ppo::new(config(), SHAPE, 1).unwrap();
    let mut rollout = rollout(&ppo, 10, 0);
    rollout.rewards.pop();
    let fault = ppo.update(&rollout).unwrap_err().to_string();
    assert!(fault.contains("iteration 1: rewards: expected 10 values for 10 steps, found 9"), "{fault}");
}

#[test]
fn a_minibatch_is_normalised_and_a_single_advantage_stays() {
    let mut advantages = [1.0, 2.0, 3.0];
    normalise(&mut advantages);
    assert!(advantages.iter().zip([-1.0, 0.0, 1.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{advantages:?}");
    let mut one = [5.0];
    normalise(&mut one);
    assert!((one[0] - 5.0_f32).abs() < 1e-6);
}

/// The same loss written as the papers do, with libtorch to derive it.
fn by_autograd(ppo: &Ppo, inputs: &Tensor, rows: Rows<'_>, terms: Terms) -> (Vec<f32>, f64) {
    let leaf = ppo.net.parameters.copy().set_requires_grad(true);
    let blocks = ppo.net.blocks_of(&leaf);
    let b = |at: usize| blocks.at(at);
    let trunk = |at: usize, x: &Tensor| {
        let hidden = x.linear(b(at), Some(b(at + 1))).tanh();
        let hidden = hidden.linear(b(at + 2), Some(b(at + 3))).tanh();
        (hidden.linear(b(at + 4), Some(b(at + 5))), hidden)
    };
    let column = Tensor::from_slice::<f32>;
    let (logits, hidden) = trunk(0, &inputs.narrow(1, 0, 3));
    let illegal = Tensor::from_slice(rows.masks).view([-1, 3]).eq(0);
    let all = logits.masked_fill(&illegal, f64::from(MASKED)).log_softmax(-1, None::<Kind>);
    let actions = Tensor::from_slice(rows.actions).to_kind(Kind::Int64).view([-1, 1]);
    let ratio = (all.gather(1, &actions, false).squeeze_dim(1) - column(rows.acted)).exp();
    let advantages = column(rows.advantages);
    let clipped = ratio.clamp(1.0 - terms.clip, 1.0 + terms.clip) * &advantages;
    let policy = -(&ratio * &advantages).minimum(&clipped).mean(None::<Kind>);
    let entropy = -(all.exp() * &all).sum_dim_intlist(&[1_i64][..], false, None::<Kind>).mean(None::<Kind>);
    let distance = |values: &Tensor, reduction| match ppo.config.value_loss {
        ValueLoss::Mse => values.mse_loss(&column(rows.returns), reduction),
        ValueLoss::Huber => values.huber_loss(&column(rows.returns), reduction, 1.0),
    };
    let values = trunk(6, inputs).0.squeeze_dim(1);
    let value = match ppo.config.value_clip {
        None => distance(&values, Reduction::Mean),
        Some(clip) => {
            let before = column(rows.values);
            let held = &before + (&values - &before).clamp(-clip, clip);
            let free = distance(&values, Reduction::None);
            free.maximum(&distance(&held, Reduction::None)).mean(None::<Kind>)
        }
    };
    let seen = hidden.detach().linear(b(12), Some(b(13))).squeeze_dim(1);
    let loss = &policy + &value * ppo.config.value_coefficient - &entropy * terms.entropy
        + distance(&seen, Reduction::Mean);
    let total = f64::from(numbers(&loss)[0]);
    (numbers(&Tensor::run_backward(&[loss], &[&leaf], false, false)[0]), total)
}

#[test]
fn gradients_are_those_that_libtorch_derives_from_the_loss() {
    for (value_loss, value_clip) in [
        (ValueLoss::Mse, None),
        (ValueLoss::Huber, None),
        (ValueLoss::Mse, Some(0.1)),
        (ValueLoss::Huber, Some(0.5)),
    ] {
        let config = PpoConfig { value_loss, value_clip, entropy: 0.1, ..config() };
        let (ppo, _) = trained(config, 5, 20);
        let rollout = rollout(&ppo, 64, 77);
        let mut draws = generator(1, Purpose::Other, 1);
        let mut any =
            |low: f32, high: f32| -> Vec<f32> { (0..64).map(|_| draws.random_range(low..high)).collect() };
        let (acted, advantages, returns, values) =
            (any(-1.5, -0.1), any(-2.0, 2.0), any(-3.0, 6.0), any(-3.0, 6.0));
        let rows = Rows {
            masks: &rollout.masks,
            actions: &rollout.actions,
            acted: &acted,
            advantages: &advantages,
            returns: &returns,
            values: &values,
        };
        let terms = Terms { clip: 0.2, entropy: 0.1 };
        let inputs = ppo.inputs(&rollout.observations, &rollout.privileged);
        let flat = ppo.net.parameters.zeros_like();
        let views = Views { parameters: ppo.net.blocks(), gradient: ppo.net.blocks_of(&flat), flat };
        let sums = no_grad(|| ppo.gradient(&inputs, rows, &views, terms));
        let (expected, loss) = by_autograd(&ppo, &inputs, rows, terms);
        let found = numbers(&views.flat);
        let largest = expected.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        for (at, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() < 1e-5 * largest.max(1.0), "parameter {at}: {a} instead of {b}");
        }
        let total = sums.policy_loss + 0.5 * sums.value_loss + sums.readout_loss - 0.1 * sums.entropy;
        assert!((total / 64.0 - loss).abs() < 1e-4, "{} instead of {loss}", total / 64.0);
        assert!(sums.outside > 5.0 && sums.outside < 60.0, "both sides of the clip were met: {sums:?}");
    }
}
