//! `windlass policy check`: what a component is, what it makes of a trial, and which limits it came near.

use crate::cli::policy::take;
use crate::cli::sample_observation;
use crate::cli::sandbox_args::{Desk, likely, now};
use anyhow::{anyhow, bail};
use std::path::Path;
use windlass_core::contract::MetricRequest;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure, PolicyKind};
use windlass_sandbox::component::{Called, PolicyComponent};
use windlass_sandbox::language;

/// What `check` prints.
///
/// What a call takes of its stack, of the bytes it hands to the host, of handles and of random bytes nobody counts. So it
/// is tried with half of these first, and where that fails with all of them.
pub(super) async fn check(file: &Path, config: Option<&str>, desk: &Desk) -> anyhow::Result<String> {
    let limits = desk.limits()?;
    let halved = PolicyLimits {
        stack_bytes: limits.stack_bytes / 2,
        hostcall_bytes: limits.hostcall_bytes / 2,
        handles: limits.handles / 2,
        random_bytes: limits.random_bytes / 2,
        ..limits.clone()
    };
    if let Ok(Examined { text, failure: None }) = examined(file, config, desk, halved.clone()).await {
        return Ok(text);
    }
    let Examined { text, failure } = examined(file, config, desk, limits).await?;
    if failure.is_some() {
        return Ok(text);
    }
    // Once more: the machine may have been slow for a moment.
    let why = match examined(file, config, desk, halved).await {
        Ok(Examined { failure: None, .. }) => return Ok(text),
        Ok(Examined { failure: Some(failure), .. }) => failure,
        Err(error) => format!("{error:#}"),
    };
    Ok(format!("{text}          with half of its stack, host-call bytes, handles and random bytes it failed: {why}\n"))
}

/// What was found of a component.
struct Examined {
    text: String,
    /// Why a call of the trial gave no answer.
    failure: Option<String>,
}

async fn examined(file: &Path, config: Option<&str>, desk: &Desk, limits: PolicyLimits) -> anyhow::Result<Examined> {
    let (policy, language) = desk.load_within(file, limits).await?;
    let description = policy.description();
    let mut lines = vec![
        format!("{} {}: {}", description.name, description.version, description.summary),
        format!("kind:     {} (world `{}`)", policy.kind(), policy.kind().world()),
        format!("digest:   {}", policy.identity().digest),
        format!("size:     {} bytes", policy.size_bytes()),
        format!("language: {}", language.map_or_else(|| "it does not say".to_owned(), |language| language.to_string())),
        format!("imports:  {}", list(policy.imports())),
        format!("exports:  {}", list(policy.exports())),
    ];
    if !policy.identity().replayable {
        lines.push("replay:   not possible: it may ask the network while it decides".to_owned());
    }
    let schema: serde_json::Value = serde_json::from_str(&description.config_schema)?;
    lines.push(format!("config:   {}", serde_json::to_string_pretty(&schema)?.replace('\n', "\n          ")));
    let needs = match configured(&policy, config.unwrap_or("{}")).await {
        Ok(needs) => needs,
        Err(error) if config.is_none() && error.downcast_ref().is_none_or(is_refusal) => {
            lines.push(format!("trial:    none, for it does not accept `{{}}`: {error:#}; say a `--config`"));
            lines.push(String::new());
            return Ok(Examined { text: lines.join("\n"), failure: None });
        }
        Err(error) => {
            let hint = error.downcast_ref().and_then(|failure| language::hint_for_call(language, failure));
            return Err(anyhow!("the configuration is refused: {error:#}{}", likely(language, hint)));
        }
    };
    if let Some(config) = config {
        let needs: Vec<String> = needs.iter().map(|need| format!("{} over {} ms", need.name, need.window)).collect();
        lines.push(format!("accepted: {config}"));
        lines.push(format!("metrics:  {}", list(&needs)));
    }
    let (told, failure) = tried(&policy, language, config.unwrap_or("{}"), &needs).await;
    lines.push(told);
    lines.push(String::new());
    Ok(Examined { text: lines.join("\n"), failure })
}

