//! The rule: ended → replace; probes failing in a row → restart, then replace; slow in a row → degraded; else well.

use crate::bindings::exports::windlass::policy::health::{
    Assessment, Observation, ProbeOutcome, ProbedReplica, Remedy, Report,
};
use crate::bindings::windlass::policy::types::{HealthStatus, Phase, Replica};
use crate::config::Config;

/// What the policy remembers from one evaluation to the next, as bytes in the host's keeping.
///
/// Layout, little-endian: a version (1), flags (bit 0: probes were seen), then 17 bytes for each replica
/// whose restart was asked: a hash of its identifier, the start of the process found failing (8 bytes
/// each) and how many restarts were asked (1 byte). 1 000 replicas take 17 KiB.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    probed: bool,
    asked: Vec<Asked>,
}

/// Restarts asked for a replica since it was last healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    id_hash: u64,
    /// Start of the process that was found failing: until it changes, the restart was not yet carried out.
    started_at: u64,
    restarts: u8,
}

const MEMORY_VERSION: u8 = 1;
const ASKED_BYTES: usize = 17;

impl Memory {
    /// Bytes of another version, or damaged ones, mean nothing: the policy then begins anew.
    fn decode(bytes: &[u8]) -> Self {
        let Some(([MEMORY_VERSION, flags], entries)) = bytes.split_first_chunk::<2>() else {
            return Self::default();
        };
        let word = |entry: &[u8]| entry.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let asked = entries.chunks_exact(ASKED_BYTES).map(|entry| Asked {
            id_hash: word(&entry[..8]),
            started_at: word(&entry[8..16]),
            restarts: entry[16],
        });
        Self { probed: flags & 1 == 1, asked: asked.collect() }
    }

    fn encode(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let mut bytes = Vec::with_capacity(2 + self.asked.len() * ASKED_BYTES);
        bytes.extend([MEMORY_VERSION, u8::from(self.probed)]);
        for asked in &self.asked {
            bytes.extend(asked.id_hash.to_le_bytes());
            bytes.extend(asked.started_at.to_le_bytes());
            bytes.push(asked.restarts);
        }
        bytes
    }
}

