//! Telling webhooks what is journalled: each in the journal's order, again and again until it is taken, across restarts.
//!
//! The journal itself is the outbox: an entry is in it, durable, before anybody is told, and of each hook only the number of the
//! last entry that it took is kept, in a small file beside the journal. An entry may be told twice (after a crash between the
//! answer and that file); its event's id is the same then. One hook's trouble holds up no other, and never the engine.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Client, StatusCode, Url, redirect};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::state::ServerState;
use crate::{
    control::{Entry, Seq},
    engine::wall_clock,
    integrations::{HookFormat, signature, use_ring},
    store::{Journal, StoreError},
};

/// How long a hook may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause after a failure: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Entries read at a time.
const PAGE: usize = 200;

/// What is older than this is no news any more.
const STALE: Duration = Duration::from_hours(24);

/// Somebody to be told.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// Where.
    pub url: Url,
    /// How.
    pub format: HookFormat,
    /// Of which kinds; of all where empty.
    pub kinds: Vec<String>,
    /// What it is signed with.
    pub secret: Option<Vec<u8>>,
}

impl Hook {
    fn wants(&self, entry: &Entry) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == entry.event.kind())
    }
}

/// Where each hook has got to.
struct Places {
    path: PathBuf,
    by_name: Mutex<BTreeMap<String, u64>>,
}

impl Places {
    fn open(path: PathBuf) -> io::Result<Self> {
        let by_name = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, by_name: Mutex::new(by_name) })
    }

    fn get(&self, name: &str) -> Option<u64> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// On the disk when it returns.
    fn set(&self, name: &str, seq: u64) -> io::Result<()> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name.to_owned(), seq);
        let fresh = self.path.with_extension("json.new");
        let mut file = fs::File::create(&fresh)?;
        io::Write::write_all(&mut file, serde_json::to_string(&*by_name)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

impl ServerState {
    /// Tells `hooks` what is in the journal at `journal`, from where each has got to (a new one: from here on), until `ending`.
    /// Runs on the runtime that it is called on; gives the tasks, which hold this state until they end.
    ///
    /// # Errors
    /// When it is not known where they have got to, or there is no client.
    pub fn tell(
        self: &Arc<Self>,
        hooks: Vec<Hook>,
        journal: &Path,
        ending: &CancellationToken,
    ) -> io::Result<Vec<JoinHandle<()>>> {
        let mut tasks = Vec::with_capacity(hooks.len());
        if hooks.is_empty() {
            return Ok(tasks);
        }
        let places = Arc::new(Places::open(journal.with_file_name("webhooks.json"))?);
        use_ring();
        // Another address than the one that was configured is told nothing.
        let client = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).build();
        let client = client.map_err(io::Error::other)?;
        for hook in hooks {
            if places.get(&hook.name).is_none() {
                let here = self.hub.room().map_or(0, |room| room.seq.0);
                places.set(&hook.name, here)?;
            }
            let teller = Teller {
                state: Arc::clone(self),
                hook,
                client: client.clone(),
                places: Arc::clone(&places),
                journal: journal.to_owned(),
            };
            let ending = ending.clone();
            tasks.push(tokio::spawn(async move {
                tokio::select! {
                    () = ending.cancelled() => {}
                    () = teller.run() => {}
                }
            }));
        }
        Ok(tasks)
    }
}

/// Tells one hook.
struct Teller {
    state: Arc<ServerState>,
    hook: Hook,
    client: Client,
    places: Arc<Places>,
    journal: PathBuf,
}

impl Teller {
    async fn run(self) {
        let mut news = self.state.hub.news();
        let mut place = self.places.get(&self.hook.name).unwrap_or_default();
        loop {
            news.mark_unchanged();
            let entries = match self.read(place).await {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!("webhook {}: {error}", self.hook.name);
                    tokio::time::sleep(LONGEST_PAUSE).await;
                    continue;
                }
            };
            let full = entries.len() == PAGE;
            for entry in entries {
                if self.hook.wants(&entry) {
                    self.deliver(&entry).await;
                }
                place = entry.seq.0;
                if let Err(error) = self.places.set(&self.hook.name, place) {
                    // It goes on; after a restart some entries are told again.
                    tracing::warn!("webhook {}: {}: {error}", self.hook.name, self.places.path.display());
                }
            }
            if !full && news.changed().await.is_err() {
                return;
            }
        }
    }

    /// The entries above `place` that are on the disk.
    async fn read(&self, place: u64) -> Result<Vec<Entry>, StoreError> {
        // Nothing new is known from memory, without a look at the disk.
        if self.state.hub.room().is_some_and(|room| room.seq.0 <= place) {
            return Ok(Vec::new());
        }
        let path = self.journal.clone();
        let read = move || Journal::open_read_only(&path)?.entries(Seq(place + 1).., PAGE);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// Tells one entry, until it is taken, refused for good, or no news any more.
    async fn deliver(&self, entry: &Entry) {
        let environment = self.state.hub.room().map_or_else(String::new, |room| room.environment.clone());
        let body = self.hook.format.body(&environment, entry);
        let begun = Instant::now();
        let mut pauses = pauses();
        loop {
            let why = match self.send(&body).await {
                Ok(status) if status.is_success() => return,
                Ok(status) if is_final(status) => {
                    tracing::error!("webhook {}: it does not take {}: {status}", self.hook.name, entry.seq);
                    return;
                }
                Ok(status) => status.to_string(),
                // Without the address, which may hold a secret.
                Err(error) => error.without_url().to_string(),
            };
            if begun.elapsed() > STALE {
                tracing::error!("webhook {}: {} is given up after a day: {why}", self.hook.name, entry.seq);
                return;
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            tracing::warn!(
                "webhook {}: {} was not taken ({why}); again in {pause:?}",
                self.hook.name,
                entry.seq
            );
            tokio::time::sleep(pause).await;
        }
    }

    async fn send(&self, body: &str) -> reqwest::Result<StatusCode> {
        let mut request = self.client.post(self.hook.url.clone());
        request = request.header("content-type", self.hook.format.content_type());
        let seconds = wall_clock().0 / 1_000;
        if let Some(signed) = self.hook.secret.as_ref().and_then(|secret| signature(secret, seconds, body)) {
            request = request.header("knightwatch-signature", signed);
        }
        Ok(request.body(body.to_owned()).send().await?.status())
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Whether sending the same again would be answered the same.
fn is_final(status: StatusCode) -> bool {
    let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !again.contains(&status)
}
