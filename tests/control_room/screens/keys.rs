//! What each key does, and what it refuses to do.

use std::collections::BTreeSet;

use crossterm::event::{KeyCode, KeyModifiers};
use knightwatch::tui::{
    COMMANDS, Chord, CommandId, Effect, Glyphs, Message, ScreenId, Settings, key_table_markdown,
};
use knightwatch_core::{
    control::{
        Actor, AlarmId, AlarmKind, Archived, Command, Latch, ORDERS, Offer, Phase, RearmAsked, Refusal, Seq,
        Shelf, SpecChange,
    },
    flag::Ladder,
    telemetry::Millis,
};
use knightwatch_engine::backend::{OrderError, Pace, Snapshot};

use super::{latched, seen::Seen};
use crate::support::{
    scene::{change, key, percent, scene, tick},
    test_app::{TestApp, ack, settings},
};

fn app() -> TestApp {
    TestApp::new(settings(Glyphs::Unicode), &scene(12))
}

/// The cursor on a flag, by name.
fn at(name: &str) -> TestApp {
    let mut app = app();
    while !selected(&mut app).contains(name) {
        let before = selected(&mut app);
        app.press("j");
        assert_ne!(before, selected(&mut app), "{name} is not in the fleet");
    }
    app
}

fn selected(app: &mut TestApp) -> String {
    app.text(120, 40).lines().find(|line| line.starts_with('▸')).unwrap_or_default().to_owned()
}

fn only(app: &mut TestApp) -> Command {
    let mut orders = app.orders();
    assert_eq!(orders.len(), 1, "one order");
    orders.remove(0).command
}

#[test]
fn no_key_means_two_things_on_one_screen() {
    for screen in ScreenId::all() {
        let mut seen = BTreeSet::new();
        for spec in COMMANDS.iter().filter(|spec| spec.screens.includes(screen)) {
            for chord in spec.keys {
                assert!(seen.insert(chord.label()), "{} twice on {screen:?}", chord.label());
            }
        }
    }
    let ids: BTreeSet<_> = COMMANDS.iter().map(|spec| spec.id).collect();
    assert_eq!(ids.len(), COMMANDS.len());
}

#[test]
fn each_order_is_in_the_palette_under_its_name_with_its_keys() {
    for spec in ORDERS {
        let id = CommandId::Order(spec.entry());
        let row = COMMANDS.iter().find(|row| row.id == id).unwrap_or_else(|| panic!("{}", spec.name));
        if let Offer::Entry(entry) = spec.offer {
            let labels: Vec<_> = row.keys.iter().map(Chord::label).collect();
            assert_eq!(labels, entry.keys, "{}: keys as they are printed", spec.name);
        }
        let mut app = app();
        app.press(":").press(&format!("'{}", row.name.replace(' ', "_")));
        let text = app.text(160, 45);
        let chosen = format!("▸ {}", row.name);
        assert!(text.lines().any(|line| line.contains(&chosen)), "{}: {text}", spec.name);
    }
}

#[test]
fn an_order_without_a_key_is_given_from_the_palette_by_a_form_that_its_row_describes() {
    let mut app = at("quiet-hours");
    app.press(":").press("'change_flag").press("Enter");
    assert!(app.text(120, 40).contains("change flag quiet-hours"));
    app.press("'at_night Tab '5,99 Enter");
    assert!(app.orders().is_empty());
    let text = app.text(120, 40);
    assert!(text.contains("ladder: "), "{text}");
    app.press("Backspace").press("'9,100 Tab '- Tab 'asked Enter");
    let orders = app.orders();
    assert_eq!(orders.len(), 1, "{}", app.text(120, 40));
    let change = SpecChange {
        description: Some("at night".to_owned()),
        ladder: Some(Ladder::try_from(vec![percent(5.0), percent(99.0), percent(100.0)]).unwrap()),
        deployment: Some(None),
    };
    assert_eq!(orders[0].command, Command::Change { flag: key("quiet-hours"), change });
    assert_eq!(orders[0].reason, "asked");
    app.press(":").press("'archive").press("Enter");
    assert!(app.text(120, 40).contains("archive quiet-hours?"));
    assert_eq!(only(app.press("y")), Command::Archive { flag: key("quiet-hours") });
    app.press(":").press("'create_flag").press("Enter");
    app.press("'dark-mode Tab 'web Enter");
    let Command::Create { spec } = only(&mut app) else { panic!("a flag is made") };
    assert_eq!((spec.key, spec.service.as_str()), (key("dark-mode"), "web"));
}

