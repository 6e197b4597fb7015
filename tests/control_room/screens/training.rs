//! The training on the screen: live, recorded and played, alone and in the control room.

use knightwatch::tui::{Effect, Glyphs, Message, Model, Palette, Settings};
use knightwatch_agent::training::{TrainingLine, TrainingLog};

use crate::support::{
    room::{Room, settings},
    scene::scene,
    training as curves,
};

fn alone(glyphs: Glyphs, log: TrainingLog, live: bool) -> Room {
    Room { model: Model::of_training(settings(glyphs), log, live), now: 1_000, effects: Vec::new() }
}

/// A live training that has come so far.
fn live(iterations: u64) -> Room {
    alone(Glyphs::Unicode, curves::log(iterations), true)
}

/// A recorded one, as it is opened.
fn recorded() -> Room {
    let mut room = alone(Glyphs::Unicode, curves::log(curves::ITERATIONS), false);
    room.now = 0;
    room
}

fn quits(room: &mut Room) -> bool {
    std::mem::take(&mut room.effects).contains(&Effect::Quit)
}

fn screens(glyphs: Glyphs) -> Vec<(&'static str, Room)> {
    let whole = || alone(glyphs, curves::log(curves::ITERATIONS), false);
    let mut played = whole();
    played.press("Space");
    for _ in 0..12 {
        played.press("PgDn");
    }
    let mut middle = whole();
    middle.press("g PgDn PgDn PgDn PgDn");
    let mut asked = alone(glyphs, curves::log(95), true);
    asked.press("q");
    vec![
        ("training_live", alone(glyphs, curves::log(95), true)),
        ("training_none_yet", alone(glyphs, curves::log(0), true)),
        ("training_few", alone(glyphs, curves::log(3), true)),
        ("training_stop", asked),
        ("training_middle", middle),
        ("training_end", played),
    ]
}

const SIZES: [(u16, u16); 5] = [(80, 24), (120, 40), (200, 50), (60, 14), (40, 10)];

#[test]
fn every_training_looks_as_agreed() {
    for (glyphs, set) in [(Glyphs::Unicode, "unicode"), (Glyphs::Blocks, "blocks"), (Glyphs::Ascii, "ascii")]
    {
        for (name, mut room) in screens(glyphs) {
            // What differs is drawn once more in the other sets, not everything.
            let sizes = if glyphs == Glyphs::Unicode { &SIZES[..] } else { &SIZES[..1] };
            for (width, height) in sizes {
                insta::assert_snapshot!(format!("{name}_{width}x{height}_{set}"), room.text(*width, *height));
            }
        }
    }
}

#[test]
fn ascii_is_ascii_and_monochrome_has_no_colour() {
    for (name, mut room) in screens(Glyphs::Ascii) {
        for (width, height) in [(80, 24), (200, 50), (50, 12), (30, 5)] {
            let text = room.text(width, height);
            assert!(text.is_ascii(), "{name} at {width}x{height}:\n{text}");
        }
    }
    let plain = Settings { palette: Palette::Monochrome, ..settings(Glyphs::Unicode) };
    let log = curves::log(curves::ITERATIONS);
    let room = Room { model: Model::of_training(plain, log, true), now: 0, effects: Vec::new() };
    for cell in &room.buffer(120, 40).content {
        assert_eq!((cell.fg, cell.bg), (ratatui::style::Color::Reset, ratatui::style::Color::Reset));
    }
}

