//! The model: everything the screens show, and where the person is.
//!
//! Only `update` changes it, only `view` reads it. It holds no terminal, no clock and no connection.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    Real, Settings,
    command::{self, CommandId, on},
    dialog::Dialog,
    kill::Kill,
    training::Training,
    world::{World, attention},
};
use knightwatch_agent::training::TrainingLog;
use knightwatch_core::{
    control::{Alarm, AlarmId, Command, Entry, Event, OrderId, Seq},
    flag::FlagKey,
};
use knightwatch_engine::backend::{FlagView, Link};

/// Rows assumed until the terminal says how many it has.
const DEFAULT_SIZE: (u16, u16) = (80, 24);

/// Where a person is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    /// A row a flag.
    Fleet,
    /// One flag.
    Flag(FlagKey),
    /// The journal.
    Log,
    /// The alarms.
    Alarms,
    /// The keys of the screen below.
    Help,
    /// What flags are for.
    Briefing,
    /// How the agent came to be.
    Training,
}

impl Screen {
    /// As one of the constants in [`on`].
    pub(super) const fn bit(&self) -> u8 {
        match self {
            Self::Fleet => on::FLEET,
            Self::Flag(_) => on::FLAG,
            Self::Log => on::LOG,
            Self::Alarms => on::ALARMS,
            Self::Help => on::HELP,
            Self::Briefing => on::BRIEFING,
            Self::Training => on::TRAINING,
        }
    }
}

/// How the fleet is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What asks to be looked at first.
    #[default]
    Attention,
    /// By key.
    Name,
    /// The most exposed first.
    Rollout,
    /// By phase.
    Phase,
}

impl Sort {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Attention => Self::Name,
            Self::Name => Self::Rollout,
            Self::Rollout => Self::Phase,
            Self::Phase => Self::Attention,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::Name => "name",
            Self::Rollout => "rollout",
            Self::Phase => "phase",
        }
    }
}

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

