//! What each state of the control room has to show, at every size: said one by one instead of as pictures.

use knightwatch::tui::{COMMANDS, Glyphs};
use knightwatch_core::control::Phase;
use knightwatch_engine::backend::Snapshot;
use ratatui::{
    layout::Rect,
    style::{Color, Modifier},
};

use super::{
    SIZES, latched, screens,
    seen::{Seen, Standing},
};
use crate::support::{
    scene::scene,
    test_app::{TestApp, settings},
};

/// The state of that name, as a room.
fn app(state: &str) -> TestApp {
    let mut all = screens(&settings(Glyphs::Unicode)).into_iter();
    all.find(|(name, _)| *name == state).unwrap_or_else(|| panic!("no state {state}")).1
}

/// A state at every size, each beside the fleet that it came from: as it was after `keys`.
fn over_the_fleet(state: &str, keys: &str) -> Vec<(Seen, Seen)> {
    let (mut state, mut fleet) = (app(state), TestApp::new(settings(Glyphs::Unicode), &scene(12)));
    if !keys.is_empty() {
        fleet.press(keys);
    }
    let at = |(width, height)| (Seen::of(&mut state, width, height), Seen::of(&mut fleet, width, height));
    SIZES.map(at).into()
}

fn at_every_size(state: &str) -> Vec<Seen> {
    let mut state = app(state);
    SIZES.map(|(width, height)| Seen::of(&mut state, width, height)).into()
}

