//! Who may what: bearer tokens with scopes, the unix socket's peers, and what is open on loopback.
//!
//! A token is 256 random bits, kept as its SHA-256 and compared in constant time; missing, wrong and expired look the same
//! from outside. The program's own commands on this machine find the 0600 token in the state folder by themselves. Without
//! any of these, loopback may read and evaluate, and nobody else may do anything.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Peer, Problem, state::ServerState};
use knightwatch_core::{control::Scope, flag::clean_line, telemetry::Millis};
use knightwatch_engine::wall_clock;

/// What whoever reaches loopback may without a token, unless `server.open_loopback` is false.
pub(super) const OPEN_TO_LOOPBACK: [Scope; 2] = [Scope::Viewer, Scope::Eval];

/// A token as it is kept: never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// A short name to revoke it by.
    pub id: String,
    /// Whose it is, as the journal names them.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal.
    pub hash: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// Real time of its making.
    pub created_at: Millis,
    /// Real time from which on it is worth nothing; `None` for never.
    pub expires_at: Option<Millis>,
}

/// The file of tokens.
#[derive(Clone, Debug)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// The one in the state folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join("tokens.json") }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All tokens; none where there is no file.
    ///
    /// # Errors
    /// When it cannot be read, or is not what this program writes.
    pub fn read(&self) -> io::Result<Vec<TokenRecord>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("not a list of tokens: {error}"))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the list, whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it; the former list stands then.
    pub fn write(&self, records: &[TokenRecord]) -> io::Result<()> {
        let fresh = self.path.with_extension("json.new");
        let text = serde_json::to_string_pretty(records)?;
        write_secret(&fresh, &text)?;
        fs::rename(&fresh, &self.path)
    }

    /// Makes a token and returns its secret, which is kept nowhere.
    ///
    /// # Errors
    /// When the list cannot be read or written, or there is no randomness.
    pub fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        expires_at: Option<Millis>,
    ) -> io::Result<(TokenRecord, String)> {
        let mut records = self.read()?;
        let secret = format!("kw_{}", random_hex()?);
        let hash = hash_of(&secret);
        let record = TokenRecord {
            id: hash[..8].to_owned(),
            name: clean_line(name),
            hash,
            scopes: scopes.to_vec(),
            created_at: wall_clock(),
            expires_at,
        };
        records.push(record.clone());
        self.write(&records)?;
        Ok((record, secret))
    }
}

/// The secret that the program's own commands on this machine use: made where there is none, readable by its owner only.
///
/// # Errors
/// When it can be neither read nor made.
pub fn local_token(folder: &Path) -> io::Result<String> {
    let path = folder.join("local-token");
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().len() >= 64 => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = format!("kw_{}", random_hex()?);
    fs::create_dir_all(folder)?;
    let fresh = folder.join("local-token.new");
    write_secret(&fresh, &secret)?;
    fs::rename(&fresh, &path)?;
    Ok(secret)
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    // What an interrupted run left must not keep its mode.
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(const_hex::encode(bytes))
}

fn hash_of(secret: &str) -> String {
    const_hex::encode(Sha256::digest(secret.as_bytes()))
}

/// Somebody who is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who they authenticated as.
    pub name: String,
    /// Which person that is, where several ways in are one person's: whoever owns the backend has its socket and its token.
    pub identity: String,
    /// What they may.
    pub scopes: Vec<Scope>,
}

impl Principal {
    fn new(name: &str, scopes: Vec<Scope>) -> Self {
        Self { name: name.to_owned(), identity: name.to_owned(), scopes }
    }

    /// Whether it is a program that decides by itself, and not a person: its token says so.
    pub(super) fn is_program(&self) -> bool {
        self.scopes.contains(&Scope::Agent)
    }

    fn may(&self, wanted: Scope) -> bool {
        self.scopes.iter().any(|scope| scope.allows(wanted))
    }
}

/// Who may what.
pub struct Access {
    tokens: ArcSwap<Vec<TokenRecord>>,
    /// The hash of the token in the state folder, and whose it is.
    local: Option<(String, String)>,
    /// Whether whoever reaches loopback may read and evaluate.
    open: AtomicBool,
}

impl Access {
    /// From the tokens there are, the secret of the state folder with its owner's name, and whether loopback is open.
    #[must_use]
    pub fn new(tokens: Vec<TokenRecord>, local: Option<(&str, &str)>, open: bool) -> Self {
        let local = local.map(|(secret, name)| (hash_of(secret), clean_line(name)));
        Self { tokens: ArcSwap::from_pointee(tokens), local, open: AtomicBool::new(open) }
    }

    /// Takes a new list of tokens.
    pub fn set_tokens(&self, tokens: Vec<TokenRecord>) {
        self.tokens.store(Arc::new(tokens));
    }

    /// Opens or closes loopback to whoever has no token.
    pub fn set_open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Whom a secret belongs to. Every token is compared, in constant time each.
    fn whose(&self, secret: &str) -> Option<Principal> {
        let hash = hash_of(secret);
        let same = |other: &str| bool::from(hash.as_bytes().ct_eq(other.as_bytes()));
        let now = wall_clock();
        let mut found = None;
        for token in self.tokens.load().iter() {
            if same(&token.hash) && token.expires_at.is_none_or(|end| now < end) {
                found = Some(Principal::new(&token.name, token.scopes.clone()));
            }
        }
        if let Some((local, name)) = &self.local
            && same(local)
        {
            found = Some(Principal::new(name, vec![Scope::Admin]));
        }
        found
    }

