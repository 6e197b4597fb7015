//! `knightwatch explain SEQ`: why the agent did what it did at one entry of the journal.
//!
//! What the policy saw is journalled; how much each of it weighed is computed again, by the weights that decided. Where
//! those are not at hand, what was noted at the time is shown. Exit status 1 where there is nothing to explain.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    Failure, Outcome, REFUSED,
    connect::{ConnectArgs, not_done, remote},
    policies, print, scene, status,
};
use crate::config::Config;
use knightwatch_agent::{
    CHOICES, Choice, FEATURES, Features, MAX_EXPLAINED, PolicyName, PpoMaster, Weights, explain,
};
use knightwatch_core::control::{self, Actor, Decision, Entry, Event, Explanation, Seq};
use knightwatch_engine::backend::{Client, Target};
use knightwatch_store::Journal;

/// What the value is.
const VALUE: &str = "minus the cost that it still expects, in training's points (harm weighs as its harm weight says); 0 is best";

/// Columns of a bar.
const BAR: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The entry's number, as `audit show` and the log have it: 42 or #42
    #[arg(value_name = "SEQ", value_parser = seq, allow_negative_numbers = true)]
    seq: Seq,
    /// The session [default: the journal of the backend that --connect names or whose socket is here, else the newest in the state folder]
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    /// Weights that decided [default: `agent.weights` of the configuration, or the shipped ones]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

fn seq(text: &str) -> Result<Seq, String> {
    let number = text.strip_prefix('#').unwrap_or(text).parse();
    number.map(Seq).map_err(|_| "expected the number of an entry, as in 42 or #42".to_owned())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    entry: &'a Entry,
    /// Why there is nothing more; `None` where there is.
    nothing: Option<String>,
    explained: Option<Explained>,
}

/// An explanation with what can be computed of it.
#[derive(Serialize)]
struct Explained {
    choices: Vec<Chance>,
    value: f32,
    weights: Deciding,
    moved_by: Vec<String>,
    /// Everything it saw, what moved it most first; empty where the weights are not at hand.
    features: Vec<Seen>,
}

#[derive(Serialize)]
struct Chance {
    choice: &'static str,
    probability: f32,
    legal: bool,
}

/// By which weights it was decided.
#[derive(Serialize)]
struct Deciding {
    /// The first 16 hexadecimal digits of their SHA-256.
    hash: String,
    /// Whether they are the shipped ones.
    shipped: bool,
    /// Whether they are at hand, so that influences could be computed.
    at_hand: bool,
}

#[derive(Serialize)]
struct Seen {
    feature: &'static str,
    about: &'static str,
    value: f32,
    in_words: String,
    /// In nats of log-odds, above 0 towards what was chosen.
    influence: f32,
}

pub(super) fn run(args: &Args, connect: &ConnectArgs, config: &Config) -> Outcome {
    let backend = if args.session.is_none() { connect.at_hand(config)? } else { None };
    let (entry, policy) = if let Some(backend) = backend {
        let instead = "`explain --session FILE` reads a session instead";
        ask(&backend.target, args.seq).map_err(|failure| backend.not_had(failure, instead))?
    } else {
        let path = args.session.clone().map_or_else(|| status::newest(config), Ok)?;
        let journal = Journal::open_read_only(&path).map_err(Failure::store)?;
        let entry = find(&journal, args.seq, &path)?;
        (entry, scene::steered(&journal, &journal.meta().policy)?.0)
    };
    let (explained, nothing) = match explanation(&entry, &policy) {
        Ok((_, explanation)) => {
            let at_hand = at_hand(args, config)?;
            if let (Some(file), Some(named)) = (&args.weights, &at_hand.named)
                && named.hash != explanation.weights
            {
                return Err(Failure::input(format!(
                    "{}: holds the weights {}, and {} was decided by {}",
                    file.display(),
                    named.hash,
                    entry.seq,
                    explanation.weights
                )));
            }
            (Some(explained(explanation, &at_hand)), None)
        }
        Err(nothing) => (None, Some(nothing)),
    };
    if args.json {
        let status = if nothing.is_some() { REFUSED } else { 0 };
        print::json(&Report { entry: &entry, nothing, explained })?;
        return Ok(status);
    }
    print::line(&print::entry(&entry))?;
    if let Some(nothing) = nothing {
        return Err(Failure::refused(nothing));
    }
    if let (Event::Decided(decision), Some(explained)) = (&entry.event, &explained) {
        show(decision, explained)?;
    }
    print::DONE
}

