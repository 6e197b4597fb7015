//! `knightwatch serve`: the backend, for as long as it is wanted.

mod listening;
mod notify;
mod running;

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use clap::{Args as ClapArgs, ValueEnum};
use rustix::process::Signal;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal as SignalStream, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use self::{
    notify::notify,
    running::{Beside, Changeable, LOOK, Running},
};
use super::{
    Failure, Outcome,
    control_room::operator,
    policies::{self, WeightsArgs},
    print,
    real::Real,
    scene::{Scene, SceneArgs},
};
use crate::{
    config::{Config, SourceKind},
    logging,
    server::{self, Access, Intake, Listeners, Parts, ServerState, Tls, TokenFile, local_token},
};
use knightwatch_agent::PolicyName;
use knightwatch_core::telemetry::Millis;
use knightwatch_engine::{
    KillSwitch,
    backend::{Backend, Embedded, EmbeddedOptions, Pace},
};

/// Controller time that the simulator goes on for at least: a tour may begin late.
const SIMULATED: Millis = Millis::from_secs(24 * 3_600);

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

    /// Steer real flags, on telemetry that applications send, instead of a simulated world
    #[arg(long, conflicts_with_all = ["scenario", "seed", "speed"])]
    real: bool,

    /// Seed of the simulator [default: 7]
    #[arg(long)]
    seed: Option<u64>,

    /// The policy that steers [default: ppo-master, or who did before]
    #[arg(long, value_parser = policies::steering())]
    policy: Option<PolicyName>,

    /// A shadow policy: it decides beside it and never acts; differences are journalled [default: `agent.shadow` of the configuration, or nobody]
    #[arg(long, value_name = "POLICY", value_parser = policies::steering())]
    shadow: Option<PolicyName>,

    #[command(flatten)]
    weights: WeightsArgs,

    /// Simulated time: so many times faster than real time, 0 (standing still) to 3600
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=3600))]
    speed: u32,

    /// Listen here instead of where the configuration says; may be given again
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,

    /// Define flags as this file says, in flagd's format, and reload it when it changes; may be given again
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

impl Args {
    /// The configuration under what the command line says.
    fn over(&self, config: &Config) -> Result<Config, Failure> {
        let mut config = config.clone();
        if !self.listen.is_empty() {
            config.server.listen.clone_from(&self.listen);
        }
        if !self.flags.is_empty() {
            config.server.flags.clone_from(&self.flags);
        }
        if let Some(socket) = &self.socket {
            config.server.socket.clone_from(socket);
        }
        config.server.check().map_err(|(key, problem)| Failure::input(format!("{key}: {problem}")))?;
        Ok(config)
    }
}

/// Where the backend keeps its state.
pub(super) struct Home {
    folder: PathBuf,
    pub(super) journal: PathBuf,
    latch: PathBuf,
    socket: PathBuf,
}

impl Home {
    pub(super) fn of(config: &Config, real: bool) -> Result<Self, Failure> {
        let folder = config.state_folder().map_err(Failure::input)?;
        // Apart: who has toured the simulator has no journal of a real world.
        let own = folder.join(if real { "real" } else { "backend" });
        let socket = config.socket().map_err(Failure::input)?;
        Ok(Self { journal: own.join("journal.knightwatch"), latch: own.join("latch"), folder, socket })
    }
}

/// What is steered, before there is an engine.
enum SteeredSystem {
    Simulated(Box<Scene>),
    Real(Box<Real>),
}

