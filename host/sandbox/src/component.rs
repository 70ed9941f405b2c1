//! One policy: its bytes checked, compiled and linked at load; each call in a store of its own.

use crate::call_store::{CallLog, CallState, CallUsage, Randomness, failure, time_exceeded};
use crate::compile::{CompileError, Compiler};
use crate::contract_check::{LinkProblem, Links};
use crate::convert::{wit_health, wit_manifest, wit_scaling};
use crate::engine::PolicyEngine;
use crate::{contract_check, convert, description, schema};
use async_trait::async_trait;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift};
use wasmtime::{Engine, Store};
use windlass_concurrency::Group;
use windlass_core::contract::{
    Description, HealthObservation, HealthReport, MetricRequest, ScalingDecision, ScalingObservation,
};
use windlass_core::policy::{HealthPolicy, ScalingPolicy};
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure, PolicyIdentity, PolicyKind, Timestamp};

/// Configurations under which the needs of a policy are remembered.
const NEEDS_KEPT: usize = 1_024;

/// A file is no policy, and why. The sentences are for its author.
#[derive(Debug, thiserror::Error)]
#[error("{}", sentences(.problems))]
pub struct LoadError {
    /// Everything found wrong; never empty.
    pub problems: Vec<LoadProblem>,
}

impl LoadError {
    /// Whether it may load another time as it is: it took too long, or compiling it did not come to its end.
    pub fn may_pass(&self) -> bool {
        self.problems.iter().all(LoadProblem::may_pass)
    }

    /// Whether it never will load as it is, whatever the settings allow.
    pub fn is_final(&self) -> bool {
        !self.problems.iter().all(|problem| problem.may_pass() || problem.hangs_on_settings())
    }
}

fn sentences(problems: &[LoadProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// One thing that keeps a file from being a policy.
#[derive(Debug, thiserror::Error)]
pub enum LoadProblem {
    /// No bytes.
    #[error("the file is empty; expected a WebAssembly component")]
    Empty,
    /// More bytes than allowed.
    #[error("the file has {size} bytes; a component may have at most {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: u64,
    },
    /// WebAssembly's text format, or any other text.
    #[error(
        "the file is text, not a WebAssembly component; if it is WAT, make a binary of it first: `wasm-tools parse FILE -o FILE.wasm`"
    )]
    Text,
    /// A core module.
    #[error(
        "the file is a core WebAssembly module, not a component; make one of it with \
         `windlass policy wrap FILE -o COMPONENT`"
    )]
    CoreModule,
    /// Code compiled ahead of time, which nobody may hand us.
    #[error("the file is machine code that a WebAssembly engine compiled; hand in the component it was made from")]
    Precompiled,
    /// Anything else.
    #[error("the file is not WebAssembly: it does not begin with the bytes `\\0asm`")]
    NotWasm,
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It needs more than any call may have.
    #[error("it needs more than a policy may have: {0}")]
    Demand(String),
    /// It does not fit the contract.
    #[error(transparent)]
    Link(#[from] LinkProblem),
    /// Its `describe` gave no answer.
    #[error("its function `describe` failed: {0}")]
    Manifest(PolicyFailure),
    /// Its description is not as the contract says.
    #[error("its description is wrong: {0}")]
    Description(String),
}

impl LoadProblem {
    fn may_pass(&self) -> bool {
        match self {
            Self::Compile(error) => !matches!(error, CompileError::Invalid(_)),
            Self::Manifest(failure) => matches!(failure.kind, FailureKind::Time | FailureKind::Busy),
            _ => false,
        }
    }

    fn hangs_on_settings(&self) -> bool {
        match self {
            Self::Manifest(failure) => failure.kind == FailureKind::Memory,
            Self::TooLarge { .. } | Self::Demand(_) | Self::Link(LinkProblem::NotGranted { .. }) => true,
            _ => false,
        }
    }
}

/// What a call gave, and what the policy wrote meanwhile.
#[derive(Debug)]
pub struct Called<T> {
    /// The answer, or why there is none.
    pub answer: Result<T, PolicyFailure>,
    /// What it wrote.
    pub log: CallLog,
    /// What it took.
    pub usage: CallUsage,
}

impl<T> Called<T> {
    /// No call was made.
    fn not_made(failure: PolicyFailure) -> Self {
        Self { answer: Err(failure), log: CallLog::default(), usage: CallUsage::default() }
    }
}

