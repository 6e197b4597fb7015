//! The training where there is no room for panels: a line for each metric, cost first, each with its curve.
//!
//! ```text
//! cost 151, rule 174 points a flag         ▇▆▅▄▃▃▂▂▂▂
//! reward               -12.3 an episode    ▁▂▃▄▅▅▆▆▇▇
//! ```

use ratatui::layout::Rect;

use super::{
    Training,
    chart::{Column, Curve},
    extent, last_validation,
};
use crate::tui::pen::{Align, Pen};
use knightwatch_agent::training::{COST, METRICS, Scale, compact};

/// Columns of the names, of the values, and of their units.
const NAME: u16 = 18;
const VALUE: u16 = 8;
const UNIT: u16 = 13;
const TEXT: u16 = NAME + VALUE + UNIT;
/// Fewest columns of a curve.
const CURVE: u16 = 8;

/// One line.
struct MetricLine<'a> {
    name: &'a str,
    now: Option<f64>,
    unit: &'a str,
    values: Vec<Option<f64>>,
    ends: (f64, f64),
}

pub(super) fn draw(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let points = training.points();
    let all = &training.log().points;
    let mut held = None;
    let cost = points.iter().map(|point| {
        held = point.validation.map(|found| found.cost).or(held);
        held
    });
    let told = cost_text(training);
    let first = MetricLine {
        name: &told,
        now: None,
        unit: "",
        values: cost.collect(),
        ends: Scale::Free.ends(all.iter().filter_map(|point| point.validation.map(|found| found.cost))),
    };
    let metrics = METRICS.iter().map(|metric| MetricLine {
        name: metric.name,
        now: points.iter().rev().find_map(metric.value),
        unit: metric.unit,
        values: points.iter().map(metric.value).collect(),
        ends: metric.scale.robust_ends(all.iter().filter_map(metric.value)).0,
    });
    for (y, line) in (area.y..area.bottom()).zip(std::iter::once(first).chain(metrics)) {
        let place = Rect { y, height: 1, ..area };
        if y > area.y {
            values(&line, place, pen);
        } else {
            pen.text(area.x, y, TEXT, line.name, pen.theme.plain());
        }
        curve(training, line, place, pen);
    }
}

/// Cost, the best opponent's, and their unit, in one go: they belong together.
fn cost_text(training: &Training) -> String {
    let header = &training.log().header;
    let unit = &header.harm_unit;
    let cost = last_validation(training.points()).map_or_else(|| "–".to_owned(), |found| compact(found.cost));
    match header.opponents_by(COST).first() {
        None => format!("cost {cost} {unit}"),
        Some((level, name)) => format!("cost {cost}, {name} {} {unit}", compact(*level)),
    }
}

fn values(line: &MetricLine<'_>, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    pen.text(area.x, area.y, NAME, line.name, theme.dim());
    let value = line.now.map_or_else(|| "–".to_owned(), compact);
    let style = if line.now.is_some() { theme.plain() } else { theme.dim() };
    let x = area.x + NAME;
    pen.cell(x, area.y, VALUE, Align::Right, &value, style);
    pen.text(x + VALUE + 1, area.y, UNIT - 1, line.unit, theme.dim());
}

fn curve(training: &Training, line: MetricLine<'_>, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let MetricLine { values, ends, .. } = line;
    let x = area.x + TEXT + 1;
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
