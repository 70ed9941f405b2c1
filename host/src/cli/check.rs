//! `windlass policy check`: describes a component, calls it with a sample observation, and lists the limits it came near.

use crate::cli::policy_call::{CONFIGURING, answer_of};
use crate::cli::sample_observation;
use crate::cli::sandbox_args::{SandboxArgs, likely, now};
use crate::cli::words::counted;
use anyhow::{anyhow, bail};
use serde_json::{Value, json};
use std::path::Path;
use windlass_core::contract::MetricRequest;
use windlass_core::settings::PolicyLimits;
use windlass_core::{FailureKind, PolicyFailure, PolicyKind, error_chain};
use windlass_sandbox::component::{Called, PolicyComponent};
use windlass_sandbox::language;

/// The description of a component, as a document and as text.
///
/// The host cannot count how much a call uses of its stack, host-call bytes, handles and random bytes. So the first call
/// gets half of these limits; if it fails, a second call gets all of them.
pub(super) async fn check(file: &Path, config: Option<&str>, sandbox: &SandboxArgs) -> anyhow::Result<(Value, String)> {
    let limits = sandbox.limits()?;
    let halved = PolicyLimits {
        stack_bytes: limits.stack_bytes / 2,
        hostcall_bytes: limits.hostcall_bytes / 2,
        handles: limits.handles / 2,
        random_bytes: limits.random_bytes / 2,
        ..limits.clone()
    };
    if let Ok(Examined { document, text, failure: None }) = examine(file, config, sandbox, halved.clone()).await {
        return Ok((document, text));
    }
    let Examined { mut document, text, failure } = examine(file, config, sandbox, limits).await?;
    if failure.is_some() {
        return Ok((document, text));
    }
    // Again, because a slow moment of the machine can fail the first call.
    let reason = match examine(file, config, sandbox, halved).await {
        Ok(Examined { failure: None, .. }) => return Ok((document, text)),
        Ok(Examined { failure: Some(failure), .. }) => failure,
        Err(error) => error_chain(error.as_ref()),
    };
    if let Some(near) = document["sample"]["near"].as_array_mut() {
        near.push(json!("half of the stack, host-call bytes, handles and random bytes"));
    }
    let text = format!(
        "{text}          with half of the stack, host-call bytes, handles and random bytes, the call failed: {reason}\n"
    );
    Ok((document, text))
}

/// The description of a component.
struct Examined {
    document: Value,
    text: String,
    /// The reason why a sample call failed. `None` if none failed.
    failure: Option<String>,
}

async fn examine(
    file: &Path,
    config: Option<&str>,
    sandbox: &SandboxArgs,
    limits: PolicyLimits,
) -> anyhow::Result<Examined> {
    let (policy, language) = sandbox.load_within(file, limits).await?;
    let description = policy.description();
    let mut lines = vec![
        format!("{} {}: {}", description.name, description.version, description.summary),
        format!("kind:     {} (world `{}`)", policy.kind(), policy.kind().world()),
        format!("digest:   {}", policy.identity().digest),
        format!("size:     {} bytes", policy.size_bytes()),
        format!("language: {}", language.map_or_else(|| "unknown".to_owned(), |language| language.to_string())),
        format!("imports:  {}", list(policy.imports())),
        format!("exports:  {}", list(policy.exports())),
    ];
    if !policy.identity().replayable {
        lines.push("replay:   not possible: the policy may send HTTP requests while it decides".to_owned());
    }
    let schema: Value = serde_json::from_str(&description.config_schema)?;
    lines.push(format!("config:   {}", serde_json::to_string_pretty(&schema)?.replace('\n', "\n          ")));
    let mut document = json!({
        "name": description.name,
        "version": description.version,
        "summary": description.summary,
        "kind": policy.kind(),
        "digest": policy.identity().digest,
        "size_bytes": policy.size_bytes(),
        "language": language.map(|language| language.to_string()),
        "imports": policy.imports(),
        "exports": policy.exports(),
        "replayable": policy.identity().replayable,
        "config_schema": schema,
        "metrics": null,
        "sample": null,
    });
    let metrics = match configure(&policy, config.unwrap_or("{}")).await {
        Ok(metrics) => metrics,
        Err(error) if config.is_none() && error.downcast_ref().is_none_or(is_refusal) => {
            let error = error_chain(error.as_ref());
            lines.push(format!("sample:   no call, because the policy needs a `--config`; it rejects `{{}}`: {error}"));
            lines.push(String::new());
            return Ok(Examined { document, text: lines.join("\n"), failure: None });
        }
        Err(error) => {
            let hint = error.downcast_ref().and_then(|failure| language::hint_for_call(language, failure));
            return Err(anyhow!("{CONFIGURING}: {}{}", error_chain(error.as_ref()), likely(language, hint)));
        }
    };
    if let Some(config) = config {
        let metrics: Vec<String> =
            metrics.iter().map(|metric| format!("{} over {} ms", metric.name, metric.window)).collect();
        lines.push(format!("accepted: {config}"));
        lines.push(format!("metrics:  {}", list(&metrics)));
    }
    let windows = metrics.iter().map(|metric| json!({"name": metric.name, "window_ms": metric.window}));
    document["metrics"] = windows.collect();
    let sample = call_with_sample(&policy, language, config.unwrap_or("{}"), &metrics).await;
    lines.push(sample.text);
    lines.push(String::new());
    document["sample"] = json!({"failure": sample.failure, "near": sample.near});
    Ok(Examined { document, text: lines.join("\n"), failure: sample.failure })
}

