//! Whatever ends the control room, the terminal is as it was, and nothing spins (invariant 13); no byte from outside
//! reaches the terminal (invariant 12). In a real pseudo-terminal, with a real process.
//!
//! Each test calls [`act`] first: the program in the terminal is this binary again, started with the test's name.

use crate::support::{fixture, name_of, pty};

use std::time::Duration;

use fixture::{FLAG, Part, act, command, script};
use portable_pty::CommandBuilder;
use pty::{COLUMNS, Pty, ROWS, count};
use rustix::process::Signal;

/// Processor time that leaving may take. Spinning on a lost line takes more in a few seconds.
const LITTLE: Duration = Duration::from_millis(900);

/// A control room that shows its fleet.
fn room(part: Part, test: &str) -> Pty {
    let pty = Pty::start(command(part, test));
    shown(&pty);
    pty
}

fn shown(pty: &Pty) {
    pty.until("the fleet", |emulator| {
        emulator.shows(FLAG)
            && emulator.screen().alternate_screen()
            && emulator.screen().bracketed_paste()
            && !emulator.told().synchronised
    });
    pty.assert_raw();
}

/// Asserts how the program ended, and that the terminal is as it was.
fn assert_left(pty: &Pty, status: u32, used: Duration) {
    let ended = pty.end();
    assert_eq!((ended.status.exit_code(), ended.status.signal()), (status, None));
    assert!(
        ended.cpu.saturating_sub(used) < LITTLE,
        "{:?} of processor time, {used:?} of it before leaving",
        ended.cpu
    );
    pty.assert_restored();
}

#[test]
fn q_leaves() {
    act();
    let mut pty = room(Part::Calm, name_of(&q_leaves));
    let used = pty::cpu(pty.pid);
    pty.type_in("q");
    assert_left(&pty, 0, used);
}

#[test]
fn sigterm_leaves() {
    act();
    let pty = room(Part::Calm, name_of(&sigterm_leaves));
    let used = pty::cpu(pty.pid);
    pty.signal(Signal::TERM);
    assert_left(&pty, 143, used);
}

#[test]
fn sighup_from_a_person_leaves_and_restores() {
    act();
    let pty = room(Part::Calm, name_of(&sighup_from_a_person_leaves_and_restores));
    let used = pty::cpu(pty.pid);
    pty.signal(Signal::HUP);
    assert_left(&pty, 129, used);
}

#[test]
fn sigint_leaves_when_it_is_meant() {
    act();
    let pty = room(Part::Calm, name_of(&sigint_leaves_when_it_is_meant));
    let used = pty::cpu(pty.pid);
    // Like Ctrl-C: the first may only ask.
    for _ in 0..3 {
        let frames = pty.emulator().told().frames;
        pty.signal(Signal::INT);
        pty.until("an answer to SIGINT", |emulator| {
            emulator.told().frames > frames || !emulator.screen().alternate_screen()
        });
        if !pty.emulator().screen().alternate_screen() {
            break;
        }
    }
    assert_left(&pty, 130, used);
}

#[test]
fn a_panic_of_the_loop_restores_then_reports() {
    act();
    let mut pty = room(Part::PanicInLoop, name_of(&a_panic_of_the_loop_restores_then_reports));
    let used = pty::cpu(pty.pid);
    pty.type_in("p");
    assert_left(&pty, 101, used);
    pty.until("the report", |emulator| {
        emulator.shows("the drawing task fell over") && emulator.shows("fixture.rs")
    });
}

#[test]
fn a_panic_of_a_task_restores_then_reports() {
    act();
    let mut pty = room(Part::PanicInTask, name_of(&a_panic_of_a_task_restores_then_reports));
    let used = pty::cpu(pty.pid);
    pty.type_in("p");
    assert_left(&pty, 101, used);
    pty.until("the report", |emulator| emulator.shows("a task fell over"));
}

