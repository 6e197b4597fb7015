//! A screen taken apart: what stands where on it, so that a test can say that without a picture of the whole.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier},
};

use crate::support::test_app::TestApp;

/// Grounds of the banners: kill-all and critical alarms, and everything else that is abnormal.
const RED: Color = Color::Indexed(160);
const ORANGE: Color = Color::Indexed(208);

/// From here on the header has a second row.
const TALL: u16 = 14;

/// A screen as it was drawn.
pub struct Seen {
    buffer: Buffer,
}

/// What the fleet says of one flag.
#[derive(Debug, PartialEq, Eq)]
pub struct Standing {
    /// Phase and verdict, as written.
    pub phase: String,
    /// The rollout in per cent, as written.
    pub rollout: String,
}

impl Seen {
    pub fn of(app: &mut TestApp, width: u16, height: u16) -> Self {
        app.resize(width, height);
        Self { buffer: app.buffer(width, height) }
    }

    pub const fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    const fn height(&self) -> u16 {
        self.buffer.area.height
    }

    /// One row, a character a cell: columns can be counted in it.
    fn cells(&self, y: u16) -> Vec<char> {
        let symbol = |x| self.buffer.cell((x, y)).unwrap().symbol();
        let one = |symbol: &str| {
            let mut letters = symbol.chars();
            let letter = letters.next().unwrap();
            assert!(letters.next().is_none(), "{symbol:?} is more than one character");
            letter
        };
        (0..self.buffer.area.width).map(|x| one(symbol(x))).collect()
    }

    /// One row without trailing spaces.
    pub fn row(&self, y: u16) -> String {
        self.cells(y).into_iter().collect::<String>().trim_end().to_owned()
    }

    fn rows(&self, from: u16, to: u16) -> Vec<String> {
        (from..to).map(|y| self.row(y)).collect()
    }

    const fn header_rows(&self) -> u16 {
        if self.height() >= TALL { 2 } else { 1 }
    }

    pub fn header(&self) -> Vec<String> {
        self.rows(0, self.header_rows())
    }

    fn ground(&self, x: u16, y: u16) -> Color {
        self.buffer.cell((x, y)).unwrap().bg
    }

    fn banner_rows(&self) -> u16 {
        let is_banner = |y: &u16| matches!(self.ground(0, *y), RED | ORANGE);
        u16::try_from((self.header_rows()..self.height()).take_while(is_banner).count()).unwrap()
    }

    /// What the banners say, from the top.
    pub fn banners(&self) -> Vec<String> {
        let from = self.header_rows();
        self.rows(from, from + self.banner_rows()).iter().map(|row| row.trim().to_owned()).collect()
    }

    /// All between the banners and the footer.
    pub fn body(&self) -> Vec<String> {
        self.rows(self.header_rows() + self.banner_rows(), self.height() - 1)
    }

    pub fn footer(&self) -> String {
        self.row(self.height() - 1)
    }

    /// The commands that the footer offers, each as its key and its word.
    pub fn offers(&self) -> Vec<String> {
        let footer = self.footer();
        footer.split("  ").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// The row of a flag in the fleet.
    pub fn flag_row(&self, key: &str) -> u16 {
        let (head, columns) = self.columns();
        let mine = |y: &u16| {
            let name: String = self.cells(*y)[columns.0..columns.1].iter().collect();
            let name = name.trim();
            name == key || name.strip_suffix('…').is_some_and(|start| key.starts_with(start))
        };
        let mut rows = (head + 1..self.height()).filter(mine);
        let row = rows.next().unwrap_or_else(|| panic!("{key} is not in the fleet:\n{self}"));
        assert_eq!(rows.next(), None, "{key} is there twice:\n{self}");
        row
    }

    /// The row of the fleet's head, and where flag, phase and the rollout's end are.
    fn columns(&self) -> (u16, (usize, usize, usize)) {
        for y in 0..self.height() {
            let cells: String = self.cells(y).into_iter().collect();
            let at = |text: &str| cells.find(text).map(|byte| cells[..byte].chars().count());
            if let (Some(flag), Some(phase), Some(rollout)) =
                (at("flag "), at("phase, verdict"), at("rollout %"))
            {
                return (y, (flag, phase, rollout + "rollout %".len()));
            }
        }
        panic!("no fleet:\n{self}")
    }

    /// What the fleet says of a flag.
    pub fn flag(&self, key: &str) -> Standing {
        let row = self.flag_row(key);
        let (_, (_, phase, rollout)) = self.columns();
        let between: String = self.cells(row)[phase..rollout].iter().collect();
        let gauge = |letter: char| matches!(letter, '━' | '╸' | '─');
        let (phase, after) = between.split_once(gauge).unwrap_or_else(|| panic!("no gauge: {between}"));
        let rollout = after.trim_start_matches(gauge);
        Standing { phase: phase.trim().to_owned(), rollout: rollout.trim().to_owned() }
    }

    /// The dialog's place, its title, and its lines that are not empty.
    pub fn dialog(&self) -> (Rect, String, Vec<String>) {
        let find = |corner: char| {
            let places = (0..self.height())
                .filter_map(|y| Some((self.cells(y).iter().position(|c| *c == corner)?, y)));
            let places: Vec<_> = places.collect();
            let [place] = places[..] else { panic!("{} of {corner}:\n{self}", places.len()) };
            place
        };
        let ((left, top), (right, bottom)) = (find('┌'), find('┘'));
        let inner = |y: u16| self.cells(y)[left + 1..right].iter().collect::<String>();
        let title = inner(top).trim_matches(['─', ' ']).to_owned();
        let lines = (top + 1..bottom).map(|y| inner(y).trim().to_owned()).filter(|line| !line.is_empty());
        let short = |number: usize| u16::try_from(number).unwrap();
        let place = Rect::new(short(left), top, short(right - left + 1), bottom - top + 1);
        (place, title, lines.collect())
    }

    /// The kill panel's place, and what it says, in one line however it is wrapped.
    pub fn kill_panel(&self) -> (Rect, String) {
        let from = self.header_rows() + self.banner_rows();
        let red: Vec<u16> = (from..self.height()).filter(|y| self.ground(0, *y) == RED).collect();
        let (Some(top), Some(bottom)) = (red.first(), red.last()) else { panic!("no panel:\n{self}") };
        assert_eq!(usize::from(bottom - top) + 1, red.len(), "in one piece:\n{self}");
        let width = self.buffer.area.width;
        for y in *top..=*bottom {
            assert!((0..width).all(|x| self.ground(x, y) == RED), "the whole width:\n{self}");
        }
        let said = self.rows(*top, bottom + 1).join(" ");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        (Rect::new(0, *top, width, bottom - top + 1), said)
    }

    /// Asserts that outside `place` it is the same as `other`, but for the rows named.
    pub fn assert_same_outside(&self, other: &Self, place: Rect, but: &[u16]) {
        assert_eq!(self.buffer.area, other.buffer.area);
        for y in (0..self.height()).filter(|y| !but.contains(y)) {
            for x in 0..self.buffer.area.width {
                if place.contains((x, y).into()) {
                    continue;
                }
                let symbol = |seen: &Self| seen.buffer.cell((x, y)).unwrap().symbol().to_owned();
                assert_eq!(
                    symbol(self),
                    symbol(other),
                    "column {x} of row {y}:\n{self}\ninstead of\n{other}"
                );
            }
        }
    }

    /// Cells that blink.
    pub fn blinking(&self) -> usize {
        self.buffer.content.iter().filter(|cell| cell.modifier.contains(Modifier::SLOW_BLINK)).count()
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::support::test_app::text(&self.buffer))
    }
}
