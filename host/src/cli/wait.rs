//! `windlass wait`: waits until a workload is as wanted.

use crate::cli::format::Output;
use crate::cli::server::Server;
use crate::cli::waiting::{self, Condition};
use clap::Args;
use serde_json::json;
use std::time::Duration;
use windlass_core::text::duration;

/// `windlass wait …`
#[derive(Debug, Args)]
pub(super) struct WaitArguments {
    /// Name of the workload, or its image
    name: String,
    /// The state to wait for: `ready` (as many replicas are ready as the target), `rolled-out` (ready, and none is outdated),
    /// `replicas=NUMBER` (that many are ready, and no other one runs), `stopped` (none runs) or `removed`
    #[arg(long = "for", value_name = "STATE")]
    state: Condition,
    /// Time limit of the wait
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2m")]
    timeout: Duration,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints.
pub(super) async fn run(arguments: &WaitArguments) -> anyhow::Result<String> {
    let WaitArguments { name, state, timeout, output, server } = arguments;
    waiting::wait(&server.client()?, name, *state, *timeout).await?;
    let document = json!({"workload": name, "state": state.to_string(), "met": true});
    output.show(&document, std::slice::from_ref(name), || format!("{name} is {state}\n"))
}