/// How often calls of a policy failed since it was loaded, by kind.
#[derive(Debug, Default)]
pub struct FailureCounts([AtomicU64; FailureKind::ALL.len()]);

impl FailureCounts {
    /// Failures of this kind.
    pub fn get(&self, kind: FailureKind) -> u64 {
        self.0[Self::index(kind)].load(Ordering::Relaxed)
    }

    fn add(&self, kind: FailureKind) {
        self.0[Self::index(kind)].fetch_add(1, Ordering::Relaxed);
    }

    fn index(kind: FailureKind) -> usize {
        FailureKind::ALL.iter().position(|other| *other == kind).expect("ALL holds every kind")
    }
}

/// What a call is for, which says how long it may take and whether it may ask the network.
#[derive(Clone, Copy)]
enum Occasion {
    /// It tells about itself, or checks a configuration.
    Manifest,
    /// It decides or evaluates.
    Decision,
}

/// A loaded policy.
pub struct PolicyComponent {
    engine: Arc<PolicyEngine>,
    limits: Arc<PolicyLimits>,
    pre: InstancePre<CallState>,
    links: Links,
    identity: PolicyIdentity,
    description: Description,
    imports: Vec<String>,
    exports: Vec<String>,
    size_bytes: usize,
    /// It imports random numbers, whose seed costs a hash of the observation.
    draws_random: bool,
    failures: FailureCounts,
    /// The group of its calls in the concurrency limit, which the revisions of a policy share.
    calls: Group,
    /// What it said it needs, by configuration: it is asked once under each.
    needs: Mutex<BTreeMap<String, Vec<MetricRequest>>>,
}

impl PolicyComponent {
    /// Checks, compiles and links a component, and asks it to describe itself. It is registered as `name`,
    /// or under the name it gives itself.
    ///
    /// # Errors
    /// Everything that is wrong with it, in sentences for its author.
    pub async fn load(
        engine: &Arc<PolicyEngine>,
        compiler: &Compiler,
        name: Option<&str>,
        bytes: Arc<[u8]>,
    ) -> Result<Self, LoadError> {
        Self::load_within(engine, compiler, engine.limits(), name, bytes).await
    }

    /// As [`PolicyComponent::load`], within limits of its own; no more memory and table elements than the engine's.
    ///
    /// # Errors
    /// As [`PolicyComponent::load`].
    pub async fn load_within(
        engine: &Arc<PolicyEngine>,
        compiler: &Compiler,
        limits: &Arc<PolicyLimits>,
        name: Option<&str>,
        bytes: Arc<[u8]>,
    ) -> Result<Self, LoadError> {
        check_file(&bytes, limits).map_err(one)?;
        let size_bytes = bytes.len();
        let digest = {
            let bytes = Arc::clone(&bytes);
            beside(move || digest(&bytes)).await?
        };
        let code = compiler.compile(engine, limits, &bytes, &digest).await;
        let code = code.map_err(|error| one(error.into()))?;
        drop(bytes);
        let _mapping = engine.mapping();
        let linked = {
            let (engine, is_granted_http) = (Arc::clone(engine), limits.http.is_some());
            beside(move || link_code(&engine, &code, is_granted_http)).await??
        };
        let Linked { pre, links, imports, exports } = linked;
        let mut policy = Self {
            engine: Arc::clone(engine),
            limits: Arc::clone(limits),
            pre,
            links,
            identity: PolicyIdentity {
                name: String::new(),
                version: String::new(),
                digest: format!("sha256:{digest}"),
                replayable: !contract_check::asks_network(&imports),
                ..PolicyIdentity::default()
            },
            description: Description {
                name: String::new(),
                version: String::new(),
                summary: String::new(),
                config_schema: String::new(),
            },
            draws_random: imports.iter().any(|import| import.starts_with("wasi:random/")),
            imports,
            exports,
            size_bytes,
            failures: FailureCounts::default(),
            calls: engine.call_group(),
            needs: Mutex::default(),
        };
        let described = policy.describe().await;
        described.log.trace(name.unwrap_or("a policy being loaded"));
        let description = described.answer.map_err(|failure| one(LoadProblem::Manifest(failure)))?;
        let (description, problems) = beside(move || {
            let problems = description::problems(&description);
            (description, problems)
        })
        .await?;
        if !problems.is_empty() {
            let problems = problems.into_iter().map(LoadProblem::Description).collect();
            return Err(LoadError { problems });
        }
        policy.identity.name = name.unwrap_or(&description.name).to_owned();
        policy.identity.version.clone_from(&description.version);
        policy.description = description;
        Ok(policy)
    }

