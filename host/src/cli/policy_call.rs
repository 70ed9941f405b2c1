//! One call of a policy from the command line: reads the observation, configures, calls, and prints the answer.

use crate::cli::words::counted;
use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::path::Path;
use windlass_core::PolicyKind;
use windlass_core::contract::{HealthObservation, HealthReport, ScalingDecision, ScalingObservation};
use windlass_sandbox::call_store::CallLog;
use windlass_sandbox::component::{Called, PolicyComponent};

/// The answer of a policy of either kind.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Scaling(ScalingDecision),
    Health(HealthReport),
}

/// Context of an error while a policy reads its configuration.
pub(super) const CONFIGURING: &str = "cannot configure the policy";

/// Calls a policy with one observation in JSON.
pub(super) async fn call(policy: &PolicyComponent, config: &str, observation: &[u8]) -> anyhow::Result<Answer> {
    match policy.kind() {
        PolicyKind::Scaling => {
            let observation: ScalingObservation = parse(observation, policy.kind())?;
            answer_of(policy.configure(config, observation.now).await).context(CONFIGURING)?;
            let called = policy.decide(config, &observation).await;
            Ok(Answer::Scaling(answer_of(called).context("the policy returned no decision")?))
        }
        PolicyKind::Health => {
            let observation: HealthObservation = parse(observation, policy.kind())?;
            answer_of(policy.configure(config, observation.now).await).context(CONFIGURING)?;
            let called = policy.evaluate(config, &observation).await;
            Ok(Answer::Health(answer_of(called).context("the policy returned no report")?))
        }
    }
}

/// Reads a file; `-` is standard input.
pub(super) fn read_input(input: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if input == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    } else {
        bytes = std::fs::read(input).with_context(|| format!("cannot read `{}`", input.display()))?;
    }
    Ok(bytes)
}

/// Parses the observation for a policy of this kind.
pub(super) fn parse<T: DeserializeOwned>(input: &[u8], kind: PolicyKind) -> anyhow::Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(input);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        anyhow!("the input is not an observation for a {kind} policy: at `{path}`: {}", error.into_inner())
    })?;
    if deserializer.end().is_err() {
        bail!("the input continues after the observation; pass one JSON object");
    }
    Ok(parsed)
}

/// The answer of a call. The policy's log lines and output go to standard error.
pub(super) fn answer_of<T>(called: Called<T>) -> anyhow::Result<T> {
    let CallLog { lines, dropped_lines, output, dropped_output_bytes } = called.log;
    let mut errors = std::io::stderr().lock();
    for (level, line) in lines {
        writeln!(errors, "{}: {line}", format!("{level:?}").to_lowercase())?;
    }
    if !output.is_empty() {
        writeln!(errors, "output: {output}")?;
    }
    if dropped_lines > 0 || dropped_output_bytes > 0 {
        let (lines, bytes) = (counted(dropped_lines, "log line"), counted(dropped_output_bytes, "byte"));
        writeln!(errors, "dropped beyond the limits: {lines}, {bytes} of output")?;
    }
    Ok(called.answer?)
}

/// A value as indented JSON.
pub(super) fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