/// A screen's body in one line, without gauges: text that may be wrapped or stand beside a gauge is found in it.
fn words(seen: &Seen) -> String {
    let body = seen.body().join(" ").replace(['━', '╸', '─'], " ");
    body.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_all_killed(seen: &Seen, snapshot: &Snapshot) {
    for flag in &snapshot.flags {
        let killed = Standing { phase: "killed".to_owned(), rollout: "0".to_owned() };
        assert_eq!(seen.flag(flag.spec.key.as_str()), killed, "{}:\n{seen}", flag.spec.key);
    }
}

#[test]
fn the_fleet_shows_each_flag_with_its_phase_and_rollout() {
    let snapshot = scene(12);
    assert_eq!(snapshot.flags.len(), 12);
    for seen in at_every_size("fleet") {
        for flag in &snapshot.flags {
            let key = flag.spec.key.as_str();
            let Standing { phase, rollout } = seen.flag(key);
            assert_eq!(rollout, flag.rollout.percent().to_string(), "{key}:\n{seen}");
            let named = match flag.phase {
                Phase::Idle => "idle",
                Phase::Ramping => "ramping",
                Phase::Paused => "paused",
                Phase::RolledBack => "rolled back",
                Phase::Complete => "complete",
                Phase::Killed => "killed",
            };
            // Where there is little room, what is said of the evidence of a ramping flag may stand alone.
            let alone =
                matches!(key, "eu-vat-rounding" | "image-cdn-switch") && seen.buffer().area.width < 120;
            assert_eq!(phase.starts_with(named), !alone, "{key} is {phase:?}:\n{seen}");
            match key {
                "eu-vat-rounding" => assert!(phase.ends_with("regressed"), "{phase}"),
                "image-cdn-switch" => assert!(phase.ends_with("~healthy"), "counts are assumed: {phase}"),
                "new-checkout-ui" | "one-click-refund" => assert_eq!(phase, "ramping healthy"),
                "search-typo-fix" => assert!(phase.starts_with("ramping lost 6"), "{phase}"),
                _ => {}
            }
        }
        assert_eq!(seen.banners().len(), 1, "{seen}");
        assert!(
            seen.banners()[0].starts_with("ALARM high: the shield rolled power-peg back from 10 %"),
            "{seen}"
        );
        assert!(seen.banners()[0].ends_with(" 1 of 2, a acknowledges"), "{seen}");
    }
}

#[test]
fn a_stale_fleet_says_so_in_its_header_and_beside_every_age_and_changes_nothing_else() {
    for (seen, fleet) in over_the_fleet("fleet_stale", "") {
        let header = &seen.header()[0];
        assert!(header.ends_with("STALE 12 s") && header.contains("as of "), "{seen}");
        assert!(fleet.header()[0].ends_with("connected") && !fleet.header()[0].contains("as of"), "{fleet}");
        let height = seen.buffer().area.height;
        let detail = (0..height).find(|y| seen.row(*y).contains("telemetry 4 s old")).unwrap();
        assert!(seen.row(detail).contains("as of 16:04:10: at 10 % for 3 min"), "{seen}");
        seen.assert_same_outside(&fleet, Rect::ZERO, &[0, detail]);
    }
}

#[test]
fn a_latched_fleet_shows_the_banner_every_flag_off_and_offers_no_change_of_a_flag() {
    let snapshot = latched(scene(12));
    for (seen, banner) in at_every_size("latched").iter().zip([
        "KILL-ALL by maria 16:02; 12 of 12 flags at 0 %; agent locked out; F12 re-arms",
        "KILL-ALL by maria 16:02: payments are failing; 12 of 12 flags at 0 %; agent locked out; F12 re-arms",
        "KILL-ALL in force: set by maria at 16:02:35 UTC (1 min ago): payments are failing; 12 of 12 flags at 0 %; \
         the agent is locked out; F12 re-arms",
    ]) {
        assert_eq!(seen.banners()[0], banner);
        assert_eq!(seen.banners().len(), 2, "the alarm stays: {seen}");
        assert!(seen.header()[1].ends_with("  12 flags, 12 killed"), "{seen}");
        assert_all_killed(seen, &snapshot);
        for change in ["p ", "r ", "o ", "F5 ", "F8 "] {
            assert!(!seen.offers().iter().any(|offer| offer.starts_with(change)), "{change}: {seen}");
        }
    }
    let narrow = &at_every_size("latched")[0];
    assert_eq!(
        narrow.offers(),
        ["a acknowledge", "Enter open", "s sort", "l log", "A alarms", "y copy", "Ctrl-K kill all"]
    );
}

#[test]
fn without_contact_the_reason_stands_below_the_latch_and_above_the_alarm() {
    let snapshot = latched(scene(12));
    for seen in at_every_size("fleet_no_contact") {
        assert!(
            seen.header()[0].ends_with("NO CONTACT 12 s") && seen.header()[0].contains("as of "),
            "{seen}"
        );
        let banners = seen.banners();
        assert_eq!(banners.len(), 3, "{seen}");
        assert!(
            banners[0].starts_with("KILL-ALL ") && banners[0].contains("12 of 12 flags at 0 %"),
            "{seen}"
        );
        assert!(banners[1].contains("expected a valid bearer token, or the unix socket"), "{seen}");
        assert!(banners[2].starts_with("ALARM high: "), "{seen}");
        assert_all_killed(&seen, &snapshot);
    }
}

#[test]
fn a_policy_that_explains_itself_is_shown_with_each_probability_and_what_moved_it() {
    for seen in at_every_size("flag_explained") {
        let narrow = seen.buffer().area.width < 120;
        let words = words(&seen);
        assert!(words.starts_with("new-checkout-ui ramping 25 % for 4 min"), "{seen}");
        assert!(
            words.contains("agent: raise to 50 %, vetoed 3 times in a row by the shield: 4 min"),
            "{seen}"
        );
        for said in ["2 492 on, 8 706 off requests", "PROPOSAL raise to 50 %", "value -12.4"] {
            assert!(words.contains(said), "{said}:\n{seen}");
        }
        for (choice, probability, rounded) in [
            ("roll back", "0.04 %", "<1 %"),
            ("step down", "2.0 %", "2 %"),
            ("hold", "31 %", "31 %"),
            ("raise 1", "67 %", "67 %"),
            ("raise 2", "shut", "shut"),
            ("raise 3", "shut", "shut"),
        ] {
            let shown = format!("{choice} {}", if narrow { rounded } else { probability });
            assert!(words.contains(&shown), "{shown}:\n{seen}");
        }
        let history: Vec<String> =
            seen.body().into_iter().skip_while(|row| !row.contains(" history ")).collect();
        assert!(
            history[1].starts_with("× 16:03:30  agent      stays at 25 %: vetoed raise to 50 %"),
            "{seen}"
        );
        assert!(history[2].starts_with("▲ 16:00:10  agent      raised from 10 % to 25 %"), "{seen}");
        assert!(narrow || words.contains("moved most by errors since the last change"), "{seen}");
    }
}

#[test]
fn a_flag_of_jobs_counts_jobs_and_a_policy_without_probabilities_is_said_to_have_none() {
    for seen in at_every_size("flag_job") {
        let words = words(&seen);
        assert!(words.starts_with("use-new-postgres-index ramping 5 % for 12 min reports, jobs: "), "{seen}");
        assert!(words.contains("782 on, 14 266 off jobs") && !words.contains("off requests"), "{seen}");
        assert!(words.contains("PROPOSAL raise to 10 %"), "{seen}");
        assert!(words.contains("flagger has no probabilities:"), "{seen}");
        assert!(!words.contains("shut") && !words.contains("value -"), "{seen}");
        assert!(words.ends_with("nothing has happened to it yet"), "{seen}");
        assert_eq!(seen.footer(), "sorted by name", "the notice stands in the footer's place");
    }
}

#[test]
fn a_dialog_says_what_it_asks_and_lies_over_a_screen_that_stays_as_it_is() {
    let form = [
        "now ramping at 12.5 %; the agent keeps off until this expires",
        "▸ share  140        percent, 0 to 100",
        "for               minutes; empty: the backend's default hold",
        "reason",
        "guard  [ ] hard limits stay on (Space switches them off)",
        "share: expected a number from 0 to 100 (percent), found \"140\"",
        "Enter set   Tab next field   Esc cancel",
    ];
    let question = [
        "roll back eu-vat-rounding?",
        "It is ramping at 10 %.",
        "It goes to 0 % at once; only a person starts it again.",
        "y roll back   n cancel",
    ];
    for (state, keys, title, lines) in [
        ("override", "j", "override one-click-refund", &form[..]),
        ("rollback", "", "roll back", &question[..]),
    ] {
        for (seen, fleet) in over_the_fleet(state, keys) {
            let (place, titled, said) = seen.dialog();
            assert_eq!((titled.as_str(), said), (title, lines.iter().map(|&line| line.to_owned()).collect()));
            seen.assert_same_outside(&fleet, place, &[]);
        }
    }
}

#[test]
fn re_arming_names_the_environment_it_wants_and_what_was_typed() {
    for (seen, behind) in at_every_size("rearm").into_iter().zip(at_every_size("latched")) {
        let (place, title, lines) = seen.dialog();
        assert_eq!(title, "re-arm");
        assert_eq!(lines[0], "This opens the kill latch and starts nothing: every flag stays killed.");
        assert!(lines[1].starts_with("▸ name   dmo ") && lines[1].ends_with(" type demo"), "{seen}");
        let rest = [
            "reason",
            "name: expected the environment's name, \"demo\", found \"dmo\"",
            "Enter re-arm   Tab next field   Esc cancel",
        ];
        assert_eq!(lines[2..], rest);
        seen.assert_same_outside(&behind, place, &[]);
    }
}

#[test]
fn the_palette_lists_what_fits_the_letters_with_keys_and_why_not() {
    for (seen, fleet) in over_the_fleet("palette", "") {
        let (place, title, lines) = seen.dialog();
        assert_eq!((title.as_str(), lines[0].as_str()), ("commands", ": ro"));
        let commands = [
            "▸ roll back             r       this flag to 0 %; asks for y",
            "promote               F8      this flag straight to 100 %; asks for y",
            "override              o       set this flag's rollout by hand, with an",
            "re-arm                F12     not now: kill-all is not in force",
            "speed up              +       controller time faster",
            "slow down             -       controller time slower",
        ];
        for (line, command) in lines[1..].iter().zip(commands) {
            assert!(line.starts_with(command), "{line:?} instead of {command:?}:\n{seen}");
        }
        // Below them a rule, and what the one under the cursor does.
        assert_eq!(lines.len(), 1 + commands.len() + 2, "{seen}");
        assert_eq!(lines.last().unwrap(), "this flag to 0 %; asks for y");
        seen.assert_same_outside(&fleet, place, &[]);
    }
}

#[test]
fn the_kill_panel_says_what_is_known_and_lies_over_a_screen_that_stays_as_it_is() {
    let done = "KILL-ALL: every flag off (9 had traffic, 12 in all)";
    let closes = "Esc closes this panel; the latch stays until a person re-arms (F12).";
    for (state, keys, said) in [
        (
            "kill_armed",
            "j",
            "Sets all 12 flags to 0 % (10 have treatment traffic now) and locks the agent out until a person re-arms. \
             K executes. Any other key cancels. It disarms by itself after 10 s."
                .to_owned(),
        ),
        (
            "kill_sent",
            "",
            "SENT. No acknowledgement yet: nothing is known to be off. \
             If none comes, from another terminal: knightwatch kill-all --yes --env demo"
                .to_owned(),
        ),
        (
            "kill_acknowledged",
            "",
            format!(
                "ACKNOWLEDGED as #112, in force and on the disk. 12 of 12 flags are at 0 % in knightwatch; \
                 applications are not checked. {done} {closes}"
            ),
        ),
        (
            "kill_not_sent",
            "",
            "NOT SENT: no contact for 12 s. Nothing has changed. \
             From another terminal: knightwatch kill-all --yes --env demo \
             Ctrl-K arms it again. Esc closes this panel."
                .to_owned(),
        ),
        (
            "kill_not_durable",
            "",
            format!(
                "ACKNOWLEDGED, in force, NOT durable: it could not be written to the disk. \
                 12 of 12 flags are at 0 % in knightwatch; applications are not checked. {done} {closes}"
            ),
        ),
    ] {
        for (seen, fleet) in over_the_fleet(state, keys) {
            let (place, shown) = seen.kill_panel();
            assert_eq!(shown, format!("KILL-ALL, environment demo {said}"), "{state}");
            seen.assert_same_outside(&fleet, place, &[]);
        }
    }
}

#[test]
fn a_footer_offers_whole_commands_and_kill_all_at_its_right_end() {
    for (name, mut app) in screens(&settings(Glyphs::Unicode)) {
        for (width, height) in SIZES {
            let seen = Seen::of(&mut app, width, height);
            if name == "flag_job" {
                assert_eq!(seen.footer(), "sorted by name");
                continue;
            }
            let style = |x: u16| seen.buffer().cell((x, height - 1)).unwrap().style();
            let (key, word) = (style(0), style(width - 1));
            assert!(
                key.add_modifier.contains(Modifier::BOLD) && key.fg == Some(Color::Reset),
                "{name}: {key:?}"
            );
            assert!(!word.add_modifier.contains(Modifier::BOLD) && word.fg != key.fg, "{name}: {word:?}");
            let mut offers = seen.offers();
            assert!(offers.len() >= 5, "{name}: {offers:?}");
            assert_eq!(offers.pop().as_deref(), Some("Ctrl-K kill all"), "{name}: {seen}");
            assert_eq!(seen.footer().chars().count(), usize::from(width), "{name}: {seen}");
            for offer in offers {
                let is_it = |(key, short): (String, &str)| offer == format!("{key} {short}");
                let mut known =
                    COMMANDS.iter().filter_map(|spec| Some((spec.keys.first()?.label(), spec.short)));
                assert!(known.any(is_it), "{name}: {offer:?} is no command");
            }
        }
    }
}

/// What a character is written as where there is ASCII alone.
pub(crate) fn in_ascii(letter: char) -> &'static [char] {
    match letter {
        '▁' => &['_'],
        '▂' | '·' => &['.'],
        '▃' => &[','],
        '▄' | '╸' | '–' => &['-'],
        '▅' => &['='],
        '▆' | '┌' | '┐' | '└' | '┘' => &['+'],
        '▇' | '★' => &['*'],
        '█' => &['#'],
        // A gauge, or control's line in a chart.
        '━' => &['=', 'o'],
        // A rule, the empty part of a gauge, or control's recorded line in a chart.
        '─' => &['-', '.', ':'],
        '│' => &['|'],
        '▸' => &['>'],
        '▲' => &['^'],
        '▼' => &['v'],
        '◆' => &['@'],
        '◇' => &['d'],
        '×' => &['x'],
        '…' => &['~'],
        _ => &[],
    }
}

