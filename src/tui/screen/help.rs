//! Help: the keys of the screen below it, made from the command table, and what the marks mean.

use ratatui::layout::Rect;

use super::{Ability, Opener, Screen, ScreenId, ScreenRow, Scroll, Section, Step};
use crate::tui::{
    Model,
    command::{COMMANDS, CommandId, Scope, Spec, letter, why_not},
    fleet_view::FleetView,
    pen::{Pen, wrap},
};

pub(in crate::tui) const ID: ScreenId = ScreenId("help");

pub(super) const ROW: ScreenRow = ScreenRow {
    offers: &[Ability::Alarms, Ability::Pace],
    is_overlay: true,
    opener: Some(Opener {
        command: Spec {
            id: CommandId::OpenScreen(ID),
            name: "help",
            short: "help",
            keys: &[letter('?')],
            screens: Scope::Except(ID),
            help: "the keys of this screen",
        },
        needs_backend: false,
        open: |_| Ok(Box::new(HelpScreen::default())),
    }),
    ..ScreenRow::new(ID, Section::Help)
};

/// The keys of the screen below.
#[derive(Debug, Default)]
struct HelpScreen {
    scroll: Scroll,
}

impl Screen for HelpScreen {
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
        let theme = pen.theme;
        let heading = format!("keys of the {} screen", model.screens.ground().row().id.name());
        pen.text(area.x + 1, area.y, area.width.saturating_sub(1), &heading, theme.strong());
        let lines = lines(model, area.width);
        let rows = rows(model, area);
        let most = lines.len().saturating_sub(usize::from(rows));
        let scroll = self.scroll.at(most);
        let columns = mark_columns(&all(model));
        let first = area.y + 1;
        for (y, line) in (first..area.bottom().min(first + rows)).zip(lines.iter().skip(scroll)) {
            pen.text(area.x + 1, y, columns.saturating_sub(2), &line.mark, theme.strong());
            let x = area.x + columns;
            let style = if line.works { theme.plain() } else { theme.dim() };
            pen.text(x, y, area.right().saturating_sub(x), &line.text, style);
        }
        if most > scroll {
            let more = "more below: PgDn";
            let width = pen.width_of(more);
            let y = area.bottom().saturating_sub(1);
            pen.text(area.right().saturating_sub(width), y, width, more, theme.person());
        }
    }
}

/// One row of help.
struct HelpLine {
    /// What it is about, in its first row.
    mark: String,
    text: String,
    /// Whether it works right now.
    works: bool,
}

/// What the marks on the screens mean.
const LEGEND: &[(&str, &str)] = &[
    ("on, off", "treatment (requests with the flag on) and control (with it off)"),
    ("P99 line", "treatment's P99 against control's: half height is the same, full is three times or more"),
    ("errors line", "treatment's failed requests: higher from 0.1, 0.2, 0.5, 1, 2, 5 and 10 % on"),
    ("orange bar", "treatment is worse than control in that interval, by more than noise explains"),
    ("sweep", "lines are written from left to right and over again, with a gap after the newest interval"),
    ("collecting", "collecting data: too few requests to judge the flag"),
    ("watched", "at 100 %, compared with its baseline: control as recorded during the ramp"),
    ("◆", "a person holds the flag: the agent keeps off"),
    ("!", "a person switched the shield's hard limits off for a time"),
    ("~", "request counts are assumed, the source has none"),
    ("★", "in a training: the checkpoint with the least cost on the validation scenarios so far"),
    ("shut", "a choice of the policy that the shield would not let pass now"),
    ("value", "what the policy makes of it: minus the cost that it still expects; 0 is best"),
    ("–", "no data; never the same as 0"),
    ("grey values", "older than three intervals, or the link is down"),
];

/// Columns of the marks, with the air around them.
fn mark_columns(all: &[(String, String, bool)]) -> u16 {
    let widest = all.iter().map(|(mark, ..)| unicode_width::UnicodeWidthStr::width(mark.as_str())).max();
    u16::try_from(widest.unwrap_or(0)).unwrap_or(u16::MAX).saturating_add(3)
}

/// Every command of the screen and every mark: what it is about, what is said of it, whether it works.
fn all(model: &Model) -> Vec<(String, String, bool)> {
    let ground = model.screens.ground().row().id;
    let commands = COMMANDS.iter().filter(|spec| spec.screens.includes(ground)).map(|spec| {
        let not = why_not(spec.id, model);
        let works = not.is_none();
        let text = not.map_or_else(|| spec.help.to_owned(), |not| format!("{} (not now: {not})", spec.help));
        (spec.key_labels(), text, works)
    });
    let blank = std::iter::once((String::new(), String::new(), true));
    let legend = LEGEND.iter().map(|(mark, text)| ((*mark).to_owned(), (*text).to_owned(), true));
    commands.chain(blank).chain(legend).collect()
}

/// All rows at a width, from top to bottom; what does not fit into one goes on in the next.
fn lines(model: &Model, width: u16) -> Vec<HelpLine> {
    let all = all(model);
    let room = usize::from(width.saturating_sub(mark_columns(&all)));
    let mut lines = Vec::new();
    for (mark, text, works) in all {
        let parts = wrap(&text, room);
        let parts = if parts.is_empty() { vec![String::new()] } else { parts };
        for (row, text) in parts.into_iter().enumerate() {
            let mark = if row == 0 { mark.clone() } else { String::new() };
            lines.push(HelpLine { mark, text, works });
        }
    }
    lines
}

/// Rows for them: the title stands above, and below where there is more.
fn rows(model: &Model, area: Rect) -> u16 {
    let below_title = area.height.saturating_sub(1).max(1);
    let fits = lines(model, area.width).len() <= usize::from(below_title);
    if fits { below_title } else { below_title.saturating_sub(1).max(1) }
}
