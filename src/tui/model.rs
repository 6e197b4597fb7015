//! The least control room: one line a flag.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyModifiers};
use ratatui::{
    Frame,
    style::{Color, Modifier, Style},
    text::Line,
    widgets::Paragraph,
};

use super::{Effect, Message, Palette, Real, Settings};
use crate::{
    backend::{Snapshot, Update},
    control::{Actor, Command, Order, OrderId},
    flag,
};

/// What is on the screen.
#[derive(Debug)]
pub struct Model {
    settings: Settings,
    snapshot: Option<Arc<Snapshot>>,
    said: String,
    orders: u64,
    dirty: bool,
}

impl Model {
    /// Nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, snapshot: None, said: String::new(), orders: 0, dirty: true }
    }

    /// Never.
    #[must_use]
    pub fn wake_at(&self) -> Option<Real> {
        None
    }

    /// Whether something has changed.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// It was drawn.
    pub fn drawn(&mut self) {
        self.dirty = false;
    }
}

/// What a message changes.
pub fn update(model: &mut Model, _now: Real, message: Message) -> Vec<Effect> {
    model.dirty = true;
    match message {
        Message::Update(Update::Snapshot(snapshot)) => model.snapshot = Some(snapshot),
        Message::Key(key) => match (key.code, key.modifiers) {
            (KeyCode::Char('q'), _) => return vec![Effect::Quit],
            (KeyCode::Char('l'), KeyModifiers::CONTROL) => return vec![Effect::Redraw],
            (KeyCode::Char('y'), _) => return vec![Effect::Copy("foo".to_owned()), Effect::Bell],
            (KeyCode::Char('k' | 'x'), KeyModifiers::CONTROL) => model.said = "KILL ALL?".to_owned(),
            (KeyCode::Char('K' | 'p'), _) => {
                model.orders += 1;
                return vec![Effect::Send(Order {
                    id: OrderId(format!("{}-{}", model.settings.order_prefix, model.orders)),
                    actor: Actor::Person(model.settings.operator.clone()),
                    reason: String::new(),
                    command: Command::KillAll,
                })];
            }
            _ => model.said = format!("{:?}", key.code),
        },
        Message::Interrupt => return vec![Effect::Quit],
        Message::Paste(text) => model.said = format!("pasted {}", text.len()),
        Message::Answer { result, .. } => model.said = format!("{result:?}"),
        _ => {}
    }
    Vec::new()
}

/// Draws it.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let style = match model.settings.palette {
        Palette::Colour => Style::new().fg(Color::Blue),
        Palette::Monochrome => Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
    };
    let mut lines = vec![Line::styled("fleet", style), Line::raw(&*model.said)];
    if let Some(snapshot) = &model.snapshot {
        lines.push(Line::raw(flag::clean(&snapshot.environment)));
        lines.push(Line::styled(flag::clean(&snapshot.alarms[0].text), style));
        for flag in &snapshot.flags {
            lines.push(Line::raw(format!("{} {}", flag.spec.key, flag.rollout)));
        }
    }
    frame.render_widget(Paragraph::new(lines), frame.area());
}
