//! The trace of a load over time, from CSV, from Prometheus, or from a workload's own history.

use crate::BEGINNING;
use crate::service::QUEUE;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::Timestamp;
use windlass_core::metric::BuiltIn;

/// Columns of values over time. A value holds until the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Columns by name; values by time, `None` where there is no value.
    columns: BTreeMap<String, Values>,
    /// Name of the load column.
    load: String,
}

/// The most values a trace may have.
const MAX_VALUES: usize = 10_000_000;

/// The longest time span of a load. Simulating one day takes about a second.
const MAX_SPAN: Duration = Duration::from_secs(366 * 24 * 60 * 60);

impl Trace {
    /// Parses a trace in any of the three forms. `load` names the load column; the default is the column `load`, else
    /// the first.
    ///
    /// - CSV with a header: the first column is the time (RFC 3339, Unix seconds, or seconds since the start), the
    ///   others are values. An empty cell is a missing value.
    /// - The response of Prometheus to a range query: each series is a column named by its `__name__`, or `load` if it
    ///   has none. A gap has no value.
    /// - The response of `GET /images/{image}/metrics`: each metric is a column, except built-in metrics, which the
    ///   model measures itself. A gap has no value.
    ///
    /// # Errors
    /// One sentence with the line or the column.
    pub fn parse(text: &str, load: Option<&str>) -> Result<Self, String> {
        let is_json = text.trim_start().starts_with('{');
        let columns = if is_json { json(text)? } else { csv(text)? };
        let total: usize = columns.iter().map(|(_, values)| values.len()).sum();
        if total > MAX_VALUES {
            return Err(format!("the trace has {total} values; shorten it to at most {MAX_VALUES}"));
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            if is_modelled(name) {
                return Err(format!("a column is called `{name}`, which the model measures itself; rename it"));
            }
            if names[..index].contains(name) {
                return Err(format!("two columns are called `{name}`; expected one, as from a query with `sum(…)`"));
            }
        }
        let known = |name: &str| names.contains(&name);
        let load = match load {
            Some(name) if known(name) => name,
            Some(name) => {
                return Err(format!("the trace has no column `{name}`; it has {}", names.join(", ")));
            }
            None if known("load") => "load",
            // The order of series in a JSON document has no meaning.
            None if is_json && names.len() > 1 => {
                return Err(format!("`--load` must name the load column, one of: {}", names.join(", ")));
            }
            None => names.first().copied().ok_or("the trace has no values")?,
        }
        .to_owned();
        let mut trace = Self { columns: columns.into_iter().collect(), load };
        let values = &trace.columns[&trace.load];
        if values.is_empty() {
            return Err("the trace has no values".to_owned());
        }
        if let Some((at, value)) =
            values.iter().find(|(_, value)| value.map_or(!is_json, |value| !value.is_finite() || value < 0.0))
        {
            let value = value.map_or("missing".to_owned(), |value| value.to_string());
            return Err(format!(
                "the load at {at} ms is {value}; a load must have a value of at least 0 at every time"
            ));
        }
        for (name, values) in &trace.columns {
            if let Some(pair) = values.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
                return Err(format!("`{name}` does not increase in time at {} ms", pair[1].0));
            }
        }
        let (begin, end) = trace.span();
        if end.since(begin) > MAX_SPAN {
            let days = end.since(begin).as_secs() / (24 * 60 * 60);
            let most = MAX_SPAN.as_secs() / (24 * 60 * 60);
            return Err(format!("the load spans {days} days; shorten it to at most {most}"));
        }
        if is_json {
            for values in trace.columns.values_mut() {
                end_before_gaps(values);
            }
        }
        Ok(trace)
    }

    /// Adds a copy of a column under another metric name.
    ///
    /// # Errors
    /// One sentence with the invalid name.
    pub fn show_as(&mut self, metric: &str, column: &str) -> Result<(), String> {
        if is_modelled(metric) || self.columns.contains_key(metric) {
            return Err(format!("`{metric}` is measured already; give the metric another name"));
        }
        let Some(values) = self.columns.get(column) else {
            let names: Vec<&str> = self.names().collect();
            return Err(format!("the trace has no column `{column}`; it has {}", names.join(", ")));
        };
        self.columns.insert(metric.to_owned(), values.clone());
        Ok(())
    }

    /// The first and last time of the load.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        let values = &self.columns[&self.load];
        (values[0].0, values[values.len() - 1].0)
    }

    /// The load at a time; in a gap, the last value before it.
    pub fn load(&self, at: Timestamp) -> f64 {
        let values = &self.columns[&self.load];
        let until = values.partition_point(|(time, _)| *time <= at);
        values[..until].iter().rev().find_map(|(_, value)| *value).unwrap_or(0.0)
    }

    /// The value of each column at a time: `None` in a gap. Columns that have not started are left out.
    pub fn values(&self, at: Timestamp) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.columns.iter().filter_map(move |(name, values)| Some((name.as_str(), value(values, at)?)))
    }

    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }
}

