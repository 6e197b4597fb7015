//! Styles and characters: what each meaning looks like.
//!
//! Grey is normal, colour means abnormal (ISA-101). Blue is what people did, orange what is abnormal, red kill-all and
//! what is critical. No meaning rests on colour alone, so the monochrome theme loses none.

use ratatui::style::{Color, Modifier, Style};

use super::{Glyphs, Palette};
use knightwatch_core::control::Priority;

/// Secondary text. Readable on dark and on light grounds, which "bright black" is not.
const GREY: Color = Color::Indexed(245);
const ORANGE: Color = Color::Indexed(208);
const BLUE: Color = Color::Indexed(39);
const RED: Color = Color::Indexed(160);
const WHITE: Color = Color::Indexed(231);
/// Bars of a chart: dark enough for a white line on them.
const SLATE: Color = Color::Indexed(240);
const BLACK: Color = Color::Indexed(16);

/// Levels of a sparkline's bar.
pub(super) const LEVELS: usize = 8;

/// How things are drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) glyphs: Glyphs,
    pub(super) palette: Palette,
}

impl Theme {
    fn pick(self, colour: Style, monochrome: Style) -> Style {
        match self.palette {
            Palette::Colour => colour,
            Palette::Monochrome => monochrome,
        }
    }

    /// Values.
    #[expect(clippy::unused_self, reason = "asked like the others")]
    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    /// Titles, and what is selected.
    #[expect(clippy::unused_self, reason = "asked like the others")]
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Labels, units, and values that are old.
    pub(super) fn dim(self) -> Style {
        self.pick(Style::new().fg(GREY), Style::new().add_modifier(Modifier::DIM))
    }

    /// What is not as it should be.
    pub(super) fn abnormal(self) -> Style {
        self.pick(
            Style::new().fg(ORANGE).add_modifier(Modifier::BOLD),
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        )
    }

    /// What a person did.
    pub(super) fn person(self) -> Style {
        self.pick(Style::new().fg(BLUE), Style::new().add_modifier(Modifier::UNDERLINED))
    }

    /// Kill-all, and what is critical.
    pub(super) fn critical(self) -> Style {
        self.pick(
            Style::new().fg(WHITE).bg(RED).add_modifier(Modifier::BOLD),
            Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
        )
    }

    /// A banner of an alarm that is not critical.
    pub(super) fn warning(self) -> Style {
        self.pick(
            Style::new().fg(BLACK).bg(ORANGE).add_modifier(Modifier::BOLD),
            Style::new().add_modifier(Modifier::REVERSED),
        )
    }

    /// What the cursor is on.
    #[expect(clippy::unused_self, reason = "asked like the others")]
    pub(super) fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// An alarm's priority.
    pub(super) fn priority(self, priority: Priority) -> Style {
        match priority {
            Priority::Critical => self.critical(),
            Priority::High => self.abnormal(),
            Priority::Low => self.plain(),
        }
    }

    /// Bar of a sparkline, 1 to [`LEVELS`].
    pub(super) fn level(self, level: usize) -> &'static str {
        const BLOCKS: [&str; LEVELS] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        const ASCII: [&str; LEVELS] = ["_", ".", ",", "-", "=", "+", "*", "#"];
        let index = level.clamp(1, LEVELS) - 1;
        if self.glyphs == Glyphs::Ascii { ASCII[index] } else { BLOCKS[index] }
    }

    /// A bar of a chart.
    pub(super) fn bar(self, worse: bool) -> Style {
        let colour = if worse { ORANGE } else { SLATE };
        let weight = if worse { Modifier::BOLD } else { Modifier::DIM };
        self.pick(Style::new().fg(colour), Style::new().add_modifier(weight))
    }

    /// A line beside the bars of a chart, whatever was drawn there before.
    #[expect(clippy::unused_self, reason = "asked like the others")]
    pub(super) fn line(self) -> Style {
        Style::reset().add_modifier(Modifier::BOLD)
    }

    /// A line across a bar of a chart.
    pub(super) fn across(self, worse: bool) -> Style {
        let (line, bar) = if worse { (BLACK, ORANGE) } else { (WHITE, SLATE) };
        self.pick(Style::new().fg(line).bg(bar), self.bar(worse).add_modifier(Modifier::REVERSED))
    }

    /// Control's line in a chart, live and recorded.
    pub(super) const fn control_line(self, recorded: bool) -> &'static str {
        match (self.glyphs, recorded) {
            (Glyphs::Ascii, false) => "o",
            (Glyphs::Ascii, true) => ":",
            (_, false) => "━",
            (_, true) => "─",
        }
    }

    /// Full, half and empty piece of a gauge.
    pub(super) const fn gauge(self) -> [&'static str; 3] {
        match self.glyphs {
            Glyphs::Unicode => ["━", "╸", "─"],
            Glyphs::Blocks => ["█", "▌", "░"],
            Glyphs::Ascii => ["=", "-", "."],
        }
    }

    const fn choose(self, unicode: &'static str, plain: &'static str) -> &'static str {
        match self.glyphs {
            Glyphs::Unicode => unicode,
            Glyphs::Blocks | Glyphs::Ascii => plain,
        }
    }

    /// The cursor's mark.
    pub(super) const fn marker(self) -> &'static str {
        self.choose("▸", ">")
    }

    /// A raise.
    pub(super) const fn up(self) -> &'static str {
        self.choose("▲", "^")
    }

    /// A step down or a rollback.
    pub(super) const fn down(self) -> &'static str {
        self.choose("▼", "v")
    }

    /// Something a person did.
    pub(super) const fn by_person(self) -> &'static str {
        self.choose("◆", "@")
    }

    /// A deployment.
    pub(super) const fn deployment(self) -> &'static str {
        self.choose("◇", "d")
    }

    /// A veto.
    pub(super) const fn veto(self) -> &'static str {
        self.choose("×", "x")
    }

    /// The best so far.
    pub(super) const fn best(self) -> &'static str {
        self.choose("★", "*")
    }

    /// A horizontal line.
    pub(super) const fn rule(self) -> &'static str {
        if matches!(self.glyphs, Glyphs::Ascii) { "-" } else { "─" }
    }

    /// A vertical line.
    pub(super) const fn wall(self) -> &'static str {
        if matches!(self.glyphs, Glyphs::Ascii) { "|" } else { "│" }
    }

    /// Corners: top left, top right, bottom left, bottom right.
    pub(super) const fn corners(self) -> [&'static str; 4] {
        if matches!(self.glyphs, Glyphs::Ascii) { ["+", "+", "+", "+"] } else { ["┌", "┐", "└", "┘"] }
    }

    /// A moment without a value in a sparkline.
    pub(super) const fn missing(self) -> &'static str {
        self.choose("·", ".")
    }
}
