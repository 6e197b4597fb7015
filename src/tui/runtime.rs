//! The loop of the control room: the only place where messages come in and effects go out.
//!
//! It waits for signals, keys, answers, the backend and time, in this order of importance; it hands everything to
//! `update` and draws what `view` makes of it. Nothing in it blocks: keys, signals and writing have threads of their
//! own, orders have tasks. It knows neither what a screen looks like nor what a key means (but for Ctrl-Z).

mod exit;
mod pacing;
mod suspension;

use std::{
    future::{Future, pending},
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use thiserror::Error;
use tokio::{
    sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel},
    task, time,
};

pub use exit::{Cause, Exit};
use pacing::Pacing;

use super::{
    Effect, Message, Model, Real, Settings,
    keys::{self, Input},
    signals::{self, Ending, Event},
    terminal::{self, Multiplexer, Painted, Painter, Terminal, Unfit},
    update, view,
};
use knightwatch_agent::training::{TrainingLine, TrainingLog};
use knightwatch_core::{
    control::{Order, OrderId},
    telemetry::Millis,
};
use knightwatch_engine::backend::{Backend, Link, OrderError, Update};

/// Longest time spent on the backend's updates before keys and the screen have their turn.
const UPDATE_SLICE: Duration = Duration::from_millis(5);

/// How long answers to orders are waited for when the control room ends.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// How the loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Most frames a second that the backend's updates cause; at least 1. Keys are answered at once.
    pub fps: u32,
    /// Whether frames are bracketed by synchronised output (mode 2026).
    pub sync: bool,
}

impl RuntimeOptions {
    /// Frames a second by default.
    pub const FPS: u32 = 4;

    /// Frames a second on a slow link.
    pub const SLOW_FPS: u32 = 1;
}

impl Default for RuntimeOptions {
    fn default() -> Self {
        Self { fps: Self::FPS, sync: true }
    }
}

/// Why the control room did not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// It cannot be drawn here; nothing was written to standard output.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The terminal, the signals or a thread could not be set up.
    #[error("the terminal cannot be set up: {0}")]
    Setup(#[from] io::Error),
}

impl RunError {
    /// The exit status: 2 where the terminal does not fit, 1 for everything else.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Unfit(_) => 2,
            Self::Setup(_) => 1,
        }
    }
}

/// Runs the control room on `backend` until somebody leaves it or something ends it, and leaves the terminal as it
/// was. Needs a runtime with time; one thread is enough.
///
/// # Errors
/// When the terminal is not fit for drawing, or cannot be set up.
pub async fn run(
    backend: Arc<dyn Backend>,
    settings: Settings,
    options: RuntimeOptions,
) -> Result<Exit, RunError> {
    let mut app = App::open(Model::new(settings), options)?;
    app.updates = Some(backend.subscribe());
    app.backend = Some(backend);
    let cause = app.work().await;
    Ok(app.end(cause).await)
}

/// Shows a training, and leaves the terminal as it was. With `lines` it is a live one that has come as far as `log`
/// says: what the trainer sends is shown, and it ends with [`Cause::Finished`] when the sender is dropped, or with
/// another cause when a person wants the trainer stopped or something ends the program; the trainer is the caller's to
/// stop then. Senders need no runtime, so that a trainer may send from any thread. Without `lines` it is a recorded one
/// that is played. Needs a runtime with time; one thread is enough.
///
/// # Errors
/// When the terminal is not fit for drawing, or cannot be set up.
pub async fn run_training(
    log: TrainingLog,
    lines: Option<UnboundedReceiver<TrainingLine>>,
    settings: Settings,
    options: RuntimeOptions,
) -> Result<Exit, RunError> {
    let mut app = App::open(Model::of_training(settings, log, lines.is_some()), options)?;
    app.lines = lines;
    let cause = app.work().await;
    Ok(app.end(cause).await)
}

/// What an order's task, or another request's, brings back.
type TaskMessage = Message;

/// The application: everything the loop holds.
struct App {
    /// `None` where a training is all there is.
    backend: Option<Arc<dyn Backend>>,
    model: Model,
    started: Instant,
    pacing: Pacing,
    multiplexer: Multiplexer,
    painter: Painter,
    terminal: Terminal,
    /// Writes that were not answered yet. Nothing is drawn meanwhile: a slow terminal skips frames, it does not queue
    /// them.
    writing: u32,
    /// Bytes for the terminal beside the frame: the bell, the clipboard.
    aside: Vec<u8>,
    spare: Vec<u8>,
    events: UnboundedReceiver<Event>,
    inputs: Receiver<Input>,
    answers: UnboundedSender<TaskMessage>,
    answered: UnboundedReceiver<TaskMessage>,
    /// `None` once the backend has closed it.
    updates: Option<Receiver<Update>>,
    /// What a trainer sends; `None` where there is none.
    lines: Option<UnboundedReceiver<TrainingLine>>,
    unanswered: Vec<OrderId>,
    interrupted: bool,
}

