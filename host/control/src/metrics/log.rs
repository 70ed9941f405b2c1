//! The kept values of one workload's metrics.

use crate::metrics::track::{KEPT, LONGEST_KEPT, Track};
use parking_lot::{Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;
use windlass_core::contract::{Limits, MetricRequest, Sample, Series, Usage};
use windlass_core::metric::{BuiltIn, accept};
use windlass_core::policy::ScalingPolicy;
use windlass_core::time::millis;
use windlass_core::{
    ContainerId, DurationMs, History, MetricFailure, MetricSource, Phase, PolicyFailure, Replica, Snapshot, Timestamp,
    Workload,
};

/// Time for which values of single replicas are kept.
const KEPT_OF_REPLICA: Duration = Duration::from_secs(15 * 60);

/// Interval of the built-in metrics of the whole workload.
const BUILT_IN_INTERVAL: Duration = Duration::from_secs(15);

/// The maximum age of a replica's resource usage. Older usage counts as missing.
const BUILT_IN_MAX_AGE: Duration = Duration::from_secs(60);

/// The values of one workload's metrics.
#[derive(Debug, Default)]
pub struct MetricLog {
    tracks: Mutex<BTreeMap<Key, Track>>,
    windows: Mutex<Windows>,
    /// The source of each metric, as last compared with the desired state.
    sources: Mutex<BTreeMap<String, MetricSource>>,
    /// Metrics whose stored values belong to an earlier source.
    cleared: Mutex<Vec<String>>,
    noted: Mutex<Noted>,
}

/// The parts of the last observation that the log contains, so that it looks at each once.
#[derive(Debug, Default)]
struct Noted {
    /// The time of the newest usage of each replica.
    usage: HashMap<ContainerId, Timestamp>,
    /// The time of the observation whose replicas alone are kept.
    replicas_of: Option<Timestamp>,
}

/// The windows that policies request, by metric, each with the time of the last request.
type Windows = BTreeMap<String, BTreeMap<DurationMs, Timestamp>>;

/// The name of a metric, and the measured replica. `None` means the whole workload.
type Key = (String, Option<ContainerId>);

/// One metric, for readers.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricReport {
    /// Its name.
    pub name: String,
    /// `built-in`, or the source of its definition.
    pub source: &'static str,
    /// Its values, by time.
    pub samples: Vec<Sample>,
    /// The reason why it has no value now. `None` if it has one.
    pub failure: Option<String>,
}

impl Noted {
    /// Records the time of a replica's usage. Returns false if it is the newest one that the log contains.
    fn is_new(&mut self, replica: &ContainerId, at: Timestamp) -> bool {
        match self.usage.get_mut(replica) {
            Some(newest) => std::mem::replace(newest, at) != at,
            None => self.usage.insert(replica.clone(), at).is_none(),
        }
    }
}

impl MetricLog {
    /// The log of a workload with its stored values, by time. All are kept for a day, so that a policy can request them.
    pub(crate) fn stored(samples: Vec<(String, Sample)>, workload: &Workload, now: Timestamp) -> Self {
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

    /// Records that a policy requests this window.
    fn note_window(&self, name: &str, window: DurationMs, now: Timestamp) {
        let mut windows = self.windows();
        let requested = windows.entry(name.to_owned()).or_default();
        requested.retain(|_, last| now.since(*last) <= KEPT);
        requested.insert(window, now);
    }

    /// The time for which values of a metric are kept: the longest window that was requested within a day.
    fn kept(&self, name: &str, now: Timestamp) -> Duration {
        let windows = self.windows();
        let requested = windows.get(name).into_iter().flatten().filter(|(_, last)| now.since(**last) <= KEPT);
        let longest = requested.map(|(window, _)| Duration::from_millis(*window)).max().unwrap_or(KEPT);
        longest.clamp(KEPT, LONGEST_KEPT)
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock()
    }

    pub(super) fn tracks(&self) -> MutexGuard<'_, BTreeMap<Key, Track>> {
        self.tracks.lock()
    }

    /// Adds a pushed value of any time.
    pub(crate) fn push(&self, name: &str, sample: Sample) {
        let kept = self.kept(name, sample.at);
        self.tracks().entry((name.to_owned(), None)).or_default().take_in(sample, kept);
    }

    /// Adds the current value of the whole workload, or the reason why it has none.
    pub fn note(&self, name: &str, answer: Result<Sample, MetricFailure>) {
        let kept = answer.as_ref().map_or(KEPT, |sample| self.kept(name, sample.at));
        let mut tracks = self.tracks();
        let track = tracks.entry((name.to_owned(), None)).or_default();
        match answer {
            Ok(sample) => track.measured(sample, kept),
            Err(failure) => track.failure = Some(failure),
        }
    }

