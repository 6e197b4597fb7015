//! A fleet as it might look at four in the afternoon, the same every time: what the screens are tested and measured on.

use std::{collections::VecDeque, sync::Arc};

use knightwatch_core::{
    control::{
        Action, Actor, Alarm, AlarmId, AlarmKind, Decision, Entry, Event, Explanation, Hold, LastAction,
        Outcome, Phase, Reason, Seq,
    },
    flag::{FlagId, FlagKey, FlagKind, FlagSpec, Ladder, Rollout, ServiceName},
    telemetry::{ArmStats, MetricEvidence, Millis, Verdict, WindowReport},
};
use knightwatch_engine::backend::{
    ArmPoint, Change, ControllerView, FlagView, Pace, Point, PolicyView, ProposalView, RulingView, Snapshot,
};

/// 2026-03-06 16:04:10 UTC.
pub const NOW: Millis = Millis(1_772_813_050_000);
pub const INTERVAL: Millis = Millis(10_000);
const HISTORY: u64 = 120;

pub fn key(text: &str) -> FlagKey {
    text.parse().unwrap()
}

pub fn percent(percent: f64) -> Rollout {
    Rollout::from_percent(percent).unwrap()
}

/// Between -1 and 1, the same for the same arguments.
fn noise(flag: u64, number: u64, salt: u64) -> f64 {
    let mut x =
        flag.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (salt << 40);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    (x >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// How a flag of the scene stands.
struct Cast {
    name: &'static str,
    service: &'static str,
    jobs: bool,
    about: &'static str,
    phase: Phase,
    rollout: f64,
    verdict: Verdict,
    /// Treatment's P99 as a multiple of control's, and its extra share of errors.
    worse: (f64, f64),
    by: &'static str,
    what: &'static str,
    minutes: u64,
    shield: (Outcome, &'static str, u32),
}

const ALLOWED: (Outcome, &str, u32) = (Outcome::Allowed, "the evidence is healthy", 1);
const NOTHING: (Outcome, &str, u32) = (Outcome::Allowed, "nothing to do in this phase", 40);

#[rustfmt::skip]
const CAST: [Cast; 12] = [
    Cast { name: "new-checkout-ui", service: "checkout", jobs: false, about: "the new checkout page", phase: Phase::Ramping, rollout: 25.0, verdict: Verdict::Healthy, worse: (1.02, 0.0), by: "agent", what: "raised to 25 %", minutes: 4, shield: (Outcome::Vetoed, "4 min at 25 %, 5 min needed", 3) },
    Cast { name: "use-new-postgres-index", service: "reports", jobs: true, about: "reports read the new index", phase: Phase::Ramping, rollout: 5.0, verdict: Verdict::Insufficient, worse: (0.9, 0.0), by: "agent", what: "raised to 5 %", minutes: 12, shield: (Outcome::Vetoed, "holding: needs more evidence (insufficient after 782 treatment jobs", 12) },
    Cast { name: "power-peg", service: "orders", jobs: false, about: "the new order router", phase: Phase::RolledBack, rollout: 0.0, verdict: Verdict::Insufficient, worse: (3.4, 0.12), by: "shield", what: "rolled back from 10 %", minutes: 2, shield: NOTHING },
    Cast { name: "cart-badge", service: "checkout", jobs: false, about: "the number on the cart", phase: Phase::Complete, rollout: 100.0, verdict: Verdict::Healthy, worse: (1.0, 0.0), by: "agent", what: "raised to 100 %", minutes: 190, shield: NOTHING },
    Cast { name: "fraud-score-v3", service: "payments", jobs: false, about: "the third fraud model", phase: Phase::Paused, rollout: 10.0, verdict: Verdict::Insufficient, worse: (1.3, 0.0), by: "maria", what: "paused", minutes: 7, shield: (Outcome::Vetoed, "maria holds the flag, 8 min left", 42) },
    Cast { name: "search-typo-fix", service: "search", jobs: false, about: "corrects what people mistype", phase: Phase::Ramping, rollout: 50.0, verdict: Verdict::Lost, worse: (1.0, 0.0), by: "agent", what: "raised to 50 %", minutes: 31, shield: (Outcome::Vetoed, "telemetry is 6 min old, limit 30 s", 33) },
    Cast { name: "one-click-refund", service: "payments", jobs: false, about: "refunds without a form", phase: Phase::Ramping, rollout: 12.5, verdict: Verdict::Healthy, worse: (1.0, 0.0), by: "maria", what: "set to 12.5 %", minutes: 9, shield: (Outcome::Vetoed, "maria holds the flag, 21 min left", 54) },
    Cast { name: "eu-vat-rounding", service: "billing", jobs: false, about: "rounds VAT per line", phase: Phase::Ramping, rollout: 10.0, verdict: Verdict::Regressed, worse: (1.1, 0.034), by: "agent", what: "raised to 10 %", minutes: 3, shield: (Outcome::Enforced, "errors of treatment are shown worse than control: proven (9.3, needed 6.9), 2 210 requests", 1) },
    Cast { name: "quiet-hours", service: "notify", jobs: false, about: "no pushes at night", phase: Phase::Idle, rollout: 0.0, verdict: Verdict::Insufficient, worse: (1.0, 0.0), by: "", what: "", minutes: 300, shield: NOTHING },
    Cast { name: "image-cdn-switch", service: "media", jobs: false, about: "images from the new CDN", phase: Phase::Ramping, rollout: 75.0, verdict: Verdict::Healthy, worse: (0.7, 0.0), by: "agent", what: "raised to 75 %", minutes: 1, shield: ALLOWED },
    Cast { name: "recommendations-v2", service: "search", jobs: false, about: "the second ranking", phase: Phase::Complete, rollout: 100.0, verdict: Verdict::Healthy, worse: (1.05, 0.0), by: "joao", what: "promoted to 100 %", minutes: 1_500, shield: NOTHING },
    Cast { name: "invoice-pdf-worker", service: "billing", jobs: true, about: "the new PDF renderer", phase: Phase::Ramping, rollout: 1.0, verdict: Verdict::Insufficient, worse: (1.2, 0.0), by: "joao", what: "started at 1 %", minutes: 0, shield: (Outcome::Vetoed, "9 of 100 treatment jobs needed", 2) },
];

fn cast(place: u64) -> &'static Cast {
    &CAST[usize::try_from(place).unwrap() % CAST.len()]
}

fn arm(base: f64, errors: f64, requests: f64, flag: u64, number: u64, salt: u64) -> ArmPoint {
    let spread = 0.5 / (requests / 50.0).max(1.0).sqrt() + 0.05;
    let requests = (requests * (1.0 + 0.2 * noise(flag, number, salt))).max(0.0).round();
    let rate = errors * (1.0 + 0.6 * noise(flag, number, salt + 1));
    ArmPoint {
        requests: Some(requests as u32),
        error_rate: (requests > 0.0).then(|| ((rate * requests).round() / requests) as f32),
        p99_ms: (requests > 0.0).then_some((base * (1.0 + spread * noise(flag, number, salt + 2))) as f32),
    }
}

/// The interval `number` of the flag at `place`.
fn point(place: u64, number: u64, newest: u64) -> Point {
    let cast = cast(place);
    let at = Millis(number * INTERVAL.0);
    let base = 120.0 + 37.0 * (place % 7) as f64;
    let traffic = 900.0 + 450.0 * (place % 5) as f64;
    let since = cast.minutes * 6;
    let changed = newest.saturating_sub(since);
    let rolled_back = cast.phase == Phase::RolledBack;
    // A rung lower before it was raised; 10 % before it was rolled back.
    let before = if rolled_back { 10.0 } else { Ladder::default().below(percent(cast.rollout)).percent() };
    let share = match (rolled_back, number > changed) {
        (true, true) => 0.0,
        (true, false) => 10.0,
        (false, true) => cast.rollout,
        (false, false) => before,
    };
    let mut point = Point { at, rollout: percent(share), ..Point::default() };
    if cast.verdict == Verdict::Lost && number + 36 > newest {
        return point;
    }
    let bad = match cast.verdict {
        _ if rolled_back => number + 6 > changed,
        Verdict::Regressed => number > changed,
        _ => true,
    };
    let (ratio, extra) = if bad { cast.worse } else { (1.0, 0.0) };
    if share < 100.0 {
        point.control = arm(base, 0.004, traffic * (1.0 - share / 100.0), place, number, 1);
    }
    if share > 0.0 {
        point.treatment = arm(base * ratio, 0.004 + extra, traffic * share / 100.0, place, number, 11);
    }
    point
}

fn stats(points: &VecDeque<Point>, arm: impl Fn(&Point) -> ArmPoint) -> ArmStats {
    let recent = || points.range(points.len().saturating_sub(6)..);
    let requests = recent().filter_map(|point| arm(point).requests).map(u64::from).sum();
    let errors = recent()
        .filter_map(|point| Some(f64::from(arm(point).error_rate?) * f64::from(arm(point).requests?)))
        .sum::<f64>();
    let p99: Vec<f64> = recent().filter_map(|point| arm(point).p99_ms).map(f64::from).collect();
    let mean = (!p99.is_empty()).then(|| p99.iter().sum::<f64>() / p99.len() as f64);
    ArmStats { requests, errors: errors.round() as u64, p99_ms: mean }
}

fn evidence(treatment: f64, control: f64, n: u64, verdict: Verdict) -> MetricEvidence {
    let half = 1.5 / (n.max(1) as f64).sqrt() * 0.1;
    let difference = treatment - control;
    let (harm, health) = match verdict {
        Verdict::Regressed => (9.3, 0.0),
        Verdict::Healthy => (0.2, 4.1),
        Verdict::Insufficient | Verdict::Lost => (0.6, 1.2),
    };
    MetricEvidence {
        treatment,
        control,
        low: difference - half,
        high: difference + half,
        harm: if treatment > 1.5 * control { harm } else { 0.1 },
        harm_needed: 6.9,
        health,
        health_needed: 3.0,
        margin: 0.005,
    }
}

fn report(cast: &Cast, points: &VecDeque<Point>) -> WindowReport {
    let treatment = stats(points, |point| point.treatment);
    let full = cast.rollout >= 100.0;
    // At 100 % it is the record: 0.4 % of many requests, and the P99 that treatment is a multiple of.
    let control = if full {
        let p99 = treatment.p99_ms.map(|p99| p99 / cast.worse.0);
        ArmStats { requests: 20_000, errors: 80, p99_ms: p99 }
    } else {
        stats(points, |point| point.control)
    };
    let n = treatment.requests * 2;
    let rate = |stats: &ArmStats| stats.error_rate().unwrap_or(0.0);
    let lost = cast.verdict == Verdict::Lost;
    WindowReport {
        verdict: cast.verdict,
        errors: evidence(rate(&treatment), rate(&control), n, cast.verdict),
        p99: evidence(0.0102 * cast.worse.0, 0.0102, n, cast.verdict),
        slow_ms: control.p99_ms.map(|p99| p99 * 1.05),
        treatment_n: n,
        control_n: control.requests * 2,
        control_is_baseline: full,
        intervals: 24,
        warming_up: cast.minutes == 0,
        age: Some(if lost { Millis::from_secs(372) } else { Millis::from_secs(4) }),
        dependency: false,
        rejected: if cast.jobs { [0, 0, 0, 0, 0, 0, 3, 0, 0] } else { [0; 9] },
        treatment,
        control,
    }
}

fn name(place: u64) -> String {
    let cast = cast(place);
    match place / CAST.len() as u64 {
        0 => cast.name.to_owned(),
        round => format!("{}-{round}", cast.name),
    }
}

fn actor(name: &str) -> Actor {
    match name {
        "agent" => Actor::Agent,
        "shield" => Actor::Shield,
        "system" => Actor::System,
        person => Actor::Person(person.to_owned()),
    }
}

fn flag_view(place: u64, points: &VecDeque<Point>, now: Millis) -> FlagView {
    let cast = cast(place);
    let at = Millis(now.0 - cast.minutes * 60_000);
    let held = matches!(cast.name, "fraud-score-v3" | "one-click-refund") && place < 12;
    let report = report(cast, points);
    FlagView {
        id: FlagId(u32::try_from(place).unwrap()),
        spec: Arc::new(FlagSpec {
            key: key(&name(place)),
            service: ServiceName(cast.service.into()),
            kind: if cast.jobs { FlagKind::Jobs } else { FlagKind::Requests },
            description: cast.about.to_owned(),
            ladder: Ladder::default(),
            deployment: None,
        }),
        phase: cast.phase,
        waiting: None,
        archived: None,
        phase_since: at,
        rollout: percent(cast.rollout),
        changed_at: at,
        hold: held.then(|| Hold { by: "maria".to_owned(), until: now + Millis::from_secs(21 * 60) }),
        guard_off_until: (cast.name == "one-click-refund" && place < 12)
            .then(|| now + Millis::from_secs(21 * 60)),
        last: (!cast.by.is_empty()).then(|| LastAction {
            at,
            by: actor(cast.by),
            what: cast.what.to_owned(),
            seq: Seq(100 + place),
        }),
        verdict: cast.verdict,
        report,
        point: points.back().copied().unwrap_or_default(),
        assumed: cast.name == "image-cdn-switch",
        proposal: Some(ProposalView {
            action: match cast.shield.0 {
                Outcome::Vetoed if cast.phase == Phase::Ramping => {
                    Action::RaiseTo(Ladder::default().above(percent(cast.rollout), 1))
                }
                _ => Action::Hold,
            },
            probabilities: place.is_multiple_of(2).then_some([0.000_4, 0.02, 0.31, 0.669_6, 0.0, 0.0]),
            value: place.is_multiple_of(2).then_some(-12.4),
        }),
        ruling: Some(RulingView {
            outcome: cast.shield.0,
            reason: cast.shield.1.into(),
            repeated: cast.shield.2,
        }),
    }
}

fn entry(seq: u64, seconds_ago: u64, by: &str, flag: Option<u64>, event: Event, sentence: &str) -> Entry {
    Entry {
        seq: Seq(seq),
        at: Millis(NOW.0 - seconds_ago * 1_000),
        actor: actor(by),
        flag: flag.map(|place| key(&name(place))),
        event,
        sentence: sentence.to_owned(),
    }
}

fn decided(flag: u32, outcome: Outcome, action: Action, from: f64, to: f64) -> Event {
    Event::Decided(Decision {
        flag: FlagId(flag),
        proposed: action,
        outcome,
        action,
        from: percent(from),
        to: percent(to),
        reason: Reason::NothingToDo,
        evidence: String::new(),
        holds: 0,
        explanation: None,
    })
}

/// The same decision by a policy that explains itself.
fn explained(mut event: Event) -> Event {
    if let Event::Decided(decision) = &mut event {
        let moved_by = [
            "errors since the last change (-1.2 standard errors)",
            "where P99 is going (0.93 times control's)",
        ];
        decision.explanation = Some(Box::new(Explanation {
            probabilities: [0.01, 0.01, 0.18, 0.8, 0.0, 0.0],
            value: -11.2,
            legal: [true, true, true, true, false, false],
            features: vec![0.0; 45],
            weights: "0123456789abcdef".to_owned(),
            moved_by: moved_by.map(str::to_owned).to_vec(),
        }));
    }
    event
}

#[rustfmt::skip]
fn entries() -> Vec<Entry> {
    vec![
        entry(101, 1_260, "system", None, Event::SessionStarted { environment: "demo".to_owned(), source: "scenario default".to_owned(), policy: "flagger".to_owned(), seed: Some(7), settings: None }, "Session on demo: scenario default, seed 7, steered by flagger."),
        entry(102, 1_080, "joao", Some(0), Event::Started { flag: FlagId(0), to: percent(1.0) }, "new-checkout-ui started at 1 %; the agent takes over."),
        entry(103, 840, "agent", Some(0), decided(0, Outcome::Allowed, Action::RaiseTo(percent(5.0)), 1.0, 5.0), "new-checkout-ui raised from 1 % to 5 %: the evidence is healthy (errors 0.38 % against 0.40 %, 1 100 and 108 900 requests). After 23 holds."),
        entry(104, 540, "maria", Some(6), Event::Set { flag: FlagId(6), from: percent(5.0), to: percent(12.5), until: Millis(NOW.0 + 1_260_000), guard_off: true, overrode: vec![] }, "one-click-refund set from 5 % to 12.5 % for 30 min, hard limits off. Reason given: support needs it before the weekend"),
        entry(105, 420, "maria", Some(4), Event::Paused { flag: FlagId(4), reason: None }, "fraud-score-v3 paused."),
        entry(106, 372, "system", Some(5), Event::AlarmRaised { id: AlarmId(1), kind: AlarmKind::TelemetryLost(key("search-typo-fix")), text: "search-typo-fix: no telemetry for 5 min".to_owned() }, "Alarm: search-typo-fix: no telemetry for 5 min"),
        entry(107, 240, "agent", Some(0), explained(decided(0, Outcome::Allowed, Action::RaiseTo(percent(25.0)), 10.0, 25.0)), "new-checkout-ui raised from 10 % to 25 %: the evidence is healthy (errors 0.41 % against 0.39 %, 12 400 and 111 600 requests); moved most by errors since the last change (-1.2 standard errors) and where P99 is going (0.93 times control's). After 17 holds."),
        entry(108, 180, "agent", Some(7), decided(7, Outcome::Allowed, Action::RaiseTo(percent(10.0)), 5.0, 10.0), "eu-vat-rounding raised from 5 % to 10 %: the evidence is healthy."),
        entry(109, 120, "shield", Some(2), decided(2, Outcome::Enforced, Action::RollBack, 10.0, 0.0), "power-peg rolled back from 10 % to 0 %: errors: 12.1 % more bad requests in treatment than in control, limit 5.0 %, 1 240 requests (errors 12.5 % against 0.4 %)."),
        entry(110, 120, "system", Some(2), Event::AlarmRaised { id: AlarmId(2), kind: AlarmKind::RolledBack(key("power-peg")), text: "the shield rolled power-peg back from 10 %: errors 12.1 % above control".to_owned() }, "Alarm: the shield rolled power-peg back from 10 %: errors 12.1 % above control"),
        entry(111, 40, "agent", Some(0), decided(0, Outcome::Vetoed, Action::Hold, 25.0, 25.0), "new-checkout-ui stays at 25 %: vetoed raise to 50 %: 3 min 20 s at 25 %, 5 min needed."),
    ]
}

/// The scene with so many flags, at [`NOW`].
pub fn scene(flags: u64) -> Snapshot {
    let newest = NOW.0 / INTERVAL.0;
    let history: Vec<VecDeque<Point>> = (0..flags)
        .map(|place| (newest - HISTORY..=newest).map(|number| point(place, number, newest)).collect())
        .collect();
    let alarm = |id, kind: AlarmKind, text: &str, seconds: u64, by: Option<&str>| Alarm {
        id: AlarmId(id),
        kind,
        text: text.to_owned(),
        raised_at: Millis(NOW.0 - seconds * 1_000),
        cleared_at: None,
        acknowledged_by: by.map(str::to_owned),
        shelf: None,
    };
    Snapshot {
        environment: "demo".to_owned(),
        source: "scenario default (seed 7)".to_owned(),
        simulated: true,
        interval: INTERVAL,
        controller: ControllerView {
            policy: PolicyView {
                name: "flagger".to_owned(),
                about: "rule policy: raises while checks pass".to_owned(),
                fault: None,
            },
            now: NOW,
            pace: Pace::Times(60),
            seq: Seq(111),
            latch: None,
            alarms: vec![
                alarm(
                    1,
                    AlarmKind::TelemetryLost(key("search-typo-fix")),
                    "search-typo-fix: no telemetry for 5 min",
                    372,
                    Some("maria"),
                ),
                alarm(
                    2,
                    AlarmKind::RolledBack(key("power-peg")),
                    "the shield rolled power-peg back from 10 %: errors 12.1 % above control",
                    120,
                    None,
                ),
                alarm(
                    3,
                    AlarmKind::BadTelemetry(key("invoice-pdf-worker")),
                    "invoice-pdf-worker: 3 samples came too late",
                    60,
                    None,
                ),
            ],
            briefed: true,
            done: false,
        },
        flags: (0..flags).zip(&history).map(|(place, points)| flag_view(place, points, NOW)).collect(),
        history,
        entries: entries(),
    }
}

/// The next tick after `snapshot`: one new point a flag; `snapshot` is moved on with it.
pub fn tick(snapshot: &mut Snapshot) -> Change {
    let newest = NOW.0 / INTERVAL.0;
    let controller = &mut snapshot.controller;
    controller.now = controller.now + INTERVAL;
    let number = snapshot.controller.now.0 / INTERVAL.0;
    for (place, points) in (0_u64..).zip(&mut snapshot.history) {
        let mut next = point(place, number, newest);
        next.rollout = points.back().map_or(Rollout::ZERO, |last| last.rollout);
        points.push_back(next);
        let flag = &mut snapshot.flags[usize::try_from(place).unwrap()];
        flag.report = report(cast(place), points);
        flag.point = next;
    }
    change(snapshot, true)
}

/// What a change says when nothing but `snapshot` itself is new.
pub fn change(snapshot: &Snapshot, tick: bool) -> Change {
    let (controller, flags) = (snapshot.controller.clone(), snapshot.flags.clone());
    Change { controller, tick, flags, entries: Vec::new() }
}
