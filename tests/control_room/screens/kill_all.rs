//! Kill-all as a person does it: arming, the quiet time, the ten seconds, and what the panel may say when.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use knightwatch::tui::{ARMED_MS, Glyphs, Message, QUIET_MS, Real};
use knightwatch_core::{
    control::{Actor, Command, Refusal, Seq},
    telemetry::Millis,
};
use knightwatch_engine::backend::{Ack, Link, OrderError, Update};

use crate::screens::latched;
use crate::support::{
    scene::{change, scene},
    test_app::{TestApp, ack, kill_ack, settings},
};

fn app() -> TestApp {
    TestApp::new(settings(Glyphs::Unicode), &scene(12))
}

fn text(app: &mut TestApp) -> String {
    app.text(120, 40)
}

#[test]
fn it_arms_on_every_screen_and_over_every_dialog() {
    let mut unbriefed = scene(12);
    unbriefed.controller.briefed = false;
    for keys in ["Esc", "Enter", "l", "A", "?", "B", ":", ": 'ro", "r", "o", "o '12 Tab", "F5"] {
        for arm in ["C-k", "C-x"] {
            let mut app = app();
            app.press(keys).press(arm);
            let shown = text(&mut app);
            assert!(shown.contains("KILL-ALL, environment demo"), "after {keys}: {shown}");
            assert!(shown.contains("Sets all 12 flags to 0 % (10 have treatment traffic now)"), "{shown}");
            app.wait(QUIET_MS).press("K");
            assert_eq!(app.orders()[0].command, Command::KillAll, "after {keys} {arm}");
        }
    }
    let mut briefing = TestApp::new(settings(Glyphs::Unicode), &unbriefed);
    briefing.press("C-k").wait(QUIET_MS).press("K");
    assert_eq!(briefing.orders().len(), 1, "the briefing is not in its way");
}

#[test]
fn without_contact_nothing_that_is_shown_is_said_to_be_so_now() {
    for link in [
        Link::Stale(Millis::from_secs(12)),
        Link::Lost { age: Millis::from_secs(240), why: Some("no route".to_owned()) },
    ] {
        let mut app = TestApp::new(settings(Glyphs::Unicode), &latched(scene(12)));
        let connected = text(&mut app);
        assert!(connected.contains("min ago") && !connected.contains("as of"), "{connected}");
        app.tell(Message::Update(Update::Link(link)));
        let clock = "as of 16:04:10";
        let fleet = text(&mut app);
        let detail = fleet.lines().find(|line| line.contains("telemetry")).unwrap();
        assert!(detail.contains(&format!("{clock}: at 0 % for")), "{fleet}");
        let banner = fleet.lines().find(|line| line.contains("KILL-ALL")).unwrap();
        assert!(!banner.contains("ago"), "{fleet}");
        assert!(fleet.lines().next().unwrap().contains("as of 2026-03-06 16:04:10 UTC"), "{fleet}");
        app.press("C-k");
        let panel = text(&mut app);
        assert!(panel.contains(&format!("(0 had treatment traffic {clock})")), "{panel}");
        app.press("Esc Enter");
        let flag = app.text(120, 40);
        assert!(flag.contains(&format!("old {clock}")), "{flag}");
    }
}

#[test]
fn it_works_before_the_first_snapshot_and_on_the_smallest_screen() {
    let mut app =
        TestApp { model: knightwatch::tui::Model::new(settings(Glyphs::Ascii)), now: 0, effects: vec![] };
    assert!(app.press("C-x").text(1, 1).trim() != "");
    assert!(app.text(60, 5).contains("KILL-ALL armed"));
    app.wait(QUIET_MS).press("K");
    assert_eq!(app.orders().len(), 1);
}

#[test]
fn one_order_under_the_operators_name_and_no_second_one_while_it_is_out() {
    let mut app = app();
    app.press("C-k").wait(QUIET_MS).press("K").wait(QUIET_MS).press("K K C-k").wait(QUIET_MS).press("K");
    let orders = app.orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].actor, Actor::Person("maria".to_owned()));
    assert!(orders[0].id.0.starts_with("run7-"));
}

#[test]
fn k_counts_only_after_a_quiet_moment_and_a_sooner_one_restarts_it() {
    let mut app = app();
    app.press("C-k").wait(QUIET_MS - 1).press("K");
    assert!(app.orders().is_empty(), "too soon");
    assert!(text(&mut app).contains("Hold on: that K came within 300 ms of another key and did nothing"));
    assert!(app.text(60, 5).contains("HOLD ON"));
    for _ in 0..20 {
        app.wait(30).press("K");
    }
    assert!(app.orders().is_empty(), "a held key does nothing");
    app.wait(QUIET_MS - 1).press("K");
    assert!(app.orders().is_empty(), "each K starts the quiet time anew");
    app.press("C-k");
    assert!(!text(&mut app).contains("Hold on"), "armed anew");
    app.wait(QUIET_MS).press("K");
    assert_eq!(app.orders().len(), 1, "and none of them disarmed it");
}