    /// Adds the current value of one replica, or the reason why it has none.
    pub fn note_replica(&self, name: &str, replica: &ContainerId, answer: Result<Sample, MetricFailure>) {
        let mut tracks = self.tracks();
        let track = tracks.entry((name.to_owned(), Some(replica.clone()))).or_default();
        match answer {
            Ok(sample) => {
                track.measured(sample, KEPT_OF_REPLICA);
                // Values of single replicas are not stored.
                track.unsaved.clear();
            }
            Err(failure) => track.failure = Some(failure),
        }
    }

    /// Forgets every value of a metric, for this reason.
    pub fn without(&self, name: &str, why: &MetricFailure) {
        self.tracks().retain(|(of, _), _| of != name);
        self.note(name, Err(why.clone()));
    }

    /// Returns true if a metric is gathered at once instead of at its next interval: if it is new here, or if no replica
    /// ran when its command was due. With `can_run` false, it stays due.
    pub(crate) fn take_due(&self, name: &str, can_run: bool) -> bool {
        let mut tracks = self.tracks();
        let track = tracks.entry((name.to_owned(), None)).or_default();
        can_run && !std::mem::replace(&mut track.was_gathered, true)
    }

    /// Makes a metric due as soon as a replica runs: none ran when its command was due.
    pub(crate) fn stays_due(&self, name: &str) {
        if let Some(track) = self.tracks().get_mut(&(name.to_owned(), None)) {
            track.was_gathered = false;
        }
    }