#[test]
fn a_panic_of_a_policy_ends_nothing_and_shows_nothing() {
    act();
    let mut pty = room(Part::PanicInPolicy, name_of(&a_panic_of_a_policy_ends_nothing_and_shows_nothing));
    pty.type_in("p");
    // The answer comes after the panic.
    pty.until("the answer", |emulator| emulator.shows("carried out"));
    assert!(!pty.emulator().shows("fell over"));
    let used = pty::cpu(pty.pid);
    pty.type_in("q");
    assert_left(&pty, 0, used);
    assert!(!pty.emulator().shows("fell over"));
}

/// The shell leads the session and ignores SIGHUP, so the program gets none: the case that made it spin.
#[test]
fn a_lost_line_ends_the_program_though_sighup_is_ignored() {
    act();
    let mut pty = Pty::start(script(
        Part::Calm,
        name_of(&a_lost_line_ends_the_program_though_sighup_is_ignored),
        "trap '' HUP; \"$@\"; exit $?",
    ));
    shown(&pty);
    pty.hang_up();
    let ended = pty.end();
    assert_eq!(ended.status.exit_code(), 129);
    assert!(ended.cpu < 2 * LITTLE, "{:?} of processor time, the start included", ended.cpu);
    let emulator = pty.emulator();
    assert_eq!(count(&emulator.bytes, b"\x1b[?1049l"), 0, "nothing is written to a lost line");
}

#[test]
fn a_lost_line_with_its_sighup_ends_the_program() {
    act();
    let mut pty = room(Part::Calm, name_of(&a_lost_line_with_its_sighup_ends_the_program));
    let used = pty::cpu(pty.pid);
    pty.hang_up();
    let ended = pty.end();
    assert_eq!((ended.status.exit_code(), ended.status.signal()), (129, None));
    assert!(ended.cpu.saturating_sub(used) < LITTLE, "{:?}", ended.cpu);
}

#[test]
fn ctrl_z_gives_the_shell_back_and_fg_redraws_the_screen() {
    act();
    let mut pty = Pty::start(script(
        Part::Calm,
        name_of(&ctrl_z_gives_the_shell_back_and_fg_redraws_the_screen),
        "set -m; \"$@\"; echo stopped with $?; read line; fg >/dev/null; echo ended with $?",
    ));
    shown(&pty);
    pty.type_in("\u{1a}");
    pty.until_shown("stopped with");
    pty.assert_restored();
    pty.type_in("\r");
    shown(&pty);
    pty.type_in("q");
    pty.until_shown("ended with 0");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.assert_restored();
    assert_eq!(count(&pty.emulator().bytes, b"\x1b[?1049h"), 2, "entered twice");
}

/// Nobody could start it again: the program is its session's only job.
#[test]
fn ctrl_z_is_refused_where_no_shell_would_take_over() {
    act();
    let mut pty = room(Part::Calm, name_of(&ctrl_z_is_refused_where_no_shell_would_take_over));
    pty.type_in("\u{1a}");
    pty.until("a bell", |emulator| emulator.told().bells > 0);
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.assert_restored();
}

#[test]
fn a_stop_and_a_continuation_by_signal_redraw_the_screen() {
    act();
    let mut pty = room(Part::Calm, name_of(&a_stop_and_a_continuation_by_signal_redraw_the_screen));
    let entered = count(&pty.emulator().bytes, b"\x1b[?1049h");
    pty.signal(Signal::STOP);
    pty.signal(Signal::CONT);
    pty.until("entered again, and drawn", |emulator| {
        count(&emulator.bytes, b"\x1b[?1049h") > entered
            && emulator.shows(FLAG)
            && !emulator.told().synchronised
    });
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.until("the terminal is as it was", |emulator| !emulator.screen().alternate_screen());
}

#[test]
fn a_terminal_that_takes_nothing_does_not_keep_the_program() {
    act();
    let pty = room(Part::Flood, name_of(&a_terminal_that_takes_nothing_does_not_keep_the_program));
    let stalled = pty.stall();
    pty.signal(Signal::TERM);
    let ended = pty.end();
    assert_eq!((ended.status.exit_code(), ended.status.signal()), (143, None));
    drop(stalled);
}

