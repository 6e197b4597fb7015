//! The training on the screen: live, recorded and played, alone and in the control room.

use knightwatch::tui::{Effect, Glyphs, Message, Model, Palette, Settings};
use knightwatch_agent::training::{TrainingLine, TrainingLog};

use super::{
    assert_loses_only_colour,
    seen::Seen,
    states::{Table, assert_drawn_alike, in_ascii},
};
use crate::support::{
    scene::scene,
    test_app::{TestApp, settings},
    training as curves,
};

fn alone(glyphs: Glyphs, log: TrainingLog, live: bool) -> TestApp {
    TestApp { model: Model::of_training(settings(glyphs), log, live), now: 1_000, effects: Vec::new() }
}

/// A live training that has come so far.
fn live(iterations: u64) -> TestApp {
    alone(Glyphs::Unicode, curves::log(iterations), true)
}

/// A recorded one, as it is opened.
fn recorded() -> TestApp {
    let mut app = alone(Glyphs::Unicode, curves::log(curves::ITERATIONS), false);
    app.now = 0;
    app
}

fn quits(app: &mut TestApp) -> bool {
    std::mem::take(&mut app.effects).contains(&Effect::Quit)
}

fn screens(settings: &Settings) -> Vec<(&'static str, TestApp)> {
    let of = |iterations: u64, live: bool| {
        let model = Model::of_training(settings.clone(), curves::log(iterations), live);
        TestApp { model, now: 1_000, effects: Vec::new() }
    };
    let whole = || of(curves::ITERATIONS, false);
    let mut played = whole();
    played.press("Space");
    for _ in 0..12 {
        played.press("PgDn");
    }
    let mut middle = whole();
    middle.press("g PgDn PgDn PgDn PgDn");
    let mut asked = of(95, true);
    asked.press("q");
    vec![
        ("live", of(95, true)),
        ("none_yet", of(0, true)),
        ("few", of(3, true)),
        ("stop", asked),
        ("middle", middle),
        ("end", played),
    ]
}

/// From the least that is more than one line to a wall of screens.
const SIZES: [(u16, u16); 5] = [(80, 24), (120, 40), (200, 50), (60, 14), (40, 10)];

/// A state at every size.
fn at_every_size(state: &str) -> Vec<Seen> {
    let mut all = screens(&settings(Glyphs::Unicode)).into_iter();
    let mut app = all.find(|(name, _)| *name == state).unwrap().1;
    SIZES.map(|(width, height)| Seen::of(&mut app, width, height)).into()
}

