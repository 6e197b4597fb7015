//! The chart that counts: harm on the validation scenarios, the best baseline's level, the checkpoint that was kept.
//!
//! ```text
//! harm on validation, cost units a flag  █ agent 3.1  ━ rule 4.1  ★ best 2.9
//!     10 ██▆
//!        ━━━━━━━━━━━★━━━━          orange where it is worse than the baseline
//!      0 ███████▅▅▄▄▃▃▃▃
//! ```
//! Between two validations the last one is held.

use ratatui::layout::Rect;

use super::{
    below,
    chart::{self, Chart, Curve},
    extent, last_validation,
};
use crate::{
    agent::training::{TrainingHeader, TrainingPoint, best_of, compact, harm_ends},
    tui::{pen::Pen, theme::LEVELS, training::Training},
};

/// From so many lines on it has an axis of its own.
const OWN_AXIS: u16 = 9;

/// Harm on the validation scenarios over time, the opponent's level, the best checkpoint.
pub(super) fn draw(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let points = training.points();
    let header = &training.log().header;
    let measured = last_validation(points).and_then(|now| now.best_opponent_harm);
    let opponent = measured.or(header.best_opponent().map(|opponent| opponent.harm));
    let best = best_of(points);
    title(header, points, opponent, area, pen);

    let all = training.log().points.iter().filter_map(|point| point.validation.map(|found| found.harm));
    let high = all.fold(0.0, f64::max);
    let known = high > 0.0 || opponent.is_some();
    let (ends, more) = harm_ends(high, opponent);
    let mut held = None;
    let values = points
        .iter()
        .map(|point| {
            held = point.validation.map(|found| found.harm).or(held);
            held
        })
        .collect();
    let extent = extent(training);
    let chart = Chart {
        curve: Curve { steps: points, values, extent },
        ends,
        known,
        line: opponent,
        gaps: false,
        more,
    };
    let own_axis = u16::from(area.height >= OWN_AXIS);
    let plot = below(area, 1);
    let plot = Rect { height: plot.height.saturating_sub(own_axis), ..plot };
    chart.draw(plot, pen);
    if let Some((point, _)) = best {
        chart.mark(point.steps, theme.best(), plot, pen);
    }
    if own_axis > 0 && !training.log().points.is_empty() {
        chart::axis(extent, Rect { y: plot.bottom(), height: 1, ..plot }, pen);
    }
}

/// The legend: what is drawn how, with the values; shorter where it has to be.
fn title(
    header: &TrainingHeader,
    points: &[TrainingPoint],
    opponent: Option<f64>,
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let theme = pen.theme;
    let now = last_validation(points);
    let named = header.best_opponent().map_or("best opponent", |opponent| opponent.name.as_str());
    let worse = now.zip(opponent).is_some_and(|(now, opponent)| now.harm > opponent);
    let value = now.map_or_else(|| "–".to_owned(), |now| compact(now.harm));
    let against = opponent.map_or_else(|| "–".to_owned(), compact);
    let what = format!("harm on validation, {}", header.harm_unit);
    let best = best_of(points);
    let (dim, plain) = (theme.dim(), theme.plain());
    for roomy in [true, false] {
        let rival = if roomy { format!(" best opponent, {named} ") } else { format!(" {named} ") };
        let kept = best.map(|(point, best)| {
            let place = if roomy { format!(" at iteration {}", point.iteration) } else { String::new() };
            format!(" best {}{place}", compact(best.harm))
        });
        let mut spans = vec![
            (&*what, theme.strong()),
            ("  ", dim),
            (theme.level(LEVELS), theme.bar(worse)),
            (" agent ", dim),
            (&*value, if worse { theme.abnormal() } else { plain }),
            ("  ", dim),
            (theme.control_line(false), theme.strong()),
            (&*rival, dim),
            (&*against, plain),
        ];
        if let Some(kept) = &kept {
            spans.extend([("  ", dim), (theme.best(), theme.strong()), (kept, plain)]);
        }
        let width: u16 = spans.iter().map(|(text, _)| pen.width_of(text)).sum();
        if width <= area.width || !roomy {
            pen.spans(area.x, area.y, area.right(), &spans);
            return;
        }
    }
}