#[test]
fn a_flood_of_updates_starves_neither_keys_nor_the_screen() {
    act();
    let mut pty = room(Part::Flood, name_of(&a_flood_of_updates_starves_neither_keys_nor_the_screen));
    let (begun, first) = (std::time::Instant::now(), pty.emulator().told().frames);
    pty.until("ten frames", |emulator| emulator.told().frames >= first + 10);
    // Ten frames after one already drawn: nine whole gaps at the least. Half of that allows for what the reader delays.
    assert!(begun.elapsed() > Duration::from_millis(9 * 250 / 2), "ten frames in {:?}", begun.elapsed());
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.assert_restored();
}

#[test]
fn a_paste_is_no_keys() {
    act();
    let mut pty = room(Part::PanicInLoop, name_of(&a_paste_is_no_keys));
    // As keys these would leave, pause (and panic), or arm and execute kill-all.
    pty.type_in("\u{1b}[200~q\u{b}Kprq\r\u{3}\u{3}\u{1a}\u{1b}[201~");
    let frames = pty.emulator().told().frames;
    pty.type_in("\u{c}");
    pty.until("a redraw after the paste", |emulator| emulator.told().frames > frames && emulator.shows(FLAG));
    assert!(pty.emulator().screen().alternate_screen());
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
}

#[test]
fn keys_beyond_one_read_are_not_forgotten() {
    act();
    let mut pty = room(Part::Calm, name_of(&keys_beyond_one_read_are_not_forgotten));
    pty.type_in(&("j".repeat(3_000) + "q"));
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.assert_restored();
}

#[test]
fn without_colours_reverse_and_bold_stay() {
    act();
    let mut command = command(Part::Calm, name_of(&without_colours_reverse_and_bold_stay));
    command.env("NO_COLOR", "1");
    let mut pty = Pty::start(command);
    shown(&pty);
    {
        let emulator = pty.emulator();
        let mut marked = false;
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let cell = emulator.screen().cell(row, column).expect("a cell");
                marked |= cell.inverse() || cell.bold();
                assert_eq!((cell.fgcolor(), cell.bgcolor()), (vt100::Color::Default, vt100::Color::Default));
            }
        }
        assert!(marked, "the alarm is reversed or bold:\n{}", emulator.screen().contents());
    }
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    let emulator = pty.emulator();
    let text = String::from_utf8_lossy(&emulator.bytes);
    for part in text.split("\u{1b}[").skip(1) {
        let Some((codes, _)) = part.split_once('m') else { continue };
        if !codes.chars().all(|c| c.is_ascii_digit() || c == ';') {
            continue;
        }
        for code in codes.split(';').filter_map(|code| code.parse::<u16>().ok()) {
            let colour = matches!(code, 30..=38 | 40..=48 | 90..=107);
            assert!(!colour, "a colour: {codes:?}");
        }
    }
}

#[test]
fn hostile_text_moves_no_cursor_and_sets_no_title_or_clipboard() {
    act();
    let mut pty = room(Part::Hostile, name_of(&hostile_text_moves_no_cursor_and_sets_no_title_or_clipboard));
    // Through every screen that one key opens.
    for key in ["\r", "\u{1b}", "?", "\u{1b}", "p", "\u{c}"] {
        let frames = pty.emulator().told().frames;
        pty.type_in(key);
        pty.within(Duration::from_secs(1), |emulator| emulator.told().frames > frames);
    }
    pty.type_in("\u{1b}\u{3}\u{3}");
    if pty.end_within(Duration::from_secs(10)).is_none() {
        pty.type_in("qqq");
        assert_eq!(pty.end().status.exit_code(), 0);
    }
    pty.until("the terminal is as it was", |emulator| !emulator.screen().alternate_screen());
    let emulator = pty.emulator();
    let told = emulator.told();
    assert!(told.titles.is_empty() && told.copied.is_empty() && told.strange.is_empty(), "{told:?}");
    let text = String::from_utf8(emulator.bytes.clone()).expect("UTF-8");
    for hostile in ['\u{202e}', '\u{200b}', '\u{9b}'] {
        assert!(!text.contains(hostile), "{hostile:?}");
    }
    assert_eq!(count(&emulator.bytes, b"\x1b]"), 0, "no title, no clipboard");
}

