//! The training where there is no room for panels: a line for each metric, harm first, each with its curve.
//!
//! ```text
//! harm            31.2 (opponent 41) ▇▆▅▄▃▃▂▂▂▂
//! reward         -12.3 an episode    ▁▂▃▄▅▅▆▆▇▇
//! ```

use ratatui::layout::Rect;

use super::{
    chart::{Column, Curve},
    extent, last_validation,
};
use crate::{
    agent::training::{METRICS, Scale, compact},
    tui::{
        pen::{Align, Pen},
        training::Training,
    },
};

/// Columns of the names, of the values, and of their units.
const NAME: u16 = 18;
const VALUE: u16 = 8;
const UNIT: u16 = 11;
/// Fewest columns of a curve.
const CURVE: u16 = 8;

/// One line.
struct Line<'a> {
    name: &'a str,
    now: Option<f64>,
    unit: &'a str,
    values: Vec<Option<f64>>,
    ends: (f64, f64),
    worse: bool,
}

pub(super) fn draw(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let points = training.points();
    let all = &training.log().points;
    let mut held = None;
    let harm = points.iter().map(|point| {
        held = point.validation.map(|found| found.harm).or(held);
        held
    });
    let now = last_validation(points);
    let opponent = now.and_then(|now| now.best_opponent_harm);
    let against = opponent.map(|opponent| format!("of {}", compact(opponent)));
    let first = Line {
        name: "harm, of opponent",
        now: now.map(|now| now.harm),
        unit: against.as_deref().unwrap_or_default(),
        values: harm.collect(),
        ends: Scale::FromZero.ends(all.iter().filter_map(|point| point.validation.map(|found| found.harm))),
        worse: now.zip(opponent).is_some_and(|(now, opponent)| now.harm > opponent),
    };
    let metrics = METRICS.iter().map(|metric| Line {
        name: metric.name,
        now: points.iter().rev().find_map(metric.value),
        unit: metric.unit,
        values: points.iter().map(metric.value).collect(),
        ends: metric.scale.ends(all.iter().filter_map(metric.value)),
        worse: false,
    });
    for (y, line) in (area.y..area.bottom()).zip(std::iter::once(first).chain(metrics)) {
        draw_line(training, line, Rect { y, height: 1, ..area }, pen);
    }
}

fn draw_line(training: &Training, line: Line<'_>, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let Line { name, now, unit, values, ends, worse } = line;
    pen.text(area.x, area.y, NAME, name, theme.dim());
    let value = now.map_or_else(|| "–".to_owned(), compact);
    let style = match (now, worse) {
        (None, _) => theme.dim(),
        (Some(_), true) => theme.abnormal(),
        (Some(_), false) => theme.plain(),
    };
    let x = area.x + NAME;
    pen.cell(x, area.y, VALUE, Align::Right, &value, style);
    let unit_gap = u16::from(!unit.starts_with('/'));
    pen.text(x + VALUE + unit_gap, area.y, UNIT - unit_gap, unit, theme.dim());
    let x = x + VALUE + UNIT + 1;
    let room = area.right().saturating_sub(x);
    if room < CURVE {
        return;
    }
    let curve = Curve { steps: training.points(), values, extent: extent(training) };
    for (x, column) in (x..area.right()).zip(curve.columns(room)) {
        match column {
            Column::Empty => {}
            Column::Missing => pen.put(x, area.y, theme.missing(), theme.dim()),
            Column::Value(value) => {
                let share = ((value - ends.0) / (ends.1 - ends.0)).clamp(0.0, 1.0);
                pen.put(x, area.y, theme.level(level(share)), theme.bar(false));
            }
        }
    }
}

/// The bar of a share, 1 to 8.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "one of eight")]
fn level(share: f64) -> usize {
    1 + (share * 7.0).round() as usize
}
