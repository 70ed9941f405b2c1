//! `metrics`: the sources of a workload's own metrics.

use crate::json::object::{declare, empty_object, object};
use crate::json::problems::Problems;
use crate::json::shape::{Shape, boolean, list_of, map_of, text};
use crate::json::time::{duration, duration_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::{BuiltIn, Metric, MetricSource};

const LONGEST_INTERVAL: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Most bytes of an address, a query, a pointer or a word of a command.
const LONGEST_TEXT: usize = 4_096;

declare! {
    /// A metric: its source (one of `prometheus`, `json`, `exec` and `push`), its interval and its limits.
    pub(crate) struct MetricDefinition {
        /// An instant query whose result is one number.
        nullable prometheus: MetricSource = prometheus(),
        /// A number in a JSON document.
        nullable json: MetricSource = json_document(),
        /// A command in each running replica that prints a number. The metric is the mean of the numbers.
        nullable exec: MetricSource = exec(),
        /// `{}`: samples are sent to `POST /images/{image}/metrics`.
        nullable push: () = empty_object(),
        /// Time between two queries. Text such as `15s`, or a number of seconds; 1 s to 1 h. Default: 15 s.
        optional interval: Duration = duration(),
        /// Time limit of a query; 10 ms up to `interval`. Default: 5 s.
        optional timeout: Duration = duration(),
        /// Age at which the newest value expires; `interval` up to a day. Default: two intervals, at least 60 s.
        optional max_age: Duration = duration(),
        /// Whether the metric may be negative. If it may not, a negative value is a failure.
        optional allow_negative: bool = boolean().keyword("default", json!(false)),
    }
}

declare! {
    /// An instant query.
    pub(crate) struct PrometheusSource {
        /// Address of the Prometheus server: `http://127.0.0.1:9090`.
        required url: String = address(),
        /// The query.
        required query: String = short_text(),
    }
}

declare! {
    /// A number in a JSON document.
    pub(crate) struct JsonSource {
        /// Address of the document.
        required url: String = address(),
        /// JSON pointer of the number (RFC 6901): `/queues/0/depth`.
        required pointer: String = json_pointer(),
    }
}

declare! {
    /// A command.
    pub(crate) struct ExecSource {
        /// Program and arguments.
        required command: Vec<String> = words(),
    }
}

/// Reads metrics by name.
pub(crate) fn definitions() -> Shape<BTreeMap<String, Metric>> {
    let definition = object().then(MetricDefinition::metric);
    let definitions = map_of(definition, |name, metric, pointer, problems| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if !(1..=63).contains(&name.len()) || !name.bytes().all(plain) {
            problems.add(pointer, "a metric's name is 1 to 63 lower-case letters, digits, `-` and `_`");
        } else if BuiltIn::of(name).is_some() {
            problems.add(pointer, "every workload has a metric of this name; choose another one");
        }
        Some((name.to_owned(), metric?))
    });
    definitions.then(|definitions, pointer, problems| {
        if definitions.len() > Metric::MOST {
            problems.add(pointer, format!("a workload has at most {} metrics", Metric::MOST));
        }
        Some(definitions)
    })
}

impl MetricDefinition {
    fn metric(self, pointer: &str, problems: &mut Problems) -> Option<Metric> {
        let Self { prometheus, json, exec, push, interval, timeout, max_age, allow_negative, .. } = self;
        let there = [prometheus.is_there(), json.is_there(), exec.is_there(), push.is_there()];
        if there.into_iter().filter(|is_there| *is_there).count() != 1 {
            problems.add(pointer, "a metric has one source: `prometheus`, `json`, `exec` or `push`");
        }
        let pushed = push.given().map(|()| MetricSource::Push);
        let source = prometheus.given().or(json.given()).or(exec.given()).or(pushed);
        let interval = interval.or(Metric::INTERVAL)?;
        let timeout = timeout.or(Metric::TIMEOUT.min(interval))?;
        let max_age = max_age.or(Metric::usual_max_age(interval))?;
        if !(Duration::from_secs(1)..=LONGEST_INTERVAL).contains(&interval) {
            problems.add(format!("{pointer}/interval"), "expected 1 s to 1 h");
        } else {
            if !(Duration::from_millis(10)..=interval).contains(&timeout) {
                problems.add(format!("{pointer}/timeout"), "expected 10 ms up to `interval`");
            }
            if !(interval..=DAY).contains(&max_age) {
                problems.add(format!("{pointer}/max_age"), "expected `interval` up to a day");
            }
        }
        Some(Metric { source: source?, interval, timeout, max_age, allow_negative: allow_negative.or(false)? })
    }
}

fn prometheus() -> Shape<MetricSource> {
    object().then(|PrometheusSource { url, query, .. }, _, _| {
        Some(MetricSource::Prometheus { url: url.given()?, query: query.given()? })
    })
}

fn json_document() -> Shape<MetricSource> {
    object().then(|JsonSource { url, pointer, .. }, _, _| {
        Some(MetricSource::Json { url: url.given()?, pointer: pointer.given()? })
    })
}

fn exec() -> Shape<MetricSource> {
    object().then(|ExecSource { command, .. }, _, _| Some(MetricSource::Exec { command: command.given()? }))
}

fn words() -> Shape<Vec<String>> {
    let words = list_of(short_text()).then(|command, pointer, problems| {
        if command.is_empty() {
            problems.add(pointer, "expected a program and its arguments");
        }
        Some(command)
    });
    words.keyword("minItems", json!(1))
}

fn short_text() -> Shape<String> {
    text().then(|text, pointer, problems| {
        if text.is_empty() || text.len() > LONGEST_TEXT || text.contains('\0') {
            problems.add(pointer, format!("expected 1 to {LONGEST_TEXT} bytes of text without NUL"));
        }
        Some(text)
    })
}

fn address() -> Shape<String> {
    short_text().then(|text, pointer, problems| {
        let uri: Option<axum::http::Uri> = text.parse().ok();
        let fits = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !fits {
            problems.add(pointer, "expected an address such as `http://127.0.0.1:9090`");
        }
        Some(text)
    })
}

fn json_pointer() -> Shape<String> {
    text().then(|text, pointer, problems| {
        if (!text.is_empty() && !text.starts_with('/')) || text.len() > LONGEST_TEXT {
            let detail = "expected a JSON pointer such as `/queues/0/depth`, or `\"\"` for the whole document";
            problems.add(pointer, detail);
        }
        Some(text)
    })
}

/// A metric in the form of the request.
pub(crate) fn json_of(metric: &Metric) -> Value {
    let source = match &metric.source {
        MetricSource::Prometheus { url, query } => json!({"url": url, "query": query}),
        MetricSource::Json { url, pointer } => json!({"url": url, "pointer": pointer}),
        MetricSource::Exec { command } => json!({"command": command}),
        MetricSource::Push => json!({}),
    };
    json!({
        metric.source.name(): source,
        "interval": duration_json(metric.interval),
        "timeout": duration_json(metric.timeout),
        "max_age": duration_json(metric.max_age),
        "allow_negative": metric.allow_negative,
    })
}
