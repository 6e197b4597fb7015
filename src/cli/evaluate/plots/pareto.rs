//! The Pareto front: harm against time. Down and to the left is better; PPO-Master's tastes are one line.

use super::{
    super::super::drawing::{Anchor, Colour, GREY, GRID, INK, Picture, Place, Size},
    Axis, EDGE, Results, TOP, WIDTH, colour, headed, is_ours, short,
};
use crate::judge::Standing;

const HEIGHT: f64 = 640.0;
/// Left, right, top and bottom of the plot.
const PLOT: [f64; 4] = [84.0, 976.0, TOP + 4.0, 556.0];
/// More false rollbacks than this many per cent of good flags, and nobody would let it steer.
const MOST_FALSE: f64 = 1.0;
const RADIUS: f64 = 6.0;

/// A policy's point.
struct Point<'a> {
    standing: &'a Standing,
    at: Place,
    colour: Colour,
}

/// Left, top, right and bottom.
type Box4 = [f64; 4];

pub(super) fn draw(whole: &Results, about: &str) -> Picture {
    let mut picture =
        headed(HEIGHT, "Harm against time: bad requests of bad flags, minutes to 100 % of good ones", about);
    let [left, right, top, bottom] = PLOT;
    let drawn: Vec<(&Standing, f64)> = whole
        .standings
        .iter()
        .filter_map(|standing| Some((standing, standing.mean_minutes_to_full?)))
        .collect();
    let minutes = Axis::straight(drawn.iter().map(|(_, minutes)| *minutes), (left, right));
    let requests =
        Axis::log(drawn.iter().map(|(standing, _)| standing.bad_requests_per_bad_flag), 0.1, (bottom, top));
    for tick in minutes.ticks() {
        picture.line((minutes.at(tick), top), (minutes.at(tick), bottom), 1.0, GRID);
        picture.text((minutes.at(tick), bottom + 20.0), &short(tick), Size::Large, Anchor::Middle, GREY);
    }
    for tick in requests.ticks() {
        picture.line((left, requests.at(tick)), (right, requests.at(tick)), 1.0, GRID);
        picture.text((left - 8.0, requests.at(tick) + 5.0), &short(tick), Size::Large, Anchor::End, GREY);
    }
    picture.text(
        (f64::midpoint(left, right), bottom + 42.0),
        "minutes to 100 % of good flags, mean",
        Size::Large,
        Anchor::Middle,
        INK,
    );
    picture.text((EDGE, TOP - 8.0), "bad requests for each bad flag, mean", Size::Large, Anchor::Start, INK);
    let points: Vec<Point> = drawn
        .iter()
        .enumerate()
        .map(|(place, (standing, at))| Point {
            standing,
            at: (minutes.at(*at), requests.at(standing.bad_requests_per_bad_flag)),
            colour: colour(&standing.policy, place),
        })
        .collect();
    let mut ours: Vec<&Point> = points.iter().filter(|point| is_ours(&point.standing.policy)).collect();
    ours.sort_by(|one, other| one.at.0.total_cmp(&other.at.0));
    for pair in ours.windows(2) {
        picture.line(pair[0].at, pair[1].at, 2.0, pair[0].colour);
    }
    for point in &points {
        picture.circle(point.at, RADIUS, point.colour, point.standing.false_rollbacks_percent <= MOST_FALSE);
    }
    names(&mut picture, &points);
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
    let tastes = "line: PPO-Master, one agent, at several tastes";
    if ours.len() > 1 {
        picture.text(
            (f64::from(WIDTH) - EDGE, HEIGHT - 16.0),
            tastes,
            Size::Small,
            Anchor::End,
            ours[0].colour,
        );
    }
    picture
}

/// Puts each name where it covers neither a point nor another name, as near to its point as that allows.
fn names(picture: &mut Picture, points: &[Point<'_>]) {
    let around = |(x, y): Place, by: f64| [x - by, y - by, x + by, y + by];
    let mut taken: Vec<Box4> = points.iter().map(|point| around(point.at, RADIUS + 2.0)).collect();
    for point in points {
        let width = Size::Large.width(&point.standing.policy);
        let placed = (0..12_u8)
            .flat_map(|ring| {
                let away = RADIUS + 6.0 + 14.0 * f64::from(ring);
                // To the right, to the left, above, below, and the corners between.
                [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1)].map(
                    |(across, down)| {
                        let x = match across {
                            1 => point.at.0 + if down == 0 { away } else { 0.7 * away },
                            0 => point.at.0 - width / 2.0,
                            _ => point.at.0 - width - if down == 0 { away } else { 0.7 * away },
                        };
                        let y = point.at.1 + f64::from(down) * (away + 4.0) + 5.0;
                        [x, y - 12.0, x + width, y + 3.0]
                    },
                )
            })
            .find(|own| {
                own[0] >= PLOT[0]
                    && own[2] <= PLOT[1]
                    && own[1] >= PLOT[2]
                    && own[3] <= PLOT[3]
                    && !taken.iter().any(|other| overlap(own, other))
            });
        let Some(own) = placed else { continue };
        let nearest = (point.at.0.clamp(own[0], own[2]), point.at.1.clamp(own[1], own[3]));
        if (nearest.0 - point.at.0).hypot(nearest.1 - point.at.1) > RADIUS + 14.0 {
            picture.line(point.at, nearest, 0.75, point.colour);
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

fn overlap(one: &Box4, other: &Box4) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}
