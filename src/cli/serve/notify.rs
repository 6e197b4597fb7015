//! Tells a service manager how it stands, where there is one that asked for it: systemd's `Type=notify`.

use std::{
    env,
    ffi::OsStr,
    io,
    os::unix::{ffi::OsStrExt, net::UnixDatagram},
};

#[cfg(target_os = "linux")]
use std::os::unix::net::SocketAddr;

/// Says `news`, such as `READY=1`, where the environment names a socket to say it to.
pub(super) fn notify(news: &str) {
    let Some(address) = env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&address, news) {
        tracing::warn!("{news} was not taken by the service manager: {error}");
    }
}

fn send(address: &OsStr, news: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes().strip_prefix(b"@") {
        None => socket.send_to(news.as_bytes(), address)?,
        #[cfg(target_os = "linux")]
        Some(name) => {
            let address = <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?;
            socket.send_to_addr(news.as_bytes(), &address)?
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => return Err(io::Error::from(io::ErrorKind::Unsupported)),
    };
    Ok(())
}