#[test]
fn the_key_table_names_every_key() {
    let table = key_table_markdown();
    for spec in COMMANDS {
        // What has no key is in the palette alone.
        assert_eq!(table.contains(spec.help), !spec.keys.is_empty(), "{}", spec.help);
        for chord in spec.keys {
            assert!(table.contains(&format!("`{}`", chord.label())));
        }
    }
    insta::assert_snapshot!("key_table", table);
}

#[test]
fn p_pauses_at_once_and_resumes_what_is_paused() {
    assert_eq!(only(at("new-checkout-ui").press("p")), Command::Pause { flag: key("new-checkout-ui") });
    assert_eq!(only(at("fraud-score-v3").press("p")), Command::Resume { flag: key("fraud-score-v3") });
    let mut idle = at("quiet-hours");
    idle.press("p");
    assert!(idle.orders().is_empty());
    assert!(idle.text(120, 40).contains("quiet-hours is idle: nothing to pause"));
}

#[test]
fn p_twice_is_one_order_until_the_answer_is_here() {
    let mut app = at("new-checkout-ui");
    app.press("p p");
    let orders = app.orders();
    assert_eq!(orders.len(), 1);
    app.answer(&orders[0].id, Ok(ack("new-checkout-ui paused.")));
    app.press("p");
    assert_eq!(app.orders().len(), 1);
}

#[test]
fn rolling_back_asks_for_y_and_enter_is_not_enough() {
    let mut app = at("new-checkout-ui");
    app.press("r Enter Enter j Space");
    assert!(app.orders().is_empty());
    assert!(app.text(120, 40).contains("roll back new-checkout-ui?"));
    app.press("n");
    assert!(app.orders().is_empty());
    assert_eq!(only(app.press("r y")), Command::Rollback { flag: key("new-checkout-ui") });
    app.press("y");
    assert!(app.orders().is_empty(), "the dialog is closed");
}

#[test]
fn a_dialog_keeps_its_flag_while_rows_move() {
    let mut snapshot = scene(12);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let before = selected(&mut app);
    assert!(before.contains("eu-vat-rounding"), "the regressed flag is first: {before}");
    app.press("r");
    let rows = |app: &mut TestApp, snapshot: &Snapshot| -> Vec<u16> {
        let seen = Seen::of(app, 120, 60);
        snapshot.flags.iter().map(|flag| seen.flag_row(flag.spec.key.as_str())).collect()
    };
    let order = rows(&mut app, &snapshot);
    let place = snapshot.flags.iter().position(|flag| flag.spec.key.as_str() == "eu-vat-rounding").unwrap();
    snapshot.flags[place].phase = Phase::Complete;
    snapshot.flags[place].verdict = knightwatch_core::telemetry::Verdict::Healthy;
    app.change(change(&snapshot, false));
    assert_eq!(rows(&mut app, &snapshot), order, "no row moves under a dialog");
    assert_eq!(only(app.press("y")), Command::Rollback { flag: key("eu-vat-rounding") });
    assert!(rows(&mut app, &snapshot)[place] > order[place], "without it they go where they belong");
    assert!(
        selected(&mut app).contains("eu-vat-rounding"),
        "the cursor stays on the flag, wherever its row went"
    );
}

#[test]
fn the_override_form_refuses_140_and_says_what_it_expected() {
    let mut app = at("new-checkout-ui");
    app.press("o '140 Enter");
    assert!(app.orders().is_empty());
    let text = app.text(120, 40);
    assert!(text.contains("share: expected a number from 0 to 100 (percent), found \"140\""), "{text}");
    for wrong in ["'-1", "'NaN", "'abc", "'1e9"] {
        app.press("Esc o").press(wrong).press("Enter");
        assert!(app.orders().is_empty(), "{wrong}");
    }
    app.press("Esc o '12.5% Tab '0 Enter");
    assert!(app.orders().is_empty());
    assert!(app.text(120, 40).contains("for: expected whole minutes from 1 to 10080"));
}

#[test]
fn the_override_form_makes_one_order_with_everything_in_it() {
    let mut app = at("new-checkout-ui");
    app.press("o '12.5 Tab '30 Tab 'support_asked Tab Space Enter");
    let orders = app.orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].reason, "support asked");
    assert_eq!(
        orders[0].command,
        Command::Set {
            flag: key("new-checkout-ui"),
            rollout: percent(12.5),
            expires_in: Some(Millis::from_secs(1_800)),
            guard_off: true,
        }
    );
    let empty = app.press("o Enter").orders();
    assert!(empty.is_empty(), "Enter alone sets nothing");
}

