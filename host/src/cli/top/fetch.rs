//! One look at the workloads of a server: a row for each, with the details of the visible ones.

use crate::cli::workload_text::overrides;
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use serde_json::{Map, Value, json};
use windlass_network::remote::{Remote, RemoteError};

/// Requests that are sent at once.
const AT_ONCE: usize = 8;

/// Rows of a usual screen.
const USUAL: usize = 40;

/// Most metrics of a row.
const MOST_METRICS: usize = 3;

/// The rows whose details are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Range {
    /// Every row.
    pub(super) const ALL: Self = Self { first: 0, count: usize::MAX };

    /// The first rows of this range, as many as a usual screen has.
    pub(super) fn first_screen(self) -> Self {
        Self { count: self.count.min(USUAL), ..self }
    }

    fn contains(self, row: usize) -> bool {
        row >= self.first && row - self.first < self.count
    }
}

/// A workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ready: u64,
    pub(super) target: u64,
    pub(super) min: u64,
    pub(super) max: u64,
    /// The overrides, as the API returns them; null if there are none.
    pub(super) overrides: Value,
    /// CPU of all containers in percent of one core.
    pub(super) cpu: Option<f64>,
    /// The highest memory use of a container in percent of its limit.
    pub(super) memory: Option<f64>,
    /// The newest values of its own metrics by name.
    pub(super) metrics: Vec<(String, Option<f64>)>,
    /// The sentence of the last pass.
    pub(super) reason: String,
}

impl Row {
    fn of(summary: &Value) -> Self {
        let number = |field: &str| summary[field].as_u64().unwrap_or_default();
        Self {
            name: summary["name"].as_str().unwrap_or_default().to_owned(),
            ready: number("ready"),
            target: number("target"),
            min: number("min_replicas"),
            max: number("max_replicas"),
            overrides: summary["overrides"].clone(),
            ..Self::default()
        }
    }

    /// The row as a document.
    pub(super) fn document(&self) -> Value {
        let metrics: Map<String, Value> =
            self.metrics.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        json!({
            "name": self.name, "ready": self.ready, "target": self.target, "min_replicas": self.min,
            "max_replicas": self.max, "cpu_percent": self.cpu, "mem_percent": self.memory, "metrics": metrics,
            "overrides": self.overrides, "reason": self.reason,
        })
    }

    /// The overrides in words.
    pub(super) fn overrides(&self) -> String {
        overrides(&self.overrides).join(", ")
    }

    fn add(&mut self, Details { view, health, metrics }: &Details) {
        let elements = |list: &Value| list.as_array().cloned().unwrap_or_default();
        let health = elements(&health["health"]);
        let used = |field: &str| health.iter().filter_map(|one| one[field].as_f64()).collect::<Vec<f64>>();
        let cpu = used("cpu_percent");
        self.cpu = (!cpu.is_empty()).then(|| cpu.iter().sum());
        self.memory = used("mem_percent").into_iter().reduce(f64::max);
        let own = elements(&metrics["metrics"]).into_iter().filter(|metric| metric["source"] != "built-in");
        let newest = |metric: Value| {
            let newest =
                metric["samples"].as_array().and_then(|samples| samples.last()).and_then(|one| one["value"].as_f64());
            (metric["name"].as_str().unwrap_or_default().to_owned(), newest)
        };
        self.metrics = own.map(newest).take(MOST_METRICS).collect();
        let pass = &view["last_pass"];
        pass["error"].as_str().or(pass["reason"].as_str()).unwrap_or_default().clone_into(&mut self.reason);
    }
}

/// The answers about one workload.
struct Details {
    view: Value,
    health: Value,
    metrics: Value,
}

impl Details {
    async fn of(client: &Remote, workload: &str) -> Result<Self, RemoteError> {
        let since = [("since", (jiff::Timestamp::now().as_millisecond() - 300_000).to_string())];
        Ok(Self {
            view: client.get(&["workloads", workload]).await?,
            health: client.get(&["workloads", workload, "health"]).await?,
            metrics: client.get_where(&["workloads", workload, "metrics"], &since).await?,
        })
    }
}

/// All rows: those of a range with their details, the others without.
pub(super) async fn rows(client: &Remote, range: Range) -> Result<Vec<Row>, RemoteError> {
    let listed = client.get(&["workloads"]).await?;
    let rows = listed["workloads"].as_array().into_iter().flatten().map(Row::of).collect::<Vec<_>>();
    let detailed = iter(rows.into_iter().enumerate()).map(|(index, mut row)| async move {
        if range.contains(index) {
            match Details::of(client, &row.name).await {
                Ok(details) => row.add(&details),
                // It was removed in between.
                Err(error) if error.status() == Some(404) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(row)
    });
    detailed.buffered(AT_ONCE).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_sum_of_cpu_the_highest_memory_and_the_newest_values() {
        let mut row = Row::of(&json!({"name": "web", "ready": 1, "target": 2, "min_replicas": 1, "max_replicas": 5}));
        row.add(&Details {
            view: json!({"last_pass": {"error": null, "reason": "2 is right"}}),
            health: json!({"health": [{"cpu_percent": 10.0, "mem_percent": 3.0}, {"cpu_percent": 5.5, "mem_percent": 8.0},
                {"cpu_percent": null, "mem_percent": null}]}),
            metrics: json!({"metrics": [
                {"name": "cpu", "source": "built-in", "samples": [{"value": 1.0}]},
                {"name": "queue", "source": "push", "samples": [{"value": 1.0}, {"value": 7.0}]},
                {"name": "depth", "source": "json", "samples": []}]}),
        });
        assert_eq!((row.cpu, row.memory), (Some(15.5), Some(8.0)));
        assert_eq!(row.metrics, [("queue".to_owned(), Some(7.0)), ("depth".to_owned(), None)]);
        assert_eq!(row.document()["reason"], "2 is right");
        assert_eq!(row.document()["metrics"], json!({"queue": 7.0, "depth": null}));
    }

    #[test]
    fn a_range_has_a_beginning_and_an_end() {
        let range = Range { first: 2, count: 2 };
        assert_eq!([1, 2, 3, 4].map(|row| range.contains(row)), [false, true, true, false]);
        assert!(Range::ALL.contains(usize::MAX - 1) && !Range::ALL.first_screen().contains(USUAL));
    }
}