#[test]
fn at_every_size_something_true_is_shown() {
    for (name, mut room) in screens(Glyphs::Unicode) {
        for width in [1, 2, 20, 40, 59, 60, 79, 104, 130, 250] {
            for height in [1, 3, 9, 10, 13, 14, 16, 17, 20, 24, 33, 80] {
                let text = room.text(width, height);
                assert!(!text.trim().is_empty(), "{name} at {width}x{height}");
                if width >= 40 {
                    assert!(text.contains("iteration"), "{name} at {width}x{height}:\n{text}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_there_yet_is_a_dash_and_never_zero() {
    let text = alone(Glyphs::Unicode, curves::log(0), true).text(120, 40);
    assert!(text.contains("reward – an episode") && text.contains("agent –"), "{text}");
    assert!(text.contains("━ rule 9.8"), "that is known before:\n{text}");
    let text = live(2).text(120, 40);
    assert!(text.contains("reward – an episode") && text.contains("entropy 1."), "{text}");
}

#[test]
fn a_live_training_shows_what_the_trainer_sends() {
    let mut room = live(40);
    assert!(room.text(120, 40).contains("iteration 40 "));
    room.tell(Message::Training(curves::line(41)));
    let text = room.text(120, 40);
    assert!(text.contains("iteration 41 "), "{text}");
    room.tell(Message::Training(curves::line(41)));
    assert!(room.text(120, 40).contains("out of place: iteration 41: expected one after 41"));
    room.tell(Message::Training(TrainingLine::End(curves::end())));
    assert!(room.text(120, 40).contains("stopped early"), "{}", room.text(120, 40));
}

#[test]
fn looking_back_at_a_live_training_stands_still_until_one_follows_again() {
    let mut room = live(40);
    room.press("[ [");
    room.tell(Message::Training(curves::line(41)));
    let text = room.text(120, 40);
    assert!(text.contains("iteration 38 ") && text.contains("STANDS STILL"), "{text}");
    room.press("Space");
    assert!(room.text(120, 40).contains("iteration 41 "));
    room.press("+");
    assert!(room.text(120, 40).contains("it is as fast as it is"));
}

#[test]
fn stopping_a_trainer_asks_for_y_or_for_ctrl_c_again() {
    let mut room = live(40);
    room.press("q Enter Enter Esc q n");
    assert!(!quits(&mut room));
    assert!(room.press("q").text(80, 24).contains("The last checkpoint is kept"));
    room.press("y");
    assert!(quits(&mut room));
    let mut room = live(40);
    room.press("C-c");
    assert!(!quits(&mut room));
    room.press("C-c");
    assert!(quits(&mut room));
    let mut room = live(40);
    room.tell(Message::Interrupt);
    assert!(!quits(&mut room), "SIGINT is Ctrl-C");
}

#[test]
fn a_recording_is_played_faster_slower_and_scrubbed() {
    let mut room = recorded();
    assert!(room.text(120, 40).contains("playing  30×"), "{}", room.text(120, 40));
    room.wait(1_000).wake();
    assert!(room.text(120, 40).contains("iteration 18 "), "30 s of the training:\n{}", room.text(120, 40));
    room.press("+").wait(1_000).wake();
    assert!(room.text(120, 40).contains("iteration 56 "), "60 s more:\n{}", room.text(120, 40));
    room.press("Space").wait(5_000).wake();
    assert!(room.text(120, 40).contains("iteration 56 "), "it stands still");
    room.press("]");
    assert!(room.text(120, 40).contains("iteration 57 "));
    room.press("PgUp [");
    assert!(room.text(120, 40).contains("iteration 32 "));
    room.press("G");
    assert!(room.text(120, 40).contains("stopped early"));
    assert!(room.model.wake_at().is_none(), "nothing moves by itself any more");
    room.press("q");
    assert!(quits(&mut room), "nothing is lost: it asks nothing");
}

#[test]
fn the_axes_of_a_recording_stand_still_while_it_is_played() {
    let mut room = recorded();
    room.press("g");
    let axis = |room: &mut Room| room.text(120, 40).lines().rev().nth(1).unwrap_or_default().to_owned();
    let before = axis(&mut room);
    assert!(before.contains("1.97 M steps"), "{before}");
    assert_eq!(axis(room.press("G")), before);
}

#[test]
fn in_the_control_room_t_opens_the_agents_training_and_kill_all_still_works() {
    let mut room = Room::new(settings(Glyphs::Unicode), &scene(12));
    room.press("T");
    let text = room.text(120, 40);
    assert!(text.contains("cost on validation, points a flag") && text.contains("Ctrl-K kill all"), "{text}");
    assert!(room.model.wake_at().is_some(), "it is played");
    room.press("?");
    assert!(room.text(120, 60).contains("keys of the training screen"));
    room.press("Esc C-k").wait(400).press("K");
    assert_eq!(room.orders().len(), 1, "kill-all");
    room.press("Esc q");
    assert!(room.text(120, 40).contains("new-checkout-ui"), "back in the fleet");
    assert!(!quits(&mut room));
    room.press(": 'training Enter");
    assert!(room.text(120, 40).contains("cost on validation, points a flag"));
}

#[test]
fn without_a_backend_nothing_is_ordered_and_the_reason_is_said() {
    let mut room = recorded();
    for key in ["C-k", "F12", "r", "p", "l", "A", "B", "a", "F5", "Tab", "Enter"] {
        room.press(key);
    }
    assert!(room.orders().is_empty());
    let text = room.text(120, 40);
    assert!(text.contains("cost, cost units a flag") && text.contains("no flags to act on"), "{text}");
    room.press("?");
    assert!(room.text(120, 60).contains("keys of the training screen"));
}

#[test]
fn a_note_on_a_log_is_shown_wherever_its_curves_are() {
    let mut log = curves::log(curves::ITERATIONS);
    log.header.note = Some(curves::NOTE.to_owned());
    let text = alone(Glyphs::Unicode, log, false).text(80, 24);
    assert!(text.contains("nothing was trained"), "{text}");
}