/// What a character may be written as with other glyphs.
pub(crate) type Table = fn(char) -> &'static [char];

/// Asserts that the second screen is the first with other characters in the same places.
pub(crate) fn assert_drawn_alike(unicode: &Seen, other: &Seen, table: Table) {
    assert_eq!(unicode.buffer().area, other.buffer().area);
    for (one, two) in unicode.buffer().content.iter().zip(&other.buffer().content) {
        let (one, two) = (one.symbol(), two.symbol());
        let is_mapped = |letter: char| table(letter).iter().any(|&plain| two.chars().eq([plain]));
        let mapped = one.chars().next().is_some_and(is_mapped);
        assert!(one == two || mapped, "{one:?} became {two:?}:\n{unicode}\n{other}");
    }
}

#[test]
fn ascii_differs_from_unicode_in_its_glyphs_alone() {
    let mut glyphs = 0;
    for ((name, mut unicode), (_, mut ascii)) in
        screens(&settings(Glyphs::Unicode)).into_iter().zip(screens(&settings(Glyphs::Ascii)))
    {
        for (width, height) in SIZES {
            let (unicode, ascii) =
                (Seen::of(&mut unicode, width, height), Seen::of(&mut ascii, width, height));
            assert!(ascii.to_string().is_ascii(), "{name}:\n{ascii}");
            assert_drawn_alike(&unicode, &ascii, in_ascii);
            glyphs += unicode.buffer().content.iter().filter(|cell| !cell.symbol().is_ascii()).count();
        }
    }
    assert!(glyphs > 1_000, "only {glyphs} cells differ");
}
