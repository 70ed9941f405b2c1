//! `metrics`: the sources of a workload's own metrics.

use crate::json::fields::Field;
use crate::json::object::{declare, empty_object, exactly_one, object};
use crate::json::pattern::numbers;
use crate::json::problems::{Problems, join};
use crate::json::shape::{Shape, boolean, command_of, map_of, text, text_of};
use crate::json::time::{duration_json, duration_within};
use crate::workload::probe::request_headers;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_core::{BasicAuth, BuiltIn, Credentials, Metric, MetricSource, Secret, SourceUrl, source};

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
        /// `{}`: samples are sent to `POST /workloads/{name}/metrics`.
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
        /// Address of the Prometheus server: `http://127.0.0.1:9090`. Its path is a prefix of the endpoint, and its query is
        /// part of each request.
        required url: String = address(),
        /// The query.
        required query: String = short_text(),
        /// Headers of the request, at most 32. `GET` returns `***` in place of the values.
        optional headers: BTreeMap<String, String> = source_headers(),
        /// User and password of basic authentication.
        nullable basic_auth: BasicAuth = basic_auth(),
    }
}

declare! {
    /// A number in a JSON document.
    pub(crate) struct JsonSource {
        /// Address of the document.
        required url: String = address(),
        /// JSON pointer of the number (RFC 6901): `/queues/0/depth`.
        required pointer: String = json_pointer(),
        /// Headers of the request, at most 32. `GET` returns `***` in place of the values.
        optional headers: BTreeMap<String, String> = source_headers(),
        /// User and password of basic authentication.
        nullable basic_auth: BasicAuth = basic_auth(),
    }
}

