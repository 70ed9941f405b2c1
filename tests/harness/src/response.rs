//! A whole answer for comparison in tests, with values that differ between runs replaced.

use serde_json::{Map, Value};
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// Time limit of a request: a start pulls no image, yet an engine starts only a few containers a second.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);

/// An answer. Displayed as status and media type, then the body with values that differ between runs replaced.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The body; a JSON string if the body is not JSON.
    pub body: Value,
}

impl Response {
    /// The answer to a `GET` of a URL.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn of(url: &str) -> anyhow::Result<Self> {
        Self::read(client().get(url).send().await?).await
    }

    pub(crate) async fn read(response: reqwest::Response) -> anyhow::Result<Self> {
        let status = response.status().as_u16();
        let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self { status, content_type, body })
    }

    /// The body of an answer with status 200.
    ///
    /// # Panics
    /// If the status is not 200.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self}");
        self.body
    }

    /// A string in the body.
    ///
    /// # Panics
    /// If there is no string at this JSON pointer.
    pub fn text(&self, pointer: &str) -> String {
        match self.body.pointer(pointer).and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => panic!("no text at {pointer}: {self}"),
        }
    }

    /// A list in the body.
    ///
    /// # Panics
    /// If there is no list at this JSON pointer.
    pub fn list(&self, pointer: &str) -> &[Value] {
        match self.body.pointer(pointer).and_then(Value::as_array) {
            Some(list) => list,
            None => panic!("no list at {pointer}: {self}"),
        }
    }
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.status, self.content_type)?;
        match &self.body {
            Value::String(text) => f.write_str(text),
            body => write!(f, "{:#}", redacted(body)),
        }
    }
}

/// A copy of a value with sorted keys. Identifiers, names, free ports, times and measurements are replaced by their
/// kind.
pub fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            let shown = keys.into_iter().map(|key| (key.clone(), redacted_field(key, &fields[key])));
            Value::Object(shown.collect::<Map<_, _>>())
        }
        // A machine with IPv6 publishes a port twice, one without it once.
        Value::Array(values) => values.iter().filter(|value| value["HostIp"] != "::").map(redacted).collect(),
        other => other.clone(),
    }
}

fn redacted_field(key: &str, value: &Value) -> Value {
    let kind = match (key, value) {
        ("container_id" | "id" | "digest" | "decision", Value::String(_) | Value::Number(_)) => key,
        ("name", Value::String(name)) if is_container_name(name) => "name",
        ("HostPort", Value::String(port)) if port != "0" => "port",
        ("cpu_percent" | "mem_percent" | "fs_free_bytes" | "memory_bytes" | "cpu_cores", Value::Number(_)) => "number",
        // The first sample may still be missing.
        ("cpu_percent" | "mem_percent", Value::Null) => "number",
        (key, Value::Number(_)) if key.ends_with("_ms") || key.ends_with("_seconds") => "time",
        (key, Value::String(_) | Value::Number(_)) if key == "at" || key.ends_with("_at") => "time",
        _ => return redacted(value),
    };
    Value::String(format!("[{kind}]"))
}

/// Whether a text looks like the name that Windlass gives a container: the image and a suffix.
fn is_container_name(name: &str) -> bool {
    name.contains('-') && name.chars().any(|character| character.is_ascii_digit())
}

/// The client of all requests.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| build(builder()))
}

/// A client of the server at a Unix socket, whatever the host of a URL is.
pub fn client_of(socket: &Path) -> reqwest::Client {
    build(builder().unix_socket(socket))
}

fn builder() -> reqwest::ClientBuilder {
    // A process has one provider; a second installation fails, which is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().timeout(REQUEST_LIMIT).pool_max_idle_per_host(0).no_proxy()
}

fn build(builder: reqwest::ClientBuilder) -> reqwest::Client {
    builder.build().expect("a client without certificates of its own can always be made")
}