/// FNV-1a: an identifier of 64 characters for each of 1 000 replicas would not fit the memory.
fn hash(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One assessment for each replica, in the order shown.
pub fn evaluate(config: &Config, observation: &Observation) -> Report {
    let before = Memory::decode(&observation.memory);
    let mut after = Memory { probed: probes_are_expected(config, observation, &before), asked: Vec::new() };
    let assessments = observation
        .replicas
        .iter()
        .map(|probed| {
            let finding = find(config, observation.now, probed, after.probed);
            let (remedy, asked) = remedy(config, &probed.replica, &finding, &before);
            after.asked.extend(asked);
            Assessment { replica_id: probed.replica.id.clone(), status: finding.status, remedy, reason: finding.reason }
        })
        .collect();
    Report { assessments, memory: after.encode() }
}

/// Whether the host asks this workload's replicas at all: the observation does not say, so a replica
/// just started, with no answer yet, is told from one that is never asked by what was seen before.
fn probes_are_expected(config: &Config, observation: &Observation, before: &Memory) -> bool {
    let never_asked = |probed: &ProbedReplica| {
        probed.replica.phase == Phase::Running
            && running_for(&probed.replica, observation.now) >= config.start_period_ms
    };
    observation.replicas.iter().any(|probed| !probed.probes.is_empty())
        || (before.probed && !observation.replicas.iter().any(never_asked))
}

/// Milliseconds since the process started, or the replica was made if it never did.
fn running_for(replica: &Replica, now: u64) -> u64 {
    now.saturating_sub(replica.started_at.unwrap_or(replica.created_at))
}

/// What was found of one replica.
struct Finding {
    status: HealthStatus,
    reason: String,
    trouble: Trouble,
}

/// What calls for a remedy.
enum Trouble {
    /// Nothing does; what was remembered of the replica is kept.
    None,
    /// It is well: what was remembered of it is forgotten.
    Well,
    /// Its process ended.
    Ended,
    /// Its process runs, or should, and does not serve.
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
    if replica.out_of_memory { format!("{how}: the kernel killed it for memory") } else { how }
}

fn find_running(config: &Config, now: u64, probed: &ProbedReplica, probes_expected: bool) -> Finding {
    let replica = &probed.replica;
    let found = |status, trouble, reason| Finding { status, reason, trouble };
    let in_start_period = running_for(replica, now) < config.start_period_ms;
    // Answers of the process before this one say nothing about this one.
    let started_at = replica.started_at.unwrap_or(replica.created_at);
    let mut probes = probed.probes.iter().filter(|probe| probe.at >= started_at).map(|probe| &probe.outcome).rev();
    let Some(last) = probes.next() else {
        return if probes_expected && in_start_period {
            found(HealthStatus::Starting, Trouble::None, "it runs and was not probed yet".to_owned())
        } else {
            // That it runs says nothing of one whose probes fail: only a success wipes its slate.
            let trouble = if probes_expected { Trouble::None } else { Trouble::Well };
            found(HealthStatus::Healthy, trouble, "its process runs".to_owned())
        };
    };
    let is_success = |outcome: &ProbeOutcome| matches!(outcome, ProbeOutcome::Success(_));
    let in_a_row = 1 + probes.clone().take_while(|outcome| is_success(outcome) == is_success(last)).count() as u64;
    let was_healthy = matches!(replica.health, HealthStatus::Healthy | HealthStatus::Degraded);
    match last {
        ProbeOutcome::Success(took) => {
            if was_healthy || in_a_row >= config.success_threshold {
                let (status, reason) = pace(config, replica.health, *took, probes);
                found(status, Trouble::Well, reason)
            } else {
                let wanted = config.success_threshold;
                let status = match replica.health {
                    HealthStatus::Unhealthy => HealthStatus::Unhealthy,
                    _ => HealthStatus::Starting,
                };
                found(status, Trouble::None, format!("{in_a_row} of {wanted} probes in a row succeeded"))
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

/// Whether a replica whose last probe succeeded in `took` answers fast enough. `before`: older probes, newest first.
///
/// It changes by the same thresholds as health itself, so that one slow answer, or one fast one, changes nothing.
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
    let (threshold, answers) = match is_slow {
        true => (config.failure_threshold, format!("took more than {limit} ms, the last {took} ms")),
        false => (config.success_threshold, format!("took at most {limit} ms, the last {took} ms")),
    };
    let is_enough = in_a_row >= threshold;
    match (is_slow, was_degraded) {
        (true, _) if is_enough => (HealthStatus::Degraded, format!("{in_a_row} probes in a row {answers}")),
        (false, false) => fast,
        (false, true) if is_enough => fast,
        _ => (
            if was_degraded { HealthStatus::Degraded } else { HealthStatus::Healthy },
            format!("{in_a_row} of {threshold} probes in a row {answers}"),
        ),
    }
}

/// At most 200 bytes of a probe's failure, so that 1 000 reasons stay within the answer's limit.
fn excerpt(text: &str) -> &str {
    let mut end = text.len().min(200);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What to do about a finding, and what to remember of the replica.
fn remedy(config: &Config, replica: &Replica, finding: &Finding, before: &Memory) -> (Remedy, Option<Asked>) {
    let id_hash = hash(&replica.id);
    let remembered = before.asked.iter().find(|asked| asked.id_hash == id_hash).copied();
    match finding.trouble {
        Trouble::None => (Remedy::None, remembered),
        Trouble::Well => (Remedy::None, None),
        Trouble::Ended => (Remedy::Replace, remembered),
        Trouble::Failing => {
            let started_at = replica.started_at.unwrap_or(replica.created_at);
            match remembered {
                // Asked and not yet carried out (the host spaces restarts): ask the same again, count nothing.
                Some(asked) if asked.started_at == started_at => (Remedy::Restart, remembered),
                asked => {
                    let restarts = asked.map_or(0, |asked| asked.restarts);
                    if u64::from(restarts) < config.restarts_before_replace {
                        (Remedy::Restart, Some(Asked { id_hash, started_at, restarts: restarts + 1 }))
                    } else {
                        (Remedy::Replace, asked)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
