//! The briefing: what flags are for, the incident the product is named after, and how to run it.
//!
//! Shown once to each operator. It lies on the screen like any other page: kill-all works over it.

use ratatui::{layout::Rect, style::Style};

use super::{Ability, Opener, Screen, ScreenId, ScreenRow, Scroll, Section, Step};
use crate::tui::{
    Model,
    command::{CommandId, Scope, Spec, letter},
    fleet_view::FleetView,
    pen::{Pen, wrap},
    theme::Theme,
};

pub(in crate::tui) const ID: ScreenId = ScreenId("briefing");

pub(super) const ROW: ScreenRow = ScreenRow {
    offers: &[Ability::Pace],
    opener: Some(Opener {
        command: Spec {
            id: CommandId::OpenScreen(ID),
            name: "briefing",
            short: "",
            keys: &[letter('B')],
            screens: Scope::Except(ID),
            help: "what flags are for, and what happens without them",
        },
        needs_backend: true,
        open: |_| Ok(Box::new(BriefingScreen::default())),
    }),
    ..ScreenRow::new(ID, Section::Background)
};

/// The briefing.
#[derive(Debug, Default)]
struct BriefingScreen {
    scroll: Scroll,
}

impl Screen for BriefingScreen {
    fn row(&self) -> &'static ScreenRow {
        &ROW
    }

    fn page(&self, model: &Model, body: Rect) -> usize {
        usize::from(rows(model, body).max(1))
    }

    fn last_scroll(&self, model: &Model, body: Rect) -> usize {
        lines(model, body.width).len().saturating_sub(self.page(model, body))
    }

    fn step(&mut self, step: Step, _fleet: Option<&FleetView>, last_scroll: usize) {
        self.scroll.step(step, last_scroll);
    }

    fn shown(&mut self) {
        self.scroll = Scroll::default();
    }

    fn draw(&self, model: &Model, area: Rect, pen: &mut Pen<'_>) {
        let lines = lines(model, area.width);
        let most = lines.len().saturating_sub(usize::from(rows(model, area)));
        let scroll = self.scroll.at(most);
        let end = area.y + rows(model, area);
        for (y, line) in (area.y..end).zip(lines.iter().skip(scroll)) {
            pen.text(area.x + 2, y, area.width.saturating_sub(4), &line.text, line.style(pen.theme));
        }
        if most > scroll {
            let more = "  more below: PgDn";
            let width = pen.width_of(more);
            pen.text(area.right().saturating_sub(width), area.bottom() - 1, width, more, pen.theme.person());
        }
    }
}

/// What an operator acknowledges, word for word.
const ACKNOWLEDGEMENT: &str = "I comprehend the risks of deploying without feature flags, the difference \
between CI/CD and Release, and I know how to start the local environment";

/// A heading and its paragraph.
const PARTS: &[(&str, &str)] = &[
    (
        "What a feature flag is",
        "A feature flag turns a piece of functionality on or off while the system runs, without a deployment. The code asks isEnabled(\"new-checkout-ui\") and shows the new checkout page or the old one: first to one user in a hundred, then to more, to see that people still buy. Or it asks isEnabled(\"use-new-postgres-index\") and reads with the new index or the old one: 5 % of the background jobs first, while everybody watches the latency.",
    ),
    (
        "Deployment is not release",
        "CI/CD is deployment: it takes code from a developer's machine to production, where it runs and nobody need see it. Flags are release: the decision who sees it, and when. Flags begin where the pipeline ends. The pipeline ships the binary; the flag platform directs the experience.",
    ),
    (
        "What happens without: Knight Capital, 1 August 2012",
        "New trading software went live everywhere at once, without a flag and without phases. One of eight servers was missed in the deployment, and on it an obsolete piece of code, Power Peg, woke up. There was no quick way to switch it off. In 45 minutes it made millions of executions and lost about $460 million. The firm needed a rescue within days and was sold within a year. The lesson: no change for everybody without a kill switch.",
    ),
    (
        "What happens here",
        "The agent in charge, PPO-Master or another policy, reads P99 and error rate of both arms all the time. While a flag is healthy it raises the share of traffic; when errors spike the flag goes back to 0 % at once. A deterministic shield has the last word on every change, and you have the last word on both: p pauses, r rolls back, o sets the share by hand, and Ctrl-K, then K, switches everything off.",
    ),
    (
        "How to run it",
        "Type knightwatch: the control room, with the engine and the simulator inside, in one process. Or for several people: knightwatch serve, the backend on port 8000, and in another terminal knightwatch --connect http://127.0.0.1:8000.",
    ),
];

/// Widest text that is comfortable to read.
const MEASURE: u16 = 88;

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Heading,
    Text,
    Pledge,
    Key,
}

/// One line of the briefing.
struct BriefingLine {
    kind: Kind,
    text: String,
}

impl BriefingLine {
    fn style(&self, theme: Theme) -> Style {
        match self.kind {
            Kind::Heading | Kind::Pledge => theme.strong(),
            Kind::Text => theme.plain(),
            Kind::Key => theme.person(),
        }
    }
}

/// All lines at a width.
fn lines(model: &Model, width: u16) -> Vec<BriefingLine> {
    let width = usize::from(width.saturating_sub(4).min(MEASURE));
    let add = |lines: &mut Vec<BriefingLine>, kind, text: &str| {
        lines.extend(wrap(text, width).into_iter().map(|text| BriefingLine { kind, text }));
    };
    let blank = || BriefingLine { kind: Kind::Text, text: String::new() };
    let mut lines = Vec::new();
    for (heading, text) in PARTS {
        add(&mut lines, Kind::Heading, heading);
        add(&mut lines, Kind::Text, text);
        lines.push(blank());
    }
    add(&mut lines, Kind::Pledge, &format!("\"{ACKNOWLEDGEMENT}\""));
    lines.push(blank());
    let (by, read_only) = (&model.settings.operator, model.settings.read_only);
    let briefed = model.fleet.as_ref().is_some_and(|fleet| fleet.controller.briefed);
    let last = if briefed {
        "This has been acknowledged. Esc closes.".to_owned()
    } else if read_only {
        "Read-only: it cannot be acknowledged from here. Esc closes.".to_owned()
    } else {
        format!("a acknowledges this as {by}, and the journal keeps it. Esc postpones it.")
    };
    add(&mut lines, Kind::Key, &last);
    lines
}

/// Rows for text: where not all fits, the last line says that there is more.
fn rows(model: &Model, area: Rect) -> u16 {
    let fits = lines(model, area.width).len() <= usize::from(area.height);
    if fits { area.height } else { area.height.saturating_sub(1).max(1) }
}
