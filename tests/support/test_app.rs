//! A control room without a terminal: messages in, text of the screen and orders out.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use knightwatch::tui::{Effect, Glyphs, Message, Model, Real, Settings, update, view};
use knightwatch_core::control::{Order, OrderId, Seq};
use knightwatch_engine::backend::{Ack, Change, FlagsOff, Link, OrderError, Snapshot, Update};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};

pub struct TestApp {
    pub model: Model,
    pub now: u64,
    pub effects: Vec<Effect>,
}

pub fn settings(glyphs: Glyphs) -> Settings {
    Settings {
        operator: "maria".to_owned(),
        glyphs,
        order_prefix: "run7".to_owned(),
        elsewhere: "knightwatch kill-all --yes --env demo".to_owned(),
        bell: true,
        briefing: true,
        ..Settings::default()
    }
}

impl TestApp {
    pub fn new(settings: Settings, snapshot: &Snapshot) -> Self {
        let mut app = Self { model: Model::new(settings), now: 1_000, effects: Vec::new() };
        app.tell(Message::Update(Update::Link(Link::Connected)));
        app.tell(Message::Update(Update::Snapshot(Arc::new(snapshot.clone()))));
        app.effects.clear();
        app
    }

    pub fn tell(&mut self, message: Message) {
        let effects = update(&mut self.model, Real(self.now), message);
        self.effects.extend(effects);
    }

    pub fn change(&mut self, change: Change) {
        self.tell(Message::Update(Update::Change(Arc::new(change))));
    }

    pub fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) {
        self.tell(Message::Key(KeyEvent::new_with_kind(code, modifiers, KeyEventKind::Press)));
    }

    /// Keys by name, separated by spaces: `j G C-k Enter Esc F5`; a word in quotes is typed letter by letter.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        for name in keys.split(' ') {
            if let Some(text) = name.strip_prefix('\'') {
                for letter in text.chars() {
                    self.key(KeyCode::Char(if letter == '_' { ' ' } else { letter }), KeyModifiers::NONE);
                }
                continue;
            }
            let mut letters = name.chars();
            let code = match name {
                "Enter" => KeyCode::Enter,
                "Esc" => KeyCode::Esc,
                "Tab" => KeyCode::Tab,
                "BackTab" => KeyCode::BackTab,
                "Down" => KeyCode::Down,
                "Up" => KeyCode::Up,
                "PgDn" => KeyCode::PageDown,
                "PgUp" => KeyCode::PageUp,
                "Space" => KeyCode::Char(' '),
                "Backspace" => KeyCode::Backspace,
                _ if name.starts_with("C-") => {
                    self.key(KeyCode::Char(letters.nth(2).unwrap()), KeyModifiers::CONTROL);
                    continue;
                }
                _ if name.starts_with('F') && name.len() > 1 => KeyCode::F(name[1..].parse().unwrap()),
                _ => KeyCode::Char(letters.next().unwrap()),
            };
            self.key(code, KeyModifiers::NONE);
        }
        self
    }

    pub fn wait(&mut self, milliseconds: u64) -> &mut Self {
        self.now += milliseconds;
        self
    }

    pub fn wake(&mut self) -> &mut Self {
        self.tell(Message::Wake);
        self
    }

    pub fn resize(&mut self, width: u16, height: u16) -> &mut Self {
        self.tell(Message::Resize(width, height));
        self
    }

    /// Orders given since the last time it was asked.
    pub fn orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.effects)
            .into_iter()
            .filter_map(|effect| if let Effect::Send(order) = effect { Some(order) } else { None })
            .collect()
    }

    pub fn answer(&mut self, order: &OrderId, result: Result<Ack, OrderError>) {
        self.tell(Message::OrderAnswered { order: order.clone(), result });
    }

    pub fn buffer(&self, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view(&self.model, frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The screen's text, a line a row, without trailing spaces.
    pub fn text(&mut self, width: u16, height: u16) -> String {
        self.resize(width, height);
        text(&self.buffer(width, height))
    }
}

pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer.cell((x, y)).unwrap().symbol();
            line.push_str(symbol);
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol).max(1)).unwrap();
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

pub fn ack(done: &str) -> Ack {
    Ack { seq: Seq(112), done: vec![done.to_owned()], warnings: Vec::new(), durable: true, flags_off: None }
}

/// The answer to a kill-all that left so many of the 12 flags at 0 %.
pub fn kill_ack(off: u32) -> Ack {
    let flags_off = Some(FlagsOff { off, of: 12 });
    Ack { flags_off, ..ack("KILL-ALL: every flag off (9 had traffic, 12 in all)") }
}
