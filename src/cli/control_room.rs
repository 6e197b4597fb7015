//! `knightwatch`: the control room on a backend inside this process.

use std::{
    env, fs,
    io::{self, IsTerminal, stdout},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Failure, Outcome, connect, scene};
use crate::{
    config::{self, Config},
    logging,
    tui::{self, Glyphs, Palette, RuntimeOptions, Settings},
};
use knightwatch_agent::training::{TrainingLine, TrainingLog};
use knightwatch_core::{control::Event, telemetry::Millis};
use knightwatch_engine::{
    Engine,
    backend::{Backend, Embedded, EmbeddedOptions, Pace, Remote, Target},
};

/// Entries in which the acknowledgement of the briefing is looked for when the room is left.
const RECENT: usize = 10_000;

/// How the control room looks and what it may do.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a command line")]
#[derive(Clone, Debug, Args)]
pub struct ScreenArgs {
    /// Times faster than real time, 1 to 3600
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub speed: u32,

    /// Nothing can be changed
    #[arg(long)]
    pub read_only: bool,

    /// Which characters are drawn
    #[arg(long, value_enum)]
    pub glyphs: Option<config::Glyphs>,

    /// Which colours are used
    #[arg(long, value_enum)]
    pub palette: Option<config::Palette>,

    /// Most frames a second that telemetry causes, 1 to 30
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=30))]
    pub fps: Option<u32>,

    /// For slow links: one frame a second
    #[arg(long, conflicts_with = "fps")]
    pub slow: bool,

    /// Do not bracket frames by synchronised output
    #[arg(long)]
    pub no_sync: bool,

    /// Do not show the briefing
    #[arg(long)]
    pub no_briefing: bool,
}

/// `knightwatch`: a fresh session, or one that is resumed.
pub(super) fn run(scene: &scene::SceneArgs, screen: &ScreenArgs, config: &Config) -> Outcome {
    // Whatever is wrong with the terminal is said before a session is begun.
    tui::check().map_err(Failure::input)?;
    let pace = Pace::times(screen.speed).map_err(Failure::input)?;
    let scene = scene::Scene::of(scene)?;
    let about = scene.policy.about().to_owned();
    // One person sits here: there is nobody else to agree.
    let mut alone = config.clone();
    alone.control.rearm.two_people = false;
    let engine = scene.engine(&alone)?;
    let options = EmbeddedOptions { pace, about, simulated: true, fast_forward: Millis::ZERO };
    show(engine, options, screen, config, true)
}

/// `knightwatch --connect URL`: the control room on a backend elsewhere.
pub(super) fn remote(
    target: &Target,
    scene: &scene::SceneArgs,
    screen: &ScreenArgs,
    config: &Config,
) -> Outcome {
    tui::check().map_err(Failure::input)?;
    if scene.is_given() {
        let text = "with --connect the backend's own scenario, seed, policy and session apply";
        return Err(Failure::input(text));
    }
    let folder = config.state_folder().map_err(Failure::input)?;
    let _logging = logging::init(&folder.join("logs")).map_err(Failure::input)?;
    let backend = Remote::connect(target).map_err(|error| connect::remote(&error))?;
    let elsewhere = format!("knightwatch kill-all --yes --connect {target}");
    let backend: Arc<dyn Backend> = Arc::new(backend);
    room(&backend, &folder, Some(elsewhere), screen, config, true)
}

/// Shows an engine in the control room until the operator leaves.
/// # Errors
/// An engine that does not start; a terminal that cannot be used.
pub fn show(
    engine: Engine,
    options: EmbeddedOptions,
    screen: &ScreenArgs,
    config: &Config,
    briefing: bool,
) -> Outcome {
    let folder = config.state_folder().map_err(Failure::input)?;
    let _logging = logging::init(&folder.join("logs")).map_err(Failure::input)?;
    let backend: Arc<dyn Backend> = Arc::new(Embedded::start(engine, options).map_err(Failure::refused)?);
    room(&backend, &folder, None, screen, config, briefing)
}

