//! `knightwatch token`, `backup` and `restore`: what belongs to the backend's state folder and needs no running backend.

use std::{collections::BTreeMap, path::Path};

use clap::{
    Subcommand,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use serde::Serialize;

use super::{Failure, Outcome, USAGE, print, serve::Home};
use crate::{
    config::{Config, SourceKind},
    server::{TokenFile, TokenRecord},
};
use knightwatch_core::{
    control::{Scope, State},
    flag::{FlagKey, Rollout},
    telemetry::Millis,
};
use knightwatch_engine::wall_clock;
use knightwatch_store as store;
use knightwatch_store::{Journal, StoreError};

/// The longest that a token lives where nothing is said: 90 days.
const DEFAULT_LIFETIME: Millis = Millis::from_secs(90 * 24 * 3_600);

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Token {
    /// Makes a token and prints its secret, which is kept nowhere
    Create {
        /// Whose it is, as the journal will name them
        name: String,
        /// What it allows; may be given again
        #[arg(long, value_parser = scopes(), required = true)]
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
    /// Revokes a token; a running backend applies it within a second
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

/// The scopes by name, with what each one allows.
fn scopes() -> impl TypedValueParser<Value = Scope> {
    let names = Scope::ALL.map(|scope| PossibleValue::new(scope.as_str()).help(scope.about()));
    PossibleValuesParser::new(names)
        .try_map(|name| Scope::ALL.into_iter().find(|scope| scope.as_str() == name).ok_or("expected a scope"))
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
            let name = knightwatch_core::flag::clean_line(name);
            if name.is_empty() {
                return Err(Failure::input("expected a name, found nothing"));
            }
            let lifetime = match expires.as_deref() {
                None => Some(DEFAULT_LIFETIME),
                Some("never") => None,
                Some(text) => Some(
                    serde_json::from_value(serde_json::Value::from(text))
                        .map_err(|error| Failure::input(format!("--expires: {error}, or \"never\"")))?,
                ),
            };
            let expires_at = lifetime.map(|lifetime: Millis| wall_clock() + lifetime);
            let (record, secret) = file.create(&name, scope, expires_at).map_err(failed)?;
            if *json {
                print::json(&Made { secret: &secret, record: &record })?;
            } else {
                print::line(&secret)?;
                eprintln!("{}; store it now: it is not shown again", line(&record));
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
            print::line(&format!("{id} is revoked"))?;
        }
    }
    print::DONE
}

fn line(record: &TokenRecord) -> String {
    let scopes: Vec<_> = record.scopes.iter().map(|scope| scope.as_str()).collect();
    let until = match record.expires_at {
        None => "no expiry".to_owned(),
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
pub(super) fn restore(from: &Path, real: bool, yes: bool, config: &Config) -> Outcome {
    let real = real || config.telemetry.source == SourceKind::Push;
    let home = Home::of(config, real)?;
    let backup = Journal::open_read_only(from).map_err(Failure::store)?;
    if backup.meta().simulated == real {
        let (found, place, hint) = if real {
            ("the simulator", "a real world (--real)", "omit --real")
        } else {
            ("a real world", "the simulator", "`restore --real` is for it")
        };
        return Err(Failure::input(format!(
            "{}: a journal of {found}, and this is the place of the journal of {place}: {hint}; nothing was done",
            from.display()
        )));
    }
    let raised = raised(&backup, &home.journal)?;
    if !raised.is_empty() && !yes {
        let text = format!(
            "restoring raises these flags as soon as the backend starts:\n{}\nthat needs --yes; nothing was done",
            raised.join("\n")
        );
        return Err(Failure { status: USAGE, text });
    }
    let aside = store::restore(from, &home.journal, wall_clock()).map_err(Failure::store)?;
    print::line(&format!("{} is restored from {}", home.journal.display(), from.display()))?;
    for line in raised {
        print::line(&line)?;
    }
    if let Some(aside) = aside {
        print::line(&format!("what was there is kept as {}", aside.display()))?;
    }
    print::DONE
}

/// The flags that `backup` has higher than the journal at `path`, a line each.
fn raised(backup: &Journal, path: &Path) -> Result<Vec<String>, Failure> {
    // What cannot be read now is most likely why a backup is wanted: then nothing is known to be on.
    let now = Journal::open_read_only(path).and_then(|journal| rollouts(&journal));
    let then = rollouts(backup).map_err(Failure::store)?;
    let line = |(key, to): (&FlagKey, &Rollout)| {
        let from = match &now {
            Ok(now) => Some(now.get(key).copied().unwrap_or(Rollout::ZERO)),
            Err(_) => None,
        };
        let said = from.map_or("what is not known".to_owned(), |from| from.to_string());
        (*to > from.unwrap_or(Rollout::ZERO)).then(|| format!("  {key}: from {said} to {to}"))
    };
    Ok(then.iter().filter_map(line).collect())
}

/// What each flag is at; 0 % for all while kill-all is in force.
fn rollouts(journal: &Journal) -> Result<BTreeMap<FlagKey, Rollout>, StoreError> {
    let mut state = State::default();
    for entry in journal.load_all() {
        state.apply(&entry?);
    }
    let latched = state.latch.is_some();
    let each = state.alive().map(|flag| {
        let rollout = if latched { Rollout::ZERO } else { flag.rollout };
        (flag.spec.key.clone(), rollout)
    });
    Ok(each.collect())
}
