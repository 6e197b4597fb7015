//! A curve over the steps of a training, as bars from the lower end of its axis.
//!
//! ```text
//!     60 ▇▇▆                       ★          the best, at its step
//!        ███▆▅▅▄▃━━━━━━━━━━━━━━━━━━━━━        the line: what it is measured against
//!      0 ████████▇▆▅▅▅▄▄▄▄▄
//! ```
//! A column is the mean of the iterations that fall into it. It must not know what the curve is of.

use ratatui::layout::Rect;

use crate::tui::{
    pen::{Align, Pen},
    theme::LEVELS,
};
use knightwatch_agent::training::{TrainingPoint, as_f64, compact, count};

/// Columns for the labels of the axis.
pub(super) const LABEL: u16 = 7;

/// Fewest columns of a plot whose lines have names.
const NAMED: u16 = 40;

/// Values over steps.
pub(super) struct Curve<'a> {
    /// The points shown, for their steps.
    pub(super) steps: &'a [TrainingPoint],
    /// The value of each of them.
    pub(super) values: Vec<Option<f64>>,
    /// Steps at the right end.
    pub(super) extent: u64,
}

/// What is in one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Column {
    /// Nothing has come so far.
    Empty,
    /// Something has, without a value.
    Missing,
    /// The mean of the values.
    Value(f64),
}

impl Curve<'_> {
    /// What is in each of `width` columns. A point stands for the steps since the one before it.
    pub(super) fn columns(&self, width: u16) -> Vec<Column> {
        let width = u64::from(width.max(1));
        let edge = |column: u64| as_f64(self.extent) * as_f64(column) / as_f64(width);
        (0..width)
            .map(|column| {
                let (left, right) = (edge(column), edge(column + 1));
                let first = self.steps.partition_point(|point| as_f64(point.steps) <= left);
                let last = self.steps.partition_point(|point| as_f64(point.steps) < right) + 1;
                let values = &self.values[first..last.min(self.values.len()).max(first)];
                if values.is_empty() {
                    return Column::Empty;
                }
                let (sum, found) = values
                    .iter()
                    .flatten()
                    .fold((0.0, 0_u64), |(sum, found), value| (sum + value, found + 1));
                if found == 0 { Column::Missing } else { Column::Value(sum / as_f64(found)) }
            })
            .collect()
    }
}

/// A curve with its axis.
pub(super) struct Chart<'a> {
    pub(super) curve: Curve<'a>,
    /// The lower and the upper end of the axis.
    pub(super) ends: (f64, f64),
    /// Whether there are values that the ends are of; without any they would be made up.
    pub(super) known: bool,
    /// Levels that it is measured against, the lowest first, with their names.
    pub(super) lines: &'a [(f64, &'a str)],
    /// Whether what is above the first of them is drawn as worse.
    pub(super) judged: bool,
    /// Whether what was not measured is marked.
    pub(super) gaps: bool,
    /// Whether values go beyond the lower and the upper end.
    pub(super) beyond: (bool, bool),
}

/// Where the curve is within an area with labels.
fn plot(area: Rect) -> Rect {
    let label = LABEL.min(area.width);
    Rect { x: area.x + label, width: area.width - label, ..area }
}

