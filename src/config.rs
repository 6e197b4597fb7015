//! The configuration: defaults, under a file, under the environment, under the command line.
//!
//! `config/default.toml` lists every option with its default; it is parsed by a test, so it cannot drift.

mod telemetry;
mod webhooks;

use std::{
    env, fs,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    telemetry::{SourceKind, Telemetry},
    webhooks::Webhook,
};
use knightwatch_agent::{HarmWeight, PolicyName};
use knightwatch_core::{control::ControlConfig, telemetry::Millis};

/// The default configuration, with comments.
pub const DEFAULT: &str = include_str!("../config/default.toml");

/// Largest configuration file that is read.
const MAX_BYTES: u64 = 1 << 20;

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The environment's name; re-arming asks for it.
    pub environment: String,
    /// Where sessions and logs are kept; `$XDG_STATE_HOME/knightwatch` where empty.
    pub state: PathBuf,
    /// Who is told what the backend journals.
    pub webhooks: Vec<Webhook>,
    /// How the screen looks.
    pub screen: Screen,
    /// The learned policy.
    pub agent: Agent,
    /// The backend, `knightwatch serve`.
    pub server: Server,
    /// Where the backend's telemetry comes from.
    pub telemetry: Telemetry,
    /// How flags are steered.
    pub control: ControlConfig,
}

/// The backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Addresses to listen on. Any but those of loopback need TLS.
    pub listen: Vec<SocketAddr>,
    /// The unix socket; `knightwatch.sock` in the state folder where empty.
    pub socket: PathBuf,
    /// Names under which the backend may be called, beside those of loopback; without a port.
    pub hosts: Vec<String>,
    /// Origins whose pages may evaluate flags in a browser, as it writes them: `https://shop.example`.
    pub origins: Vec<String>,
    /// Certificate chain and private key in PEM; both or neither.
    pub tls_cert: PathBuf,
    /// See `tls_cert`.
    pub tls_key: PathBuf,
    /// Whether whoever reaches loopback may read and evaluate without a token.
    pub open_loopback: bool,
    /// Files of flag definitions in flagd's format, watched for changes.
    pub flags: Vec<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8000))],
            socket: PathBuf::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            tls_cert: PathBuf::new(),
            tls_key: PathBuf::new(),
            open_loopback: true,
            flags: Vec::new(),
        }
    }
}

impl Server {
    /// What types alone cannot say.
    ///
    /// # Errors
    /// The key that is wrong, with what was expected.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.listen.is_empty() {
            return Err((
                "server.listen",
                "expected at least one address, such as \"127.0.0.1:8000\"".to_owned(),
            ));
        }
        if let Some(wrong) = self.origins.iter().find(|origin| !is_origin(origin)) {
            return Err((
                "server.origins",
                format!(
                    "expected scheme, host and port as a browser writes them, such as \"https://shop.example\" or \"http://localhost:3000\", found {wrong:?}"
                ),
            ));
        }
        if self.tls_cert.as_os_str().is_empty() != self.tls_key.as_os_str().is_empty() {
            return Err((
                "server.tls_cert",
                "expected server.tls_cert and server.tls_key, or neither".to_owned(),
            ));
        }
        if let Some(open) = self.listen.iter().find(|address| !address.ip().to_canonical().is_loopback())
            && self.tls_cert.as_os_str().is_empty()
        {
            return Err((
                "server.listen",
                format!("{open} is not loopback: it needs server.tls_cert and server.tls_key"),
            ));
        }
        Ok(())
    }
}

/// Whether this is what a browser could send as its `Origin`: lower case, nothing after the port, and no port that goes without
/// saying.
fn is_origin(text: &str) -> bool {
    let (rest, usual) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, ":443"),
        (None, Some(rest)) => (rest, ":80"),
        (None, None) => return false,
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_:[]".contains(&byte);
    !rest.is_empty() && rest.bytes().all(plain) && !rest.ends_with(usual)
}

/// The learned policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// The weights file that PPO-Master decides by; the shipped weights where empty.
    pub weights: PathBuf,
    /// How much it weighs harm against waiting.
    pub harm_weight: HarmWeight,
    /// The policy that decides beside the one in charge, without acting; nobody where empty.
    pub shadow: String,
}

/// How the screen looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Screen {
    /// `auto`, `unicode`, `blocks` or `ascii`.
    pub glyphs: Glyphs,
    /// `auto`, `colour` or `monochrome`.
    pub palette: Palette,
    /// Most frames a second, 1 to 30.
    pub fps: u32,
    /// Ring the bell on a critical alarm.
    pub bell: bool,
    /// Bracket frames by synchronised output (mode 2026).
    pub sync: bool,
}

/// Which characters are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Glyphs {
    /// Unicode, or ascii where the locale is not UTF-8.
    #[default]
    Auto,
    /// Lines, arrows and eighth blocks.
    Unicode,
    /// Full and half blocks.
    Blocks,
    /// ASCII alone.
    Ascii,
}

