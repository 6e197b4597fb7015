//! Where the backend listens: addresses, the unix socket, the certificate, and how many connections the system allows.
//!
//! Knows nothing of what is served there.

use std::{fs, io, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{
    cli::{Failure, print},
    config::Config,
};

/// Every configured address, bound; says of each where it is.
pub(super) async fn addresses(config: &Config) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::with_capacity(config.server.listen.len());
    // Loopback without TLS is the tour; with a certificate everything has it.
    let scheme = if config.server.tls_cert.as_os_str().is_empty() { "http" } else { "https" };
    for address in &config.server.listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let hint =
                if error.kind() == ErrorKind::AddrInUse { "; is another backend running?" } else { "" };
            Failure::refused(format!("cannot listen on {address}: {error}{hint}"))
        })?;
        let bound = listener.local_addr().map_err(Failure::refused)?;
        print::line(&format!("knightwatch {} serves {scheme}://{bound}", env!("CARGO_PKG_VERSION")))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// The unix socket, for the owner and the group; one that nobody answers on is replaced.
pub(super) async fn socket(path: &Path) -> Result<UnixListener, Failure> {
    let refused =
        |error: io::Error| Failure::refused(format!("cannot listen on {}: {error}", path.display()));
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(Failure::refused(format!("{}: another backend answers there", path.display())));
            }
            fs::remove_file(path).map_err(refused)?;
            UnixListener::bind(path)
        }
        bound => bound,
    };
    let listener = listener.map_err(refused)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(refused)?;
    Ok(listener)
}

/// The certificate and key that the configuration names; `None` where it names none.
pub(super) fn certificate(config: &Config) -> Result<Option<Arc<ServerConfig>>, Failure> {
    let (cert, key) = (&config.server.tls_cert, &config.server.tls_key);
    if cert.as_os_str().is_empty() {
        return Ok(None);
    }
    let wrong =
        |path: &Path, error: &dyn std::fmt::Display| Failure::input(format!("{}: {error}", path.display()));
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(cert, &error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(cert, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| wrong(cert, &error))?;
    Ok(Some(Arc::new(server)))
}

/// Allows this process as many open files as the system lets it: each stream client is one.
pub(super) fn open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => tracing::debug!("open files: {current:?} raised to {maximum:?}"),
        // Some systems name a limit here that they do not grant.
        Err(error) => tracing::warn!("open files: {current:?} could not be raised to {maximum:?}: {error}"),
    }
}
