//! The control room's screens as text, and what its keys do: without a terminal, through `update` and `view` alone.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test"
)]

mod keys;
mod kill_all;
mod properties;
mod seen;
mod states;
mod training;

use crate::support::{scene, test_app};

use knightwatch::tui::{self, Glyphs, Message, Palette, Settings};
use knightwatch_core::{
    control::{Actor, Latch, Phase, Seq},
    flag::Rollout,
    telemetry::{ArmStats, Millis},
};
use knightwatch_engine::backend::{Ack, ArmPoint, Link, OrderError, Snapshot, Update};
use ratatui::{
    buffer::Cell,
    style::{Color, Modifier},
};
use scene::{NOW, scene};
use seen::Seen;
use test_app::{TestApp, kill_ack, settings};

fn latched(mut snapshot: Snapshot) -> Snapshot {
    snapshot.controller.latch = Some(Latch {
        by: Actor::Person("maria".to_owned()),
        at: Millis(NOW.0 - 95_000),
        seq: Seq(112),
        exposed: 9,
        reason: "payments are failing".to_owned(),
        asked: None,
    });
    for flag in &mut snapshot.flags {
        flag.phase = Phase::Killed;
        flag.rollout = Rollout::ZERO;
        (flag.hold, flag.guard_off_until) = (None, None);
        flag.verdict = knightwatch_core::telemetry::Verdict::Insufficient;
        flag.changed_at = Millis(NOW.0 - 95_000);
        flag.last = Some(knightwatch_core::control::LastAction {
            at: Millis(NOW.0 - 95_000),
            by: Actor::Person("maria".to_owned()),
            what: "killed".to_owned(),
            seq: Seq(112),
        });
        flag.report.treatment = ArmStats::default();
    }
    for point in snapshot.history.iter_mut().flatten().filter(|point| point.at.0 > NOW.0 - 95_000) {
        (point.treatment, point.rollout) = (ArmPoint::default(), Rollout::ZERO);
    }
    snapshot
}

/// Every screen and dialog, as somebody would get there.
fn screens(settings: &Settings) -> Vec<(&'static str, TestApp)> {
    let new = |snapshot: &Snapshot| TestApp::new(settings.clone(), snapshot);
    let app = || new(&scene(12));
    let pressed = |keys: &str| {
        let mut app = app();
        app.press(keys);
        app
    };
    let mut briefing = scene(12);
    briefing.controller.briefed = false;
    let form = pressed("j o '140 Enter");
    let mut armed = pressed("j C-k");
    armed.wait(400).wake();
    let sent = || {
        let mut app = app();
        app.press("C-x").wait(400).press("K");
        let id = app.orders()[0].id.clone();
        (app, id)
    };
    let (mut acknowledged, id) = sent();
    acknowledged.answer(&id, Ok(kill_ack(12)));
    let (mut not_sent, id) = sent();
    not_sent.answer(&id, Err(OrderError::NotSent("no contact for 12 s".to_owned())));
    let (mut not_durable, id) = sent();
    not_durable.answer(&id, Ok(Ack { durable: false, ..kill_ack(12) }));
    let latched_room = new(&latched(scene(12)));
    let mut rearm = new(&latched(scene(12)));
    rearm.press("F12 'dmo Enter");
    let mut stale = app();
    stale.tell(Message::Update(Update::Link(Link::Stale(Millis::from_secs(12)))));
    let mut lost = new(&latched(scene(12)));
    let why = Some("expected a valid bearer token, or the unix socket".to_owned());
    lost.tell(Message::Update(Update::Link(Link::Lost { age: Millis::from_secs(12), why })));
    vec![
        ("fleet", app()),
        ("fleet_stale", stale),
        ("fleet_no_contact", lost),
        ("flag_regressed", pressed("Enter")),
        ("flag_explained", pressed("j j j j j j j Enter")),
        ("flag_job", {
            let mut app = app();
            app.press("s G Enter");
            app
        }),
        ("log", pressed("l j j")),
        ("help", pressed("?")),
        ("briefing", new(&briefing)),
        ("alarms", pressed("A")),
        ("palette", pressed(": 'ro")),
        ("override", form),
        ("rollback", pressed("r")),
        ("kill_armed", armed),
        ("kill_sent", sent().0),
        ("kill_acknowledged", acknowledged),
        ("kill_not_sent", not_sent),
        ("kill_not_durable", not_durable),
        ("latched", latched_room),
        ("rearm", rearm),
    ]
}

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (200, 50)];

