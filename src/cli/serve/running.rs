//! What may be changed while the backend runs: tokens, names, certificate, definitions, webhooks.
//!
//! At a hang-up signal the configuration is reloaded with everything that it names, and all of that is taken, or none of it
//! where anything is wrong. What would need another start is named. The file of tokens is looked at by itself too.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    runtime::Handle,
    task::{JoinHandle, block_in_place},
};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::listening;
use crate::{
    cli::Failure,
    config::{Config, Webhook},
    server::{Hook, ServerState, Tls, TokenFile, TokenRecord},
};
use knightwatch_connect::{FlagFiles, FlagWatch, Stamp};
use knightwatch_core::flag::definition::Definitions;

/// How often the file of tokens is looked at: a revoked one is worth nothing after so long.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Options that a running backend reloads, and those that it has nothing to do with.
const TAKEN: [&str; 7] = [
    "server.hosts",
    "server.open_loopback",
    "server.flags",
    "server.tls_cert",
    "server.tls_key",
    "webhooks",
    "screen",
];

/// Everything that may be changed, read and checked, and not yet in force.
pub(super) struct Changeable {
    pub(super) tokens: Vec<TokenRecord>,
    pub(super) seen: Stamp,
    pub(super) certificate: Option<Arc<ServerConfig>>,
    pub(super) files: FlagFiles,
    pub(super) definitions: Definitions,
    pub(super) hooks: Vec<Hook>,
    pub(super) hosts: BTreeSet<String>,
    pub(super) open_loopback: bool,
}

impl Changeable {
    /// As `config` and the files that it names say now.
    pub(super) fn read(config: &Config, tokens: &TokenFile) -> Result<Self, Failure> {
        // Before reading: what changes meanwhile is seen at the next look.
        let seen = Stamp::of(tokens.path());
        let wrong = |error| Failure::input(format!("{}: {error}", tokens.path().display()));
        let tokens = tokens.read().map_err(wrong)?;
        let (files, definitions) = FlagFiles::open(config.server.flags.clone()).map_err(Failure::input)?;
        Ok(Self {
            tokens,
            seen,
            certificate: listening::certificate(config)?,
            files,
            definitions,
            hooks: config.webhooks.iter().map(hook).collect::<Result<_, _>>()?,
            hosts: config.server.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            open_loopback: config.server.open_loopback,
        })
    }
}

/// A webhook, with its secret.
fn hook(hook: &Webhook) -> Result<Hook, Failure> {
    let wrong = |error: String| Failure::input(format!("webhooks: {:?}: {error}", hook.name));
    let secret = hook.secret().map_err(|error| wrong(format!("{}: {error}", hook.secret_place())))?;
    Ok(Hook {
        name: hook.name.clone(),
        url: hook.url.parse().map_err(|error| wrong(format!("url: {error}")))?,
        format: hook.format,
        kinds: hook.kinds.clone(),
        secret,
        patience: Duration::from_millis(hook.give_up_after.0),
    })
}

/// Reloads the definitions whenever one of `files` changes.
fn watch(files: FlagFiles, state: &Arc<ServerState>, runtime: Handle) -> Result<FlagWatch, Failure> {
    let state = Arc::clone(state);
    let watch = files.watch(move |read| match read {
        Ok(definitions) => {
            tracing::info!("{} flag definitions were reloaded", definitions.len());
            runtime.block_on(state.define(definitions));
        }
        Err(error) => runtime.block_on(state.keep_definitions(&error.to_string())),
    });
    watch.map_err(|error| Failure::refused(format!("flag definitions cannot be watched: {error}")))
}

/// What tells webhooks.
struct Tellers {
    ending: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Tellers {
    fn start(hooks: &[Hook], state: &Arc<ServerState>, journal: &Path) -> Result<Self, Failure> {
        let ending = CancellationToken::new();
        let tasks = state.tell(hooks.to_vec(), journal, &ending);
        let tasks = tasks.map_err(|error| Failure::refused(format!("webhooks: {error}")))?;
        Ok(Self { ending, tasks })
    }

    async fn end(&mut self) {
        self.ending.cancel();
        for task in self.tasks.drain(..) {
            // One that has panicked has ended too, and its panic is logged.
            let _ = task.await;
        }
    }
}

/// How the configuration is reloaded.
pub(super) type Reread = Box<dyn Fn() -> Result<Config, Failure> + Send>;

/// What is in force and may be changed.
pub(super) struct Running {
    /// What the process was started with.
    pub(super) started: Config,
    pub(super) reread: Reread,
    pub(super) tokens: TokenFile,
    pub(super) journal: PathBuf,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) state: Arc<ServerState>,
}

/// The same, with what runs beside.
pub(super) struct Beside {
    running: Running,
    seen: Stamp,
    hooks: Vec<Hook>,
    tellers: Tellers,
    watch: Option<FlagWatch>,
}

