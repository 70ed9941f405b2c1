//! The values of a workload's metrics: taken in, kept for as long as a policy may look back, shown to policies.

mod answer;
mod gather;

pub(super) use gather::{gather, save};

use crate::model::facts::{MetricRequest, Phase, Sample, Series, Usage};
use crate::model::metric::{BuiltIn, accept};
use crate::model::time::millis;
use crate::model::{ContainerId, MetricFailure, Snapshot, Timestamp, Workload};
use crate::policy::ScalingPolicy;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long values of the whole workload are kept, and the longest window a policy finds values for.
pub const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How long values of single replicas are kept.
const KEPT_OF_REPLICA: Duration = Duration::from_secs(15 * 60);

/// Time between two values of a built-in metric of the whole workload.
const BUILT_IN_INTERVAL: Duration = Duration::from_secs(15);

/// How old a replica's resource use may be before it counts as failed.
const BUILT_IN_MAX_AGE: Duration = Duration::from_secs(60);

/// Values of one series that a policy is shown at most; of more, every n-th, and always the newest.
const MOST_SHOWN: usize = 1_000;

/// Policies and configurations whose needs are remembered, of one workload.
const REQUIREMENTS_KEPT: usize = 16;

/// The values of one workload's metrics.
#[derive(Debug, Default)]
pub struct MetricLog {
    tracks: Mutex<BTreeMap<Key, Track>>,
    requirements: Mutex<Requirements>,
}

/// What scaling policies asked to be shown, by their digest and configuration.
type Requirements = BTreeMap<(String, String), Vec<MetricRequest>>;

/// The name of a metric, and the replica it was measured at.
type Key = (String, Option<ContainerId>);

#[derive(Debug, Default)]
struct Track {
    /// By time, no two of the same.
    samples: VecDeque<Sample>,
    /// Why the last question had no answer.
    failure: Option<MetricFailure>,
    /// Samples that are not stored yet.
    unsaved: Vec<Sample>,
}

impl Track {
    fn insert(&mut self, sample: Sample, kept: Duration) {
        let place = self.samples.partition_point(|known| known.at < sample.at);
        match self.samples.get_mut(place) {
            Some(known) if known.at == sample.at => *known = sample,
            _ => self.samples.insert(place, sample),
        }
        let newest = self.samples.back().map_or(sample.at, |newest| newest.at);
        while self.samples.front().is_some_and(|oldest| newest.since(oldest.at) > kept) {
            self.samples.pop_front();
        }
    }

    fn newest_by(&self, now: Timestamp) -> Option<Sample> {
        self.samples.iter().rev().find(|sample| sample.at <= now).copied()
    }

    /// Why there is no value now; none: there is one.
    fn failure(&self, now: Timestamp, max_age: Duration) -> Option<MetricFailure> {
        if let Some(failure) = &self.failure {
            return Some(failure.clone());
        }
        let Some(newest) = self.newest_by(now) else {
            return Some(MetricFailure::Missing("no value has come yet".to_owned()));
        };
        let age = now.since(newest.at);
        (age > max_age).then(|| MetricFailure::Stale { age: millis(age), max_age: millis(max_age) })
    }
}

/// One metric as it is told to people.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricReport {
    /// Its name.
    pub name: String,
    /// `built-in`, or the source of its definition.
    pub source: &'static str,
    /// Its values, by time.
    pub samples: Vec<Sample>,
    /// Why there is no value now; none: there is one.
    pub failure: Option<String>,
}

impl MetricLog {
    /// With the values that were stored.
    pub fn stored(samples: Vec<(String, Sample)>) -> Self {
        let log = Self::default();
        for (name, sample) in samples {
            log.tracks().entry((name, None)).or_default().insert(sample, KEPT);
        }
        log
    }

    fn tracks(&self) -> MutexGuard<'_, BTreeMap<Key, Track>> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a value of the whole workload, or why there is none.
    pub fn note(&self, name: &str, answer: Result<Sample, MetricFailure>) {
        let mut tracks = self.tracks();
        let track = tracks.entry((name.to_owned(), None)).or_default();
        match answer {
            Ok(sample) => {
                track.failure = None;
                track.insert(sample, KEPT);
                track.unsaved.push(sample);
            }
            Err(failure) => track.failure = Some(failure),
        }
    }