/// The screens there are, each in the state that its pictures show. What every other state has to show is in `states`.
const PICTURED: [&str; 6] = ["fleet", "flag_regressed", "log", "help", "briefing", "alarms"];

#[test]
fn every_screen_looks_as_agreed() {
    let mut frames: Vec<String> = Vec::new();
    let mut pictured = 0;
    for (name, mut app) in screens(&settings(Glyphs::Unicode)) {
        if !PICTURED.contains(&name) {
            continue;
        }
        pictured += 1;
        for (width, height) in SIZES {
            let seen = Seen::of(&mut app, width, height);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), seen.body().join("\n"));
            frames.push(format!("{name} {width}x{height}"));
            frames.extend([seen.header(), seen.banners(), vec![seen.footer(), String::new()]].concat());
        }
    }
    assert_eq!(pictured, PICTURED.len());
    // What is around all screens is in one picture.
    insta::assert_snapshot!("frames", frames.join("\n"));
}

#[test]
fn ascii_glyphs_write_ascii_only() {
    for (name, mut app) in screens(&settings(Glyphs::Ascii)) {
        for (width, height) in [(80, 24), (200, 50), (40, 10), (30, 5)] {
            let text = app.text(width, height);
            assert!(text.is_ascii(), "{name} at {width}x{height}:\n{text}");
        }
    }
}

