//! `knightwatch status`: what a backend says now, or what a session has come to, from its journal; also while another
//! knightwatch writes it.

use std::{fs, path::PathBuf, sync::Arc};

use serde::Serialize;

use super::{
    Failure, Outcome,
    connect::{self, ConnectArgs},
    print, scene,
};
use crate::config::Config;
use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{Alarm, Hold, LastAction, Latch, Phase, PolicySettings, Seq, State, policy_in_words},
    flag::{FlagKey, FlagSpec, Rollout},
    telemetry::Millis,
};
use knightwatch_engine::backend::{
    Backend, Client, PolicyView, Remote, RemoteError, Snapshot, Target, Update,
};
use knightwatch_store::Journal;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A session [default: this machine's backend where its socket is, else the newest session in the state folder]
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    /// The session's file; not there where a backend was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<PathBuf>,
    /// The backend; not there where a session was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    environment: String,
    source: String,
    policy: String,
    /// How the policy is set, where it can be and the session says so.
    settings: Option<PolicySettings>,
    /// The policy, with what is not as usual about it.
    #[serde(skip)]
    steered_by: String,
    at: Millis,
    seq: Seq,
    latch: Option<Latch>,
    /// Why the backend's flag definitions were not changed, while those that should be in force cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    definitions_fault: Option<String>,
    alarms: Vec<Alarm>,
    flags: Vec<Flag>,
}

#[derive(Serialize)]
struct Flag {
    key: FlagKey,
    service: String,
    phase: Phase,
    rollout_percent: f64,
    #[serde(skip)]
    rollout: Rollout,
    phase_since: Millis,
    hold: Option<Hold>,
    last: Option<LastAction>,
}

impl Flag {
    fn new(
        spec: &FlagSpec,
        phase: Phase,
        rollout: Rollout,
        phase_since: Millis,
        hold: Option<&Hold>,
        last: Option<&LastAction>,
    ) -> Self {
        Self {
            key: spec.key.clone(),
            service: spec.service.to_string(),
            phase,
            rollout_percent: rollout.percent(),
            rollout,
            phase_since,
            hold: hold.cloned(),
            last: last.cloned(),
        }
    }
}

/// The newest session in the state folder.
pub(super) fn newest(config: &Config) -> Result<PathBuf, Failure> {
    let folder = config.state_folder().map_err(Failure::input)?.join("sessions");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|file| file.path());
    let sessions = files.filter(|path| path.extension().is_some_and(|ending| ending == "knightwatch"));
    sessions.max().ok_or_else(|| {
        Failure::input(format!("no session yet in {}; `knightwatch` starts one", folder.display()))
    })
}

pub(super) fn run(args: &Args, connect: &ConnectArgs, config: &Config) -> Outcome {
    let report = report(args, connect, config)?;
    if args.json {
        print::json(&report)?;
    } else {
        show(&report)?;
    }
    print::DONE
}

fn report(args: &Args, connect: &ConnectArgs, config: &Config) -> Result<Report, Failure> {
    if let Some(session) = &args.session {
        return read(session.clone());
    }
    if let Some(backend) = connect.at_hand(config)? {
        let instead = "`status --session FILE` reads a session instead";
        let failed = |failure| backend.not_had(failure, instead);
        let snapshot = ask(&backend.target).map_err(|error| failed(connect::remote(&error)))?;
        // What is no part of what is steered is not in the stream.
        let client = Client::new(&backend.target).map_err(|error| failed(connect::remote(&error)))?;
        let status = client.status().map_err(|error| failed(connect::not_done(&error)))?;
        let fault = status["definitions_fault"].as_str().map(knightwatch_core::flag::clean_line);
        return Ok(backend_report(&snapshot, fault, &backend.target));
    }
    read(newest(config)?)
}

/// All that a backend says at this moment.
pub(super) fn ask(target: &Target) -> Result<Arc<Snapshot>, RemoteError> {
    let remote = Remote::connect(target)?;
    match remote.subscribe().blocking_recv() {
        Some(Update::Snapshot(snapshot)) => Ok(snapshot),
        _ => Err(target.ended()),
    }
}

