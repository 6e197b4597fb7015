//! The real backend as a child process on a port of its own, and a client that speaks to it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::Once,
    time::Instant,
};

use knightwatch::server::TokenFile;
use knightwatch_core::control::Scope;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::command::{Home, PATIENCE};

/// A second's intervals, so that a test is over soon; nobody waits for caches.
pub(crate) const SETTINGS: &str = r#"
environment = "test"
[telemetry]
lateness = "250 ms"
[control]
interval = "1 s"
[control.evidence]
warmup = "0 s"
[control.shield]
dwell = "1 s"
stale_after = "5 s"
lost_deadline = "60 s"
"#;

/// A backend that runs.
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
    client: Client,
    token: String,
}

/// A home with settings for a backend.
pub(crate) fn home() -> Home {
    let home = Home::new();
    home.file("settings.toml", SETTINGS);
    home
}

impl Served {
    /// Starts `knightwatch serve` with more arguments, and waits until it says where it listens.
    pub(crate) fn start(home: &Home, more: &str) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Another test of this process may have installed it.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let line = format!("--config settings.toml serve --listen 127.0.0.1:0 --socket backend.sock {more}");
        let mut child = home.command(&line).stderr(Stdio::inherit()).spawn().unwrap();
        let mut said = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let url = loop {
            said.clear();
            assert!(out.read_line(&mut said).unwrap() > 0, "it ended before it listened");
            if let Some((_, url)) = said.trim().split_once(" serves ") {
                break url.to_owned();
            }
        };
        std::thread::spawn(move || out.lines().for_each(drop));
        let token = std::fs::read_to_string(home.path("state/knightwatch/local-token")).unwrap();
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { child, url, client, token: token.trim().to_owned() }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    /// A request with another token.
    pub(crate) fn as_another(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(token)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    /// Posts JSON and expects success.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> impl Future<Output = Value> + use<> {
        let sent = self.request(Method::POST, path).json(body).send();
        let path = path.to_owned();
        async move {
            let response: Response = sent.await.unwrap();
            let status = response.status();
            let answer: Value = response.json().await.unwrap();
            assert_eq!(status, StatusCode::OK, "{path}: {answer}");
            answer
        }
    }

    pub(crate) async fn flag(&self, key: &str) -> Value {
        self.get(&format!("/api/v1/flags/{key}")).await
    }

    pub(crate) async fn create(&self, key: &str, deployment: Value) {
        let body = json!({"key": key, "service": "shop", "deployment": deployment});
        self.post("/api/v1/flags", &body).await;
    }

    /// Asks again whenever something has changed, until `enough` says so.
    pub(crate) async fn until(&self, path: &str, enough: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        // Something is on it at least each 800 ms.
        let mut events = self.request(Method::GET, "/api/v1/events").send().await.unwrap();
        loop {
            let found = self.get(path).await;
            if enough(&found) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} is still {found:#}");
            events.chunk().await.unwrap().expect("the stream has no end");
        }
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The secret of a new token in a home where a backend will start.
pub(crate) fn token(home: &Home, scope: Scope) -> String {
    let folder = home.path("state/knightwatch");
    std::fs::create_dir_all(&folder).unwrap();
    TokenFile::in_folder(&folder).create("deploy-bot", &[scope], None).unwrap().1
}