/// The metrics a policy requests under a configuration that both its schema and the policy accept.
async fn configure(policy: &PolicyComponent, config: &str) -> anyhow::Result<Vec<MetricRequest>> {
    let problems = policy.schema_problems(config).await;
    if !problems.is_empty() {
        let problems =
            problems.iter().map(|(field, why)| if field.is_empty() { why.clone() } else { format!("{field}: {why}") });
        bail!("its schema does not allow it: {}", problems.collect::<Vec<_>>().join("; "));
    }
    answer_of(policy.configure(config, now()).await)
}

/// Returns true if the policy returned an error on purpose, which is no mistake of its author.
fn is_refusal(failure: &PolicyFailure) -> bool {
    failure.kind == FailureKind::Refused
}

/// The result of a call with 10 replicas.
struct Sample {
    text: String,
    /// The limits it came near, a sentence each.
    near: Vec<String>,
    /// The reason why the call failed. `None` if it succeeded.
    failure: Option<String>,
}

/// Calls a policy with 10 replicas.
async fn call_with_sample(
    policy: &PolicyComponent,
    language: Option<language::Language>,
    config: &str,
    metrics: &[MetricRequest],
) -> Sample {
    let limits = policy.limits();
    let mut used = Vec::new();
    let mut protected = None;
    let (answer, log, usage) = match policy.kind() {
        PolicyKind::Scaling => {
            let observation = sample_observation::scaling(10, metrics, now());
            let Called { answer, log, usage } = policy.decide(config, &observation).await;
            protected = policy.protected(config, &observation).await.map(|called| called.answer);
            let answer = answer.map(|decision| {
                used.push(("bytes of a reason", decision.reason.len() as u64, limits.reason_bytes));
                used.push(("bytes of returned memory", decision.memory.len() as u64, limits.returned_memory_bytes));
                format!("{}, `{}`", counted(u64::from(decision.replicas), "replica"), decision.reason)
            });
            (answer, log, usage)
        }
        PolicyKind::Health => {
            let Called { answer, log, usage } = policy.evaluate(config, &sample_observation::health(10, now())).await;
            let answer = answer.map(|report| {
                let longest = report.assessments.iter().map(|one| one.reason.len() as u64).max().unwrap_or_default();
                used.push(("bytes of a reason", longest, limits.reason_bytes));
                used.push(("bytes of returned memory", report.memory.len() as u64, limits.returned_memory_bytes));
                counted(report.assessments.len() as u64, "assessment")
            });
            (answer, log, usage)
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
    let mut text = match answer {
        Ok(answer) => format!("sample:   with 10 replicas, the policy returned {answer}"),
        Err(failure) => {
            failed = Some(failure.to_string());
            let hint = language::hint_for_call(language, &failure);
            format!("sample:   with 10 replicas, the policy returned no answer: {failure}{}", likely(language, hint))
        }
    };
    match protected {
        None => {}
        Some(Ok(protected)) => {
            text.push_str(&format!("\nprotects: {} of the 10 replicas during a scale-in", protected.len()));
        }
        Some(Err(failure)) => {
            failed = Some(failure.to_string());
            let hint = language::hint_for_call(language, &failure);
            text.push_str(&format!(
                "\nprotects: the policy returned no protected replicas: {failure}{}",
                likely(language, hint)
            ));
        }
    }
    text.push_str(&format!("\nused:     {time} microseconds, {} bytes of linear memory", usage.memory_bytes));
    // Half of a limit counts as near: production may have twice the replicas, or a slower machine.
    let near = used.iter().filter(|(_, used, limit)| used.saturating_mul(2) >= *limit && *used > 0);
    let near: Vec<String> = near.map(|(what, used, limit)| format!("{what}: {used} of {limit}")).collect();
    text.push_str(&format!("\nnear:     {}", if near.is_empty() { "no limit".to_owned() } else { near.join("; ") }));
    Sample { text, near, failure: failed }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