/// All but the footer, in one line.
fn words(seen: &Seen) -> String {
    let all = [seen.header(), seen.body()].concat().join(" ");
    all.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Cells of bars: eighths of a block.
fn bars(seen: &Seen) -> usize {
    seen.to_string().chars().filter(|letter| ('▁'..='█').contains(letter)).count()
}

#[test]
fn a_training_looks_as_agreed() {
    for seen in at_every_size("live") {
        let size = seen.buffer().area;
        let text = [seen.header(), seen.body()].concat().join("\n");
        insta::assert_snapshot!(format!("training_{}x{}", size.width, size.height), text);
    }
}

#[test]
fn the_footer_of_a_training_offers_what_its_player_can_do_and_no_kill_all_without_a_backend() {
    let live = ["Space play/stop", "[ back", "] on", "? help", ": commands"];
    let recorded = ["Space play/stop", "[ back", "] on", "+ faster", "- slower", "? help", ": commands"];
    for (state, offers) in
        [("live", &live[..]), ("none_yet", &live), ("middle", &recorded), ("end", &recorded)]
    {
        for seen in at_every_size(state) {
            let found = seen.offers();
            // What does not fit is left out, whole.
            let fits: Vec<&str> = offers.iter().copied().take(found.len()).collect();
            assert_eq!(found, fits, "{state}:\n{seen}");
            assert!(
                found.len() >= 4 && (seen.buffer().area.width < 80 || found.len() == offers.len()),
                "{seen}"
            );
        }
    }
}

#[test]
fn before_the_first_iteration_every_value_is_a_dash_and_nothing_is_plotted() {
    for seen in at_every_size("none_yet") {
        let words = words(&seen);
        let begins = words.starts_with("knightwatch training begun 2026-");
        assert!(begins && words.contains(" iteration – – steps seed 7 no iteration yet cost"), "{seen}");
        for value in
            ["reward – an episode", "entropy – nats", "KL – nats", "clipped – %", "explained variance – %"]
        {
            assert!(words.contains(value), "{value}:\n{seen}");
        }
        // The opponents are known before: their lines stand, and the agent's bar is in the legend alone.
        assert_eq!(bars(&seen), words.matches("█ agent –").count(), "{seen}");
        assert!(words.contains("rule 9.8"), "{seen}");
    }
}

#[test]
fn what_is_known_of_a_few_iterations_is_plotted_and_what_is_not_is_dotted() {
    for seen in at_every_size("few") {
        let words = words(&seen);
        assert!(words.contains(" iteration 3 24.6 k steps seed 7 "), "{seen}");
        for value in
            ["reward -35.4 an episode", "entropy 1.85 nats", "KL 0.014 nats", "clipped 11.1 %", " -14.7 %"]
        {
            assert!(words.contains(value), "{value}:\n{seen}");
        }
        let has_plots = seen.buffer().area.height >= 14;
        assert_eq!(seen.to_string().contains('·'), has_plots, "no episode had ended at first:\n{seen}");
        assert_eq!(bars(&seen) > 40, has_plots, "{seen}");
    }
}

#[test]
fn a_recording_is_plotted_as_far_as_it_has_come() {
    for (middle, end) in at_every_size("middle").iter().zip(at_every_size("end")) {
        let tall = middle.buffer().area.height >= 14;
        let (so_far, all) = (words(middle), words(&end));
        assert!(so_far.contains(" recorded ") && all.contains(" recorded "), "{middle}");
        assert!(so_far.contains("iteration 97 795 k steps seed 7") && so_far.contains(" 26 % "), "{middle}");
        assert!(all.contains("iteration 240 1.97 M steps seed 7") && all.contains(" 64 % "), "{end}");
        assert!(!tall || so_far.contains("stands still 30×"), "{middle}");
        let stopped = all.contains("stopped early: no better any more");
        assert_eq!(stopped, end.buffer().area.width >= 80, "{end}");
        for (seen, value) in [(&so_far, "reward -10.4 an episode"), (&all, "reward -8.39 an episode")] {
            assert!(seen.contains(value), "{value}: {seen}");
        }
        let (part, whole) = (bars(middle), bars(&end));
        if tall {
            // 97 iterations of 240.
            let share = part as f64 / whole as f64;
            assert!((0.3..0.5).contains(&share), "{part} cells of {whole}:\n{middle}\n{end}");
        } else {
            assert_eq!((part, whole), (0, 0), "{middle}\n{end}");
        }
    }
}

#[test]
fn the_question_whether_to_stop_lies_over_a_training_that_goes_on() {
    for (seen, behind) in at_every_size("stop").iter().zip(at_every_size("live")) {
        let (place, title, lines) = seen.dialog();
        assert_eq!(
            (title.as_str(), lines[0].as_str(), lines.len()),
            ("stop training?", "The last checkpoint is kept.", 2)
        );
        let asked = "y or Ctrl-C stops; n or Esc continues the training";
        assert!(
            lines[1] == asked || seen.buffer().area.width < 60 && lines[1].starts_with(&asked[..30]),
            "{seen}"
        );
        seen.assert_same_outside(&behind, place, &[]);
    }
}

/// What a character is written as where symbols beyond blocks and lines are missing.
fn in_blocks(letter: char) -> &'static [char] {
    match letter {
        '━' => &['█'],
        '╸' => &['▌'],
        '─' => &['░'],
        '▁'..='█' | '│' | '┌' | '┐' | '└' | '┘' => &[],
        _ => in_ascii(letter),
    }
}

#[test]
fn other_glyphs_stand_in_the_same_places() {
    for (glyphs, table) in [(Glyphs::Ascii, in_ascii as Table), (Glyphs::Blocks, in_blocks)] {
        let mut differ = 0;
        let all = screens(&settings(Glyphs::Unicode)).into_iter().zip(screens(&settings(glyphs)));
        for ((_, mut unicode), (_, mut other)) in all {
            for (width, height) in SIZES {
                let unicode = Seen::of(&mut unicode, width, height);
                let other = Seen::of(&mut other, width, height);
                differ += usize::from(unicode.to_string() != other.to_string());
                assert_drawn_alike(&unicode, &other, table);
            }
        }
        assert!(differ >= 25, "only {differ} of 30 differ at all");
    }
}

#[test]
fn ascii_is_ascii_at_every_size() {
    for (name, mut app) in screens(&settings(Glyphs::Ascii)) {
        for (width, height) in SIZES.into_iter().chain([(50, 12), (30, 5)]) {
            let text = app.text(width, height);
            assert!(text.is_ascii(), "{name} at {width}x{height}:\n{text}");
        }
    }
}

#[test]
fn monochrome_has_no_colour_and_says_the_same() {
    let plain = Settings { palette: Palette::Monochrome, ..settings(Glyphs::Unicode) };
    let all = screens(&plain).into_iter().zip(screens(&settings(Glyphs::Unicode)));
    for ((name, mut plain), (_, mut app)) in all {
        for (width, height) in SIZES {
            assert_loses_only_colour(
                name,
                &Seen::of(&mut plain, width, height),
                &Seen::of(&mut app, width, height),
            );
        }
    }
}

