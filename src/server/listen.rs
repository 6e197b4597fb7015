//! Listening: TCP, TLS and the unix socket, with deadlines on everything that a peer can hold up.
//!
//! A head that does not come closes the connection within 15 s, an answer that is not taken within 30 s; both stand outside
//! the handlers, because a body that nobody takes is never polled. The unix socket has its own connections to spare, so that
//! kill-all comes through while all others are taken.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Router, body::Body, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use nix::unistd::{Uid, User};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

/// How long a request's head may take, and how long a connection may lie idle between requests.
const HEAD: Duration = Duration::from_secs(15);

/// How long a peer may not take what is written to it.
const STALLED: Duration = Duration::from_secs(30);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long requests under way have when the server ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Connections at once: over TCP, and over the unix socket.
const CONNECTIONS: usize = 16_384;
const UNIX_CONNECTIONS: usize = 256;

/// How long a user's name is looked up before the user is named by number.
const NAME_LOOKUP: Duration = Duration::from_millis(500);

/// Lookups of users' names at once: each holds a thread, and may hang.
const NAME_LOOKUPS: usize = 4;

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address.
    Tcp(SocketAddr),
    /// A user of this machine, as the kernel says.
    Unix {
        /// The user's name, or number where it has none.
        user: String,
        /// Whether it is the account that the backend runs as, or root.
        owner: bool,
    },
}

/// Certificate and key, which may be exchanged while connections go on with those that they began with.
pub struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    /// With these to begin with.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(ArcSwap::new(config))
    }

    /// Has connections from here on begin with these.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

/// Where the server listens.
pub struct Listeners {
    /// TCP.
    pub tcp: Vec<TcpListener>,
    /// What all of TCP is wrapped in, if it is.
    pub tls: Option<Arc<Tls>>,
    /// The unix socket.
    pub unix: Option<UnixListener>,
}

/// Serves `router` until `ending`; then requests under way have a few seconds, and streams end.
pub async fn serve(listeners: Listeners, router: Router, ending: CancellationToken) {
    let graceful = Arc::new(GracefulShutdown::new());
    let mut tasks = tokio::task::JoinSet::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    for listener in listeners.tcp {
        let (router, connections, ending) = (router.clone(), Arc::clone(&connections), ending.clone());
        let (graceful, tls) = (Arc::clone(&graceful), listeners.tls.clone());
        tasks.spawn(async move {
            while let Some((stream, address)) = accept(&ending, || listener.accept()).await {
                let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                    tracing::warn!("too many connections: one from {address} is closed");
                    continue;
                };
                // An event is worth its own packet.
                let _ = stream.set_nodelay(true);
                let (router, watcher, tls) =
                    (router.clone(), graceful.watcher(), tls.as_deref().map(Tls::acceptor));
                tokio::spawn(async move {
                    let peer = Peer::Tcp(address);
                    match tls {
                        None => connection(stream, peer, router, watcher).await,
                        Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
                            Ok(Ok(stream)) => connection(stream, peer, router, watcher).await,
                            Ok(Err(error)) => tracing::debug!("no TLS with {address}: {error}"),
                            Err(_) => tracing::debug!("no TLS with {address} within {HANDSHAKE:?}"),
                        },
                    }
                    drop(permit);
                });
            }
        });
    }
    if let Some(listener) = listeners.unix {
        let (router, ending, graceful) = (router.clone(), ending.clone(), Arc::clone(&graceful));
        let connections = Arc::new(Semaphore::new(UNIX_CONNECTIONS));
        let lookups = Arc::new(Semaphore::new(NAME_LOOKUPS));
        tasks.spawn(async move {
            while let Some((stream, _)) = accept(&ending, || listener.accept()).await {
                let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
                let uid = match stream.peer_cred() {
                    Ok(cred) => cred.uid(),
                    Err(error) => {
                        tracing::warn!("a peer of the unix socket is not known: {error}");
                        continue;
                    }
                };
                let (router, watcher) = (router.clone(), graceful.watcher());
                let lookups = Arc::clone(&lookups);
                tokio::spawn(async move {
                    let peer = unix_peer(uid, lookups).await;
                    connection(stream, peer, router, watcher).await;
                    drop(permit);
                });
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let Some(graceful) = Arc::into_inner(graceful) else { return };
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::info!("connections that did not end by themselves are closed");
    }
}

/// The next connection; `None` when the server ends.
async fn accept<T, F: Future<Output = io::Result<T>>>(
    ending: &CancellationToken,
    next: impl Fn() -> F,
) -> Option<T> {
    loop {
        let accepted = tokio::select! {
            () = ending.cancelled() => return None,
            accepted = next() => accepted,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) => {
                // Most likely no file handle is free: not to be asked again at once.
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection<S>(stream: S, peer: Peer, router: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALLED));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let mut router = router.clone();
        async move {
            Ok::<_, Infallible>(
                router.call(request.map(Body::new)).await.unwrap_or_else(|never| match never {}),
            )
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("a connection ended: {error}");
    }
}

/// The user of this machine with this number, by the name that the system's user databases have for it, directories included.
async fn unix_peer(uid: u32, lookups: Arc<Semaphore>) -> Peer {
    let own = rustix::process::geteuid().as_raw();
    let user = user_name(uid, lookups).await.unwrap_or_else(|| format!("uid {uid}"));
    Peer::Unix { user, owner: uid == own || uid == 0 }
}

/// A user's name; `None` where there is none, or where the databases do not answer in time.
async fn user_name(uid: u32, lookups: Arc<Semaphore>) -> Option<String> {
    let lookup = async {
        // Where every lookup hangs, nobody waits behind them: kill-all over the socket does not depend on a directory.
        let permit = lookups.try_acquire_owned().ok()?;
        // The lookup blocks, and a directory server may be slow to answer.
        let user = spawn_blocking(move || {
            let user = User::from_uid(Uid::from_raw(uid));
            drop(permit);
            user
        });
        match user.await.ok()? {
            Ok(user) => user.map(|user| knightwatch_core::flag::clean_line(&user.name)),
            Err(error) => {
                tracing::warn!("the name of the user with uid {uid} cannot be looked up: {error}");
                None
            }
        }
    };
    timeout(NAME_LOOKUP, lookup).await.unwrap_or_else(|_| {
        tracing::warn!("the name of the user with uid {uid} was not found within {NAME_LOOKUP:?}");
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_has_a_name_or_is_named_by_number() {
        let lookups = Arc::new(Semaphore::new(NAME_LOOKUPS));
        let root = unix_peer(0, Arc::clone(&lookups)).await;
        assert_eq!(root, Peer::Unix { user: "root".to_owned(), owner: true });
        // Nobody has the number below the one that stands for "no user".
        let nobody = unix_peer(u32::MAX - 1, Arc::clone(&lookups)).await;
        assert_eq!(nobody, Peer::Unix { user: format!("uid {}", u32::MAX - 1), owner: false });
        assert_eq!(lookups.available_permits(), NAME_LOOKUPS);
    }

    #[tokio::test]
    async fn a_directory_that_does_not_answer_does_not_hold_a_peer_up() {
        let lookups = Arc::new(Semaphore::new(1));
        let _hangs = Arc::clone(&lookups).try_acquire_owned().unwrap();
        let peer = timeout(2 * NAME_LOOKUP, unix_peer(0, lookups)).await.unwrap();
        assert_eq!(peer, Peer::Unix { user: "uid 0".to_owned(), owner: true });
    }
}