    /// The component as this revision of its policy. `calls` is the group that the policy's revisions share.
    #[must_use]
    pub fn with_revision(mut self, number: u32, memory_since: u32, calls: &Group) -> Self {
        self.identity.revision = number;
        self.identity.memory_since = memory_since;
        self.calls = calls.clone();
        self
    }

    /// Who it is.
    pub fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    /// What it says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What it decides.
    pub fn kind(&self) -> PolicyKind {
        self.links.kind
    }

    /// What it imports, by name.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// What it exports, by name.
    pub fn exports(&self) -> &[String] {
        &self.exports
    }

    /// Size of the component in bytes.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Its limits.
    pub fn limits(&self) -> &Arc<PolicyLimits> {
        &self.limits
    }

    /// Wall time of one decision or evaluation: its own, and that of the requests it was granted.
    pub fn decision_time(&self) -> Duration {
        self.limits.decision_time + self.limits.http.as_ref().map_or(Duration::ZERO, |grant| grant.time)
    }

    /// How often its calls failed since it was loaded.
    pub fn failures(&self) -> &FailureCounts {
        &self.failures
    }

    /// What its schema finds wrong with a configuration, JSON text: (JSON pointer, what is wrong there).
    pub async fn schema_problems(&self, config: &str) -> Vec<(String, String)> {
        let (schema, config) = (self.description.config_schema.clone(), config.to_owned());
        let checked = beside(move || schema::check(&schema, &config)).await;
        checked.unwrap_or_else(|error| vec![(String::new(), error.to_string())])
    }

