//! An answer as tests see it: whole, with what differs from run to run replaced.

use serde_json::{Map, Value};
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// How long a request may take: a start fetches nothing, yet engines start but a few containers a second.
const REQUEST_LIMIT: Duration = Duration::from_secs(120);

/// An answer. Shown as its status and type, then its body with what differs from run to run replaced.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its media type.
    pub content_type: String,
    /// Its body; a string where it is not JSON.
    pub body: Value,
}

impl Response {
    /// The answer to a `GET` of any address.
    ///
    /// # Errors
    /// When there is none.
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

    /// Its body, if it is a 200.
    ///
    /// # Panics
    /// When it is not.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self}");
        self.body
    }

    /// A text of its body.
    ///
    /// # Panics
    /// When there is none at this JSON pointer.
    pub fn text(&self, pointer: &str) -> String {
        match self.body.pointer(pointer).and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => panic!("no text at {pointer}: {self}"),
        }
    }

    /// A list of its body.
    ///
    /// # Panics
    /// When there is none at this JSON pointer.
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

/// The same value, its keys sorted, with identifiers, names, free ports, times and measurements replaced
/// by their kind.
pub fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            let shown = keys.into_iter().map(|key| (key.clone(), redacted_field(key, &fields[key])));
            Value::Object(shown.collect::<Map<_, _>>())
        }
        // Machines with and without IPv6 publish a port twice and once.
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
        // A sample may or may not have been taken by now.
        ("cpu_percent" | "mem_percent", Value::Null) => "number",
        (key, Value::Number(_)) if key.ends_with("_ms") || key.ends_with("_seconds") => "time",
        (key, Value::String(_) | Value::Number(_)) if key == "at" || key.ends_with("_at") => "time",
        _ => return redacted(value),
    };
    Value::String(format!("[{kind}]"))
}

/// Windlass names containers after their image, with something of its own behind.
fn is_container_name(name: &str) -> bool {
    name.contains('-') && name.chars().any(|character| character.is_ascii_digit())
}

/// One client for all requests.
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // Installed once for the process; a second one is refused, which is as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = reqwest::Client::builder().timeout(REQUEST_LIMIT).pool_max_idle_per_host(0).no_proxy();
        builder.build().expect("a client without certificates of its own can always be made")
    })
}
