//! `windlass policy run --decision`: repeats the call of a recorded decision and compares the answers.

use crate::cli::policy_call::{answer_of, call, parse, read_input, to_json};
use crate::cli::sandbox_args::SandboxArgs;
use crate::cli::server::Server;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use windlass_api::answer::list;
use windlass_core::contract::{Phase, ScalingObservation};
use windlass_core::{FailureKind, PolicyFailure, PolicyKind};
use windlass_policies::combined::shown_to_part;
use windlass_sandbox::component::PolicyComponent;

/// The recorded call of one policy, and its recorded answer.
struct Recorded {
    config: String,
    observation: Vec<u8>,
    answer: Value,
    /// Digest of the component that answered; `None` if the record does not contain it.
    digest: Option<String>,
    /// The replicas that the policy protected; `None` if the record only has them combined with those of other policies.
    protected: Option<BTreeSet<String>>,
}

/// The text the command prints; an answer that differs from the recorded one is an error.
pub(super) async fn replay(
    file: &Path,
    decision: &str,
    server: &Server,
    sandbox: &SandboxArgs,
) -> anyhow::Result<String> {
    let record: Value = match decision.parse::<u64>() {
        Ok(number) => server.client()?.get(&["decisions", &number.to_string()]).await?,
        Err(_) => serde_json::from_slice(&read_input(Path::new(decision))?).context("the decision is not JSON")?,
    };
    let (policy, _) = sandbox.load(file).await?;
    let recorded = recorded_call(&record, &policy).await?;
    let failure = &recorded.answer["unavailable"];
    if failure["kind"] == json!(FailureKind::Busy) {
        bail!("the policy was not called for this decision: {}", text(&failure["reason"]).unwrap_or_default());
    }
    let (answer, printed) = match call(&policy, &recorded.config, &recorded.observation).await {
        Ok(answer) => (json!(answer), to_json(&answer)?),
        Err(error) => match error.downcast_ref::<PolicyFailure>() {
            Some(failure) => (json!({"unavailable": failure}), format!("no answer: {failure}\n")),
            None => return Err(error),
        },
    };
    let digest = recorded.digest.as_ref();
    let component = if digest == Some(&policy.identity().digest) { "this component" } else { "another component" };
    let network = if policy.identity().replayable {
        ""
    } else {
        "; this policy may send HTTP requests, so its calls cannot be repeated exactly"
    };
    // Only the kind of a failure is compared: its text may contain times and addresses.
    let is_same = match (failure.is_null(), &answer["unavailable"]) {
        (true, now) => now.is_null() && answer == recorded.answer,
        (false, now) => now["kind"] == failure["kind"],
    };
    if !is_same {
        let (recorded, now) = (serde_json::to_string(&recorded.answer)?, serde_json::to_string(&answer)?);
        bail!(
            "the answer differs from the recorded answer of {component}{network}\nrecorded: {recorded}\nnow:      {now}"
        );
    }
    if let Some(before) = &recorded.protected {
        let now = protected(&policy, &recorded, &answer).await?;
        if now != *before {
            bail!(
                "the protected replicas differ from those recorded for {component}{network}\nrecorded: {before:?}\nnow:      {now:?}"
            );
        }
    }
    Ok(format!("{printed}the answer equals the recorded answer of {component}\n"))
}

/// The call of a policy of this kind in a record. If several policies decided together, the call of this one.
async fn recorded_call(record: &Value, policy: &PolicyComponent) -> anyhow::Result<Recorded> {
    let kind = policy.kind();
    let call = &record[kind.to_string()];
    let is_of_call = |part: &&str| part.starts_with(&format!("/{kind}/"));
    let mut omitted = record["omitted"].as_array().into_iter().flatten().filter_map(|part| part["part"].as_str());
    if let Some(part) = omitted.find(is_of_call) {
        bail!(
            "the record of this decision lacks `{part}`, because a budget of the store was spent (`omitted` names it); choose \
             another decision"
        );
    }
    let (Some(config), Some(_)) = (text(&call["config"]), call["observation"].as_object()) else {
        bail!("this decision contains no call of a {kind} policy; expected a record of `GET /decisions/{{id}}`");
    };
    let observation = serde_json::to_vec(&call["observation"])?;
    let digest = text(&call["policy"]["digest"]);
    let Ok(Value::Array(several)) = serde_json::from_str::<Value>(&config) else {
        let protected = call["protected"].as_array().into_iter().flatten().filter_map(text).collect();
        return Ok(Recorded {
            config,
            observation,
            answer: call["answer"].clone(),
            digest,
            protected: Some(protected),
        });
    };
    let parts = list(&call["answer"]["parts"]);
    let has_digest = |index: &usize| {
        let digest = parts.get(*index).and_then(|part| part["policy"]["digest"].as_str());
        digest == Some(&policy.identity().digest)
    };
    let has_name = |index: &usize| several[*index]["policy"] == json!(policy.description().name);
    let Some(index) = (0..several.len()).find(has_digest).or_else(|| (0..several.len()).find(has_name)) else {
        let names: Vec<String> = several.iter().map(|part| part["policy"].to_string()).collect();
        bail!(
            "several policies decided together: {}; this component, `{}`, matches none of them by digest or name",
            names.join(", "),
            policy.description().name
        );
    };
    let config = several[index]["config"].to_string();
    let observation: ScalingObservation = parse(&observation, kind)?;
    let own = shown_to_part(&observation, index, policy, &config).await;
    let own = own.with_context(|| format!("the policy names no metrics for the configuration {config}"))?;
    let (answer, digest) = match parts.get(index) {
        Some(part) => (part["answer"].clone(), text(&part["policy"]["digest"])),
        // No policy of the group answered.
        None => (call["answer"].clone(), None),
    };
    Ok(Recorded { config, observation: serde_json::to_vec(&own)?, answer, digest, protected: None })
}

/// The replicas that a policy protects. The host requests them only for a scale-in.
async fn protected(policy: &PolicyComponent, recorded: &Recorded, answer: &Value) -> anyhow::Result<BTreeSet<String>> {
    let Some(replicas) = answer["replicas"].as_u64().filter(|_| policy.kind() == PolicyKind::Scaling) else {
        return Ok(BTreeSet::new());
    };
    let observation: ScalingObservation = parse(&recorded.observation, policy.kind())?;
    let counts = |phase: Phase| !matches!(phase, Phase::Held | Phase::Stopping);
    let current = observation.replicas.iter().filter(|replica| counts(replica.phase)).count();
    if usize::try_from(replicas).is_ok_and(|replicas| replicas >= current) {
        return Ok(BTreeSet::new());
    }
    match policy.protected(&recorded.config, &observation).await {
        Some(called) => {
            Ok(answer_of(called).context("the policy returned no protected replicas")?.into_iter().collect())
        }
        None => Ok(BTreeSet::new()),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
