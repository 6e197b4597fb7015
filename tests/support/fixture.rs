//! The program that runs inside the pseudo-terminal: the control room on a backend that misbehaves to order.
//!
//! The test binary starts itself again with [`PART`] set, and then is this program.

use std::{env, process, sync::Arc, thread};

use knightwatch::tui::{Glyphs, Palette, RuntimeOptions, Settings};
use knightwatch_core::{
    control::{Actor, Alarm, AlarmId, AlarmKind, Entry, Event, LastAction, Order, Phase, Seq},
    flag::{FlagId, FlagKey, FlagKind, FlagSpec, Ladder, Rollout, ServiceName},
    telemetry::{Millis, Verdict, WindowReport},
};
use knightwatch_engine::backend::{
    Ack, Backend, ControllerView, FlagView, Link, OrderError, Pace, Pending, Point, PolicyView, Snapshot,
    Update,
};
use portable_pty::CommandBuilder;
use rustix::{
    stdio::stdin,
    termios::{LocalModes, tcgetattr},
};
use tokio::{runtime, sync::mpsc};

/// The environment variable that makes the test binary the program, and says which part it plays.
const PART: &str = "KNIGHTWATCH_TEST_PART";

/// A flag key to look for on the screen.
pub(crate) const FLAG: &str = "new-checkout-ui";

/// What a hostile system says its names are.
pub(crate) const HOSTILE: &str =
    "prod\u{1b}]0;owned\u{7}\u{1b}]52;c;b3duZWQ=\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil\u{200b}";

/// How the backend behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it should.
    Calm,
    /// Sending an order panics on the task that draws.
    PanicInLoop,
    /// An order's task panics.
    PanicInTask,
    /// An order's task starts a policy's thread that panics, and is answered all the same.
    PanicInPolicy,
    /// Orders are answered only after the control room has left the terminal.
    Late,
    /// Orders are never answered.
    Silent,
    /// Every text is hostile.
    Hostile,
    /// Updates come as fast as they are taken, each a whole new fleet.
    Flood,
}

const PARTS: [Part; 8] = [
    Part::Calm,
    Part::PanicInLoop,
    Part::PanicInTask,
    Part::PanicInPolicy,
    Part::Late,
    Part::Silent,
    Part::Hostile,
    Part::Flood,
];

/// A command that starts this test binary as the program; `test` is the name ([`super::name_of`]) of the test that calls [`act`] first.
pub(crate) fn command(part: Part, test: &str) -> CommandBuilder {
    let mut command = CommandBuilder::new(env::current_exe().expect("this binary"));
    command.args([test, "--exact", "--nocapture", "--quiet"]);
    prepare(&mut command, part);
    command
}

/// The same through a shell script that gets the program as `"$@"`.
pub(crate) fn script(part: Part, test: &str, script: &str) -> CommandBuilder {
    let mut command = CommandBuilder::new("sh");
    command.args(["-c", script, "sh"]);
    command.arg(env::current_exe().expect("this binary"));
    command.args([test, "--exact", "--nocapture", "--quiet"]);
    prepare(&mut command, part);
    command
}

fn prepare(command: &mut CommandBuilder, part: Part) {
    command.env(PART, format!("{part:?}"));
    command.env("TERM", "xterm-256color");
    for variable in ["NO_COLOR", "TMUX", "STY", "RUST_BACKTRACE"] {
        command.env_remove(variable);
    }
    command.cwd(env!("CARGO_MANIFEST_DIR"));
}

/// Is the program, and never returns, where the environment says so.
pub(crate) fn act() {
    let Ok(name) = env::var(PART) else { return };
    let part = PARTS.into_iter().find(|part| format!("{part:?}") == name).expect("a part");
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let palette = if env::var_os("NO_COLOR").is_some() { Palette::Monochrome } else { Palette::Colour };
    let settings = Settings {
        operator: "ada".to_owned(),
        glyphs: Glyphs::Ascii,
        palette,
        read_only: false,
        bell: true,
        order_prefix: "test".to_owned(),
        elsewhere: "knightwatch kill-all --yes".to_owned(),
        briefing: false,
    };
    let options = RuntimeOptions { sync: env::var_os("NO_SYNC").is_none(), ..RuntimeOptions::default() };
    let status = match runtime.block_on(knightwatch::tui::run(Arc::new(Fake { part }), settings, options)) {
        Ok(exit) => {
            exit.report();
            exit.status()
        }
        Err(error) => {
            eprintln!("knightwatch: {error}");
            error.status()
        }
    };
    process::exit(i32::from(status));
}

struct Fake {
    part: Part,
}

