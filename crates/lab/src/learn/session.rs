//! A training with its files: the log, the checkpoint and the best weights in one folder, so that it can be watched, stopped
//! and resumed. Who watches is decided outside; here lines are written down and told.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{LearnError, Run, TrainingConfig};
use knightwatch_agent::{
    CHOICES, FEATURE_COUNT, HIDDEN, PolicyName, schema_hash,
    training::{
        EndReason, Opponent, TRAINING_FORMAT, TrainingBudget, TrainingEnd, TrainingHeader, TrainingLine,
        TrainingLog,
    },
};
use knightwatch_sim::Family;

/// Seconds between two checkpoints where no validation comes first.
const CHECKPOINT_EVERY: f64 = 60.0;

/// Whom the agent is measured against while it learns.
const OPPONENTS: [PolicyName; 4] =
    [PolicyName::RULE, PolicyName::SCHEDULE, PolicyName::FLAGGER, PolicyName::SHIELD_ALONE];

/// See the module.
pub struct Session {
    run: Run,
    folder: PathBuf,
    log: TrainingLog,
    file: File,
    saved_at: f64,
}

impl Session {
    /// Begins a training in `folder`, which must not hold one. `when` is the time for people. Measures the opponents
    /// first.
    ///
    /// # Errors
    /// A folder that holds a training or cannot be written; settings out of range.
    pub fn begin(config: TrainingConfig, folder: &Path, when: &str) -> Result<Self, LearnError> {
        let checkpoint = checkpoint(folder);
        let files = [checkpoint.clone(), log_file(folder), weights_file(folder)];
        if let Some(path) = files.into_iter().find(|file| file.exists()) {
            let detail =
                "a training exists here: resume it with --resume, or choose another folder with --out";
            return Err(LearnError::Checkpoint { path, detail: detail.to_owned() });
        }
        fs::create_dir_all(folder).map_err(|source| LearnError::io("make", folder, source))?;
        let mut run = Run::new(config)?;
        let header = header(&mut run, when);
        let log = TrainingLog::new(header);
        let file = write_log(&log, folder)?;
        let session = Self { run, folder: folder.to_owned(), log, file, saved_at: 0.0 };
        session.run.save(&checkpoint)?;
        Ok(session)
    }

    /// Resumes the training in `folder`. What the log has beyond the checkpoint is done again.
    ///
    /// # Errors
    /// No training there, one of other settings or another version, or files that cannot be read or written.
    pub fn resume(config: TrainingConfig, folder: &Path) -> Result<Self, LearnError> {
        let mut run = Run::resume(config, &checkpoint(folder))?;
        let path = log_file(folder);
        let text = fs::read_to_string(&path).map_err(|source| LearnError::io("read", &path, source))?;
        let mut log = TrainingLog::parse(&text)
            .map_err(|error| LearnError::Settings {
                place: path.display().to_string(),
                detail: error.to_string(),
            })?
            .log;
        log.points.retain(|point| point.iteration <= run.iteration());
        log.end = None;
        for opponent in &log.header.opponents {
            run.compare_with(opponent.harm);
        }
        let file = write_log(&log, folder)?;
        let saved_at = run.seconds();
        Ok(Self { run, folder: folder.to_owned(), log, file, saved_at })
    }

    /// The log so far.
    #[must_use]
    pub const fn log(&self) -> &TrainingLog {
        &self.log
    }

    /// The run.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Trains until the budget is used up, nothing has become better for long, or `stop` is set; `tell` gets every
    /// line. The last checkpoint and the best weights are on disk then.
    ///
    /// # Errors
    /// An optimisation that runs off, or a file that cannot be written: the last checkpoint stays.
    pub fn train(
        &mut self,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(&TrainingLine),
    ) -> Result<EndReason, LearnError> {
        let reason = loop {
            if let Some(reason) = self.over(stop) {
                break reason;
            }
            let mut point = self.run.iterate()?;
            if point.validation.is_none() && self.over(stop).is_some() {
                // What was learnt since the last validation is not left out.
                point.validation = Some(self.run.validate_now());
                point.seconds = self.run.seconds();
            }
            let validated = point.validation;
            self.note(TrainingLine::Point(point), tell)?;
            if validated.is_some_and(|validation| validation.best) {
                self.write_best()?;
            }
            if validated.is_some() || self.run.seconds() - self.saved_at >= CHECKPOINT_EVERY {
                self.save()?;
            }
        };
        self.save()?;
        let end = TrainingEnd {
            best_iteration: self.run.best().map(|best| best.iteration),
            reason,
            seconds: self.run.seconds(),
        };
        self.note(TrainingLine::End(end), tell)?;
        Ok(reason)
    }

