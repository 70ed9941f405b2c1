//! Scenarios as text files: each file of `scenarios/` runs on the real control loop with the built-in policies, the
//! simulated engine and simulated time. The output is compared with a `.snap` file. A new case is a new file;
//! `scenarios/README.md` describes the commands.

mod swarm;

use anyhow::{Context as _, bail};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{ControlError, Controller, Parts, PassReport};
use windlass_core::contract::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use windlass_core::engine::{AnyEngine, EngineError};
use windlass_core::net::{Net, NetError, Reach, SourceRequest, SourceResponse};
use windlass_core::policy::{HealthPolicy, Policies, PolicySource, ScalingPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::store::{DecisionQuery, StoredDecision};
use windlass_core::workload::{Bounds, DesiredStatus, HookCall, Resources, StopHook};
use windlass_core::{
    DurationMs, FailureKind, HttpProbe, Phase, PolicyFailure, PolicyIdentity, Probe, ProbeTarget, Replica, Rollout,
    RolloutMode, Slot, Timestamp, Workload, WorkloadKey,
};
use windlass_simulated_engine::{Call, SimulatedEngine, SimulatedSwarm};
use windlass_storage::SqliteStore;
use windlass_tests::alone::is_alone;
use windlass_tests::policies::built_in;

/// The start of simulated time.
const BASE: Timestamp = Timestamp(1_700_000_000_000);

/// A real policy with a switch that makes it fail.
struct Fallible<P: ?Sized> {
    real: Arc<P>,
    broken: Arc<AtomicBool>,
}

impl<P: ?Sized> Fallible<P> {
    fn check(&self) -> Result<(), PolicyFailure> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(PolicyFailure::new(FailureKind::Trap, "it trapped"));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl ScalingPolicy for Fallible<dyn ScalingPolicy> {
    fn identity(&self) -> &PolicyIdentity {
        self.real.identity()
    }
    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.check()?;
        self.real.decide(config, observation).await
    }
}

#[async_trait::async_trait]
impl HealthPolicy for Fallible<dyn HealthPolicy> {
    fn identity(&self) -> &PolicyIdentity {
        self.real.identity()
    }
    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        self.check()?;
        self.real.evaluate(config, observation).await
    }
}

/// Probe results of replicas by address; other replicas answer successfully.
#[derive(Default)]
struct SimNet {
    answers: Mutex<HashMap<IpAddr, NetError>>,
}

#[async_trait::async_trait]
impl Net for SimNet {
    async fn http_probe(&self, address: SocketAddr, _: &HttpProbe, timeout: Duration) -> Result<DurationMs, NetError> {
        self.tcp_connect(address, false, timeout).await
    }
    async fn tcp_connect(&self, address: SocketAddr, _: bool, _: Duration) -> Result<DurationMs, NetError> {
        match self.answers.lock().expect("no holder panics").get(&address.ip()) {
            Some(error) => Err(error.clone()),
            None => Ok(5),
        }
    }
    async fn query_source(&self, _: &SourceRequest<'_>, _: u64, _: Duration) -> Result<SourceResponse, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn post_json(&self, _: &str, _: Reach, _: &serde_json::Value, _: Duration) -> Result<(), NetError> {
        Ok(())
    }
}

struct Story {
    clock: Clock,
    engine: SimulatedEngine,
    /// The engine of a scenario about a Swarm. `None` if it is `engine`.
    swarm: Option<SimulatedSwarm>,
    /// The counts that the scaling policy proposes instead of its own.
    proposals: swarm::Proposals,
    /// Milliseconds by which the engine's clock is ahead of the host's; negative if it is behind.
    ahead: Arc<AtomicI64>,
    net: Arc<SimNet>,
    scaling_broken: Arc<AtomicBool>,
    health_broken: Arc<AtomicBool>,
    directory: tempfile::TempDir,
    controller: Controller,
    told: HashMap<WorkloadKey, i64>,
    text: String,
}

