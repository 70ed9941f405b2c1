//! The trace of a load over time, from CSV, from Prometheus, or from a workload's own history.

mod columns;
mod json;
mod numbers;
mod table;
mod times;

use crate::budget::MAX_SPAN;
use crate::service::QUEUE;
use crate::trace::columns::{Columns, Values};
use std::collections::BTreeMap;
use windlass_core::Timestamp;
use windlass_core::metric::BuiltIn;

/// Columns of values over time. A value holds until the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Columns by name; values by time, `None` where there is no value.
    columns: BTreeMap<String, Values>,
    /// Name of the load column.
    load: String,
    /// The load where it has a value, by time.
    loads: Vec<(Timestamp, f64)>,
    /// Assumptions about the form of the file.
    notes: Vec<String>,
}

/// The most values a trace may have.
const MAX_VALUES: usize = 10_000_000;

/// The most columns of values a trace may have. Each is a metric of every pass.
const MAX_COLUMNS: usize = 256;

impl Trace {
    /// Parses a trace in any of the three forms. `load` names the load column; the default is the column `load`, else
    /// the first.
    ///
    /// - CSV: the first column is the time, the others are values. An empty cell is a missing value. Cells are separated
    ///   by commas, semicolons or tabs; times and numbers have any usual form.
    /// - The response of Prometheus to a range query: each series is a column named by its `__name__`, or `load` if it
    ///   has none. A gap has no value.
    /// - The response of `GET /images/{image}/metrics`: each metric is a column, except built-in metrics, which the
    ///   model measures itself. A gap has no value.
    ///
    /// # Errors
    /// One sentence with the line or the column.
    pub fn parse(text: &str, load: Option<&str>) -> Result<Self, String> {
        if text.lines().next().is_some_and(|line| line.trim_end().ends_with("=>")) {
            return Err("it is the text output of `promtool`; run it with `-o json`".to_owned());
        }
        let is_json = text.trim_start().starts_with(['{', '[']);
        let columns = if is_json { json::read(text)? } else { table::read(text)? };
        check_names(&columns)?;
        let load = load_column(&columns, load, is_json)?;
        let values = columns.all.iter().find(|(name, _)| *name == load).map_or(&[][..], |(_, values)| values);
        check_load(&columns, values, is_json)?;
        let Columns { all, notes, .. } = columns;
        let mut trace = Self { columns: all.into_iter().collect(), load, loads: Vec::new(), notes };
        if is_json {
            for values in trace.columns.values_mut() {
                end_before_gaps(values);
            }
        }
        let present = trace.columns[&trace.load].iter().filter_map(|(at, value)| Some((*at, (*value)?)));
        trace.loads = present.collect();
        Ok(trace)
    }

    /// Assumptions about the form of the file, one sentence each: such as times without a zone, which are read as UTC.
    pub fn notes(&self) -> &[String] {
        &self.notes
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
        let until = self.loads.partition_point(|(time, _)| *time <= at);
        until.checked_sub(1).map_or(0.0, |last| self.loads[last].1)
    }

    /// The value of a column at a time. `None` in a gap, before the first value, and if there is no such column.
    pub fn value(&self, column: &str, at: Timestamp) -> Option<f64> {
        value(self.columns.get(column)?, at)?
    }

    /// The value of each column at a time: `None` in a gap. Columns that have not started are left out.
    pub fn values(&self, at: Timestamp) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.columns.iter().filter_map(move |(name, values)| Some((name.as_str(), value(values, at)?)))
    }

    /// The names of the columns.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }
}

/// Checks the number of columns and values, and the names of the columns.
fn check_names(columns: &Columns) -> Result<(), String> {
    let number = columns.all.len();
    if number > MAX_COLUMNS {
        return Err(format!("the trace has {number} columns of values; keep at most {MAX_COLUMNS}"));
    }
    let total: usize = columns.all.iter().map(|(_, values)| values.len()).sum();
    if total > MAX_VALUES {
        return Err(format!("the trace has {total} values; shorten it to at most {MAX_VALUES}"));
    }
    let names: Vec<&str> = columns.all.iter().map(|(name, _)| name.as_str()).collect();
    for (index, name) in names.iter().enumerate() {
        if is_modelled(name) {
            return Err(format!("a column is called `{name}`, which the model measures itself; rename it"));
        }
        if names[..index].contains(name) {
            return Err(format!("two columns are called `{name}`; expected one, as from a query with `sum(…)`"));
        }
    }
    Ok(())
}

