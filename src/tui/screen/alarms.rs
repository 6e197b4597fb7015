//! The alarms: what needs attention, the most urgent and unacknowledged first.
//!
//! ```text
//!   priority  since     state          alarm
//! ▸ high      16:02:40  new            the shield rolled power-peg back: errors ...
//!   low       15:58:10  seen by maria  cart-badge: 12 samples were rejected
//! ```

use ratatui::layout::Rect;

use super::{Ability, Opener, Screen, ScreenId, ScreenRow, Section, Step, detail_rows};
use crate::tui::{
    Model,
    command::{CommandId, Scope, Spec, letter},
    figures,
    fleet_view::FleetView,
    pen::{Pen, wrap},
    view::first_page_row,
};
use knightwatch_core::{
    control::{Alarm, AlarmId, AlarmKind},
    flag::FlagKey,
};

const ID: ScreenId = ScreenId("alarms");

pub(super) const ROW: ScreenRow = ScreenRow {
    offers: &[Ability::Alarms, Ability::Enter, Ability::Next, Ability::Copy, Ability::Pace],
    in_cycle: true,
    opener: Some(Opener {
        command: Spec {
            id: CommandId::OpenScreen(ID),
            name: "alarms",
            short: "alarms",
            keys: &[letter('A')],
            screens: Scope::Except(ID),
            help: "the alarms: what needs attention",
        },
        needs_backend: true,
        open: |_| Ok(Box::new(AlarmsScreen::default())),
    }),
    ..ScreenRow::new(ID, Section::Daily)
};

/// The alarms.
#[derive(Debug, Default)]
struct AlarmsScreen {
    /// The alarm the cursor is on; the first where `None` or where it is gone.
    at: Option<AlarmId>,
}

impl AlarmsScreen {
    /// The alarm under the cursor.
    fn selected<'a>(&self, model: &'a Model) -> Option<&'a Alarm> {
        self.alarm(model.fleet.as_ref()?)
    }

    /// As many lines as the selected one takes, up to half of the screen: what is critical is not cut for want of a line.
    fn detail_rows(&self, model: &Model, body: Rect) -> u16 {
        if body.height < TALL {
            return 0;
        }
        let said = self.selected(model).zip(model.fleet.as_ref());
        let lines =
            said.map_or(0, |(alarm, fleet)| wrap(&in_full(alarm, fleet), usize::from(body.width)).len());
        detail_rows(lines, DETAIL, body.height / 2)
    }

    /// Rows for alarms.
    fn rows(&self, model: &Model, body: Rect) -> u16 {
        body.height.saturating_sub(1 + self.detail_rows(model, body)).max(1)
    }
}

