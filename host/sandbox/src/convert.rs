//! Converts between the host's types and the types generated from `wit/`.
//!
//! The generated records borrow from the observation, so nothing is copied. Answers are checked: an answer that violates the
//! contract becomes a failure of kind `output`.

use std::collections::{HashMap, HashSet};
use windlass_core::contract::{HealthObservation, HealthReport, ReplicaFacts, ScalingDecision, ScalingObservation};
use windlass_core::settings::PolicyLimits;
pub(crate) use windlass_core::text::plain;
use windlass_core::{FailureKind, Metric, PolicyFailure, contract};

/// The generated types of a scaling policy, and the types that both kinds share.
pub(crate) mod scaling_world {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "readiness-scaling-policy",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

/// The generated types of a health policy.
pub(crate) mod health_world {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "health-policy",
        exports: { default: async },
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "windlass:policy/types": super::scaling_world::windlass::policy::types,
            "windlass:policy/log": super::scaling_world::windlass::policy::log,
        },
    });
}

pub(crate) use health_world::exports::windlass::policy::health as wit_health;
pub(crate) use scaling_world::exports::windlass::policy::{manifest as wit_manifest, scaling as wit_scaling};
pub(crate) use scaling_world::windlass::policy::{log as wit_log, readiness as wit_readiness, types as wit_types};

/// Borrows the replicas of an observation.
pub(crate) fn replicas(replicas: &[ReplicaFacts]) -> Vec<wit_types::Replica<'_>> {
    replicas.iter().map(replica).collect()
}

/// The replicas that have been ready, each with the first time, in milliseconds since the Unix epoch.
pub(crate) fn first_ready<'a>(replicas: impl Iterator<Item = &'a ReplicaFacts>) -> HashMap<String, u64> {
    replicas.filter_map(|replica| Some((replica.id.clone(), replica.first_ready_at?.0))).collect()
}

/// Copies the samples of an observation; the caller keeps them for [`metrics`].
pub(crate) fn samples(observation: &ScalingObservation) -> Vec<Vec<wit_types::Sample>> {
    let sample = |sample: &contract::Sample| wit_types::Sample { at: sample.at.0, value: sample.value };
    observation.metrics.iter().map(|series| series.samples.iter().map(sample).collect()).collect()
}

/// Borrows the metrics of an observation with their samples.
pub(crate) fn metrics<'a>(
    observation: &'a ScalingObservation,
    samples: &'a [Vec<wit_types::Sample>],
) -> Vec<wit_types::Series<'a>> {
    let series = |(series, samples): (&'a contract::Series, &'a Vec<wit_types::Sample>)| wit_types::Series {
        name: &series.name,
        replica: series.replica.as_deref(),
        samples,
        failure: series.failure.as_deref(),
    };
    observation.metrics.iter().zip(samples).map(series).collect()
}

/// Borrows a workload's labels.
pub(crate) fn labels(workload: &contract::WorkloadFacts) -> Vec<(&str, &str)> {
    workload.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Borrows a workload with its labels.
pub(crate) fn workload<'a>(
    workload: &'a contract::WorkloadFacts,
    labels: &'a [(&'a str, &'a str)],
) -> wit_types::Workload<'a> {
    wit_types::Workload {
        name: &workload.name,
        image: &workload.image,
        min_replicas: workload.min_replicas,
        max_replicas: workload.max_replicas,
        limits: wit_types::Limits { cpu_cores: workload.limits.cpu_cores, memory_bytes: workload.limits.memory_bytes },
        labels,
    }
}

/// Borrows the probes of each replica.
pub(crate) fn probes(observation: &HealthObservation) -> Vec<Vec<wit_health::ProbeResult<'_>>> {
    observation.replicas.iter().map(|replica| replica.probes.iter().map(probe).collect()).collect()
}

/// Borrows the replicas of an observation with their probes.
pub(crate) fn probed_replicas<'a>(
    observation: &'a HealthObservation,
    probes: &'a [Vec<wit_health::ProbeResult<'a>>],
) -> Vec<wit_health::ProbedReplica<'a>> {
    let probed = |(probed, probes): (&'a contract::ProbedReplica, &'a Vec<wit_health::ProbeResult<'a>>)| {
        wit_health::ProbedReplica { replica: replica(&probed.replica), probes }
    };
    observation.replicas.iter().zip(probes).map(probed).collect()
}

