//! Where a backend is and how one is let in: `http://`, `https://` or `unix:PATH`, with a bearer token or without.

use std::{
    fmt, fs, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use reqwest::{Certificate, Client, Url};
use thiserror::Error;

use knightwatch_connect::use_ring;

/// How long it may take to reach an address.
const CONNECT: Duration = Duration::from_secs(3);

/// Why there is no backend.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// The address is none.
    #[error("{text:?}: {problem}; expected http://HOST:PORT, https://HOST:PORT or unix:PATH")]
    Address {
        /// What was found.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that is needed cannot be read.
    #[error("{}: {problem}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: io::Error,
    },
    /// Nobody answers there.
    #[error("{target}: {problem}")]
    Unreachable {
        /// Where.
        target: String,
        /// What happened.
        problem: String,
    },
    /// It answers, but refuses.
    #[error("{target}: {problem}")]
    Refused {
        /// Where.
        target: String,
        /// What it said.
        problem: String,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

impl RemoteError {
    /// What is wrong, without the place, which whoever is connected to it knows.
    pub(super) fn problem(&self) -> String {
        match self {
            Self::Unreachable { problem, .. } | Self::Refused { problem, .. } => problem.clone(),
            Self::Address { .. } | Self::File { .. } | Self::Thread(_) => self.to_string(),
        }
    }
}

/// Where a backend is.
#[derive(Clone)]
pub struct Target {
    base: Url,
    socket: Option<PathBuf>,
    token: Option<String>,
    authority: Option<PathBuf>,
    /// Whether this program has a token that it does not send there.
    kept_back: bool,
    /// Who sits here, as they say themselves.
    pub(super) claims: String,
}

impl Target {
    /// From an address; `claims` is who sits here, as they say themselves.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str, claims: &str) -> Result<Self, RemoteError> {
        let wrong = |problem: String| RemoteError::Address { text: text.to_owned(), problem };
        let claims = claims.to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(wrong("no path".to_owned()));
            }
            let base = Url::parse("http://localhost/").map_err(|error| wrong(error.to_string()))?;
            return Ok(Self {
                base,
                socket: Some(path.into()),
                token: None,
                authority: None,
                kept_back: false,
                claims,
            });
        }
        let base = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong(format!("a scheme {:?}", base.scheme())));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("a secret does not belong into an address".to_owned()));
        }
        if base.path() != "/" || base.query().is_some() {
            return Err(wrong(format!("a path {:?}", base.path())));
        }
        Ok(Self { base, socket: None, token: None, authority: None, kept_back: false, claims })
    }

    /// With a bearer token.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// Trusting the certificates in a PEM file too.
    #[must_use]
    pub fn with_authority(self, authority: Option<PathBuf>) -> Self {
        Self { authority, ..self }
    }

    /// Whether it is a port of this machine, which anybody here may listen on.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        self.socket.is_none() && matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    }

    /// Whether whoever answers must show a certificate before anything is said to them.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Whether a backend that listens at `addresses` is what answers at this port of this machine.
    #[must_use]
    pub fn is_among(&self, addresses: &[SocketAddr]) -> bool {
        let port = self.base.port_or_known_default();
        let named = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']).parse::<IpAddr>();
        let is_meant = |ip: IpAddr| named.as_ref().map_or_else(|_| ip.is_loopback(), |named| *named == ip);
        let answers = |at: &SocketAddr| Some(at.port()) == port && is_meant(at.ip());
        self.is_local() && addresses.iter().any(answers)
    }

    /// The same backend by its unix socket.
    #[must_use]
    pub fn by_socket(self, path: PathBuf) -> Self {
        Self { socket: Some(path), ..self }
    }

    /// Says where it turns a request away that this program's own token was kept back from it.
    #[must_use]
    pub fn without_own_token(self) -> Self {
        Self { kept_back: true, ..self }
    }

    /// What to do where somebody without a token is refused.
    pub(super) const fn hint(&self) -> &'static str {
        if self.kept_back {
            "; this machine's own token is not sent to a port that its own backend, by its socket, does not call its \
             own: name a token with --token-file, or the socket with --connect unix:PATH"
        } else {
            ""
        }
    }

    /// It was there, and then its stream ended.
    #[must_use]
    pub fn ended(&self) -> RemoteError {
        RemoteError::Unreachable { target: self.to_string(), problem: "it has ended".to_owned() }
    }

    /// Where a path is, with its query where it has one.
    pub(super) fn url(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut url = self.base.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub(super) fn client(&self) -> Result<Client, RemoteError> {
        use_ring();
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("knightwatch/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &self.socket {
            builder = builder.unix_socket(path.clone());
        }
        if let Some(path) = &self.authority {
            let unreadable = |problem| RemoteError::File { path: path.clone(), problem };
            let pem = fs::read(path).map_err(unreadable)?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error.to_string())))?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().map_err(|error| self.unreachable(&error))
    }

    /// What a failed request comes to.
    pub(super) fn unreachable(&self, error: &reqwest::Error) -> RemoteError {
        let mut problem = root_of(error);
        if problem.contains("UnknownIssuer") {
            problem.push_str("; --ca FILE trusts an authority that this machine does not know");
        }
        RemoteError::Unreachable { target: self.to_string(), problem }
    }
}

/// The innermost of an error's causes: what the system said.
pub(super) fn root_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    knightwatch_core::flag::clean_line(&cause.to_string())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => f.write_str(self.base.as_str().trim_end_matches('/')),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token stays out of logs.
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_secrets_in_them_refused() {
        let target = |text: &str| Target::parse(text, "ana");
        assert_eq!(target("http://127.0.0.1:8000").unwrap().to_string(), "http://127.0.0.1:8000");
        assert_eq!(target("unix:/run/kw.sock").unwrap().to_string(), "unix:/run/kw.sock");
        assert!(target("http://localhost:8000/").unwrap().is_local());
        assert!(!target("https://flags.example:8000").unwrap().is_local());
        for wrong in ["", "localhost:8000", "ftp://x", "http://a:b@x", "http://x/path", "unix:"] {
            let refused = target(wrong).unwrap_err().to_string();
            assert!(refused.contains("expected http://HOST:PORT"), "{wrong}: {refused}");
        }
        let here = ["127.0.0.1:8000".parse().unwrap()];
        assert!(target("http://localhost:8000").unwrap().is_among(&here));
        assert!(target("http://127.0.0.1:8000").unwrap().is_among(&here));
        for other in ["http://127.0.0.1:8001", "http://[::1]:8000", "http://x:8000", "unix:/127.0.0.1:8000"] {
            assert!(!target(other).unwrap().is_among(&here), "{other}");
        }
        let secret = target("http://x").unwrap().with_token(Some("kw_secret".to_owned()));
        assert!(!format!("{secret:?}").contains("secret"));
    }
}
