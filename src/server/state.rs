//! What all handlers share.

use std::{collections::BTreeSet, sync::Arc};

use super::{Access, Hub, TokenRecord, metrics::Requests, telemetry::Intake};
use crate::{
    backend::Backend,
    engine::{Meter, Register},
};

/// What a server is made of.
pub struct Parts {
    /// What is steered, and how.
    pub backend: Arc<dyn Backend>,
    /// What evaluation reads.
    pub register: Arc<Register>,
    /// What the engine measures of itself.
    pub meter: Arc<Meter>,
    /// Where telemetry comes in; `None` where the world is simulated.
    pub intake: Option<Intake>,
    /// Who may what.
    pub access: Access,
    /// Names under which it may be called, beside those of loopback; without a port.
    pub hosts: BTreeSet<String>,
}

/// What all handlers share.
pub struct ServerState {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) register: Arc<Register>,
    pub(super) meter: Arc<Meter>,
    pub(super) requests: Requests,
    pub(super) intake: Option<Intake>,
    pub(super) access: Access,
    pub(super) hosts: BTreeSet<String>,
    pub(super) hub: Arc<Hub>,
}

/// The handlers' state.
pub(super) type Shared = Arc<ServerState>;

impl ServerState {
    /// Begins to listen to the backend.
    ///
    /// # Errors
    /// When the thread that turns updates into events cannot be started.
    pub fn new(parts: Parts) -> std::io::Result<Arc<Self>> {
        let Parts { backend, register, meter, intake, access, hosts } = parts;
        let hub = Hub::start(&backend)?;
        Ok(Arc::new(Self {
            backend,
            register,
            meter,
            requests: Requests::default(),
            intake,
            access,
            hosts,
            hub,
        }))
    }

    /// Takes a new list of tokens.
    pub fn set_tokens(&self, tokens: Vec<TokenRecord>) {
        self.access.set_tokens(tokens);
    }

    /// The server ends: streams end, and requests under way are finished.
    pub fn end(&self) {
        self.hub.close();
    }
}