/// The entry of a backend's journal, and who steers there.
fn ask(target: &Target, seq: Seq) -> Result<(Entry, String), Failure> {
    let client = Client::new(target).map_err(|error| remote(&error))?;
    let status = client.status().map_err(|error| not_done(&error))?;
    within(seq, Seq(status["seq"].as_u64().unwrap_or_default()), target)?;
    let found = client.entry(seq).map_err(|error| not_done(&error))?;
    let entry = found.ok_or_else(|| {
        Failure::refused(format!("entry {seq} is missing from {target}; see `audit verify`"))
    })?;
    Ok((entry, status["policy"].as_str().unwrap_or_default().to_owned()))
}

/// Refuses a number that is none of an entry's in `place`.
fn within(seq: Seq, last: Seq, place: impl std::fmt::Display) -> Result<(), Failure> {
    if seq.0 == 0 || seq > last {
        let range = if last.0 == 0 { "no entries".to_owned() } else { format!("entries #1 to {last}") };
        return Err(Failure::input(format!("there is no entry {seq}: {place} has {range}")));
    }
    Ok(())
}

fn find(journal: &Journal, seq: Seq, path: &Path) -> Result<Entry, Failure> {
    within(seq, journal.head().seq, path.display())?;
    let found = journal.entries(seq..=seq, 1).map_err(Failure::store)?.pop();
    found.ok_or_else(|| {
        Failure::refused(format!("entry {seq} is missing from {}; see `audit verify`", path.display()))
    })
}

/// What the policy said of this entry, or why there is nothing of the kind.
fn explanation<'a>(entry: &'a Entry, policy: &str) -> Result<(&'a Decision, &'a Explanation), String> {
    let Event::Decided(decision) = &entry.event else {
        let by = match &entry.actor {
            Actor::Person(name) => name.clone(),
            Actor::System => "knightwatch itself".to_owned(),
            Actor::Agent | Actor::Shield => format!("the {}", entry.actor),
        };
        return Err(format!(
            "{} is no decision of a policy but what {by} did ({}); the line above is all there is",
            entry.seq,
            entry.event.kind()
        ));
    };
    if decision.outcome == control::Outcome::Enforced {
        return Err(format!(
            "{} is the shield's own: it acts by fixed rules, whatever the policy wants. The rule: {}",
            entry.seq, decision.reason
        ));
    }
    match &decision.explanation {
        Some(explanation) => Ok((decision, explanation)),
        None if policy == PolicyName::PPO_MASTER.as_str() => Err(format!(
            "{} was not explained when it was decided: of the moves of one tick {} are; its reason and evidence are in \
             the line above",
            entry.seq,
            control::grouped(MAX_EXPLAINED as u64)
        )),
        None => Err(format!(
            "{} was proposed by {policy}, which does not explain itself; its reason and evidence are in the line above",
            entry.seq
        )),
    }
}

/// Weights that influences can be computed by: those named, and the shipped ones.
struct AtHand {
    named: Option<Weights>,
    shipped: PpoMaster,
}

fn at_hand(args: &Args, config: &Config) -> Result<AtHand, Failure> {
    let named = match (&args.weights, policies::configured(config)) {
        (Some(file), _) => Some(policies::read(file).map_err(|error| policies::unusable(file, &error))?),
        // What the configuration names may be broken today; the entry may be older.
        (None, Some(file)) => policies::read(file).ok(),
        (None, None) => None,
    };
    Ok(AtHand { named, shipped: PpoMaster::shipped() })
}