#[test]
fn at_every_size_something_true_is_shown() {
    for (name, mut app) in screens(&settings(Glyphs::Unicode)) {
        for width in [1, 2, 20, 40, 59, 60, 79, 104, 130, 250] {
            for height in [1, 3, 9, 10, 13, 14, 16, 17, 20, 24, 33, 80] {
                let text = app.text(width, height);
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
    let mut app = live(40);
    assert!(app.text(120, 40).contains("iteration 40 "));
    app.tell(Message::Training(curves::line(41)));
    let text = app.text(120, 40);
    assert!(text.contains("iteration 41 "), "{text}");
    app.tell(Message::Training(curves::line(41)));
    assert!(app.text(120, 40).contains("out of place: iteration 41: expected one after 41"));
    app.tell(Message::Training(TrainingLine::End(curves::end())));
    assert!(app.text(120, 40).contains("stopped early"), "{}", app.text(120, 40));
}

#[test]
fn looking_back_at_a_live_training_stands_still_until_one_follows_again() {
    let mut app = live(40);
    app.press("[ [");
    app.tell(Message::Training(curves::line(41)));
    let text = app.text(120, 40);
    assert!(text.contains("iteration 38 ") && text.contains("STANDS STILL"), "{text}");
    app.press("Space");
    assert!(app.text(120, 40).contains("iteration 41 "));
    app.press("+");
    assert!(app.text(120, 40).contains("it is as fast as it is"));
}

#[test]
fn stopping_a_trainer_asks_for_y_or_for_ctrl_c_again() {
    let mut app = live(40);
    app.press("q Enter Enter Esc q n");
    assert!(!quits(&mut app));
    assert!(app.press("q").text(80, 24).contains("The last checkpoint is kept"));
    app.press("y");
    assert!(quits(&mut app));
    let mut app = live(40);
    app.press("C-c");
    assert!(!quits(&mut app));
    app.press("C-c");
    assert!(quits(&mut app));
    let mut app = live(40);
    app.tell(Message::Interrupt);
    assert!(!quits(&mut app), "SIGINT is Ctrl-C");
}

#[test]
fn a_recording_is_played_faster_slower_and_scrubbed() {
    let mut app = recorded();
    assert!(app.text(120, 40).contains("playing  30×"), "{}", app.text(120, 40));
    app.wait(1_000).wake();
    assert!(app.text(120, 40).contains("iteration 18 "), "30 s of the training:\n{}", app.text(120, 40));
    app.press("+").wait(1_000).wake();
    assert!(app.text(120, 40).contains("iteration 56 "), "60 s more:\n{}", app.text(120, 40));
    app.press("Space").wait(5_000).wake();
    assert!(app.text(120, 40).contains("iteration 56 "), "it stands still");
    app.press("]");
    assert!(app.text(120, 40).contains("iteration 57 "));
    app.press("PgUp [");
    assert!(app.text(120, 40).contains("iteration 32 "));
    app.press("G");
    assert!(app.text(120, 40).contains("stopped early"));
    assert!(app.model.wake_at().is_none(), "nothing moves by itself any more");
    app.press("q");
    assert!(quits(&mut app), "nothing is lost: it asks nothing");
}

#[test]
fn the_axes_of_a_recording_stand_still_while_it_is_played() {
    let mut app = recorded();
    app.press("g");
    let axis = |app: &mut TestApp| app.text(120, 40).lines().rev().nth(1).unwrap_or_default().to_owned();
    let before = axis(&mut app);
    assert!(before.contains("1.97 M steps"), "{before}");
    assert_eq!(axis(app.press("G")), before);
}

#[test]
fn in_the_control_room_t_opens_the_agents_training_and_kill_all_still_works() {
    let mut app = TestApp::new(settings(Glyphs::Unicode), &scene(12));
    app.press("T");
    let text = app.text(120, 40);
    assert!(text.contains("cost on validation, points a flag") && text.contains("Ctrl-K kill all"), "{text}");
    assert!(app.model.wake_at().is_some(), "it is played");
    app.press("?");
    assert!(app.text(120, 60).contains("keys of the training screen"));
    app.press("Esc C-k").wait(400).press("K");
    assert_eq!(app.orders().len(), 1, "kill-all");
    app.press("Esc q");
    assert!(app.text(120, 40).contains("new-checkout-ui"), "back in the fleet");
    assert!(!quits(&mut app));
    app.press(": 'training Enter");
    assert!(app.text(120, 40).contains("cost on validation, points a flag"));
}

#[test]
fn without_a_backend_nothing_is_ordered_and_the_reason_is_said() {
    let mut app = recorded();
    for key in ["C-k", "F12", "r", "p", "l", "A", "B", "a", "F5", "Tab", "Enter"] {
        app.press(key);
    }
    assert!(app.orders().is_empty());
    let text = app.text(120, 40);
    assert!(text.contains("cost, cost units a flag") && text.contains("no flags to act on"), "{text}");
    app.press("?");
    assert!(app.text(120, 60).contains("keys of the training screen"));
}

#[test]
fn a_note_on_a_log_is_shown_wherever_its_curves_are() {
    let mut log = curves::log(curves::ITERATIONS);
    log.header.note = Some(curves::NOTE.to_owned());
    let text = alone(Glyphs::Unicode, log, false).text(80, 24);
    assert!(text.contains("nothing was trained"), "{text}");
}
