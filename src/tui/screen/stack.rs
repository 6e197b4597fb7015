//! The open screens, one over the other, and the closed ones that keep their cursors.

use super::{Screen, ScreenId, training::Training};

/// The open screens. The last one is shown; the first one never closes.
#[derive(Debug)]
pub(in crate::tui) struct Screens {
    base: Box<dyn Screen>,
    above: Vec<Box<dyn Screen>>,
    /// Closed screens that a command can open again, at most one of each.
    closed: Vec<Box<dyn Screen>>,
}

impl Screens {
    pub(in crate::tui) fn new(base: Box<dyn Screen>) -> Self {
        Self { base, above: Vec::new(), closed: Vec::new() }
    }

    /// The screen shown.
    pub(in crate::tui) fn top(&self) -> &dyn Screen {
        self.above.last().unwrap_or(&self.base).as_ref()
    }

    /// The screen shown, to be changed.
    pub(in crate::tui) fn top_mut(&mut self) -> &mut dyn Screen {
        self.above.last_mut().unwrap_or(&mut self.base).as_mut()
    }

    /// The screen that commands and help are about: an overlay speaks of the one below.
    pub(in crate::tui) fn ground(&self) -> &dyn Screen {
        let above = self.above.iter().rev();
        above.chain([&self.base]).find(|screen| !screen.row().is_overlay).unwrap_or(&self.base).as_ref()
    }

    /// Whether only the first screen is open.
    pub(in crate::tui) fn is_at_base(&self) -> bool {
        self.above.is_empty()
    }

    /// All that are open, the lowest first.
    pub(in crate::tui) fn iter(&self) -> impl Iterator<Item = &dyn Screen> {
        std::iter::once(&self.base).chain(&self.above).map(AsRef::as_ref)
    }

    /// All that are open, the lowest first, to be changed.
    pub(in crate::tui) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Box<dyn Screen>> {
        std::iter::once(&mut self.base).chain(&mut self.above)
    }

    /// The training on an open screen.
    pub(in crate::tui) fn training_mut(&mut self) -> Option<&mut Training> {
        self.iter_mut().find_map(|screen| screen.training_mut())
    }

    /// Puts a screen on top.
    pub(in crate::tui) fn push(&mut self, screen: Box<dyn Screen>) {
        self.above.push(screen);
        self.top_mut().shown();
    }

    /// Puts a screen in place of the one shown.
    pub(in crate::tui) fn replace(&mut self, screen: Box<dyn Screen>) {
        match self.above.last_mut() {
            Some(top) => *top = screen,
            None => self.base = screen,
        }
        self.top_mut().shown();
    }

    /// Closes the screen shown, unless it is the first.
    pub(in crate::tui) fn back(&mut self) {
        if let Some(screen) = self.above.pop() {
            self.keep(screen);
            self.top_mut().shown();
        }
    }

    /// Closes all but the first.
    pub(in crate::tui) fn back_to_base(&mut self) {
        while let Some(screen) = self.above.pop() {
            self.keep(screen);
        }
        self.top_mut().shown();
    }

    /// Goes back to an open screen, if there is one like this.
    pub(in crate::tui) fn back_to(&mut self, is_it: impl Fn(&dyn Screen) -> bool) -> bool {
        let Some(place) = self.iter().position(is_it) else { return false };
        while self.above.len() > place
            && let Some(screen) = self.above.pop()
        {
            self.keep(screen);
        }
        self.top_mut().shown();
        true
    }

    /// The closed screen with this id, out of the closed ones.
    pub(in crate::tui) fn take_closed(&mut self, id: ScreenId) -> Option<Box<dyn Screen>> {
        let place = self.closed.iter().position(|screen| screen.row().id == id)?;
        Some(self.closed.swap_remove(place))
    }