declare! {
    /// User and password of basic authentication.
    pub(crate) struct BasicAuthRequest {
        /// The user, without a colon.
        required username: String = username(),
        /// The password. `GET` returns `***`, which stands for the stored password of the same user and host.
        required password: String = password(),
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
        if !Metric::is_name(name) {
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
    object().then(|PrometheusSource { url, query, headers, basic_auth, .. }, pointer, problems| {
        let credentials = credentials(headers, basic_auth, pointer, problems);
        Some(MetricSource::Prometheus {
            url: SourceUrl::new(url.given()?),
            query: query.given()?,
            credentials: credentials?,
        })
    })
}

fn json_document() -> Shape<MetricSource> {
    object().then(|JsonSource { url, pointer, headers, basic_auth, .. }, place, problems| {
        let credentials = credentials(headers, basic_auth, place, problems);
        Some(MetricSource::Json {
            url: SourceUrl::new(url.given()?),
            pointer: pointer.given()?,
            credentials: credentials?,
        })
    })
}

fn credentials(
    headers: Field<BTreeMap<String, String>>,
    basic_auth: Field<BasicAuth>,
    pointer: &str,
    problems: &mut Problems,
) -> Option<Credentials> {
    let (headers, basic_auth) = (headers.or(BTreeMap::new()), basic_auth.given());
    if basic_auth.is_some() && headers.as_ref().is_some_and(|headers| headers.contains_key("authorization")) {
        problems.add(format!("{pointer}/basic_auth"), "the header `authorization` is given too; remove one of them");
    }
    let headers = headers?.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    Some(Credentials { headers, basic_auth })
}

fn source_headers() -> Shape<BTreeMap<String, String>> {
    request_headers(&["accept-encoding"])
}

fn basic_auth() -> Shape<BasicAuth> {
    object().then(|BasicAuthRequest { username, password, .. }, _, _| {
        Some(BasicAuth { username: username.given()?, password: Secret::new(password.given()?) })
    })
}

fn username() -> Shape<String> {
    let username = short_text().then(|text, pointer, problems| {
        if text.contains(':') || text.contains(char::is_control) {
            problems.add(pointer, "a user of basic authentication has no colon and no control characters");
        }
        Some(text)
    });
    username.pattern(r"^[^:\u0000-\u001f\u007f-\u009f]+$", LONGEST_TEXT)
}

fn password() -> Shape<String> {
    let detail = format!("expected at most {LONGEST_TEXT} characters of text without control characters");
    let schema = json!({"type": "string", "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$", "maxLength": LONGEST_TEXT});
    Shape::new(schema, move |value, pointer, problems| {
        let short = |text: &&str| text.chars().count() <= LONGEST_TEXT && !text.contains(char::is_control);
        let text = value.as_str().filter(short);
        if text.is_none() {
            // The problem must not repeat the password.
            problems.add(pointer, detail.clone());
        }
        text.map(str::to_owned)
    })
}

/// Replaces each mask by the stored secret that it stands for. `pointer` is that of the metrics.
pub(crate) fn keep_secrets(
    metrics: &mut BTreeMap<String, Metric>,
    stored: &BTreeMap<String, Metric>,
    pointer: &str,
    problems: &mut Problems,
) {
    for (name, metric) in metrics {
        let source = metric.source.name();
        let Some(given) = metric.source.http_mut() else { continue };
        let stored = stored.get(name).and_then(|stored| stored.source.http());
        for field in source::keep_secrets(given, stored).err().into_iter().flatten() {
            let detail =
                "`***` stands for a stored secret of the same metric and host, and there is none; give the secret";
            problems.add(format!("{}/{source}{field}", join(pointer, name)), detail);
        }
    }
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

/// A metric in the form of the request, without its secrets.
pub(crate) fn json_of(metric: &Metric) -> Value {
    let mut source = match &metric.source {
        MetricSource::Prometheus { query, .. } => json!({"query": query}),
        MetricSource::Json { pointer, .. } => json!({"pointer": pointer}),
        MetricSource::Exec { command } => json!({"command": command}),
        MetricSource::Push => json!({}),
    };
    if let Some((url, Credentials { headers, basic_auth })) = metric.source.http() {
        source["url"] = json!(url.masked());
        if !headers.is_empty() {
            source["headers"] = headers.keys().map(|name| (name.clone(), json!(Secret::MASK))).collect();
        }
        if let Some(BasicAuth { username, .. }) = basic_auth {
            source["basic_auth"] = json!({"username": username, "password": Secret::MASK});
        }
    }
    json!({
        metric.source.name(): source,
        "interval": duration_json(metric.interval),
        "timeout": duration_json(metric.timeout),
        "max_age": duration_json(metric.max_age),
        "allow_negative": metric.allow_negative,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads metrics over stored ones.
    fn parsed(body: &Value, stored: &BTreeMap<String, Metric>) -> Result<BTreeMap<String, Metric>, String> {
        let mut problems = Problems::default();
        let mut metrics = definitions().read(body, "/metrics", &mut problems);
        if let Some(metrics) = &mut metrics {
            keep_secrets(metrics, stored, "/metrics", &mut problems);
        }
        problems.finish(metrics).map_err(|problem| problem.detail().to_owned())
    }

    fn shown(metrics: &BTreeMap<String, Metric>) -> Value {
        metrics.iter().map(|(name, metric)| (name.clone(), json_of(metric))).collect()
    }

    fn with_secrets() -> Value {
        json!({
            "load": {"prometheus": {
                "url": "https://ops:s3cret@prometheus.example/prom?tenant=a&token=s3cret",
                "query": "up",
                "headers": {"X-Scope-OrgID": "s3cret"},
            }},
            "depth": {"json": {
                "url": "https://queue.example/",
                "pointer": "/depth",
                "basic_auth": {"username": "ops", "password": "s3cret"},
            }},
        })
    }

    #[test]
    fn a_source_is_shown_without_its_secrets_and_can_be_sent_back() {
        let stored = parsed(&with_secrets(), &BTreeMap::new()).expect("well formed");
        let answer = shown(&stored);
        assert!(!answer.to_string().contains("s3cret") && !format!("{stored:?}").contains("s3cret"), "{answer}");
        let source = &answer["load"]["prometheus"];
        assert_eq!(source["url"], "https://ops:***@prometheus.example/prom?tenant=a&token=***");
        assert_eq!(source["headers"], json!({"x-scope-orgid": "***"}));
        assert_eq!(answer["depth"]["json"]["basic_auth"], json!({"username": "ops", "password": "***"}));
        assert_eq!(parsed(&answer, &stored), Ok(stored.clone()), "the answer changes nothing");
        let plain = json!({"load": {"prometheus": {"url": "http://127.0.0.1:9090", "query": "up"}}});
        let source = &shown(&parsed(&plain, &stored).expect("well formed"))["load"]["prometheus"];
        assert_eq!(*source, plain["load"]["prometheus"], "without credentials, none are shown");
    }

    #[test]
    fn a_mask_never_sends_a_secret_to_another_host() {
        let stored = parsed(&with_secrets(), &BTreeMap::new()).expect("well formed");
        let mut answer = shown(&stored);
        answer["load"]["prometheus"]["url"] = json!("https://elsewhere.example/");
        answer["depth"]["json"]["url"] = json!("https://elsewhere.example/");
        let why = "`***` stands for a stored secret of the same metric and host, and there is none; give the secret";
        let refused = format!(
            "/metrics/depth/json/basic_auth/password: {why}; /metrics/load/prometheus/headers/x-scope-orgid: {why}"
        );
        assert_eq!(parsed(&answer, &stored), Err(refused));
        let renamed = json!({"other": shown(&stored)["load"]});
        let refused =
            format!("/metrics/other/prometheus/url: {why}; /metrics/other/prometheus/headers/x-scope-orgid: {why}");
        assert_eq!(parsed(&renamed, &stored), Err(refused));
    }

    #[test]
    fn what_is_wrong_with_credentials_is_told_without_them() {
        let refused = |source: Value| {
            let metrics = json!({"load": {"prometheus": source}});
            parsed(&metrics, &BTreeMap::new()).expect_err("refused")
        };
        let with = |field: &str, value: Value| {
            let mut source = json!({"url": "http://a", "query": "up"});
            source[field] = value;
            refused(source)
        };
        for (found, expected) in [
            (
                with("headers", json!({"accept-encoding": "br"})),
                "/metrics/load/prometheus/headers/accept-encoding: this header describes the transport of the message; windlass sets it itself",
            ),
            (
                with("basic_auth", json!({"username": "a:b", "password": "s3cret"})),
                "/metrics/load/prometheus/basic_auth/username: a user of basic authentication has no colon and no control \
                 characters",
            ),
            (
                with("basic_auth", json!({"username": "a", "password": "s3cret\n"})),
                "/metrics/load/prometheus/basic_auth/password: expected at most 4096 characters of text without control characters",
            ),
            (
                refused(json!({
                    "url": "http://a", "query": "up", "headers": {"Authorization": "Bearer s3cret"},
                    "basic_auth": {"username": "a", "password": "s3cret"},
                })),
                "/metrics/load/prometheus/basic_auth: the header `authorization` is given too; remove one of them",
            ),
        ] {
            assert!(found == expected && !found.contains("s3cret"), "{found}");
        }
    }
}