#[test]
fn the_guard_is_off_only_with_an_expiry_and_a_reason() {
    let mut app = at("new-checkout-ui");
    app.press("o '10 Tab Tab Tab Space Enter");
    assert!(app.orders().is_empty());
    assert!(app.text(120, 40).contains("the guard is never off without an expiry"));
    app.press("'30 Enter");
    assert!(app.orders().is_empty());
    assert!(app.text(120, 40).contains("expected a reason"));
}

#[test]
fn starting_promoting_and_releasing_ask_for_y() {
    let cases = [
        ("quiet-hours", "F5", Command::Start { flag: key("quiet-hours") }),
        ("new-checkout-ui", "F8", Command::Promote { flag: key("new-checkout-ui") }),
        ("fraud-score-v3", "F6", Command::Release { flag: key("fraud-score-v3") }),
    ];
    for (name, press, expected) in cases {
        let mut app = at(name);
        app.press(press).press("Enter");
        assert!(app.orders().is_empty(), "{name}");
        assert_eq!(only(app.press("y")), expected);
    }
}

#[test]
fn what_cannot_be_done_says_why() {
    let mut app = at("new-checkout-ui");
    for (keys, why) in [
        ("F5", "new-checkout-ui is ramping: it was started"),
        ("F6", "new-checkout-ui is not under manual control"),
        ("F12", "kill-all is not in force: nothing to re-arm"),
    ] {
        app.press(keys);
        assert!(app.text(120, 40).contains(why), "{why}");
    }
    let mut full = at("cart-badge");
    assert!(full.press("F8").text(120, 40).contains("cart-badge is at 100 %"));
    let mut gone = at("power-peg");
    assert!(gone.press("r").text(120, 40).contains("power-peg is rolled back at 0 %"));
    let mut latched = TestApp::new(settings(Glyphs::Unicode), &latched(scene(12)));
    assert!(latched.press("o").text(120, 40).contains("kill-all is in force: re-arm first"));
}

#[test]
fn read_only_answers_every_changing_key_with_the_reason() {
    let mut app = TestApp::new(Settings { read_only: true, ..settings(Glyphs::Unicode) }, &scene(12));
    assert!(app.text(120, 40).contains("READ-ONLY"));
    for keys in ["p", "r", "o", "F5", "F6", "F8", "F12", "a", "+", "-", "C-k", "C-x"] {
        app.press("Esc").press(keys);
        assert!(app.text(120, 40).contains("read-only: nothing can be changed from here"), "{keys}");
    }
    app.wait(400).press("K Enter");
    assert!(app.effects.is_empty(), "nothing left the read-only room: {:?}", app.effects);
}

#[test]
fn q_goes_back_and_quits_at_the_top_and_esc_never_quits() {
    let mut app = app();
    app.press("Enter Esc Esc Esc");
    assert!(app.effects.is_empty());
    app.press("l q");
    assert!(app.effects.is_empty(), "q on the log goes back");
    app.press("r q");
    assert!(app.effects.is_empty(), "q closes the dialog");
    app.press("q");
    assert_eq!(app.effects, [Effect::Quit]);
}

#[test]
fn ctrl_c_closes_first_and_quits_when_pressed_again() {
    let mut app = app();
    app.press("o C-c");
    assert!(app.effects.is_empty());
    assert!(!app.text(120, 40).contains("percent, 0 to 100"));
    app.press("C-c");
    assert!(app.text(120, 40).contains("Ctrl-C again to quit"));
    app.press("j C-c");
    assert!(app.effects.is_empty(), "another key in between");
    app.wait(4_000).press("C-c");
    assert!(app.effects.is_empty(), "too late");
    app.tell(Message::Interrupt);
    assert_eq!(app.effects, [Effect::Quit]);
}

#[test]
fn the_palette_finds_commands_by_letters_and_shows_their_keys() {
    let mut app = at("new-checkout-ui");
    app.press(": 'rlbk");
    let text = app.text(120, 40);
    assert!(text.contains("▸ roll back"), "{text}");
    app.press("Enter");
    assert!(app.text(120, 40).contains("roll back new-checkout-ui?"));
    app.press("Esc : 'kill Enter").wait(400).press("K");
    assert_eq!(only(&mut app), Command::KillAll);
    let mut quits = self::app();
    quits.press(": 'quit Enter");
    assert_eq!(quits.effects, [Effect::Quit]);
}