impl Chart<'_> {
    /// How high a value stands, 0 to 1.
    fn height(&self, value: f64) -> f64 {
        ((value - self.ends.0) / (self.ends.1 - self.ends.0)).clamp(0.0, 1.0)
    }

    pub(super) fn draw(&self, area: Rect, pen: &mut Pen<'_>) {
        if area.height == 0 {
            return;
        }
        let theme = pen.theme;
        let plot = plot(area);
        let bottom = plot.bottom() - 1;
        for (x, column) in (plot.x..plot.right()).zip(self.curve.columns(plot.width)) {
            let eighths = match column {
                Column::Missing if self.gaps => {
                    pen.put(x, bottom, theme.missing(), theme.dim());
                    0
                }
                Column::Empty | Column::Missing => 0,
                Column::Value(value) => filled(self.height(value), plot.height),
            };
            let first = self.lines.first().filter(|_| self.judged);
            let worse =
                first.is_some_and(|(line, _)| matches!(column, Column::Value(value) if value > *line));
            for line in 0..plot.height {
                let here = eighths.saturating_sub(usize::from(line) * LEVELS);
                if here > 0 {
                    pen.put(x, bottom - line, theme.level(here), theme.bar(worse));
                }
            }
            for (level, _) in self.lines {
                let line = row(self.height(*level), plot.height);
                let covered = eighths >= (usize::from(line) + 1) * LEVELS;
                let style = if covered { theme.across(worse) } else { theme.line() };
                pen.put(x, bottom - line, theme.control_line(false), style);
            }
        }
        self.names(plot, pen);
        if self.known {
            self.labels(area, pen);
        }
    }

    /// The names of the lines at their right ends, several where they share a row, as far as no bar is hidden by them.
    fn names(&self, plot: Rect, pen: &mut Pen<'_>) {
        if plot.width < NAMED {
            return;
        }
        let columns = self.curve.columns(plot.width);
        let mut rest = self.lines;
        while let Some((level, _)) = rest.first() {
            let line = row(self.height(*level), plot.height);
            let same =
                rest.iter().take_while(|(level, _)| row(self.height(*level), plot.height) == line).count();
            let (here, above) = rest.split_at(same);
            rest = above;
            let named: Vec<_> =
                here.iter().map(|(level, name)| format!("{name} {}", compact(*level))).collect();
            let text = format!(" {} ", named.join(", "));
            let width = pen.width_of(&text);
            let Some(start) = plot.width.checked_sub(width) else { continue };
            let hidden = columns[usize::from(start)..].iter().any(|column| match column {
                Column::Value(value) => filled(self.height(*value), plot.height) > usize::from(line) * LEVELS,
                Column::Empty | Column::Missing => false,
            });
            if !hidden {
                pen.text(plot.x + start, plot.bottom() - 1 - line, width, &text, pen.theme.dim());
            }
        }
    }

    fn labels(&self, area: Rect, pen: &mut Pen<'_>) {
        let dim = pen.theme.dim();
        let (low, high) = self.ends;
        let width = LABEL - 1;
        let top = if self.beyond.1 { format!("{}+", compact(high)) } else { compact(high) };
        // Where both do not fit the number comes first.
        let fits = |text: &String| pen.width_of(text) <= width;
        let low_label = Some(format!("≤{}", compact(low))).filter(|text| self.beyond.0 && fits(text));
        let low_label = low_label.unwrap_or_else(|| compact(low));
        pen.cell(area.x, area.y, width, Align::Right, &top, dim);
        if area.height > 1 {
            pen.cell(area.x, area.bottom() - 1, width, Align::Right, &low_label, dim);
        }
        if area.height >= 6 && area.height.is_multiple_of(2) {
            let middle = compact(f64::midpoint(low, high));
            pen.cell(area.x, area.bottom() - area.height / 2, width, Align::Right, &middle, dim);
        }
    }

    /// A mark above the bar at a step, or in its top where it reaches the upper end.
    pub(super) fn mark(&self, steps: u64, symbol: &str, area: Rect, pen: &mut Pen<'_>) {
        let plot = plot(area);
        if plot.width == 0 || plot.height == 0 {
            return;
        }
        let columns = self.curve.columns(plot.width);
        // The column that the point ends in.
        let share = as_f64(steps) / as_f64(self.curve.extent) * f64::from(plot.width);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a column of the screen")]
        let column = ((share.ceil() as u16).max(1) - 1).min(plot.width - 1);
        let above = match columns.get(usize::from(column)) {
            Some(Column::Value(value)) => {
                let eighths = filled(self.height(*value), plot.height);
                u16::try_from(eighths.div_ceil(LEVELS)).unwrap_or(plot.height)
            }
            _ => 0,
        };
        let line = above.min(plot.height - 1);
        let style =
            if usize::from(above) > usize::from(line) { pen.theme.cursor() } else { pen.theme.line() };
        pen.put(plot.x + column, plot.bottom() - 1 - line, symbol, style);
    }
}

/// Eighths of a line that a share of the height fills; at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a few lines")]
fn filled(share: f64, height: u16) -> usize {
    let full = f64::from(height) * f64::from(u8::try_from(LEVELS).unwrap_or(8));
    (share * full).round().max(1.0) as usize
}

/// The line of a share of the height, from below.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a few lines")]
fn row(share: f64, height: u16) -> u16 {
    ((share * f64::from(height)) as u16).min(height - 1)
}

/// The axis below a chart: from 0 to its steps.
pub(super) fn axis(extent: u64, area: Rect, pen: &mut Pen<'_>) {
    let dim = pen.theme.dim();
    let plot = plot(area);
    let end = format!("{} steps", count(extent));
    if plot.width >= pen.width_of(&end) + 3 {
        pen.text(plot.x, plot.y, plot.width, "0", dim);
    }
    pen.cell(plot.x, plot.y, plot.width, Align::Right, &end, dim);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(steps: &[u64]) -> Vec<TrainingPoint> {
        let point = |steps: &u64| TrainingPoint { steps: *steps, ..TrainingPoint::default() };
        steps.iter().map(point).collect()
    }

    fn columns(steps: &[u64], values: &[Option<f64>], extent: u64, width: u16) -> Vec<Column> {
        let points = points(steps);
        Curve { steps: &points, values: values.to_vec(), extent }.columns(width)
    }

    #[test]
    fn few_points_are_stretched_and_many_are_averaged() {
        use Column::{Empty, Value};
        let few = columns(&[50, 100], &[Some(1.0), Some(2.0)], 100, 4);
        assert_eq!(few, [Value(1.0), Value(1.0), Value(2.0), Value(2.0)]);
        let many: Vec<u64> = (1..=100).collect();
        let values: Vec<_> = many.iter().map(|steps| Some(as_f64(*steps))).collect();
        assert_eq!(columns(&many, &values, 100, 2), [Value(25.5), Value(75.5)]);
        assert_eq!(columns(&[], &[], 100, 2), [Empty, Empty]);
    }

    #[test]
    fn what_has_not_come_yet_is_empty_and_what_was_not_measured_is_missing() {
        use Column::{Empty, Missing, Value};
        let shown = columns(&[25, 50], &[None, Some(3.0)], 100, 4);
        assert_eq!(shown, [Missing, Value(3.0), Empty, Empty]);
    }
}
