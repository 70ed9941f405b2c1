//! `windlass rollback`: returns a workload to the generation before.

use crate::cli::format::Output;
use crate::cli::server::Server;
use crate::cli::waiting::{Condition, WaitFlags};
use clap::Args;

/// `windlass rollback …`
#[derive(Debug, Args)]
pub(super) struct RollbackArguments {
    /// Name of the workload, or its image
    name: String,
    /// The flags of a wait.
    #[command(flatten)]
    wait: WaitFlags,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints. Its document is the workload, as `windlass get` prints it.
pub(super) async fn run(arguments: &RollbackArguments) -> anyhow::Result<String> {
    let RollbackArguments { name, wait, output, server } = arguments;
    let client = server.client()?;
    let view = client.post(&["workloads", name, "rollback"], &[]).await?;
    wait.wait(&client, name, Condition::RolledOut).await?;
    output.show(&view, std::slice::from_ref(name), || {
        format!("{name}: returns to the state before; outdated containers: {}\n", view["observed"]["outdated"])
    })
}
