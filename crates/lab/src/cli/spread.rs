//! Many jobs over all cores, with a progress line. What comes out does not depend on how many cores there are.

use std::{
    io::{IsTerminal, Write, stderr},
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Does the jobs from 0 to `all` and returns what each gave, in their order. `what` is what they are called, in the plural.
pub(super) fn spread<T: Send>(
    all: usize,
    threads: Option<u16>,
    what: &'static str,
    job: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    let threads = threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
    let next = AtomicUsize::new(0);
    let progress = Progress { all, what, done: Mutex::new(0), shown: stderr().is_terminal() };
    let work = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= all {
                return results;
            }
            results.push((index, job(index)));
            progress.step();
        }
    };
    let mut results: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(all)).map(|_| scope.spawn(work)).collect();
        let done =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        done.flatten().collect()
    });
    progress.clear();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// How far it is, on the terminal's last line; nothing where there is no terminal.
struct Progress {
    all: usize,
    what: &'static str,
    done: Mutex<usize>,
    shown: bool,
}

impl Progress {
    fn step(&self) {
        // Held while it is drawn, so that a lower number never comes after a higher one.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += 1;
        let per_mille = |done: usize| done * 1_000 / self.all.max(1);
        if self.shown && per_mille(*done) != per_mille(*done - 1) {
            let width = 30;
            let full = *done * width / self.all.max(1);
            let bar = format!("{}{}", "#".repeat(full), " ".repeat(width - full));
            let mut out = stderr();
            // A progress line that cannot be written is no reason to stop.
            let _ = write!(out, "\r[{bar}] {done} of {} {}", self.all, self.what);
            let _ = out.flush();
        }
    }

    fn clear(&self) {
        if self.shown {
            let mut out = stderr();
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }
}