#[test]
fn a_repeated_k_of_a_terminal_that_tells_never_counts() {
    let mut app = app();
    app.press("C-k").wait(QUIET_MS);
    let held = KeyEvent::new_with_kind(KeyCode::Char('K'), KeyModifiers::SHIFT, KeyEventKind::Repeat);
    app.tell(Message::Key(held));
    assert!(app.orders().is_empty());
    let released = KeyEvent::new_with_kind(KeyCode::Char('x'), KeyModifiers::NONE, KeyEventKind::Release);
    app.tell(Message::Key(released));
    app.wait(QUIET_MS);
    let shifted = KeyEvent::new(KeyCode::Char('K'), KeyModifiers::SHIFT);
    app.tell(Message::Key(shifted));
    assert_eq!(app.orders().len(), 1, "letting a key go is no key");
}

#[test]
fn anything_else_cancels_and_is_not_read_as_a_command() {
    for keys in ["k", "Esc", "Enter", "y", "p", "r", "q", "C-c", "j", "Space", "F5"] {
        let mut app = app();
        app.press("C-k").wait(QUIET_MS).press(keys);
        assert!(app.effects.is_empty(), "{keys}");
        assert!(text(&mut app).contains("kill-all disarmed: nothing was sent"), "{keys}");
        app.wait(QUIET_MS).press("K");
        assert!(app.effects.is_empty(), "{keys}");
    }
    let mut app = app();
    app.press("C-k");
    app.tell(Message::Paste("K".to_owned()));
    app.wait(QUIET_MS).press("K");
    assert!(app.effects.is_empty(), "a paste cancels");
}

#[test]
fn it_disarms_by_itself_and_says_so() {
    let mut app = app();
    let start = app.now;
    app.press("C-k");
    assert_eq!(app.model.wake_at(), Some(Real(start + QUIET_MS)), "to say that K counts now");
    app.wait(QUIET_MS).wake();
    assert!(text(&mut app).contains("K executes"));
    assert_eq!(app.model.wake_at(), Some(Real(start + ARMED_MS)));
    // Arming again restarts the quiet time, not the ten seconds.
    app.press("C-k").wait(ARMED_MS - QUIET_MS).wake();
    assert!(text(&mut app).contains("kill-all disarmed"));
    app.press("K");
    assert!(app.orders().is_empty());
}

#[test]
fn nothing_is_called_done_before_the_acknowledgement() {
    let mut app = app();
    app.press("C-k").wait(QUIET_MS).press("K");
    let id = app.orders()[0].id.clone();
    let shown = text(&mut app);
    assert!(shown.contains("SENT. No acknowledgement yet: nothing is known to be off."), "{shown}");
    assert!(shown.contains("knightwatch kill-all --yes --env demo"));
    assert!(!shown.contains("ACKNOWLEDGED") && !shown.contains("in force"), "{shown}");
    app.press("Esc");
    assert!(!text(&mut app).contains("SENT. No"), "the panel can be closed");
    app.answer(&id, Ok(kill_ack(12)));
    let shown = text(&mut app);
    assert!(shown.contains("ACKNOWLEDGED as #112, in force and on the disk."), "{shown}");
    assert!(
        shown.contains("  12 of 12 flags are at 0 % in knightwatch; applications are not checked."),
        "{shown}"
    );
}

#[test]
fn the_key_that_the_acknowledgement_names_opens_the_form_that_re_arms() {
    let snapshot = scene(12);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    app.press("C-k").wait(QUIET_MS).press("K");
    let id = app.orders()[0].id.clone();
    app.press("F12");
    assert!(text(&mut app).contains("SENT. No acknowledgement yet"), "not before the acknowledgement");
    app.answer(&id, Ok(kill_ack(12)));
    app.change(change(&latched(snapshot), false));
    assert!(text(&mut app).contains("until a person re-arms (F12)"));
    app.press("F12");
    let shown = text(&mut app);
    assert!(shown.contains("This opens the kill latch and starts nothing"), "{shown}");
    assert!(!shown.contains("ACKNOWLEDGED"), "{shown}");
}

