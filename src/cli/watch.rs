//! `knightwatch watch`: one line for each change, no alternate screen: for pipes, CI and screen readers.
//!
//! Exit status with `--until done`: 0 when every flag that was started reached 100 %, 1 when one was rolled back,
//! killed, or did not get there, or when none was started.

use std::{
    io::Write,
    sync::{Arc, mpsc},
};

use super::{
    Failure, Outcome, REFUSED,
    connect::{self, ConnectArgs},
    print, scene,
};
use crate::config::Config;
use knightwatch_core::{
    control::{Entry, Event, FlagState, Phase, Seq, State},
    flag::FlagKey,
};
use knightwatch_engine as engine;
use knightwatch_engine::{
    Engine, Observer, Pace,
    backend::{Backend, FlagView, Link, Remote, Snapshot, Target, Update},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    scene: scene::SceneArgs,
    /// Only this flag
    #[arg(long, value_name = "KEY")]
    flag: Option<FlagKey>,
    /// When to end
    #[arg(long, value_enum, default_value = "end")]
    until: Until,
    /// Times faster than real time, 1 to 3600; 0 is as fast as it goes
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3600))]
    speed: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Until {
    /// With the scenario
    End,
    /// As soon as nothing is moving any more; the exit status says how it went
    Done,
}

pub(super) fn run(args: &Args, connect: &ConnectArgs, config: &Config) -> Outcome {
    if let Some(target) = connect.named(config)? {
        return follow(args, &target);
    }
    // Beside a backend that runs here, a simulation must be asked for.
    if !args.scene.is_given()
        && args.speed == 0
        && let Some(backend) = connect.at_hand(config)?
    {
        note(&format!("this machine's backend, {}; --scenario NAME simulates instead", backend.target));
        let instead = "`watch --scenario NAME` simulates instead";
        return follow(args, &backend.target).map_err(|failure| backend.not_had(failure, instead));
    }
    let scene = scene::Scene::of(&args.scene)?;
    let unknown = |key| Failure::input(format!("there is no flag {key} in what is watched"));
    if let Some(key) = args.flag.as_ref().filter(|_| scene.is_fresh())
        && !scene.scenario.flags.iter().any(|flag| flag.spec.key == *key)
    {
        // Said before a session is begun.
        return Err(unknown(key));
    }
    let engine = scene.engine(config)?;
    if let Some(key) = args.flag.as_ref().filter(|key| engine.state().flag(key).is_none()) {
        return Err(unknown(key));
    }
    let begun = engine.entries(None, usize::MAX).map_err(Failure::refused)?;
    for entry in begun.iter().filter(|entry| shown(args, entry)) {
        show(args, entry)?;
    }
    if args.speed == 0 { flat_out(args, engine) } else { paced(args, engine) }
}

/// A backend elsewhere, for as long as it is there.
fn follow(args: &Args, target: &Target) -> Outcome {
    if args.scene.is_given() || args.speed != 0 {
        return Err(Failure::input("with --connect the backend's own scenario, pace and session apply"));
    }
    let remote = Remote::connect(target).map_err(|error| connect::remote(&error))?;
    let mut updates = remote.subscribe();
    let mut room: Option<Arc<Snapshot>> = None;
    // While contact is lost: why.
    let mut lost: Option<Option<String>> = None;
    while let Some(update) = updates.blocking_recv() {
        match update {
            Update::Snapshot(snapshot) => {
                let known = room.as_ref().map_or(Seq(0), |room| room.controller.seq);
                for entry in snapshot.entries.iter().filter(|entry| entry.seq > known && shown(args, entry)) {
                    show(args, entry)?;
                }
                room = Some(snapshot);
            }
            Update::Change(change) => {
                for entry in change.entries.iter().filter(|entry| shown(args, entry)) {
                    show(args, entry)?;
                }
                if let Some(room) = &mut room {
                    Arc::make_mut(room).apply(&change);
                }
            }
            Update::Link(Link::Lost { why, .. }) => {
                // Told again only where the reason is another one: a revoked token is no broken line.
                if lost.as_ref() != Some(&why) {
                    let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
                    note(&format!("contact lost{why}; retrying"));
                }
                lost = Some(why);
            }
            Update::Link(_) => lost = None,
        }
        let Some(room) = &room else { continue };
        let watched =
            || room.alive().filter(|flag| args.flag.as_ref().is_none_or(|key| flag.spec.key == *key));
        if let Some(key) = args.flag.as_ref().filter(|_| watched().next().is_none()) {
            return Err(Failure::input(format!("there is no flag {key} in what is watched")));
        }
        if args.until == Until::Done && watched().next().is_none() {
            return Err(Failure::refused(
                "there is no flag in what is watched, so nothing will ever be done",
            ));
        }
        let over =
            |flag: &FlagView| matches!(flag.phase, Phase::Complete | Phase::RolledBack | Phase::Killed);
        if args.until == Until::Done && watched().all(over) {
            let good = watched().all(|flag| flag.phase == Phase::Complete);
            return Ok(if good { 0 } else { REFUSED });
        }
        if room.controller.done {
            return Ok(if args.until == Until::End { 0 } else { REFUSED });
        }
    }
    Err(connect::remote(&target.ended()))
}

