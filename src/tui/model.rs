//! The model: what the screens have in common, and which of them are open.
//!
//! Only `update` changes it, only `view` reads it. It holds no terminal, no clock and no connection.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    Real, Settings,
    command::{self, CommandId},
    dialog::Dialog,
    fleet_view::FleetView,
    kill::Kill,
    screen::{
        Screen, Screens,
        fleet::FleetScreen,
        training::{Training, TrainingScreen},
    },
};
use knightwatch_agent::training::TrainingLog;
use knightwatch_core::{
    control::{Alarm, AlarmId, Command, Entry, Event, OrderId},
    flag::FlagKey,
};
use knightwatch_engine::backend::Link;

/// Rows assumed until the terminal says how many it has.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

/// How loud a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Something was done or sent.
    Plain,
    /// Something was not done.
    Bad,
}

/// One line in place of the footer.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) tone: Tone,
    pub(super) until: Real,
}

/// How long a notice stays.
const NOTICE_MS: u64 = 6_000;
/// How long a notice of something that was not done stays.
const BAD_NOTICE_MS: u64 = 20_000;

/// An order that has no answer yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: Option<CommandId>,
    pub(super) flag: Option<FlagKey>,
    /// What it is, for people.
    pub(super) what: String,
}

/// What the screens have in common, and which of them are open. What belongs to one screen alone, the screen holds.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, every combination of which can be")]
pub struct Model {
    pub(super) settings: Settings,
    /// `None` until the first snapshot.
    pub(super) fleet: Option<FleetView>,
    pub(super) link: Link,
    pub(super) size: (u16, u16),
    pub(super) now: Real,
    pub(super) screens: Screens,
    pub(super) dialog: Option<Dialog>,
    pub(super) kill: Kill,
    pub(super) notice: Option<Notice>,
    /// Until when Ctrl-C again quits.
    pub(super) quit_until: Option<Real>,
    pub(super) waiting: BTreeMap<OrderId, Waiting>,
    pub(super) orders: u64,
    pub(super) fetching: bool,
    /// Whether the journal's beginning is here.
    pub(super) all_fetched: bool,
    /// Critical alarms that have rung.
    pub(super) rung: HashSet<AlarmId>,
    /// Whether the training is all there is: no backend stands behind it.
    pub(super) alone: bool,
    /// Whether the briefing was opened by itself already.
    pub(super) briefing_shown: bool,
    dirty: bool,
}

