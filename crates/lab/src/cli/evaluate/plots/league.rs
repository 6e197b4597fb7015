//! The league table as a picture: who costs how much, with the interval that it is known to, and what that is made of.

use super::{
    super::super::drawing::{Anchor, Colour, GREY, GRID, INK, Picture, Size},
    Axis, EDGE, Results, TOP, WIDTH, at, colour, headed, round, short,
};
use crate::judge::Standing;

/// Height of a policy's line.
const ROW: f64 = 24.0;
/// Where the columns of bars begin, and how wide they are.
const BARS: [f64; 3] = [168.0, 400.0, 632.0];
const BAR: f64 = 150.0;
/// Where the columns of numbers end.
const NUMBERS: [f64; 2] = [892.0, 976.0];

/// Lower end, mean and upper end of what a column shows.
type Column = fn(&Standing) -> Option<[f64; 3]>;

pub(super) fn draw(whole: &Results, about: &str) -> Picture {
    let mut standings: Vec<&Standing> = whole.standings.iter().collect();
    standings.sort_by(|one, other| one.cost.mean.total_cmp(&other.cost.mean));
    let bottom = TOP + 44.0 + ROW * at(standings.len());
    let mut picture = headed(bottom + 40.0, "The league: lowest cost first", about);
    let columns: [(&str, &str, Column); 3] = [
        ("cost", "points an episode", |s| Some([s.cost.low, s.cost.mean, s.cost.high])),
        ("bad requests", "for each bad flag", |s| {
            s.intervals.bad_requests_per_bad_flag.map(|[low, high]| [low, s.bad_requests_per_bad_flag, high])
        }),
        ("minutes to 100 %", "of good flags", |s| {
            let ends = s.intervals.mean_minutes_to_full;
            ends.zip(s.mean_minutes_to_full).map(|([low, high], mean)| [low, mean, high])
        }),
    ];
    for (place, ((title, unit, of), left)) in columns.into_iter().zip(BARS).enumerate() {
        let values = standings.iter().filter_map(|standing| of(standing)).flatten();
        let places = (left, left + BAR);
        let axis = if place == 2 { Axis::straight(values, places) } else { Axis::log(values, 0.1, places) };
        picture.text((left, TOP), title, Size::Large, Anchor::Start, INK);
        picture.text((left, TOP + 14.0), unit, Size::Small, Anchor::Start, GREY);
        let mut free = 0.0;
        for tick in axis.ticks() {
            let x = axis.at(tick);
            picture.line((x, TOP + 26.0), (x, bottom), 1.0, GRID);
            let words = round(tick);
            if x - Size::Small.width(&words) / 2.0 > free {
                picture.text((x, bottom + 14.0), &words, Size::Small, Anchor::Middle, GREY);
                free = x + Size::Small.width(&words) / 2.0 + 4.0;
            }
        }
        for (row, standing) in standings.iter().enumerate() {
            let y = middle(row);
            let Some([low, mean, high]) = of(standing) else {
                picture.text((left + BAR + 8.0, y + 4.0), "-", Size::Large, Anchor::Start, GREY);
                continue;
            };
            let ink = shade(standing);
            picture.line((axis.at(low), y), (axis.at(high), y), 3.0, ink);
            picture.circle((axis.at(mean), y), 4.0, ink, true);
            picture.text((left + BAR + 8.0, y + 5.0), &short(mean), Size::Large, Anchor::Start, ink);
        }
    }
    for ((title, unit), x) in
        [("false, %", "of good"), ("missed, %", "of detectable")].into_iter().zip(NUMBERS)
    {
        picture.text((x, TOP), title, Size::Large, Anchor::End, INK);
        picture.text((x, TOP + 14.0), unit, Size::Small, Anchor::End, GREY);
    }
    for (row, standing) in standings.iter().enumerate() {
        let (y, ink) = (middle(row), shade(standing));
        picture.line((EDGE, y + ROW / 2.0), (f64::from(WIDTH) - EDGE, y + ROW / 2.0), 0.5, GRID);
        picture.text((EDGE, y + 5.0), &standing.policy, Size::Large, Anchor::Start, ink);
        let numbers = [
            (standing.good_flags, standing.false_rollbacks_percent),
            (standing.detectable_flags, standing.missed_detectable_percent),
        ];
        for ((of, percent), x) in numbers.into_iter().zip(NUMBERS) {
            let words = if of == 0 { "-".to_owned() } else { format!("{percent:.1}") };
            picture.text((x, y + 5.0), &words, Size::Large, Anchor::End, ink);
        }
    }
    let note = "A dot is the mean, the line through it its 95 % interval (paired bootstrap). The oracle, and ^ with hindsight, know the \
                truth: limits.";
    picture.text((EDGE, bottom + 32.0), note, Size::Small, Anchor::Start, GREY);
    picture
}

fn middle(row: usize) -> f64 {
    TOP + 40.0 + ROW * at(row)
}

/// Ours and the limit stand out; the others are all of one colour here.
fn shade(standing: &Standing) -> Colour {
    let own = colour(&standing.policy, 0);
    if own == colour("", 0) { GREY } else { own }
}
