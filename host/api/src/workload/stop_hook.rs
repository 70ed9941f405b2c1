//! `stop_hook`: a call to a replica before it is stopped.

use crate::json::object::{declare, exactly_one, object};
use crate::json::shape::{Shape, command, port};
use crate::json::time::{duration_json, duration_within};
use crate::workload::probe::path_shape;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_core::workload::{HookCall, StopHook};

declare! {
    /// A call to a replica before it is stopped: either `http` or `exec`.
    pub(crate) struct StopHookRequest {
        /// `POST path` on a port of the replica. The body is `{"image", "container_id", "name", "reason"}`.
        nullable http: HookCall = http(),
        /// A command in the replica.
        nullable exec: HookCall = exec(),
        /// Time until the replica is stopped anyway. Text such as `30s`, or a number of seconds; 10 ms to 1 min.
        /// Default: 10 s.
        optional timeout: Duration =
            duration_within(Duration::from_millis(10)..=Duration::from_secs(60), "10 ms to 1 min"),
    }
    rules { exactly_one(&["http", "exec"], &[]) }
}

declare! {
    /// A request to a replica before it is stopped.
    pub(crate) struct StopHookHttpRequest {
        /// Port inside the replica.
        required port: u16 = port(),
        /// Begins with `/`.
        optional path: String = path_shape().keyword("default", json!("/")),
    }
}

declare! {
    /// A command in a replica before it is stopped.
    pub(crate) struct StopHookExecRequest {
        /// Program and arguments.
        required command: Vec<String> = command(),
    }
}

/// Reads a stop hook.
pub(crate) fn shape() -> Shape<StopHook> {
    object().then(|StopHookRequest { http, exec, timeout, .. }, pointer, problems| {
        if http.is_there() == exec.is_there() {
            problems.add(
                pointer,
                "a stop hook has `http` (`{\"port\": 80, \"path\": \"/drain\"}`) or `exec` (`{\"command\": […]}`), one of \
                 them",
            );
        }
        let timeout = timeout.or(StopHook::TIMEOUT);
        Some(StopHook { call: http.given().or(exec.given())?, timeout: timeout? })
    })
}

fn http() -> Shape<HookCall> {
    object().then(|StopHookHttpRequest { port, path, .. }, _, _| {
        Some(HookCall::Http { port: port.given()?, path: path.or("/".to_owned())? })
    })
}

fn exec() -> Shape<HookCall> {
    object().then(|StopHookExecRequest { command, .. }, _, _| Some(HookCall::Exec { command: command.given()? }))
}

/// A stop hook in the form of the request.
pub(crate) fn json_of(hook: &StopHook) -> Value {
    let mut json = match &hook.call {
        HookCall::Http { port, path } => json!({"http": {"port": port, "path": path}}),
        HookCall::Exec { command } => json!({"exec": {"command": command}}),
    };
    json["timeout"] = duration_json(hook.timeout);
    json
}