impl Model {
    /// A control room that has heard nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            fleet: None,
            link: Link::Embedded,
            size: DEFAULT_SIZE,
            now: Real::default(),
            screens: Screens::new(Box::new(FleetScreen::default())),
            dialog: None,
            kill: Kill::Idle,
            notice: None,
            quit_until: None,
            waiting: BTreeMap::new(),
            orders: 0,
            fetching: false,
            all_fetched: false,
            rung: HashSet::new(),
            alone: false,
            briefing_shown: false,
            dirty: true,
        }
    }

    /// A training and nothing else: one that is under way (`live`), or a recorded one that is played.
    #[must_use]
    pub fn of_training(settings: Settings, log: TrainingLog, live: bool) -> Self {
        let training = if live { Training::live(log) } else { Training::recorded(log, Real::default()) };
        let screens = Screens::new(Box::new(TrainingScreen::new(training)));
        Self { screens, alone: true, ..Self::new(settings) }
    }

    /// The training on an open screen.
    pub(super) fn training(&self) -> Option<&Training> {
        self.screens.iter().find_map(Screen::training)
    }

    /// Whether leaving this screen stops a trainer.
    pub(super) fn is_live_training(&self) -> bool {
        self.alone && self.training().is_some_and(Training::is_live)
    }

    /// Whether a recording moves by itself: its frames need no hurry.
    pub(super) fn is_playing(&self) -> bool {
        self.screens.top().training().is_some_and(Training::is_playing)
    }

    /// When the picture changes by itself next, if nothing else happens: send [`super::Message::Wake`] then.
    #[must_use]
    pub fn wake_at(&self) -> Option<Real> {
        let played = self.screens.top().training().filter(|_| self.is_playing()).and_then(Training::wake_at);
        let notice = self.notice.as_ref().map(|notice| notice.until);
        [self.kill.wake_at(self.now), notice, self.quit_until, played].into_iter().flatten().min()
    }

    /// Whether something changed since the last drawing.
    #[must_use]
    pub const fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Says that the picture has been drawn.
    pub const fn drawn(&mut self) {
        self.dirty = false;
    }

    pub(super) const fn touch(&mut self) {
        self.dirty = true;
    }

    pub(super) fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let stays = if tone == Tone::Bad { BAD_NOTICE_MS } else { NOTICE_MS };
        self.notice = Some(Notice { text: text.into(), tone, until: self.now.plus(stays) });
    }

    /// The flag that keys act on: the one whose screen is open, or the one under the cursor. A flag that is not in sight
    /// is not acted on.
    pub(super) fn flag_at_hand(&self) -> Option<&FlagKey> {
        self.screens.ground().flag()
    }

    /// The alarm that keys act on: the selected one on the list, otherwise the most urgent that asks for a person.
    pub(super) fn alarm_at_hand(&self) -> Option<&Alarm> {
        let fleet = self.fleet.as_ref()?;
        self.screens.top().alarm(fleet).or_else(|| fleet.unacknowledged().into_iter().next())
    }

    /// Whether an order by this command on this flag has no answer yet.
    pub(super) fn is_waiting_for(&self, id: CommandId, flag: &FlagKey) -> bool {
        self.waiting.values().any(|order| order.id == Some(id) && order.flag.as_ref() == Some(flag))
    }

    /// Lets the screens take in what has changed. No row moves while a dialog or the kill-all panel is open.
    pub(super) fn refresh_screens(&mut self) {
        let Some(fleet) = &self.fleet else { return };
        let held = self.dialog.is_some() || self.kill.is_shown();
        for screen in self.screens.iter_mut() {
            screen.refresh(fleet, held);
        }
    }

    /// The flag `by` rows after `flag` where a screen below lists flags.
    pub(super) fn neighbour(&self, flag: &FlagKey, by: isize) -> Option<FlagKey> {
        let fleet = self.fleet.as_ref()?;
        self.screens.iter().find_map(|screen| screen.neighbour(fleet, flag, by))
    }

    /// Entries of the log, newest first, or only those that one flag felt: kill-all is about every flag.
    pub(super) fn entries_of(&self, flag: Option<&FlagKey>) -> impl Iterator<Item = &Entry> {
        let entries = self.fleet.as_ref().into_iter().flat_map(|fleet| fleet.log().rev());
        let spec = flag.and_then(|key| {
            let fleet = self.fleet.as_ref()?;
            Some(Arc::clone(&fleet.flags.get(fleet.place(key)?)?.spec))
        });
        entries.filter(move |entry| {
            let everybody = match &entry.event {
                Event::KilledAll { .. } | Event::RearmAsked { .. } | Event::Rearmed => true,
                // Of the service that it is in, and of the one that it waits for.
                Event::Deployed { what, .. } => spec.as_ref().is_some_and(|spec| {
                    let wanted = spec.deployment.as_ref().map(|wanted| &wanted.service);
                    what.service == spec.service || wanted == Some(&what.service)
                }),
                _ => false,
            };
            flag.is_none_or(|key| everybody || entry.flag.as_ref() == Some(key))
        })
    }

    /// Notes that an order is out.
    pub(super) fn note_order(&mut self, id: OrderId, command: &Command) {
        let waiting = Waiting {
            id: command::of_order(command),
            flag: command.flag().cloned(),
            what: command.in_words(),
        };
        self.waiting.insert(id, waiting);
    }
}
