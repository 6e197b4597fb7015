//! The curves of a training as an SVG picture: cost and harm against every baseline, and four metrics of PPO.
//!
//! Six panels on light ground, each with its own axis and unit, steps from left to right. Deterministic: the same log
//! gives the same bytes.

use std::fmt::Write as _;

use knightwatch_agent::training::{COST, HARM, METRICS, Measure, TrainingLog, best_of, compact, count, span};

/// The picture, and a panel's place in it, in pixels.
const SIZE: (f64, f64) = (1_080.0, 640.0);
const COLUMNS: usize = 3;
const PANEL: (f64, f64) = (350.0, 275.0);
/// Where the panels begin.
const TOP: f64 = 70.0;
/// A plot within its panel: left, top, width, height.
const PLOT: (f64, f64, f64, f64) = (64.0, 34.0, 268.0, 190.0);
/// Most points of a line: more cannot be told apart.
const POINTS: usize = 400;
const INK: &str = "#24292f";
const GREY: &str = "#6e7781";
const GRID: &str = "#d8dee4";
const BLUE: &str = "#0072b2";
const ORANGE: &str = "#d55e00";

/// Metrics beside cost and harm, by name.
const SHOWN: [&str; 4] = ["reward", "entropy", "KL", "explained variance"];

/// A curve with its axes.
struct Panel<'a> {
    title: String,
    unit: &'a str,
    ends: (f64, f64),
    /// Steps and values.
    points: Vec<(f64, f64)>,
    /// Levels to compare with, the lowest first, and what they are.
    levels: Vec<(f64, &'a str)>,
    /// Steps and value of the best, and what is written beside it.
    best: Option<(f64, f64, String)>,
}

/// The picture of a log.
pub(in crate::cli) fn svg(log: &TrainingLog) -> String {
    let mut out = String::new();
    let (width, height) = SIZE;
    let extent = log.points.last().map_or(1, |point| point.steps.max(1));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>How PPO-Master was trained</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#ffffff\"/>\n\
         <g font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"{INK}\">\n"
    );
    text(
        &mut out,
        (20.0, 28.0),
        "start",
        "How PPO-Master was trained",
        "font-size=\"18\" font-weight=\"bold\"",
    );
    text(&mut out, (20.0, 48.0), "start", &about(log), &format!("fill=\"{GREY}\""));
    for (place, panel) in panels(log).iter().enumerate() {
        let column = f64::from(u8::try_from(place % COLUMNS).unwrap_or(0));
        let row = f64::from(u8::try_from(place / COLUMNS).unwrap_or(0));
        draw(&mut out, panel, (10.0 + column * PANEL.0, TOP + row * PANEL.1), extent);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// The line below the heading.
fn about(log: &TrainingLog) -> String {
    let header = &log.header;
    let mut parts = vec![header.when.clone(), format!("seed {}", header.seed)];
    if let Some(point) = log.points.last() {
        parts.push(format!("{} steps in {}", count(point.steps), span(point.seconds)));
    }
    if !header.network.is_empty() {
        parts.push(format!("network {}", header.network_name()));
    }
    parts.extend(header.note.clone());
    parts.join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn steps(steps: u64) -> f64 {
    steps as f64
}

fn panels(log: &TrainingLog) -> Vec<Panel<'_>> {
    let metrics = SHOWN.iter().filter_map(|name| METRICS.iter().find(|metric| metric.name == *name));
    let metrics = metrics.map(|metric| {
        let found = log.points.iter().filter_map(|point| Some((steps(point.steps), (metric.value)(point)?)));
        let points = thinned(&found.collect::<Vec<_>>());
        Panel {
            title: metric.name.to_owned(),
            unit: metric.unit,
            ends: metric.scale.ends(points.iter().map(|(_, value)| *value)),
            points,
            levels: Vec::new(),
            best: None,
        }
    });
    [COST, HARM].map(|measure| judged(log, measure)).into_iter().chain(metrics).collect()
}

/// Cost or harm on validation, every baseline's level, and the weights that were kept: those with the least cost.
fn judged(log: &TrainingLog, measure: Measure) -> Panel<'_> {
    let measured = log
        .points
        .iter()
        .filter_map(|point| Some((steps(point.steps), (measure.of)(point.validation.as_ref()?))));
    let points: Vec<_> = measured.collect();
    let levels = log.header.opponents_by(measure);
    let best = best_of(&log.points).map(|(point, found)| {
        let value = (measure.of)(&found);
        let label = format!("kept: {} at iteration {}", compact(value), point.iteration);
        (steps(point.steps), value, label)
    });
    let (ends, _) = measure.ends(points.iter().map(|(_, value)| *value), &levels);
    let title = format!("{} on validation", measure.name);
    Panel { title, unit: &log.header.harm_unit, ends, points, levels, best }
}

