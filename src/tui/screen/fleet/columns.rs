//! Which columns the fleet has room for: what drops out first, and what the room that is left goes to.
//!
//! Only widths are reckoned here; what stands in a column is the fleet's business.

use crate::tui::pen::Align;

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// The flag's key.
    Key,
    /// Phase and verdict.
    State,
    /// Gauge and number of the rollout.
    Rollout,
    /// P99 of treatment, and of control where there is room.
    P99,
    /// The sparkline of treatment's P99 against control's.
    P99Line,
    /// Error rate of treatment, and of control where there is room.
    Errors,
    /// The sparkline of treatment's error rate.
    ErrorLine,
    /// What was last done.
    Last,
    /// By whom, and how long ago.
    By,
}

/// A column, and when it drops out.
pub(super) struct Column {
    pub(super) show: Show,
    /// Titles, the longest first; the first that fits is used.
    titles: &'static [&'static str],
    pub(super) align: Align,
    /// Widths: the least, the one at which it says everything, the most.
    narrow: u16,
    good: u16,
    wide: u16,
    /// Columns are taken in this order as long as there is room: the highest number drops out first.
    rank: u8,
    /// Columns grow from narrow to good in this order.
    growth: u8,
}

impl Column {
    /// Its title in so many columns.
    pub(super) fn title(&self, width: u16) -> &'static str {
        let fits = |title: &&&str| title.chars().count() <= usize::from(width);
        self.titles.iter().find(fits).or(self.titles.last()).copied().unwrap_or_default()
    }
}

#[rustfmt::skip]
const COLUMNS: [Column; 9] = [
    Column { show: Show::Key, titles: &["flag"], align: Align::Left, narrow: 15, good: 18, wide: 34, rank: 0, growth: 3 },
    Column { show: Show::State, titles: &["phase, verdict"], align: Align::Left, narrow: 15, good: STATE, wide: STATE, rank: 1, growth: 2 },
    Column { show: Show::Rollout, titles: &["rollout %", "on %"], align: Align::Right, narrow: 9, good: 9, wide: 17, rank: 2, growth: 9 },
    Column { show: Show::P99, titles: &["P99 on/off ms", "P99ms"], align: Align::Left, narrow: 5, good: PAIR_P99, wide: PAIR_P99, rank: 4, growth: 0 },
    Column { show: Show::P99Line, titles: &["P99: ▄ as off", "▄=off"], align: Align::Left, narrow: 6, good: 8, wide: 36, rank: 6, growth: 5 },
    Column { show: Show::Errors, titles: &["err on/off %", "err %"], align: Align::Left, narrow: 5, good: PAIR_ERRORS, wide: PAIR_ERRORS, rank: 5, growth: 1 },
    Column { show: Show::ErrorLine, titles: &["errors on", "errors"], align: Align::Left, narrow: 6, good: 8, wide: 36, rank: 7, growth: 6 },
    Column { show: Show::Last, titles: &["last action"], align: Align::Left, narrow: 15, good: 21, wide: 30, rank: 8, growth: 4 },
    Column { show: Show::By, titles: &["by, ago"], align: Align::Left, narrow: 10, good: BY, wide: 18, rank: 3, growth: 7 },
];

/// Width at which a phase and a verdict stand side by side without being shortened: `ramping insufficient`.
const STATE: u16 = 20;
/// Widths at which both arms' values fit with the title.
pub(super) const PAIR_P99: u16 = 13;
pub(super) const PAIR_ERRORS: u16 = 12;
/// Width at which the time is written out.
pub(super) const BY: u16 = 14;
/// From so many columns on the rollout has its gauge.
pub(super) const GAUGED: u16 = 9;
/// Width of the rollout on screens that have no room for the gauge.
const UNGAUGED: u16 = 6;
/// Below so many columns the rollout goes without its gauge.
const SLIM: u16 = 60;

/// From so many columns on there are two blanks between them instead of one.
const AIRY: u16 = 140;

/// Blanks between columns.
pub(super) const fn gap(width: u16) -> u16 {
    if width >= AIRY { 2 } else { 1 }
}

/// Columns before the first: the cursor's mark, and the mark of a person's hold.
pub(super) const MARGIN: u16 = 2;

/// Which columns there is room for, from left to right, with their widths.
pub(super) fn columns(width: u16) -> Vec<(&'static Column, u16)> {
    let narrow = |column: &Column| {
        if column.show == Show::Rollout && width < SLIM { UNGAUGED } else { column.narrow }
    };
    let mut by_rank: Vec<_> = COLUMNS.iter().collect();
    by_rank.sort_by_key(|column| column.rank);
    let mut left = width.saturating_sub(MARGIN);
    let mut taken = Vec::new();
    for column in by_rank {
        let needs = narrow(column) + if taken.is_empty() { 0 } else { gap(width) };
        if needs > left {
            break;
        }
        left -= needs;
        taken.push(column.show);
    }
    let mut columns: Vec<_> = COLUMNS
        .iter()
        .filter(|column| taken.contains(&column.show))
        .map(|column| (column, narrow(column)))
        .collect();
    // First each gets what it needs to say everything, one after the other ...
    let mut by_growth: Vec<_> = (0..columns.len()).collect();
    by_growth.sort_by_key(|place| columns[*place].0.growth);
    for place in by_growth {
        let (column, width) = &mut columns[place];
        let more = column.good.saturating_sub(*width);
        // Half a second value says nothing.
        if more <= left || !matches!(column.show, Show::P99 | Show::Errors) {
            *width += more.min(left);
            left -= more.min(left);
        }
    }
    // ... then what is left goes to those that can use it, a column at a time and in turn.
    while left > 0 {
        let mut grown = false;
        for (column, width) in &mut columns {
            if left > 0 && *width < column.wide && !matches!(column.show, Show::P99 | Show::Errors) {
                *width += 1;
                left -= 1;
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use Show::{By, ErrorLine, Errors, Key, Last, P99, P99Line, Rollout, State};

    use super::*;

    fn shown(width: u16) -> Vec<Show> {
        columns(width).iter().map(|(column, _)| column.show).collect()
    }

    #[test]
    fn no_width_is_exceeded_and_80_columns_hold_all_but_what_was_last_done() {
        for width in 1..300 {
            let columns = columns(width);
            let gaps = gap(width) * u16::try_from(columns.len()).unwrap().saturating_sub(1);
            let cells: u16 = columns.iter().map(|(_, width)| width).sum();
            assert!(columns.is_empty() || MARGIN + cells + gaps <= width, "{width}");
        }
        assert_eq!(shown(80), [Key, State, Rollout, P99, P99Line, Errors, ErrorLine, By]);
        assert_eq!(shown(120), [Key, State, Rollout, P99, P99Line, Errors, ErrorLine, Last, By]);
        assert_eq!(shown(40), [Key, State, Rollout]);
    }

    #[test]
    fn the_rollout_has_its_gauge_from_80_columns_on() {
        for width in 80..300 {
            let columns = columns(width);
            let rollout = columns.iter().find(|(column, _)| column.show == Show::Rollout);
            assert!(rollout.is_some_and(|(_, width)| *width >= GAUGED), "{width}");
        }
    }
}