/// Whether the service model itself measures a metric of this name.
fn is_modelled(name: &str) -> bool {
    name == QUEUE || BuiltIn::of(name).is_some()
}

/// A time between two values is a gap if it is this many times longer than the times around it.
const GAP_FACTOR: u64 = 4;

/// How many times between values are compared on each side.
const NEIGHBOURS: usize = 3;

/// The shortest gap in milliseconds.
const MIN_GAP_MS: u64 = 60_000;

/// Ends values at the start of a gap: a value not measured for long is unknown. The usual time between values is taken
/// from the neighbouring values, because old values are stored less densely.
fn end_before_gaps(values: &mut Values) {
    let times: Vec<u64> = values.windows(2).map(|pair| pair[1].0.0 - pair[0].0.0).collect();
    let mut filled = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        filled.push(*value);
        let Some(&until_next) = times.get(index) else { continue };
        let before = &times[index.saturating_sub(NEIGHBOURS)..index];
        let after = &times[index + 1..times.len().min(index + 1 + NEIGHBOURS)];
        let Some(usual) = before.iter().chain(after).max() else { continue };
        let longest = usual.saturating_mul(GAP_FACTOR).max(MIN_GAP_MS);
        if until_next > longest {
            filled.push((Timestamp(value.0.0 + longest), None));
        }
    }
    *values = filled;
}

/// The value that applies at a time. `None` before the first value.
fn value(values: &[(Timestamp, Option<f64>)], at: Timestamp) -> Option<Option<f64>> {
    let after = values.partition_point(|(time, _)| *time <= at);
    Some(values.get(after.checked_sub(1)?)?.1)
}

type Values = Vec<(Timestamp, Option<f64>)>;
type Column = (String, Values);
type Columns = Vec<Column>;

fn csv(text: &str) -> Result<Columns, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| error.to_string())?.clone();
    let mut columns: Columns = head.iter().skip(1).map(|name| (name.to_owned(), Vec::new())).collect();
    if columns.is_empty() {
        return Err("the header names no column of values; expected `time,NAME,…`".to_owned());
    }
    for record in reader.records() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let at = time(&record[0]).ok_or_else(|| {
            format!("line {line}: `{}` is not a time; expected RFC 3339, Unix seconds or seconds from 0", &record[0])
        })?;
        for ((name, values), cell) in columns.iter_mut().zip(record.iter().skip(1)) {
            let value = match cell {
                "" => None,
                number => Some(number.parse::<f64>().map_err(|_| {
                    format!(
                        "line {line}: `{number}` in column `{name}` is not a number; leave the cell empty if the value is \
                         missing"
                    )
                })?),
            };
            values.push((at, value));
        }
    }
    Ok(columns)
}

fn time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return since(seconds);
    }
    Timestamp::from_rfc3339(text)
}

/// Parses Unix seconds; values below 1e9 count from the start.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "finite and not below 0")]
fn since(seconds: f64) -> Option<Timestamp> {
    let is_unix = seconds >= 1e9;
    let milliseconds = (seconds * 1_000.0).round();
    let known = (0.0..1e15).contains(&milliseconds).then_some(milliseconds as u64)?;
    Some(if is_unix { Timestamp(known) } else { Timestamp(BEGINNING.0 + known) })
}

