//! `stop_hook` of a start: what a replica is told before it is stopped.

use crate::fields::{Fields, Problems, length_of_time};
use crate::{fields, probe};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_core::workload::{HookCall, StopHook};

/// A hook as a body has it.
pub(crate) fn read(value: &Value, pointer: &str, problems: &mut Problems) -> Option<StopHook> {
    let fields = Fields::of(value, pointer, &["http", "exec", "timeout"], problems)?;
    let http = fields.nullable("http", problems, http);
    let exec = fields.nullable("exec", problems, exec);
    if fields.has("http") == fields.has("exec") {
        problems.add(
            pointer,
            "a stop hook has `http` (`{\"port\": 80, \"path\": \"/drain\"}`) or `exec` (`{\"command\": […]}`), one of them",
        );
    }
    let timeout = fields.or("timeout", StopHook::TIMEOUT, problems, length_of_time)?;
    if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&timeout) {
        problems.add(fields.at("timeout"), "expected 10 ms to 1 min");
    }
    Some(StopHook { call: http.or(exec)?, timeout })
}

fn http(value: &Value, pointer: &str, problems: &mut Problems) -> Option<HookCall> {
    let fields = Fields::of(value, pointer, &["port", "path"], problems)?;
    let port = fields.required("port", problems, fields::whole(1..=65_535));
    let path = fields.or("path", "/".to_owned(), problems, fields::parsed_by(probe::path));
    Some(HookCall::Http { port: port?, path: path? })
}

fn exec(value: &Value, pointer: &str, problems: &mut Problems) -> Option<HookCall> {
    let fields = Fields::of(value, pointer, &["command"], problems)?;
    let command = fields.required("command", problems, fields::command)?;
    Some(HookCall::Exec { command })
}

/// A hook in the form of the start request; the time in seconds.
pub(crate) fn shown(hook: &StopHook) -> Value {
    let mut shown = match &hook.call {
        HookCall::Http { port, path } => json!({"http": {"port": port, "path": path}}),
        HookCall::Exec { command } => json!({"exec": {"command": command}}),
    };
    shown["timeout"] = json!(hook.timeout.as_secs_f64());
    shown
}
