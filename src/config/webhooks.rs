//! Webhooks: who is told what is journalled, how, and where the secret is that it is signed with.

use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf};

use serde::{Deserialize, Serialize};

use knightwatch_connect::HookFormat;
use knightwatch_core::{control::Event, telemetry::Millis};

/// Shortest secret, in bytes.
const MIN_SECRET: usize = 16;

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// A name of its own: where it has got to is remembered by it.
    pub name: String,
    /// Where it is told: `https`, or `http`.
    pub url: String,
    /// How.
    #[serde(default)]
    pub format: HookFormat,
    /// Of which kinds of entries; of all where empty.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// The file that holds the secret, for its owner only. Not signed where there is neither this nor `secret_env`.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// The environment variable that holds the secret.
    #[serde(default)]
    pub secret_env: String,
    /// For how long it may take nothing until everything that waits for it is given up, and only the newest is tried.
    #[serde(default = "give_up_after")]
    pub give_up_after: Millis,
}

/// What is older than a day is no news any more.
fn give_up_after() -> Millis {
    Millis::from_secs(24 * 3_600)
}

/// What types alone cannot say of all of them.
pub(super) fn check(hooks: &[Webhook]) -> Result<(), (&'static str, String)> {
    for (place, hook) in hooks.iter().enumerate() {
        let wrong = |text: String| Err(("webhooks", format!("{:?}: {text}", hook.name)));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if hook.name.is_empty() || !hook.name.chars().all(plain) {
            return wrong("expected a name of ASCII letters, digits, '-', '_' and '.'".to_owned());
        }
        if hooks[..place].iter().any(|other| other.name == hook.name) {
            return wrong("expected a name of its own".to_owned());
        }
        if !(hook.url.starts_with("https://") || hook.url.starts_with("http://")) {
            return wrong("expected a url that begins with https:// or http://".to_owned());
        }
        if let Some(other) = hook.kinds.iter().find(|kind| !Event::KINDS.contains(&kind.as_str())) {
            return wrong(format!(
                "there is no kind {other:?}; expected some of {}",
                Event::KINDS.join(", ")
            ));
        }
        if hook.give_up_after == Millis::ZERO {
            return wrong("give_up_after: expected more than 0 s".to_owned());
        }
        if !hook.secret_env.is_empty() && !hook.secret_file.as_os_str().is_empty() {
            return wrong("expected secret_file or secret_env, not both".to_owned());
        }
    }
    Ok(())
}

impl Webhook {
    /// The secret, where one is named.
    ///
    /// # Errors
    /// When it is not there, too short, or in a file that others can read.
    pub fn secret(&self) -> io::Result<Option<Vec<u8>>> {
        let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let secret = if !self.secret_env.is_empty() {
            let value = std::env::var(&self.secret_env);
            value.map_err(|error| wrong(format!("the variable {}: {error}", self.secret_env)))?
        } else if !self.secret_file.as_os_str().is_empty() {
            let mode = fs::metadata(&self.secret_file)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(wrong(format!("expected the mode 0600, found {mode:04o}")));
            }
            fs::read_to_string(&self.secret_file)?
        } else {
            return Ok(None);
        };
        let secret = secret.trim().as_bytes().to_vec();
        if secret.len() < MIN_SECRET {
            return Err(wrong(format!("expected a secret of at least {MIN_SECRET} bytes")));
        }
        Ok(Some(secret))
    }

    /// Where the secret is, for messages.
    #[must_use]
    pub fn secret_place(&self) -> String {
        if self.secret_env.is_empty() {
            self.secret_file.display().to_string()
        } else {
            format!("${}", self.secret_env)
        }
    }
}