impl Screen for AlarmsScreen {
    fn row(&self) -> &'static ScreenRow {
        &ROW
    }

    fn page(&self, model: &Model, body: Rect) -> usize {
        usize::from(self.rows(model, body))
    }

    fn step(&mut self, step: Step, fleet: Option<&FleetView>, _last_scroll: usize) {
        let Some(fleet) = fleet else { return };
        let alarms = fleet.alarms_in_order();
        let at = self.alarm(fleet).and_then(|alarm| alarms.iter().position(|other| other.id == alarm.id));
        self.at = alarms.get(step.from(at.unwrap_or(0), alarms.len())).map(|alarm| alarm.id);
    }

    fn alarm<'a>(&self, fleet: &'a FleetView) -> Option<&'a Alarm> {
        let alarms = fleet.alarms_in_order();
        let chosen = alarms.iter().find(|alarm| Some(alarm.id) == self.at).copied();
        chosen.or_else(|| alarms.first().copied())
    }

    fn enter(&self, model: &Model) -> Option<FlagKey> {
        self.selected(model)?.kind.flag().cloned()
    }

    fn copy(&self, model: &Model) -> Option<String> {
        Some(self.selected(model)?.text.clone())
    }

    fn draw(&self, model: &Model, area: Rect, pen: &mut Pen<'_>) {
        let theme = pen.theme;
        let Some(fleet) = &model.fleet else { return };
        let alarms = fleet.alarms_in_order();
        if alarms.is_empty() {
            pen.text(area.x + 2, area.y, area.width, "no alarms", theme.dim());
            return;
        }
        let columns = [(PRIORITY, "priority"), (SINCE, "since"), (STATE, "state"), (area.width, "alarm")];
        let mut x = area.x + 2;
        for (width, title) in columns {
            pen.text(x, area.y, width, title, theme.dim());
            x = x.saturating_add(width + 2);
        }
        let selected = self.selected(model).map(|alarm| alarm.id);
        let row = alarms.iter().position(|alarm| Some(alarm.id) == selected).unwrap_or(0);
        let rows = usize::from(self.rows(model, area));
        let first = first_page_row(row, rows);
        for (y, alarm) in (area.y + 1..).zip(alarms.iter().skip(first).take(rows)) {
            let chosen = Some(alarm.id) == selected;
            if chosen {
                pen.text(area.x, y, 1, theme.marker(), theme.strong());
            }
            // A rollback is over the moment it is done, and is news all the same.
            let news = alarm.cleared_at.is_none() || matches!(alarm.kind, AlarmKind::RolledBack(_));
            let style = match (alarm.is_open(), news) {
                (false, _) => theme.dim(),
                (true, false) => theme.plain(),
                (true, true) => theme.priority(alarm.priority()),
            };
            let mut x = area.x + 2;
            pen.text(x, y, PRIORITY, alarm.priority().as_str(), style);
            x += PRIORITY + 2;
            pen.text(x, y, SINCE, &figures::clock(alarm.raised_at), theme.dim());
            x += SINCE + 2;
            pen.text(x, y, STATE, &state(alarm), theme.dim());
            x += STATE + 2;
            let style = if chosen { theme.strong() } else { theme.plain() };
            pen.text(x, y, area.right().saturating_sub(x), &alarm.text, style);
        }
        let detail = self.detail_rows(model, area);
        if detail > 0
            && let Some(alarm) = alarms.get(row)
        {
            let below = Rect { y: area.bottom() - detail, height: detail, ..area };
            pen.fill(below.x, below.y, below.width, theme.rule(), theme.dim());
            let text = in_full(alarm, fleet);
            pen.paragraph(Rect { y: below.y + 1, height: detail - 1, ..below }, &text, theme.plain());
        }
    }
}

/// Fewest lines below the rows for the selected alarm in full, its rule included.
const DETAIL: u16 = 4;
/// From so many lines on there is room for them.
const TALL: u16 = 12;
const PRIORITY: u16 = 8;
const SINCE: u16 = 8;
const STATE: u16 = 21;

/// All there is to say of an alarm.
fn in_full(alarm: &Alarm, fleet: &FleetView) -> String {
    let over = match alarm.cleared_at {
        None => ", it lasts".to_owned(),
        Some(at) if at == alarm.raised_at => String::new(),
        Some(at) => format!(", its cause is over since {} UTC", figures::clock(at)),
    };
    let seen = alarm.acknowledged_by.as_ref();
    let seen = seen.map_or_else(|| "not acknowledged".to_owned(), |by| format!("acknowledged by {by}"));
    let shelved = alarm.shelf.as_ref().map_or_else(String::new, |shelf| {
        format!(", shelved by {} until {} UTC ({})", shelf.by, figures::clock(shelf.until), shelf.why)
    });
    format!(
        "{} alarm {}, raised {} UTC ({} ago){over}, {seen}{shelved}: {}",
        alarm.priority(),
        alarm.id.0,
        figures::day_and_clock(alarm.raised_at),
        figures::ago(fleet.controller.now, alarm.raised_at),
        alarm.text
    )
}

fn state(alarm: &Alarm) -> String {
    if let Some(shelf) = &alarm.shelf {
        return format!("shelved {}", figures::clock(shelf.until));
    }
    match (&alarm.acknowledged_by, alarm.cleared_at) {
        (Some(by), None) => format!("acknowledged by {by}"),
        (None, Some(_)) => "ended, unacknowledged".to_owned(),
        (Some(by), Some(_)) => format!("ended, acknowledged by {by}"),
        (None, None) => "unacknowledged".to_owned(),
    }
}