/// The control room on a backend, wherever that is.
fn room(
    backend: &Arc<dyn Backend>,
    folder: &Path,
    elsewhere: Option<String>,
    screen: &ScreenArgs,
    config: &Config,
    briefing: bool,
) -> Outcome {
    let mark = briefing_mark(folder);
    let mut settings = settings(screen, config, briefing && !screen.no_briefing && !mark.exists());
    if let Some(elsewhere) = elsewhere {
        settings.elsewhere = elsewhere;
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::refused)?;
    let exit = runtime
        .block_on(tui::run(Arc::clone(backend), settings, runtime_options(screen, config)))
        .map_err(|error| Failure { status: error.status(), text: error.to_string() })?;
    // The briefing is acknowledged at the beginning or never: what is asked for is bounded.
    let entries = runtime.block_on(backend.entries(None, RECENT)).unwrap_or_default();
    if entries.iter().any(|entry| entry.event == Event::BriefingAcknowledged)
        && let Err(error) = mark_briefed(&mark)
    {
        tracing::warn!("{}: {error}; the briefing will be shown again", mark.display());
    }
    // A line that is gone leaves tasks that nobody waits for.
    runtime.shutdown_background();
    exit.report();
    Ok(exit.status())
}

/// Shows a training: one that is under way where `lines` come from a trainer, otherwise a recorded one. What the
/// person wants and how it ended is in the answer.
/// # Errors
/// A terminal that cannot be used; no state folder.
pub fn show_training(
    log: TrainingLog,
    lines: Option<UnboundedReceiver<TrainingLine>>,
    screen: &ScreenArgs,
    config: &Config,
) -> Result<tui::Exit, Failure> {
    let folder = config.state_folder().map_err(Failure::input)?;
    let _logging = logging::init(&folder.join("logs")).map_err(Failure::input)?;
    let settings = settings(screen, config, false);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::refused)?;
    let shown = tui::run_training(log, lines, settings, runtime_options(screen, config));
    let exit = runtime
        .block_on(shown)
        .map_err(|error| Failure { status: error.status(), text: error.to_string() })?;
    runtime.shutdown_background();
    Ok(exit)
}

fn runtime_options(screen: &ScreenArgs, config: &Config) -> RuntimeOptions {
    let fps = if screen.slow { 1 } else { screen.fps.unwrap_or(config.screen.fps) };
    RuntimeOptions { fps, sync: config.screen.sync && !screen.no_sync }
}

/// The file that says that this operator has acknowledged the briefing.
fn briefing_mark(folder: &Path) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    folder.join("briefed").join(operator().chars().map(plain).collect::<String>())
}

fn mark_briefed(mark: &Path) -> io::Result<()> {
    if let Some(folder) = mark.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(mark, "")
}

/// Who sits here.
pub(super) fn operator() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"];
    let name = names.iter().find_map(|name| env::var(name).ok()).filter(|name| !name.trim().is_empty());
    knightwatch_core::flag::clean_line(&name.unwrap_or_else(|| "operator".to_owned()))
}

fn settings(screen: &ScreenArgs, config: &Config, briefing: bool) -> Settings {
    let process = std::process::id();
    Settings {
        operator: operator(),
        glyphs: glyphs(screen.glyphs.unwrap_or(config.screen.glyphs)),
        palette: palette(screen.palette.unwrap_or(config.screen.palette)),
        read_only: screen.read_only,
        bell: config.screen.bell && stdout().is_terminal(),
        order_prefix: format!("{}-{process}", knightwatch_engine::wall_clock().0),
        elsewhere: format!("kill {process} (ends this program and its engine; nothing moves without it)"),
        briefing,
    }
}

fn glyphs(wanted: config::Glyphs) -> Glyphs {
    match wanted {
        config::Glyphs::Blocks => Glyphs::Blocks,
        config::Glyphs::Unicode => Glyphs::Unicode,
        config::Glyphs::Auto if locale_is_utf8() => Glyphs::Unicode,
        config::Glyphs::Ascii | config::Glyphs::Auto => Glyphs::Ascii,
    }
}

fn palette(wanted: config::Palette) -> Palette {
    // https://no-color.org: any value that is not empty.
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match wanted {
        config::Palette::Monochrome => Palette::Monochrome,
        config::Palette::Auto if no_color => Palette::Monochrome,
        config::Palette::Auto | config::Palette::Colour => Palette::Colour,
    }
}

/// What the first of the three variables that is set says, as the C library reads them.
fn locale_is_utf8() -> bool {
    let set =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env::var(name).ok().filter(|v| !v.is_empty()));
    set.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