fn replica(replica: &ReplicaFacts) -> wit_types::Replica<'_> {
    wit_types::Replica {
        id: &replica.id,
        phase: match replica.phase {
            contract::Phase::Starting => wit_types::Phase::Starting,
            contract::Phase::Running => wit_types::Phase::Running,
            contract::Phase::Stopping => wit_types::Phase::Stopping,
            contract::Phase::Exited => wit_types::Phase::Exited,
            contract::Phase::Held => wit_types::Phase::Held,
        },
        health: match replica.health {
            contract::HealthStatus::Unknown => wit_types::HealthStatus::Unknown,
            contract::HealthStatus::Starting => wit_types::HealthStatus::Starting,
            contract::HealthStatus::Healthy => wit_types::HealthStatus::Healthy,
            contract::HealthStatus::Degraded => wit_types::HealthStatus::Degraded,
            contract::HealthStatus::Unhealthy => wit_types::HealthStatus::Unhealthy,
        },
        created_at: replica.created_at.0,
        started_at: replica.started_at.map(|at| at.0),
        restarts: replica.restarts,
        exit_code: replica.exit_code,
        out_of_memory: replica.out_of_memory,
        usage: replica.usage.map(|usage| wit_types::Usage {
            at: usage.at.0,
            cpu_cores: usage.cpu_cores,
            memory_bytes: usage.memory_bytes,
            network_receive_rate: usage.network_receive_rate,
            network_transmit_rate: usage.network_transmit_rate,
        }),
    }
}

fn probe(probe: &contract::ProbeResult) -> wit_health::ProbeResult<'_> {
    wit_health::ProbeResult {
        at: probe.at.0,
        outcome: match &probe.outcome {
            contract::ProbeOutcome::Success(took) => wit_health::ProbeOutcome::Success(*took),
            contract::ProbeOutcome::Failure(why) => wit_health::ProbeOutcome::Failure(why),
            contract::ProbeOutcome::Timeout => wit_health::ProbeOutcome::Timeout,
        },
    }
}

/// A decision in the host's types.
///
/// # Errors
/// A failure of kind `output` if the reason or the memory exceeds its limit.
pub(crate) fn decision(
    decision: wit_scaling::Decision,
    limits: &PolicyLimits,
) -> Result<ScalingDecision, PolicyFailure> {
    check_memory(&decision.memory, limits)?;
    Ok(ScalingDecision {
        replicas: decision.replicas,
        reason: reason(&decision.reason, limits)?,
        memory: decision.memory,
        evaluate_after: decision.evaluate_after,
        parts: Vec::new(),
    })
}

/// The protected replicas that are in the observation.
///
/// # Errors
/// A failure of kind `output` if there are more than the observation has.
pub(crate) fn protected(
    protected: Vec<String>,
    observation: &ScalingObservation,
) -> Result<Vec<String>, PolicyFailure> {
    let observed = observation.replicas.len();
    if protected.len() > observed {
        return Err(output(format!("it protects {} replicas, but the observation has {observed}", protected.len())));
    }
    let known: HashSet<&str> = observation.replicas.iter().map(|replica| replica.id.as_str()).collect();
    Ok(protected.into_iter().filter(|id| known.contains(id.as_str())).collect())
}