#[test]
fn an_answer_that_is_not_durable_or_not_complete_says_so() {
    let mut app = app();
    app.press("C-k").wait(QUIET_MS).press("K");
    let id = app.orders()[0].id.clone();
    app.answer(&id, Ok(Ack { durable: false, ..kill_ack(5) }));
    let shown = text(&mut app);
    assert!(
        shown.contains("ACKNOWLEDGED, in force, NOT durable: it could not be written to the disk."),
        "{shown}"
    );
    assert!(shown.contains("  ONLY 5 of 12 flags are at 0 % in knightwatch"), "{shown}");
    assert!(!shown.contains("on the disk."), "{shown}");
}

#[test]
fn an_answer_by_the_latch_file_alone_claims_neither_a_journal_entry_nor_a_count() {
    let mut app = app();
    app.press("C-k").wait(QUIET_MS).press("K");
    let id = app.orders()[0].id.clone();
    let warning = "in force; it is on the disk as the latch file; the engine has not answered yet";
    let answer = Ack { seq: Seq(0), warnings: vec![warning.to_owned()], ..ack("Kill-all is in force") };
    app.answer(&id, Ok(answer));
    let shown = text(&mut app);
    assert!(shown.contains("ACKNOWLEDGED, in force and on the disk."), "{shown}");
    assert!(shown.contains(warning), "{shown}");
    assert!(!shown.contains("#0") && !shown.contains("flags are at 0 %"), "{shown}");
}

#[test]
fn what_did_not_go_out_is_called_not_sent_with_the_way_that_is_left() {
    let mut app = app();
    app.press("C-k").wait(QUIET_MS).press("K");
    let first = app.orders()[0].id.clone();
    app.answer(&first, Err(OrderError::NotSent("no contact for 12 s".to_owned())));
    let shown = text(&mut app);
    assert!(shown.contains("NOT SENT: no contact for 12 s. Nothing has changed."), "{shown}");
    assert!(shown.contains("From another terminal: knightwatch kill-all --yes --env demo"), "{shown}");
    app.press("C-k").wait(QUIET_MS).press("K");
    let second = app.orders()[0].id.clone();
    assert_ne!(first, second, "a new order has a new id");
    app.answer(&first, Ok(ack("every flag off")));
    assert!(!text(&mut app).contains("ACKNOWLEDGED"), "an answer to another order says nothing of this one");
    app.answer(&second, Err(OrderError::Unknown("the link broke".to_owned())));
    assert!(text(&mut app).contains("It may or may not have acted."));
}

#[test]
fn the_latch_is_a_banner_on_every_screen_with_who_and_when() {
    let mut snapshot = scene(12);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    snapshot = latched(snapshot);
    app.change(change(&snapshot, false));
    for keys in ["Esc", "Enter", "l", "A", "?", "B"] {
        app.press(keys);
        let shown = text(&mut app);
        assert!(shown.contains("KILL-ALL by maria 16:02: payments are failing;"), "{keys}: {shown}");
    }
}

#[test]
fn re_arming_wants_the_name_and_a_reason_and_closes_what_is_over() {
    let mut snapshot = latched(scene(12));
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    app.press("F12 Enter");
    assert!(text(&mut app).contains("expected the environment's name, \"demo\", found nothing"));
    app.press("'prod Enter");
    assert!(text(&mut app).contains("found \"prod\""));
    app.press("C-u 'demo Enter");
    assert!(text(&mut app).contains("expected a reason, found nothing"));
    assert!(app.orders().is_empty());
    app.press("'cause_found Enter");
    let orders = app.orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].reason, "cause found");
    assert_eq!(orders[0].command, Command::Rearm { environment: "demo".to_owned() });
    app.answer(&orders[0].id, Err(OrderError::Refused(Refusal::NotLatched)));
    assert!(text(&mut app).contains("refused: nothing to re-arm"));
    assert!(text(&mut app).contains("KILL-ALL by maria"));
    snapshot.controller.latch = None;
    app.change(change(&snapshot, false));
    assert!(!text(&mut app).contains("KILL-ALL"));
}

#[test]
fn rows_stand_still_while_it_is_armed() {
    let mut snapshot = scene(12);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let first = |app: &mut TestApp| text(app).lines().nth(4).unwrap_or_default()[..20].to_owned();
    let before = first(&mut app);
    app.press("C-k");
    let place = snapshot.flags.iter().position(|flag| flag.spec.key.as_str() == "eu-vat-rounding").unwrap();
    snapshot.flags[place].verdict = knightwatch_core::telemetry::Verdict::Healthy;
    app.change(change(&snapshot, false));
    assert_eq!(before, first(&mut app));
    app.press("Esc");
    assert_ne!(before, first(&mut app));
}
