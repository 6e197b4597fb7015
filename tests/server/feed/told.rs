//! A little HTTP server that webhooks are told to: it takes nothing until it is told to, and keeps what it took.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::sync::watch;

/// What came, and how it is answered.
pub(crate) struct Ear {
    pub(crate) url: String,
    shared: Arc<Shared>,
    heard: watch::Receiver<usize>,
}

struct Shared {
    /// How many are still refused.
    refuse: AtomicUsize,
    refused: AtomicUsize,
    taken: Mutex<Vec<(HeaderMap, String)>>,
    heard: watch::Sender<usize>,
}

impl Ear {
    /// One that refuses so many requests first.
    pub(crate) async fn open(refuse: usize) -> Self {
        let (sender, heard) = watch::channel(0);
        let shared = Arc::new(Shared {
            refuse: AtomicUsize::new(refuse),
            refused: AtomicUsize::new(0),
            taken: Mutex::default(),
            heard: sender,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(hear)).with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared, heard }
    }

    pub(crate) fn take_everything(&self) {
        self.shared.refuse.store(0, Ordering::SeqCst);
    }

    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// What was taken, with the headers.
    pub(crate) fn taken(&self) -> Vec<(HeaderMap, String)> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// What was taken, as JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.taken().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }

    /// Waits until `enough` is true; looks again whenever something comes.
    pub(crate) async fn until(&self, enough: impl Fn(&Self) -> bool) {
        let mut heard = self.heard.clone();
        let wait = async {
            loop {
                heard.mark_unchanged();
                if enough(self) {
                    return;
                }
                heard.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(crate::support::command::PATIENCE, wait).await;
        assert!(waited.is_ok(), "refused {}, taken {:#?}", self.refused(), self.events());
    }
}

async fn hear(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let less = |left: usize| left.checked_sub(1);
    let refused = shared.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok();
    let status = if refused {
        shared.refused.fetch_add(1, Ordering::SeqCst);
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        shared.taken.lock().unwrap().push((headers, String::from_utf8(body.to_vec()).unwrap()));
        StatusCode::OK
    };
    shared.heard.send_modify(|count| *count += 1);
    status
}