/// A report in the host's types.
///
/// # Errors
/// A failure of kind `output` if it assesses a replica twice or one that is not in the observation, or if a reason or the
/// memory exceeds its limit.
pub(crate) fn report(
    report: wit_health::Report,
    observation: &HealthObservation,
    limits: &PolicyLimits,
) -> Result<HealthReport, PolicyFailure> {
    check_memory(&report.memory, limits)?;
    let (observed, assessed) = (observation.replicas.len(), report.assessments.len());
    if assessed > observed {
        return Err(output(format!("it returned {assessed} assessments, but the observation has {observed} replicas")));
    }
    // Replicas that are not assessed yet.
    let mut open: HashSet<&str> = observation.replicas.iter().map(|probed| probed.replica.id.as_str()).collect();
    let mut assessments = Vec::with_capacity(assessed);
    for assessment in report.assessments {
        if !open.remove(assessment.replica_id.as_str()) {
            let id = excerpt(&assessment.replica_id);
            let known = observation.replicas.iter().any(|probed| probed.replica.id == assessment.replica_id);
            return Err(output(if known {
                format!("it returned two assessments of the replica `{id}`")
            } else {
                format!("it returned an assessment of the replica `{id}`, which is not in the observation")
            }));
        }
        assessments.push(contract::Assessment {
            replica_id: assessment.replica_id,
            status: match assessment.status {
                wit_types::HealthStatus::Unknown => contract::HealthStatus::Unknown,
                wit_types::HealthStatus::Starting => contract::HealthStatus::Starting,
                wit_types::HealthStatus::Healthy => contract::HealthStatus::Healthy,
                wit_types::HealthStatus::Degraded => contract::HealthStatus::Degraded,
                wit_types::HealthStatus::Unhealthy => contract::HealthStatus::Unhealthy,
            },
            remedy: match assessment.remedy {
                wit_health::Remedy::None => contract::Remedy::None,
                wit_health::Remedy::Restart => contract::Remedy::Restart,
                wit_health::Remedy::Replace => contract::Remedy::Replace,
            },
            reason: reason(&assessment.reason, limits)?,
        });
    }
    Ok(HealthReport { assessments, memory: report.memory })
}

/// The description of a policy, without control characters.
pub(crate) fn description(description: &wit_manifest::Description) -> contract::Description {
    contract::Description {
        name: plain(&description.name),
        version: plain(&description.version),
        summary: plain(&description.summary),
        config_schema: description.config_schema.clone(),
    }
}

/// The metrics that a policy requests for its configuration.
///
/// # Errors
/// A failure of kind `output` if there are too many, or if a workload cannot have a metric of one of the names.
pub(crate) fn metric_requests(
    requirements: wit_manifest::Requirements,
) -> Result<Vec<contract::MetricRequest>, PolicyFailure> {
    let (count, most) = (requirements.metrics.len(), contract::MetricRequest::MOST);
    if count > most {
        return Err(output(format!("it requests {count} metrics; at most {most} are allowed")));
    }
    let request = |wit_manifest::MetricRequest { name, window }: wit_manifest::MetricRequest| {
        if !Metric::is_name(&name) {
            let name = excerpt(&name);
            return Err(output(format!(
                "it requests the metric `{name}`; a metric's name is 1 to 63 lower-case letters, digits, `-` and `_`"
            )));
        }
        Ok(contract::MetricRequest { name, window })
    };
    requirements.metrics.into_iter().map(request).collect()
}

/// An error that the policy returned, as a failure.
pub(crate) fn refusal(error: &wit_types::PolicyError) -> PolicyFailure {
    let (kind, what, why) = match error {
        wit_types::PolicyError::InvalidConfig(why) => (FailureKind::Refused, "its configuration is wrong", why),
        wit_types::PolicyError::InsufficientData(why) => {
            (FailureKind::InsufficientData, "not enough facts to decide", why)
        }
        wit_types::PolicyError::Failed(why) => (FailureKind::Refused, "it failed", why),
    };
    PolicyFailure::new(kind, format!("{what}: {}", excerpt(why)))
}

fn check_memory(memory: &[u8], limits: &PolicyLimits) -> Result<(), PolicyFailure> {
    if memory.len() as u64 <= limits.returned_memory_bytes {
        return Ok(());
    }
    let limit = limits.returned_memory_bytes;
    Err(output(format!("it returned {} bytes of memory; at most {limit} are kept", memory.len())))
}

fn reason(text: &str, limits: &PolicyLimits) -> Result<String, PolicyFailure> {
    if text.len() as u64 > limits.reason_bytes {
        let limit = limits.reason_bytes;
        return Err(output(format!("it returned a reason of {} bytes; at most {limit} are allowed", text.len())));
    }
    Ok(plain(text))
}

fn output(reason: String) -> PolicyFailure {
    PolicyFailure::new(FailureKind::Output, reason)
}

/// The beginning of a text from a policy, safe for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const LIMIT: usize = 512;
    plain(cut(text, LIMIT))
}

/// At most `limit` bytes of a text, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lose_what_could_steer_a_terminal() {
        assert_eq!(excerpt("up\x1b[2J\x07 to\r\n3\u{202e}\u{200b}\u{9b}31m é"), "up[2J to  331m é");
        assert_eq!(cut("éé", 3), "é");
        assert_eq!(excerpt(&"a".repeat(5_000)).len(), 512);
    }
}
