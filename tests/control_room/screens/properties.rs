//! What holds whatever is pressed, said or heard, at whatever size.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use knightwatch::tui::{Effect, Glyphs, Message, QUIET_MS, Settings};
use knightwatch_core::{
    control::{Command, Confirmation, ORDERS, Offer, OrderTarget},
    telemetry::Millis,
};
use knightwatch_engine::backend::{Link, OrderError, Update};
use proptest::prelude::*;

use crate::screens::latched;
use crate::support::{
    scene::{change, scene, tick},
    test_app::{TestApp, ack, settings},
};

#[derive(Clone, Debug)]
enum Step {
    Key(KeyCode, bool),
    Wait(u64),
    Size(u16, u16),
    Tick,
    Latch(bool),
    Link(u8),
    Paste(String),
    Refuse,
    Interrupt,
}

fn keys() -> impl Strategy<Value = KeyCode> {
    prop_oneof![
        8 => prop::sample::select("KkxyropqsajgGlLABTn:?+-= []159%dem".chars().collect::<Vec<_>>()).prop_map(KeyCode::Char),
        1 => any::<char>().prop_map(KeyCode::Char),
        4 => prop::sample::select(vec![
            KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::BackTab, KeyCode::Down, KeyCode::Up,
            KeyCode::PageDown, KeyCode::PageUp, KeyCode::Backspace, KeyCode::Delete, KeyCode::Left, KeyCode::Home,
            KeyCode::F(5), KeyCode::F(6), KeyCode::F(8), KeyCode::F(12),
        ]),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => keys().prop_map(|code| Step::Key(code, false)),
        2 => prop::sample::select(vec!['k', 'x', 'c', 'l', 'u', 'w']).prop_map(|c| Step::Key(KeyCode::Char(c), true)),
        2 => prop_oneof![Just(50_u64), Just(QUIET_MS), Just(11_000)].prop_map(Step::Wait),
        1 => (1_u16..260, 1_u16..90).prop_map(|(width, height)| Step::Size(width, height)),
        1 => Just(Step::Tick),
        1 => any::<bool>().prop_map(Step::Latch),
        1 => (0_u8..5).prop_map(Step::Link),
        1 => ".{0,12}".prop_map(Step::Paste),
        1 => Just(Step::Refuse),
        1 => Just(Step::Interrupt),
    ];
    prop::collection::vec(step, 1..60)
}