impl Story {
    fn begin() -> anyhow::Result<Self> {
        let clock = Clock::simulated(BASE);
        let ahead: Arc<AtomicI64> = Arc::default();
        let by = Arc::clone(&ahead);
        let stamps = move || Timestamp(clock.now().0.saturating_add_signed(by.load(Ordering::SeqCst)));
        let engine = SimulatedEngine::new(stamps, Duration::from_millis(500));
        let net = Arc::new(SimNet::default());
        let (scaling_broken, health_broken) = (Arc::default(), Arc::default());
        let directory = folder()?;
        let (broken, proposals) = ((&scaling_broken, &health_broken), swarm::Proposals::default());
        let policies = policies(broken, &proposals);
        let controller = begin(clock, Arc::new(engine.clone()).into(), policies, &net, directory.path())?;
        let (swarm, told, text) = (None, HashMap::new(), String::new());
        Ok(Self {
            clock,
            engine,
            swarm,
            proposals,
            ahead,
            net,
            scaling_broken,
            health_broken,
            directory,
            controller,
            told,
            text,
        })
    }

    /// Ends the host and starts it again with its stored state.
    async fn restart(&mut self) -> anyhow::Result<()> {
        self.controller.shut_down().await;
        // The old store releases the directory when its last user is dropped.
        let directory = folder()?;
        let old = std::mem::replace(&mut self.directory, directory);
        copy_store(old.path(), self.directory.path())?;
        let engine = match &self.swarm {
            Some(swarm) => AnyEngine::Counts(Arc::new(swarm.clone())),
            None => Arc::new(self.engine.clone()).into(),
        };
        let policies = policies((&self.scaling_broken, &self.health_broken), &self.proposals);
        self.controller = begin(self.clock, engine, policies, &self.net, self.directory.path())?;
        Ok(())
    }

