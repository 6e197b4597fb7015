//! How the command line finds a backend and is let in.

use std::{
    env, fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Failure, UNREACHABLE, control_room::operator};
use crate::config::Config;
use knightwatch_engine::backend::{Client, OrderError, RemoteError, Target};

/// Holds a token, where no file does.
const TOKEN: &str = "KNIGHTWATCH_TOKEN";

/// Which backend, and how to be let in.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConnectArgs {
    /// A backend: http://HOST:PORT, https://HOST:PORT or unix:PATH
    #[arg(long, global = true, value_name = "URL", env = "KNIGHTWATCH_URL")]
    pub(super) connect: Option<String>,

    /// A file that holds the bearer token.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "A file that holds the bearer token [default: KNIGHTWATCH_TOKEN; this machine's own backend lets its owner in]"
    )]
    token_file: Option<PathBuf>,

    /// Trust the certificates in this PEM file too
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl ConnectArgs {
    /// The backend that was named; `None` where none was.
    pub(super) fn named(&self, config: &Config) -> Result<Option<Target>, Failure> {
        self.connect.as_deref().filter(|url| !url.is_empty()).map(|url| self.target(url, config)).transpose()
    }

    /// The backend that was named, or else the one on this machine, where its socket is; `None` where there is neither.
    pub(super) fn at_hand(&self, config: &Config) -> Result<Option<AtHand>, Failure> {
        if let Some(target) = self.named(config)? {
            return Ok(Some(AtHand { target, is_found: false }));
        }
        let socket = config.socket().map_err(Failure::input)?;
        if !socket.exists() {
            return Ok(None);
        }
        let target = self.target(&format!("unix:{}", socket.display()), config)?;
        Ok(Some(AtHand { target, is_found: true }))
    }

    /// The backend that was named, or else the one on this machine.
    pub(super) fn found(&self, config: &Config) -> Result<Target, Failure> {
        if let Some(AtHand { target, .. }) = self.at_hand(config)? {
            return Ok(target);
        }
        let address = config.server.listen.first().map_or("127.0.0.1:8000".to_owned(), ToString::to_string);
        self.target(&format!("http://{address}"), config)
    }

    fn target(&self, url: &str, config: &Config) -> Result<Target, Failure> {
        let target = Target::parse(url, &claims()).map_err(|error| remote(&error))?;
        let target = target.with_authority(self.ca.clone());
        if let Some(token) = self.token()? {
            return Ok(target.with_token(Some(token)));
        }
        if !target.is_local() {
            return Ok(target);
        }
        if target.is_proven() {
            return Ok(target.with_token(own_token(config)?));
        }
        // Anybody on this machine may listen on a port, and take it over from a backend that has ended: the token of the
        // state folder goes to none. Its socket is its owner's, and lets the owner in without a token.
        let socket = config.socket().map_err(Failure::input)?;
        if !socket.exists() {
            return Ok(target.without_own_token());
        }
        let by_socket = target.clone().by_socket(socket);
        let there = Client::new(&by_socket).map_err(|error| remote(&error))?;
        Ok(if target.is_among(&there.listens_at()) { by_socket } else { target.without_own_token() })
    }

    /// The token that a person has named.
    fn token(&self) -> Result<Option<String>, Failure> {
        if let Some(path) = &self.token_file {
            let token = read(path).map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
            return Ok(Some(token));
        }
        Ok(env::var(TOKEN).ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()))
    }
}

/// A backend that a command which may also do without one is to ask.
pub(super) struct AtHand {
    pub(super) target: Target,
    /// Whether nobody named it, and its socket is all that is known of it.
    pub(super) is_found: bool,
}

impl AtHand {
    /// Why it was not had. A socket that nobody answers on is left of a backend that was killed: what is told of another
    /// world is no answer, so a person says what is wanted `instead`.
    pub(super) fn not_had(&self, failure: Failure, instead: &str) -> Failure {
        match failure {
            Failure { status: UNREACHABLE, text } if self.is_found => {
                Failure { status: UNREACHABLE, text: format!("{text}\n{instead}") }
            }
            other => other,
        }
    }
}

/// The token that the backend on this machine leaves for its owner.
fn own_token(config: &Config) -> Result<Option<String>, Failure> {
    let path = config.state_folder().map_err(Failure::input)?.join("local-token");
    match read(&path) {
        Ok(token) => Ok(Some(token)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(Failure::input(format!("{}: {error}", path.display()))),
    }
}

fn read(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Who sits here and where they come from, as they say themselves.
fn claims() -> String {
    let from = env::var("SSH_CONNECTION").ok().and_then(|line| line.split(' ').next().map(str::to_owned));
    match from {
        Some(from) => format!("{} from {from}", operator()),
        None => operator(),
    }
}

/// What a backend that is not had comes to.
pub(super) fn remote(error: &RemoteError) -> Failure {
    match error {
        RemoteError::Address { .. } | RemoteError::File { .. } => Failure::input(error),
        RemoteError::Refused { .. } | RemoteError::Thread(_) => Failure::refused(error),
        RemoteError::Unreachable { .. } => Failure { status: UNREACHABLE, text: error.to_string() },
    }
}

/// What an order that was not done comes to.
pub(super) fn not_done(error: &OrderError) -> Failure {
    match error {
        OrderError::NotSent(_) | OrderError::Unknown(_) => {
            Failure { status: UNREACHABLE, text: error.to_string() }
        }
        OrderError::Refused(_)
        | OrderError::NotPermitted(_)
        | OrderError::NotAccepted(_)
        | OrderError::NotDurable(_)
        | OrderError::ReadOnly => Failure::refused(error),
    }
}
