//! A picture as SVG text.

use std::fmt::Write as _;

use super::{Colour, PAPER, Picture, Shape, left};

/// The picture as a file's text. Words are stretched to the width that the layout counts on, whatever the font.
pub(super) fn write(picture: &Picture) -> String {
    let (width, height) = picture.size;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\">\n<title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\">\n",
        escaped(&picture.title),
        hex(PAPER)
    );
    for shape in &picture.shapes {
        // Writing to a String cannot fail.
        let _ = one(&mut out, shape);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn one(out: &mut String, shape: &Shape) -> std::fmt::Result {
    match shape {
        Shape::Rect { at: (x, y), size: (width, height), colour } => writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\"/>",
            hex(*colour)
        ),
        Shape::Path { points, width, colour } => {
            out.push_str("<polyline points=\"");
            for (index, (x, y)) in points.iter().enumerate() {
                write!(out, "{}{x:.1},{y:.1}", if index == 0 { "" } else { " " })?;
            }
            writeln!(
                out,
                "\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" stroke-linecap=\"round\" \
                 stroke-linejoin=\"round\"/>",
                hex(*colour)
            )
        }
        Shape::Circle { at: (x, y), radius, colour, filled } => writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{}\" stroke=\"{}\" stroke-width=\"2\"/>",
            hex(if *filled { *colour } else { PAPER }),
            hex(*colour)
        ),
        Shape::Text { at, words, size, anchor, colour } => writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
             xml:space=\"preserve\" fill=\"{}\">{}</text>",
            left(*at, words, *size, *anchor),
            at.1,
            size.letter().0 / 0.6,
            size.width(words),
            hex(*colour),
            escaped(words)
        ),
    }
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
