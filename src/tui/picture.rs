//! A frame as a picture: the same cells as SVG, for the README and for looking at screens without a terminal.
//!
//! Deterministic: the same buffer gives the same bytes.

use std::fmt::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};
use unicode_width::UnicodeWidthStr;

/// Size of a cell in pixels.
const CELL: (u32, u32) = (9, 19);
/// Where a cell's baseline is.
const BASELINE: u32 = 14;
/// Air around the frame.
const MARGIN: u32 = 10;
/// Ground and text where the terminal's own are used.
const GROUND: &str = "#16191d";
const INK: &str = "#d8dce2";
/// What is dim in monochrome.
const DIM: &str = " opacity=\"0.6\"";
/// The sixteen named colours, as most terminals show them.
const NAMED: [&str; 16] = [
    "#000000", "#cd3131", "#0dbc79", "#e5e510", "#2472c8", "#bc3fbc", "#11a8cd", "#e5e5e5", "#666666",
    "#f14c4c", "#23d18b", "#f5f543", "#3b8eea", "#d670d6", "#29b8db", "#ffffff",
];

/// The frame as an SVG document; `title` is what it shows, for screen readers.
#[must_use]
pub fn svg(buffer: &Buffer, title: &str) -> String {
    let area = buffer.area;
    let (columns, rows) = (u32::from(area.width), u32::from(area.height));
    let (width, height) = (columns * CELL.0 + 2 * MARGIN, rows * CELL.1 + 2 * MARGIN);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"{GROUND}\"/>\n\
         <g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\" xml:space=\"preserve\">\n",
        escape(title)
    );
    for y in area.top()..area.bottom() {
        let mut x = area.left();
        while x < area.right() {
            let Some(cell) = buffer.cell((x, y)) else { break };
            let wide = u16::try_from(cell.symbol().width().max(1)).unwrap_or(1);
            draw_cell(&mut out, cell, u32::from(x - area.left()), u32::from(y - area.top()), u32::from(wide));
            x += wide;
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

fn draw_cell(out: &mut String, cell: &Cell, column: u32, row: u32, wide: u32) {
    let (x, y) = (MARGIN + column * CELL.0, MARGIN + row * CELL.1);
    let (mut ink, mut ground) = (colour(cell.fg, INK), colour(cell.bg, GROUND));
    let reversed = cell.modifier.contains(Modifier::REVERSED);
    if reversed {
        std::mem::swap(&mut ink, &mut ground);
    }
    if reversed || cell.bg != Color::Reset {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{ground}\"/>",
            wide * CELL.0,
            CELL.1
        );
    }
    if cell.symbol().trim().is_empty() {
        return;
    }
    if let Some((left, top, width, height)) = block(cell.symbol()) {
        // As a rectangle: a font's block would leave a seam between lines.
        let _ = writeln!(
            out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{ink}\"{}/>",
            f64::from(x) + left * f64::from(CELL.0),
            f64::from(y) + top * f64::from(CELL.1),
            width * f64::from(CELL.0),
            height * f64::from(CELL.1),
            if cell.modifier.contains(Modifier::DIM) { DIM } else { "" }
        );
        return;
    }
    let mut style = String::new();
    if cell.modifier.contains(Modifier::BOLD) {
        style.push_str(" font-weight=\"bold\"");
    }
    if cell.modifier.contains(Modifier::DIM) {
        style.push_str(DIM);
    }
    if cell.modifier.contains(Modifier::UNDERLINED) {
        style.push_str(" text-decoration=\"underline\"");
    }
    let _ = writeln!(
        out,
        "<text x=\"{x}\" y=\"{}\" fill=\"{ink}\"{style}>{}</text>",
        y + BASELINE,
        escape(cell.symbol())
    );
}

/// Left, top, width and height of a block element or a straight line, as parts of a cell.
fn block(symbol: &str) -> Option<(f64, f64, f64, f64)> {
    const LOWER: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
    match symbol {
        "▌" => return Some((0.0, 0.0, 0.5, 1.0)),
        "│" => return Some((0.45, 0.0, 0.1, 1.0)),
        "─" => return Some((0.0, 0.5, 1.0, 0.05)),
        "━" => return Some((0.0, 0.45, 1.0, 0.15)),
        "╸" => return Some((0.0, 0.45, 0.5, 0.15)),
        _ => {}
    }
    let eighths = LOWER.iter().position(|lower| *lower == symbol)? + 1;
    let height = f64::from(u32::try_from(eighths).ok()?) / 8.0;
    Some((0.0, 1.0 - height, 1.0, height))
}

fn colour(colour: Color, own: &str) -> String {
    let named = |index: usize| NAMED[index].to_owned();
    match colour {
        Color::Reset => own.to_owned(),
        Color::Black => named(0),
        Color::Red => named(1),
        Color::Green => named(2),
        Color::Yellow => named(3),
        Color::Blue => named(4),
        Color::Magenta => named(5),
        Color::Cyan => named(6),
        Color::Gray => named(7),
        Color::DarkGray => named(8),
        Color::LightRed => named(9),
        Color::LightGreen => named(10),
        Color::LightYellow => named(11),
        Color::LightBlue => named(12),
        Color::LightMagenta => named(13),
        Color::LightCyan => named(14),
        Color::White => named(15),
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        Color::Indexed(index) => indexed(index),
    }
}

/// The 256 colours of xterm: 16 named ones, a cube of 6×6×6, 24 greys.
fn indexed(index: u8) -> String {
    match index {
        0..16 => NAMED[usize::from(index)].to_owned(),
        16..232 => {
            let place = index - 16;
            let step = |value: u8| if value == 0 { 0 } else { 55 + 40 * value };
            format!("#{:02x}{:02x}{:02x}", step(place / 36), step(place / 6 % 6), step(place % 6))
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