    /// What lets a change stream in that cannot send a token: it opens nothing else, and stays the same across restarts.
    pub(super) fn ticket(&self) -> Option<String> {
        let (hash, _) = self.local.as_ref()?;
        Some(hash_of(&format!("change stream of {hash}"))[..32].to_owned())
    }

    /// Whether this is that ticket.
    pub(super) fn is_ticket(&self, shown: &str) -> bool {
        self.ticket().is_some_and(|ticket| bool::from(ticket.as_bytes().ct_eq(shown.as_bytes())))
    }

    fn identify(&self, parts: &Parts) -> Result<Principal, Problem> {
        if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
            let secret = value.to_str().ok().and_then(|value| {
                let (scheme, secret) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
            });
            return secret.and_then(|secret| self.whose(secret)).ok_or_else(Problem::unauthorized);
        }
        match parts.extensions.get::<Peer>() {
            Some(Peer::Unix { user, owner }) => {
                // The socket's mode lets in its owner and its group: the owner is the backend's own account.
                let scopes = vec![if *owner { Scope::Admin } else { Scope::Operator }];
                let principal = Principal::new(user, scopes);
                let own = self.local.as_ref().filter(|_| *owner).map(|(_, name)| name.clone());
                Ok(Principal { identity: own.unwrap_or_else(|| user.clone()), ..principal })
            }
            Some(Peer::Tcp(address)) if self.is_open() && address.ip().to_canonical().is_loopback() => {
                Ok(Principal::new("anonymous", OPEN_TO_LOOPBACK.to_vec()))
            }
            _ => Err(Problem::unauthorized()),
        }
    }
}

/// Who asks, once it is known that they may.
pub(super) fn allowed(parts: &Parts, state: &ServerState, wanted: Scope) -> Result<Principal, Problem> {
    let principal = state.access.identify(parts)?;
    if principal.may(wanted) {
        return Ok(principal);
    }
    // Whoever has not said who they are may still do so.
    if principal.name == "anonymous" {
        return Err(Problem::unauthorized());
    }
    Err(Problem::forbidden(&format!(
        "{} may not do this: it needs the scope {}",
        principal.name,
        wanted.as_str()
    )))
}

macro_rules! extractors {
    ($($(#[$doc:meta])* $name:ident: $scope:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name(#[allow(dead_code, reason = "not everybody asks who it is")] pub(super) Principal);

        impl FromRequestParts<Arc<ServerState>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &Arc<ServerState>) -> Result<Self, Problem> {
                allowed(parts, state, Scope::$scope).map(Self)
            }
        }
    )* };
}

extractors! {
    /// Somebody who may read.
    Viewer: Viewer;
    /// Somebody who may steer.
    Operator: Operator;
    /// Somebody who may evaluate flags.
    Eval: Eval;
    /// Somebody who may send telemetry and deployments.
    Ingest: Ingest;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(secret: &str, expires_at: Option<Millis>) -> TokenRecord {
        TokenRecord {
            id: "t".to_owned(),
            name: "deploy-bot".to_owned(),
            hash: hash_of(secret),
            scopes: vec![Scope::Ingest],
            created_at: Millis(0),
            expires_at,
        }
    }

    #[test]
    fn a_token_is_worth_what_its_scopes_say_until_it_expires() {
        let tokens = vec![record("one", None), record("two", Some(Millis(1)))];
        let access = Access::new(tokens, Some(("own", "ana")), true);
        assert_eq!(access.whose("one").unwrap().name, "deploy-bot");
        assert!(access.whose("two").is_none(), "expired");
        assert!(access.whose("three").is_none() && access.whose("").is_none());
        assert_eq!(access.whose("own").unwrap().name, "ana");
        access.set_tokens(Vec::new());
        assert!(access.whose("one").is_none(), "revoked");
    }

    #[test]
    fn scopes_reach_as_far_as_documented() {
        assert!(Scope::ALL.iter().all(|wanted| Scope::Admin.allows(*wanted)));
        assert!(Scope::Operator.allows(Scope::Viewer) && !Scope::Operator.allows(Scope::Admin));
        assert!(!Scope::Viewer.allows(Scope::Operator) && !Scope::Ingest.allows(Scope::Viewer));
        assert!(!Scope::Agent.allows(Scope::Admin) && !Scope::Eval.allows(Scope::Viewer));
    }

    #[test]
    fn the_file_keeps_no_secret_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::in_folder(folder.path());
        assert!(file.read().unwrap().is_empty());
        let (made, secret) = file.create("ci\u{1b}[2J", &[Scope::Viewer], None).unwrap();
        assert_eq!(file.read().unwrap(), std::slice::from_ref(&made));
        assert_eq!(made.name, "ci[2J");
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(&secret[3..]));
        let bits = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file.path()).unwrap().permissions());
        assert_eq!(bits & 0o777, 0o600);
        let local = local_token(folder.path()).unwrap();
        assert_eq!(local_token(folder.path()).unwrap(), local, "made once");
        fs::write(file.path(), "{").unwrap();
        assert!(file.read().is_err() && file.create("x", &[], None).is_err(), "nothing is overwritten");
    }
}
