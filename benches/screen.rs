//! What a frame costs: time with 10 000 flags, and bytes to the terminal for an update of 30.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark"
)]

#[path = "../tests/support/scene.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod scene;
#[path = "../tests/support/test_app.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod test_app;

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use divan::Bencher;
use knightwatch::tui::{Glyphs, view};
use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use scene::{scene, tick};
use test_app::{TestApp, settings};

const SIZE: Rect = Rect::new(0, 0, 200, 50);
/// Ticks over which bytes are averaged.
const TICKS: usize = 40;

fn main() {
    println!("bytes an update, 200x50, 30 flags, one new point each, mean of {TICKS}:");
    for (name, glyphs) in [("unicode", Glyphs::Unicode), ("ascii", Glyphs::Ascii)] {
        let (mean, worst) = bytes(glyphs);
        println!("  {name}: {mean} (worst {worst}; budget 1300)");
    }
    divan::main();
}

#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn terminal() -> (Terminal<CrosstermBackend<Counter>>, Counter) {
    let counter = Counter::default();
    let options = TerminalOptions { viewport: Viewport::Fixed(SIZE) };
    (Terminal::with_options(CrosstermBackend::new(counter.clone()), options).unwrap(), counter)
}

/// Mean and most bytes that one update writes to the terminal.
fn bytes(glyphs: Glyphs) -> (usize, usize) {
    let mut snapshot = scene(30);
    let mut app = TestApp::new(settings(glyphs), &snapshot);
    app.resize(SIZE.width, SIZE.height);
    let (mut terminal, counter) = terminal();
    terminal.draw(|frame| view(&app.model, frame)).unwrap();
    let mut worst = 0;
    let before = counter.0.load(Ordering::Relaxed);
    for _ in 0..TICKS {
        let last = counter.0.load(Ordering::Relaxed);
        app.change(tick(&mut snapshot));
        terminal.draw(|frame| view(&app.model, frame)).unwrap();
        worst = worst.max(counter.0.load(Ordering::Relaxed) - last);
    }
    ((counter.0.load(Ordering::Relaxed) - before) / TICKS, worst)
}

#[divan::bench(args = [30, 1_000, 10_000])]
fn frame(bencher: Bencher, flags: u64) {
    let mut app = TestApp::new(settings(Glyphs::Unicode), &scene(flags));
    app.resize(SIZE.width, SIZE.height).press("G");
    let (mut terminal, _) = terminal();
    bencher.bench_local(|| terminal.draw(|frame| view(&app.model, frame)).map(|_| ()).unwrap());
}

#[divan::bench(args = [30, 1_000, 10_000])]
fn take_a_tick(bencher: Bencher, flags: u64) {
    let mut snapshot = scene(flags);
    let mut app = TestApp::new(settings(Glyphs::Unicode), &snapshot);
    let change = tick(&mut snapshot);
    bencher.bench_local(|| app.change(change.clone()));
}
