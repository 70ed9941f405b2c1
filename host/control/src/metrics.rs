//! The values of a workload's metrics: taken in, kept for as long as a policy looks back, shown to policies.

mod answer;
mod concurrency;
mod gather;
#[cfg(test)]
mod tests;
mod track;

pub(crate) use crate::metrics::gather::{gather, save};
pub use crate::metrics::track::{KEPT, LONGEST_KEPT};

use crate::command::Commands;
use crate::metrics::track::Track;
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::contract::{MetricRequest, Phase, Sample, Series, Usage};
use windlass_core::metric::{BuiltIn, SampleChange, accept};
use windlass_core::policy::ScalingPolicy;
use windlass_core::time::millis;
use windlass_core::{
    ContainerId, DurationMs, MetricFailure, MetricSource, PolicyFailure, Snapshot, Timestamp, Workload,
};

/// How long values of single replicas are kept.
const KEPT_OF_REPLICA: Duration = Duration::from_secs(15 * 60);

/// Time between two values of a built-in metric of the whole workload.
const BUILT_IN_INTERVAL: Duration = Duration::from_secs(15);

/// How old a replica's resource use may be before it counts as failed.
const BUILT_IN_MAX_AGE: Duration = Duration::from_secs(60);

/// The values of one workload's metrics.
#[derive(Debug, Default)]
pub struct MetricLog {
    tracks: Mutex<BTreeMap<Key, Track>>,
    windows: Mutex<Windows>,
    commands: Commands,
    /// What each metric was taken from when it was last looked at.
    sources: Mutex<BTreeMap<String, MetricSource>>,
    /// Metrics whose stored values are another source's by now.
    cleared: Mutex<Vec<String>>,
}

/// The windows that policies asked for, by metric, and when they last did.
type Windows = BTreeMap<String, BTreeMap<DurationMs, Timestamp>>;

/// The values of one metric of the whole workload that are to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsaved {
    /// The metric.
    pub name: String,
    /// What is to be done, in this order.
    pub changes: Vec<SampleChange>,
    /// Values before it are not kept.
    pub oldest: Timestamp,
}