impl Backend for Fake {
    fn subscribe(&self) -> mpsc::Receiver<Update> {
        let (updates, stream) = mpsc::channel(64);
        let text = if self.part == Part::Hostile { HOSTILE } else { "test" };
        updates.try_send(Update::Snapshot(Arc::new(snapshot(text, 5.0)))).expect("room");
        updates.try_send(Update::Link(Link::Embedded)).expect("room");
        let flood = self.part == Part::Flood;
        thread::spawn(move || {
            for turn in (0..100).cycle().take_while(|_| flood) {
                let snapshot = snapshot("flooded", f64::from(turn));
                if updates.blocking_send(Update::Snapshot(Arc::new(snapshot))).is_err() {
                    return;
                }
            }
            // The stream stays open as long as the program is there.
            loop {
                thread::park();
            }
        });
        stream
    }

    fn send(&self, order: Order) -> Pending<Result<Ack, OrderError>> {
        let part = self.part;
        assert!(part != Part::PanicInLoop, "the drawing task fell over");
        Box::pin(async move {
            match part {
                Part::PanicInTask => panic!("a task fell over"),
                Part::PanicInPolicy => {
                    let policy = thread::Builder::new().name("policy-1".to_owned());
                    let policy = policy.spawn(|| panic!("a policy fell over")).expect("a thread");
                    assert!(policy.join().is_err());
                }
                Part::Late => {
                    while is_raw() {
                        tokio::task::yield_now().await;
                    }
                }
                Part::Silent => std::future::pending().await,
                Part::Calm | Part::PanicInLoop | Part::Hostile | Part::Flood => {}
            }
            Ok(Ack {
                seq: Seq(2),
                done: vec![format!("carried out {}", order.id)],
                warnings: Vec::new(),
                durable: true,
                flags_off: None,
            })
        })
    }

    fn entries(&self, _: Option<Seq>, _: usize) -> Pending<Result<Vec<Entry>, OrderError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn set_pace(&self, _: Pace) -> Result<(), String> {
        Err("the backend runs in real time".to_owned())
    }
}

/// Whether the control room has the terminal.
fn is_raw() -> bool {
    let modes = tcgetattr(stdin()).expect("line settings");
    !modes.local_modes.contains(LocalModes::ICANON)
}

/// A fleet of three, with `text` wherever a text can be.
fn snapshot(text: &str, percent: f64) -> Snapshot {
    let now = Millis(1_700_000_000_000);
    let keys = [FLAG, "use-new-postgres-index", "power-peg"];
    let rollout = Rollout::from_percent(percent).expect("a share");
    let entry = Entry {
        seq: Seq(1),
        at: now,
        actor: Actor::Person(text.to_owned()),
        flag: Some(FLAG.parse().expect("a key")),
        event: Event::Started { flag: FlagId(0), to: rollout },
        sentence: format!("{text} was started"),
    };
    let flags: Vec<FlagView> =
        keys.into_iter().zip(0..).map(|(key, id)| flag(key, id, text, rollout, now)).collect();
    Snapshot {
        environment: text.to_owned(),
        source: text.to_owned(),
        simulated: true,
        interval: Millis::from_secs(10),
        controller: ControllerView {
            policy: PolicyView {
                name: text.to_owned(),
                about: text.to_owned(),
                fault: Some(text.to_owned()),
            },
            now,
            pace: Pace::Real,
            seq: Seq(1),
            latch: None,
            alarms: vec![Alarm {
                id: AlarmId(1),
                kind: AlarmKind::PolicyFault,
                text: format!("{text}: the policy stalled"),
                raised_at: now,
                cleared_at: None,
                acknowledged_by: None,
                shelf: None,
            }],
            briefed: true,
            done: false,
        },
        history: flags.iter().map(|flag| [flag.point].into()).collect(),
        flags,
        entries: vec![entry],
    }
}

fn flag(key: &str, id: u32, text: &str, rollout: Rollout, now: Millis) -> FlagView {
    let key: FlagKey = key.parse().expect("a key");
    FlagView {
        id: FlagId(id),
        spec: Arc::new(FlagSpec {
            key,
            service: ServiceName(text.into()),
            kind: FlagKind::Requests,
            description: text.to_owned(),
            ladder: Ladder::default(),
            deployment: None,
        }),
        phase: Phase::Ramping,
        waiting: None,
        archived: None,
        phase_since: now,
        rollout,
        changed_at: now,
        hold: None,
        guard_off_until: None,
        last: Some(LastAction {
            at: now,
            by: Actor::Person(text.to_owned()),
            what: text.to_owned(),
            seq: Seq(1),
        }),
        verdict: Verdict::Insufficient,
        report: WindowReport::default(),
        point: Point { at: now, rollout, ..Point::default() },
        assumed: false,
        proposal: None,
        ruling: None,
    }
}
