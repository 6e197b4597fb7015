//! The Pareto front: harm against time. Down and to the left is better; PPO-Master's harm weights are one line.

use super::{
    super::super::drawing::{Anchor, Colour, GREY, GRID, INK, Picture, Position, Size},
    Axis, EDGE, Results, TOP, WIDTH, colour, headed, is_limit, is_ours, round, short,
};
use crate::judge::Standing;

const HEIGHT: f64 = 640.0;
/// Left, right, top and bottom of the plot.
const PLOT: [f64; 4] = [84.0, 976.0, TOP + 4.0, 556.0];
/// More false rollbacks than this many per cent of good flags, and nobody would let it steer.
const MAX_FALSE: f64 = 1.0;
const RADIUS: f64 = 6.0;
/// A limit that does so many times less harm than any policy is named, and not drawn.
const FAR: f64 = 5.0;
/// By so much a point is larger for each other one at its place.
const WIDER: f64 = 4.0;

/// A policy's point.
struct Point<'a> {
    standing: &'a Standing,
    at: Position,
    colour: Colour,
    /// Larger where it would hide another.
    radius: f64,
}

/// Left, top, right and bottom.
type Box4 = [f64; 4];

pub(super) fn draw(whole: &Results, about: &str) -> Picture {
    let mut picture =
        headed(HEIGHT, "Harm against time: bad requests of bad flags, minutes to 100 % of good ones", about);
    let [left, right, top, bottom] = PLOT;
    // A limit far below everybody would press all others together at the top.
    let has_place = |standing: &&Standing| minutes_of(standing).is_some() && !is_limit(&standing.policy);
    let harm = |standing: &Standing| standing.bad_requests_per_bad_flag;
    let least = whole.standings.iter().filter(has_place).map(harm).fold(f64::INFINITY, f64::min);
    let drawn: Vec<(&Standing, f64)> = whole
        .standings
        .iter()
        .filter(|standing| !is_far_below(standing, least))
        .filter_map(|standing| Some((standing, minutes_of(standing)?)))
        .collect();
    let minutes = Axis::straight(drawn.iter().map(|(_, minutes)| *minutes), (left, right));
    let requests =
        Axis::log(drawn.iter().map(|(standing, _)| standing.bad_requests_per_bad_flag), 0.1, (bottom, top));
    for tick in minutes.ticks() {
        picture.line((minutes.at(tick), top), (minutes.at(tick), bottom), 1.0, GRID);
        picture.text((minutes.at(tick), bottom + 20.0), &round(tick), Size::Large, Anchor::Middle, GREY);
    }
    for tick in requests.ticks() {
        picture.line((left, requests.at(tick)), (right, requests.at(tick)), 1.0, GRID);
        picture.text((left - 8.0, requests.at(tick) + 5.0), &round(tick), Size::Large, Anchor::End, GREY);
    }
    picture.text(
        (f64::midpoint(left, right), bottom + 42.0),
        "minutes to 100 % of good flags, mean; one that did not get there counts to the end",
        Size::Large,
        Anchor::Middle,
        INK,
    );
    picture.text(
        (EDGE, TOP - 8.0),
        "bad requests for each bad flag, mean (logarithmic); grey line: the front, limits apart",
        Size::Large,
        Anchor::Start,
        INK,
    );
    let mut points: Vec<Point> = Vec::new();
    for (place, (standing, at)) in drawn.iter().enumerate() {
        let at = (minutes.at(*at), requests.at(standing.bad_requests_per_bad_flag));
        let near = |other: &&Point| (other.at.0 - at.0).hypot(other.at.1 - at.1) < RADIUS;
        let below = super::at(points.iter().filter(near).count());
        points.push(Point {
            standing,
            at,
            colour: colour(&standing.policy, place),
            radius: RADIUS + WIDER * below,
        });
    }
    picture.path(&nobody_beats(&points), 1.5, GREY);
    let mut ours: Vec<&Point> = points.iter().filter(|point| is_ours(&point.standing.policy)).collect();
    ours.sort_by(|one, other| one.at.0.total_cmp(&other.at.0));
    let front: Vec<Position> = ours.iter().map(|point| point.at).collect();
    if let [first, _, ..] = ours[..] {
        picture.path(&front, 2.0, first.colour);
    }
    // The larger ones first: they were made so much larger that they are seen below the others.
    let mut by_size: Vec<&Point> = points.iter().collect();
    by_size.sort_by(|one, other| other.radius.total_cmp(&one.radius));
    for point in by_size {
        let is_filled = point.standing.false_rollbacks_percent <= MAX_FALSE;
        picture.circle(point.at, point.radius, point.colour, is_filled);
    }
    names(&mut picture, &points, &front);
    footer(&mut picture, whole, least);
    let harm_weights = "blue line: PPO-Master, one agent, at several harm weights";
    if ours.len() > 1 {
        picture.text(
            (f64::from(WIDTH) - EDGE, HEIGHT - 16.0),
            harm_weights,
            Size::Small,
            Anchor::End,
            ours[0].colour,
        );
    }
    picture
}