/// Something about the watching itself, not about what is watched.
fn note(text: &str) {
    // Where nobody listens nothing is missed.
    let _ = writeln!(std::io::stderr(), "knightwatch: {text}");
}

fn flat_out(args: &Args, mut engine: Engine) -> Outcome {
    while !engine.done() {
        for entry in engine.step().iter().filter(|entry| shown(args, entry)) {
            show(args, entry)?;
        }
        if args.until == Until::Done && settled(args, engine.state()) {
            break;
        }
    }
    Ok(verdict(args, engine.state()))
}

/// What the engine's thread tells this one.
struct News {
    entries: Vec<Entry>,
    state: Option<Arc<State>>,
    done: bool,
}

struct Teller(mpsc::Sender<News>);

impl Observer for Teller {
    fn happened(&mut self, engine: &Engine, _: Pace, news: &[Entry], _: bool) {
        let state = (!news.is_empty() || engine.done()).then(|| Arc::new(engine.state().clone()));
        // Whoever listened may have gone; the engine ends with its handle.
        let _ = self.0.send(News { entries: news.to_vec(), state, done: engine.done() });
    }
}

fn paced(args: &Args, engine: Engine) -> Outcome {
    let pace = Pace::times(args.speed).map_err(Failure::input)?;
    let (tell, told) = mpsc::channel();
    let _handle = engine::run(engine, pace, Box::new(Teller(tell))).map_err(Failure::refused)?;
    let mut last = Arc::new(State::default());
    for news in told {
        for entry in news.entries.iter().filter(|entry| shown(args, entry)) {
            show(args, entry)?;
        }
        last = news.state.unwrap_or(last);
        if news.done || (args.until == Until::Done && settled(args, &last)) {
            return Ok(verdict(args, &last));
        }
    }
    Err(Failure::refused("the engine has ended before its time; see the log in the state folder"))
}

fn shown(args: &Args, entry: &Entry) -> bool {
    match &args.flag {
        None => true,
        // What concerns the whole fleet concerns each flag.
        Some(key) => {
            entry.flag.as_ref() == Some(key)
                || matches!(entry.event, Event::KilledAll { .. } | Event::Rearmed)
        }
    }
}

fn show(args: &Args, entry: &Entry) -> Result<(), Failure> {
    if args.json { print::json(entry) } else { print::line(&print::entry(entry)) }
}

/// Whether nothing moves any more: every flag has been started and has come to an end, and there is one.
fn settled(args: &Args, state: &State) -> bool {
    let mut watched =
        state.alive().filter(|flag| args.flag.as_ref().is_none_or(|key| flag.spec.key == *key)).peekable();
    let over = |flag: &FlagState| flag.phase == Phase::Killed || (flag.phase.is_settled() && flag.ramp > 0);
    watched.peek().is_some() && watched.all(over)
}

/// The exit status.
fn verdict(args: &Args, state: &State) -> u8 {
    let watched = state.alive().filter(|flag| args.flag.as_ref().is_none_or(|key| flag.spec.key == *key));
    let mut started = watched.filter(|flag| flag.ramp > 0 || flag.phase == Phase::Killed).peekable();
    let good = started.peek().is_some() && started.all(|flag| flag.phase == Phase::Complete);
    if good || args.until == Until::End { 0 } else { REFUSED }
}