fn json(text: &str) -> Result<Columns, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("the trace is not JSON: {error}"))?;
    if let Some(series) = value.pointer("/data/result").and_then(Value::as_array) {
        return series.iter().map(range).collect();
    }
    if let Some(metrics) = value.get("metrics").and_then(Value::as_array) {
        let is_there = |metric: &&Value| metric["samples"].as_array().is_some_and(|all| !all.is_empty());
        // Built-in metrics and the queue were measured with other replicas under another load.
        let is_replayable = |metric: &&Value| metric["source"] != "built-in" && metric["name"] != QUEUE;
        let with_values = metrics.iter().filter(is_there).filter(is_replayable);
        return with_values.enumerate().map(|(index, metric)| recorded(index, metric)).collect();
    }
    Err("expected `data.result` of a Prometheus range query, or `metrics` as Windlass returns them".to_owned())
}

/// Parses one series of a range query: `{"metric": {…}, "values": [[seconds, "number"], …]}`.
fn range(series: &Value) -> Result<Column, String> {
    // The result of an expression, such as a sum of rates, has no name.
    let name = series.pointer("/metric/__name__").and_then(Value::as_str).unwrap_or("load").to_owned();
    let values = series["values"].as_array().ok_or_else(|| format!("`{name}` has no `values`"))?;
    let value = |pair: &Value| {
        let at = pair[0].as_f64().and_then(since)?;
        let value: f64 = pair[1].as_str()?.parse().ok()?;
        Some((at, Some(value).filter(|value| value.is_finite())))
    };
    let read: Option<Vec<_>> = values.iter().map(value).collect();
    Ok((name.clone(), read.ok_or_else(|| format!("`{name}` has a value that is not `[seconds, \"number\"]`"))?))
}

/// Parses one metric from Windlass: `{"name": …, "samples": [{"at": ms, "value": number}, …]}`.
fn recorded(index: usize, metric: &Value) -> Result<Column, String> {
    let name = metric["name"].as_str().ok_or_else(|| format!("metric {index} has no `name`"))?;
    let samples = metric["samples"].as_array().into_iter().flatten();
    let value = |sample: &Value| Some((sample_time(&sample["at"])?, Some(sample["value"].as_f64()?)));
    let read: Option<Vec<_>> = samples.map(value).collect();
    Ok((name.to_owned(), read.ok_or_else(|| format!("`{name}` has a sample without `at` or `value`"))?))
}