/// What made the loop wake.
enum Woken {
    Heard(Option<Event>),
    Typed(Option<Input>),
    Answered(TaskMessage),
    Written(Option<terminal::Written>),
    Updated(Option<Update>),
    Trained(Option<TrainingLine>),
    Time,
}

impl App {
    /// Takes the terminal for a model. Nothing stands behind it yet.
    fn open(model: Model, options: RuntimeOptions) -> Result<Self, RunError> {
        let size = terminal::check()?;
        let events = signals::watch()?;
        let painter = Painter::new(size, options.sync)?;
        let terminal = Terminal::enter()?;
        let inputs = keys::read()?;
        let (answers, answered) = unbounded_channel();
        let started = Instant::now();
        let mut app = Self {
            updates: None,
            lines: None,
            backend: None,
            model,
            started,
            pacing: Pacing::new(options.fps, started),
            multiplexer: Multiplexer::detect(|name| std::env::var(name).ok()),
            painter,
            // Entering is answered like any other write.
            writing: 1,
            aside: Vec::new(),
            spare: Vec::new(),
            terminal,
            events,
            inputs,
            answers,
            answered,
            unanswered: Vec::new(),
            interrupted: false,
        };
        app.tell(Real(0), Message::Resize(size.width, size.height));
        Ok(app)
    }

    async fn work(&mut self) -> Cause {
        loop {
            if let Some(cause) = self.draw() {
                return cause;
            }
            let woken = self.wait().await;
            let turn = Instant::now();
            if let Some(cause) = self.handle(woken, turn).await {
                return cause;
            }
            if let Some(cause) = self.drain(turn).await {
                return cause;
            }
            // What shares this thread (orders under way, an engine) has its turn even in a flood.
            task::yield_now().await;
        }
    }

    /// Sleeps until something happens or is due.
    async fn wait(&mut self) -> Woken {
        let due = [self.pacing.draw_at(self.model.is_dirty() && self.can_draw()), self.wake_at()];
        let due = due.into_iter().flatten().min();
        let timer = pin!(async {
            match due {
                Some(due) => time::sleep_until(due.into()).await,
                None => pending().await,
            }
        });
        let updates = self.updates.as_mut();
        let update = pin!(async {
            match updates {
                Some(updates) => updates.recv().await,
                None => pending().await,
            }
        });
        let lines = self.lines.as_mut();
        let line = pin!(async {
            match lines {
                Some(lines) => lines.recv().await,
                None => pending().await,
            }
        });
        tokio::select! {
            biased;
            event = self.events.recv() => Woken::Heard(event),
            input = self.inputs.recv() => Woken::Typed(input),
            answer = received(&mut self.answered) => Woken::Answered(answer),
            written = self.terminal.written() => Woken::Written(written),
            update = update => Woken::Updated(update),
            line = line => Woken::Trained(line),
            () = timer => Woken::Time,
        }
    }

    async fn handle(&mut self, woken: Woken, turn: Instant) -> Option<Cause> {
        match woken {
            // The watch itself never ends: a closed channel means that it has panicked, and then the program ends.
            Woken::Heard(event) => self.hear(event.unwrap_or(Event::End(Ending::Terminated)), turn).await,
            Woken::Typed(Some(input)) => self.typed(input).await,
            Woken::Answered(answer) => self.answer(turn, answer),
            Woken::Written(Some(written)) => self.written(written),
            // Without keys or a screen there is no control room.
            Woken::Typed(None) | Woken::Written(None) => Some(Cause::Ended(Ending::LinkLost)),
            Woken::Updated(update) => self.updated(update, turn),
            Woken::Trained(line) => self.trained(line, turn),
            Woken::Time => self.wake(turn),
        }
    }