/// Everything the screens show, and where the person is.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, every combination of which can be")]
pub struct Model {
    pub(super) settings: Settings,
    /// `None` until the first snapshot.
    pub(super) world: Option<World>,
    pub(super) link: Link,
    pub(super) size: (u16, u16),
    pub(super) now: Real,
    /// Never empty; the last one is shown.
    pub(super) screens: Vec<Screen>,
    pub(super) dialog: Option<Dialog>,
    pub(super) kill: Kill,
    pub(super) notice: Option<Notice>,
    /// Until when Ctrl-C again quits.
    pub(super) quit_until: Option<Real>,
    pub(super) waiting: BTreeMap<OrderId, Waiting>,
    pub(super) orders: u64,
    pub(super) sort: Sort,
    /// Places in `world.flags`, as sorted; rebuilt on change, left alone while a dialog is open.
    pub(super) order: Vec<u32>,
    /// The flag the cursor is on. By key: rows move, a key does not.
    pub(super) selected: Option<FlagKey>,
    /// The journal entry the cursor is on; the newest where `None`.
    pub(super) log_at: Option<Seq>,
    pub(super) alarm_at: Option<AlarmId>,
    /// Lines scrolled down in the text or history of the screen shown.
    pub(super) scroll: usize,
    pub(super) fetching: bool,
    /// Whether the journal's beginning is here.
    pub(super) all_fetched: bool,
    /// Critical alarms that have rung.
    pub(super) rung: HashSet<AlarmId>,
    /// The training on the screen; `None` until somebody wants to see one.
    pub(super) training: Option<Training>,
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
            world: None,
            link: Link::Embedded,
            size: DEFAULT_SIZE,
            now: Real::default(),
            screens: vec![Screen::Fleet],
            dialog: None,
            kill: Kill::Idle,
            notice: None,
            quit_until: None,
            waiting: BTreeMap::new(),
            orders: 0,
            sort: Sort::default(),
            order: Vec::new(),
            selected: None,
            log_at: None,
            alarm_at: None,
            scroll: 0,
            fetching: false,
            all_fetched: false,
            rung: HashSet::new(),
            training: None,
            alone: false,
            briefing_shown: false,
            dirty: true,
        }
    }

    /// A training and nothing else: one that is under way (`live`), or a recorded one that is played.
    #[must_use]
    pub fn of_training(settings: Settings, log: TrainingLog, live: bool) -> Self {
        let training = if live { Training::live(log) } else { Training::recorded(log, Real::default()) };
        Self { screens: vec![Screen::Training], training: Some(training), alone: true, ..Self::new(settings) }
    }

    /// Whether leaving this screen stops a trainer.
    pub(super) fn is_live_training(&self) -> bool {
        self.alone && self.training.as_ref().is_some_and(Training::is_live)
    }

    /// Whether a recording moves by itself: its frames need no hurry.
    pub(super) fn is_playing(&self) -> bool {
        *self.screen() == Screen::Training && self.training.as_ref().is_some_and(Training::is_playing)
    }

    /// When the picture changes by itself next, if nothing else happens: send [`super::Message::Wake`] then.
    #[must_use]
    pub fn wake_at(&self) -> Option<Real> {
        let played = self.training.as_ref().filter(|_| self.is_playing()).and_then(Training::wake_at);
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

    pub(super) fn screen(&self) -> &Screen {
        self.screens.last().unwrap_or(&Screen::Fleet)
    }

    /// The screen that commands and help are about: help lies over it.
    pub(super) fn ground(&self) -> &Screen {
        self.screens.iter().rev().find(|screen| **screen != Screen::Help).unwrap_or(&Screen::Fleet)
    }

    pub(super) fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let stays = if tone == Tone::Bad { BAD_NOTICE_MS } else { NOTICE_MS };
        self.notice = Some(Notice { text: text.into(), tone, until: self.now.plus(stays) });
    }

    /// The flag that keys act on: the one whose screen is open, or the one under the cursor.
    pub(super) fn flag_at_hand(&self) -> Option<&FlagKey> {
        match self.ground() {
            Screen::Flag(key) => Some(key),
            Screen::Fleet => self.selected.as_ref(),
            // A flag that is not in sight is not acted on.
            Screen::Log | Screen::Alarms | Screen::Help | Screen::Briefing | Screen::Training => None,
        }
    }

    /// The alarm that `a` acknowledges: the selected one on the list, otherwise the most urgent.
    pub(super) fn alarm_at_hand(&self) -> Option<&Alarm> {
        let world = self.world.as_ref()?;
        if *self.screen() == Screen::Alarms {
            let alarm = self.selected_alarm()?;
            return alarm.acknowledged_by.is_none().then_some(alarm);
        }
        world.unacknowledged().into_iter().next()
    }

    /// The alarm that `z` shelves: the selected one on the list, otherwise the most urgent that asks for a person.
    pub(super) fn alarm_to_shelve(&self) -> Option<&Alarm> {
        if *self.screen() == Screen::Alarms {
            return self.selected_alarm();
        }
        self.world.as_ref()?.unacknowledged().into_iter().next()
    }

    /// The alarm under the cursor of the list: the first where none was chosen or it is gone.
    pub(super) fn selected_alarm(&self) -> Option<&Alarm> {
        let alarms = self.world.as_ref()?.alarms_in_order();
        let chosen = alarms.iter().find(|alarm| Some(alarm.id) == self.alarm_at).copied();
        chosen.or_else(|| alarms.first().copied())
    }

    /// Whether an order by this command on this flag has no answer yet.
    pub(super) fn is_waiting_for(&self, id: CommandId, flag: &FlagKey) -> bool {
        self.waiting.values().any(|order| order.id == Some(id) && order.flag.as_ref() == Some(flag))
    }

    /// Row of the cursor in the sorted fleet.
    pub(super) fn selected_row(&self) -> Option<usize> {
        let place = self.world.as_ref()?.place(self.selected.as_ref()?)?;
        self.order.iter().position(|other| *other as usize == place)
    }

    /// Sorts the fleet anew, unless a dialog is open: then nothing may move.
    pub(super) fn sort_fleet(&mut self) {
        let Some(world) = &self.world else { return };
        if (self.dialog.is_some() || self.kill.is_shown()) && !self.order.is_empty() {
            return;
        }
        let flags = &world.flags;
        let alive = |place: u32| flags.get(place as usize).is_some_and(|flag| flag.archived.is_none());
        // Archiving cannot be undone: as many are the same ones, once those that were archived are out.
        self.order.retain(|place| alive(*place));
        if self.order.len() != world.alive().count() {
            let places = 0..u32::try_from(flags.len()).unwrap_or(u32::MAX);
            self.order = places.filter(|place| alive(*place)).collect();
        }
        let by_key = |place: &u32| &flags[*place as usize].spec.key;
        // Stable, from the order before: sorting what is nearly sorted costs a pass.
        match self.sort {
            Sort::Attention => {
                let unseen = world.unseen();
                let rank = |flag: &FlagView| attention(flag, world.now, unseen.contains(&flag.spec.key));
                let ranks: Vec<u8> = flags.iter().map(rank).collect();
                let rank = |place: &u32| ranks[*place as usize];
                self.order.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| by_key(a).cmp(by_key(b))));
            }
            Sort::Name => self.order.sort_by(|a, b| by_key(a).cmp(by_key(b))),
            Sort::Rollout => self.order.sort_by(|a, b| {
                let share = |place: &u32| flags[*place as usize].rollout;
                share(b).cmp(&share(a)).then_with(|| by_key(a).cmp(by_key(b)))
            }),
            Sort::Phase => self.order.sort_by(|a, b| {
                let phase = |place: &u32| flags[*place as usize].phase;
                phase(a).cmp(&phase(b)).then_with(|| by_key(a).cmp(by_key(b)))
            }),
        }
        let known = self
            .selected
            .as_ref()
            .and_then(|key| world.flag(key))
            .is_some_and(|flag| flag.archived.is_none());
        if !known {
            self.selected = self.order.first().map(|place| flags[*place as usize].spec.key.clone());
        }
    }

    /// Entries of the log, newest first, or only those that one flag felt: kill-all is about every flag.
    pub(super) fn entries_of(&self, flag: Option<&FlagKey>) -> impl Iterator<Item = &Entry> {
        let entries = self.world.as_ref().into_iter().flat_map(|world| world.entries.iter().rev());
        let spec = flag.and_then(|key| {
            let world = self.world.as_ref()?;
            Some(Arc::clone(&world.flags.get(world.place(key)?)?.spec))
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

    /// Place of the log's cursor, newest first.
    pub(super) fn log_row(&self) -> usize {
        let Some(at) = self.log_at else { return 0 };
        self.world.as_ref().map_or(0, |world| {
            let older = world.entries.partition_point(|entry| entry.seq < at);
            world.entries.len().saturating_sub(older + 1)
        })
    }

    /// Notes that an order is out.
    pub(super) fn note_order(&mut self, id: OrderId, command: &Command) {
        let waiting = Waiting {
            id: command::of_order(command),
            flag: command.flag().cloned(),
            what: describe(command),
        };
        self.waiting.insert(id, waiting);
    }
}

/// An order in a few words.
pub(super) fn describe(command: &Command) -> String {
    match command {
        Command::Create { spec } => format!("create {}", spec.key),
        Command::Change { flag, .. } => format!("change {flag}"),
        Command::Archive { flag } => format!("archive {flag}"),
        Command::Start { flag } => format!("start {flag}"),
        Command::Pause { flag } => format!("pause {flag}"),
        Command::Resume { flag } => format!("resume {flag}"),
        Command::Rollback { flag } => format!("roll {flag} back"),
        Command::Set { flag, rollout, .. } => format!("set {flag} to {rollout}"),
        Command::Promote { flag } => format!("promote {flag} to 100 %"),
        Command::Release { flag } => format!("release {flag}"),
        Command::KillAll => "kill-all".to_owned(),
        Command::Rearm { environment } => format!("re-arm {environment}"),
        Command::Deployed { what, .. } => format!("note the deployment of {what}"),
        Command::Definitions { .. } => "say how the flag definitions are".to_owned(),
        Command::Acknowledge { alarm } => format!("acknowledge alarm {}", alarm.0),
        Command::Shelve { alarm, lasts } => format!("shelve alarm {} for {lasts}", alarm.0),
        Command::AcknowledgeBriefing => "acknowledge the briefing".to_owned(),
    }
}