#[test]
fn an_order_given_before_leaving_is_answered_after() {
    act();
    let mut pty = room(Part::Late, name_of(&an_order_given_before_leaving_is_answered_after));
    pty.type_in("pq");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.until_shown("carried out test");
    pty.assert_restored();
}

#[test]
fn an_order_without_an_answer_is_named() {
    act();
    let mut pty = room(Part::Silent, name_of(&an_order_without_an_answer_is_named));
    pty.type_in("pq");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.until_shown("may or may not have acted");
    pty.assert_restored();
}

#[test]
fn a_new_size_is_drawn() {
    act();
    let mut pty = room(Part::Calm, name_of(&a_new_size_is_drawn));
    let frames = pty.emulator().told().frames;
    pty.resize(0, 0);
    pty.resize(1, 1);
    pty.resize(COLUMNS, ROWS);
    pty.until("a frame", |emulator| emulator.told().frames > frames && emulator.shows(FLAG));
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.assert_restored();
}

#[test]
fn synchronised_output_can_be_left_out() {
    act();
    let mut command = command(Part::Calm, name_of(&synchronised_output_can_be_left_out));
    command.env("NO_SYNC", "1");
    let mut pty = Pty::start(command);
    shown(&pty);
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    assert_eq!(pty.emulator().told().frames, 0);
    pty.assert_restored();
}

/// The program itself, with a state folder of its own.
fn knightwatch(folder: &tempfile::TempDir) -> CommandBuilder {
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_knightwatch"));
    command.env("TERM", "xterm-256color");
    for variable in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"] {
        command.env(variable, folder.path());
    }
    command.cwd(folder.path());
    command
}

#[test]
fn the_real_control_room_draws_and_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = knightwatch(&folder);
    command.arg("--no-briefing");
    let mut pty = Pty::start(command);
    pty.until("a fleet", |emulator| emulator.shows("P99") && emulator.screen().alternate_screen());
    pty.assert_raw();
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.assert_restored();
    let emulator = pty.emulator();
    assert!(emulator.told().strange.is_empty() && emulator.told().titles.is_empty(), "{:?}", emulator.told());
}

#[test]
fn the_real_control_room_ends_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = knightwatch(&folder);
    command.arg("--no-briefing");
    let mut pty = Pty::start(command);
    pty.until("a fleet", |emulator| emulator.shows("P99") && emulator.screen().alternate_screen());
    let used = pty::cpu(pty.pid);
    pty.hang_up();
    let ended = pty.end();
    assert_eq!((ended.status.exit_code(), ended.status.signal()), (129, None));
    assert!(ended.cpu.saturating_sub(used) < LITTLE, "{:?}", ended.cpu);
}

#[test]
fn without_a_terminal_nothing_is_written_to_standard_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_knightwatch"))
        .env("XDG_STATE_HOME", folder.path())
        .env("XDG_CONFIG_HOME", folder.path())
        .current_dir(folder.path())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("'knightwatch watch'"), "{said}");
}

#[test]
fn a_terminal_that_does_not_fit_is_refused_with_the_way_out() {
    act();
    let test = name_of(&a_terminal_that_does_not_fit_is_refused_with_the_way_out);
    for (columns, rows) in [(1, 1), (0, 0)] {
        let pty = Pty::start_sized(command(Part::Calm, test), columns, rows);
        assert_eq!(pty.end().status.exit_code(), 2, "{columns}x{rows}");
        pty.until_read("knightwatch watch");
        assert_eq!(count(&pty.emulator().bytes, b"\x1b"), 0, "{columns}x{rows}");
    }
    for redirection in ["</dev/null", "| cat; exit 2"] {
        let pty = Pty::start(script(Part::Calm, test, &format!("\"$@\" {redirection}")));
        assert_eq!(pty.end().status.exit_code(), 2, "{redirection}");
        pty.until_read("knightwatch watch");
        assert_eq!(count(&pty.emulator().bytes, b"\x1b"), 0, "{redirection}");
    }
    let mut dumb = command(Part::Calm, test);
    dumb.env("TERM", "dumb");
    let pty = Pty::start(dumb);
    assert_eq!(pty.end().status.exit_code(), 2);
    pty.until_read("knightwatch watch");
}
