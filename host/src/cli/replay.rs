//! `windlass policy run --decision`: a decision that was written down is asked again of a component.

use crate::cli::policy::{asked, parse, print, read_input, take};
use crate::cli::remote;
use crate::cli::remote::Server;
use crate::cli::sandbox_args::Desk;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use windlass_core::contract::{Phase, ScalingObservation};
use windlass_core::{FailureKind, PolicyFailure, PolicyKind};
use windlass_policies::combined::shown_to_part;
use windlass_sandbox::component::PolicyComponent;

/// What was asked of one policy for a decision, and what it said.
struct Recorded {
    config: String,
    observation: Vec<u8>,
    answer: Value,
    /// Digest of the component that said it; none: that is not written down.
    digest: Option<String>,
    /// The replicas that it wanted to be spared; none: they are written down together with those of others.
    protected: Option<BTreeSet<String>>,
}

/// What the command prints; another answer than the recorded one is an error.
pub(super) async fn replay(file: &Path, decision: &str, server: &Server, desk: &Desk) -> anyhow::Result<String> {
    let record: Value = match decision.parse::<u64>() {
        Ok(number) => remote::remote(server)?.get(&["decisions", &number.to_string()]).await?,
        Err(_) => serde_json::from_slice(&read_input(Path::new(decision))?).context("the decision is not JSON")?,
    };
    let (policy, _) = desk.load(file).await?;
    let recorded = recorded(&record, &policy).await?;
    let failure = &recorded.answer["unavailable"];
    if failure["kind"] == json!(FailureKind::Busy) {
        bail!("it was not asked for this decision: {}", text(&failure["reason"]).unwrap_or_default());
    }
    let (answer, shown) = match asked(&policy, &recorded.config, &recorded.observation).await {
        Ok(answer) => (json!(answer), print(&answer)?),
        Err(error) => match error.downcast_ref::<PolicyFailure>() {
            Some(failure) => (json!({"unavailable": failure}), format!("no answer: {failure}\n")),
            None => return Err(error),
        },
    };
    let digest = recorded.digest.as_ref();
    let who = if digest == Some(&policy.identity().digest) { "this component" } else { "another component" };
    let asks = if policy.identity().replayable { "" } else { ", which may ask the network and cannot be replayed" };
    // How a failure is put may tell times and addresses.
    let is_same = match (failure.is_null(), &answer["unavailable"]) {
        (true, now) => now.is_null() && answer == recorded.answer,
        (false, now) => now["kind"] == failure["kind"],
    };
    if !is_same {
        let (recorded, now) = (serde_json::to_string(&recorded.answer)?, serde_json::to_string(&answer)?);
        bail!("the answer is another one than recorded of {who}{asks}\nrecorded: {recorded}\nnow:      {now}");
    }
    if let Some(before) = &recorded.protected {
        let now = protected(&policy, &recorded, &answer).await?;
        if now != *before {
            bail!(
                "the replicas to be spared are others than recorded of {who}{asks}\nrecorded: {before:?}\nnow:      {now:?}"
            );
        }
    }
    Ok(format!("{shown}the answer is the same as recorded of {who}\n"))
}

/// What a record holds of a policy of this kind; where several decided as one, of this one among them.
async fn recorded(record: &Value, policy: &PolicyComponent) -> anyhow::Result<Recorded> {
    let kind = policy.kind();
    let call = &record[kind.to_string()];
    let (Some(config), Some(_)) = (text(&call["config"]), call["observation"].as_object()) else {
        bail!("there is no call of a {kind} policy in this decision; expected a record of `GET /decisions/{{id}}`");
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
    let parts = call["answer"]["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |place: &usize| {
        let digest = parts.get(*place).and_then(|part| part["policy"]["digest"].as_str());
        digest == Some(&policy.identity().digest)
    };
    let is_named = |place: &usize| several[*place]["policy"] == json!(policy.description().name);
    let Some(place) = (0..several.len()).find(is_it).or_else(|| (0..several.len()).find(is_named)) else {
        let names: Vec<String> = several.iter().map(|part| part["policy"].to_string()).collect();
        bail!(
            "several policies decided as one, {}; this component, `{}`, is none of them by its digest or its name",
            names.join(", "),
            policy.description().name
        );
    };
    let config = several[place]["config"].to_string();
    let observation: ScalingObservation = parse(&observation, kind)?;
    let shown = shown_to_part(&observation, place, policy, &config).await;
    let shown = shown.with_context(|| format!("it does not say what it needs under {config}"))?;
    let (answer, digest) = match parts.get(place) {
        Some(part) => (part["answer"].clone(), text(&part["policy"]["digest"])),
        // None of them answered.
        None => (call["answer"].clone(), None),
    };
    Ok(Recorded { config, observation: serde_json::to_vec(&shown)?, answer, digest, protected: None })
}

/// The replicas a policy wants to be spared, where it is asked: when it wants fewer than there are.
async fn protected(policy: &PolicyComponent, recorded: &Recorded, answer: &Value) -> anyhow::Result<BTreeSet<String>> {
    let Some(replicas) = answer["replicas"].as_u64().filter(|_| policy.kind() == PolicyKind::Scaling) else {
        return Ok(BTreeSet::new());
    };
    let observation: ScalingObservation = parse(&recorded.observation, policy.kind())?;
    let counts = |phase: Phase| !matches!(phase, Phase::Held | Phase::Stopping);
    let there = observation.replicas.iter().filter(|replica| counts(replica.phase)).count();
    if usize::try_from(replicas).is_ok_and(|replicas| replicas >= there) {
        return Ok(BTreeSet::new());
    }
    match policy.protected(&recorded.config, &observation).await {
        Some(called) => Ok(take(called).context("it does not say what is to be spared")?.into_iter().collect()),
        None => Ok(BTreeSet::new()),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