#[test]
fn speed_goes_up_and_down_its_steps_and_stops() {
    let mut app = app();
    app.press("+ -");
    assert_eq!(app.effects, [Effect::SetPace(Pace::Times(120)), Effect::SetPace(Pace::Times(30))]);
    let mut snapshot = scene(12);
    snapshot.controller.pace = Pace::Times(1);
    let mut slow = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    slow.press("-");
    assert_eq!(slow.effects, [Effect::SetPace(Pace::Stopped)]);
    snapshot.controller.pace = Pace::Stopped;
    slow.change(change(&snapshot, false));
    assert!(slow.text(120, 40).contains("STOPPED"));
    slow.effects.clear();
    slow.press("- +");
    assert_eq!(slow.effects, [Effect::SetPace(Pace::Times(1))]);
    snapshot.simulated = false;
    let mut real = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    real.press("+");
    assert!(real.effects.is_empty() && real.text(120, 40).contains("controller time is real time"));
}

#[test]
fn a_acknowledges_the_most_urgent_alarm_or_the_selected_one() {
    let mut app = app();
    assert_eq!(only(app.press("a")), Command::Acknowledge { alarm: AlarmId(2) });
    assert_eq!(only(app.press("A j a")), Command::Acknowledge { alarm: AlarmId(3) });
    let mut last = self::app();
    last.press("A G a");
    assert!(last.orders().is_empty() && last.text(120, 40).contains("no alarm is waiting"));
}

#[test]
fn z_shelves_an_alarm_for_minutes_and_a_reason_and_never_a_critical_one() {
    let mut app = app();
    app.press("A j z");
    assert!(app.text(120, 40).contains("shelve alarm"));
    app.press("Enter");
    assert!(app.text(120, 40).contains("expected whole minutes from 1 to 480, found nothing"));
    app.press("'500 Enter");
    assert!(app.orders().is_empty() && app.text(120, 40).contains("found \"500\""));
    for _ in 0..3 {
        app.key(KeyCode::Backspace, KeyModifiers::NONE);
    }
    app.press("'30 Enter");
    assert!(app.orders().is_empty() && app.text(120, 40).contains("expected a reason"));
    app.press("'flaps Enter");
    let lasts = Millis::from_secs(1_800);
    assert_eq!(only(&mut app), Command::Shelve { alarm: AlarmId(3), lasts });
    let mut snapshot = scene(12);
    snapshot.controller.alarms.iter_mut().find(|alarm| alarm.id == AlarmId(2)).unwrap().kind =
        AlarmKind::NotDurable;
    let mut critical = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    critical.press("z");
    let said = critical.text(120, 40);
    assert!(critical.orders().is_empty() && said.contains("the highest priority is never hidden"), "{said}");
}

#[test]
fn what_is_shelved_is_counted_and_what_is_archived_is_gone() {
    let mut snapshot = scene(12);
    for alarm in &mut snapshot.controller.alarms {
        let until = Millis(snapshot.controller.now.0 + 600_000);
        alarm.shelf = Some(Shelf { by: "ana".to_owned(), until, why: "known".to_owned() });
    }
    let gone = snapshot.flags[3].spec.key.clone();
    let at = snapshot.controller.now;
    snapshot.flags[3].archived = Some(Archived { at, by: Actor::Person("ana".to_owned()) });
    let count = snapshot.controller.alarms.len();
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let text = app.text(140, 40);
    assert!(text.contains("11 flags") && !text.contains(gone.as_str()), "{text}");
    assert!(text.contains(&format!("{count} alarms shelved")) && !text.contains("a acknowledges"), "{text}");
    app.press("A");
    let text = app.text(140, 40);
    assert!(text.contains("shelved by ana until") && text.contains("(known)"), "{text}");
}

#[test]
fn a_room_shows_who_asked_to_re_arm() {
    let mut snapshot = scene(12);
    let by = Actor::Person("ana".to_owned());
    let asked = RearmAsked {
        by: by.clone(),
        who: "ana".to_owned(),
        at: snapshot.controller.now,
        until: Millis(snapshot.controller.now.0 + 600_000),
    };
    snapshot.controller.latch = Some(Latch {
        by,
        at: snapshot.controller.now,
        seq: Seq(1),
        exposed: 3,
        reason: String::new(),
        asked: Some(asked),
    });
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let text = app.text(200, 50);
    assert!(
        text.contains("ana requested re-arming until") && text.contains("another person confirms with F12"),
        "{text}"
    );
    // What nobody can agree to any more is not shown.
    snapshot.controller.now = Millis(snapshot.controller.now.0 + 600_000);
    let mut later = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    assert!(later.text(200, 50).contains("F12 re-arms"));
}

