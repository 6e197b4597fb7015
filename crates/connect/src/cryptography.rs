//! Which cryptography TLS is made of in this process, said once for all who build a client.

/// Makes `ring` the process's own. Whoever builds an HTTP client calls this before.
pub fn use_ring() {
    // Who was first has installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
