//! `probe` of a start request, for the description.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How it is asked whether a replica answers: one of `http`, `tcp`, `exec`, `docker` and `none`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProbeRequest {
    /// A request over HTTP, and what its answer must be.
    pub http: Option<HttpProbeRequest>,
    /// A connection that opens is success.
    pub tcp: Option<TcpProbeRequest>,
    /// A command in the replica that ends with status 0 is success.
    pub exec: Option<ExecProbeRequest>,
    /// `{}`: the image's own HEALTHCHECK, at its own pace; an image without one is refused.
    pub docker: Option<EmptyRequest>,
    /// `{}`: nothing is asked, whatever the image says.
    pub none: Option<EmptyRequest>,
    /// From one question to the next: a number of seconds, or text such as `10s`; 1 s to 1 h, 10 s if absent.
    #[schema(value_type = Option<Value>)]
    pub interval: Option<Value>,
    /// What an answer may take: a number of seconds, or text such as `500ms`; 10 ms up to `interval`, 2 s if absent.
    #[schema(value_type = Option<Value>)]
    pub timeout: Option<Value>,
}

/// An HTTP probe.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpProbeRequest {
    /// Port inside the replica.
    #[schema(minimum = 1)]
    pub port: u16,
    /// Begins with `/`.
    #[schema(default = "/", nullable = false)]
    pub path: Option<String>,
    /// Sent with the request.
    #[schema(nullable = false)]
    pub headers: Option<BTreeMap<String, String>>,
    /// What the answer must be; a status of 200 to 399 if absent.
    #[schema(nullable = false)]
    pub expect: Option<ExpectedRequest>,
}

/// What the answer to an HTTP probe must be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRequest {
    /// One of these: codes (`204`) and ranges (`"200-299"`); 200 to 399 if absent.
    #[schema(nullable = false, max_items = 32)]
    pub status: Option<Vec<Value>>,
    /// Text that its first 64 KiB contain.
    pub body: Option<String>,
    /// Headers it must have, with this value, or, if null, any.
    #[schema(nullable = false)]
    pub headers: Option<BTreeMap<String, Option<String>>>,
}

/// A command in the replica.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecProbeRequest {
    /// The program and its arguments.
    #[schema(min_items = 1)]
    pub command: Vec<String>,
}

/// An empty object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmptyRequest {}

/// A TCP probe.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpProbeRequest {
    /// Port inside the replica.
    #[schema(minimum = 1)]
    pub port: u16,
}
