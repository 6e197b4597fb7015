//! The families: on each what the first policy costs, the best of the others, and the oracle.

use super::{
    super::super::drawing::{Anchor, COLOURS, Colour, GREY, GRID, INK, Picture, Size},
    Axis, EDGE, ORACLE, Results, TOP, at, headed, is_limit, is_ours, round, short,
};
use crate::judge::Standing;

/// Height of a family.
const ROW: f64 = 44.0;
/// Height of a bar.
const BAR: f64 = 10.0;
/// Where bars begin, and where the longest ends.
const PLOT: (f64, f64) = (190.0, 830.0);
const OTHER: Colour = COLOURS[1];
const LIMIT: Colour = [0x9a, 0xa0, 0xa6];

pub(super) fn draw(parts: &[Results], about: &str) -> Picture {
    let bottom = TOP + 16.0 + ROW * at(parts.len());
    let mut picture = headed(bottom + 64.0, "Cost by family, points an episode", about);
    let first = parts.first().and_then(|part| part.standings.first()).map_or("", |first| &first.policy);
    let mut x = EDGE;
    for (words, colour) in [(first, COLOURS[0]), ("best of the others", OTHER), (ORACLE, LIMIT)] {
        picture.rect((x, TOP - 16.0), (12.0, 12.0), colour);
        picture.text((x + 18.0, TOP - 5.0), words, Size::Large, Anchor::Start, INK);
        x += 42.0 + Size::Large.width(words);
    }
    let shown: Vec<(&str, [Option<&Standing>; 3])> = parts
        .iter()
        .map(|part| {
            // PPO-Master at another harm weight is no opponent of PPO-Master.
            let others = part
                .standings
                .iter()
                .skip(1)
                .filter(|other| !(is_limit(&other.policy) || is_ours(first) && is_ours(&other.policy)));
            let best = others.min_by(|one, other| one.cost.mean.total_cmp(&other.cost.mean));
            let oracle = part.standings.iter().find(|standing| standing.policy == ORACLE);
            (part.part.as_str(), [part.standings.first(), best, oracle])
        })
        .collect();
    let costs = shown.iter().flat_map(|(_, three)| three.iter().flatten());
    let axis = Axis::straight(costs.flat_map(|standing| [standing.cost.low, standing.cost.high]), PLOT);
    for tick in axis.ticks() {
        picture.line((axis.at(tick), TOP + 8.0), (axis.at(tick), bottom), 1.0, GRID);
        picture.text((axis.at(tick), bottom + 20.0), &round(tick), Size::Large, Anchor::Middle, GREY);
    }
    for (row, (family, three)) in shown.iter().enumerate() {
        let top = TOP + 14.0 + ROW * at(row);
        picture.text((PLOT.0 - 10.0, top + 22.0), family, Size::Large, Anchor::End, INK);
        for (place, (standing, colour)) in three.iter().zip([COLOURS[0], OTHER, LIMIT]).enumerate() {
            let Some(standing) = standing else { continue };
            let y = top + (BAR + 2.0) * at(place);
            let end = axis.at(standing.cost.mean);
            picture.rect((PLOT.0, y), ((end - PLOT.0).max(1.0), BAR), colour);
            let middle = y + BAR / 2.0;
            picture.line(
                (axis.at(standing.cost.low), middle),
                (axis.at(standing.cost.high), middle),
                1.5,
                INK,
            );
            let mut words = short(standing.cost.mean);
            if place == 1 {
                words = format!("{words} {}", standing.policy);
            }
            let after = end.max(axis.at(standing.cost.high)) + 6.0;
            picture.text(
                (after, y + BAR - 0.5),
                &words,
                Size::Small,
                Anchor::Start,
                if place == 2 { GREY } else { colour },
            );
        }
    }
    let note = "Shorter is better. Thin lines: 95 % intervals (paired bootstrap).";
    picture.text((EDGE, bottom + 48.0), note, Size::Small, Anchor::Start, GREY);
    picture
}