/// Means of neighbours, so that no more than [`POINTS`] are left.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS).max(1);
    points
        .chunks(each)
        .filter_map(|chunk| {
            let (last, _) = chunk.last()?;
            let sum: f64 = chunk.iter().map(|(_, value)| value).sum();
            Some((*last, sum / f64::from(u32::try_from(chunk.len()).ok()?)))
        })
        .collect()
}

fn draw(out: &mut String, panel: &Panel<'_>, (x, y): (f64, f64), extent: u64) {
    let (left, top) = (x + PLOT.0, y + PLOT.1);
    let (right, bottom) = (left + PLOT.2, top + PLOT.3);
    let (low, high) = panel.ends;
    let across = |at: f64| left + at / steps(extent) * PLOT.2;
    let up = |value: f64| bottom - ((value - low) / (high - low)).clamp(0.0, 1.0) * PLOT.3;
    text(out, (left, y + 20.0), "start", &panel.title, "font-size=\"14\" font-weight=\"bold\"");
    let grey = format!("fill=\"{GREY}\"");
    text(out, (right, y + 20.0), "end", panel.unit, &grey);
    for part in [0.0, 0.5, 1.0] {
        let value = low + (high - low) * part;
        let at = up(value);
        line(out, (left, at), (right, at), GRID, "");
        text(out, (left - 6.0, at + 4.0), "end", &compact(value), &grey);
    }
    text(out, (left, bottom + 18.0), "middle", "0", &grey);
    text(out, (right, bottom + 18.0), "end", &format!("{} steps", count(extent)), &grey);
    if panel.points.is_empty() {
        text(out, (f64::midpoint(left, right), f64::midpoint(top, bottom)), "middle", "not measured", &grey);
    }
    let mut path = String::new();
    for (at, value) in &panel.points {
        let _ = write!(path, "{:.1},{:.1} ", across(*at), up(*value));
    }
    if let [(at, value)] = panel.points[..] {
        dot(out, (across(at), up(value)), BLUE);
    } else if !panel.points.is_empty() {
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{BLUE}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>",
            path.trim_end()
        );
    }
    // Names stand above their lines, and above one another where the lines are close.
    let mut above = f64::INFINITY;
    for (level, name) in &panel.levels {
        let at = up(*level);
        line(out, (left, at), (right, at), ORANGE, " stroke-width=\"1.5\" stroke-dasharray=\"6 4\"");
        above = (at - 4.0).min(above - 12.0);
        let name = format!("{name} {}", compact(*level));
        text(out, (right, above), "end", &name, &format!("fill=\"{ORANGE}\" font-size=\"11\""));
    }
    if let Some((at, value, label)) = &panel.best {
        dot(out, (across(*at), up(*value)), INK);
        text(out, (left + 8.0, bottom - 8.0), "start", label, "");
    }
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str, more: &str) {
    let words = knightwatch_core::flag::clean(words);
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{words}</text>");
}

fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, more: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"{more}/>"
    );
}

fn dot(out: &mut String, (x, y): (f64, f64), colour: &str) {
    let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
}