    async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.text, "> {line}")?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let key = |name: &str| WorkloadKey::stored(name);
        if self.tell_of_swarm(&words).await? {
            return self.after_command().await;
        }
        match words.as_slice() {
            ["start", name, rest @ ..] => {
                let started = self.controller.start(workload(name, rest)?).await;
                self.say(started.map(|started| match started.replica {
                    Some(replica) => format!("created: {}, {}", started.created, replica.name),
                    None => format!("waits: {}", started.pass.reason),
                }))?;
            }
            ["scale", name, min, max] => {
                let bounds = Bounds::new(min.parse()?, max.parse()?)?;
                let pass = self.controller.scale(&key(name), bounds).await;
                self.say_pass(pass)?;
            }
            ["rollback", name] => {
                let pass = self.controller.roll_back(&key(name)).await;
                self.say_pass(pass)?;
            }
            ["reconcile", name] => {
                let pass = self.controller.reconcile(&key(name)).await;
                self.say_pass(pass)?;
            }
            ["delete", name] => {
                let removed = self.controller.delete(&key(name)).await;
                self.say(removed.map(|removed| format!("removed {}", removed.len())))?;
            }
            ["hold", replica] => {
                let held = self.controller.hold(&self.replica(replica)?.name).await;
                self.say(held.map(|held| held.status))?;
            }
            ["release", replica] => {
                let released = self.controller.release(&self.replica(replica)?.name).await;
                self.say(released.map(|released| released.status))?;
            }
            ["remove", replica, force @ ..] => {
                let removed = self.controller.remove(&self.replica(replica)?.name, force == ["force"]).await;
                self.say(removed.map(|removed| format!("removed {}", removed.name)))?;
            }
            ["kill", replica] => self.engine.kill(&self.replica(replica)?.id, 137),
            ["exit", replica, code] => self.engine.kill(&self.replica(replica)?.id, code.parse()?),
            ["docker-stop", replica] => self.engine.stop_outside(&self.replica(replica)?.id),
            ["docker-kill", replica, "KILL"] => self.engine.kill_outside(&self.replica(replica)?.id),
            ["docker-kill", replica] => self.engine.signal_outside(&self.replica(replica)?.id),
            ["docker-pause", replica] => self.engine.set_phase(&self.replica(replica)?.id, Phase::Paused),
            ["docker-unpause", replica] => self.engine.set_phase(&self.replica(replica)?.id, Phase::Running),
            ["docker-update-restart", replica, policy] => {
                let policy = Some((*policy).to_owned());
                self.engine.change(&self.replica(replica)?.id, |replica| replica.restart_policy = policy);
            }
            ["engine-restarts", replica] => {
                self.engine.change(&self.replica(replica)?.id, |replica| {
                    replica.engine_restarts += 1;
                    replica.phase = Phase::Restarting;
                    "restarting".clone_into(&mut replica.status);
                });
            }
            ["dead", replica] => self.engine.set_phase(&self.replica(replica)?.id, Phase::Dead),
            ["undescribed", replica] => self.engine.change(&self.replica(replica)?.id, |replica| {
                replica.phase = Phase::Unknown;
                "the engine did not answer within 5 s: inspect container".clone_into(&mut replica.error);
            }),
            ["stranger", replica] => self.engine.copy_labels(&self.replica(replica)?.id),
            ["docker-rename", replica] => {
                self.engine.change(&self.replica(replica)?.id, |replica| {
                    replica.name = format!("renamed-{}", replica.name);
                    replica.has_slot_name = false;
                });
            }
            ["docker-start", replica] => self.engine.start_outside(&self.replica(replica)?.id),
            ["resume", name] => {
                let pass = self.controller.override_policy(&key(name), true, |it| *it = Default::default()).await;
                self.say_pass(pass)?;
            }
            ["vanish", replica] => self.engine.vanish(&self.replica(replica)?.id),
            ["crash-after", name, "never"] => self.engine.set_crash_after(&key(name), None),
            ["crash-after", name, after] => self.engine.set_crash_after(&key(name), Some(duration(after)?)),
            ["probe", replica, outcome] => {
                let address = self.replica(replica)?.address.context("it has an address")?;
                let mut answers = self.net.answers.lock().expect("no holder panics");
                match *outcome {
                    "ok" => answers.remove(&address),
                    "fails" => answers.insert(address, NetError::Failed("GET / answered 500".to_owned())),
                    "times-out" => answers.insert(address, NetError::TimedOut(Duration::from_secs(1))),
                    other => bail!("`{other}`: expected ok, fails or times-out"),
                };
            }
            ["engine", "down"] => self.engine.set_down(Some("connection refused")),
            ["engine", "up"] => self.engine.set_down(None),
            ["engine", "ahead", by] => {
                self.ahead.store(i64::try_from(duration(by)?.as_millis())?, Ordering::SeqCst);
            }
            ["engine", "behind", by] => {
                self.ahead.store(-i64::try_from(duration(by)?.as_millis())?, Ordering::SeqCst);
            }
            ["engine", "refuses", call, times, why @ ..] => {
                let call = match *call {
                    "list" => Call::List,
                    "create" => Call::Create,
                    "prepare" => Call::Prepare,
                    "start" => Call::Start,
                    "stop" => Call::Stop,
                    "remove" => Call::Remove,
                    other => bail!("`{other}` is not a call"),
                };
                let why = why.join(" ");
                let error = match why.strip_prefix("name-taken ") {
                    Some(why) => EngineError::NameTaken(why.to_owned()),
                    None => EngineError::Refused(why),
                };
                self.engine.fail(call, std::iter::repeat_n(error, times.parse()?));
            }
            ["policy", kind, state] => {
                let broken = match *kind {
                    "scaling" => &self.scaling_broken,
                    "health" => &self.health_broken,
                    other => bail!("`{other}` is not a kind of policy"),
                };
                broken.store(*state == "traps", Ordering::SeqCst);
            }
            ["restart", "windlass"] => self.restart().await?,
            ["ready"] => {
                let readiness = self.controller.readiness();
                let late = readiness.late.join(", ");
                writeln!(
                    self.text,
                    "  ready: {}, engine: {:?}, late: [{late}]",
                    readiness.is_ready(),
                    readiness.engine
                )?;
            }
            ["wait", length] => tokio::time::sleep(duration(length)?).await,
            ["show", name] => self.show(&key(name))?,
            _ => bail!("`{line}` is no command; scenarios/README.md has the list"),
        }
        self.after_command().await
    }

    async fn after_command(&mut self) -> anyhow::Result<()> {
        // Simulated time advances only when every task waits: the effects of the command are complete.
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.tell_decisions().await
    }

    fn say(&mut self, result: Result<String, ControlError>) -> anyhow::Result<()> {
        match result {
            Ok(text) => writeln!(self.text, "  = {text}")?,
            Err(error) => writeln!(self.text, "  ! {error}")?,
        }
        Ok(())
    }

    fn say_pass(&mut self, pass: Result<PassReport, ControlError>) -> anyhow::Result<()> {
        self.say(pass.map(|pass| match pass.error {
            Some(error) => format!("{}: {error}", pass.reason),
            None => format!("{} actions; {}", pass.actions.len(), pass.reason),
        }))
    }

    /// Every decision recorded since the last call, oldest first.
    async fn tell_decisions(&mut self) -> anyhow::Result<()> {
        for view in self.controller.views() {
            let key = view.workload.key;
            let Ok(page) = self.controller.decisions(&key, DecisionQuery::newest(1_000)).await else { continue };
            let decisions: Vec<_> = page.decisions.iter().map(StoredDecision::record).collect::<Result<_, _>>()?;
            let told = self.told.entry(key.clone()).or_default();
            for decision in decisions.iter().rev().filter(|decision| decision.id > *told) {
                let at = decision.at.since(BASE).as_secs_f64();
                let (target, reason) = (&decision.body["target"], decision.body["reason"].as_str().unwrap_or(""));
                match self.swarm {
                    None => writeln!(self.text, "  {at:.3}s {key}: {target} wanted: {reason}")?,
                    // Passes follow the tasks of the simulated Swarm, which end in any order within a few milliseconds.
                    Some(_) => writeln!(self.text, "  {key}: {target} wanted: {reason}")?,
                }
                for action in decision.body["actions"].as_array().into_iter().flatten() {
                    let word = |field: &str| action[field].as_str().unwrap_or("-").to_owned();
                    match word("action").as_str() {
                        // An action on a service has no container.
                        action @ ("set-count" | "deploy") => write!(self.text, "    {action}: {}", word("reason"))?,
                        action => write!(self.text, "    {action} {}: {}", word("name"), word("reason"))?,
                    }
                    if action["ok"] == false {
                        write!(self.text, " — failed: {}", word("error"))?;
                    }
                    writeln!(self.text)?;
                }
                for deferral in decision.body["deferred"].as_array().into_iter().flatten() {
                    let until = Timestamp(deferral["until"].as_u64().unwrap_or_default()).since(BASE).as_secs_f64();
                    let reason = deferral["reason"].as_str().unwrap_or_default();
                    writeln!(self.text, "    waits until {until:.3}s, slot {}: {reason}", deferral["slot"])?;
                }
                for alert in decision.body["alerts"].as_array().into_iter().flatten() {
                    let word = |field: &str| alert[field].as_str().unwrap_or("-").to_owned();
                    writeln!(self.text, "    alert {}, slot {}: {}", word("kind"), alert["slot"], word("reason"))?;
                }
            }
            *told = decisions.first().map_or(*told, |newest| newest.id);
        }
        Ok(())
    }

    fn show(&mut self, key: &WorkloadKey) -> anyhow::Result<()> {
        let Some(view) = self.controller.view(key) else {
            writeln!(self.text, "  no workload `{key}`")?;
            return Ok(());
        };
        let bounds = view.workload.bounds;
        writeln!(self.text, "  {} wanted, {} to {}", view.target, bounds.min(), bounds.max())?;
        for replica in &view.replicas {
            let health = view.health.get(&replica.id).copied().unwrap_or_default();
            let why = view.health_reasons.get(&replica.id).map(String::as_str).unwrap_or_default();
            let outdated = if view.outdated.contains(&replica.id) { ", outdated" } else { "" };
            writeln!(self.text, "  {} {:?} {health:?}: {why}{outdated}", replica.name, replica.phase)?;
        }
        for stranger in &view.strangers {
            writeln!(self.text, "  stranger {}", stranger.name)?;
        }
        for alert in &view.alerts {
            let since = alert.since.since(BASE).as_secs_f64();
            match self.swarm {
                None => writeln!(self.text, "  alert {:?} since {since:.3}s: {}", alert.kind, alert.reason)?,
                Some(_) => writeln!(self.text, "  alert {:?}: {}", alert.kind, alert.reason)?,
            }
        }
        Ok(())
    }

    /// `web/2`: the replica in slot 2 of workload `web`.
    fn replica(&self, word: &str) -> anyhow::Result<Replica> {
        let (name, slot) = word.rsplit_once('/').context("a replica is written `web/2`")?;
        let slot = Slot(slot.parse()?);
        let key = WorkloadKey::stored(name);
        let replicas = self.swarm.as_ref().map_or_else(|| self.engine.replicas(&key), |swarm| swarm.replicas(&key));
        replicas.into_iter().find(|replica| replica.slot == slot).with_context(|| format!("no replica `{word}`"))
    }
}

