//! Pictures of lines, rectangles, circles and words, written as SVG.
//!
//! All letters of a size are equally wide, which is what lets a
//! layout know where words end. Deterministic: the same picture gives the same bytes. What it shows is not known here.

mod svg;

/// A colour as red, green and blue.
pub(super) type Colour = [u8; 3];

pub(super) const INK: Colour = [0x24, 0x29, 0x2f];
pub(super) const GREY: Colour = [0x6e, 0x77, 0x81];
pub(super) const GRID: Colour = [0xd8, 0xde, 0xe4];
pub(super) const PAPER: Colour = [0xff, 0xff, 0xff];

/// Okabe and Ito's colours, which the colour-blind can tell apart, without yellow, which nobody can see on white.
pub(super) const COLOURS: [Colour; 6] = [
    [0x00, 0x72, 0xb2],
    [0xd5, 0x5e, 0x00],
    [0x00, 0x9e, 0x73],
    [0xcc, 0x79, 0xa7],
    [0x56, 0xb4, 0xe9],
    [0xe6, 0x9f, 0x00],
];

/// How large words are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Small,
    Large,
}

impl Size {
    /// Width of a letter and height of a line, in pixels.
    pub(super) const fn letter(self) -> (f64, f64) {
        match self {
            Self::Small => (6.0, 11.0),
            Self::Large => (8.0, 14.5),
        }
    }

    /// How wide words are.
    pub(super) fn width(self, words: &str) -> f64 {
        f64::from(u32::try_from(words.chars().count()).unwrap_or(u32::MAX)) * self.letter().0
    }
}

/// Which end of the words stands at their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A place in pixels, from the left and from the top.
pub(super) type Position = (f64, f64);

/// One thing in a picture; what comes later covers what came before.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Rect { at: Position, size: (f64, f64), colour: Colour },
    Path { points: Vec<Position>, width: f64, colour: Colour },
    Circle { at: Position, radius: f64, colour: Colour, filled: bool },
    Text { at: Position, words: String, size: Size, anchor: Anchor, colour: Colour },
}

/// A picture on white ground.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    size: (u32, u32),
    title: String,
    shapes: Vec<Shape>,
}

impl Picture {
    /// An empty one of this many pixels.
    pub(super) fn new(size: (u32, u32), title: &str) -> Self {
        Self { size, title: title.to_owned(), shapes: Vec::new() }
    }

    pub(super) fn rect(&mut self, at: Position, size: (f64, f64), colour: Colour) {
        self.shapes.push(Shape::Rect { at, size, colour });
    }

    pub(super) fn line(&mut self, from: Position, to: Position, width: f64, colour: Colour) {
        self.path(&[from, to], width, colour);
    }

    /// A line from each place to the next.
    pub(super) fn path(&mut self, points: &[Position], width: f64, colour: Colour) {
        self.shapes.push(Shape::Path { points: points.to_vec(), width, colour });
    }

    /// Filled, or a ring with paper in it.
    pub(super) fn circle(&mut self, at: Position, radius: f64, colour: Colour, filled: bool) {
        self.shapes.push(Shape::Circle { at, radius, colour, filled });
    }

    /// Words whose base line is at `at`.
    pub(super) fn text(&mut self, at: Position, words: &str, size: Size, anchor: Anchor, colour: Colour) {
        let words = knightwatch_core::flag::clean_line(words);
        self.shapes.push(Shape::Text { at, words, size, anchor, colour });
    }

    /// As SVG.
    pub(super) fn svg(&self) -> String {
        svg::write(self)
    }
}

/// The left end of words at a place.
fn left(at: Position, words: &str, size: Size, anchor: Anchor) -> f64 {
    match anchor {
        Anchor::Start => at.0,
        Anchor::Middle => at.0 - size.width(words) / 2.0,
        Anchor::End => at.0 - size.width(words),
    }
}