/// Which colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Palette {
    /// Colour, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Blue and orange on grey.
    Colour,
    /// Bold and reverse alone.
    Monochrome,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            environment: "local".to_owned(),
            state: PathBuf::new(),
            webhooks: Vec::new(),
            screen: Screen::default(),
            agent: Agent::default(),
            server: Server::default(),
            telemetry: Telemetry::default(),
            control: ControlConfig::default(),
        }
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self { glyphs: Glyphs::Auto, palette: Palette::Auto, fps: 4, bell: true, sync: true }
    }
}

/// Why a configuration is not used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{}: {problem}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
    /// It is not text.
    #[error("{}:{line}: not UTF-8 text; expected a TOML {what}", .file.display())]
    NotText {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What it should have been.
        what: &'static str,
    },
    /// It is wrong, and where.
    #[error("{file}:{line}:{column}: {text}")]
    Wrong {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was found and what was expected.
        text: String,
    },
    /// An environment variable is wrong.
    #[error("{variable}={value:?}: {expected}")]
    Variable {
        /// Which.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// There is no home folder to put state in.
    #[error("no home folder is known; name one with KNIGHTWATCH_STATE or `state` in the configuration")]
    Homeless,
}

impl Config {
    /// Reads `file`, or the usual one where there is one, and what the environment sets.
    ///
    /// # Errors
    /// When anything in it is wrong: with file, line, what was found and what was expected.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let usual = default_file().filter(|file| file.exists());
        let mut config = match file.map(Path::to_owned).or(usual) {
            Some(file) => {
                let text = read_text(&file, MAX_BYTES, "configuration")?;
                Self::parse(&text, &file.display().to_string())?
            }
            None => Self::default(),
        };
        config.environment_variables()?;
        Ok(config)
    }

    /// As it is without any file, with what the environment says as far as that makes sense.
    #[must_use]
    pub fn without_file() -> Self {
        let mut config = Self::default();
        // Where something is wrong with them too, what came before it holds.
        let _ = config.environment_variables();
        config
    }

    /// Parses a configuration file's text.
    ///
    /// # Errors
    /// When anything in it is wrong.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let (line, column) = place(text, at);
            let text = error.message().to_owned();
            ConfigError::Wrong { file: file.to_owned(), line, column, text }
        })?;
        config.check().map_err(|(key, problem)| {
            let (line, column) = place_of_key(text, key);
            ConfigError::Wrong { file: file.to_owned(), line, column, text: format!("{key}: {problem}") }
        })?;
        Ok(config)
    }

    /// What types alone cannot say: ranges.
    fn check(&self) -> Result<(), (&'static str, String)> {
        self.control.check()?;
        self.server.check()?;
        self.telemetry.check()?;
        webhooks::check(&self.webhooks)?;
        // Where it took longer, every sample would be stale when it is looked at.
        if self.telemetry.source == SourceKind::Push
            && self.telemetry.lateness.0 * 2 > self.control.interval.0
        {
            let most = Millis(self.control.interval.0 / 2);
            let found = self.telemetry.lateness;
            let text = format!("expected at most half the control interval, {most}, found {found}");
            return Err(("telemetry.lateness", text));
        }
        if self.environment.trim().is_empty() {
            return Err(("environment", "expected a name, found nothing".to_owned()));
        }
        if !(1..=30).contains(&self.screen.fps) {
            return Err(("fps", format!("expected 1 to 30 frames a second, found {}", self.screen.fps)));
        }
        let shadow = self.agent.shadow.as_str();
        if !shadow.is_empty() && !PolicyName::STEERING.iter().any(|name| name.as_str() == shadow) {
            let names = PolicyName::STEERING.map(PolicyName::as_str).join(", ");
            return Err(("shadow", format!("expected \"\" or one of {names}, found {shadow:?}")));
        }
        Ok(())
    }

    fn environment_variables(&mut self) -> Result<(), ConfigError> {
        if let Some(folder) = env::var_os("KNIGHTWATCH_STATE") {
            self.state = folder.into();
        }
        if let Some(value) = variable("KNIGHTWATCH_ENVIRONMENT", "expected a name")? {
            self.environment = knightwatch_core::flag::clean_line(&value);
            if self.environment.trim().is_empty() {
                return Err(wrong_variable("KNIGHTWATCH_ENVIRONMENT", value, "expected a name"));
            }
        }
        let expected = "expected 1 to 30 frames a second";
        if let Some(value) = variable("KNIGHTWATCH_FPS", expected)? {
            let fps = value.parse().ok().filter(|fps| (1..=30).contains(fps));
            self.screen.fps = fps.ok_or_else(|| wrong_variable("KNIGHTWATCH_FPS", value, expected))?;
        }
        Ok(())
    }

    /// The backend's unix socket.
    ///
    /// # Errors
    /// When neither the configuration nor the system names a folder for it.
    pub fn socket(&self) -> Result<PathBuf, ConfigError> {
        if !self.server.socket.as_os_str().is_empty() {
            return Ok(self.server.socket.clone());
        }
        Ok(self.state_folder()?.join("knightwatch.sock"))
    }

    /// The folder for sessions and logs.
    ///
    /// # Errors
    /// When neither the configuration nor the system names one.
    pub fn state_folder(&self) -> Result<PathBuf, ConfigError> {
        if !self.state.as_os_str().is_empty() {
            return Ok(self.state.clone());
        }
        let base = etcetera::choose_base_strategy().map_err(|_| ConfigError::Homeless)?;
        Ok(base.state_dir().unwrap_or_else(|| base.data_dir()).join("knightwatch"))
    }
}

