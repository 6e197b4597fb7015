//! The pen: the only way anything gets into the buffer.
//!
//! It clips by display width, drops whatever could drive a terminal, and in the plainer glyph sets writes ASCII for
//! what they lack. A screen that draws through it cannot overflow its place or smuggle a control character.

use std::borrow::Cow;

use ratatui::{buffer::Buffer, layout::Rect, style::Style};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::{Glyphs, theme::Theme};
use knightwatch_core::flag::clean;

/// Draws into a buffer.
pub(super) struct Pen<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) theme: Theme,
}

/// Where a text stands within its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// At the left.
    Left,
    /// At the right.
    Right,
}

impl Pen<'_> {
    /// Draws a text from `x` in at most `width` columns, an ellipsis where it was cut; returns the column after it.
    pub(super) fn text(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() || width == 0 {
            return x;
        }
        let width = width.min(area.right() - x);
        let text = plain(self.theme.glyphs, text);
        let text = clip(&text, usize::from(width), self.ellipsis());
        self.buffer.set_stringn(x, y, &text, usize::from(width), style).0
    }

    /// Draws a text in a place `width` wide.
    pub(super) fn cell(&mut self, x: u16, y: u16, width: u16, align: Align, text: &str, style: Style) {
        let indent = match align {
            Align::Left => 0,
            Align::Right => width.saturating_sub(self.width_of(text)),
        };
        self.text(x + indent, y, width - indent.min(width), text, style);
    }

    /// Draws pieces one after the other; returns the column after the last.
    pub(super) fn spans(&mut self, mut x: u16, y: u16, right: u16, spans: &[(&str, Style)]) -> u16 {
        for (text, style) in spans {
            x = self.text(x, y, right.saturating_sub(x), text, *style);
        }
        x
    }

    /// Display width of a text as it would be drawn.
    pub(super) fn width_of(&self, text: &str) -> u16 {
        u16::try_from(plain(self.theme.glyphs, text).width()).unwrap_or(u16::MAX)
    }

    pub(super) fn ellipsis(&self) -> &'static str {
        if self.theme.glyphs == Glyphs::Unicode { "…" } else { "~" }
    }

    /// Fills a row with one character.
    pub(super) fn fill(&mut self, x: u16, y: u16, width: u16, symbol: &str, style: Style) {
        let right = x.saturating_add(width).min(self.buffer.area.right());
        for column in x..right {
            self.put(column, y, symbol, style);
        }
    }

    /// One character of our own.
    pub(super) fn put(&mut self, x: u16, y: u16, symbol: &str, style: Style) {
        if let Some(cell) = self.buffer.cell_mut((x, y)) {
            cell.set_symbol(symbol).set_style(style);
        }
    }

    /// Empties an area, so that a dialog does not show what is below.
    pub(super) fn clear(&mut self, area: Rect) {
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// An empty box with a title in its upper edge; returns the area inside, with a column of air on both sides.
    pub(super) fn frame(&mut self, area: Rect, title: &str, style: Style) -> Rect {
        self.clear(area);
        if area.width < 4 || area.height < 2 {
            return area;
        }
        let [top_left, top_right, bottom_left, bottom_right] = self.theme.corners();
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        let rule = self.theme.rule();
        let wall = self.theme.wall();
        self.fill(area.x, area.y, area.width, rule, style);
        self.fill(area.x, bottom, area.width, rule, style);
        for y in area.y..area.bottom() {
            self.put(area.x, y, wall, style);
            self.put(right, y, wall, style);
        }
        for (x, y, corner) in [
            (area.x, area.y, top_left),
            (right, area.y, top_right),
            (area.x, bottom, bottom_left),
            (right, bottom, bottom_right),
        ] {
            self.put(x, y, corner, style);
        }
        if !title.is_empty() {
            self.text(area.x + 2, area.y, area.width.saturating_sub(4), &format!(" {title} "), style);
        }
        Rect::new(area.x + 2, area.y + 1, area.width - 4, area.height - 2)
    }

    /// A gauge for a share from 0 to 1; something above 0 never looks like nothing.
    pub(super) fn gauge(&mut self, x: u16, y: u16, width: u16, share: f64, style: Style) {
        let [full, half, empty] = self.theme.gauge();
        let dim = self.theme.dim();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a few columns"
        )]
        let halves = (share.clamp(0.0, 1.0) * f64::from(width) * 2.0).round() as u16;
        let halves = if share > 0.0 { halves.max(1) } else { 0 };
        for column in 0..width {
            let (symbol, style) = match halves.saturating_sub(2 * column) {
                0 => (empty, dim),
                1 => (half, style),
                _ => (full, style),
            };
            self.put(x + column, y, symbol, style);
        }
    }

    /// Draws a text over as many lines as it takes, at most `area.height`; returns how many.
    pub(super) fn paragraph(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        let lines = wrap(text, usize::from(area.width));
        let mut y = area.y;
        for (row, line) in lines.iter().enumerate() {
            if y >= area.bottom() {
                break;
            }
            // What does not fit is cut with a mark.
            let rest = (y + 1 == area.bottom()).then(|| lines[row..].join(" "));
            self.text(area.x, y, area.width, rest.as_deref().unwrap_or(line), style);
            y += 1;
        }
        y - area.y
    }
}

/// `text` made harmless, and in ASCII where the glyphs want it.
pub(super) fn plain(glyphs: Glyphs, text: &str) -> Cow<'_, str> {
    let cleaned = clean(text);
    if glyphs == Glyphs::Unicode || cleaned.is_ascii() {
        return cleaned;
    }
    let mut out = String::with_capacity(cleaned.len());
    for letter in cleaned.chars() {
        match letter {
            letter if letter.is_ascii() => out.push(letter),
            '–' | '—' | '−' => out.push('-'),
            '…' => out.push_str("..."),
            '×' => out.push('x'),
            '·' => out.push('.'),
            '±' => out.push_str("+-"),
            '→' => out.push_str("->"),
            '≥' => out.push_str(">="),
            '≤' => out.push_str("<="),
            '“' | '”' => out.push('"'),
            '‘' | '’' => out.push('\''),
            '▲' => out.push('^'),
            '▼' => out.push('v'),
            '◆' => out.push('@'),
            '★' => out.push('*'),
            letter
                if glyphs == Glyphs::Blocks
                    && (letter.is_alphanumeric() || ('─'..='▟').contains(&letter)) =>
            {
                out.push(letter);
            }
            _ => out.push('?'),
        }
    }
    Cow::Owned(out)
}

/// The longest beginning of `text` that fits in `width` columns, with an ellipsis where something was cut.
pub(super) fn clip<'a>(text: &'a str, width: usize, ellipsis: &str) -> Cow<'a, str> {
    if text.is_ascii() && text.len() <= width || text.width() <= width {
        return Cow::Borrowed(text);
    }
    let room = width.saturating_sub(ellipsis.width());
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let wide = grapheme.width();
        if used + wide > room {
            break;
        }
        used += wide;
        out.push_str(grapheme);
    }
    if width > 0 {
        out.push_str(ellipsis);
    }
    Cow::Owned(out)
}

/// `text` broken at spaces into lines of at most `width` columns; words longer than that are broken anywhere.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let wide = word.width();
        if used > 0 && used + 1 + wide > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        if wide <= width {
            line.push_str(word);
            used += wide;
            continue;
        }
        for grapheme in word.graphemes(true) {
            let wide = grapheme.width();
            if used + wide > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push_str(grapheme);
            used += wide;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}
