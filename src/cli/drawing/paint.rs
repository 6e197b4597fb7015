//! A picture as dots: two to the pixel, with smooth edges.
//!
//! A line is all that is near to it, a circle what is near to its centre; how much of a dot is covered follows from its
//! distance to the edge. Letters are `ProFont`'s bitmaps.

use embedded_graphics::{geometry::Point, image::GetPixel, mono_font::MonoFont, pixelcolor::BinaryColor};
use profont::{PROFONT_18_POINT, PROFONT_24_POINT};

use super::{Colour, PAPER, Picture, Place, Shape, Size, left};

/// Dots to a pixel.
const SCALE: f64 = 2.0;
/// Half the width of a ring, in dots.
const HALF_RING: f64 = SCALE;

/// What is painted on: red, green and blue of each dot, row by row.
pub(super) struct Canvas {
    pub(super) width: u32,
    height: u32,
    pub(super) dots: Vec<u8>,
}

pub(super) fn paint(picture: &Picture) -> Canvas {
    let (width, height) = (2 * picture.size.0, 2 * picture.size.1);
    let dots = PAPER.repeat(width as usize * height as usize);
    let mut canvas = Canvas { width, height, dots };
    for shape in &picture.shapes {
        canvas.shape(shape);
    }
    canvas
}

