//! `knightwatch serve`: the backend, for as long as it is wanted.

use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{Args as ClapArgs, ValueEnum};
use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{
    Failure, Outcome, PolicyArg,
    control_room::operator,
    policies::WeightsArgs,
    print,
    real::Real,
    scene::{Scene, SceneArgs},
};
use crate::{
    agent::PolicyName,
    backend::{Backend, Embedded, EmbeddedOptions, Pace},
    config::{Config, SourceKind, Webhook},
    engine::Switch,
    flag::definition::Definitions,
    integrations::{FlagFiles, Stamp},
    logging,
    server::{self, Access, Hook, Intake, Listeners, Parts, ServerState, TokenFile, local_token},
    telemetry::Millis,
};

/// Controller time that the simulator goes on for at least: a tour may begin late.
const SIMULATED: Millis = Millis::from_secs(24 * 3_600);

/// How often the file of tokens is looked at: a revoked one is worth nothing after so long.
const LOOK: Duration = Duration::from_secs(1);

/// How a service logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// What is served, and where.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct Args {
    /// The world of the simulator: a built-in scenario's name or a file [default: default]
    #[arg(long, value_name = "NAME|FILE")]
    scenario: Option<String>,

    /// Steer what applications send telemetry of, in real time, instead of a simulated world
    #[arg(long, conflicts_with_all = ["scenario", "seed", "speed"])]
    real: bool,

    /// Seed of the simulator [default: 7]
    #[arg(long)]
    seed: Option<u64>,

    /// Who steers [default: ppo-master, or who did before]
    #[arg(long, value_enum)]
    policy: Option<PolicyArg>,

    #[command(flatten)]
    weights: WeightsArgs,

    /// Simulated time: so many times faster than real time, 0 (standing still) to 3600
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=3600))]
    speed: u32,

    /// Listen here instead of where the configuration says; may be given again
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,

    /// Define flags as this file says, in flagd's format, and do so anew when it changes; may be given again
    #[arg(long, value_name = "FILE")]
    flags: Vec<PathBuf>,

    /// The unix socket [default: knightwatch.sock in the state folder]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// How to log, to standard error
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,

    /// Check configuration, certificates, tokens and journal, change nothing, and say what would be served
    #[arg(long)]
    check: bool,
}

/// Where the backend keeps its state.
pub(super) struct Home {
    folder: PathBuf,
    pub(super) journal: PathBuf,
    latch: PathBuf,
    socket: PathBuf,
}

impl Home {
    pub(super) fn of(config: &Config, socket: Option<&PathBuf>, real: bool) -> Result<Self, Failure> {
        let folder = config.state_folder().map_err(Failure::input)?;
        // Apart: who has toured the simulator has no journal of a real world.
        let own = folder.join(if real { "real" } else { "backend" });
        let configured = Some(&config.server.socket).filter(|path| !path.as_os_str().is_empty());
        let socket = socket.or(configured).cloned().unwrap_or_else(|| folder.join("knightwatch.sock"));
        Ok(Self { journal: own.join("journal.knightwatch"), latch: own.join("latch"), folder, socket })
    }
}

/// What is steered, before there is an engine.
enum World {
    Simulated(Box<Scene>),
    Real(Box<Real>),
}

impl World {
    fn of(args: &Args, config: &Config, home: &Home, real: bool) -> Result<Self, Failure> {
        if real {
            return Real::of(config, &home.journal, args.policy, &args.weights).map(Box::new).map(Self::Real);
        }
        let scene = Scene::of(&SceneArgs {
            scenario: args.scenario.clone(),
            seed: args.seed,
            policy: args.policy,
            weights: args.weights.clone(),
            session: Some(home.journal.clone()),
        })?;
        Ok(Self::Simulated(Box::new(scene.lasting(SIMULATED))))
    }

    const fn policy(&self) -> PolicyName {
        match self {
            Self::Simulated(scene) => scene.policy,
            Self::Real(world) => world.policy,
        }
    }

    const fn is_fresh(&self) -> bool {
        match self {
            Self::Simulated(scene) => scene.is_fresh(),
            Self::Real(world) => world.is_fresh(),
        }
    }

