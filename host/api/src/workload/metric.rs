//! `metrics`: the sources of a workload's own metrics.

use crate::json::object::{declare, empty_object, exactly_one, object};
use crate::json::pattern::numbers;
use crate::json::problems::Problems;
use crate::json::shape::{Shape, boolean, command_of, map_of, text, text_of};
use crate::json::time::{duration_json, duration_within};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::{BuiltIn, Metric, MetricSource};

const SECOND: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Most characters of an address, a query, a pointer or a word of a command.
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
        optional interval: Duration = duration_within(SECOND..=LONGEST_INTERVAL, "1 s to 1 h"),
        /// Time limit of a query; 10 ms up to `interval`. Default: 5 s.
        optional timeout: Duration =
            duration_within(Duration::from_millis(10)..=LONGEST_INTERVAL, "10 ms up to `interval`"),
        /// Age at which the newest value expires; `interval` up to a day. Default: two intervals, at least 60 s.
        optional max_age: Duration = duration_within(SECOND..=DAY, "`interval` up to a day"),
        /// Whether the metric may be negative. If it may not, a negative value is a failure.
        optional allow_negative: bool = boolean().keyword("default", json!(false)),
    }
    rules { exactly_one(&["prometheus", "json", "exec", "push"], &[]) }
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
        required command: Vec<String> = command_of(LONGEST_TEXT),
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
    let limited = definitions.then(|definitions, pointer, problems| {
        if definitions.len() > Metric::MOST {
            problems.add(pointer, format!("a workload has at most {} metrics", Metric::MOST));
        }
        Some(definitions)
    });
    let built_in: Vec<&str> = BuiltIn::ALL.iter().map(|metric| metric.name()).collect();
    let names = json!({"pattern": "^[a-z0-9_-]{1,63}$", "maxLength": 63, "not": {"enum": built_in}});
    limited.keyword("propertyNames", names).keyword("maxProperties", json!(Metric::MOST))
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
        if timeout > interval {
            problems.add(format!("{pointer}/timeout"), "expected 10 ms up to `interval`");
        }
        if max_age < interval {
            problems.add(format!("{pointer}/max_age"), "expected `interval` up to a day");
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

fn short_text() -> Shape<String> {
    text_of(1..=LONGEST_TEXT)
}

fn address() -> Shape<String> {
    let address = short_text().then(|text, pointer, problems| {
        let uri: Option<axum::http::Uri> = text.parse().ok();
        let fits = uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
        if !fits {
            problems.add(pointer, "expected an address such as `http://127.0.0.1:9090`");
        }
        Some(text)
    });
    let label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
    let (port, path) = (numbers(1..=65_535), "[/?][A-Za-z0-9/?._~!$&'()*+,;=:@%-]*");
    address.keyword("pattern", json!(format!(r"^https?://{label}(?:\.{label})*(?::{port})?(?:{path})?$")))
}

fn json_pointer() -> Shape<String> {
    let json_pointer = text().then(|text, pointer, problems| {
        if (!text.is_empty() && !text.starts_with('/')) || text.chars().count() > LONGEST_TEXT {
            let detail = "expected a JSON pointer such as `/queues/0/depth`, or `\"\"` for the whole document";
            problems.add(pointer, detail);
        }
        Some(text)
    });
    json_pointer.pattern(r"^(?:/[^\u0000]*)?$", LONGEST_TEXT)
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