/// The name of the load column.
fn load_column(columns: &Columns, named: Option<&str>, is_json: bool) -> Result<String, String> {
    let names: Vec<&str> = columns.all.iter().map(|(name, _)| name.as_str()).collect();
    let is_known = |name: &str| names.contains(&name);
    let load = match named {
        Some(name) if is_known(name) => name,
        Some(name) => {
            return Err(format!("the trace has no column `{name}`; it has {}", names.join(", ")));
        }
        None if is_known("load") => "load",
        // The order of series in a JSON document has no meaning.
        None if is_json && names.len() > 1 => {
            return Err(format!("`--load` must name the load column, one of: {}", names.join(", ")));
        }
        None => names.first().copied().ok_or("the trace has no values")?,
    };
    Ok(load.to_owned())
}

/// Checks that the load has a value at every time, and does not span too much.
fn check_load(columns: &Columns, values: &[(Timestamp, Option<f64>)], is_json: bool) -> Result<(), String> {
    let (Some((begin, _)), Some((end, _))) = (values.first(), values.last()) else {
        return Err("the trace has no values".to_owned());
    };
    for (row, (at, value)) in values.iter().enumerate() {
        if value.map_or(!is_json, |value| value < 0.0) {
            let value = value.map_or("missing".to_owned(), |value| value.to_string());
            let place = columns.place(row, *at);
            return Err(format!("the load {place} is {value}; a load must have a value of at least 0 at every time"));
        }
    }
    if end.since(*begin) > MAX_SPAN {
        let most = MAX_SPAN.as_secs() / (24 * 60 * 60);
        return Err(format!("the load spans more than {most} days; shorten it"));
    }
    Ok(())
}

/// Returns true if the service model itself measures a metric of this name.
fn is_modelled(name: &str) -> bool {
    name == QUEUE || BuiltIn::of(name).is_some()
}

/// A time between two values is a gap if it is this many times longer than the times around it.
const GAP_FACTOR: u64 = 4;

/// Number of times between values that are compared on each side.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BEGINNING;
    use serde_json::Value;

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
    fn an_error_names_its_place() {
        for (text, why) in [
            (
                "time,load\n0,1\n5,\n",
                "the load in line 3 is missing; a load must have a value of at least 0 at every time",
            ),
            ("time,load\n0,-1\n", "the load in line 2 is -1; a load must have a value of at least 0 at every time"),
            (
                r#"[{"metric": {}, "values": [[1767225600, "-1"]]}]"#,
                "the load at 2026-01-01T00:00:00Z is -1; a load must have a value of at least 0 at every time",
            ),
            ("time,load\n5,1\n5,2\n", "line 3: the time `5` is the same as in line 2; expected one row for each time"),
            ("{} =>\n3.5 @[1767225600]\n", "it is the text output of `promtool`; run it with `-o json`"),
            ("time,load\n", "the trace has no values"),
            ("", "the trace has no values"),
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
        ] {
            assert_eq!(Trace::parse(text, None).expect_err("refused"), why, "{text}");
        }
        let year = |more: u32| Trace::parse(&format!("time,load\n0,1\n{},1\n", 31_622_400 + more), None);
        assert_eq!(year(1).expect_err("refused"), "the load spans more than 366 days; shorten it");
        assert!(year(0).is_ok(), "exactly 366 days");
        let why = Trace::parse("time,a\n0,1\n", Some("b")).expect_err("refused");
        assert_eq!(why, "the trace has no column `b`; it has a");
    }

    #[test]
    fn assumptions_about_the_file_are_reported() {
        let trace = Trace::parse("2026-01-01 00:00;1,5\n2026-01-01 00:01;2,5\n", None).expect("a trace");
        assert_eq!((trace.span().0, trace.load(BEGINNING)), (BEGINNING, 1.5));
        assert_eq!(
            trace.notes(),
            [
                "the file has no header; its columns after the time are called `load`",
                "numbers such as `1,5` have a decimal comma",
                "times such as `2026-01-01 00:00` have no time zone; they are read as UTC",
            ]
        );
        assert!(Trace::parse("time,load\n0,1\n", None).expect("a trace").notes().is_empty());
    }
}