    const fn source(&self) -> &'static str {
        match self {
            Self::Simulated(_) => "simulated",
            Self::Real(_) => "sent by applications",
        }
    }
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let mut config = config.clone();
    if !args.listen.is_empty() {
        config.server.listen.clone_from(&args.listen);
    }
    if !args.flags.is_empty() {
        config.server.flags.clone_from(&args.flags);
    }
    config.server.check().map_err(|(key, problem)| Failure::input(format!("{key}: {problem}")))?;
    let real = args.real || config.telemetry.source == SourceKind::Push;
    let home = Home::of(&config, args.socket.as_ref(), real)?;
    let tokens = TokenFile::in_folder(&home.folder);
    let seen = Stamp::of(tokens.path());
    let records =
        tokens.read().map_err(|error| Failure::input(format!("{}: {error}", tokens.path().display())))?;
    let tls = tls(&config)?;
    let (files, definitions) = FlagFiles::open(config.server.flags.clone()).map_err(Failure::input)?;
    let world = World::of(args, &config, &home, real)?;
    let hooks = hooks(&config)?;
    if args.check {
        return checked(&config, &home, records.len(), tls.is_some(), &definitions, &world);
    }
    let _logging = logging::to_stderr(args.log == LogFormat::Json).map_err(Failure::input)?;
    let pace = match args.speed {
        _ if real => Pace::Real,
        0 => Pace::Stopped,
        times => Pace::times(times).map_err(Failure::input)?,
    };
    let about = world.policy().about().to_owned();
    fs::create_dir_all(&home.folder)
        .map_err(|error| Failure::refused(format!("cannot make {}: {error}", home.folder.display())))?;
    let (mut engine, intake) = match world {
        World::Simulated(scene) => (scene.engine(&config)?, None),
        World::Real(world) => {
            let (engine, inlet) = world.engine(&config, &home.journal)?;
            (engine, Some(Intake::new(inlet, config.telemetry.names())))
        }
    };
    let switch = Arc::new(Switch::open(&home.latch).map_err(Failure::store)?);
    switch.reconcile(&mut engine).map_err(Failure::store)?;
    let meter = Arc::clone(engine.meter());
    let options = EmbeddedOptions { pace, about, simulated: !real, ahead: Millis::ZERO };
    let backend =
        Embedded::start_with(engine, options, Some(Arc::clone(&switch))).map_err(Failure::refused)?;
    let secret = local_token(&home.folder).map_err(|error| {
        Failure::refused(format!("cannot make {}/local-token: {error}", home.folder.display()))
    })?;
    let state = ServerState::new(Parts {
        backend: Arc::new(backend) as Arc<dyn Backend>,
        register: Arc::clone(switch.register()),
        definitions,
        meter,
        intake,
        access: Access::new(records, Some((&secret, &operator())), config.server.open_loopback),
        hosts: config.server.hosts.iter().map(|host| host.to_ascii_lowercase()).collect::<BTreeSet<_>>(),
        origins: config.server.origins.iter().cloned().collect(),
    })
    .map_err(Failure::refused)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::refused)?;
    let (watched, handle) = (Arc::clone(&state), runtime.handle().clone());
    let watch = files
        .watch(move |read| match read {
            Ok(definitions) => {
                tracing::info!("{} flags are defined anew", definitions.len());
                handle.block_on(watched.define(definitions));
            }
            Err(error) => watched.keep_definitions(&error.to_string()),
        })
        .map_err(Failure::refused)?;
    let served = runtime.block_on(async {
        let first = Arc::clone(&state);
        // Beside serving: until they are under control they are off.
        tokio::spawn(async move { first.bring_under_control().await });
        serve(&config, &home, tls, &state, (&tokens, seen), hooks).await
    });
    drop(watch);
    runtime.shutdown_background();
    // The engine ends with its last owner, and its journal is closed then.
    drop(state);
    served
}