impl AtHand {
    fn of(&self, hash: &str) -> Option<&Weights> {
        let shipped = self.shipped.weights().as_ref().ok().map(AsRef::as_ref);
        [self.named.as_ref(), shipped].into_iter().flatten().find(|weights| weights.hash == hash)
    }

    fn is_shipped(&self, hash: &str) -> bool {
        self.shipped.weights().as_ref().is_ok_and(|weights| weights.hash == hash)
    }
}

fn explained(explanation: &Explanation, at_hand: &AtHand) -> Explained {
    let Explanation { probabilities, value, legal, features, weights: hash, moved_by } = explanation;
    let weights = at_hand.of(hash);
    let known = weights.zip(Features::try_from(features.as_slice()).ok());
    let mut seen: Vec<Seen> = known.map_or_else(Vec::new, |(weights, values)| {
        let influences = explain::influences(weights, &values, legal, Choice::likeliest(probabilities));
        let each = FEATURES.iter().zip(values).zip(influences);
        each.map(|((feature, value), influence)| Seen {
            feature: feature.key,
            about: feature.about,
            value,
            in_words: explain::in_words(feature, value),
            influence,
        })
        .collect()
    });
    seen.sort_by(|a, b| b.influence.total_cmp(&a.influence));
    let chances = Choice::ALL.iter().zip(probabilities).zip(legal);
    Explained {
        choices: chances
            .map(|((choice, p), legal)| Chance { choice: choice.as_str(), probability: *p, legal: *legal })
            .collect(),
        value: *value,
        weights: Deciding {
            hash: hash.clone(),
            shipped: at_hand.is_shipped(hash),
            at_hand: !seen.is_empty(),
        },
        moved_by: moved_by.clone(),
        features: seen,
    }
}

fn show(decision: &Decision, explained: &Explained) -> Result<(), Failure> {
    print::line("")?;
    print::line(&format!(
        "proposed  {}; {} by the shield: {}",
        decision.proposed, decision.outcome, decision.reason
    ))?;
    if !decision.evidence.is_empty() {
        print::line(&format!("evidence  {}", decision.evidence))?;
    }
    let Explained { choices, value, weights, moved_by, features } = explained;
    print::line(&format!("value     {value:.2}: {VALUE}"))?;
    let which = if weights.shipped { "the ones that knightwatch ships with" } else { "not the shipped ones" };
    print::line(&format!("weights   {}, {which}", weights.hash))?;
    print::line("")?;
    debug_assert_eq!(choices.len(), CHOICES, "a probability for each choice");
    for Chance { choice, probability, legal } in choices {
        let bar = bar(f64::from(*probability), 1.0);
        print::line(&match legal {
            true => format!("{choice:<13} {bar:<BAR$} {:>5.1} %", probability * 100.0),
            false => format!("{choice:<13} shut: the shield would not let it pass"),
        })?;
    }
    print::line("")?;
    if features.is_empty() {
        for clause in moved_by {
            print::line(&format!("moved by  {clause}"))?;
        }
        return print::line(
            "The weights that decided are not at hand, so this is what was noted at the time; with --weights FILE \
             everything that it saw is weighed again.",
        );
    }
    print::line(
        "What it saw, and how much that moved it towards (+) or away from (-) what it chose, in nats of log-odds:",
    )?;
    let most = features.iter().map(|seen| f64::from(seen.influence.abs())).fold(0.0, f64::max);
    for Seen { about, in_words, influence, .. } in features {
        let bar = bar(f64::from(influence.abs()), most);
        print::line(&format!("{influence:>+7.2} {bar:<BAR$} {about}: {in_words}"))?;
    }
    Ok(())
}

/// `part` of `all` as a bar of ASCII, so that every terminal and every file can hold it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and the bar's columns"
)]
fn bar(part: f64, all: f64) -> String {
    let share = if all > 0.0 { (part / all).clamp(0.0, 1.0) } else { 0.0 };
    "#".repeat(libm::round(share * BAR as f64) as usize)
}
