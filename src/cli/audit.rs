//! `knightwatch audit`: shows, exports and verifies the journal of a session, or of a backend.

use std::{
    fs::File,
    io::{self, BufReader, Write},
    path::PathBuf,
};

use clap::{Subcommand, ValueEnum, builder::PossibleValuesParser};

use super::{
    Failure, Outcome, REFUSED,
    connect::{ConnectArgs, not_done, remote},
    print, status,
};
use crate::config::Config;
use knightwatch_core::{
    control::{Actor, Event},
    flag::{FlagKey, clean_line},
};
use knightwatch_engine::backend::Client;
use knightwatch_store as store;
use knightwatch_store::{ExportFormat, Filter, Head, Journal};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The session [default: the journal of the backend that --connect names or whose socket is here, else the newest in the state folder]
    #[arg(long, value_name = "FILE", global = true)]
    session: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Entries as sentences, oldest first
    Show {
        /// Only this flag
        #[arg(long, value_name = "KEY")]
        flag: Option<FlagKey>,
        /// Only this actor: agent, shield, system, or a person's name
        #[arg(long)]
        actor: Option<String>,
        /// Only this kind
        #[arg(long, value_parser = PossibleValuesParser::new(Event::KINDS))]
        kind: Option<String>,
        /// Only the newest so many
        #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
        last: usize,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// The whole journal with its hashes, to standard output
    Export {
        /// In which form
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
    },
    /// Finds a changed, removed, inserted or cut entry; exit status 1 when there is one
    Verify {
        /// A head noted elsewhere, as `verify` prints it
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<Head>,
        /// Compare with an export made earlier
        #[arg(long, value_name = "FILE", conflicts_with = "head")]
        export: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One JSON object a line; complete and verifiable
    Jsonl,
    /// Comma-separated values with a heading
    Csv,
}

pub(super) fn run(args: &Args, connect: &ConnectArgs, config: &Config) -> Outcome {
    if args.session.is_none()
        && let Some(backend) = connect.at_hand(config)?
    {
        let client = Client::new(&backend.target).map_err(|error| remote(&error))?;
        let instead = "`audit --session FILE` reads a session instead";
        return afar(&args.what, &client).map_err(|failure| backend.not_had(failure, instead));
    }
    let path = args.session.clone().map_or_else(|| status::newest(config), Ok)?;
    match &args.what {
        What::Show { flag, actor, kind, last, json } => {
            let journal = Journal::open_read_only(&path).map_err(Failure::store)?;
            let filter =
                Filter { flag: flag.clone(), actor: actor.as_deref().map(Actor::named), kind: kind.clone() };
            for entry in journal.search(&filter, .., *last).map_err(Failure::store)? {
                if *json { print::json(&entry)? } else { print::line(&print::entry(&entry))? }
            }
        }
        What::Export { format } => {
            let journal = Journal::open_read_only(&path).map_err(Failure::store)?;
            let format = match format {
                Format::Jsonl => ExportFormat::JsonLines,
                Format::Csv => ExportFormat::Csv,
            };
            print::stream(|mut out| store::export(&journal, format, &mut out))?;
        }
        What::Verify { head, export } => {
            let report = match export {
                Some(export) => {
                    let file = File::open(export)
                        .map_err(|error| Failure::input(format!("{}: {error}", export.display())))?;
                    store::compare_export(&path, BufReader::new(file))
                }
                None => store::verify_with_head(&path, *head),
            };
            let report = report.map_err(Failure::store)?;
            for line in report.to_string().lines() {
                print::line(line)?;
            }
            if !report.is_sound() {
                return Ok(REFUSED);
            }
        }
    }
    print::DONE
}

/// The same of a backend's journal, which the backend reads.
fn afar(what: &What, client: &Client) -> Outcome {
    match what {
        What::Show { flag, actor, kind, last, json } => {
            let wanted: Vec<(&str, String)> = [
                ("flag", flag.as_ref().map(ToString::to_string)),
                ("actor", actor.clone()),
                ("kind", kind.clone()),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
            for entry in client.entries(*last, &wanted).map_err(|error| not_done(&error))? {
                if *json { print::json(&entry)? } else { print::line(&print::entry(&entry))? }
            }
        }
        What::Export { format: Format::Csv } => {
            let text = "a backend exports its journal as jsonl; CSV needs the file (--session)";
            return Err(Failure::input(text));
        }
        What::Export { format: Format::Jsonl } => {
            let mut out = io::stdout().lock();
            let exported = client.download("/api/v1/journal/export", |piece| out.write_all(piece));
            exported.map_err(|error| remote(&error))?;
            out.flush().map_err(Failure::refused)?;
        }
        What::Verify { export: Some(_), .. } => {
            let text = "an export is compared with the file (--session); a backend takes a head (--head)";
            return Err(Failure::input(text));
        }
        What::Verify { head, export: None } => {
            let path = match head {
                Some(head) => format!("/api/v1/journal/verify?head={head}"),
                None => "/api/v1/journal/verify".to_owned(),
            };
            let report = client.get(&path).map_err(|error| not_done(&error))?;
            for line in report["details"].as_array().into_iter().flatten() {
                print::line(&clean_line(line.as_str().unwrap_or_default()))?;
            }
            if report["sound"] != true {
                return Ok(REFUSED);
            }
        }
    }
    print::DONE
}
