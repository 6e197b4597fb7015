//! The log: every journal entry as one sentence, the newest at the top, the selected one in full below.
//!
//! ```text
//!   time UTC  actor      what
//! ▸ 16:04:12  agent      new-checkout-ui raised from 10 % to 25 %: the evidence is healthy ...
//!   16:03:52  maria      power-peg paused.
//! ──────────────────────────────────────────────────────────────────────────────────
//! #128, 2026-03-06 16:04:12 UTC, agent, raise: raised to 25 %: ...
//! ```

use ratatui::layout::Rect;

use super::{Ability, Opener, Screen, ScreenId, ScreenRow, Section, Step, detail_rows};
use crate::tui::{
    Model,
    command::{CommandId, Scope, Spec, letter},
    figures,
    fleet_view::FleetView,
    pen::{Pen, wrap},
    view::{entry, first_page_row},
};
use knightwatch_core::{
    control::{Entry, Seq},
    flag::FlagKey,
};

const ID: ScreenId = ScreenId("log");

pub(super) const ROW: ScreenRow = ScreenRow {
    offers: &[Ability::Alarms, Ability::Enter, Ability::Next, Ability::Copy, Ability::Pace],
    in_cycle: true,
    opener: Some(Opener {
        command: Spec {
            id: CommandId::OpenScreen(ID),
            name: "log",
            short: "log",
            keys: &[letter('l')],
            screens: Scope::Except(ID),
            help: "the journal, every entry one sentence",
        },
        needs_backend: true,
        open: |_| Ok(Box::new(LogScreen::default())),
    }),
    ..ScreenRow::new(ID, Section::Daily)
};

/// The journal.
#[derive(Debug, Default)]
struct LogScreen {
    /// The entry the cursor is on; the newest where `None`.
    at: Option<Seq>,
}

impl LogScreen {
    /// The row of the cursor, newest first.
    fn cursor(&self, fleet: &FleetView) -> usize {
        let Some(at) = self.at else { return 0 };
        let older = fleet.log_before(at);
        fleet.log_len().saturating_sub(older + 1)
    }

    /// The same, before there is a world too.
    fn cursor_of(&self, model: &Model) -> usize {
        model.fleet.as_ref().map_or(0, |fleet| self.cursor(fleet))
    }

    /// The entry under the cursor.
    fn entry<'a>(&self, model: &'a Model) -> Option<&'a Entry> {
        model.entries_of(None).nth(self.cursor_of(model))
    }

    /// As many lines as the selected entry takes, up to a third of the screen.
    fn detail_rows(&self, model: &Model, body: Rect) -> u16 {
        if body.height < TALL {
            return 0;
        }
        let entry = self.entry(model);
        let lines = entry.map_or(0, |entry| wrap(&in_full(entry), usize::from(body.width)).len());
        detail_rows(lines, DETAIL, body.height / 3)
    }

    /// Rows for entries.
    fn rows(&self, model: &Model, body: Rect) -> u16 {
        body.height.saturating_sub(1 + self.detail_rows(model, body)).max(1)
    }
}

impl Screen for LogScreen {
    fn row(&self) -> &'static ScreenRow {
        &ROW
    }

    fn page(&self, model: &Model, body: Rect) -> usize {
        usize::from(self.rows(model, body))
    }

    fn step(&mut self, step: Step, fleet: Option<&FleetView>, _last_scroll: usize) {
        let Some(fleet) = fleet else { return };
        let row = step.from(self.cursor(fleet), fleet.log_len());
        let entry = fleet.log().rev().nth(row);
        // At the top the cursor follows what is new.
        self.at = entry.filter(|_| row > 0).map(|entry| entry.seq);
    }

    fn wants_older(&self, model: &Model, body: Rect) -> bool {
        let entries = model.fleet.as_ref().map_or(0, FleetView::log_len);
        self.cursor_of(model) + self.page(model, body) >= entries
    }

    fn enter(&self, model: &Model) -> Option<FlagKey> {
        self.entry(model)?.flag.clone()
    }

    fn copy(&self, model: &Model) -> Option<String> {
        Some(self.entry(model)?.sentence.clone())
    }

    fn draw(&self, model: &Model, area: Rect, pen: &mut Pen<'_>) {
        let theme = pen.theme;
        let mut x = area.x + 2;
        x = entry::titles(pen, x, area.y);
        pen.text(x, area.y, area.right().saturating_sub(x), "what", theme.dim());
        let rows = usize::from(self.rows(model, area));
        let selected = self.cursor_of(model);
        let first = first_page_row(selected, rows);
        let mut y = area.y + 1;
        for (row, entry) in model.entries_of(None).enumerate().skip(first).take(rows) {
            entry::draw_entry(entry, row == selected, Rect { y, height: 1, ..area }, pen);
            y += 1;
        }
        let end = area.y + 1 + u16::try_from(rows).unwrap_or(0);
        if y < end {
            let text = if model.fetching {
                "fetching older entries ..."
            } else if model.all_fetched {
                "the journal begins here"
            } else {
                "older entries are fetched as you go down"
            };
            pen.text(area.x + 2, y, area.width, text, theme.dim());
        }
        let detail = self.detail_rows(model, area);
        if detail > 0
            && let Some(entry) = model.entries_of(None).nth(selected)
        {
            let below = Rect { y: area.bottom() - detail, height: detail, ..area };
            pen.fill(below.x, below.y, below.width, theme.rule(), theme.dim());
            pen.paragraph(
                Rect { y: below.y + 1, height: detail - 1, ..below },
                &in_full(entry),
                theme.plain(),
            );
        }
    }
}

/// Fewest lines below the rows for the selected entry in full, its rule included.
const DETAIL: u16 = 4;
/// From so many lines on there is room for them.
const TALL: u16 = 12;
/// All there is to say of an entry.
fn in_full(entry: &Entry) -> String {
    format!(
        "{} {} UTC, {}, {}: {}",
        entry.seq,
        figures::day_and_clock(entry.at),
        entry.actor,
        entry.event.kind(),
        entry.sentence
    )
}
