//! The performance profile (Dolan and More, Mathematical Programming 91, 2002): on which share of the worlds a policy
//! costs at most so many times as much as the best of them. Further up is better; at the left end stands how often it is best.

use super::{
    super::super::drawing::{Anchor, COLOURS, Colour, GREY, GRID, INK, Picture, Size},
    Axis, EDGE, TOP, at, headed, is_limit, is_ours,
};
use crate::judge::League;
use knightwatch_agent::PolicyName;

const HEIGHT: f64 = 640.0;
/// Left, right, top and bottom of the plot; right of it stand the names.
const PLOT: [f64; 4] = [84.0, 800.0, TOP + 4.0, 556.0];
/// The largest ratio that is shown.
const MAX: f64 = 30.0;
/// A world costs at least this much, in points: of less, a ratio says nothing.
const MIN: f64 = 1.0;
/// Points of a curve.
const STEPS: u32 = 120;

pub(super) fn draw(leagues: &[League], about: &str) -> Picture {
    let mut picture = headed(HEIGHT, "Performance profile: how far from the best, on how many worlds", about);
    let [left, right, top, bottom] = PLOT;
    // A limit knows the truth: nobody could be as good. Who rolls everything back at random is best on every world whose flag is
    // bad, and no opponent.
    let absent = |policy: &str| is_limit(policy) || policy == PolicyName::RANDOM.as_str();
    let shown: Vec<&League> = leagues.iter().filter(|league| !absent(league.policy())).collect();
    let costs: Vec<Vec<f64>> = shown.iter().map(|league| league.costs()).collect();
    let worlds = costs.first().map_or(0, Vec::len);
    let best: Vec<f64> = (0..worlds)
        .map(|world| costs.iter().map(|costs| costs[world].max(MIN)).fold(f64::INFINITY, f64::min))
        .collect();
    let within = |costs: &[f64], ratio: f64| {
        let near = costs.iter().zip(&best).filter(|(cost, best)| cost.max(MIN) <= **best * ratio);
        at(near.count()) / at(worlds.max(1))
    };
    let ratio = Axis::between((1.0, MAX), (left, right));
    let up = |share: f64| bottom - share * (bottom - top);
    for tick in [1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, MAX] {
        picture.line((ratio.at(tick), top), (ratio.at(tick), bottom), 1.0, GRID);
        picture.text((ratio.at(tick), bottom + 20.0), &format!("{tick}x"), Size::Large, Anchor::Middle, GREY);
    }
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        picture.line((left, up(share)), (right, up(share)), 1.0, GRID);
        let percent = format!("{} %", 100.0 * share);
        picture.text((left - 8.0, up(share) + 5.0), &percent, Size::Large, Anchor::End, GREY);
    }
    let x_title = "cost as a multiple of the lowest on the same world (logarithmic)";
    picture.text((f64::midpoint(left, right), bottom + 42.0), x_title, Size::Large, Anchor::Middle, INK);
    picture.text((EDGE, TOP - 8.0), "share of the worlds", Size::Large, Anchor::Start, INK);
    let colours = colours(&shown, |costs| {
        // By the area below the curve: who is near the best on many worlds.
        let ratios = (0..=STEPS).map(|step| libm::pow(MAX, f64::from(step) / f64::from(STEPS)));
        ratios.map(|ratio| within(costs, ratio)).sum()
    });
    let mut ends: Vec<(f64, usize)> = Vec::new();
    for (place, costs) in costs.iter().enumerate() {
        let policy = shown[place].policy();
        let thick = if place == 0 && is_ours(policy) { 3.5 } else { 1.5 };
        let points: Vec<_> = (0..=STEPS)
            .map(|step| libm::pow(MAX, f64::from(step) / f64::from(STEPS)))
            .map(|times| (ratio.at(times), up(within(costs, times))))
            .collect();
        picture.path(&points, thick, colours[place]);
        ends.push((points.last().map_or(bottom, |point| point.1), place));
    }
    // Names stand beside the ends of their lines, in the same order, none on another.
    ends.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    let space = ((bottom - top + 16.0) / at(ends.len().max(1))).min(17.0);
    let mut places: Vec<f64> = Vec::new();
    for (index, (end, _)) in ends.iter().enumerate() {
        let after = places.last().map_or(f64::NEG_INFINITY, |last| last + space);
        let room_below = bottom + 16.0 - space * at(ends.len() - 1 - index);
        places.push(end.max(after).min(room_below));
    }
    for ((end, place), y) in ends.into_iter().zip(places) {
        let (policy, own) = (shown[place].policy(), colours[place]);
        picture.line((right, end), (right + 22.0, y), 1.0, own);
        picture.text((right + 28.0, y + 5.0), policy, Size::Large, Anchor::Start, own);
    }
    picture
}

/// A colour for each policy: ours is blue, the best of the others have one of their own, the rest is grey.
fn colours(shown: &[&League], area: impl Fn(&[f64]) -> f64) -> Vec<Colour> {
    let mut others: Vec<(f64, usize)> = shown
        .iter()
        .enumerate()
        .filter(|(_, league)| !is_ours(league.policy()))
        .map(|(place, league)| (area(&league.costs()), place))
        .collect();
    others.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.1.cmp(&other.1)));
    let mut colours = vec![COLOURS[0]; shown.len()];
    for (rank, (_, place)) in others.into_iter().enumerate() {
        colours[place] = COLOURS.get(1 + rank).copied().unwrap_or(GREY);
    }
    colours
}