/// What an environment variable holds; `None` where it is not set.
fn variable(name: &'static str, expected: &str) -> Result<Option<String>, ConfigError> {
    let not_text =
        |value: std::ffi::OsString| wrong_variable(name, value.to_string_lossy().into_owned(), expected);
    env::var_os(name).map(|value| value.into_string().map_err(not_text)).transpose()
}

fn wrong_variable(variable: &'static str, value: String, expected: &str) -> ConfigError {
    ConfigError::Variable { variable, value, expected: expected.to_owned() }
}

/// The text of a file of at most `most` bytes; `what` it is, for the messages. Reads no further than that, whatever the
/// file is.
///
/// # Errors
/// A file that cannot be read, is longer than `most` bytes, or is not UTF-8.
pub fn read_text(file: &Path, most: u64, what: &'static str) -> Result<String, ConfigError> {
    let unreadable = |problem| ConfigError::Unreadable { file: file.to_owned(), problem };
    let mut bytes = Vec::new();
    fs::File::open(file).and_then(|open| open.take(most + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        let text = format!("larger than {most} bytes; a {what} has at most that many");
        return Err(unreadable(io::Error::other(text)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        ConfigError::NotText { file: file.to_owned(), line, what }
    })
}

fn default_file() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("knightwatch").join("config.toml"))
}

/// Line and column, from 1, of byte `at`.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

/// Where a key is set, by its name or its whole path (`control.evidence.alpha`); the beginning where it is not.
fn place_of_key(text: &str, key: &str) -> (usize, usize) {
    let is_meant = |path: &str| path == key || path.strip_suffix(key).is_some_and(|rest| rest.ends_with('.'));
    let mut table = "";
    for (number, line) in (1..).zip(text.lines().map(str::trim_start)) {
        let name = line.split(['=', '#']).next().unwrap_or_default().trim();
        if let Some(header) = name.strip_prefix('[') {
            table = header.trim_matches(['[', ']', ' ']);
            if is_meant(table) {
                return (number, 1);
            }
        } else if line.contains('=') {
            let path = if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") };
            if is_meant(&path) {
                return (number, 1);
            }
        }
    }
    (1, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        assert_eq!(Config::parse(DEFAULT, "config/default.toml").unwrap(), Config::default());
    }

    #[test]
    fn every_option_is_documented() {
        // Each key of the defaults, written out, must stand in the documented file.
        let all = toml::to_string(&Config::default()).unwrap();
        for line in all.lines().filter(|line| line.contains(" = ")) {
            let key = line.split(" = ").next().unwrap();
            assert!(
                DEFAULT.lines().any(|line| line.starts_with(&format!("{key} ="))),
                "{key} is not in config/default.toml"
            );
        }
    }

    fn wrong(text: &str) -> String {
        Config::parse(text, "my.toml").unwrap_err().to_string()
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        assert!(wrong("environment = \"x\"\nspeed = 3\n").starts_with("my.toml:2:1: unknown field `speed`"));
        assert!(wrong("[control.shield]\ndwell = \"soon\"\n").starts_with("my.toml:2:9: "));
        assert!(
            wrong("[control.evidence]\nalpha = 1.5\n").starts_with("my.toml:2:1: control.evidence.alpha")
        );
        assert!(wrong("[screen]\n\nfps = 90\n").starts_with("my.toml:3:1: fps: expected 1 to 30"));
        assert!(wrong("[control.evidence]\nalpha = nan\n").contains("control.evidence.alpha"));
        assert!(wrong("environment = \"x").starts_with("my.toml:1:"));
        // The key that is meant, not one of the same name in another table; also where it is written with its path.
        assert!(
            wrong("[control.shield.hard]\np99_ratio = 2\n[screen]\nfps = 90\n")
                .starts_with("my.toml:4:1: fps")
        );
        assert!(
            wrong("control.evidence.baseline_decay = 0.9\ncontrol.evidence.alpha = 2\n")
                .starts_with("my.toml:2:1: ")
        );
        assert!(wrong("# alpha = 3\n[control.evidence]\nalpha = 2\n").starts_with("my.toml:3:1: "));
    }
}
