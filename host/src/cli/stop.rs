//! `windlass stop`: stops the containers of a workload, or removes it as a whole.

use crate::cli::format::Output;
use crate::cli::server::Server;
use crate::cli::start::with_status;
use crate::cli::waiting::{Condition, WaitFlags};
use clap::Args;
use serde_json::{Value, json};

/// `windlass stop …`
#[derive(Debug, Args)]
pub(super) struct StopArguments {
    /// Name of the workload, or its image
    name: String,
    /// Remove its containers, and forget the workload with its settings
    #[arg(long)]
    remove: bool,
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

/// The text the command prints.
pub(super) async fn run(arguments: &StopArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let StopArguments { name, remove, wait, output, .. } = arguments;
    if *remove {
        let answer = client.delete(&["workloads", name]).await?;
        wait.wait(&client, name, Condition::Removed).await?;
        let removed: Vec<&Value> = answer["removed"].as_array().into_iter().flatten().collect();
        let document = json!({"workload": name, "deleted": true, "removed": removed});
        return output.show(&document, std::slice::from_ref(name), || {
            format!("{name}: removed; removed containers: {}\n", removed.len())
        });
    }
    let stopped = with_status(&client, name, "stopped").await?;
    client.post_json(&["start", "container"], &[], &stopped.body).await?;
    wait.wait(&client, name, Condition::Stopped).await?;
    let view = client.get(&["workloads", name]).await?;
    let running = &view["observed"]["running"];
    let document = json!({"workload": name, "status": "stopped", "running": running});
    output.show(&document, std::slice::from_ref(name), || {
        format!("{name}: stopped, {running} running; `windlass start {name}` starts it again\n")
    })
}