/// A backend says of its policy what is not as usual, or what kind it is; the kind goes without saying.
fn steered_by(policy: &PolicyView) -> String {
    let usual = policy.name.parse::<PolicyName>().is_ok_and(|name| name.about() == policy.about);
    if usual || policy.about.is_empty() {
        policy.name.clone()
    } else {
        format!("{} ({})", policy.name, policy.about)
    }
}

fn backend_report(snapshot: &Snapshot, definitions_fault: Option<String>, target: &Target) -> Report {
    Report {
        session: None,
        backend: Some(target.to_string()),
        environment: snapshot.environment.clone(),
        source: snapshot.source.clone(),
        policy: snapshot.controller.policy.name.clone(),
        settings: None,
        steered_by: steered_by(&snapshot.controller.policy),
        at: snapshot.controller.now,
        seq: snapshot.controller.seq,
        latch: snapshot.controller.latch.clone(),
        definitions_fault,
        alarms: snapshot.controller.alarms.clone(),
        flags: snapshot
            .alive()
            .map(|flag| {
                let (hold, last) = (flag.hold.as_ref(), flag.last.as_ref());
                Flag::new(&flag.spec, flag.phase, flag.rollout, flag.phase_since, hold, last)
            })
            .collect(),
    }
}

fn read(path: PathBuf) -> Result<Report, Failure> {
    let journal = Journal::open_read_only(&path).map_err(Failure::store)?;
    let mut state = State::default();
    for entry in journal.load_all() {
        state.apply(&entry.map_err(Failure::store)?);
    }
    let meta = journal.meta();
    let (policy, settings) = scene::steered(&journal, &meta.policy)?;
    Ok(Report {
        session: Some(path),
        backend: None,
        environment: state.environment.clone(),
        source: meta.source.clone(),
        steered_by: policy_in_words(&policy, settings.as_ref()),
        policy,
        settings,
        at: journal.last_tick().unwrap_or(state.at).max(state.at),
        seq: state.seq,
        latch: state.latch.clone(),
        definitions_fault: None,
        alarms: state.alarms.clone(),
        flags: state
            .alive()
            .map(|flag| {
                let (hold, last) = (flag.hold.as_ref(), flag.last.as_ref());
                Flag::new(&flag.spec, flag.phase, flag.rollout, flag.phase_since, hold, last)
            })
            .collect(),
    })
}

fn show(report: &Report) -> Result<(), Failure> {
    print::line(&format!(
        "{}: {}, steered by {}, as of {} (entry {})",
        report.environment,
        report.source,
        report.steered_by,
        print::moment(report.at),
        report.seq
    ))?;
    if let Some(latch) = &report.latch {
        let why = if latch.reason.is_empty() { String::new() } else { format!(": {}", latch.reason) };
        print::line(&format!("KILL-ALL IN FORCE, set by {} at {}{why}", latch.by, print::moment(latch.at)))?;
    }
    if let Some(asked) = report.latch.as_ref().and_then(|latch| latch.asked_at(report.at)) {
        let until = print::moment(asked.until);
        print::line(&format!(
            "re-arming requested by {}: another person must confirm by {until}",
            asked.who
        ))?;
    }
    if let Some(why) = &report.definitions_fault {
        print::line(&format!("flag definitions were not changed: {why}"))?;
    }
    for alarm in &report.alarms {
        let over = match (&alarm.shelf, alarm.cleared_at) {
            (Some(shelf), _) => format!(", shelved by {} until {}", shelf.by, print::moment(shelf.until)),
            (None, Some(_)) => ", ended, unacknowledged".to_owned(),
            (None, None) => String::new(),
        };
        let at = print::moment(alarm.raised_at);
        print::line(&format!("alarm {}, {}{over}, {at}: {}", alarm.id.0, alarm.priority(), alarm.text))?;
    }
    for flag in &report.flags {
        let last = flag.last.as_ref().map_or_else(String::new, |last| {
            format!("{} by {}, {} ago", last.what, last.by, report.at.since(last.at))
        });
        print::line(&format!("{:<28} {:<12} {:>7}  {last}", flag.key.as_str(), flag.phase, flag.rollout))?;
    }
    Ok(())
}
