//! What all handlers share.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::{
    Access, DefinitionStore, Hub, TokenRecord,
    journal::AT_ONCE,
    metrics::{Evaluations, Requests},
    ofrep::Changes,
    telemetry::Intake,
};
use knightwatch_core::{
    control::{Actor, Alarm, AlarmKind, Command, Order, OrderId, Refusal},
    flag::{clean_line, definition::Definitions},
};
use knightwatch_engine::{
    Meter, ServingTable,
    backend::{Backend, OrderError},
};

/// What a server is made of.
pub struct Parts {
    /// What is steered, and how.
    pub backend: Arc<dyn Backend>,
    /// What evaluation reads.
    pub serving_table: Arc<ServingTable>,
    /// How flags are defined.
    pub definitions: Definitions,
    /// What the engine measures of itself.
    pub meter: Arc<Meter>,
    /// Where telemetry comes in; `None` where the world is simulated.
    pub intake: Option<Intake>,
    /// Who may what.
    pub access: Access,
    /// Names under which it may be called, beside those of loopback; without a port.
    pub hosts: BTreeSet<String>,
    /// Origins whose pages may evaluate flags, as a browser writes them: `https://shop.example`.
    pub origins: BTreeSet<String>,
    /// The journal's file, for those who read all of it.
    pub journal: PathBuf,
}

/// What all handlers share.
pub struct ServerState {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) serving_table: Arc<ServingTable>,
    pub(super) definition_store: Arc<DefinitionStore>,
    pub(super) changes: Arc<Changes>,
    pub(super) meter: Arc<Meter>,
    pub(super) requests: Requests,
    pub(super) evaluations: Evaluations,
    pub(super) intake: Option<Intake>,
    pub(super) access: Access,
    pub(super) hosts: ArcSwap<BTreeSet<String>>,
    pub(super) origins: BTreeSet<String>,
    pub(super) hub: Arc<Hub>,
    pub(super) journal: PathBuf,
    /// Where it listens, once it does.
    pub(super) listen: OnceLock<Vec<SocketAddr>>,
    /// Leave to read the whole journal.
    pub(super) readers: Arc<Semaphore>,
}

/// The handlers' state.
pub(super) type Shared = Arc<ServerState>;

impl ServerState {
    /// Begins to listen to the backend.
    ///
    /// # Errors
    /// When a thread that turns updates into events cannot be started.
    pub fn new(parts: Parts) -> std::io::Result<Arc<Self>> {
        let Parts { backend, serving_table, definitions, meter, intake, access, hosts, origins, journal } =
            parts;
        let readers = Arc::new(Semaphore::new(AT_ONCE));
        let hub = Hub::start(&backend)?;
        let definition_store = Arc::new(DefinitionStore::new(definitions));
        let changes = Changes::start(&serving_table, &definition_store)?;
        Ok(Arc::new(Self {
            backend,
            serving_table,
            definition_store,
            changes,
            meter,
            requests: Requests::default(),
            evaluations: Evaluations::default(),
            intake,
            access,
            hosts: ArcSwap::from_pointee(hosts),
            origins,
            hub,
            journal,
            listen: OnceLock::new(),
            readers,
        }))
    }

    /// Says where it listens: whoever reaches it by its socket may know then which port is its own.
    pub fn listens_at(&self, addresses: Vec<SocketAddr>) {
        // It is bound once.
        let _ = self.listen.set(addresses);
    }

    /// Takes a new list of tokens.
    pub fn set_tokens(&self, tokens: Vec<TokenRecord>) {
        self.access.set_tokens(tokens);
    }

    /// Takes other names under which it may be called, and says whether loopback may read and evaluate without a token.
    pub fn set_request_guard(&self, hosts: BTreeSet<String>, open_loopback: bool) {
        self.hosts.store(Arc::new(hosts));
        self.access.set_open(open_loopback);
    }

    /// Takes other definitions, and brings the flags among them that are to be steered under control.
    pub async fn define(&self, definitions: Definitions) {
        self.definition_store.replace(definitions);
        self.bring_under_control().await;
    }

    /// Definitions that should be in force cannot be: those that were stay in force, and it is said wherever it is asked.
    pub async fn keep_definitions(&self, why: &str) {
        let why = clean_line(why);
        tracing::error!("flag definitions were not changed: {why}");
        self.definition_store.fail(&why);
        self.tell_fault().await;
    }

    /// Has an alarm stand while the definitions have a fault, so that whoever steers sees it.
    async fn tell_fault(&self) {
        let Some(snapshot) = self.hub.snapshot() else { return };
        let fault = self.definition_store.fault().map(|why| why.to_string());
        let stands = |alarm: &Alarm| alarm.kind == AlarmKind::Definitions && alarm.cleared_at.is_none();
        if fault.is_none() && !snapshot.controller.alarms.iter().any(stands) {
            return;
        }
        let order = Order {
            id: OrderId(format!("definitions-{}", snapshot.controller.seq.0)),
            actor: Actor::System,
            authenticated: None,
            reason: String::new(),
            expected: None,
            command: Command::Definitions { fault },
        };
        match self.backend.send(order).await {
            // What is looked at next time has it.
            Ok(ack) => self.hub.caught_up(ack.seq).await,
            Err(OrderError::Refused(Refusal::Nothing(_))) => {}
            Err(error) => {
                tracing::error!("the alarm of the flag definitions is not as it should be: {error}");
            }
        }
    }

    /// Makes the flags that are defined as steered and that the engine does not know; until then they are off.
    pub async fn bring_under_control(&self) {
        let definitions = self.definition_store.current();
        for spec in definitions.iter().filter_map(knightwatch_core::flag::definition::Definition::spec) {
            let key = spec.key.clone();
            if self.serving_table.served_flags().get(&key).is_some() {
                continue;
            }
            let order = Order {
                // Said again after a restart it acts once.
                id: OrderId(format!("definition of {key}")),
                actor: Actor::System,
                authenticated: None,
                reason: "defined in a file of flags".to_owned(),
                expected: None,
                command: Command::Create { spec },
            };
            match self.backend.send(order).await {
                // Also one that was archived: its key is never used again.
                Ok(_) | Err(OrderError::Refused(Refusal::KeyUsed { .. } | Refusal::IdUsed { .. })) => {}
                Err(error) => {
                    let why = clean_line(&format!("{key} cannot be brought under control: {error}"));
                    tracing::error!("{why}");
                    self.definition_store.fail(&why);
                }
            }
        }
        self.tell_fault().await;
    }

    /// The server ends: streams end, and requests under way are finished.
    pub fn end(&self) {
        self.hub.close();
        self.changes.end();
    }
}