    /// Asks it to check a configuration and to say what it needs under it. `now` is what its clocks show.
    pub async fn configure(&self, config: &str, now: Timestamp) -> Called<Vec<MetricRequest>> {
        let called = self
            .call(Occasion::Manifest, now, self.randomness(&[config.as_bytes()]), async |store, instance| {
                let configure = instance
                    .get_typed_func::<contract_check::ConfigureArguments<'_>, contract_check::ConfigureAnswer>(
                        &mut *store,
                        &self.links.configure,
                    )?;
                configure.call_async(store, (config,)).await
            })
            .await;
        self.counted(called, |(answer,)| match answer {
            Ok(requirements) => Ok(convert::metric_requests(requirements)),
            Err(error) => Err(convert::refusal(&error)),
        })
    }

    /// One decision of a scaling policy.
    pub async fn decide(&self, config: &str, observation: &ScalingObservation) -> Called<ScalingDecision> {
        if self.kind() != PolicyKind::Scaling {
            return self.wrong_kind(PolicyKind::Scaling);
        }
        let called = self.ask::<contract_check::DecideAnswer>(&self.links.decide, config, observation).await;
        self.counted(called, |(answer,)| match answer {
            Ok(decision) => convert::decision(decision, &self.limits),
            Err(error) => Err(convert::refusal(&error)),
        })
    }

    /// The replicas that a scaling policy wants to be spared when there are to be fewer; none: it does not say.
    pub async fn protected(&self, config: &str, observation: &ScalingObservation) -> Option<Called<Vec<String>>> {
        let protected = self.links.protected.as_ref()?;
        let called = self.ask::<contract_check::ProtectedAnswer>(protected, config, observation).await;
        Some(self.counted(called, |(answer,)| match answer {
            Ok(protected) => convert::protected(protected, observation),
            Err(error) => Err(convert::refusal(&error)),
        }))
    }

    /// Calls a function of a scaling policy about an observation.
    async fn ask<Answer: ComponentNamedList + Lift + Send + Sync + 'static>(
        &self,
        function: &ComponentExportIndex,
        config: &str,
        observation: &ScalingObservation,
    ) -> Called<Answer> {
        let randomness = self.randomness_of(config, observation);
        let labels = convert::labels(&observation.workload);
        let replicas = convert::replicas(&observation.replicas);
        let samples = convert::samples(observation);
        let metrics = convert::metrics(observation, &samples);
        let shown = wit_scaling::Observation {
            now: observation.now.0,
            workload: convert::workload(&observation.workload, &labels),
            current_replicas: observation.current_replicas,
            replicas: &replicas,
            metrics: &metrics,
            memory: &observation.memory,
        };
        self.call(Occasion::Decision, observation.now, randomness, async |store, instance| {
            let function =
                instance.get_typed_func::<contract_check::DecideArguments<'_>, Answer>(&mut *store, function)?;
            function.call_async(store, (config, shown)).await
        })
        .await
    }

    /// One evaluation of a health policy.
    pub async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Called<HealthReport> {
        if self.kind() != PolicyKind::Health {
            return self.wrong_kind(PolicyKind::Health);
        }
        let limits = &self.limits;
        let randomness = self.randomness_of(config, observation);
        let labels = convert::labels(&observation.workload);
        let probes = convert::probes(observation);
        let replicas = convert::probed_replicas(observation, &probes);
        let shown = wit_health::Observation {
            now: observation.now.0,
            workload: convert::workload(&observation.workload, &labels),
            replicas: &replicas,
            memory: &observation.memory,
        };
        let called = self
            .call(Occasion::Decision, observation.now, randomness, async |store, instance| {
                let evaluate = instance
                    .get_typed_func::<contract_check::EvaluateArguments<'_>, contract_check::EvaluateAnswer>(
                        &mut *store,
                        &self.links.decide,
                    )?;
                evaluate.call_async(store, (config, shown)).await
            })
            .await;
        self.counted(called, |(answer,)| match answer {
            Ok(report) => convert::report(report, observation, limits),
            Err(error) => Err(convert::refusal(&error)),
        })
    }

    async fn describe(&self) -> Called<Description> {
        let called = self
            .call(Occasion::Manifest, Timestamp::default(), self.randomness(&[]), async |store, instance| {
                let describe =
                    instance.get_typed_func::<(), (wit_manifest::Description,)>(&mut *store, &self.links.describe)?;
                describe.call_async(store, ()).await
            })
            .await;
        self.counted(called, |(description,)| Ok(convert::description(&description)))
    }

    /// A fresh store with every limit, an instance in it, and one call, all within the time of its occasion. The
    /// store is dropped whatever happened: after a trap, or a call given up, the instance is dead.
    async fn call<T>(
        &self,
        occasion: Occasion,
        now: Timestamp,
        randomness: Randomness,
        run: impl AsyncFnOnce(&mut Store<CallState>, &Instance) -> wasmtime::Result<T>,
    ) -> Called<T> {
        let limits = &self.limits;
        let permit = match self.engine.permit(&self.calls).await {
            Ok(permit) => permit,
            Err(failure) => return Called::not_made(failure),
        };
        let (time, sender) = match occasion {
            Occasion::Manifest => (limits.manifest_time, None),
            Occasion::Decision => (self.decision_time(), self.engine.sender()),
        };
        let began = Instant::now();
        let mut store = CallState::new(limits, now, randomness, sender).into_store(self.engine.wasmtime(), time);
        let called = tokio::time::timeout(time, async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            run(&mut store, &instance).await
        })
        .await;
        let answer = match called {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure(&error, limits)),
            Err(_) => Err(time_exceeded(time)),
        };
        let usage = store.data().usage(began.elapsed());
        let log = store.data_mut().take_log();
        self.engine.clean(store, permit);
        Called { answer, usage, log }
    }

    /// Checks an answer and counts it if it is none.
    fn counted<T, U>(&self, called: Called<T>, check: impl FnOnce(T) -> Result<U, PolicyFailure>) -> Called<U> {
        let answer = called.answer.and_then(check);
        if let Err(failure) = &answer {
            self.failures.add(failure.kind);
        }
        Called { answer, log: called.log, usage: called.usage }
    }

    fn wrong_kind<T>(&self, wanted: PolicyKind) -> Called<T> {
        self.failures.add(FailureKind::Link);
        let reason = format!("it is a {} policy and was asked as a {wanted} policy", self.kind());
        Called::not_made(PolicyFailure::new(FailureKind::Link, reason))
    }

    fn randomness(&self, seed: &[&[u8]]) -> Randomness {
        if self.draws_random { Randomness::seeded(seed, &self.limits) } else { Randomness::none() }
    }

    fn randomness_of(&self, config: &str, observation: &impl serde::Serialize) -> Randomness {
        if !self.draws_random {
            return Randomness::none();
        }
        // An observation with a number JSON cannot hold still gives a seed, from the configuration alone.
        let observation = serde_json::to_vec(observation).unwrap_or_default();
        self.randomness(&[config.as_bytes(), &observation])
    }
}