    /// Takes in a value of one replica, or why there is none.
    pub fn note_replica(&self, name: &str, replica: &ContainerId, answer: Result<Sample, MetricFailure>) {
        let mut tracks = self.tracks();
        let track = tracks.entry((name.to_owned(), Some(replica.clone()))).or_default();
        match answer {
            Ok(sample) => {
                track.failure = None;
                track.insert(sample, KEPT_OF_REPLICA);
            }
            Err(failure) => track.failure = Some(failure),
        }
    }

    /// Makes room for a metric; true: there was none, so that it is to be asked at once.
    pub fn begin(&self, name: &str) -> bool {
        let mut tracks = self.tracks();
        let is_new = !tracks.contains_key(&(name.to_owned(), None));
        tracks.entry((name.to_owned(), None)).or_default();
        is_new
    }

    /// Takes in what the replicas of a snapshot use, and once in a while what that comes to.
    pub fn note_usage(
        &self,
        workload: &Workload,
        snapshot: &Snapshot,
        usage: impl Fn(&ContainerId) -> Option<Usage>,
        now: Timestamp,
    ) {
        let of = |usage: &Usage, what| utilization(workload, usage, what);
        for replica in snapshot.replicas.iter().filter(|replica| replica.phase == Phase::Running) {
            let Some(usage) = usage(&replica.id) else { continue };
            for (what, value) in BuiltIn::ALL.into_iter().filter_map(|what| Some((what, of(&usage, what)?))) {
                let sample = accept(value, false).map(|value| Sample { at: usage.at, value });
                self.note_replica(what.name(), &replica.id, sample);
            }
        }
        let ready: Vec<_> = (snapshot.replicas.iter())
            .filter(|replica| replica.phase == Phase::Running && snapshot.health_of(&replica.id).is_ready())
            .collect();
        let slot = |at: Timestamp| u128::from(at.0) / BUILT_IN_INTERVAL.as_millis();
        let is_due = self
            .tracks()
            .get(&(BuiltIn::ReadyReplicas.name().to_owned(), None))
            .and_then(|track| track.samples.back())
            .is_none_or(|last| slot(last.at) < slot(now));
        if !is_due {
            return;
        }
        for what in BuiltIn::ALL {
            let usages = ready.iter().filter_map(|replica| usage(&replica.id));
            let fresh = usages.filter(|usage| now.since(usage.at) <= BUILT_IN_MAX_AGE);
            let values: Vec<f64> = fresh.filter_map(|usage| of(&usage, what)).collect();
            let answer = match what {
                BuiltIn::ReadyReplicas => Ok(count(ready.len())),
                _ if values.is_empty() => {
                    Err(MetricFailure::Missing("no ready replica has told its use lately".to_owned()))
                }
                _ => accept(values.iter().sum::<f64>() / count(values.len()), false),
            };
            self.note(what.name(), answer.map(|value| Sample { at: now, value }));
        }
    }

    /// Forgets replicas that are gone, and metrics that are not defined any more.
    pub fn keep_only(&self, workload: &Workload, snapshot: &Snapshot) {
        self.tracks().retain(|(name, replica), _| {
            let is_defined = BuiltIn::of(name).is_some() || workload.metrics.contains_key(name);
            is_defined && replica.as_ref().is_none_or(|replica| snapshot.replica(replica).is_some())
        });
    }

    /// What a policy that asked for these is shown: of each the whole workload, then each replica that was measured.
    /// Of one without a value the series says why; no policy takes a missing value for a zero.
    pub fn series(&self, requests: &[MetricRequest], workload: &Workload, now: Timestamp) -> Vec<Series> {
        let tracks = self.tracks();
        let mut shown = Vec::new();
        for MetricRequest { name, window } in requests {
            if shown.iter().any(|series: &Series| series.name == *name) {
                continue;
            }
            let Some(max_age) = max_age(workload, name) else {
                let why = MetricFailure::Missing(format!("the workload defines no metric `{}`", name.escape_debug()));
                let (name, failure) = (name.clone(), Some(why.to_string()));
                shown.push(Series { name, replica: None, samples: Vec::new(), failure });
                continue;
            };
            let series = |track: &Track, replica: Option<&ContainerId>| Series {
                name: name.clone(),
                replica: replica.map(|replica| replica.as_str().to_owned()),
                samples: within(track, Duration::from_millis(*window), now),
                failure: track.failure(now, max_age).map(|failure| failure.to_string()),
            };
            let whole = tracks.get(&(name.clone(), None));
            shown.push(series(whole.unwrap_or(&Track::default()), None));
            let of_replicas = tracks.range((name.clone(), None)..).take_while(|((of, _), _)| of == name);
            shown.extend(of_replicas.filter_map(|((_, replica), track)| Some(series(track, Some(replica.as_ref()?)))));
        }
        shown
    }