    /// Takes everything that is there already, the important first, so that one frame shows all of it.
    async fn drain(&mut self, turn: Instant) -> Option<Cause> {
        while let Ok(event) = self.events.try_recv() {
            if let Some(cause) = self.hear(event, turn).await {
                return Some(cause);
            }
        }
        while let Ok(input) = self.inputs.try_recv() {
            if let Some(cause) = self.typed(input).await {
                return Some(cause);
            }
        }
        while let Ok(answer) = self.answered.try_recv() {
            if let Some(cause) = self.answer(turn, answer) {
                return Some(cause);
            }
        }
        while turn.elapsed() < UPDATE_SLICE {
            let line = match self.lines.as_mut().map(UnboundedReceiver::try_recv) {
                None | Some(Err(TryRecvError::Empty)) => break,
                Some(Ok(line)) => Some(line),
                Some(Err(TryRecvError::Disconnected)) => None,
            };
            if let Some(cause) = self.trained(line, turn) {
                return Some(cause);
            }
        }
        while turn.elapsed() < UPDATE_SLICE {
            let update = match self.updates.as_mut().map(Receiver::try_recv) {
                None | Some(Err(TryRecvError::Empty)) => break,
                Some(Ok(update)) => Some(update),
                Some(Err(TryRecvError::Disconnected)) => None,
            };
            if let Some(cause) = self.updated(update, turn) {
                return Some(cause);
            }
        }
        None
    }

