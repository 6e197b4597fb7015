//! The real program as a child process, in a home of its own, with a deadline on everything that is waited for.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by several tests, each of which uses part of it"
)]

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Far longer than anything takes, so that a busy machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A home folder of its own, with nothing in it.
pub(crate) struct Home {
    folder: TempDir,
}

/// A journal's lines without their numbers and without those that say that the session was resumed.
pub(crate) fn uninterrupted(lines: &str) -> Vec<&str> {
    let lines = lines.lines().filter(|line| !line.contains("Session resumed, "));
    lines.map(|line| line.trim_start().split_once(' ').map_or(line, |(_, rest)| rest)).collect()
}

/// What a program that has ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        // In memory where that can be had: nothing here pulls the plug, and a disk makes everybody wait.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        Self { folder: folder.unwrap() }
    }

    /// A path in it.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Where sessions without a name of their own are kept.
    pub(crate) fn sessions(&self) -> PathBuf {
        self.path("state/knightwatch/sessions")
    }

    /// Every file in it, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
            let Ok(listing) = fs::read_dir(folder) else { return };
            for path in listing.map(|file| file.unwrap().path()) {
                if path.is_dir() { walk(&path, all) } else { all.push(path) }
            }
        }
        let mut all = Vec::new();
        walk(self.folder.path(), &mut all);
        all.sort();
        all
    }

    /// The program, with the words of `line` as its arguments.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(line.split_whitespace());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KNIGHTWATCH_") {
                command.env_remove(name);
            }
        }
        command
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("USER", "ada")
            .env("COLUMNS", "100")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The control room's program, for tests of another package: it stands beside the one that is tested.
    pub(crate) fn control_room(&self, line: &str) -> Command {
        let program = Path::new(PROGRAM).with_file_name("knightwatch");
        assert!(program.exists(), "{} is missing; cargo build makes it", program.display());
        let mut command = self.command(line);
        let mut other = Command::new(program);
        other.args(command.get_args()).current_dir(self.folder.path());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => other.env(name, value),
                None => other.env_remove(name),
            };
        }
        std::mem::swap(&mut command, &mut other);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, line: &str) -> Ended {
        ended(self.command(line).spawn().unwrap())
    }

    /// Runs the program with a path as the last argument.
    pub(crate) fn run_on(&self, line: &str, path: &Path) -> Ended {
        ended(self.command(line).arg(path).spawn().unwrap())
    }
}

/// The program of the package that is tested.
const PROGRAM: &str =
    match (option_env!("CARGO_BIN_EXE_knightwatch"), option_env!("CARGO_BIN_EXE_knightwatch-lab")) {
        (Some(program), _) | (None, Some(program)) => program,
        (None, None) => panic!("the package that is tested has neither program"),
    };

/// Waits for the end of a child, and kills it when it does not come.
pub(crate) fn ended(mut child: Child) -> Ended {
    fn read(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut from) = from {
                from.read_to_end(&mut bytes).unwrap();
            }
            String::from_utf8(bytes).unwrap()
        })
    }
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let begun = Instant::now();
    // Its output ends when it does, or shortly before.
    while !(out.is_finished() && err.is_finished()) {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it has not ended after {PATIENCE:?}");
        }
        thread::park_timeout(Duration::from_millis(2));
    }
    Ended { status: child.wait().unwrap(), out: out.join().unwrap(), err: err.join().unwrap() }
}

impl Ended {
    #[track_caller]
    pub(crate) fn status(&self, expected: i32) -> &Self {
        assert_eq!(self.status.code(), Some(expected), "{self:#?}");
        self
    }

    /// Ended well, and has nothing to complain about.
    #[track_caller]
    pub(crate) fn fine(&self) -> &Self {
        self.status(0);
        assert_eq!(self.err, "", "{self:#?}");
        self
    }

    /// Each line of its output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }
}
