//! The charts that count: what the policy came to on the validation scenarios, every baseline's level, the checkpoint that
//! was kept. Cost first, since the judge and the choice of weights go by it; harm beside it where there is room.
//!
//! ```text
//! cost on validation, points a flag  █ agent 150  ━ rule 174, flagger 253  ★ least 150
//!    280 ━━━━━━━━━━━━━━━━ flagger 253
//!        █▆                           orange where cost is above the best baseline's
//!    140 ███▅▅▄▄★━━━━━━━━ rule 174
//! ```
//! Between two validations the last one is held.

use ratatui::layout::Rect;

use super::{
    Training, below,
    chart::{self, Chart, Curve},
    extent, last_validation,
};
use crate::tui::{pen::Pen, theme::LEVELS};
use knightwatch_agent::training::{COST, HARM, Measure, TrainingHeader, TrainingPoint, best_of, compact};

/// From so many lines on it has an axis of its own.
const OWN_AXIS: u16 = 9;

/// From so many columns on harm stands beside cost.
const BESIDE: u16 = 110;

/// Both where there is room, else cost.
pub(super) fn draw(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    if area.width < BESIDE {
        return one(training, COST, area, pen);
    }
    let half = area.width / 2;
    one(training, COST, Rect { width: half - 1, ..area }, pen);
    one(training, HARM, Rect { x: area.x + half, width: area.width - half, ..area }, pen);
}

/// One measure over time, the baselines' levels, the checkpoint with the least cost.
fn one(training: &Training, measure: Measure, area: Rect, pen: &mut Pen<'_>) {
    let points = training.points();
    let header = &training.log().header;
    let levels = header.opponents_by(measure);
    title(header, points, measure, &levels, area, pen);
    let of = |point: &TrainingPoint| point.validation.as_ref().map(measure.of);
    let all = training.log().points.iter().filter_map(of);
    let known = all.clone().next().is_some() || !levels.is_empty();
    let (ends, more) = measure.ends(all, &levels);
    let mut held = None;
    let values = points
        .iter()
        .map(|point| {
            held = of(point).or(held);
            held
        })
        .collect();
    let extent = extent(training);
    let chart = Chart {
        curve: Curve { steps: points, values, extent },
        ends,
        known,
        lines: &levels,
        judged: is_judged(measure),
        gaps: false,
        beyond: (false, more),
    };
    let own_axis = u16::from(area.height >= OWN_AXIS);
    let plot = below(area, 1);
    let plot = Rect { height: plot.height.saturating_sub(own_axis), ..plot };
    chart.draw(plot, pen);
    if let Some((point, _)) = best_of(points) {
        chart.mark(point.steps, pen.theme.best(), plot, pen);
    }
    if own_axis > 0 && !training.log().points.is_empty() {
        chart::axis(extent, Rect { y: plot.bottom(), height: 1, ..plot }, pen);
    }
}

/// Whether a policy is better or worse by it. Cost is what is traded; less harm alone can be had by standing still.
fn is_judged(measure: Measure) -> bool {
    measure.name == COST.name
}

/// The legend: what is drawn how, with the values; shorter where it has to be. The star is the least cost, also in the
/// chart of harm: the weights kept there.
fn title(
    header: &TrainingHeader,
    points: &[TrainingPoint],
    measure: Measure,
    levels: &[(f64, &str)],
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let theme = pen.theme;
    let now = last_validation(points).as_ref().map(measure.of);
    let worse = is_judged(measure) && now.zip(levels.first()).is_some_and(|(now, (level, _))| now > *level);
    let value = now.map_or_else(|| "–".to_owned(), compact);
    let rival = |(level, name): &(f64, &str)| format!("{name} {}", compact(*level));
    let (dim, plain) = (theme.dim(), theme.plain());
    let best = best_of(points);
    // How much is said: every rival, the unit, the iteration of the star.
    let forms = [
        (true, true, true),
        (true, true, false),
        (false, true, true),
        (false, true, false),
        (false, false, false),
    ];
    for (index, (every, unit, place)) in forms.into_iter().enumerate() {
        let what = if unit {
            format!("{} on validation, {}", measure.name, header.harm_unit)
        } else {
            format!("{}, {}", measure.name, header.harm_unit)
        };
        let named = if every { levels } else { &levels[..levels.len().min(1)] };
        let rivals = match named {
            [] => " opponents –".to_owned(),
            named => format!(" {}", named.iter().map(rival).collect::<Vec<_>>().join(", ")),
        };
        let kept = best.map(|(point, found)| {
            let least = match (is_judged(measure), unit) {
                (true, _) => "least",
                (false, true) => "at the least cost",
                (false, false) => "then",
            };
            let place = if place { format!(" at iteration {}", point.iteration) } else { String::new() };
            format!(" {least} {}{place}", compact((measure.of)(&found)))
        });
        let mut spans = vec![
            (&*what, theme.strong()),
            ("  ", dim),
            (theme.level(LEVELS), theme.bar(worse)),
            (" agent ", dim),
            (&*value, if worse { theme.abnormal() } else { plain }),
            ("  ", dim),
            (theme.control_line(false), theme.strong()),
            (&*rivals, dim),
        ];
        if let Some(kept) = &kept {
            spans.extend([("  ", dim), (theme.best(), theme.strong()), (kept, plain)]);
        }
        let width: u16 = spans.iter().map(|(text, _)| pen.width_of(text)).sum();
        if width <= area.width || index + 1 == forms.len() {
            pen.spans(area.x, area.y, area.right(), &spans);
            return;
        }
    }
}
