//! Going on exactly, and what is said of a file with which that is not possible.

use std::fs;

use super::*;
use crate::learn::{
    RateSchedule, Rollout,
    cartpole::{Carts, Preset, Settings},
};

const SHAPE: Shape = Shape { observations: 4, privileged: 0, actions: 2 };

fn settings() -> Settings {
    let mut settings = Settings::preset(Preset::Fast);
    settings.environments = 8;
    settings.ppo.minibatch = 64;
    settings.ppo.scale_rewards = true;
    settings.ppo.learning_rate_schedule = RateSchedule::Adaptive;
    settings
}

fn train_for(ppo: &mut Ppo, carts: &mut Carts, iterations: u64) {
    let mut rollout = Rollout::default();
    for _ in 0..iterations {
        carts.collect(&ppo.actor(), ppo.iteration(), &mut rollout);
        ppo.update(&rollout).unwrap();
    }
}

fn begin() -> (Ppo, Carts) {
    (Ppo::new(settings().ppo, SHAPE, 3).unwrap(), Carts::new(&settings(), 3).unwrap())
}

#[test]
fn a_training_that_was_interrupted_ends_bit_for_bit_as_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training");
    let (mut whole, mut carts) = begin();
    train_for(&mut whole, &mut carts, 10);

    let (mut first, mut carts_then) = begin();
    train_for(&mut first, &mut carts_then, 5);
    let environment = serde_json::to_vec(&carts_then).unwrap();
    first.save(&path, "cartpole", &environment).unwrap();
    drop((first, carts_then));

    let (mut second, found) = Ppo::load(&path, &settings().ppo, SHAPE, "cartpole").unwrap();
    assert_eq!(found, environment);
    assert_eq!((second.iteration(), second.seed()), (5, 3));
    let mut carts_now: Carts = serde_json::from_slice(&found).unwrap();
    train_for(&mut second, &mut carts_now, 5);

    let bits = |ppo: &Ppo| ppo.parameters().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&second), bits(&whole));
    assert_eq!(second.adam.state(), whole.adam.state());
    assert_eq!(second.state, whole.state);
    assert_eq!(serde_json::to_vec(&carts_now).unwrap(), serde_json::to_vec(&carts).unwrap());
}

#[test]
fn a_checkpoint_that_cannot_be_resumed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training");
    let (mut ppo, mut carts) = begin();
    train_for(&mut ppo, &mut carts, 1);
    ppo.save(&path, "cartpole", &[]).unwrap();
    let good = fs::read(&path).unwrap();
    let config = settings().ppo;
    let fault = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Ppo::load(&path, &config, SHAPE, "cartpole").unwrap_err().to_string()
    };
    for length in 0..good.len().min(200) {
        let text = fault(&good[..length]);
        assert!(text.contains("cut off") || text.contains("no checkpoint"), "{length}: {text}");
    }
    assert!(fault(&good[..good.len() - 1]).contains("cut off: expected"));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(fault(&flipped).contains("damaged"), "one bit");
    let mut newer = good.clone();
    newer[HEADING.len()] = b'7';
    assert!(fault(&newer).contains("of version 7; this program reads version 1"));
    assert!(fault(b"something else\n").contains("this is no checkpoint"));

    fs::write(&path, &good).unwrap();
    let other =
        |config: &PpoConfig, shape, scope| Ppo::load(&path, config, shape, scope).unwrap_err().to_string();
    let text = other(&PpoConfig { gamma: 0.5, ..config.clone() }, SHAPE, "cartpole");
    assert!(text.contains("belongs to another training: gamma is 0.98 there and 0.5 here"), "{text}");
    let text = other(&config, Shape { observations: 5, ..SHAPE }, "cartpole");
    assert!(text.contains("observations is 4 there and 5 here"), "{text}");
    assert!(other(&config, SHAPE, "else").contains("its scope is `cartpole` there and `else` here"));
    let missing = Ppo::load(&folder.path().join("none"), &config, SHAPE, "cartpole").unwrap_err().to_string();
    assert!(missing.contains("cannot read"), "{missing}");
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training");
    let (ppo, _) = begin();
    ppo.save(&path, "cartpole", &[]).unwrap();
    let good = fs::read(&path).unwrap();
    // A folder stands where the new file would have to be.
    fs::create_dir(folder.path().join("training.new")).unwrap();
    let fault = ppo.save(&path, "cartpole", &[]).unwrap_err().to_string();
    assert!(fault.contains("cannot write"), "{fault}");
    assert_eq!(fs::read(&path).unwrap(), good);
}
