//! `knightwatch-lab picture`: the control room as an SVG, after some simulated minutes: the picture in the README.

use std::{fs, path::PathBuf, sync::Arc};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend};

use knightwatch::cli::policies::one_of;

use super::{Failure, Outcome, print, scene};
use knightwatch::{
    config::{self, Config},
    tui::{self, Glyphs, Message, Model, Palette, Real, Settings},
};
use knightwatch_agent::PolicyName;
use knightwatch_core::telemetry::Millis;
use knightwatch_engine::backend::{Backend, Embedded, EmbeddedOptions, Pace, Update};
use knightwatch_store as store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A built-in scenario's name or a file
    #[arg(long, default_value = "default")]
    scenario: String,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The policy that steers
    #[arg(long, default_value = "ppo-master", value_parser = one_of(&PolicyName::STEERING))]
    policy: PolicyName,
    /// Columns and rows
    #[arg(long, default_value = "120x32", value_parser = size)]
    size: (u16, u16),
    /// Simulated seconds
    #[arg(long, default_value_t = 600)]
    after: u64,
    /// Keys pressed then: one character each, or a name in angle brackets such as `<Enter>`, `<Esc>`, `<Tab>`,
    /// `<F5>`, `<C-k>`; `>` alone is Enter
    #[arg(long, default_value = "")]
    keys: String,
    /// Which characters to draw with
    #[arg(long, value_enum, default_value = "unicode")]
    glyphs: config::Glyphs,
    /// Without colours
    #[arg(long)]
    monochrome: bool,
    /// Where to
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let expected = || format!("expected COLUMNSxROWS within 1x1 to 500x200, found {text:?}");
    let (columns, rows) = text.split_once('x').ok_or_else(expected)?;
    let (columns, rows): (u16, u16) = columns.parse().ok().zip(rows.parse().ok()).ok_or_else(expected)?;
    if (1..=500).contains(&columns) && (1..=200).contains(&rows) {
        Ok((columns, rows))
    } else {
        Err(expected())
    }
}

/// The pace that the picture shows: the embedded control room's own.
const UNDER_WAY: u32 = 30;

/// The keys of `text`, in order.
fn keys(text: &str) -> Result<Vec<KeyEvent>, Failure> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let (code, modifiers) = match letter {
            '>' => (KeyCode::Enter, KeyModifiers::NONE),
            '<' => {
                let (name, after) = rest.split_once('>').ok_or_else(|| unknown(rest))?;
                rest = after;
                named(name).ok_or_else(|| unknown(name))?
            }
            letter => (KeyCode::Char(letter), KeyModifiers::NONE),
        };
        keys.push(KeyEvent::new(code, modifiers));
    }
    Ok(keys)
}

fn unknown(name: &str) -> Failure {
    Failure::refused(format!(
        "--keys: expected <Enter>, <Esc>, <Tab>, <Up>, <Down>, <PgUp>, <PgDn>, <F1> to <F12> or <C-letter>, found <{name}"
    ))
}

/// A key by its name.
fn named(name: &str) -> Option<(KeyCode, KeyModifiers)> {
    let code = match name {
        "Enter" => KeyCode::Enter,
        "Esc" => KeyCode::Esc,
        "Tab" => KeyCode::Tab,
        "Up" => KeyCode::Up,
        "Down" => KeyCode::Down,
        "PgUp" => KeyCode::PageUp,
        "PgDn" => KeyCode::PageDown,
        _ => {
            if let Some(letter) = name.strip_prefix("C-").and_then(|letter| letter.parse().ok()) {
                return Some((KeyCode::Char(letter), KeyModifiers::CONTROL));
            }
            let number: u8 = name.strip_prefix('F')?.parse().ok()?;
            KeyCode::F((1..=12).contains(&number).then_some(number)?)
        }
    };
    Some((code, KeyModifiers::NONE))
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let session =
        std::env::temp_dir().join(format!("knightwatch-picture-{}.knightwatch", std::process::id()));
    let scene = scene::SceneArgs {
        scenario: Some(args.scenario.clone()),
        seed: Some(args.seed),
        policy: Some(args.policy),
        session: Some(session.clone()),
        ..scene::SceneArgs::default()
    };
    let drawn = draw(args, &scene, config);
    if let Err(error) = store::discard(&session) {
        // A file that is left in the folder for temporary files harms nobody.
        tracing::warn!("{error}");
    }
    fs::write(&args.out, drawn?)
        .map_err(|error| Failure::refused(format!("{}: {error}", args.out.display())))?;
    print::DONE
}

fn draw(args: &Args, scene: &scene::SceneArgs, config: &Config) -> Result<String, Failure> {
    let engine = scene::Scene::of(scene)?.engine(config)?;
    let options = EmbeddedOptions {
        pace: Pace::Stopped,
        about: args.policy.about().to_owned(),
        simulated: true,
        fast_forward: Millis::from_secs(args.after),
    };
    let backend = Embedded::start(engine, options).map_err(Failure::refused)?;
    let mut updates = backend.subscribe();
    let mut first = updates.blocking_recv().ok_or_else(|| Failure::refused("the engine has ended"))?;
    if let Update::Snapshot(snapshot) = &mut first {
        // The engine stands still so that every run draws the same; the picture is of a session under way.
        Arc::make_mut(snapshot).controller.pace = Pace::Times(UNDER_WAY);
    }
    let mut model = Model::new(Settings {
        operator: "ada".to_owned(),
        glyphs: match args.glyphs {
            config::Glyphs::Ascii => Glyphs::Ascii,
            config::Glyphs::Blocks => Glyphs::Blocks,
            config::Glyphs::Unicode | config::Glyphs::Auto => Glyphs::Unicode,
        },
        palette: if args.monochrome { Palette::Monochrome } else { Palette::Colour },
        ..Settings::default()
    });
    let (columns, rows) = args.size;
    tui::update(&mut model, Real(0), Message::Resize(columns, rows));
    tui::update(&mut model, Real(0), Message::Update(first));
    for (at, key) in (1_000..).step_by(1_000).zip(keys(&args.keys)?) {
        tui::update(&mut model, Real(at), Message::Key(key));
    }
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).map_err(Failure::refused)?;
    terminal.draw(|frame| tui::view(&model, frame)).map_err(Failure::refused)?;
    Ok(tui::svg(terminal.backend().buffer(), "The knightwatch control room"))
}