fn begin(
    clock: Clock,
    engine: AnyEngine,
    policies: Arc<dyn PolicySource>,
    net: &Arc<SimNet>,
    directory: &Path,
) -> anyhow::Result<Controller> {
    Ok(Controller::begin(Parts {
        engine,
        store: Arc::new(SqliteStore::open(directory, 1_000)?),
        policies,
        net: Arc::<SimNet>::clone(net),
        host_name: "here".to_owned(),
        settings: ControlSettings::default(),
        clock,
    })?)
}

/// The built-in policies, with switches that make the scaling policy and the health policy fail.
fn policies(
    (scaling_broken, health_broken): (&Arc<AtomicBool>, &Arc<AtomicBool>),
    proposals: &swarm::Proposals,
) -> Arc<dyn PolicySource> {
    let (scaling, health) = built_in();
    let plain = Policies::plain(
        Arc::new(Fallible { real: scaling, broken: Arc::clone(scaling_broken) }),
        Arc::new(Fallible { real: health, broken: Arc::clone(health_broken) }),
    );
    Arc::new(swarm::ScenarioPolicies { plain, proposals: Arc::clone(proposals) })
}

/// An empty data directory that other users cannot enter.
fn folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir()
}

fn copy_store(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn workload(image: &str, words: &[&str]) -> anyhow::Result<Workload> {
    let (name, image) = image.split_once('=').map_or((None, image), |(name, image)| (Some(name), image));
    let image: windlass_core::ImageRef = image.parse()?;
    let word = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let bounds = Bounds::new(word("min").unwrap_or("1").parse()?, word("max").unwrap_or("5").parse()?)?;
    let status = if words.contains(&"stopped") { DesiredStatus::Stopped } else { DesiredStatus::Running };
    let probe = words.contains(&"probed").then(|| Probe {
        target: ProbeTarget::Http(HttpProbe::get(80, "/")),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(1),
    });
    let mode = if words.contains(&"manual") { RolloutMode::Manual } else { RolloutMode::Rolling };
    let ports = match word("port") {
        Some(port) => serde_json::from_value(serde_json::json!({"80/tcp": port.parse::<u16>()?}))?,
        None => Default::default(),
    };
    let mut workload = Workload {
        probe,
        depends_on: word("needs").into_iter().map(WorkloadKey::stored).collect(),
        env: word("env").map(|value| ("VERSION".to_owned(), value.to_owned())).into_iter().collect(),
        ports,
        rollout: Rollout { mode, ..Rollout::default() },
        ..Workload::new(image, bounds, Resources { cpu: "0.1".parse()?, memory: "64m".parse()?, status })
    };
    if let Some(name) = name {
        workload.key = WorkloadKey::named(name)?;
    }
    if words.contains(&"hooked") {
        let call = HookCall::Exec { command: vec!["drain".to_owned()] };
        workload.stop_hook = Some(StopHook { call, timeout: Duration::from_secs(10) });
    }
    if let Some(target) = word("cpu") {
        workload.policies.scaling = vec![swarm::tracks_cpu(target)];
    }
    Ok(workload)
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).context("a unit: ms, s or m")?);
    let number: u64 = number.parse()?;
    Ok(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(60 * number),
        other => bail!("`{other}`: expected ms, s or m"),
    })
}

fn run(path: &Path) -> anyhow::Result<String> {
    let story = std::fs::read_to_string(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if story.contains(" cpu=") {
            // Before time stands still: a policy is compiled at its first call.
            swarm::load_tracking().await?;
        }
        tokio::time::pause();
        let mut told = Story::begin()?;
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            told.tell(line).await.with_context(|| format!("{}: `{line}`", path.display()))?;
        }
        Ok(told.text)
    })
}

#[test]
fn every_scenario_ends_as_it_is_written_down() {
    // Other tests in the process change the times at which passes run.
    if !is_alone("scenarios::every_scenario_ends_as_it_is_written_down") {
        return;
    }
    insta::glob!("scenarios/*.txt", |path| {
        insta::assert_snapshot!(run(path).unwrap());
    });
}