    /// What a scaling policy is shown of a workload. What it needs is asked once of each revision under each
    /// configuration; one that cannot say is shown nothing.
    pub(super) async fn shown_to(
        &self,
        policy: &dyn ScalingPolicy,
        config: &str,
        workload: &Workload,
        now: Timestamp,
    ) -> Vec<Series> {
        let asked = (policy.identity().digest.clone(), config.to_owned());
        let known = self.requirements().get(&asked).cloned();
        let requests = match known {
            Some(requests) => requests,
            None => match policy.requirements(config, now).await {
                Ok(requests) => {
                    let mut known = self.requirements();
                    if known.len() >= REQUIREMENTS_KEPT {
                        known.clear();
                    }
                    known.insert(asked, requests.clone());
                    requests
                }
                Err(failure) => {
                    let policy = &policy.identity().name;
                    tracing::warn!(workload = %workload.key, policy, %failure, "the policy does not say which metrics it needs");
                    return Vec::new();
                }
            },
        };
        self.series(&requests, workload, now)
    }

    fn requirements(&self) -> MutexGuard<'_, Requirements> {
        self.requirements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every metric of the workload with its values since then, in the order of names.
    pub fn report(&self, workload: &Workload, since: Timestamp, now: Timestamp) -> Vec<MetricReport> {
        let tracks = self.tracks();
        let defined = workload.metrics.iter().map(|(name, metric)| (name.as_str(), metric.source.name()));
        let built_in = BuiltIn::ALL.map(|built_in| (built_in.name(), "built-in"));
        let mut all: Vec<MetricReport> = (built_in.into_iter().chain(defined))
            .map(|(name, source)| {
                let none = Track::default();
                let track = tracks.get(&(name.to_owned(), None)).unwrap_or(&none);
                let failure = max_age(workload, name).and_then(|max_age| track.failure(now, max_age));
                MetricReport {
                    name: name.to_owned(),
                    source,
                    samples: track.samples.iter().filter(|sample| sample.at >= since).copied().collect(),
                    failure: failure.map(|failure| failure.to_string()),
                }
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The values that came since the last time this was called.
    pub fn take_unsaved(&self) -> Vec<(String, Sample)> {
        let mut tracks = self.tracks();
        let unsaved = tracks.iter_mut().flat_map(|((name, _), track)| {
            std::mem::take(&mut track.unsaved).into_iter().map(|sample| (name.clone(), sample))
        });
        unsaved.collect()
    }
}

/// How old the newest value of a metric may be; none: the workload has no such metric.
fn max_age(workload: &Workload, name: &str) -> Option<Duration> {
    let of_built_in = || BuiltIn::of(name).map(|_| BUILT_IN_MAX_AGE);
    workload.metrics.get(name).map(|metric| metric.max_age).or_else(of_built_in)
}

/// The values of a window, and the newest in any case.
fn within(track: &Track, window: Duration, now: Timestamp) -> Vec<Sample> {
    let known: Vec<Sample> = track.samples.iter().filter(|sample| sample.at <= now).copied().collect();
    let first = known.partition_point(|sample| now.since(sample.at) > window).min(known.len().saturating_sub(1));
    let known = &known[first..];
    let step = known.len().div_ceil(MOST_SHOWN).max(1);
    let mut thinned: Vec<Sample> = known.iter().rev().step_by(step).copied().collect();
    thinned.reverse();
    thinned
}

fn utilization(workload: &Workload, usage: &Usage, what: BuiltIn) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory lie far below 2^53")]
    let share = |bytes: u64, of: u64| (of > 0).then(|| bytes as f64 / of as f64);
    match what {
        BuiltIn::CpuUtilization => {
            let cores = workload.resources.cpu.cores();
            (cores > 0.0).then(|| usage.cpu_cores / cores)
        }
        BuiltIn::MemoryUtilization => share(usage.memory_bytes, workload.resources.memory.bytes()),
        BuiltIn::NetworkReceiveRate => Some(usage.network_receive_rate),
        BuiltIn::NetworkTransmitRate => Some(usage.network_transmit_rate),
        BuiltIn::ReadyReplicas => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "replicas are at most a thousand")]
fn count(replicas: usize) -> f64 {
    replicas as f64
}

#[cfg(test)]
mod tests;
