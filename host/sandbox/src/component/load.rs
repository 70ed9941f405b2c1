//! Loads a component: checks its bytes, compiles and links it, and calls `describe`.

use crate::call_store::CallState;
use crate::compile::{CompileError, Compiler};
use crate::component::loaded::{FailureCounts, PolicyComponent};
use crate::component::machine_code::deserialize;
use crate::component::problem::{LoadError, LoadProblem};
use crate::contract_check::Links;
use crate::digest::digest;
use crate::engine::PolicyEngine;
use crate::{compression, contract_check, convert, description};
use parking_lot::Mutex;
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::InstancePre;
use windlass_core::PolicyIdentity;
use windlass_core::contract::Description;
use windlass_core::settings::PolicyLimits;

impl PolicyComponent {
    /// Checks, compiles and links a component, and calls its `describe`. `name` is the name it is registered under. `None`
    /// uses the name in its description.
    ///
    /// # Errors
    /// Everything that is wrong with the component, in sentences for its author.
    pub async fn load(
        engine: &Arc<PolicyEngine>,
        compiler: &Compiler,
        name: Option<&str>,
        bytes: Arc<[u8]>,
    ) -> Result<Self, LoadError> {
        Self::load_within(engine, compiler, engine.limits(), name, bytes).await
    }

    /// As [`PolicyComponent::load`], with limits of its own. Memory and table elements are limited by the engine's limits too.
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
        check_file(&bytes, limits)?;
        let size_bytes = bytes.len();
        let digest = {
            let bytes = Arc::clone(&bytes);
            blocking(move || digest(&bytes)).await?
        };
        let code = compiler.compile(engine, limits, &bytes, &digest).await.map_err(LoadProblem::from)?;
        drop(bytes);
        let _mapping = engine.mapping();
        let code_bytes = code.len();
        let linked = {
            let (engine, is_granted_http) = (Arc::clone(engine), limits.http.is_some());
            blocking(move || link(&engine, &code, is_granted_http)).await??
        };
        let mut policy =
            Self::undescribed(engine, limits, linked, &digest, Sizes { component: size_bytes, code: code_bytes });
        let described = policy.describe().await;
        described.log.trace(name.unwrap_or("a policy being loaded"));
        let description = described.answer.map_err(LoadProblem::Manifest)?;
        let (description, problems) = blocking(move || {
            let problems = description::problems(&description);
            (description, problems)
        })
        .await?;
        if !problems.is_empty() {
            return Err(LoadError { problems: problems.into_iter().map(LoadProblem::Description).collect() });
        }
        policy.identity.name = name.unwrap_or(&description.name).to_owned();
        policy.identity.version.clone_from(&description.version);
        policy.description = description;
        Ok(policy)
    }

    /// A linked component before its `describe` is called.
    fn undescribed(
        engine: &Arc<PolicyEngine>,
        limits: &Arc<PolicyLimits>,
        Linked { pre, links, imports, exports }: Linked,
        digest: &str,
        sizes: Sizes,
    ) -> Self {
        let description = Description {
            name: String::new(),
            version: String::new(),
            summary: String::new(),
            config_schema: String::new(),
        };
        let identity = PolicyIdentity {
            digest: format!("sha256:{digest}"),
            replayable: !contract_check::sends_http(&imports),
            ..PolicyIdentity::default()
        };
        Self {
            engine: Arc::clone(engine),
            limits: Arc::clone(limits),
            pre,
            links,
            identity,
            description,
            draws_random: imports.iter().any(|import| import.starts_with("wasi:random/")),
            reads_readiness: contract_check::reads_readiness(&imports),
            imports,
            exports,
            size_bytes: sizes.component,
            code_bytes: sizes.code,
            failures: FailureCounts::default(),
            calls: engine.call_group(),
            requirements: Mutex::default(),
        }
    }
}

/// Runs slow work on a thread for blocking work, so that calls of other policies continue.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LoadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| LoadProblem::Compile(CompileError::Child(error.to_string())).into())
}

/// Bytes of a component, and of its machine code.
#[derive(Clone, Copy)]
struct Sizes {
    component: usize,
    code: usize,
}

/// A component that fits the contract and can be instantiated.
struct Linked {
    pre: InstancePre<CallState>,
    links: Links,
    imports: Vec<String>,
    exports: Vec<String>,
}

fn link(engine: &PolicyEngine, code: &[u8], is_granted_http: bool) -> Result<Linked, LoadError> {
    let component = deserialize(engine.wasmtime(), code).map_err(|error| demand(&error))?;
    let links = contract_check::check(engine.wasmtime(), &component, is_granted_http)
        .map_err(|problems| LoadError { problems: problems.into_iter().map(LoadProblem::from).collect() })?;
    // The contract check compared names. This still fails for a WASI function that this host's version lacks.
    let pre = engine.linker().instantiate_pre(&component).map_err(|error| demand(&error))?;
    let (imports, exports) = contract_check::names(engine.wasmtime(), &component);
    Ok(Linked { pre, links, imports, exports })
}

/// Checks the first bytes of a file, and its size.
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
    if let Some(compression) = compression::of(bytes) {
        return Err(LoadProblem::Compressed(compression.format, compression.program));
    }
    if !bytes.starts_with(b"\0asm") {
        let beginning = &bytes[..bytes.len().min(1_024)];
        let is_text = beginning.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t'));
        return Err(if is_text { LoadProblem::Text } else { LoadProblem::NotWasm });
    }
    // The two bytes after the version are 0 in a core module and 1 in a component.
    if bytes.get(6..8) == Some(&[0, 0]) {
        return Err(LoadProblem::CoreModule);
    }
    Ok(())
}

fn demand(error: &wasmtime::Error) -> LoadProblem {
    LoadProblem::Demand(convert::excerpt(&format!("{error:#}")))
}
