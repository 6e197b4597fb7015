//! The real backend as a process of its own: `knightwatch serve` in a folder of its own, on a port that was free.
#![allow(dead_code, reason = "each test uses its part")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use knightwatch::backend::{Backend, Remote, Target};

/// A running backend. Dropping it kills it.
pub(crate) struct Served {
    child: Child,
    folder: Arc<tempfile::TempDir>,
    url: String,
    arguments: Vec<String>,
}

impl Served {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), arguments)
    }

    pub(crate) fn start_in(folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        Self::start_as("test", folder, arguments)
    }

    /// One of another environment.
    pub(crate) fn start_as(environment: &str, folder: Arc<tempfile::TempDir>, arguments: &[&str]) -> Self {
        let mut child = command(folder.path())
            .env("KNIGHTWATCH_ENVIRONMENT", environment)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().expect("the backend says where it listens").unwrap();
        let url = first.split_whitespace().last().unwrap().to_owned();
        assert!(url.starts_with("http"), "{first}");
        // It may listen at other addresses too.
        let socket = lines.map(Result::unwrap).find(|line| line.starts_with("socket "));
        assert!(socket.is_some(), "and where its socket is");
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

    /// Sends a signal by its name, and waits until the process has ended.
    pub(crate) fn end(&mut self, signal: &str) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().unwrap();
        assert!(status.success());
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

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knightwatch"));
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