impl std::fmt::Debug for PolicyComponent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyComponent").field("identity", &self.identity).finish_non_exhaustive()
    }
}

#[async_trait]
impl ScalingPolicy for PolicyComponent {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn requirements(&self, config: &str, now: Timestamp) -> Result<Vec<MetricRequest>, PolicyFailure> {
        let kept = || self.needs.lock();
        if let Some(known) = kept().get(config) {
            return Ok(known.clone());
        }
        let called = self.configure(config, now).await;
        called.log.trace(&self.identity.name);
        let requests = called.answer?;
        let mut kept = kept();
        if kept.len() >= NEEDS_KEPT {
            kept.clear();
        }
        kept.insert(config.to_owned(), requests.clone());
        Ok(requests)
    }

    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        let called = PolicyComponent::decide(self, config, observation).await;
        called.log.trace(&self.identity.name);
        called.answer
    }

    async fn protected(
        &self,
        config: &str,
        observation: &ScalingObservation,
    ) -> Option<Result<Vec<String>, PolicyFailure>> {
        let called = PolicyComponent::protected(self, config, observation).await?;
        called.log.trace(&self.identity.name);
        Some(called.answer)
    }
}

#[async_trait]
impl HealthPolicy for PolicyComponent {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn evaluate(&self, config: &str, observation: &HealthObservation) -> Result<HealthReport, PolicyFailure> {
        let called = PolicyComponent::evaluate(self, config, observation).await;
        called.log.trace(&self.identity.name);
        called.answer
    }
}

fn one(problem: LoadProblem) -> LoadError {
    LoadError { problems: vec![problem] }
}

/// Runs what takes long on a thread for that: calls of other policies go on meanwhile.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| one(LoadProblem::Compile(CompileError::Child(error.to_string()))))
}

/// A component that fits the contract, ready for instances.
struct Linked {
    pre: InstancePre<CallState>,
    links: Links,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn link_code(engine: &PolicyEngine, code: &[u8], is_granted_http: bool) -> Result<Linked, LoadError> {
    let component = deserialize(engine.wasmtime(), code).map_err(|error| one(demand(&error)))?;
    let links = contract_check::check(engine.wasmtime(), &component, is_granted_http)
        .map_err(|problems| LoadError { problems: problems.into_iter().map(LoadProblem::from).collect() })?;
    // Names were compared; what is left is a function of WASI that this host's version has not.
    let pre = engine.linker().instantiate_pre(&component).map_err(|error| one(demand(&error)))?;
    let (imports, exports) = contract_check::names(engine.wasmtime(), &component);
    Ok(Linked { pre, links, imports, exports })
}

/// What can be told from a file's first bytes.
fn check_file(bytes: &[u8], limits: &PolicyLimits) -> Result<(), LoadProblem> {
    if bytes.is_empty() {
        return Err(LoadProblem::Empty);
    }
    if bytes.len() as u64 > limits.component_bytes {
        return Err(LoadProblem::TooLarge { size: bytes.len(), limit: limits.component_bytes });
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadProblem::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        let beginning = &bytes[..bytes.len().min(1_024)];
        let is_text = beginning.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t'));
        return Err(if is_text { LoadProblem::Text } else { LoadProblem::NotWasm });
    }
    // The two bytes after the version tell a module (0) from a component (1).
    if bytes.get(6..8) == Some(&[0, 0]) {
        return Err(LoadProblem::CoreModule);
    }
    Ok(())
}

fn demand(error: &wasmtime::Error) -> LoadProblem {
    LoadProblem::Demand(convert::excerpt(&format!("{error:#}")))
}

/// Loads machine code that our own compiler wrote.
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    #[expect(unsafe_code, reason = "the library cannot check machine code; we check where it comes from")]
    // SAFETY: `code` was written by `Engine::precompile_component`, either just now, by this process or by
    // its child over a pipe that nobody else holds, or earlier, and then its authentication code proved that
    // nobody changed it since (see `cache`). It is memory of ours, not a file that could change meanwhile.
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// SHA-256 of these bytes in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