/// Listens and serves until a signal says that it is over.
async fn serve(
    config: &Config,
    home: &Home,
    tls: Option<TlsAcceptor>,
    state: &Arc<ServerState>,
    (tokens, mut seen): (&TokenFile, Stamp),
    hooks: Vec<Hook>,
) -> Outcome {
    let mut tcp = Vec::new();
    for address in &config.server.listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let hint =
                if error.kind() == ErrorKind::AddrInUse { "; is another backend running?" } else { "" };
            Failure::refused(format!("cannot listen on {address}: {error}{hint}"))
        })?;
        let bound = listener.local_addr().map_err(Failure::refused)?;
        // Loopback without TLS is the tour; with a certificate everything has it.
        let scheme = if tls.is_some() { "https" } else { "http" };
        print::line(&format!("knightwatch {} serves {scheme}://{bound}", env!("CARGO_PKG_VERSION")))?;
        tcp.push((listener, tls.clone()));
    }
    let unix = Some(socket(&home.socket).await?);
    print::line(&format!("socket {}", home.socket.display()))?;
    let ending = CancellationToken::new();
    let tellers = state
        .tell(hooks, &home.journal, &ending)
        .map_err(|error| Failure::refused(format!("webhooks: {error}")))?;
    let failed = |error: std::io::Error| Failure::refused(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    let over = ending.clone();
    let serving = server::serve(Listeners { tcp, unix }, server::router(Arc::clone(state)), ending.clone());
    let mut serving = std::pin::pin!(serving);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = &mut serving => break,
            _ = terminate.recv() => over.cancel(),
            _ = interrupt.recv() => over.cancel(),
            _ = hang_up.recv() => read_tokens(tokens, state),
            _ = look.tick() => {
                let now = Stamp::of(tokens.path());
                if now != seen {
                    seen = now;
                    read_tokens(tokens, state);
                }
            }
        }
        if over.is_cancelled() {
            tracing::info!("ending: requests under way are finished");
            state.end();
        }
    }
    // They hold the engine's state; its journal is closed when the last one has let go.
    ending.cancel();
    for teller in tellers {
        let _ = teller.await;
    }
    // Ours: whoever starts next makes it anew.
    let _ = fs::remove_file(&home.socket);
    tracing::info!("ended");
    print::DONE
}

/// Takes the tokens as they are in the file now.
fn read_tokens(tokens: &TokenFile, state: &ServerState) {
    match tokens.read() {
        Ok(records) => {
            tracing::info!("{} tokens read again", records.len());
            state.set_tokens(records);
        }
        Err(error) => tracing::error!("{}: {error}; the tokens stay as they were", tokens.path().display()),
    }
}

/// The unix socket, for the owner and the group; one that nobody answers on is replaced.
async fn socket(path: &Path) -> Result<UnixListener, Failure> {
    let refused =
        |error: std::io::Error| Failure::refused(format!("cannot listen on {}: {error}", path.display()));
    match UnixListener::bind(path) {
        Ok(listener) => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(refused)?;
            Ok(listener)
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(Failure::refused(format!("{}: another backend answers there", path.display())));
            }
            fs::remove_file(path).map_err(refused)?;
            let listener = UnixListener::bind(path).map_err(refused)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(refused)?;
            Ok(listener)
        }
        Err(error) => Err(refused(error)),
    }
}

/// Webhooks, with their secrets.
fn hooks(config: &Config) -> Result<Vec<Hook>, Failure> {
    if !config.webhooks.is_empty() {
        // Whoever has installed one already has installed the same.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    }
    let hook = |hook: &Webhook| {
        let wrong = |error: String| Failure::input(format!("webhooks: {:?}: {error}", hook.name));
        let secret = hook.secret().map_err(|error| wrong(format!("{}: {error}", hook.secret_place())))?;
        Ok(Hook {
            name: hook.name.clone(),
            url: hook.url.parse().map_err(|error| wrong(format!("url: {error}")))?,
            format: hook.format,
            kinds: hook.kinds.clone(),
            secret,
        })
    };
    config.webhooks.iter().map(hook).collect()
}

/// TLS with the certificate and key that the configuration names; `None` where it names none.
fn tls(config: &Config) -> Result<Option<TlsAcceptor>, Failure> {
    use tokio_rustls::rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    };
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
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn checked(
    config: &Config,
    home: &Home,
    tokens: usize,
    tls: bool,
    definitions: &Definitions,
    world: &World,
) -> Outcome {
    let addresses: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
    print::line(&format!("environment  {}", config.environment))?;
    print::line(&format!("listen       {}{}", addresses.join(", "), if tls { " (TLS)" } else { "" }))?;
    print::line(&format!("socket       {}", home.socket.display()))?;
    let journal = if world.is_fresh() { "begun anew" } else { "gone on with" };
    print::line(&format!("journal      {} ({journal})", home.journal.display()))?;
    print::line(&format!("tokens       {tokens}"))?;
    let steered = definitions.iter().filter(|flag| flag.steering().is_some()).count();
    print::line(&format!("definitions  {} flags, {steered} to be steered", definitions.len()))?;
    print::line(&format!("telemetry    {}", world.source()))?;
    print::line(&format!("steered by   {}", world.policy()))?;
    print::DONE
}
