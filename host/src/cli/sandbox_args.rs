//! A policy on an author's desk: loaded under the limits and grants of a `windlass.toml`, or the defaults.

use crate::config;
use anyhow::{Context, anyhow};
use clap::Args;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use windlass_core::Timestamp;
use windlass_core::settings::PolicyLimits;
use windlass_network::NetClient;
use windlass_sandbox::compile::Compiler;
use windlass_sandbox::component::{LoadError, LoadProblem, PolicyComponent};
use windlass_sandbox::engine::PolicyEngine;
use windlass_sandbox::language;
use windlass_sandbox::language::Language;

/// Under whose limits a policy runs.
#[derive(Debug, Args)]
pub struct Desk {
    /// A `windlass.toml` whose limits and grants it is to have, those of `[policy]` [default: Windlass's own]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The name it has there: those of `[policies.NAME]` are put over them
    #[arg(long = "as", value_name = "NAME", requires = "settings")]
    name: Option<String>,
}

impl Desk {
    /// The limits of one call.
    ///
    /// # Errors
    /// When the file cannot be read, is wrong, or has no such policy.
    pub(super) fn limits(&self) -> anyhow::Result<PolicyLimits> {
        let Some(file) = &self.settings else { return Ok(PolicyLimits::default()) };
        let settings = config::policies(file)?;
        if let Some(name) = &self.name
            && !settings.named.contains_key(name)
        {
            return Err(anyhow!("`{}` has no `[policies.{}]`", file.display(), name.escape_debug()));
        }
        Ok(self.name.as_ref().map_or(&settings.limits, |name| settings.limits_of(name)).clone())
    }

    /// A policy loaded for a few calls, compiled in a child process and kept nowhere, and its language.
    ///
    /// # Errors
    /// When the settings are wrong, or it is no policy.
    pub(super) async fn load(&self, file: &Path) -> anyhow::Result<(PolicyComponent, Option<Language>)> {
        self.load_within(file, self.limits()?).await
    }

    /// As [`Desk::load`], within other limits.
    ///
    /// # Errors
    /// When it is no policy.
    pub(super) async fn load_within(
        &self,
        file: &Path,
        limits: PolicyLimits,
    ) -> anyhow::Result<(PolicyComponent, Option<Language>)> {
        let limits = PolicyLimits { concurrent_calls: 1, ..limits };
        let bytes = read_component(file, &limits)?;
        let engine = Arc::new(reaching(PolicyEngine::without_pool(limits)?)?);
        let loaded = PolicyComponent::load(&engine, &Compiler::this_program(), None, Arc::clone(&bytes)).await;
        Ok((loaded.map_err(|error| hinted(file, &bytes, &error))?, language::of(&bytes)))
    }
}

/// The same engine, with the network for those that were granted some of it.
pub(super) fn reaching(engine: PolicyEngine) -> anyhow::Result<PolicyEngine> {
    if engine.limits().http.is_some() {
        engine.send_with(NetClient::new()?);
    }
    Ok(engine)
}

/// The bytes of a file; of one that is too long, one more than allowed: enough to refuse it.
pub(super) fn read_component(file: &Path, limits: &PolicyLimits) -> anyhow::Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(limits.component_bytes.saturating_add(1)).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    Ok(bytes.into())
}

/// Why a file is no policy, with the mistake that is likely in its language.
pub(super) fn hinted(file: &Path, bytes: &[u8], error: &LoadError) -> anyhow::Error {
    let language = language::of(bytes);
    let problem = |problem: &LoadProblem| {
        let hint = language::hint_for_loading(language, problem);
        format!("\n  - {problem}{}", likely(language, hint).replace("\n  ", "\n    "))
    };
    let problems: Vec<String> = error.problems.iter().map(problem).collect();
    anyhow!("`{}` is not a policy this host can run:{}", file.display(), problems.concat())
}

/// The mistake that is likely, for people.
pub(super) fn likely(language: Option<Language>, hint: Option<&str>) -> String {
    match (language, hint) {
        (Some(language), Some(hint)) => format!("\n  likely, in {language}: {hint}"),
        (None, Some(hint)) => format!("\n  likely: {hint}"),
        (_, None) => String::new(),
    }
}

/// The time a configuration is checked at, where no observation tells one.
pub(super) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::default().plus(since_epoch)
}
