//! The course of a workload over time, reduced to the steps of a chart. It is read from the store in pieces, so an answer
//! takes little memory and delays no pass.

use crate::controller::Controller;
use crate::error::ControlError;
use crate::metrics::{KEPT, MEAN_OVER, max_age};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::contract::Sample;
use windlass_core::metric::BuiltIn;
use windlass_core::series::{Band, DecisionPoint, SamplePoint, Steps};
use windlass_core::store::SamplePoints;
use windlass_core::time::millis;
use windlass_core::{Timestamp, WorkloadKey};

/// Decisions that are read at once.
const PAGE: u32 = 200;

/// One value a step. `None` where there is none.
pub type Values = Vec<Option<f64>>;

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name: `count.target`, `metric.queue`…
    pub name: String,
    /// Its values.
    pub values: Values,
}

/// The lines that come from decisions.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionLines {
    /// The stages of the count, the target, and the replicas that ran.
    pub lines: Vec<Line>,
    /// The targets of metrics in the configuration of the scaling policy, by metric.
    pub targets: BTreeMap<String, Values>,
}

impl Controller {
    /// The lines of the decisions of a workload. A decision holds until the next one; nothing is known after `now`.
    pub async fn decision_lines(&self, key: &WorkloadKey, steps: Steps) -> Result<DecisionLines, ControlError> {
        let key = self.handle(key)?.key.clone();
        let names = self.metric_names(&key)?;
        let of = key.clone();
        let before = self.context.store.read(move |store| store.decision_before(&of, steps.since)).await?;
        let mut chart = Chart::new(steps, names);
        let mut after = before.as_ref().map_or(0, |before| before.id);
        chart.begin(before);
        loop {
            let of = key.clone();
            let page = self.context.store.read(move |store| store.decision_points(&of, &steps, after, PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.iter().for_each(|point| chart.add(point));
        }
        Ok(chart.lines(self.context.clock.now()))
    }

    /// The line of a metric of a workload: the mean of each step, or the last value while it counts. The number of ready
    /// replicas is the last one of each step.
    pub async fn metric_values(&self, key: &WorkloadKey, name: &str, steps: Steps) -> Result<Values, ControlError> {
        let handle = self.handle(key)?;
        let shown_for = max_age(&handle.state().workload, name).unwrap_or_default();
        let (key, name) = (handle.key.clone(), name.to_owned());
        let is_count = BuiltIn::of(&name) == Some(BuiltIn::ReadyReplicas);
        let points = self.context.store.read(move |store| store.sample_points(&key, &name, &steps)).await?;
        Ok(values(&steps, &points, is_count, shown_for, self.context.clock.now()))
    }

    /// The bands of a workload that overlap the steps, oldest first.
    pub async fn bands(&self, key: &WorkloadKey, steps: Steps) -> Result<Vec<Band>, ControlError> {
        let key = self.handle(key)?.key.clone();
        self.context.store.read(move |store| store.bands(&key, &steps)).await
    }
}

/// The number of steps that have begun.
fn begun(steps: &Steps, now: Timestamp) -> usize {
    (0..steps.count).take_while(|index| steps.begin(*index) <= now).count()
}

/// The lines of decisions, while they are read.
struct Chart {
    steps: Steps,
    names: Vec<String>,
    /// The numbers before the first step.
    first: [Option<f64>; 5],
    first_targets: BTreeMap<String, f64>,
    /// The numbers of the last decision of each step that has one.
    by_step: BTreeMap<usize, [Option<f64>; 5]>,
    /// The targets from each step on in which they changed.
    targets_by_step: BTreeMap<usize, BTreeMap<String, f64>>,
    /// The last configuration.
    config: Option<String>,
}

/// The lines of a decision, in the order of its numbers.
const LINES: [&str; 5] = ["replicas.running", "count.raw", "count.stabilized", "count.limited", "count.target"];

fn numbers(point: &DecisionPoint) -> [Option<f64>; 5] {
    [point.running, point.raw, point.stabilized, point.limited, point.target]
}

impl Chart {
    fn new(steps: Steps, names: Vec<String>) -> Self {
        let (by_step, targets_by_step) = (BTreeMap::new(), BTreeMap::new());
        Self { steps, names, first: [None; 5], first_targets: BTreeMap::new(), by_step, targets_by_step, config: None }
    }

    /// Takes the last decision before the first step.
    fn begin(&mut self, before: Option<DecisionPoint>) {
        if let Some(before) = before {
            self.first = numbers(&before);
            self.first_targets = self.changed_targets(&before).unwrap_or_default();
        }
    }

    fn add(&mut self, point: &DecisionPoint) {
        let Some(step) = self.steps.index(point.at) else { return };
        self.by_step.insert(step, numbers(point));
        if let Some(targets) = self.changed_targets(point) {
            self.targets_by_step.insert(step, targets);
        }
    }

    /// The targets of a decision, if its configuration is another one than that of the decision before.
    fn changed_targets(&mut self, point: &DecisionPoint) -> Option<BTreeMap<String, f64>> {
        if self.config == point.config {
            return None;
        }
        self.config.clone_from(&point.config);
        let config: Value = serde_json::from_str(point.config.as_deref()?).ok()?;
        let mut found = BTreeMap::new();
        find_targets(&config, &self.names, &mut found);
        Some(found)
    }

    fn lines(self, now: Timestamp) -> DecisionLines {
        let known = begun(&self.steps, now);
        let mut lines: Vec<Line> =
            LINES.iter().map(|name| Line { name: (*name).to_owned(), values: Vec::new() }).collect();
        let of_all = self.first_targets.keys().chain(self.targets_by_step.values().flat_map(BTreeMap::keys));
        let mut targets: BTreeMap<String, Values> = of_all.map(|name| (name.clone(), Vec::new())).collect();
        let (mut current, mut current_targets) = (self.first, self.first_targets);
        for index in 0..self.steps.count {
            current = self.by_step.get(&index).copied().unwrap_or(current);
            if let Some(changed) = self.targets_by_step.get(&index) {
                current_targets.clone_from(changed);
            }
            let is_known = index < known;
            for (line, number) in lines.iter_mut().zip(current) {
                line.values.push(number.filter(|_| is_known));
            }
            for (name, values) in &mut targets {
                values.push(current_targets.get(name).copied().filter(|_| is_known));
            }
        }
        DecisionLines { lines, targets }
    }
}

/// Finds the objects in a configuration that name a metric and its target: `{"metric": "queue", "target": 30}`, also with
/// `name` in place of `metric`.
fn find_targets(config: &Value, names: &[String], found: &mut BTreeMap<String, f64>) {
    match config {
        Value::Array(elements) => elements.iter().for_each(|element| find_targets(element, names, found)),
        Value::Object(members) => {
            let name = members.get("metric").or_else(|| members.get("name")).and_then(Value::as_str);
            let known = name.and_then(|name| names.iter().find(|known| *known == name));
            if let (Some(name), Some(target)) = (known, members.get("target").and_then(Value::as_f64)) {
                found.insert(name.clone(), target);
            }
            members.values().for_each(|member| find_targets(member, names, found));
        }
        _ => {}
    }
}

/// One value a step: that of its samples, or the last one before for `shown_for`. Old values are means that are further
/// apart.
fn values(steps: &Steps, points: &SamplePoints, is_count: bool, shown_for: Duration, now: Timestamp) -> Values {
    let known = begun(steps, now);
    let mut found = points.steps.iter().peekable();
    let mut last = points.before;
    let mut all = Vec::with_capacity(steps.count);
    for index in 0..steps.count {
        let SamplePoint { mean, last: newest, at, .. } = match found.next_if(|point| point.index == index) {
            Some(point) => *point,
            None => {
                let end = steps.begin(index).plus(Duration::from_millis(steps.step));
                let is_mean = |last: &Sample| now.since(last.at) > KEPT;
                let lasts = |last: &Sample| if is_mean(last) { shown_for.max(MEAN_OVER * 2) } else { shown_for };
                let still = last.filter(|last| millis(end.since(last.at)) <= millis(lasts(last)).max(steps.step));
                all.push(still.map(|last| last.value).filter(|_| index < known));
                continue;
            }
        };
        last = Some(Sample { at, value: newest });
        all.push(Some(if is_count { newest } else { mean }).filter(|_| index < known));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: Steps = Steps { since: Timestamp(1_000), step: 100, count: 5 };

    fn decided(at: u64, target: f64, raw: Option<f64>, config: &str) -> DecisionPoint {
        DecisionPoint {
            at: Timestamp(at),
            target: Some(target),
            raw,
            config: Some(config.to_owned()),
            ..Default::default()
        }
    }

    #[test]
    fn a_decision_holds_until_the_next_one_and_not_after_now() {
        let mut chart = Chart::new(STEPS, vec!["queue".to_owned(), "depth".to_owned()]);
        chart.begin(Some(decided(10, 1.0, Some(1.0), r#"{"metric": "queue", "target": 30}"#)));
        chart.add(&decided(1_100, 2.0, Some(9.0), r#"{"metric": "queue", "target": 30}"#));
        chart.add(&decided(1_199, 3.0, None, r#"[{"config": {"metrics": [{"name": "depth", "target": 0.5}]}}]"#));
        // The clock was set back meanwhile, and beyond the period.
        chart.add(&decided(900, 7.0, None, "{}"));
        let DecisionLines { lines, targets } = chart.lines(Timestamp(1_350));
        let of = |name: &str| lines.iter().find(|line| line.name == name).map(|line| line.values.clone());
        assert_eq!(of("count.target"), Some(vec![Some(1.0), Some(3.0), Some(3.0), Some(3.0), None]));
        assert_eq!(of("count.raw"), Some(vec![Some(1.0), None, None, None, None]));
        assert_eq!(targets["queue"], [Some(30.0), None, None, None, None]);
        assert_eq!(targets["depth"], [None, Some(0.5), Some(0.5), Some(0.5), None]);
        let empty = Chart::new(STEPS, Vec::new()).lines(Timestamp(9_000));
        assert!(empty.lines.iter().all(|line| line.values == [None; 5]) && empty.targets.is_empty(), "{empty:?}");
    }

    #[test]
    fn a_sample_is_shown_while_it_counts() {
        let point = |index, mean, last, at| SamplePoint { index, mean, last, at: Timestamp(at) };
        let before = Some(Sample { at: Timestamp(950), value: 4.0 });
        let points = SamplePoints { before, steps: vec![point(1, 1.5, 2.0, 1_190)] };
        let of = |shown_for, is_count, now| {
            values(&STEPS, &points, is_count, Duration::from_millis(shown_for), Timestamp(now))
        };
        assert_eq!(of(150, false, 9_000), [Some(4.0), Some(1.5), Some(2.0), None, None]);
        assert_eq!(of(900, true, 1_300), [Some(4.0), Some(2.0), Some(2.0), Some(2.0), None]);
        // A step may be longer than a value counts.
        assert_eq!(of(1, false, 9_000), [None, Some(1.5), None, None, None]);
    }
}
