//! Traces as JSON: range queries of Prometheus, and the metrics of a workload as Windlass returns them.

use crate::service::QUEUE;
use crate::trace::columns::{Column, Columns};
use crate::trace::times::unix;
use serde_json::Value;
use windlass_core::Timestamp;

/// Reads the response of a range query, its `data` or its bare list of series, as `promtool` prints it; or the response
/// of `GET /images/{image}/metrics`, or its bare list of metrics.
///
/// # Errors
/// One sentence.
pub(crate) fn read(text: &str) -> Result<Columns, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("the trace is not JSON: {error}"))?;
    let all: Vec<Column> = match parts(&value) {
        Some(Parts::Series(series)) => series.iter().map(range).collect::<Result<_, _>>()?,
        Some(Parts::Metrics(metrics)) => recorded(metrics)?,
        None if value["status"] == "error" => {
            let why = value["error"].as_str().unwrap_or("it gives no reason");
            return Err(format!("it is an error of Prometheus: {why}"));
        }
        None => {
            return Err(
                "expected `data.result` of a Prometheus range query, or `metrics` as Windlass returns them".to_owned()
            );
        }
    };
    for (name, values) in &all {
        if let Some(index) = values.windows(2).position(|pair| pair[0].0 >= pair[1].0) {
            let (number, at) = (index + 2, values[index + 1].0.to_rfc3339());
            return Err(format!(
                "value {number} of `{name}`, at {at}, is not after the value before it; sort them by time"
            ));
        }
    }
    Ok(Columns { all, ..Columns::default() })
}

enum Parts<'a> {
    Series(&'a [Value]),
    Metrics(&'a [Value]),
}

fn parts(value: &Value) -> Option<Parts<'_>> {
    let list = |pointer: &str| value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice);
    if let Some(series) = list("/data/result").or_else(|| list("/result")) {
        return Some(Parts::Series(series));
    }
    if let Some(metrics) = list("/metrics") {
        return Some(Parts::Metrics(metrics));
    }
    let bare = list("")?;
    let is_of_windlass = bare.iter().any(|item| item.get("samples").is_some());
    let is_of_prometheus = bare.is_empty() || bare.iter().any(|item| item.get("metric").is_some());
    match (is_of_windlass, is_of_prometheus) {
        (true, _) => Some(Parts::Metrics(bare)),
        (false, true) => Some(Parts::Series(bare)),
        (false, false) => None,
    }
}

/// Parses one series of a range query: `{"metric": {…}, "values": [[seconds, "number"], …]}`.
fn range(series: &Value) -> Result<Column, String> {
    // The result of an expression, such as a sum of rates, has no name.
    let name = series.pointer("/metric/__name__").and_then(Value::as_str).unwrap_or("load").to_owned();
    let Some(values) = series["values"].as_array() else {
        return Err(if series.get("value").is_some() {
            format!("`{name}` is the result of an instant query; run a range query (`query_range`)")
        } else if series.get("histograms").is_some() {
            format!("`{name}` is a native histogram; query a number, such as with `histogram_quantile(…)`")
        } else {
            format!("`{name}` has no `values`")
        });
    };
    let value = |pair: &Value| {
        let at = pair[0].as_f64().and_then(unix)?;
        let value: f64 = pair[1].as_f64().or_else(|| pair[1].as_str()?.parse().ok())?;
        Some((at, Some(value).filter(|value| value.is_finite())))
    };
    let read: Option<Vec<_>> = values.iter().map(value).collect();
    Ok((name.clone(), read.ok_or_else(|| format!("`{name}` has a value that is not `[seconds, \"number\"]`"))?))
}

/// Parses the metrics of a workload. Built-in metrics and the queue were measured with other replicas under another load.
fn recorded(metrics: &[Value]) -> Result<Vec<Column>, String> {
    let is_there = |metric: &&Value| metric["samples"].as_array().is_some_and(|all| !all.is_empty());
    let is_replayable = |metric: &&Value| metric["source"] != "built-in" && metric["name"] != QUEUE;
    let with_values = metrics.iter().filter(is_there).filter(is_replayable);
    with_values.enumerate().map(|(index, metric)| one_recorded(index, metric)).collect()
}

/// Parses one metric from Windlass: `{"name": …, "samples": [{"at": ms, "value": number}, …]}`.
fn one_recorded(index: usize, metric: &Value) -> Result<Column, String> {
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
    use crate::BEGINNING;

    #[test]
    fn a_range_query_is_read_whole_or_as_its_bare_series() {
        let series = r#"[{"metric": {"__name__": "x"}, "values": [[1767225600, "3.5"], [1767225615.5, "4"], [1767225630, "NaN"]]}]"#;
        for text in [
            series.to_owned(),
            format!(r#"{{"resultType": "matrix", "result": {series}}}"#),
            format!(r#"{{"status": "success", "data": {{"resultType": "matrix", "result": {series}}}}}"#),
        ] {
            let at = |ms: u64| Timestamp(BEGINNING.0 + ms);
            let values = vec![(at(0), Some(3.5)), (at(15_500), Some(4.0)), (at(30_000), None)];
            assert_eq!(read(&text).expect("columns").all, [("x".to_owned(), values)], "{text}");
        }
        let metrics = r#"[{"name": "r", "samples": [{"at": 1767225600000, "value": 7}]}]"#;
        assert_eq!(read(metrics).expect("columns").all, [("r".to_owned(), vec![(BEGINNING, Some(7.0))])]);
    }

    #[test]
    fn another_document_is_rejected_with_the_remedy() {
        for (text, why) in [
            ("{}", "expected `data.result` of a Prometheus range query, or `metrics` as Windlass returns them"),
            ("[1]", "expected `data.result` of a Prometheus range query, or `metrics` as Windlass returns them"),
            (
                r#"{"status": "error", "errorType": "bad_data", "error": "parse error"}"#,
                "it is an error of Prometheus: parse error",
            ),
            (
                r#"[{"metric": {}, "value": [1767225600, "1"]}]"#,
                "`load` is the result of an instant query; run a range query (`query_range`)",
            ),
            (
                r#"[{"metric": {"__name__": "h"}, "histograms": []}]"#,
                "`h` is a native histogram; query a number, such as with `histogram_quantile(…)`",
            ),
            (
                r#"[{"metric": {}, "values": [[1767225615, "1"], [1767225600, "1"]]}]"#,
                "value 2 of `load`, at 2026-01-01T00:00:00Z, is not after the value before it; sort them by time",
            ),
            (
                r#"[{"metric": {}, "values": [["noon", "1"]]}]"#,
                "`load` has a value that is not `[seconds, \"number\"]`",
            ),
        ] {
            assert_eq!(read(text).expect_err("refused"), why, "{text}");
        }
    }
}
