//! `knightwatch status`: what a session has come to, from its journal; also while another knightwatch writes it.

use std::{fs, path::PathBuf};

use serde::Serialize;

use super::{Failure, Outcome, print, scene};
use crate::{
    config::Config,
    control::{Alarm, Hold, LastAction, Latch, Phase, PolicySettings, Seq, State, policy_in_words},
    flag::{FlagKey, Rollout},
    store::Journal,
    telemetry::Millis,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The session [default: the newest in the state folder]
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    session: PathBuf,
    environment: String,
    source: String,
    policy: String,
    /// How the policy is set, where it can be and the session says so.
    settings: Option<PolicySettings>,
    at: Millis,
    seq: Seq,
    latch: Option<Latch>,
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

/// The newest session in the state folder.
pub(super) fn newest(config: &Config) -> Result<PathBuf, Failure> {
    let folder = config.state_folder().map_err(Failure::input)?.join("sessions");
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|file| file.path());
    let sessions = files.filter(|path| path.extension().is_some_and(|ending| ending == "knightwatch"));
    sessions.max().ok_or_else(|| {
        Failure::input(format!("no session yet in {}; `knightwatch` begins one", folder.display()))
    })
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let path = args.session.clone().map_or_else(|| newest(config), Ok)?;
    let journal = Journal::open_read_only(&path).map_err(Failure::store)?;
    let mut state = State::default();
    for entry in journal.load_all() {
        state.apply(&entry.map_err(Failure::store)?);
    }
    let meta = journal.meta();
    let (policy, settings) = scene::steered(&journal, &meta.policy)?;
    let report = Report {
        session: path,
        environment: state.environment.clone(),
        source: meta.source.clone(),
        policy,
        settings,
        at: journal.last_tick().unwrap_or(state.at).max(state.at),
        seq: state.seq,
        latch: state.latch.clone(),
        alarms: state.alarms.clone(),
        flags: state
            .flags
            .iter()
            .map(|flag| Flag {
                key: flag.spec.key.clone(),
                service: flag.spec.service.to_string(),
                phase: flag.phase,
                rollout_percent: flag.rollout.percent(),
                rollout: flag.rollout,
                phase_since: flag.phase_since,
                hold: flag.hold.clone(),
                last: flag.last.clone(),
            })
            .collect(),
    };
    if args.json {
        print::json(&report)?;
    } else {
        show(&report)?;
    }
    print::DONE
}

fn show(report: &Report) -> Result<(), Failure> {
    print::line(&format!(
        "{}: {}, steered by {}, as of {} (entry {})",
        report.environment,
        report.source,
        policy_in_words(&report.policy, report.settings.as_ref()),
        print::moment(report.at),
        report.seq
    ))?;
    if let Some(latch) = &report.latch {
        print::line(&format!("KILL-ALL IN FORCE, set by {} at {}", latch.by, print::moment(latch.at)))?;
    }
    for alarm in &report.alarms {
        let over = if alarm.cleared_at.is_some() { ", over, not seen" } else { "" };
        let at = print::moment(alarm.raised_at);
        print::line(&format!("alarm, {}{over}, {at}: {}", alarm.priority(), alarm.text))?;
    }
    for flag in &report.flags {
        let last = flag.last.as_ref().map_or_else(String::new, |last| {
            format!("{} by {}, {} ago", last.what, last.by, report.at.since(last.at))
        });
        print::line(&format!("{:<28} {:<12} {:>7}  {last}", flag.key.as_str(), flag.phase, flag.rollout))?;
    }
    Ok(())
}