/// The time of a sample: RFC 3339, or milliseconds since the Unix epoch.
fn sample_time(at: &Value) -> Option<Timestamp> {
    at.as_str().map_or_else(|| at.as_u64().map(Timestamp), Timestamp::from_rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read() {
        let trace = Trace::parse("time,load,requests\n# peak\n0,10,10\n60,20,\n", None).expect("a trace");
        let at = |seconds: u64| Timestamp(BEGINNING.0 + seconds * 1_000);
        assert_eq!(trace.span(), (at(0), at(60)));
        assert_eq!((trace.load(at(59)), trace.load(at(60)), trace.load(at(600))), (10.0, 20.0, 20.0));
        assert_eq!(trace.values(at(60)).collect::<Vec<_>>(), [("load", Some(20.0)), ("requests", None)]);
        let trace = Trace::parse("time,a,b\n2026-01-01T00:00:00Z,1,2\n", Some("b")).expect("a trace");
        assert_eq!((trace.load(at(0)), trace.span().0), (2.0, at(0)));
        let range = r#"{"data": {"result": [{"metric": {"__name__": "x"}, "values": [[1767225600, "3.5"], [1767225615, "4"]]}]}}"#;
        let trace = Trace::parse(range, None).expect("a trace");
        assert_eq!((trace.load(at(0)), trace.load(at(15))), (3.5, 4.0));
        for time in ["1767225600000", "\"2026-01-01T00:00:00Z\""] {
            let own = format!(
                r#"{{"metrics": [{{"name": "queue", "samples": []}}, {{"name": "r", "samples": [{{"at": {time}, "value": 7}}]}}]}}"#
            );
            assert_eq!(Trace::parse(&own, None).expect("a trace").load(at(0)), 7.0);
        }
    }

    #[test]
    fn a_recorded_history_is_what_was_measured_and_no_more() {
        // A value every 15 s except for ten minutes; before that, means of five minutes.
        let begin = BEGINNING.0;
        let sparse = (0..5).map(|index| begin + index * 300_000);
        let dense = |from: u64| (0..20).map(move |index| begin + from + index * 15_000);
        let times: Vec<u64> = sparse.chain(dense(1_500_000)).chain(dense(2_400_000)).collect();
        let samples: Vec<Value> =
            times.iter().map(|at| serde_json::json!({"at": at, "value": at % 1_000 + 7})).collect();
        let metric = |name: &str, source: &str| serde_json::json!({"name": name, "source": source, "samples": samples});
        let own = serde_json::json!({"metrics": [metric("cpu-utilization", "built-in"), metric("requests", "json")]});
        let trace = Trace::parse(&own.to_string(), None).expect("a trace");
        assert_eq!(trace.names().collect::<Vec<_>>(), ["requests"], "the model measures the other anew");
        let at = |seconds: u64| Timestamp(begin + seconds * 1_000);
        let value_at = |seconds: u64| trace.values(at(seconds)).next().and_then(|(_, value)| value);
        // The last value before the gap is at 1785 s; it ends after four times 15 s.
        assert_eq!(
            [1_000, 1_499, 1_844, 1_845, 2_399, 2_400].map(|it| value_at(it).is_some()),
            [true, true, true, false, false, true]
        );
        assert_eq!(trace.load(at(2_000)), 7.0, "a load is there all the time");
    }

    #[test]
    fn a_column_is_shown_under_the_name_a_policy_asks_for() {
        let sum = r#"{"data": {"result": [{"metric": {}, "values": [[1767225600, "3.5"], [1767225615, "4"]]}]}}"#;
        let mut trace = Trace::parse(sum, None).expect("a trace");
        trace.show_as("requests", "load").expect("a name");
        assert_eq!(trace.values(BEGINNING).collect::<Vec<_>>(), [("load", Some(3.5)), ("requests", Some(3.5))]);
        for (metric, column, why) in [
            ("requests", "load", "`requests` is measured already; give the metric another name"),
            ("cpu-utilization", "load", "`cpu-utilization` is measured already; give the metric another name"),
            ("visitors", "rate", "the trace has no column `rate`; it has load, requests"),
        ] {
            assert_eq!(trace.show_as(metric, column).expect_err("refused"), why);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, why) in [
            ("time\n0\n", "the header names no column of values; expected `time,NAME,…`"),
            ("time,load\nnoon,3\n", "line 2: `noon` is not a time; expected RFC 3339, Unix seconds or seconds from 0"),
            (
                "time,load\n0,many\n",
                "line 2: `many` in column `load` is not a number; leave the cell empty if the value is missing",
            ),
            (
                "time,load\n0,\n",
                "the load at 1767225600000 ms is missing; a load must have a value of at least 0 at every time",
            ),
            (
                "time,load\n0,-1\n",
                "the load at 1767225600000 ms is -1; a load must have a value of at least 0 at every time",
            ),
            ("time,load\n5,1\n5,2\n", "`load` does not increase in time at 1767225605000 ms"),
            ("time,load\n", "the trace has no values"),
            ("time,load,load\n0,1,2\n", "two columns are called `load`; expected one, as from a query with `sum(…)`"),
            (
                "time,load,cpu-utilization\n0,1,2\n",
                "a column is called `cpu-utilization`, which the model measures itself; rename it",
            ),
            (
                r#"{"data": {"result": [{"metric": {}, "values": []}, {"metric": {"job": "b"}, "values": []}]}}"#,
                "two columns are called `load`; expected one, as from a query with `sum(…)`",
            ),
            (
                r#"{"metrics": [{"name": "a", "samples": [{"at": 1, "value": 1}]}, {"name": "b", "samples": [{"at": 1, "value": 1}]}]}"#,
                "`--load` must name the load column, one of: a, b",
            ),
            ("{}", "expected `data.result` of a Prometheus range query, or `metrics` as Windlass returns them"),
        ] {
            assert_eq!(Trace::parse(text, None).expect_err("refused"), why, "{text}");
        }
        let why = Trace::parse("time,a\n0,1\n", Some("b")).expect_err("refused");
        assert_eq!(why, "the trace has no column `b`; it has a");
    }
}