impl Running {
    /// Begins to watch files and to tell webhooks; on the runtime that it is called on.
    pub(super) fn begin(self, seen: Stamp, files: FlagFiles, hooks: Vec<Hook>) -> Result<Beside, Failure> {
        let watch = Some(watch(files, &self.state, Handle::current())?);
        let tellers = Tellers::start(&hooks, &self.state, &self.journal)?;
        Ok(Beside { running: self, seen, hooks, tellers, watch })
    }
}

impl Beside {
    /// Takes the tokens as they are in their file, where that has changed.
    pub(super) fn look(&mut self) {
        let Running { tokens, state, .. } = &self.running;
        let now = Stamp::of(tokens.path());
        if now == self.seen {
            return;
        }
        self.seen = now;
        match tokens.read() {
            Ok(records) => {
                tracing::info!("{} tokens were reloaded", records.len());
                state.set_tokens(records);
            }
            Err(error) => {
                tracing::error!("{}: {error}; the tokens were not reloaded", tokens.path().display());
            }
        }
    }

    /// Reloads the configuration, and reports the result.
    pub(super) async fn reload(&mut self) {
        let read = block_in_place(|| {
            let config = (self.running.reread)()?;
            Ok((Changeable::read(&config, &self.running.tokens)?, config))
        });
        let taken = match read {
            Ok((fresh, config)) => self.take(fresh).await.map(|()| config),
            Err(failure) => Err(failure),
        };
        match taken {
            Ok(config) => {
                for key in changed(&self.running.started, &config, self.running.tls.is_some()) {
                    tracing::warn!("{key} has changed: restart knightwatch to apply it");
                }
                tracing::info!("the configuration was reloaded");
            }
            Err(Failure { text, .. }) => {
                tracing::error!("the configuration was not reloaded: {text}");
            }
        }
    }

    /// Puts what was read in force. What may fail comes first.
    async fn take(&mut self, fresh: Changeable) -> Result<(), Failure> {
        let Running { state, journal, tls, .. } = &self.running;
        let Changeable { tokens, seen, certificate, files, definitions, hooks, hosts, open_loopback } = fresh;
        if hooks != self.hooks {
            // Two who tell the same hook would tell it twice.
            self.tellers.end().await;
            match Tellers::start(&hooks, state, journal) {
                Ok(tellers) => self.tellers = tellers,
                Err(failure) => {
                    self.tellers = Tellers::start(&self.hooks, state, journal).inspect_err(|_| {
                        tracing::error!("webhooks are off until the next reload or start");
                    })?;
                    return Err(failure);
                }
            }
            self.hooks = hooks;
        }
        // Dropping it waits for what it is doing: older definitions must not come after newer ones.
        block_in_place(|| self.watch = None);
        let watched = watch(files, state, Handle::current());
        match watched {
            Ok(watch) => self.watch = Some(watch),
            // They are taken all the same, and their changes at the next signal.
            Err(failure) => tracing::error!("{}", failure.text),
        }
        self.seen = seen;
        state.set_tokens(tokens);
        state.set_request_guard(hosts, open_loopback);
        if let (Some(tls), Some(certificate)) = (tls, certificate) {
            tls.replace(certificate);
        }
        // Making thousands of flags takes a while, and signals are waited for.
        let state = Arc::clone(state);
        tokio::spawn(async move { state.define(definitions).await });
        Ok(())
    }

    /// Nothing is watched or told any more.
    pub(super) async fn end(mut self) {
        block_in_place(|| self.watch = None);
        self.tellers.end().await;
    }
}

/// The options that differ and take another start, by their paths.
fn changed(started: &Config, now: &Config, tls: bool) -> Vec<String> {
    // Every configuration can be written as JSON: it was read from text.
    let value = |config| serde_json::to_value(config).unwrap_or_default();
    let mut paths = Vec::new();
    differing(&value(started), &value(now), "", &mut paths);
    let taken = |path: &str| TAKEN.iter().any(|key| path == *key || path.starts_with(&format!("{key}.")));
    paths.retain(|path| !taken(path));
    if now.server.tls_cert.as_os_str().is_empty() == tls {
        paths.push("server.tls_cert".to_owned());
    }
    paths
}

fn differing(one: &Value, other: &Value, path: &str, paths: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differing(value, other.get(key).unwrap_or(&Value::Null), &path, paths);
            }
        }
        _ if one == other => {}
        _ => paths.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_another_start_is_named_by_its_path_and_nothing_else_is() {
        let started = Config::default();
        let text = "environment = \"other\"\n[server]\nhosts = [\"a\"]\nopen_loopback = false\nsocket = \"/x\"\n\
                    [screen]\nfps = 9\n[control]\ninterval = \"20 s\"\n[control.shield]\ndwell = \"90 s\"\n";
        let now = Config::parse(text, "test").unwrap();
        let expected = ["control.interval", "control.shield.dwell", "environment", "server.socket"];
        let mut found = changed(&started, &now, false);
        found.sort();
        assert_eq!(found, expected);
        assert!(changed(&started, &started, false).is_empty());
        assert_eq!(changed(&started, &started, true), ["server.tls_cert"], "TLS cannot be laid off");
    }
}
