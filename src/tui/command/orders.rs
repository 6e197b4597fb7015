//! The orders as commands of the control room: their rows come from the table of orders, and so does why one is not possible.

use crossterm::event::KeyCode;

use super::{Chord, CommandId, Scope, Spec};
use crate::tui::{
    Model,
    screen::{Ability, briefing},
};
use knightwatch_core::control::{
    Confirmation, ORDERS, Offer, OrderSpec, OrderTarget, PaletteEntry, Seen, SeenFlag,
};
use knightwatch_engine::backend::Link;

/// A row that says nothing: the table is filled from here.
const NOTHING: Spec =
    Spec { id: CommandId::Redraw, name: "", short: "", keys: &[], help: "", screens: Scope::Every };

/// Most keys of one order.
const MAX_KEYS: usize = 2;

const NO_DATA: &str = "no data from the backend yet";

/// The rows: kill-all, what makes things safer, then the others as they stand in the table of orders.
pub(super) const ROWS: &[Spec] = &rows();

const LENGTH: usize = {
    let (mut length, mut place) = (0, 0);
    while place < ORDERS.len() {
        length += matches!(ORDERS[place].offer, Offer::Entry(_)) as usize;
        place += 1;
    }
    length
};

/// The keys of each order of the table, and how many they are.
const KEYS: &[([Chord; MAX_KEYS], usize)] = &{
    let mut keys = [([chord(""); MAX_KEYS], 0); ORDERS.len()];
    let mut place = 0;
    while place < ORDERS.len() {
        if let Offer::Entry(entry) = ORDERS[place].offer {
            let mut key = 0;
            while key < entry.keys.len() {
                keys[place].0[key] = chord(entry.keys[key]);
                key += 1;
            }
            keys[place].1 = key;
        }
        place += 1;
    }
    keys
};

/// Where an order stands among the others: kill-all, then what makes things safer, then the rest.
const fn rank(spec: &OrderSpec) -> u8 {
    match (spec.confirmation, spec.stops) {
        (Confirmation::Arm, _) => 0,
        (_, true) => 1,
        (_, false) => 2,
    }
}

const fn rows() -> [Spec; LENGTH] {
    let mut rows = [NOTHING; LENGTH];
    let mut length = 0;
    let mut now = 0;
    while now <= 2 {
        let mut place = 0;
        while place < ORDERS.len() {
            if let Offer::Entry(entry) = ORDERS[place].offer
                && rank(&ORDERS[place]) == now
            {
                rows[length] = row(&ORDERS[place], entry, KEYS[place].0.as_slice().split_at(KEYS[place].1).0);
                length += 1;
            }
            place += 1;
        }
        now += 1;
    }
    rows
}

const fn row(spec: &OrderSpec, entry: PaletteEntry, keys: &'static [Chord]) -> Spec {
    let PaletteEntry { name, short, help, .. } = entry;
    Spec { id: CommandId::Order(spec.name), name, short, keys, help, screens: screens(spec.target) }
}

/// The screens on which an order can be given.
const fn screens(target: OrderTarget) -> Scope {
    match target {
        OrderTarget::Flag => Scope::With(Ability::Flag),
        OrderTarget::Alarm => Scope::With(Ability::Alarms),
        OrderTarget::Backend => Scope::Every,
        OrderTarget::Briefing => Scope::Only(briefing::ID),
    }
}

/// A key from its name, as it is printed: `p`, `F5`, `Ctrl-K`. What is no such name is no key of a keyboard.
const fn chord(name: &str) -> Chord {
    const fn digit(byte: u8) -> u8 {
        byte.wrapping_sub(b'0')
    }
    match *name.as_bytes() {
        [letter] => Chord { code: KeyCode::Char(letter as char), control: false },
        [b'F', number] => Chord { code: KeyCode::F(digit(number)), control: false },
        [b'F', tens, number] => Chord { code: KeyCode::F(digit(tens) * 10 + digit(number)), control: false },
        [b'C', b't', b'r', b'l', b'-', letter] => {
            Chord { code: KeyCode::Char(letter.to_ascii_lowercase() as char), control: true }
        }
        _ => Chord { code: KeyCode::Null, control: false },
    }
}

/// The order that a command of the palette gives now: of several that share it the first one that is possible.
pub(in crate::tui) fn possible(name: &str, model: &Model) -> Option<&'static OrderSpec> {
    sharing(name).find(|spec| why_not_order(spec, model).is_none())
}

/// Why none of the orders of a command of the palette is possible now.
pub(super) fn why_not(name: &str, model: &Model) -> Option<String> {
    let mut first = None;
    for spec in sharing(name) {
        let why = why_not_order(spec, model)?;
        first.get_or_insert(why);
    }
    first
}

fn sharing(name: &str) -> impl Iterator<Item = &'static OrderSpec> {
    ORDERS.iter().filter(move |spec| spec.entry() == name)
}

fn why_not_order(spec: &OrderSpec, model: &Model) -> Option<String> {
    let fleet = model.fleet.as_ref();
    let mut seen = Seen {
        flag: None,
        alarm: model.alarm_at_hand(),
        latched: fleet.is_some_and(|fleet| fleet.controller.latch.is_some()),
        briefed: fleet.is_some_and(|fleet| fleet.controller.briefed),
        live: matches!(model.link, Link::Embedded | Link::Connected),
    };
    match spec.target {
        // Needs nothing to be seen.
        _ if spec.confirmation == Confirmation::Arm => return None,
        OrderTarget::Backend | OrderTarget::Briefing if fleet.is_none() => return Some(NO_DATA.to_owned()),
        OrderTarget::Backend | OrderTarget::Briefing | OrderTarget::Alarm => {}
        OrderTarget::Flag => {
            let Some(fleet) = fleet else { return Some(NO_DATA.to_owned()) };
            let Some(flag) = model.flag_at_hand().and_then(|key| fleet.flag(key)) else {
                return Some("no flag is selected: go to the fleet or to a flag".to_owned());
            };
            let key = &flag.spec.key;
            if flag.archived.is_some() {
                return Some(format!("{key} was archived: no further action is possible"));
            }
            if spec.raises && seen.latched {
                return Some("kill-all is in force: re-arm first".to_owned());
            }
            if model.is_waiting_for(CommandId::Order(spec.entry()), key) {
                return Some(format!("{key}: the same order is still waiting for its answer"));
            }
            let held = flag.hold.as_ref().is_some_and(|hold| hold.until > fleet.controller.now);
            seen.flag = Some(SeenFlag { key, phase: flag.phase, rollout: flag.rollout, held });
        }
    }
    (spec.why_not)(&seen)
}
