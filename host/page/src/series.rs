//! The lines and bands of a workload over time, as `GET /workloads/{name}/series` returns them.

use serde_json::Value;
use windlass_api::answer::list;
use windlass_core::Timestamp;
use windlass_core::metric::BuiltIn;

/// A line: its values by time, `None` where there was none. A value holds until the next one.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(u64, Option<f64>)>,
}

/// A time in which something special held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Band {
    /// `rollout`, `override`, `outage` or `blind`.
    pub(crate) kind: String,
    pub(crate) from: u64,
    /// Its end; while it lasts, the end of the answer.
    pub(crate) until: u64,
    pub(crate) lasts: bool,
    pub(crate) text: String,
}

/// The lines and bands of a workload.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Series {
    pub(crate) lines: Vec<Line>,
    pub(crate) bands: Vec<Band>,
}

impl Series {
    /// The series in an answer. Entries of another form are skipped.
    pub(crate) fn parse(answer: &Value) -> Self {
        let all = |name: &str| list(&answer[name]).iter();
        let lines = all("lines").filter_map(|line| {
            let points = line["points"].as_array()?.iter();
            let points = points.filter_map(|point| Some((point[0].as_u64()?, point[1].as_f64())));
            Some(Line { name: line["name"].as_str()?.to_owned(), points: points.collect() })
        });
        let bands = all("bands").filter_map(|band| {
            Some(Band {
                kind: band["kind"].as_str()?.to_owned(),
                from: instant(&band["from"])?,
                until: instant(&band["until"])?,
                lasts: band["lasts"] == true,
                text: band["text"].as_str().unwrap_or_default().to_owned(),
            })
        });
        Self { lines: lines.collect(), bands: bands.collect() }
    }

    /// A line by its name.
    pub(crate) fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// The names of the metrics that have a value at some time, without the count of replicas, which has its own line.
    pub(crate) fn metrics(&self) -> Vec<&str> {
        let names = self.lines.iter().filter(|line| line.points.iter().any(|(_, value)| value.is_some()));
        names
            .filter_map(|line| line.name.strip_prefix("metric."))
            .filter(|name| !name.ends_with(".target") && *name != BuiltIn::ReadyReplicas.name())
            .collect()
    }
}

/// A time as RFC 3339 or in milliseconds.
fn instant(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| Some(Timestamp::from_rfc3339(value.as_str()?)?.0))
}

impl Line {
    /// The value at a time.
    pub(crate) fn at(&self, at: u64) -> Option<f64> {
        let until = self.points.partition_point(|(time, _)| *time <= at);
        until.checked_sub(1).and_then(|last| self.points[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_read_and_what_is_no_line_is_left_out() {
        let answer = json!({
            "workload": "web",
            "lines": [
                {"name": "replicas.ready", "points": [[1_000, 2], [2_000, null], ["x", 3]]},
                {"name": "metric.queue", "points": [[1_000, 1.5]]},
                {"name": "metric.queue.target", "points": [[1_000, 10]]},
                {"name": "metric.empty", "points": [[1_000, null]]},
                {"points": []},
            ],
            "bands": [{"kind": "override", "from": "1970-01-01T00:00:01Z", "until": 2_000, "lasts": true, "text": "paused"}, {}],
        });
        let series = Series::parse(&answer);
        assert_eq!(
            series.line("replicas.ready").map(|line| line.points.clone()),
            Some(vec![(1_000, Some(2.0)), (2_000, None)])
        );
        assert_eq!(series.metrics(), ["queue"]);
        let band =
            Band { kind: "override".to_owned(), from: 1_000, until: 2_000, lasts: true, text: "paused".to_owned() };
        assert_eq!(series.bands, [band]);
        assert_eq!(Series::parse(&json!(null)), Series::default());
    }

    #[test]
    fn a_value_holds_until_the_next() {
        let line = Line { name: "a".to_owned(), points: vec![(10, Some(1.0)), (20, None), (30, Some(3.0))] };
        assert_eq!([9, 10, 19, 20, 35].map(|at| line.at(at)), [None, Some(1.0), Some(1.0), None, Some(3.0)]);
    }
}