impl Canvas {
    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Rect { at, size, colour } => {
                let (from, to) = (dots(*at), dots((at.0 + size.0, at.1 + size.1)));
                let inside = |(x, y): Place| {
                    edge(from.0 - x).min(edge(x - to.0)).min(edge(from.1 - y)).min(edge(y - to.1))
                };
                self.fill(from, to, *colour, inside);
            }
            Shape::Path { points, width, colour } => {
                let half = SCALE * width / 2.0;
                for pair in points.windows(2) {
                    let (from, to) = (dots(pair[0]), dots(pair[1]));
                    self.fill(
                        (from.0.min(to.0) - half, from.1.min(to.1) - half),
                        (from.0.max(to.0) + half, from.1.max(to.1) + half),
                        *colour,
                        |at| edge(distance(at, from, to) - half),
                    );
                }
            }
            Shape::Circle { at, radius, colour, filled } => {
                let (at, radius) = (dots(*at), SCALE * radius);
                let reach = radius + HALF_RING;
                let (from, to) = ((at.0 - reach, at.1 - reach), (at.0 + reach, at.1 + reach));
                let away = |place| distance(place, at, at) - radius;
                if !filled {
                    self.fill(from, to, PAPER, |place| edge(away(place)));
                }
                let filled = *filled;
                self.fill(from, to, *colour, |place| {
                    if filled { edge(away(place) - HALF_RING) } else { edge(away(place).abs() - HALF_RING) }
                });
            }
            Shape::Text { at, words, size, anchor, colour } => {
                let at = dots((left(*at, words, *size, *anchor), at.1));
                self.words(at, words, *size, *colour);
            }
        }
    }

    /// Colours the dots of a rectangle, each by how much of it is covered.
    fn fill(&mut self, from: Place, to: Place, colour: Colour, covered: impl Fn(Place) -> f64) {
        let (left, right) = (whole(from.0 - 1.0, self.width), whole(to.0 + 2.0, self.width));
        let (top, bottom) = (whole(from.1 - 1.0, self.height), whole(to.1 + 2.0, self.height));
        for y in top..bottom {
            for x in left..right {
                let part = covered((f64::from(x) + 0.5, f64::from(y) + 0.5));
                if part > 0.0 {
                    self.blend(x, y, colour, part);
                }
            }
        }
    }

    fn words(&mut self, (left, base): Place, words: &str, size: Size, colour: Colour) {
        let font = font(size);
        let (mut x, y) = (whole(left, self.width), whole(base, self.height));
        let Some(top) = y.checked_sub(font.baseline) else { return };
        for letter in words.chars() {
            let columns = (font.image.size_in_dots().0 / font.character_size.width).max(1);
            let index = u32::try_from(font.glyph_mapping.index(letter)).unwrap_or(0);
            let (column, row) = (index % columns, index / columns);
            for dy in 0..font.character_size.height {
                for dx in 0..font.character_size.width {
                    let (from_x, from_y) =
                        (column * font.character_size.width + dx, row * font.character_size.height + dy);
                    let place = i32::try_from(from_x).ok().zip(i32::try_from(from_y).ok());
                    let ink = place.and_then(|(x, y)| font.image.pixel(Point::new(x, y)));
                    if ink == Some(BinaryColor::On) && x + dx < self.width && top + dy < self.height {
                        self.blend(x + dx, top + dy, colour, 1.0);
                    }
                }
            }
            x += font.character_size.width;
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two colours")]
    fn blend(&mut self, x: u32, y: u32, colour: Colour, part: f64) {
        let at = 3 * (y as usize * self.width as usize + x as usize);
        let Some(dot) = self.dots.get_mut(at..at + 3) else { return };
        for (now, new) in dot.iter_mut().zip(colour) {
            *now = (f64::from(*now) + (f64::from(new) - f64::from(*now)) * part).round() as u8;
        }
    }
}

/// How large an image is.
trait Dots {
    fn size_in_dots(&self) -> (u32, u32);
}

impl<T: embedded_graphics::geometry::OriginDimensions> Dots for T {
    fn size_in_dots(&self) -> (u32, u32) {
        (self.size().width, self.size().height)
    }
}

fn font(size: Size) -> &'static MonoFont<'static> {
    match size {
        Size::Small => &PROFONT_18_POINT,
        Size::Large => &PROFONT_24_POINT,
    }
}

fn dots((x, y): Place) -> Place {
    (SCALE * x, SCALE * y)
}

/// How much of a dot is covered whose middle is so far outside of an edge.
fn edge(outside: f64) -> f64 {
    (0.5 - outside).clamp(0.0, 1.0)
}

/// How far a place is from a line between two others.
fn distance(at: Place, from: Place, to: Place) -> f64 {
    let (along, across) = ((to.0 - from.0, to.1 - from.1), (at.0 - from.0, at.1 - from.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let part =
        if length > 0.0 { ((across.0 * along.0 + across.1 * along.1) / length).clamp(0.0, 1.0) } else { 0.0 };
    (across.0 - part * along.0).hypot(across.1 - part * along.1)
}

/// A dot's number, within the canvas.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the canvas before")]
fn whole(value: f64, most: u32) -> u32 {
    value.clamp(0.0, f64::from(most)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::drawing::{Anchor, INK};

    fn dot(canvas: &Canvas, x: u32, y: u32) -> Colour {
        let at = 3 * (y * canvas.width + x) as usize;
        [canvas.dots[at], canvas.dots[at + 1], canvas.dots[at + 2]]
    }

    #[test]
    fn shapes_are_where_they_were_put() {
        let mut picture = Picture::new((40, 20), "t");
        picture.rect((2.0, 3.0), (5.0, 4.0), INK);
        picture.circle((20.0, 10.0), 4.0, INK, false);
        picture.line((30.0, 0.0), (30.0, 20.0), 2.0, INK);
        let canvas = paint(&picture);
        assert_eq!((canvas.width, canvas.dots.len()), (80, 80 * 40 * 3));
        for (x, y, inked) in [
            (4, 6, true),
            (13, 13, true),
            (14, 6, false),
            (4, 5, false),
            (40, 20, false),
            (48, 20, true),
            (60, 39, true),
            (63, 10, false),
        ] {
            assert_eq!(dot(&canvas, x, y) == INK, inked, "{x} {y}: {:?}", dot(&canvas, x, y));
        }
    }

    #[test]
    fn letters_are_told_apart_and_stay_within_their_width() {
        let painted = |words: &str, anchor| {
            let mut picture = Picture::new((60, 20), "t");
            picture.text((30.0, 15.0), words, Size::Large, anchor, INK);
            paint(&picture).dots
        };
        let inked = |dots: &[u8]| dots.chunks(3).filter(|dot| **dot == INK).count();
        assert!(inked(&painted("A", Anchor::Start)) > 20);
        assert_ne!(painted("A", Anchor::Start), painted("B", Anchor::Start));
        assert_eq!(inked(&painted(" ", Anchor::Start)), 0);
        let right_half = |dots: &[u8]| {
            dots.chunks(3).enumerate().filter(|(at, dot)| at % 120 >= 60 && **dot == INK).count()
        };
        assert_eq!(right_half(&painted("WWW", Anchor::End)), 0);
        assert_eq!(right_half(&painted("WWW", Anchor::Start)), inked(&painted("WWW", Anchor::Start)));
    }
}