#[test]
fn the_briefing_is_shown_once_and_acknowledged_by_name() {
    let mut snapshot = scene(12);
    snapshot.controller.briefed = false;
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let sentence = "I comprehend the risks of deploying without feature flags, the difference between CI/CD and \
                    Release, and I know how to start the local environment";
    let text = app.text(120, 60).replace('\n', " ");
    let text: Vec<_> = text.split_whitespace().collect();
    assert!(text.join(" ").contains(sentence));
    assert_eq!(only(app.press("a")), Command::AcknowledgeBriefing);
    assert!(app.text(120, 40).contains("P99 on/off ms"), "back on the fleet");
    app.tell(Message::Update(knightwatch_engine::backend::Update::Snapshot(snapshot.into())));
    assert!(app.text(120, 40).contains("P99 on/off ms"), "not shown again by itself");
}

#[test]
fn the_log_fetches_what_is_older() {
    let mut app = app();
    app.text(80, 24);
    app.press("l G");
    let [Effect::FetchEntries { before: Some(before), limit }] = app.effects.as_slice() else {
        panic!("one fetch: {:?}", app.effects)
    };
    assert_eq!((before.0, *limit > 0), (101, true));
    app.press("G G");
    assert_eq!(app.effects.len(), 1, "one fetch at a time");
    let mut older = scene(12).entries;
    older.truncate(1);
    older[0].seq.0 = 1;
    older[0].sentence = "the very first entry".to_owned();
    app.tell(Message::Entries(Ok(older)));
    assert!(app.press("G").text(80, 24).contains("the very first entry"));
    assert_eq!(app.effects.len(), 1, "the beginning is here");
}

#[test]
fn y_copies_the_key_or_the_sentence() {
    let mut app = at("new-checkout-ui");
    app.press("y l j y");
    app.effects.retain(|effect| matches!(effect, Effect::Copy(_)));
    assert_eq!(app.effects[0], Effect::Copy("new-checkout-ui".to_owned()));
    let Effect::Copy(text) = &app.effects[1] else { panic!("{:?}", app.effects) };
    assert!(text.starts_with("Alarm: the shield rolled power-peg back"));
}

#[test]
fn enter_opens_the_flag_of_a_row_an_entry_or_an_alarm() {
    let mut app = app();
    assert!(app.press("l Enter").text(120, 40).contains("EVIDENCE"));
    assert!(app.press("A Enter").text(120, 40).contains("power-peg  rolled back"));
    assert!(app.press("Tab").text(120, 40).contains("EVIDENCE"), "Tab goes to the next flag");
}

#[test]
fn a_refused_order_is_shown_with_its_reason_and_an_unsent_one_as_not_sent() {
    let mut app = at("new-checkout-ui");
    let id = app.press("p").orders()[0].id.clone();
    assert!(app.text(120, 40).contains("sent: pause new-checkout-ui; no answer yet"));
    let refusal = Refusal::Limit("service checkout would move too much".to_owned());
    app.answer(&id, Err(OrderError::Refused(refusal)));
    assert!(app.text(120, 40).contains("refused: service checkout would move too much"));
    let id = app.press("p").orders()[0].id.clone();
    app.answer(&id, Err(OrderError::NotSent("no contact".to_owned())));
    assert!(app.text(120, 40).contains("pause new-checkout-ui: NOT SENT: no contact"));
}

#[test]
fn pasted_text_is_typed_into_a_field_and_is_never_read_as_keys() {
    let mut app = at("new-checkout-ui");
    app.tell(Message::Paste("rypoq\u{1b}[2J".to_owned()));
    assert!(app.effects.is_empty());
    app.press("o");
    app.tell(Message::Paste("33\n".to_owned()));
    let command = only(app.press("Enter"));
    assert!(matches!(command, Command::Set { rollout, .. } if rollout == percent(33.0)), "{command:?}");
}

#[test]
fn the_bell_rings_once_for_a_critical_alarm() {
    let mut snapshot = scene(12);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    snapshot.controller.alarms[1].kind = knightwatch_core::control::AlarmKind::PolicyFault;
    app.change(change(&snapshot, false));
    app.change(change(&snapshot, false));
    assert_eq!(app.effects, [Effect::Bell]);
}

#[test]
fn a_tick_adds_a_point_and_wakes_nothing_else() {
    let mut snapshot = scene(12);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    app.model.drawn();
    let before = app.text(200, 50);
    app.model.drawn();
    app.change(tick(&mut snapshot));
    assert!(app.model.is_dirty());
    assert_ne!(before, app.text(200, 50));
    assert_eq!(app.model.wake_at(), None, "an idle room sleeps");
    assert!(app.effects.is_empty(), "{:?}", app.effects);
}