    fn keep(&mut self, screen: Box<dyn Screen>) {
        let row = screen.row();
        if row.opener.is_some() && self.closed.iter().all(|closed| closed.row().id != row.id) {
            self.closed.push(screen);
        }
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;
    use crate::tui::{
        Model,
        command::{CommandId, Scope, Spec},
        fleet_view::FleetView,
        pen::Pen,
        screen::{Opener, ScreenRow, Section, Step},
    };

    const LIST: ScreenId = ScreenId("list");

    static BASE: ScreenRow = ScreenRow::new(ScreenId("base"), Section::Daily);
    static DETAIL: ScreenRow = ScreenRow::new(ScreenId("detail"), Section::Daily);
    static OVERLAY: ScreenRow =
        ScreenRow { is_overlay: true, ..ScreenRow::new(ScreenId("overlay"), Section::Help) };
    static LISTED: ScreenRow = ScreenRow {
        opener: Some(Opener {
            command: Spec {
                id: CommandId::OpenScreen(LIST),
                name: "list",
                short: "",
                keys: &[],
                help: "",
                screens: Scope::Except(LIST),
            },
            needs_backend: false,
            open: |_| Ok(screen(&LISTED)),
        }),
        ..ScreenRow::new(LIST, Section::Daily)
    };

    /// Counts its steps.
    #[derive(Debug)]
    struct Counter {
        row: &'static ScreenRow,
        steps: usize,
    }

    impl Screen for Counter {
        fn row(&self) -> &'static ScreenRow {
            self.row
        }

        fn draw(&self, _model: &Model, _area: Rect, _pen: &mut Pen<'_>) {}

        fn page(&self, _model: &Model, _body: Rect) -> usize {
            self.steps
        }

        fn step(&mut self, _step: Step, _world: Option<&FleetView>, _last_scroll: usize) {
            self.steps += 1;
        }
    }

    fn screen(row: &'static ScreenRow) -> Box<dyn Screen> {
        Box::new(Counter { row, steps: 0 })
    }

    fn names(screens: &Screens) -> Vec<&'static str> {
        screens.iter().map(|screen| screen.row().id.name()).collect()
    }

    #[test]
    fn the_first_screen_never_closes() {
        let mut screens = Screens::new(screen(&BASE));
        screens.back();
        screens.back_to_base();
        assert!(screens.is_at_base());
        screens.push(screen(&DETAIL));
        assert_eq!(names(&screens), ["base", "detail"]);
        screens.back();
        assert_eq!(names(&screens), ["base"]);
    }

    #[test]
    fn a_screen_that_a_command_opens_keeps_its_cursor_while_it_is_closed() {
        let mut screens = Screens::new(screen(&BASE));
        screens.push(screen(&LISTED));
        screens.top_mut().step(Step::By(1), None, 0);
        screens.push(screen(&DETAIL));
        screens.back_to_base();
        assert!(screens.take_closed(DETAIL.id).is_none(), "no command opens it");
        let again = screens.take_closed(LIST).unwrap();
        assert!(format!("{again:?}").contains("steps: 1"), "{again:?}");
        assert!(screens.take_closed(LIST).is_none(), "it was taken");
    }

    #[test]
    fn going_back_to_an_open_screen_closes_what_lies_above() {
        let mut screens = Screens::new(screen(&BASE));
        for row in [&LISTED, &DETAIL, &OVERLAY] {
            screens.push(screen(row));
        }
        assert!(!screens.back_to(|screen| screen.row().id.name() == "nowhere"));
        assert_eq!(names(&screens), ["base", "list", "detail", "overlay"]);
        assert!(screens.back_to(|screen| screen.row().id == LIST));
        assert_eq!(names(&screens), ["base", "list"]);
    }

    #[test]
    fn an_overlay_speaks_of_the_screen_below() {
        let mut screens = Screens::new(screen(&BASE));
        screens.push(screen(&DETAIL));
        screens.push(screen(&OVERLAY));
        assert_eq!(screens.top().row().id.name(), "overlay");
        assert_eq!(screens.ground().row().id.name(), "detail");
    }
}
