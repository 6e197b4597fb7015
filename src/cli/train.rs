//! `knightwatch train`.
use super::{Failure, Outcome, print};
use crate::{agent::PolicyName, learn::{Run, TrainingConfig}};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Settings
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Where weights go
    #[arg(long, default_value = "training")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    if let Ok(fam) = std::env::var("PROBE") {
        use crate::{control::{ControlConfig, Event, Action}, judge::Episode, sim::{Generator, Split, Family}};
        let mut g = Generator::new(Split::Validation);
        let fam: Family = fam.parse().map_err(Failure::input)?;
        g.families = vec![fam];
        for n in 0..400 {
            let (_, s) = g.scenario(n);
            let mut p = PolicyName::ShieldAlone.build(0);
            let e = Episode::run(&s, n, p.as_mut(), &ControlConfig::default(), |_| {});
            for entry in &e.journal {
                if let Event::Decided(d) = &entry.event && d.action == Action::RollBack {
                    let f = &e.flags[d.flag.index()];
                    let m = &s.flags[d.flag.index()];
                    if !f.harmful { print::line(&format!("wu {:.2} tau {:.0}s noise {:.2} util {:.2} tsd {:.2} rps*10 {:.0} eff {} | {}", m.warm_up, m.warm_up_time.as_secs_f64(), s.services[0].latency.noise_sd, s.services[0].utilisation, s.services[0].traffic_sd, s.services[0].requests_per_second*10.0*m.traffic, m.effects.len(), entry.sentence))?; }
                }
            }
        }
        return print::DONE;
    }
    let config = match &args.settings {
        None => TrainingConfig::shipped(),
        Some(file) => TrainingConfig::parse(&std::fs::read_to_string(file).map_err(Failure::input)?, &file.display().to_string()),
    }.map_err(Failure::input)?;
    let total = config.ppo.total_steps;
    let seconds = config.seconds;
    std::fs::create_dir_all(&args.out).map_err(Failure::input)?;
    let mut run = Run::new(config).map_err(Failure::input)?;
    for name in [PolicyName::Rule, PolicyName::Schedule, PolicyName::Flagger, PolicyName::ShieldAlone] {
        print::line(&format!("{name}: {:.2?}", run.opponent(name)))?;
    }
    while run.steps() < total && run.seconds() < seconds {
        let p = run.iterate().map_err(Failure::input)?;
        if p.iteration % 10 == 1 || p.validation.is_some() {
            print::line(&format!("it {} steps {:.2}M sec {:.0} rew {:.1} len {:.1} ent {:.3} kl {:.4} clip {:.3} ev {:.3} vl {:.3} sps {:.0} diff {:.2} {}",
              p.iteration, p.steps as f64/1e6, p.seconds, p.reward.unwrap_or(0.), p.episode_length.unwrap_or(0.), p.entropy.unwrap_or(0.), p.approx_kl.unwrap_or(0.), p.clip_fraction.unwrap_or(0.), p.explained_variance.unwrap_or(0.), p.value_loss.unwrap_or(0.), p.steps_per_second.unwrap_or(0.), p.difficulty.unwrap_or(0.),
              p.validation.map(|v| format!("VAL {v:.2?}")).unwrap_or_default()))?;
        }
        if p.validation.is_some_and(|v| v.best) {
            if let Some(best) = run.best() {
                print::line(&format!("best {:.2?}", best.score))?;
                std::fs::write(args.out.join("best.safetensors"), best.weights.to_bytes().map_err(Failure::input)?).map_err(Failure::input)?;
            }
        }
    }
    std::fs::write(args.out.join("last.safetensors"), run.weights().to_bytes().map_err(Failure::input)?).map_err(Failure::input)?;
    print::DONE
}
