//! Telling webhooks what is journalled: each in the journal's order, again and again until it is taken, across restarts.
//!
//! The journal itself is the outbox: an entry is in it, durable, before anybody is told, and of each hook only the number of the
//! last entry that it took is kept, with the chain's hash there, in a small file beside the journal. An entry may be told twice
//! (after a crash between the answer and that file); its event's id is the same then. Where the journal is another one than was
//! told from, because a backup was restored, telling begins at its head. One hook's trouble holds up no other, and never the
//! engine; one that takes nothing for too long is given up as a whole.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Client, StatusCode, Url, redirect};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::state::ServerState;
use knightwatch_connect::{HookFormat, signature, use_ring};
use knightwatch_core::control::{Entry, Seq};
use knightwatch_engine::wall_clock;
use knightwatch_store::{Hash, Head, Journal, StoreError};

/// How long a hook may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause after a failure: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Entries read at a time.
const PAGE: u64 = 200;

/// Digits of the chain's hash that tell one history's event from another's of the same number.
const MARK: usize = 16;

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
    /// For how long it may take nothing until what waits for it is given up.
    pub patience: Duration,
}

impl Hook {
    fn wants(&self, entry: &Entry) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == entry.event.kind())
    }
}

/// Where each hook has got to.
struct WebhookCursors {
    path: PathBuf,
    by_name: Mutex<BTreeMap<String, WebhookCursor>>,
}

/// Where a hook has got to: the head of the chain at the last entry that it was told.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum WebhookCursor {
    Known(Noted),
    /// As it was noted before hashes were.
    Number(u64),
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Noted {
    seq: u64,
    hash: Hash,
}

impl WebhookCursors {
    fn open(path: PathBuf) -> io::Result<Self> {
        let by_name = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, by_name: Mutex::new(by_name) })
    }

    /// Where to go on telling from `journal`: where the hook has got to in it, and the head for a new hook, or one that was
    /// told from another journal.
    fn begin(&self, name: &str, journal: &Journal) -> Result<Head, StoreError> {
        let cursor = self.by_name.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        let there = match cursor {
            None => return Ok(journal.head()),
            Some(WebhookCursor::Number(seq)) => journal.head_at(Seq(seq))?,
            Some(WebhookCursor::Known(Noted { seq, hash })) => {
                journal.head_at(Seq(seq))?.filter(|there| there.hash == hash)
            }
        };
        Ok(there.unwrap_or_else(|| {
            let head = journal.head();
            tracing::warn!(
                "webhook {name}: the journal is not the one that it was told from (a backup was restored?); it is told \
                 what comes after {}",
                head.seq
            );
            head
        }))
    }

    /// On the disk when it returns.
    fn set(&self, name: &str, head: Head) -> io::Result<()> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name.to_owned(), WebhookCursor::Known(Noted { seq: head.seq.0, hash: head.hash }));
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
        let cursors = Arc::new(WebhookCursors::open(journal.with_file_name("webhooks.json"))?);
        let file = Journal::open_read_only(journal).map_err(io::Error::other)?;
        use_ring();
        // Another address than the one that was configured is told nothing.
        let client = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).build();
        let client = client.map_err(io::Error::other)?;
        for hook in hooks {
            let begin = cursors.begin(&hook.name, &file).map_err(io::Error::other)?;
            cursors.set(&hook.name, begin)?;
            let teller = Teller {
                begin,
                state: Arc::clone(self),
                hook,
                client: client.clone(),
                cursors: Arc::clone(&cursors),
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
    cursors: Arc<WebhookCursors>,
    journal: PathBuf,
    /// The last entry that it need not be told.
    begin: Head,
}

/// A hook that takes nothing.
struct Failing {
    since: Instant,
    /// The first entry that it did not take.
    first: Seq,
    /// Whether what waits is given up.
    given_up: bool,
}

impl Teller {
    async fn run(self) {
        let mut news = self.state.hub.news();
        let mut cursor = self.begin.seq;
        let mut failing: Option<Failing> = None;
        loop {
            news.mark_unchanged();
            let entries = match self.read(cursor).await {
                Ok(entries) => entries,
                Err(error) => {
                    tracing::warn!("webhook {}: {error}", self.hook.name);
                    tokio::time::sleep(LONGEST_PAUSE).await;
                    continue;
                }
            };
            let full = entries.last().is_some_and(|(head, _)| head.seq.0 - cursor.0 == PAGE);
            let newest = entries.iter().rposition(|(_, entry)| self.hook.wants(entry)).filter(|_| !full);
            for (number, (head, entry)) in entries.iter().enumerate() {
                // One that is given up is tried with the newest alone, so that it is found out when it is back.
                let given_up = failing.as_ref().is_some_and(|failing| failing.given_up);
                if self.hook.wants(entry) && (!given_up || newest == Some(number)) {
                    self.deliver(*head, entry, &mut failing).await;
                }
                cursor = head.seq;
                if let Err(error) = self.cursors.set(&self.hook.name, *head) {
                    // It goes on; after a restart some entries are told again.
                    tracing::warn!("webhook {}: {}: {error}", self.hook.name, self.cursors.path.display());
                }
            }
            if !full && news.changed().await.is_err() {
                return;
            }
        }
    }

    /// The entries above `cursor` that are on the disk.
    async fn read(&self, cursor: Seq) -> Result<Vec<(Head, Entry)>, StoreError> {
        // Nothing new is known from memory, without a look at the disk.
        if self.state.hub.snapshot().is_some_and(|snapshot| snapshot.controller.seq <= cursor) {
            return Ok(Vec::new());
        }
        let path = self.journal.clone();
        let read = move || Journal::open_read_only(&path)?.after(cursor, PAGE);
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// Tells one entry, until it is taken, refused for good, or given up.
    async fn deliver(&self, head: Head, entry: &Entry, failing: &mut Option<Failing>) {
        let environment =
            self.state.hub.snapshot().map_or_else(String::new, |snapshot| snapshot.environment.clone());
        let hash = head.hash.to_string();
        let body = self.hook.format.body(&environment, hash.get(..MARK).unwrap_or(&hash), entry);
        let (name, patience) = (&self.hook.name, self.hook.patience);
        let mut pauses = pauses();
        loop {
            let why = match self.send(&body).await {
                Ok(status) if status.is_success() || is_final(status) => {
                    if !status.is_success() {
                        tracing::error!("webhook {name}: it does not take {}: {status}", entry.seq);
                    }
                    if let Some(Failing { first, given_up: true, .. }) = failing.take() {
                        tracing::warn!(
                            "webhook {name}: it answers again; from {first} on it was not told all"
                        );
                    }
                    return;
                }
                Ok(status) => status.to_string(),
                // Without the address, which may hold a secret.
                Err(error) => error.without_url().to_string(),
            };
            let begun = || Failing { since: Instant::now(), first: entry.seq, given_up: false };
            let failing = failing.get_or_insert_with(begun);
            if failing.given_up {
                return;
            }
            if failing.since.elapsed() > patience {
                failing.given_up = true;
                tracing::error!(
                    "webhook {name}: it has taken nothing for {patience:?} ({why}): what waits for it from {} on is given up, \
                     and only the newest entry is tried until it answers",
                    failing.first
                );
                return;
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
            tracing::warn!("webhook {name}: {} was not taken ({why}); again in {pause:?}", entry.seq);
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