/// What the marks mean, and who is not shown.
fn footer(picture: &mut Picture, whole: &Results, least: f64) {
    picture.circle((EDGE + 6.0, HEIGHT - 20.0), 5.0, INK, true);
    picture.text(
        (EDGE + 18.0, HEIGHT - 16.0),
        "false rollbacks at most 1 %",
        Size::Small,
        Anchor::Start,
        INK,
    );
    picture.circle((EDGE + 216.0, HEIGHT - 20.0), 5.0, INK, false);
    picture.text((EDGE + 228.0, HEIGHT - 16.0), "more than 1 %", Size::Small, Anchor::Start, INK);
    let absent: Vec<&str> = whole
        .standings
        .iter()
        .filter(|standing| minutes_of(standing).is_none())
        .map(|standing| standing.policy.as_str())
        .collect();
    let mut words: Vec<String> = whole
        .standings
        .iter()
        .filter(|standing| is_far_below(standing, least))
        .map(|standing| {
            format!("far below: {} {}", standing.policy, short(standing.bad_requests_per_bad_flag))
        })
        .collect();
    if !absent.is_empty() {
        words.push(format!("nothing at 100 %: {}", absent.join(", ")));
    }
    if !words.is_empty() {
        let words = words.join("; ");
        picture.text((EDGE + 330.0, HEIGHT - 16.0), &words, Size::Small, Anchor::Start, INK);
    }
}

/// Where it stands on the axis of time; nowhere where it brought nothing to 100 %.
fn minutes_of(standing: &Standing) -> Option<f64> {
    standing.restricted_minutes_to_full.filter(|_| standing.completed_percent > 0.0)
}

/// Whether it is a limit so far below the least of the policies that it is named and not drawn.
fn is_far_below(standing: &Standing, least: f64) -> bool {
    is_limit(&standing.policy) && FAR * standing.bad_requests_per_bad_flag < least
}

