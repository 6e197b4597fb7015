//! `knightwatch token`, `backup` and `restore`: what belongs to the backend's state folder and needs no running backend.

use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, Outcome, print, serve::Home};
use crate::{
    config::{Config, SourceKind},
    engine::wall_clock,
    server::{Scope, TokenFile, TokenRecord},
    store,
    telemetry::Millis,
};

/// The longest that a token lives where nothing is said: 90 days.
const LIFE: Millis = Millis::from_secs(90 * 24 * 3_600);

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Token {
    /// Makes a token and prints its secret, which is kept nowhere
    Create {
        /// Whose it is, as the journal will name them
        name: String,
        /// What it allows; may be given again
        #[arg(long, value_enum, required = true)]
        scope: Vec<Scope>,
        /// How long it lives, such as "720 h", or "never" [default: 2160 h]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Lists the tokens, without their secrets
    List {
        /// One JSON array
        #[arg(long)]
        json: bool,
    },
    /// Makes a token worthless; a running backend knows within a second
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

#[derive(Serialize)]
struct Made<'a> {
    secret: &'a str,
    #[serde(flatten)]
    record: &'a TokenRecord,
}

pub(super) fn token(what: &Token, config: &Config) -> Outcome {
    let folder = config.state_folder().map_err(Failure::input)?;
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::refused(format!("cannot make {}: {error}", folder.display())))?;
    let file = TokenFile::in_folder(&folder);
    let failed = |error: std::io::Error| Failure::refused(format!("{}: {error}", file.path().display()));
    match what {
        Token::Create { name, scope, expires, json } => {
            let name = crate::flag::clean_line(name);
            if name.is_empty() {
                return Err(Failure::input("expected a name, found nothing"));
            }
            let life = match expires.as_deref() {
                None => Some(LIFE),
                Some("never") => None,
                Some(text) => Some(
                    serde_json::from_value(serde_json::Value::from(text))
                        .map_err(|error| Failure::input(format!("--expires: {error}, or \"never\"")))?,
                ),
            };
            let expires_at = life.map(|life: Millis| wall_clock() + life);
            let (record, secret) = file.create(&name, scope, expires_at).map_err(failed)?;
            if *json {
                print::json(&Made { secret: &secret, record: &record })?;
            } else {
                print::line(&secret)?;
                eprintln!("{}; it is shown this once, keep it well", line(&record));
            }
        }
        Token::List { json } => {
            let records = file.read().map_err(failed)?;
            if *json {
                print::json(&records)?;
            } else {
                for record in &records {
                    print::line(&line(record))?;
                }
            }
        }
        Token::Revoke { id } => {
            let mut records = file.read().map_err(failed)?;
            let before = records.len();
            records.retain(|record| record.id != *id);
            if records.len() == before {
                return Err(Failure::input(format!(
                    "there is no token {id:?}; `knightwatch token list` shows them"
                )));
            }
            file.write(&records).map_err(failed)?;
            print::line(&format!("{id} is worth nothing any more"))?;
        }
    }
    print::DONE
}

fn line(record: &TokenRecord) -> String {
    let scopes: Vec<_> = record.scopes.iter().map(|scope| scope.as_str()).collect();
    let until = match record.expires_at {
        None => "for ever".to_owned(),
        Some(end) if end <= wall_clock() => format!("EXPIRED {}", print::moment(end)),
        Some(end) => format!("until {}", print::moment(end)),
    };
    format!("{}  {}  {}  {until}", record.id, record.name, scopes.join(","))
}

/// `knightwatch backup`.
pub(super) fn backup(to: &Path, real: bool, config: &Config) -> Outcome {
    let home = Home::of(config, real || config.telemetry.source == SourceKind::Push)?;
    let report = store::backup(&home.journal, to).map_err(Failure::store)?;
    print::line(&format!("{}\n{report}", to.display()))?;
    print::DONE
}

/// `knightwatch restore`.
pub(super) fn restore(from: &Path, real: bool, config: &Config) -> Outcome {
    let home = Home::of(config, real || config.telemetry.source == SourceKind::Push)?;
    let aside = store::restore(from, &home.journal, wall_clock()).map_err(Failure::store)?;
    print::line(&format!("{} is restored from {}", home.journal.display(), from.display()))?;
    if let Some(aside) = aside {
        print::line(&format!("what was there is kept as {}", aside.display()))?;
    }
    print::DONE
}
