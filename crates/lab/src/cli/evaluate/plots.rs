//! The pictures of an evaluation, each as SVG: the league, the Pareto front, the performance profile, and the
//! families. What is in them is taken from the results; how a picture is written is not known here.

mod axis;
mod families;
mod league;
mod pareto;
mod profile;

use std::{fs, path::Path};

use super::{
    super::{
        Failure,
        drawing::{Anchor, COLOURS, Colour, GREY, INK, Picture, Size},
    },
    Field, Results,
    entrant::{ORACLE, is_limit, is_ours},
    results::{self, whole},
};
use crate::judge::League;
use axis::Axis;

/// How wide every picture is, in pixels.
const WIDTH: u32 = 1_000;
/// Space at the left and right edge.
const EDGE: f64 = 24.0;
/// Where what is below the heading begins.
const TOP: f64 = 76.0;

/// What is drawn.
pub(super) struct Shown<'a> {
    pub(super) whole: &'a Results,
    pub(super) parts: &'a [Results],
    pub(super) leagues: &'a [League],
    pub(super) field: &'a Field,
}

/// Makes the folder where there is none, and sees that it can be written to: found out before anything is played.
pub(super) fn writable(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::input(format!("{}: {error}", folder.display())))?;
    results::writable(&folder.join("league.svg"))
}

/// Writes all pictures into a folder.
pub(super) fn write(folder: &Path, shown: &Shown<'_>) -> Result<(), Failure> {
    let about = shown.field.about();
    for (name, picture) in [
        ("league", league::draw(shown.whole, &about)),
        ("pareto", pareto::draw(shown.whole, &about)),
        ("profile", profile::draw(shown.leagues, &about)),
        ("families", families::draw(shown.parts, &about)),
    ] {
        whole(&folder.join(format!("{name}.svg")), picture.svg().as_bytes())?;
    }
    Ok(())
}

/// An empty picture with its heading and what it is of.
fn headed(height: f64, title: &str, about: &str) -> Picture {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred pixels")]
    let mut picture = Picture::new((WIDTH, height as u32), title);
    picture.text((EDGE, 28.0), title, Size::Large, Anchor::Start, INK);
    picture.text((EDGE, 46.0), about, Size::Small, Anchor::Start, GREY);
    picture
}

/// A policy's colour: ours is blue, the limit black, the others take turns.
fn colour(policy: &str, place: usize) -> Colour {
    if is_ours(policy) {
        return COLOURS[0];
    }
    if is_limit(policy) { INK } else { COLOURS[1 + place % (COLOURS.len() - 1)] }
}

/// A number with as many digits as matter.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000.0 => format!("{:.0}k", value / 1_000.0),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 0.1 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

/// A round number, as it stands beside an axis.
fn round(value: f64) -> String {
    let value = libm::round(value * 1e6) / 1e6;
    if value.abs() >= 10_000.0 { format!("{}k", value / 1_000.0) } else { value.to_string() }
}

/// A whole number as one that places are reckoned with.
fn at(index: usize) -> f64 {
    f64::from(u32::try_from(index).unwrap_or(u32::MAX))
}