    fn real(&self, at: Instant) -> Real {
        let since = at.saturating_duration_since(self.started).as_millis();
        Real(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// When the model wants to be woken.
    fn wake_at(&self) -> Option<Instant> {
        let Real(at) = self.model.wake_at()?;
        // What overflows is too far off to matter.
        let at = self.started.checked_add(Duration::from_millis(at))?;
        Some(self.pacing.wake_at(at))
    }

    fn wake(&mut self, turn: Instant) -> Option<Cause> {
        if self.wake_at().is_none_or(|at| at > turn) {
            return None;
        }
        self.pacing.woken(turn);
        if self.model.is_playing() {
            // A film keeps to the frames that the link can take.
            return self.tell(self.real(turn), Message::Wake);
        }
        self.urgent(turn, Message::Wake)
    }

    /// A message whose consequence is shown at once.
    fn urgent(&mut self, at: Instant, message: Message) -> Option<Cause> {
        let was_dirty = self.model.is_dirty();
        let cause = self.tell(self.real(at), message);
        if self.model.is_dirty() || was_dirty {
            self.pacing.hurry();
        }
        cause
    }

    /// Gives the model a message and does what it wants.
    fn tell(&mut self, now: Real, message: Message) -> Option<Cause> {
        let mut messages = vec![message];
        while let Some(message) = messages.pop() {
            for effect in update(&mut self.model, now, message) {
                match effect {
                    Effect::Send(order) => self.send(order),
                    Effect::FetchEntries { before, limit } => {
                        if let Some(backend) = &self.backend {
                            let entries = backend.entries(before, limit);
                            self.spawn(async move { Message::Entries(entries.await) });
                        }
                    }
                    Effect::SetPace(pace) => {
                        let set = self.backend.as_ref().map(|backend| backend.set_pace(pace));
                        if let Some(Err(sentence)) = set {
                            messages.push(Message::PaceRefused(sentence));
                        }
                    }
                    Effect::Copy(text) => self.copy(&text),
                    Effect::Bell => self.ring(),
                    Effect::Redraw => {
                        self.painter.forget();
                        self.pacing.demand();
                    }
                    Effect::Quit => {
                        return Some(if self.interrupted { Cause::Interrupted } else { Cause::Quit });
                    }
                }
            }
        }
        None
    }

    fn copy(&mut self, text: &str) {
        if let Some(bytes) = terminal::copy(text, self.multiplexer) {
            self.aside.extend(bytes);
        } else {
            tracing::warn!("{} bytes are too many for the terminal's clipboard", text.len());
            self.ring();
        }
    }

    fn ring(&mut self) {
        self.aside.push(b'\x07');
    }

    fn send(&mut self, order: Order) {
        let id = order.id.clone();
        self.unanswered.push(id.clone());
        let Some(backend) = &self.backend else {
            let result = Err(OrderError::NotSent("there is no backend".to_owned()));
            return self.spawn(async move { Message::OrderAnswered { order: id, result } });
        };
        let answer = backend.send(order);
        self.spawn(async move { Message::OrderAnswered { order: id, result: answer.await } });
    }

    fn spawn(&self, answer: impl Future<Output = TaskMessage> + Send + 'static) {
        let answers = self.answers.clone();
        task::spawn(async move {
            // The loop may have ended meanwhile.
            let _ = answers.send(answer.await);
        });
    }

    fn answer(&mut self, turn: Instant, answer: TaskMessage) -> Option<Cause> {
        if let Message::OrderAnswered { order, .. } = &answer {
            self.unanswered.retain(|id| id != order);
        }
        self.urgent(turn, answer)
    }

    fn updated(&mut self, update: Option<Update>, turn: Instant) -> Option<Cause> {
        let update = update.unwrap_or_else(|| {
            tracing::error!("the backend has closed its stream of updates");
            self.updates = None;
            Update::Link(Link::Lost { age: Millis::ZERO, why: None })
        });
        self.tell(self.real(turn), Message::Update(update))
    }

    /// The trainer's next line; without one it has ended.
    fn trained(&mut self, line: Option<TrainingLine>, turn: Instant) -> Option<Cause> {
        let Some(line) = line else { return Some(Cause::Finished) };
        self.tell(self.real(turn), Message::Training(line))
    }

    async fn typed(&mut self, Input { at, event }: Input) -> Option<Cause> {
        match event {
            TerminalEvent::Key(KeyEvent { kind: KeyEventKind::Release, .. })
            | TerminalEvent::FocusGained
            | TerminalEvent::FocusLost
            | TerminalEvent::Mouse(_) => None,
            TerminalEvent::Key(key)
                if key.code == KeyCode::Char('z') && key.modifiers == KeyModifiers::CONTROL =>
            {
                self.suspend().await
            }
            TerminalEvent::Key(key) => self.urgent(at, Message::Key(key)),
            TerminalEvent::Paste(text) => self.urgent(at, Message::Paste(text)),
            TerminalEvent::Resize(..) => self.resized(at),
        }
    }

    async fn hear(&mut self, event: Event, turn: Instant) -> Option<Cause> {
        match event {
            Event::End(ending) => Some(Cause::Ended(ending)),
            Event::Interrupt => {
                self.interrupted = true;
                let cause = self.urgent(turn, Message::Interrupt);
                self.interrupted = false;
                cause
            }
            Event::Suspend => self.suspend().await,
            // Somebody stopped the program without asking, and started it again: nothing is known of the terminal.
            Event::Continue => self.resume(),
        }
    }

    fn can_draw(&self) -> bool {
        self.writing == 0 && terminal::has_room(self.painter.size())
    }

    /// Draws if something has changed and its time has come; returns what else the terminal is to get.
    fn draw(&mut self) -> Option<Cause> {
        if self.writing > 0 {
            return None;
        }
        let now = Instant::now();
        let mut bytes = Vec::new();
        if self.can_draw() && self.pacing.draw_at(self.model.is_dirty()).is_some_and(|at| at <= now) {
            self.pacing.drawn(now);
            let spare = std::mem::take(&mut self.spare);
            match self.painter.paint(spare, |frame| view(&self.model, frame)) {
                Ok(painted) => bytes = painted,
                Err(error) => {
                    tracing::error!("a frame cannot be painted: {error}");
                    return Some(Cause::Ended(Ending::LinkLost));
                }
            }
            self.model.drawn();
        }
        bytes.append(&mut self.aside);
        if !bytes.is_empty() {
            self.writing += 1;
            self.terminal.write(bytes);
        }
        None
    }

    fn written(&mut self, terminal::Written { buffer, result }: terminal::Written) -> Option<Cause> {
        self.writing -= 1;
        self.spare = buffer;
        if let Err(error) = result {
            tracing::warn!("the terminal cannot be written: {error}");
            return Some(Cause::Ended(Ending::LinkLost));
        }
        None
    }

    /// Leaves the terminal, then waits a moment for orders that are under way: giving one and leaving at once must not
    /// take it back.
    async fn end(mut self, cause: Cause) -> Exit {
        let painted: Painted = self.painter.painted();
        drop(self.terminal);
        let mut late = Vec::new();
        let until = time::Instant::now() + ANSWER_GRACE;
        while !self.unanswered.is_empty() {
            match time::timeout_at(until, self.answered.recv()).await {
                Ok(Some(Message::OrderAnswered { order, result })) => {
                    self.unanswered.retain(|id| *id != order);
                    late.push((order, result));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        Exit { cause, late, unanswered: self.unanswered, painted }
    }
}

/// The next answer. The loop holds a sender itself, so the channel never closes.
async fn received(answered: &mut UnboundedReceiver<TaskMessage>) -> TaskMessage {
    match answered.recv().await {
        Some(answer) => answer,
        None => pending().await,
    }
}