/// The styles of a screen but its footer: one letter a cell, so that a change of meaning shows.
fn styles(app: &mut TestApp, width: u16, height: u16) -> String {
    app.resize(width, height);
    let buffer = app.buffer(width, height);
    let mut out = String::new();
    for y in 0..height - 1 {
        let mut line = String::new();
        for x in 0..width {
            let cell = buffer.cell((x, y)).unwrap();
            let mut letter = match (cell.bg, cell.fg) {
                (Color::Indexed(160), _) => 'R',
                (Color::Indexed(208), _) => 'W',
                (_, Color::Indexed(208)) => 'o',
                (_, Color::Indexed(39)) => 'b',
                (_, Color::Indexed(245)) => 'g',
                _ if cell.modifier.contains(Modifier::REVERSED) => 'r',
                _ if cell.modifier.contains(Modifier::BOLD) => 's',
                _ if cell.modifier.contains(Modifier::UNDERLINED) => 'u',
                _ if cell.modifier.contains(Modifier::DIM) => 'd',
                _ => '.',
            };
            if cell.symbol() == " " && letter != 'R' && letter != 'W' && letter != 'r' {
                letter = ' ';
            }
            line.push(letter);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[test]
fn colours_mean_what_they_should() {
    let mut fleet = TestApp::new(settings(Glyphs::Unicode), &scene(12));
    insta::assert_snapshot!("styles_fleet", styles(&mut fleet, 120, 24));
    let mut latched = TestApp::new(settings(Glyphs::Unicode), &latched(scene(12)));
    insta::assert_snapshot!("styles_latched", styles(&mut latched, 120, 24));
    let plain = Settings { palette: Palette::Monochrome, ..settings(Glyphs::Unicode) };
    let mut plain = TestApp::new(plain, &scene(12));
    insta::assert_snapshot!("styles_monochrome", styles(&mut plain, 120, 24));
}

/// Whether a cell is seen to be drawn in a colour.
fn is_coloured(cell: &Cell) -> bool {
    cell.bg != Color::Reset || (cell.fg != Color::Reset && cell.symbol() != " ")
}

/// Asserts that the first screen has no colour, and has something else wherever the second has one. How many cells that were.
fn assert_loses_only_colour(name: &str, plain: &Seen, coloured: &Seen) -> usize {
    assert_eq!(plain.to_string(), coloured.to_string(), "{name}");
    let mut found = 0;
    for (cell, colour) in plain.buffer().content.iter().zip(&coloured.buffer().content) {
        assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{name}:\n{plain}");
        if is_coloured(colour) {
            found += 1;
            assert!(!cell.modifier.is_empty(), "{name}: {:?} is like any other:\n{plain}", cell.symbol());
        }
    }
    found
}

#[test]
fn monochrome_uses_no_colour_at_all_and_loses_nothing_that_colour_says() {
    let plain = Settings { palette: Palette::Monochrome, ..settings(Glyphs::Unicode) };
    let mut coloured = 0;
    let all = screens(&plain).into_iter().zip(screens(&settings(Glyphs::Unicode)));
    for ((name, mut plain), (_, mut app)) in all {
        for (width, height) in SIZES {
            let (plain, app) = (Seen::of(&mut plain, width, height), Seen::of(&mut app, width, height));
            coloured += assert_loses_only_colour(name, &plain, &app);
        }
    }
    assert!(coloured > 10_000, "only {coloured} cells have a colour to lose");
}

#[test]
fn only_an_unacknowledged_critical_alarm_blinks() {
    let blinks = |app: &mut TestApp| Seen::of(app, 120, 40).blinking();
    for (name, mut app) in screens(&settings(Glyphs::Unicode)) {
        assert_eq!(blinks(&mut app), 0, "{name}");
    }
    let mut snapshot = scene(12);
    snapshot.controller.alarms[1].kind = knightwatch_core::control::AlarmKind::PolicyFault;
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    assert_eq!(blinks(&mut app), "ALARM critical".len());
    snapshot.controller.alarms[1].acknowledged_by = Some("maria".to_owned());
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    assert_eq!(blinks(&mut app), 0);
}

#[test]
fn from_one_cell_to_a_wall_of_screens_something_true_is_shown() {
    for (name, mut app) in screens(&settings(Glyphs::Unicode)) {
        for (width, height) in [(1, 1), (2, 3), (39, 9), (40, 10), (60, 12), (80, 13), (250, 80)] {
            let text = app.text(width, height);
            assert!(!text.trim().is_empty(), "{name} at {width}x{height}");
            if width >= 40 && height >= 10 {
                // Where there is no room for both, lost contact comes before the environment's name.
                let said = if name == "fleet_no_contact" { "NO CONTACT 12 s" } else { "demo" };
                assert!(text.contains(said), "{name} at {width}x{height}:\n{text}");
            }
        }
    }
    for (state, said) in [
        ("fleet", "2 alarms: the shield rolled power-peg …"),
        ("fleet_stale", "STALE 12 s"),
        ("latched", "KILL-ALL by maria"),
        ("kill_armed", "KILL-ALL armed: K executes, any other …"),
        ("kill_sent", "kill-all SENT, no acknowledgement yet"),
        ("kill_not_sent", "kill-all: NOT SENT: no contact for 12 …"),
    ] {
        let mut all = screens(&settings(Glyphs::Unicode)).into_iter();
        let mut app = all.find(|(name, _)| *name == state).unwrap().1;
        assert_eq!(app.text(39, 9).trim(), said, "{state}");
    }
    let mut app = TestApp::new(settings(Glyphs::Unicode), &latched(scene(12)));
    assert!(app.text(39, 9).contains("KILL-ALL by maria"));
    assert!(app.text(40, 10).contains("KILL-ALL; F12 re-arms"));
}

#[test]
fn a_missing_value_is_a_dash_and_never_zero() {
    let mut snapshot = scene(12);
    for flag in &mut snapshot.flags {
        flag.report = knightwatch_core::telemetry::WindowReport::default();
        flag.verdict = knightwatch_core::telemetry::Verdict::Insufficient;
    }
    for points in &mut snapshot.history {
        points.clear();
    }
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let text = app.text(120, 40);
    let row = text.lines().find(|line| line.contains("new-checkout-ui")).unwrap();
    assert!(row.matches('–').count() >= 4, "{row}");
    assert!(!row.contains(" 0 "), "{row}");
    app.press("Enter");
    assert!(!app.text(120, 40).contains("+0.00"), "no difference without data");
}

#[test]
fn assumed_counts_are_marked_and_explained() {
    let mut app = TestApp::new(settings(Glyphs::Unicode), &scene(12));
    let text = app.text(120, 40);
    assert!(text.contains("~healthy"), "{text}");
    assert!(app.press("?").text(120, 70).contains("counts are assumed"));
}

#[test]
fn a_picture_of_a_screen_is_the_same_every_time() {
    let app = TestApp::new(settings(Glyphs::Unicode), &scene(12));
    let picture = tui::svg(&app.buffer(120, 40), "the fleet");
    assert_eq!(picture, tui::svg(&app.buffer(120, 40), "the fleet"));
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    let buffer = app.buffer(120, 40);
    let blocks = "▁▂▃▄▅▆▇█─━╸│";
    let drawn = |cell: &&Cell| !cell.symbol().trim().is_empty() && !blocks.contains(cell.symbol());
    assert_eq!(picture.matches("<text ").count(), buffer.content.iter().filter(drawn).count());
    assert!(picture.matches("<rect ").count() > buffer.content.iter().filter(|c| c.symbol() == "█").count());
}

/// Writes every screen as an SVG picture to the folder named by `KNIGHTWATCH_PICTURES`, where that is set.
#[test]
fn pictures_can_be_written() {
    let folder = std::env::var_os("KNIGHTWATCH_PICTURES").map(std::path::PathBuf::from);
    for (name, mut app) in screens(&settings(Glyphs::Unicode)) {
        for (width, height) in SIZES {
            app.resize(width, height);
            let picture = tui::svg(&app.buffer(width, height), name);
            assert!(picture.contains(&format!("<title>{name}</title>")));
            if let Some(folder) = &folder {
                std::fs::write(folder.join(format!("{name}_{width}x{height}.svg")), picture).unwrap();
            }
        }
    }
}

#[test]
fn a_rollback_that_somebody_has_seen_sinks_below_the_ramping_flags() {
    let row = |text: &str, flag: &str| text.lines().position(|line| line.contains(flag)).unwrap();
    let mut snapshot = scene(12);
    let text = TestApp::new(settings(Glyphs::Unicode), &snapshot).text(80, 30);
    assert!(row(&text, "  power-peg") < row(&text, "new-checkout-ui"), "{text}");
    // Seen and over: it leaves the list.
    snapshot.controller.alarms.remove(1);
    let text = TestApp::new(settings(Glyphs::Unicode), &snapshot).text(80, 30);
    assert!(row(&text, "  power-peg") > row(&text, "new-checkout-ui"), "{text}");
}

#[test]
fn of_a_flag_that_was_rolled_back_it_is_said_by_whom_and_why() {
    let mut snapshot = scene(12);
    snapshot.flags[2].last.as_mut().unwrap().seq = Seq(109);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let text = app.press("j j j Enter").text(120, 40);
    assert!(text.contains("power-peg  rolled back"), "{text}");
    assert!(text.contains("rolled back from 10 % by shield 2 min ago: nothing to do"), "{text}");
    snapshot.flags[2].last.as_mut().unwrap().seq = Seq(9);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let text = app.press("j j j Enter").text(120, 40);
    assert!(text.contains("rolled back from 10 % by shield 2 min ago"), "without the entry: {text}");
}