/// The name of a metric, and the replica it was measured at.
type Key = (String, Option<ContainerId>);

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
    /// Of a workload, with the values that were stored, by time. All of them are kept until a policy had a day to ask for
    /// them.
    pub fn stored(samples: Vec<(String, Sample)>, workload: &Workload, now: Timestamp) -> Self {
        let log = Self::default();
        *log.sources() = sources(workload);
        for (name, sample) in samples {
            log.tracks().entry((name, None)).or_default().restore(sample);
        }
        for ((name, _), track) in log.tracks().iter() {
            if track.oldest().is_some_and(|oldest| now.since(oldest.at) > KEPT) {
                log.note_window(name, millis(LONGEST_KEPT), now);
            }
        }
        log
    }

    /// Remembers that a policy looks back so far.
    fn note_window(&self, name: &str, window: DurationMs, now: Timestamp) {
        let mut windows = self.windows();
        let asked = windows.entry(name.to_owned()).or_default();
        asked.retain(|_, last| now.since(*last) <= KEPT);
        asked.insert(window, now);
    }

    /// How long values of a metric are kept: for the longest window that was asked for within a day.
    fn kept(&self, name: &str, now: Timestamp) -> Duration {
        let windows = self.windows();
        let asked = windows.get(name).into_iter().flatten().filter(|(_, last)| now.since(**last) <= KEPT);
        let longest = asked.map(|(window, _)| Duration::from_millis(*window)).max().unwrap_or(KEPT);
        longest.clamp(KEPT, LONGEST_KEPT)
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock()
    }

    fn tracks(&self) -> MutexGuard<'_, BTreeMap<Key, Track>> {
        self.tracks.lock()
    }

    /// Takes in a value that was pushed, of whatever time.
    pub fn push(&self, name: &str, sample: Sample) {
        let kept = self.kept(name, sample.at);
        self.tracks().entry((name.to_owned(), None)).or_default().take_in(sample, kept);
    }

    /// Takes in the value of the whole workload now, or why there is none.
    pub fn note(&self, name: &str, answer: Result<Sample, MetricFailure>) {
        let kept = answer.as_ref().map_or(KEPT, |sample| self.kept(name, sample.at));
        let mut tracks = self.tracks();
        let track = tracks.entry((name.to_owned(), None)).or_default();
        match answer {
            Ok(sample) => track.measured(sample, kept),
            Err(failure) => track.failure = Some(failure),
        }
    }

    /// Takes in the value of one replica now, or why there is none.
    pub fn note_replica(&self, name: &str, replica: &ContainerId, answer: Result<Sample, MetricFailure>) {
        let mut tracks = self.tracks();
        let track = tracks.entry((name.to_owned(), Some(replica.clone()))).or_default();
        match answer {
            Ok(sample) => {
                track.measured(sample, KEPT_OF_REPLICA);
                // What single replicas had is not stored.
                track.unsaved.clear();
            }
            Err(failure) => track.failure = Some(failure),
        }
    }

    /// Forgets every value of a metric, and says why there is none.
    pub fn without(&self, name: &str, why: &MetricFailure) {
        self.tracks().retain(|(of, _), _| of != name);
        self.note(name, Err(why.clone()));
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
            .and_then(Track::newest)
            .is_none_or(|last| slot(last.at) != slot(now));
        if !is_due {
            return;
        }
        for what in BuiltIn::ALL {
            let usages = ready.iter().filter_map(|replica| usage(&replica.id));
            let fresh = usages.filter(|usage| now.since(usage.at) <= BUILT_IN_MAX_AGE);
            let values: Vec<f64> = fresh.filter_map(|usage| of(&usage, what)).collect();
            let silent = ready.len() - values.len();
            let answer = match what {
                BuiltIn::ReadyReplicas => Ok(count(ready.len())),
                _ if values.is_empty() => {
                    Err(MetricFailure::Missing("no ready replica has told its use lately".to_owned()))
                }
                _ => accept(values.iter().sum::<f64>() / count(values.len()), false),
            };
            self.note(what.name(), answer.map(|value| Sample { at: now, value }));
            if what != BuiltIn::ReadyReplicas && silent > 0 && !values.is_empty() {
                let why = "they have not told their use lately".to_owned();
                self.note(what.name(), Err(MetricFailure::Partial { without: silent, of: ready.len(), why }));
            }
        }
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, MetricSource>> {
        self.sources.lock()
    }

    fn cleared(&self) -> MutexGuard<'_, Vec<String>> {
        self.cleared.lock()
    }

    /// Forgets replicas that are gone, metrics that are not defined any more, and all values of one that is taken from
    /// another source now: the same name would mean two things.
    pub fn keep_only(&self, workload: &Workload, snapshot: &Snapshot) {
        let now = sources(workload);
        let before = std::mem::replace(&mut *self.sources(), now.clone());
        let other = before.into_iter().filter(|(name, source)| now.get(name) != Some(source));
        let other: Vec<String> = other.map(|(name, _)| name).collect();
        self.tracks().retain(|(name, _), _| !other.contains(name));
        self.cleared().extend(other);
        let is_defined = |name: &String| BuiltIn::of(name).is_some() || workload.metrics.contains_key(name);
        self.windows().retain(|name, _| is_defined(name));
        self.tracks().retain(|(name, replica), _| {
            is_defined(name) && replica.as_ref().is_none_or(|replica| snapshot.replica(replica).is_some())
        });
    }

    /// What a policy that asked for these is shown: of each the whole workload, then each replica that was measured.
    /// Of one without a value the series says why; no policy takes a missing value for a zero.
    pub fn series(&self, requests: &[MetricRequest], workload: &Workload, now: Timestamp) -> Vec<Series> {
        for MetricRequest { name, window } in requests {
            if max_age(workload, name).is_some() {
                self.note_window(name, *window, now);
            }
        }
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
                samples: track.shown(Duration::from_millis(*window), now),
                failure: track.failure(now, max_age).map(|failure| failure.to_string()),
            };
            let whole = tracks.get(&(name.clone(), None));
            shown.push(series(whole.unwrap_or(&Track::default()), None));
            let of_replicas = tracks.range((name.clone(), None)..).take_while(|((of, _), _)| of == name);
            shown.extend(of_replicas.filter_map(|((_, replica), track)| Some(series(track, Some(replica.as_ref()?)))));
        }
        shown
    }

    /// What a scaling policy is shown of a workload.
    ///
    /// # Errors
    /// When it does not say what it needs.
    pub(crate) async fn shown_to(
        &self,
        policy: &dyn ScalingPolicy,
        config: &str,
        workload: &Workload,
        now: Timestamp,
    ) -> Result<Vec<Series>, PolicyFailure> {
        let requests = policy.requirements(config, now).await?;
        Ok(self.series(&requests, workload, now))
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
                    samples: track.since(since),
                    failure: failure.map(|failure| failure.to_string()),
                }
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// What is to be stored since the last time this was called.
    pub fn take_unsaved(&self) -> Vec<Unsaved> {
        let cleared = std::mem::take(&mut *self.cleared()).into_iter();
        let clear = |name| Unsaved { name, changes: vec![SampleChange::Clear], oldest: Timestamp(0) };
        let mut unsaved: Vec<Unsaved> = cleared.map(clear).collect();
        for ((name, _), track) in self.tracks().iter_mut().filter(|(_, track)| !track.unsaved.is_empty()) {
            let changes = std::mem::take(&mut track.unsaved);
            let oldest = track.oldest().map_or(Timestamp(0), |oldest| oldest.at);
            unsaved.push(Unsaved { name: name.clone(), changes, oldest });
        }
        unsaved
    }
}

/// What each metric of a workload is taken from.
fn sources(workload: &Workload) -> BTreeMap<String, MetricSource> {
    workload.metrics.iter().map(|(name, metric)| (name.clone(), metric.source.clone())).collect()
}

/// How old the newest value of a metric may be; none: the workload has no such metric.
fn max_age(workload: &Workload, name: &str) -> Option<Duration> {
    let of_built_in = || BuiltIn::of(name).map(|_| BUILT_IN_MAX_AGE);
    workload.metrics.get(name).map(|metric| metric.max_age).or_else(of_built_in)
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
