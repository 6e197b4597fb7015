//! `knightwatch import` and `knightwatch export`: flag definitions in flagd's format, checked, and with the rollouts as they are.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    Failure, Outcome,
    connect::{self, ConnectArgs},
    print,
    serve::Home,
    status,
};
use crate::config::{Config, SourceKind};
use knightwatch_connect::{FlagFiles, FlagFilesError};
use knightwatch_core::{
    control::{Phase, State},
    flag::{
        FlagKey, FlagSpec, Rollout, clean,
        definition::{Definition, ServedFlag},
    },
};
use knightwatch_engine::backend::{RemoteError, Target};
use knightwatch_store::Journal;

/// What is checked.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// Files of flag definitions, as `knightwatch serve --flags` reads them: together
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// What is exported.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// Files of flag definitions [default: those of the configuration]; flags without one are on or off
    #[arg(long, value_name = "FILE")]
    flags: Vec<PathBuf>,
    /// The journal that says how flags stand [default: the backend that --connect names or whose socket is here, else its journal]; it may be in use
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    /// The journal of `serve --real`, whether that runs or not
    #[arg(long, conflicts_with = "session")]
    real: bool,
}

/// What `import --json` prints.
#[derive(Serialize)]
struct Report<'d> {
    flags: Vec<Flag<'d>>,
    notes: &'d [String],
}

#[derive(Serialize)]
struct Flag<'d> {
    key: &'d str,
    /// `None` where it is evaluated only.
    service: Option<&'d str>,
    /// What is in the file; knightwatch's own is what counts.
    written_percent: Option<f64>,
    prerequisites: Vec<String>,
}

fn wrong(error: FlagFilesError) -> Failure {
    match error {
        // A line each.
        FlagFilesError::Wrong(errors) => {
            let lines: Vec<String> =
                errors.listed.iter().map(|error| clean(&error.to_string()).into_owned()).collect();
            let more = if errors.more > 0 { format!("\nand {} more", errors.more) } else { String::new() };
            Failure::input(lines.join("\n") + &more)
        }
        other @ FlagFilesError::Unreadable { .. } => Failure::input(other),
    }
}

pub(super) fn import(args: &ImportArgs) -> Outcome {
    let (_, definitions) = FlagFiles::open(args.files.clone()).map_err(wrong)?;
    let needs = |flag: &Definition| -> Vec<String> {
        flag.prerequisites().iter().map(|needed| format!("{}={}", needed.flag, needed.variant)).collect()
    };
    if args.json {
        let flags = definitions.iter().map(|flag| Flag {
            key: flag.key().as_str(),
            service: flag.steering().map(|steering| steering.service.as_str()),
            written_percent: flag.steering().and_then(|steering| steering.written).map(Rollout::percent),
            prerequisites: needs(flag),
        });
        print::json(&Report { flags: flags.collect(), notes: definitions.notes() })?;
        return print::DONE;
    }
    let steered = definitions.iter().filter(|flag| flag.steering().is_some()).count();
    print::line(&format!("{} flags, {steered} of them to be steered", definitions.len()))?;
    for flag in definitions.iter() {
        let mut line = match flag.steering() {
            Some(steering) => format!("{:<28} steered, in {}", flag.key().as_str(), steering.service),
            None => format!("{:<28} evaluated as it is defined", flag.key().as_str()),
        };
        if let Some(written) = flag.steering().and_then(|steering| steering.written) {
            // Writing to a String cannot fail.
            let _ = write!(line, "; {written} in the file gives way to knightwatch's own");
        }
        if !flag.prerequisites().is_empty() {
            let _ = write!(line, "; needs {}", needs(flag).join(", "));
        }
        print::line(&line)?;
    }
    for note in definitions.notes() {
        print::line(&format!("note: {note}"))?;
    }
    print::DONE
}

/// How flags stand: in a running backend, or as a journal has it.
struct Stand {
    /// Those that are not archived.
    alive: Vec<FlagSpec>,
    by_key: BTreeMap<FlagKey, ServedFlag>,
}

fn served(latched: bool, phase: Phase, rollout: Rollout) -> ServedFlag {
    let off_for_all = latched || matches!(phase, Phase::RolledBack | Phase::Killed);
    ServedFlag { rollout: if latched { Rollout::ZERO } else { rollout }, off_for_all }
}

impl Stand {
    fn asked(target: &Target) -> Result<Self, RemoteError> {
        let room = status::ask(target)?;
        let latched = room.controller.latch.is_some();
        let each = room.flags.iter();
        let by_key =
            each.map(|flag| (flag.spec.key.clone(), served(latched, flag.phase, flag.rollout))).collect();
        Ok(Self { alive: room.alive().map(|flag| (*flag.spec).clone()).collect(), by_key })
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let journal = Journal::open_read_only(path).map_err(Failure::store)?;
        let mut state = State::default();
        for entry in journal.load_all() {
            state.apply(&entry.map_err(Failure::store)?);
        }
        let latched = state.latch.is_some();
        let each = state.flags.iter();
        let by_key =
            each.map(|flag| (flag.spec.key.clone(), served(latched, flag.phase, flag.rollout))).collect();
        Ok(Self { alive: state.alive().map(|flag| flag.spec.clone()).collect(), by_key })
    }

    fn of(args: &ExportArgs, connect: &ConnectArgs, config: &Config) -> Result<Self, Failure> {
        if let Some(path) = &args.session {
            return Self::read(path);
        }
        if !args.real
            && let Some(backend) = connect.at_hand(config)?
        {
            let instead = "`export --session FILE` reads a journal instead";
            return Self::asked(&backend.target)
                .map_err(|error| backend.not_had(connect::remote(&error), instead));
        }
        Self::read(&Home::of(config, args.real || config.telemetry.source == SourceKind::Push)?.journal)
    }
}

pub(super) fn export(args: &ExportArgs, connect: &ConnectArgs, config: &Config) -> Outcome {
    let files = if args.flags.is_empty() { config.server.flags.clone() } else { args.flags.clone() };
    let (_, definitions) = FlagFiles::open(files).map_err(wrong)?;
    let Stand { alive, by_key } = Stand::of(args, connect, config)?;
    let exported = definitions.export(alive.iter(), |key| by_key.get(key).copied());
    let text = serde_json::to_string_pretty(&exported).map_err(Failure::refused)?;
    print::raw(&print::harmless_json(&(text + "\n")))?;
    print::DONE
}