    /// Why there is no further iteration; `None` where there is one.
    fn over(&self, stop: &AtomicBool) -> Option<EndReason> {
        let config = self.run.config();
        if stop.load(Ordering::Relaxed) {
            return Some(EndReason::Stopped);
        }
        if self.run.steps() >= config.ppo.total_steps || self.run.seconds() >= config.seconds {
            return Some(EndReason::Budget);
        }
        let given_up = self.run.best().is_some_and(|best| best.since >= config.patience);
        given_up.then_some(EndReason::EarlyStop)
    }

    /// Writes a line down, then tells it.
    fn note(&mut self, line: TrainingLine, tell: &mut dyn FnMut(&TrainingLine)) -> Result<(), LearnError> {
        let path = log_file(&self.folder);
        let mut text = line.to_json();
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|source| LearnError::io("write", &path, source))?;
        tell(&line);
        self.log
            .push(line)
            .map_err(|detail| LearnError::Settings { place: path.display().to_string(), detail })
    }

    fn save(&mut self) -> Result<(), LearnError> {
        self.run.save(&checkpoint(&self.folder))?;
        self.saved_at = self.run.seconds();
        Ok(())
    }

    /// The best weights, beside the old ones first and then in their place.
    fn write_best(&self) -> Result<(), LearnError> {
        let Some(best) = self.run.best() else { return Ok(()) };
        let path = weights_file(&self.folder);
        let bytes =
            best.weights.to_bytes().map_err(|error| LearnError::Weights { detail: error.to_string() })?;
        replace(&path, &bytes).map_err(|source| LearnError::io("write", &path, source))
    }
}

/// The best weights of the training in `folder`.
#[must_use]
pub fn weights_file(folder: &Path) -> PathBuf {
    folder.join("ppo-master.safetensors")
}

/// The log of the training in `folder`.
#[must_use]
pub fn log_file(folder: &Path) -> PathBuf {
    folder.join("training.jsonl")
}

fn checkpoint(folder: &Path) -> PathBuf {
    folder.join("checkpoint")
}

fn header(run: &mut Run, when: &str) -> TrainingHeader {
    let opponents = OPPONENTS
        .into_iter()
        .map(|name| {
            let score = run.opponent(name);
            Opponent { name: name.to_string(), harm: score.harm, cost: score.cost }
        })
        .collect();
    let config = run.config();
    let settings = match serde_json::to_value(config) {
        Ok(serde_json::Value::Object(settings)) => settings,
        Ok(_) | Err(_) => serde_json::Map::new(),
    };
    TrainingHeader {
        format: TRAINING_FORMAT,
        when: when.to_owned(),
        seed: config.seed,
        schema: schema_hash(),
        network: vec![FEATURE_COUNT, HIDDEN, HIDDEN, CHOICES],
        settings,
        budget: TrainingBudget { seconds: Some(config.seconds), steps: Some(config.ppo.total_steps) },
        families: Family::TRAINING.iter().map(ToString::to_string).collect(),
        opponents,
        harm_unit: "points a flag".to_owned(),
        note: None,
    }
}

/// Rewrites the whole log and leaves it open for what follows.
fn write_log(log: &TrainingLog, folder: &Path) -> Result<File, LearnError> {
    let path = log_file(folder);
    let fault = |source| LearnError::io("write", &path, source);
    replace(&path, log.to_text().as_bytes()).map_err(fault)?;
    OpenOptions::new().append(true).open(&path).map_err(fault)
}

/// Writes a file beside the old one, syncs it, and puts it in its place.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        // What is half written would only be in the way; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&beside);
    }
    placed
}