/// The front: those that no other is both faster and less harmful than, limits apart, from the fastest on.
fn nobody_beats(points: &[Point<'_>]) -> Vec<Position> {
    let mut front: Vec<Position> =
        points.iter().filter(|point| !is_limit(&point.standing.policy)).map(|point| point.at).collect();
    front.sort_by(|one, other| one.0.total_cmp(&other.0).then(other.1.total_cmp(&one.1)));
    let mut least = f64::NEG_INFINITY;
    // Further down in the picture is less harm.
    front.retain(|point| {
        let is_less = point.1 > least;
        least = least.max(point.1);
        is_less
    });
    front
}

/// Puts each name where it covers neither a point, nor another name, nor a line, as near to its point as that allows; from
/// further off a line leads to it, which crosses no name either.
fn names(picture: &mut Picture, points: &[Point<'_>], front: &[Position]) {
    let around = |(x, y): Position, by: f64| [x - by, y - by, x + by, y + by];
    let dots: Vec<Box4> = points.iter().map(|point| around(point.at, point.radius + 2.0)).collect();
    let mut lines: Vec<(Position, Position)> = front.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let mut taken: Vec<Box4> = Vec::new();
    for point in points {
        let width = Size::Large.width(&point.standing.policy);
        let leads = |own: &Box4| {
            let nearest = (point.at.0.clamp(own[0], own[2]), point.at.1.clamp(own[1], own[3]));
            ((nearest.0 - point.at.0).hypot(nearest.1 - point.at.1) > RADIUS + 14.0).then_some(nearest)
        };
        let free = |own: &Box4| {
            own[0] >= PLOT[0]
                && own[2] <= PLOT[1]
                && own[1] >= PLOT[2]
                && own[3] <= PLOT[3]
                && !taken.iter().chain(&dots).any(|other| overlap(own, other))
        };
        let clear = |own: &Box4| {
            !lines.iter().any(|line| crosses(*line, own))
                && leads(own).is_none_or(|to| !taken.iter().any(|other| crosses((point.at, to), other)))
        };
        // In a crowd a name on a line is better than none.
        let placed = around_it(point.at, width)
            .find(|own| free(own) && clear(own))
            .or_else(|| around_it(point.at, width).find(free));
        let Some(own) = placed else { continue };
        if let Some(to) = leads(&own) {
            picture.line(point.at, to, 0.75, point.colour);
            lines.push((point.at, to));
        }
        picture.text(
            (own[0], own[3] - 3.0),
            &point.standing.policy,
            Size::Large,
            Anchor::Start,
            point.colour,
        );
        taken.push(own);
    }
}

/// Places for words of a width, the nearest first: to the right, to the left, above, below, and the corners between.
fn around_it(at: Position, width: f64) -> impl Iterator<Item = Box4> {
    let sides = [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)];
    (0..40_u8).flat_map(move |ring| {
        let away = RADIUS + 6.0 + 14.0 * f64::from(ring);
        sides.map(|(across, down)| {
            let aside = if down == 0 { away } else { 0.7 * away };
            let x = match across {
                1 => at.0 + aside,
                0 => at.0 - width / 2.0,
                _ => at.0 - width - aside,
            };
            let y = at.1 + f64::from(down) * (away + 4.0) + 5.0;
            [x, y - 12.0, x + width, y + 3.0]
        })
    })
}

fn overlap(one: &Box4, other: &Box4) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

/// Whether a line goes through a box, by looking at places on it that are closer than a box is high.
fn crosses((from, to): (Position, Position), own: &Box4) -> bool {
    const LOOKS: u8 = 100;
    (0..=LOOKS).any(|look| {
        let part = f64::from(look) / f64::from(LOOKS);
        let (x, y) = (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1));
        own[0] < x && x < own[2] && own[1] < y && y < own[3]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_crosses_what_it_goes_through() {
        let own = [10.0, 10.0, 60.0, 25.0];
        assert!(crosses(((0.0, 0.0), (100.0, 40.0)), &own));
        assert!(!crosses(((0.0, 30.0), (100.0, 30.0)), &own));
        assert!(overlap(&own, &[50.0, 20.0, 70.0, 30.0]) && !overlap(&own, &[60.0, 10.0, 70.0, 25.0]));
    }

    #[test]
    fn names_of_points_at_one_place_all_find_room() {
        let standings: Vec<Standing> = (0..15)
            .map(|index| Standing {
                policy: format!("policy-number-{index}"),
                restricted_minutes_to_full: Some(20.0),
                completed_percent: 70.0,
                bad_requests_per_bad_flag: 100.0,
                ..Standing::default()
            })
            .collect();
        let nothing = |_: &Standing| None;
        let whole = Results {
            part: String::new(),
            differences: standings.iter().map(nothing).collect(),
            closed: standings.iter().map(|_| None).collect(),
            shares: standings.iter().map(|_| None).collect(),
            standings,
        };
        let svg = draw(&whole, "here").svg();
        for index in 0..15 {
            assert!(svg.contains(&format!(">policy-number-{index}<")), "{index}");
        }
    }
}