impl SteeredSystem {
    fn of(args: &Args, config: &Config, home: &Home, real: bool) -> Result<Self, Failure> {
        if real {
            let policies = [args.policy, args.shadow];
            return Real::of(config, &home.journal, policies, &args.weights, args.check)
                .map(Box::new)
                .map(Self::Real);
        }
        let scene = Scene::of(&SceneArgs {
            scenario: args.scenario.clone(),
            seed: args.seed,
            policy: args.policy,
            shadow: args.shadow,
            weights: args.weights.clone(),
            session: Some(home.journal.clone()),
            look_only: args.check,
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

pub(super) fn run(args: &Args, file: Option<PathBuf>, config: &Config) -> Outcome {
    let config = args.over(config)?;
    let real = args.real || config.telemetry.source == SourceKind::Push;
    let home = Home::of(&config, real)?;
    let tokens = TokenFile::in_folder(&home.folder);
    let changeable = Changeable::read(&config, &tokens)?;
    let world = SteeredSystem::of(args, &config, &home, real)?;
    if args.check {
        return checked(&config, &home, &changeable, &world);
    }
    let _logging = logging::to_stderr(args.log == LogFormat::Json).map_err(Failure::input)?;
    listening::open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::refused)?;
    {
        // A file that may not grow is a failed write; unheard, this signal would end the process.
        let _entered = runtime.enter();
        let _ = signal_stream(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    }
    let pace = match args.speed {
        _ if real => Pace::Real,
        0 => Pace::Stopped,
        times => Pace::times(times).map_err(Failure::input)?,
    };
    let about = world.policy().about().to_owned();
    fs::create_dir_all(&home.folder)
        .map_err(|error| Failure::refused(format!("cannot make {}: {error}", home.folder.display())))?;
    let (mut engine, intake) = match world {
        SteeredSystem::Simulated(scene) => (scene.engine(&config)?, None),
        SteeredSystem::Real(world) => {
            let (engine, inlet) = world.engine(&config, &home.journal)?;
            (engine, Some(Intake::new(inlet, config.telemetry.names())))
        }
    };
    let kill_switch = Arc::new(KillSwitch::open(&home.latch).map_err(Failure::store)?);
    kill_switch.reconcile(&mut engine).map_err(Failure::store)?;
    let meter = Arc::clone(engine.meter());
    let options = EmbeddedOptions { pace, about, simulated: !real, fast_forward: Millis::ZERO };
    let backend =
        Embedded::start_with(engine, options, Some(Arc::clone(&kill_switch))).map_err(Failure::refused)?;
    let secret = local_token(&home.folder).map_err(|error| {
        Failure::refused(format!("cannot make {}/local-token: {error}", home.folder.display()))
    })?;
    let origins = config.server.origins.iter().cloned().collect();
    let Changeable { tokens: records, seen, certificate, files, definitions, hooks, hosts, open_loopback } =
        changeable;
    let state = ServerState::new(Parts {
        backend: Arc::new(backend) as Arc<dyn Backend>,
        serving_table: Arc::clone(kill_switch.serving_table()),
        definitions,
        meter,
        intake,
        access: Access::new(records, Some((&secret, &operator())), open_loopback),
        hosts,
        origins,
        journal: home.journal.clone(),
    })
    .map_err(Failure::refused)?;
    let again = args.clone();
    let running = Running {
        started: config,
        reread: Box::new(move || again.over(&Config::load(file.as_deref()).map_err(Failure::input)?)),
        tokens,
        journal: home.journal,
        tls: certificate.map(|certificate| Arc::new(Tls::new(certificate))),
        state: Arc::clone(&state),
    };
    let served = runtime.block_on(async {
        let first = Arc::clone(&state);
        // Beside serving: until they are under control they are off.
        tokio::spawn(async move { first.bring_under_control().await });
        let listeners = Listeners {
            tcp: listening::addresses(&running.started).await?,
            tls: running.tls.clone(),
            unix: Some(listening::socket(&home.socket).await?),
        };
        let bound = listeners.tcp.iter().map(TcpListener::local_addr).collect::<Result<_, _>>();
        state.listens_at(bound.map_err(Failure::refused)?);
        print::line(&format!("socket {}", home.socket.display()))?;
        let served = serve(listeners, &state, running.begin(seen, files, hooks)?).await;
        // Ours: whoever starts next creates it again.
        let _ = fs::remove_file(&home.socket);
        served
    });
    runtime.shutdown_background();
    // The engine ends with its last owner, and its journal is closed then.
    drop(state);
    served
}

/// Serves until a signal says that it is over.
async fn serve(listeners: Listeners, state: &Arc<ServerState>, mut beside: Beside) -> Outcome {
    let mut terminate = signal_stream(SignalKind::terminate())?;
    let mut interrupt = signal_stream(SignalKind::interrupt())?;
    let mut hang_up = signal_stream(SignalKind::hangup())?;
    let ending = CancellationToken::new();
    let serving = server::serve(listeners, server::router(Arc::clone(state)), ending.clone());
    let mut serving = std::pin::pin!(serving);
    let mut look = tokio::time::interval(LOOK);
    notify("READY=1");
    loop {
        tokio::select! {
            () = &mut serving => break,
            _ = terminate.recv() => ending.cancel(),
            _ = interrupt.recv() => ending.cancel(),
            _ = hang_up.recv() => beside.reload().await,
            _ = look.tick() => beside.look(),
        }
        if ending.is_cancelled() {
            notify("STOPPING=1");
            tracing::info!("ending: requests under way are finished");
            state.end();
        }
    }
    // They hold the engine's state; its journal is closed when the last one has let go.
    beside.end().await;
    tracing::info!("ended");
    print::DONE
}

/// A signal, from here on waited for instead of what it does to a process that does not.
fn signal_stream(kind: SignalKind) -> Result<SignalStream, Failure> {
    signal(kind).map_err(|error| Failure::refused(format!("cannot listen for signals: {error}")))
}

fn checked(config: &Config, home: &Home, read: &Changeable, world: &SteeredSystem) -> Outcome {
    policies::check_configured(config)?;
    let addresses: Vec<String> = config.server.listen.iter().map(ToString::to_string).collect();
    print::line(&format!("environment  {}", config.environment))?;
    print::line(&format!(
        "listen       {}{}",
        addresses.join(", "),
        if read.certificate.is_some() { " (TLS)" } else { "" }
    ))?;
    print::line(&format!("socket       {}", home.socket.display()))?;
    let journal = if world.is_fresh() { "new" } else { "resumed" };
    print::line(&format!("journal      {} ({journal})", home.journal.display()))?;
    print::line(&format!("tokens       {}", read.tokens.len()))?;
    let definitions = &read.definitions;
    let steered = definitions.iter().filter(|flag| flag.steering().is_some()).count();
    print::line(&format!("definitions  {} flags, {steered} to be steered", definitions.len()))?;
    print::line(&format!("telemetry    {}", world.source()))?;
    print::line(&format!("steered by   {}", world.policy()))?;
    print::DONE
}
