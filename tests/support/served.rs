//! The real backend as a process of its own: `knightwatch serve` in a folder of its own, on a port that was free.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use knightwatch_engine::backend::{Backend, Remote, Target};

/// Far longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something holds; `what` it is.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// A running backend. Dropping it kills it.
pub(crate) struct Served {
    child: Child,
    folder: Arc<tempfile::TempDir>,
    url: String,
    arguments: Vec<String>,
}

impl Served {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(folder(), arguments)
    }

    pub(crate) fn start_in(folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        let program = command(folder.path());
        Self::start_by(program, folder, arguments)
    }

    /// One of another environment.
    pub(crate) fn start_as(environment: &str, folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        let mut program = command(folder.path());
        program.env("KNIGHTWATCH_ENVIRONMENT", environment);
        Self::start_by(program, folder, arguments)
    }

    /// The program through something else, or in other surroundings: `program` is what `folder`'s command was made into.
    pub(crate) fn start_by(mut program: Command, folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // One line for each address, and the socket's after them: the last address is the one that a test has named.
        let mut url = String::new();
        loop {
            let line = lines.next().expect("the backend says where it listens").unwrap();
            if line.starts_with("socket ") {
                break;
            }
            line.split_whitespace().last().unwrap().clone_into(&mut url);
            assert!(url.starts_with("http"), "{line}");
        }
        Self { child, folder, url, arguments: arguments.iter().map(ToString::to_string).collect() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder, to start another one in it.
    pub(crate) fn shared(&self) -> Arc<tempfile::TempDir> {
        Arc::clone(&self.folder)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder().join("backend/journal.knightwatch")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join("knightwatch.sock")
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.folder().join("local-token")).unwrap()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// A control room's end of the line, with the state folder's own token.
    pub(crate) fn backend(&self) -> Arc<dyn Backend> {
        let target = Target::parse(&self.url, "a test").unwrap().with_token(Some(self.token()));
        Arc::new(Remote::connect(&target).unwrap())
    }

    /// This program's command line in the backend's surroundings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.folder());
        command.args(arguments).env("KNIGHTWATCH_URL", &self.url);
        command
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Sends a signal by its name, and waits until the process has ended.
    pub(crate) fn end(&mut self, signal: &str) -> std::process::ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }

    /// Kills the process and starts it again in the same folder.
    pub(crate) fn killed_and_started_again(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let folder = Arc::clone(&self.folder);
        let arguments = std::mem::take(&mut self.arguments);
        Self::start_in(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of its own: in memory where that can be had, since nothing here pulls the plug, and a disk that others use may
/// take seconds to answer.
pub(crate) fn folder() -> Arc<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    Arc::new(folder.unwrap())
}

/// This program, in surroundings of its own.
pub(crate) fn command(folder: &Path) -> Command {
    surrounded(Command::new(env!("CARGO_BIN_EXE_knightwatch")), folder)
}

/// Another program in the same surroundings.
pub(crate) fn surrounded(mut command: Command, folder: &Path) -> Command {
    command
        .env_clear()
        .env("KNIGHTWATCH_STATE", folder)
        .env("KNIGHTWATCH_ENVIRONMENT", "test")
        .env("KNIGHTWATCH_LOG", "warn")
        .env("USER", "tester")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder);
    command
}
