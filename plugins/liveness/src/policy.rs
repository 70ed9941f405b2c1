//! The rule of the liveness policy:
//!
//! - The process ended: replace the replica.
//! - Consecutive probes failed: restart the replica, then replace it.
//! - Consecutive probes were slow: report it as degraded.
//! - Otherwise: the replica is healthy.

use crate::bindings::exports::windlass::policy::health::{
    Assessment, Observation, ProbeOutcome, ProbedReplica, Remedy, Report,
};
use crate::bindings::windlass::policy::types::{HealthStatus, Phase, Replica};
use crate::config::Config;

/// The policy's memory between evaluations, which the host stores as bytes.
///
/// The layout is little-endian: a version (1 byte), flags (1 byte; bit 0: probes have been seen), then 17 bytes for each
/// replica with a requested restart: a hash of its identifier (8), the start of the failing process (8) and the number of
/// requested restarts (1). 1,000 replicas take 17 KB.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    probed: bool,
    restarts: Vec<RequestedRestarts>,
}

/// The restarts requested for a replica since it was last healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RequestedRestarts {
    id_hash: u64,
    /// The start of the failing process. Until it changes, the host has not performed the restart yet.
    started_at: u64,
    count: u8,
}

const MEMORY_VERSION: u8 = 1;
const ENTRY_BYTES: usize = 17;

impl Memory {
    /// Parses the memory. Bytes of another version or damaged bytes are discarded, so the policy starts over.
    fn decode(bytes: &[u8]) -> Self {
        let Some(([MEMORY_VERSION, flags], entries)) = bytes.split_first_chunk::<2>() else {
            return Self::default();
        };
        let word = |entry: &[u8]| entry.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let restarts = entries.chunks_exact(ENTRY_BYTES).map(|entry| RequestedRestarts {
            id_hash: word(&entry[..8]),
            started_at: word(&entry[8..16]),
            count: entry[16],
        });
        Self { probed: flags & 1 == 1, restarts: restarts.collect() }
    }

    fn encode(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(2 + self.restarts.len() * ENTRY_BYTES);
        bytes.extend([MEMORY_VERSION, u8::from(self.probed)]);
        for requested in &self.restarts {
            bytes.extend(requested.id_hash.to_le_bytes());
            bytes.extend(requested.started_at.to_le_bytes());
            bytes.push(requested.count);
        }
        bytes
    }
}