/// What a policy needs under a configuration, which its schema and it itself accept.
async fn configured(policy: &PolicyComponent, config: &str) -> anyhow::Result<Vec<MetricRequest>> {
    let problems = policy.schema_problems(config).await;
    if !problems.is_empty() {
        let problems =
            problems.iter().map(|(place, why)| if place.is_empty() { why.clone() } else { format!("{place}: {why}") });
        bail!("by its schema: {}", problems.collect::<Vec<_>>().join("; "));
    }
    take(policy.configure(config, now()).await)
}

/// Whether a policy failed on purpose: that is no mistake of its author.
fn is_refusal(failure: &PolicyFailure) -> bool {
    failure.kind == FailureKind::Refused
}

/// What became of a call that shows 10 replicas, and the limits it came near; and why one gave no answer.
async fn tried(
    policy: &PolicyComponent,
    language: Option<language::Language>,
    config: &str,
    needs: &[MetricRequest],
) -> (String, Option<String>) {
    let limits = policy.limits();
    let mut used = Vec::new();
    let mut spares = None;
    let (said, log, usage) = match policy.kind() {
        PolicyKind::Scaling => {
            let shown = sample_observation::scaling(10, needs, now());
            let Called { answer, log, usage } = policy.decide(config, &shown).await;
            spares = policy.protected(config, &shown).await.map(|called| called.answer);
            let said = answer.map(|decision| {
                used.push(("a reason of bytes", decision.reason.len() as u64, limits.reason_bytes));
                used.push(("memory handed back, in bytes", decision.memory.len() as u64, limits.returned_memory_bytes));
                format!("{} replicas, `{}`", decision.replicas, decision.reason)
            });
            (said, log, usage)
        }
        PolicyKind::Health => {
            let Called { answer, log, usage } = policy.evaluate(config, &sample_observation::health(10, now())).await;
            let said = answer.map(|report| {
                let longest = report.assessments.iter().map(|one| one.reason.len() as u64).max().unwrap_or_default();
                used.push(("a reason of bytes", longest, limits.reason_bytes));
                used.push(("memory handed back, in bytes", report.memory.len() as u64, limits.returned_memory_bytes));
                format!("{} assessments", report.assessments.len())
            });
            (said, log, usage)
        }
    };
    let time = u64::try_from(usage.time.as_micros()).unwrap_or(u64::MAX);
    let limit = u64::try_from(policy.decision_time().as_micros()).unwrap_or(u64::MAX);
    used.push(("microseconds", time, limit));
    used.push(("bytes of linear memory", usage.memory_bytes, limits.memory_bytes));
    used.push(("elements of a table", u64::from(usage.table_elements), u64::from(limits.table_elements)));
    used.push(("log lines", log.lines.len() as u64 + log.dropped_lines, u64::from(limits.log_lines)));
    used.push(("bytes of output", log.output.len() as u64 + log.dropped_output_bytes, limits.output_bytes));
    let mut failed = None;
    let mut text = match said {
        Ok(said) => format!("trial:    shown 10 replicas it said {said}"),
        Err(failure) => {
            failed = Some(failure.to_string());
            let hint = language::hint_for_call(language, &failure);
            format!("trial:    shown 10 replicas it gave no answer: {failure}{}", likely(language, hint))
        }
    };
    match spares {
        None => {}
        Some(Ok(spared)) => {
            text.push_str(&format!("\nspares:   {} of the 10 where there are to be fewer", spared.len()));
        }
        Some(Err(failure)) => {
            failed = Some(failure.to_string());
            let hint = language::hint_for_call(language, &failure);
            text.push_str(&format!(
                "\nspares:   asked whom to spare it gave no answer: {failure}{}",
                likely(language, hint)
            ));
        }
    }
    text.push_str(&format!("\nused:     {time} microseconds, {} bytes of linear memory", usage.memory_bytes));
    // Near is half of it: another day has twice the replicas, or a slower machine.
    let near = used.iter().filter(|(_, used, limit)| used.saturating_mul(2) >= *limit && *used > 0);
    let near: Vec<String> = near.map(|(what, used, limit)| format!("{what}: {used} of {limit}")).collect();
    text.push_str(&format!("\nnear:     {}", if near.is_empty() { "no limit".to_owned() } else { near.join("; ") }));
    (text, failed)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