/// Whether the keys since the last order are the confirmation of this one that its row of the table of orders documents.
fn confirmed(command: &Command, keys: &[KeyCode], before: &str) -> bool {
    let last = keys.last().copied();
    let Some(spec) = command.spec() else { return false };
    let entry = ORDERS.iter().find(|other| other.name == spec.entry()).unwrap();
    let Offer::Entry(entry) = entry.offer else { return false };
    let flag = command.flag().filter(|_| spec.target == OrderTarget::Flag);
    let title = flag.map_or_else(|| entry.name.to_owned(), |flag| format!("{} {flag}", entry.name));
    match spec.confirmation {
        Confirmation::Arm => last == Some(KeyCode::Char('K')) && before.contains("KILL-ALL"),
        Confirmation::Ask(_) | Confirmation::AskForGood(_) => {
            last == Some(KeyCode::Char('y')) && before.contains(&format!("{title}?"))
        }
        Confirmation::Form { text, .. } => {
            last == Some(KeyCode::Enter)
                && before.contains(&title)
                && (text.contains('{') || before.contains(text))
        }
        // By its key, or by Enter in the palette.
        Confirmation::None => {
            let key = |code: char| entry.keys.contains(&code.to_string().as_str());
            matches!(last, Some(KeyCode::Enter)) || matches!(last, Some(KeyCode::Char(code)) if key(code))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn no_keys_panic_or_act_without_their_confirmation(steps in steps(), read_only in any::<bool>(), ascii in any::<bool>()) {
        let glyphs = if ascii { Glyphs::Ascii } else { Glyphs::Unicode };
        let mut snapshot = scene(12);
        let mut app = TestApp::new(Settings { read_only: read_only && ascii, ..settings(glyphs) }, &snapshot);
        let read_only = read_only && ascii;
        let mut pressed = Vec::new();
        let mut waiting = Vec::new();
        let mut latched_now = false;
        for step in steps {
            let (width, height) = (120, 44);
            app.resize(width, height);
            let before = crate::support::test_app::text(&app.buffer(width, height));
            match step {
                Step::Key(code, control) => {
                    pressed.push(code);
                    let modifiers = if control { KeyModifiers::CONTROL } else { KeyModifiers::NONE };
                    app.tell(Message::Key(KeyEvent::new(code, modifiers)));
                }
                Step::Wait(milliseconds) => { app.wait(milliseconds).wake(); }
                Step::Size(width, height) => {
                    app.resize(width, height);
                    let _ = app.buffer(width, height);
                }
                Step::Tick => { let change = tick(&mut snapshot); app.change(change); }
                Step::Latch(on) => {
                    latched_now = on;
                    snapshot = if on { latched(scene(12)) } else { scene(12) };
                    app.change(change(&snapshot, false));
                }
                Step::Link(state) => app.tell(Message::Update(Update::Link(match state {
                    0 => Link::Connected,
                    1 => Link::Embedded,
                    2 => Link::Stale(Millis::from_secs(12)),
                    3 => Link::Lost { age: Millis::from_secs(200), why: None },
                    _ => Link::Lost { age: Millis::from_secs(5), why: Some("expected a valid bearer token".to_owned()) },
                }))),
                Step::Paste(text) => app.tell(Message::Paste(text)),
                Step::Refuse => if let Some(id) = waiting.pop() {
                    app.answer(&id, Err(OrderError::Unknown("the link broke".to_owned())));
                },
                Step::Interrupt => app.tell(Message::Interrupt),
            }
            for effect in std::mem::take(&mut app.effects) {
                if let Effect::Send(order) = effect {
                    prop_assert!(!read_only, "an order from a read-only room: {:?}", order.command);
                    prop_assert!(confirmed(&order.command, &pressed, &before), "{:?} after {pressed:?}\n{before}", order.command);
                    waiting.push(order.id);
                }
            }
            let after = crate::support::test_app::text(&app.buffer(width, height));
            prop_assert!(!after.contains("ACKNOWLEDGED"), "nothing was acknowledged:\n{after}");
            prop_assert_eq!(after.contains("KILL-ALL by maria 16:02: "), latched_now, "the latch's banner:\n{}", after);
            if !latched_now {
                // The re-arm form may still be open and say that flags stay killed; a notice in the last line may still
                // say why something was refused before.
                let killed = after.lines().take(usize::from(height) - 1).any(|line| line.contains(" killed") && !line.contains("kill latch"));
                prop_assert!(!killed, "nothing is killed:\n{after}");
            }
        }
    }

    #[test]
    fn hostile_text_never_reaches_a_cell(text in "\\PC{0,40}|[\u{0}-\u{1f}\u{7f}-\u{9f}\u{202a}-\u{202e}\u{200b}-\u{200f}a-z\u{301}]{0,60}|(宽|字|a){0,80}", ascii in any::<bool>()) {
        let glyphs = if ascii { Glyphs::Ascii } else { Glyphs::Unicode };
        let mut snapshot = scene(12);
        snapshot.environment.clone_from(&text);
        snapshot.source.clone_from(&text);
        snapshot.controller.policy.about.clone_from(&text);
        for entry in &mut snapshot.entries { entry.sentence.clone_from(&text); }
        for alarm in &mut snapshot.controller.alarms { alarm.text.clone_from(&text); }
        for flag in &mut snapshot.flags {
            if let Some(last) = &mut flag.last { last.what.clone_from(&text); }
            if let Some(ruling) = &mut flag.ruling { ruling.reason = Arc::from(text.as_str()); }
        }
        let mut app = TestApp::new(settings(glyphs), &snapshot);
        for keys in ["Esc", "Enter", "l", "A", "C-k", "Esc", ":"] {
            app.press(keys);
            for (width, height) in [(80, 24), (41, 11)] {
                app.resize(width, height);
                for cell in &app.buffer(width, height).content {
                    let symbol = cell.symbol();
                    prop_assert!(!symbol.chars().any(char::is_control), "{symbol:?}");
                    prop_assert!(!symbol.contains(['\u{202e}', '\u{200b}', '\u{200f}', '\u{2066}']), "{symbol:?}");
                    prop_assert!(symbol.chars().count() <= 12, "a pile of marks: {symbol:?}");
                    prop_assert!(!ascii || symbol.is_ascii(), "{symbol:?}");
                }
            }
        }
        let _ = ack("");
    }
}