/// Hashes a replica identifier with FNV-1a. 1,000 identifiers of 64 characters would not fit in the memory.
fn hash(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns one assessment per replica, in the order of the observation.
pub fn evaluate(config: &Config, observation: &Observation) -> Report {
    let before = Memory::decode(&observation.memory);
    let mut after = Memory { probed: probes_are_expected(config, observation, &before), restarts: Vec::new() };
    let assessments = observation
        .replicas
        .iter()
        .map(|probed| {
            let finding = find(config, observation.now, probed, after.probed);
            let (remedy, requested) = remedy(config, &probed.replica, &finding, &before);
            after.restarts.extend(requested);
            Assessment { replica_id: probed.replica.id.clone(), status: finding.status, remedy, reason: finding.reason }
        })
        .collect();
    Report { assessments, memory: after.encode() }
}

/// Whether the host probes this workload's replicas.
///
/// The observation does not contain this. The memory of earlier probes distinguishes a new replica without a result yet
/// from a replica that is never probed.
fn probes_are_expected(config: &Config, observation: &Observation, before: &Memory) -> bool {
    let never_probed = |probed: &ProbedReplica| {
        probed.replica.phase == Phase::Running
            && running_for(&probed.replica, observation.now) >= config.start_period_ms
    };
    observation.replicas.iter().any(|probed| !probed.probes.is_empty())
        || (before.probed && !observation.replicas.iter().any(never_probed))
}

/// Milliseconds since the process started, or since the replica was created if the process never started.
fn running_for(replica: &Replica, now: u64) -> u64 {
    now.saturating_sub(replica.started_at.unwrap_or(replica.created_at))
}

/// The finding about one replica.
struct Finding {
    status: HealthStatus,
    reason: String,
    trouble: Trouble,
}

/// The condition that a remedy depends on.
enum Trouble {
    /// No remedy is needed. The replica's requested restarts stay in memory.
    None,
    /// The replica is healthy. Its requested restarts are removed from memory.
    Healthy,
    /// Its process ended.
    Ended,
    /// Its process is running, or should be, and does not serve.
    Failing,
}

fn find(config: &Config, now: u64, probed: &ProbedReplica, probes_expected: bool) -> Finding {
    let replica = &probed.replica;
    let found = |status, trouble, reason| Finding { status, reason, trouble };
    match replica.phase {
        Phase::Held => found(HealthStatus::Unknown, Trouble::None, "stopped by an operator".to_owned()),
        Phase::Stopping => found(replica.health, Trouble::None, "it is being stopped".to_owned()),
        Phase::Exited => found(HealthStatus::Unhealthy, Trouble::Ended, how_it_ended(replica)),
        Phase::Starting => {
            let waited = running_for(replica, now);
            if waited < config.start_period_ms {
                found(HealthStatus::Starting, Trouble::None, "its process has not started yet".to_owned())
            } else {
                let reason = format!("its process did not start within {waited} ms");
                found(HealthStatus::Unhealthy, Trouble::Failing, reason)
            }
        }
        Phase::Running => find_running(config, now, probed, probes_expected),
    }
}

fn how_it_ended(replica: &Replica) -> String {
    let how = match replica.exit_code {
        Some(code) => format!("its process ended with exit code {code}"),
        None => "its process ended".to_owned(),
    };
    if replica.out_of_memory { format!("{how}; the kernel killed it because it was out of memory") } else { how }
}

fn find_running(config: &Config, now: u64, probed: &ProbedReplica, probes_expected: bool) -> Finding {
    let replica = &probed.replica;
    let found = |status, trouble, reason| Finding { status, reason, trouble };
    let in_start_period = running_for(replica, now) < config.start_period_ms;
    // Results of an earlier process do not apply to the current one.
    let started_at = replica.started_at.unwrap_or(replica.created_at);
    let mut probes = probed.probes.iter().filter(|probe| probe.at >= started_at).map(|probe| &probe.outcome).rev();
    let Some(last) = probes.next() else {
        return if probes_expected && in_start_period {
            found(HealthStatus::Starting, Trouble::None, "it is running and has not been probed yet".to_owned())
        } else {
            // A running process does not prove that failing probes have recovered; only a success resets the restarts.
            let trouble = if probes_expected { Trouble::None } else { Trouble::Healthy };
            found(HealthStatus::Healthy, trouble, "its process is running".to_owned())
        };
    };
    let is_success = |outcome: &ProbeOutcome| matches!(outcome, ProbeOutcome::Success(_));
    let in_a_row = 1 + probes.clone().take_while(|outcome| is_success(outcome) == is_success(last)).count() as u64;
    let was_healthy = matches!(replica.health, HealthStatus::Healthy | HealthStatus::Degraded);
    match last {
        ProbeOutcome::Success(took) => {
            if was_healthy || in_a_row >= config.success_threshold {
                let (status, reason) = pace(config, replica.health, *took, probes);
                found(status, Trouble::Healthy, reason)
            } else {
                let threshold = config.success_threshold;
                let status = match replica.health {
                    HealthStatus::Unhealthy => HealthStatus::Unhealthy,
                    _ => HealthStatus::Starting,
                };
                found(status, Trouble::None, format!("{in_a_row} of {threshold} probes in a row succeeded"))
            }
        }
        ProbeOutcome::Failure(_) | ProbeOutcome::Timeout => {
            let why = match last {
                ProbeOutcome::Failure(why) => excerpt(why),
                _ => "no answer in time",
            };
            let succeeded_once = probes.any(is_success);
            if in_start_period && !succeeded_once {
                found(HealthStatus::Starting, Trouble::None, format!("its probe has not succeeded yet: {why}"))
            } else if in_a_row >= config.failure_threshold {
                found(HealthStatus::Unhealthy, Trouble::Failing, format!("{in_a_row} probes in a row failed: {why}"))
            } else {
                let threshold = config.failure_threshold;
                let status = match replica.health {
                    HealthStatus::Unhealthy | HealthStatus::Degraded => replica.health,
                    _ if was_healthy || succeeded_once => HealthStatus::Healthy,
                    _ => HealthStatus::Starting,
                };
                found(status, Trouble::None, format!("{in_a_row} of {threshold} probes in a row failed: {why}"))
            }
        }
    }
}

/// Whether a replica responds fast enough. Its latest probe succeeded in `took` milliseconds; `before` are the earlier
/// probes, newest first.
///
/// The same thresholds as for health apply, so a single slow or fast response changes nothing.
fn pace<'a>(
    config: &Config,
    health: HealthStatus,
    took: u64,
    before: impl Iterator<Item = &'a ProbeOutcome>,
) -> (HealthStatus, String) {
    let fast = (HealthStatus::Healthy, format!("its probe succeeded in {took} ms"));
    let Some(limit) = config.degraded_above_ms else {
        return fast;
    };
    let is_slow = took > limit;
    let alike = |outcome: &&ProbeOutcome| matches!(outcome, ProbeOutcome::Success(took) if (*took > limit) == is_slow);
    let in_a_row = 1 + before.take_while(alike).count() as u64;
    let was_degraded = health == HealthStatus::Degraded;
    let (threshold, pace) = match is_slow {
        true => (config.failure_threshold, format!("took more than {limit} ms, the last {took} ms")),
        false => (config.success_threshold, format!("took at most {limit} ms, the last {took} ms")),
    };
    let is_enough = in_a_row >= threshold;
    match (is_slow, was_degraded) {
        (true, _) if is_enough => (HealthStatus::Degraded, format!("{in_a_row} probes in a row {pace}")),
        (false, false) => fast,
        (false, true) if is_enough => fast,
        _ => (
            if was_degraded { HealthStatus::Degraded } else { HealthStatus::Healthy },
            format!("{in_a_row} of {threshold} probes in a row {pace}"),
        ),
    }
}

/// Returns at most 200 bytes of a probe's failure, so that 1,000 reasons fit in the result limit.
fn excerpt(text: &str) -> &str {
    let mut end = text.len().min(200);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns the remedy for a finding, and the replica's requested restarts to store.
fn remedy(
    config: &Config,
    replica: &Replica,
    finding: &Finding,
    before: &Memory,
) -> (Remedy, Option<RequestedRestarts>) {
    let id_hash = hash(&replica.id);
    let stored = before.restarts.iter().find(|requested| requested.id_hash == id_hash).copied();
    match finding.trouble {
        Trouble::None => (Remedy::None, stored),
        Trouble::Healthy => (Remedy::None, None),
        Trouble::Ended => (Remedy::Replace, stored),
        Trouble::Failing => {
            let started_at = replica.started_at.unwrap_or(replica.created_at);
            match stored {
                // The host delays restarts, so the requested one is still pending. The request is repeated, not counted.
                Some(requested) if requested.started_at == started_at => (Remedy::Restart, stored),
                requested => {
                    let count = requested.map_or(0, |requested| requested.count);
                    if u64::from(count) < config.restarts_before_replace {
                        (Remedy::Restart, Some(RequestedRestarts { id_hash, started_at, count: count + 1 }))
                    } else {
                        (Remedy::Replace, requested)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