    /// Adds the resource usage of each replica, and at the interval of the built-in metrics also their means.
    pub fn note_usage(
        &self,
        workload: &Workload,
        snapshot: &Snapshot,
        history: &History,
        usage: impl Fn(&ContainerId) -> Option<Usage>,
        now: Timestamp,
    ) {
        let value_of =
            |replica: &Replica, usage: &Usage, metric| utilization(replica.limits_or(workload.limits()), usage, metric);
        for replica in snapshot.replicas.iter().filter(|replica| replica.phase == Phase::Running) {
            let Some(usage) = usage(&replica.id) else { continue };
            if !self.noted.lock().is_new(&replica.id, usage.at) {
                continue;
            }
            for metric in BuiltIn::ALL {
                let Some(value) = value_of(replica, &usage, metric) else { continue };
                let sample = accept(value, false).map(|value| Sample { at: usage.at, value });
                self.note_replica(metric.name(), &replica.id, sample);
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
        // If all fail under their load, that load is still the workload's.
        let failing: Vec<_> = (snapshot.replicas.iter())
            .filter(|replica| replica.phase == Phase::Running && history.first_ready_at(replica).is_some())
            .collect();
        let measured = if ready.is_empty() { &failing } else { &ready };
        for metric in BuiltIn::ALL {
            let usages = measured.iter().filter_map(|replica| Some((replica, usage(&replica.id)?)));
            let fresh = usages.filter(|(_, usage)| now.since(usage.at) <= BUILT_IN_MAX_AGE);
            let values: Vec<f64> = fresh.filter_map(|(replica, usage)| value_of(replica, &usage, metric)).collect();
            let silent = measured.len() - values.len();
            let answer = match metric {
                BuiltIn::ReadyReplicas => Ok(count(ready.len())),
                _ if values.is_empty() => {
                    Err(MetricFailure::Missing("no ready replica has reported its usage lately".to_owned()))
                }
                _ => accept(values.iter().sum::<f64>() / count(values.len()), false),
            };
            let cannot_lack = answer.is_err() || metric == BuiltIn::ReadyReplicas;
            self.note(metric.name(), answer.map(|value| Sample { at: now, value }));
            if cannot_lack {
                continue;
            }
            if ready.is_empty() {
                let why = "no replica is ready; the value is that of the replicas that were".to_owned();
                self.note(metric.name(), Err(MetricFailure::InPart(why)));
            } else if silent > 0 {
                let why = "they have not reported their usage lately".to_owned();
                self.note(metric.name(), Err(MetricFailure::Partial { without: silent, of: ready.len(), why }));
            }
        }
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<String, MetricSource>> {
        self.sources.lock()
    }

    pub(super) fn cleared(&self) -> MutexGuard<'_, Vec<String>> {
        self.cleared.lock()
    }

    /// Forgets replicas that are gone, metrics that are not defined any more, and all values of a metric whose source has
    /// changed: the same name would mean two things.
    pub fn keep_only(&self, workload: &Workload, snapshot: &Snapshot) {
        let now = sources(workload);
        let replicas_of = self.noted.lock().replicas_of.replace(snapshot.at);
        if *self.sources() == now && replicas_of == Some(snapshot.at) {
            return;
        }
        let before = std::mem::replace(&mut *self.sources(), now.clone());
        let changed = before.into_iter().filter(|(name, source)| now.get(name) != Some(source));
        let changed: Vec<String> = changed.map(|(name, _)| name).collect();
        self.tracks().retain(|(name, _), _| !changed.contains(name));
        self.cleared().extend(changed);
        let is_defined = |name: &String| BuiltIn::of(name).is_some() || workload.metrics.contains_key(name);
        self.windows().retain(|name, _| is_defined(name));
        let replicas: HashSet<&ContainerId> = snapshot.replicas.iter().map(|replica| &replica.id).collect();
        self.noted.lock().usage.retain(|replica, _| replicas.contains(replica));
        self.tracks().retain(|(name, replica), _| {
            is_defined(name) && replica.as_ref().is_none_or(|replica| replicas.contains(replica))
        });
    }

    /// The series for a policy's requests: for each metric the whole workload, then each measured replica. A series without
    /// a value contains the reason, so no policy mistakes a missing value for a zero.
    pub fn series(&self, requests: &[MetricRequest], workload: &Workload, now: Timestamp) -> Vec<Series> {
        for MetricRequest { name, window } in requests {
            if max_age(workload, name).is_some() {
                self.note_window(name, *window, now);
            }
        }
        let tracks = self.tracks();
        let (mut all, mut names) = (Vec::new(), BTreeSet::new());
        for MetricRequest { name, window } in requests {
            if !names.insert(name) {
                continue;
            }
            let Some(max_age) = max_age(workload, name) else {
                let why = MetricFailure::Missing(format!("the workload defines no metric `{}`", name.escape_debug()));
                let (name, failure) = (name.clone(), Some(why.to_string()));
                all.push(Series { name, replica: None, samples: Vec::new(), failure });
                continue;
            };
            let series = |track: &Track, replica: Option<&ContainerId>| Series {
                name: name.clone(),
                replica: replica.map(|replica| replica.as_str().to_owned()),
                samples: track.window(Duration::from_millis(*window), now),
                failure: track.failure(now, max_age).map(|failure| failure.to_string()),
            };
            let whole = tracks.get(&(name.clone(), None));
            all.push(series(whole.unwrap_or(&Track::default()), None));
            let of_replicas = tracks.range((name.clone(), None)..).take_while(|((of, _), _)| of == name);
            all.extend(of_replicas.filter_map(|((_, replica), track)| Some(series(track, Some(replica.as_ref()?)))));
        }
        all
    }

    /// The series that a scaling policy requests.
    ///
    /// # Errors
    /// The policy did not return its requests.
    pub(crate) async fn requested_by(
        &self,
        policy: &dyn ScalingPolicy,
        config: &str,
        workload: &Workload,
        now: Timestamp,
    ) -> Result<Vec<Series>, PolicyFailure> {
        let requests = policy.requirements(config, now).await?;
        Ok(self.series(&requests, workload, now))
    }

    /// A metric of the workload with its values since a time. `None` if it has no metric of this name.
    pub(crate) fn report(
        &self,
        name: &str,
        workload: &Workload,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<MetricReport> {
        let defined = workload.metrics.get(name).map(|metric| metric.source.name());
        let source = defined.or_else(|| BuiltIn::of(name).map(|_| "built-in"))?;
        let (tracks, none) = (self.tracks(), Track::default());
        let track = tracks.get(&(name.to_owned(), None)).unwrap_or(&none);
        let failure = max_age(workload, name).and_then(|max_age| track.failure(now, max_age));
        Some(MetricReport {
            name: name.to_owned(),
            source,
            samples: track.since(since),
            failure: failure.map(|failure| failure.to_string()),
        })
    }
}

/// The source of each metric of a workload.
fn sources(workload: &Workload) -> BTreeMap<String, MetricSource> {
    workload.metrics.iter().map(|(name, metric)| (name.clone(), metric.source.clone())).collect()
}

/// The maximum age of a metric's newest value. `None` if the workload has no such metric.
pub(crate) fn max_age(workload: &Workload, name: &str) -> Option<Duration> {
    let of_built_in = || BuiltIn::of(name).map(|_| BUILT_IN_MAX_AGE);
    workload.metrics.get(name).map(|metric| metric.max_age).or_else(of_built_in)
}

fn utilization(limits: Limits, usage: &Usage, metric: BuiltIn) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory lie far below 2^53")]
    let share = |bytes: u64, of: u64| (of > 0).then(|| bytes as f64 / of as f64);
    match metric {
        BuiltIn::CpuUtilization => limits.cpu_cores.filter(|cores| *cores > 0.0).map(|cores| usage.cpu_cores / cores),
        BuiltIn::MemoryUtilization => share(usage.memory_bytes, limits.memory_bytes?),
        // A rate that was not measured is no load of zero.
        BuiltIn::NetworkReceiveRate => Some(usage.network_receive_rate).filter(|_| !usage.network_is_unknown),
        BuiltIn::NetworkTransmitRate => Some(usage.network_transmit_rate).filter(|_| !usage.network_is_unknown),
        BuiltIn::ReadyReplicas => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "replicas are at most a thousand")]
pub(crate) fn count(replicas: usize) -> f64 {
    replicas as f64
}
