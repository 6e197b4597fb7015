//! Turns what the view draws into the bytes of one frame, in memory.
//!
//! A frame is one block of bytes, bracketed by synchronised output, so that it can be written in one piece and counted
//! by a benchmark. It must not know of any real terminal: sizes are told to it, bytes are taken from it.

use std::io;

use crossterm::{
    cursor::{Hide, MoveTo, Show},
    queue,
    terminal::{BeginSynchronizedUpdate, Clear, ClearType as Erase, EndSynchronizedUpdate},
};
use ratatui::{
    Frame, Terminal,
    backend::{Backend, ClearType, CrosstermBackend, WindowSize},
    buffer::Cell,
    layout::{Position, Rect, Size},
};

/// How much was painted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Painted {
    /// Frames with at least one byte.
    pub frames: u64,
    /// Bytes of all frames, brackets included.
    pub bytes: u64,
    /// Bytes of the largest frame.
    pub largest: usize,
}

/// Paints frames of a given size into memory; see [`Painter::paint`].
#[derive(Debug)]
pub struct Painter {
    terminal: Terminal<Canvas>,
    sync: bool,
    fresh: bool,
    painted: Painted,
}

impl Painter {
    /// A painter for a screen of `size` cells, about which nothing is known yet; `sync` brackets each frame with
    /// synchronised output (mode 2026), so that a terminal never shows half a frame.
    ///
    /// # Errors
    /// None in practice: it writes to memory. The signature is the drawing library's.
    pub fn new(size: Size, sync: bool) -> io::Result<Self> {
        let terminal = Terminal::new(Canvas { size, ..Canvas::default() })?;
        Ok(Self { terminal, sync, fresh: true, painted: Painted::default() })
    }

    /// The size frames are painted for, in cells.
    #[must_use]
    pub fn size(&self) -> Size {
        self.terminal.backend().size
    }

    /// The screen has another size now.
    pub fn resize(&mut self, size: Size) {
        self.terminal.backend_mut().size = size;
    }

    /// Whatever is on the screen is not what was painted: the next frame clears it and paints every cell.
    pub fn forget(&mut self) {
        self.fresh = true;
        self.terminal.backend_mut().cursor_shown = None;
    }

    /// What was painted so far.
    #[must_use]
    pub fn painted(&self) -> Painted {
        self.painted
    }

    /// Paints one frame and returns its bytes: only cells that differ from the frame before, and nothing at all where
    /// none does. `spare` is a buffer to use again. The bytes must reach the screen, in order.
    ///
    /// # Errors
    /// None in practice, as with [`Painter::new`].
    pub fn paint(&mut self, mut spare: Vec<u8>, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<Vec<u8>> {
        spare.clear();
        if self.sync {
            queue!(spare, BeginSynchronizedUpdate)?;
        }
        let opened = spare.len();
        self.terminal.backend_mut().bytes = spare;
        if self.fresh {
            self.fresh = false;
            let Size { width, height } = self.size();
            self.terminal.resize(Rect::new(0, 0, width, height))?;
        }
        self.terminal.draw(render)?;
        let mut bytes = std::mem::take(&mut self.terminal.backend_mut().bytes);
        if bytes.len() == opened {
            bytes.clear();
            return Ok(bytes);
        }
        if self.sync {
            queue!(bytes, EndSynchronizedUpdate)?;
        }
        self.painted.frames += 1;
        self.painted.bytes += bytes.len() as u64;
        self.painted.largest = self.painted.largest.max(bytes.len());
        Ok(bytes)
    }
}

/// The drawing library's view of a terminal that is a block of memory. Leaves out what would change nothing: an empty
/// frame costs no byte.
#[derive(Debug, Default)]
struct Canvas {
    bytes: Vec<u8>,
    size: Size,
    cursor: Position,
    cursor_shown: Option<bool>,
}

impl Canvas {
    fn show(&mut self, shown: bool) -> io::Result<()> {
        if self.cursor_shown == Some(shown) {
            return Ok(());
        }
        self.cursor_shown = Some(shown);
        if shown { queue!(self.bytes, Show) } else { queue!(self.bytes, Hide) }
    }
}

impl Backend for Canvas {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut content = content.peekable();
        if content.peek().is_none() {
            return Ok(());
        }
        CrosstermBackend::new(&mut self.bytes).draw(content)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.show(false)
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.show(true)
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(self.cursor)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.cursor = position.into();
        queue!(self.bytes, MoveTo(self.cursor.x, self.cursor.y))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.clear_region(ClearType::All)
    }

    fn clear_region(&mut self, what: ClearType) -> io::Result<()> {
        queue!(
            self.bytes,
            Clear(match what {
                ClearType::All => Erase::All,
                ClearType::AfterCursor => Erase::FromCursorDown,
                ClearType::BeforeCursor => Erase::FromCursorUp,
                ClearType::CurrentLine => Erase::CurrentLine,
                ClearType::UntilNewLine => Erase::UntilNewLine,
            })
        )
    }

    fn size(&self) -> io::Result<Size> {
        Ok(self.size)
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size, pixels: Size::default() })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ratatui::widgets::Paragraph;

    use super::*;

    fn paint(painter: &mut Painter, text: &str) -> String {
        let bytes = painter
            .paint(Vec::new(), |frame| frame.render_widget(Paragraph::new(text.to_owned()), frame.area()))
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn shown(bytes: &str) -> String {
        let mut parser = vt100::Parser::new(5.try_into().unwrap(), 20.try_into().unwrap(), 0);
        parser.process(bytes.as_bytes());
        parser.screen().contents()
    }

    #[test]
    fn a_frame_is_bracketed_and_an_unchanged_one_costs_nothing() {
        let mut painter = Painter::new(Size::new(20, 5), true).unwrap();
        let first = paint(&mut painter, "ramping 5 %");
        assert!(first.starts_with("\u{1b}[?2026h") && first.ends_with("\u{1b}[?2026l"), "{first:?}");
        assert_eq!(shown(&first).trim_end(), "ramping 5 %");
        assert_eq!(paint(&mut painter, "ramping 5 %"), "");
        let second = paint(&mut painter, "ramping 9 %");
        assert!(second.len() < first.len(), "only the changed cell: {second:?}");
        assert_eq!(
            painter.painted(),
            Painted { frames: 2, bytes: (first.len() + second.len()) as u64, largest: first.len() }
        );
    }

    #[test]
    fn the_bracket_can_be_left_out() {
        let mut painter = Painter::new(Size::new(20, 5), false).unwrap();
        assert!(!paint(&mut painter, "x").contains("2026"));
    }

    #[test]
    fn a_forgotten_screen_is_cleared_and_painted_whole() {
        let mut painter = Painter::new(Size::new(20, 5), true).unwrap();
        paint(&mut painter, "complete");
        painter.forget();
        let again = paint(&mut painter, "complete");
        assert!(again.contains("\u{1b}[2J") && again.contains("complete"), "{again:?}");
    }

    #[test]
    fn a_new_size_takes_effect_with_the_next_frame() {
        let mut painter = Painter::new(Size::new(20, 5), true).unwrap();
        paint(&mut painter, "one line of text that is cut");
        painter.resize(Size::new(8, 2));
        assert_eq!(shown(&paint(&mut painter, "one line of text that is cut")).trim_end(), "one line");
    }
}
