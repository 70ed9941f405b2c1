//! `windlass container …`: an operator's changes of single containers.

use crate::cli::format::Output;
use crate::cli::server::Server;
use clap::{Args, Subcommand};
use serde_json::json;

/// `windlass container …`
#[derive(Debug, Subcommand)]
pub(super) enum ContainerCommand {
    /// Stop a container and hold it: it is neither counted nor restarted
    #[command(after_help = "Examples:\n  windlass container stop web-3f91a2-0")]
    Stop(Target),
    /// Start a container that was held, and count it again
    #[command(after_help = "Examples:\n  windlass container start web-3f91a2-0")]
    Start(Target),
    /// Protect a container from scale-in
    #[command(after_help = "Examples:\n  windlass container protect web-3f91a2-0 -o json")]
    Protect(Target),
    /// Remove the protection from scale-in
    #[command(after_help = "Examples:\n  windlass container unprotect web-3f91a2-0")]
    Unprotect(Target),
    /// Remove a container; Windlass replaces it if the target wants that
    #[command(after_help = "Examples:\n  windlass container remove web-3f91a2-0 --force")]
    Remove {
        /// Remove it even if it runs
        #[arg(long)]
        force: bool,
        /// The container.
        #[command(flatten)]
        target: Target,
    },
}

/// The container of a command.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// Name or identifier of the container
    name: String,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text a command prints. Its document is the server's answer.
pub(super) async fn run(command: &ContainerCommand) -> anyhow::Result<String> {
    let (target, change, done) = match command {
        ContainerCommand::Stop(target) => (target, json!({"status": "stopped"}), "stopped and held"),
        ContainerCommand::Start(target) => (target, json!({"status": "running"}), "started"),
        ContainerCommand::Protect(target) => (target, json!({"scale_in_protection": true}), "protected from scale-in"),
        ContainerCommand::Unprotect(target) => {
            (target, json!({"scale_in_protection": false}), "not protected any more")
        }
        ContainerCommand::Remove { force, target: Target { name, output, server } } => {
            let query: Vec<_> = force.then(|| ("force", "true".to_owned())).into_iter().collect();
            let answer = server.client()?.delete_where(&["containers", name], &query).await?;
            return output.show(&answer, std::slice::from_ref(name), || format!("{name}: removed\n"));
        }
    };
    let Target { name, output, server } = target;
    let answer = server.client()?.patch(&["containers", name], &change).await?;
    output.show(&answer, std::slice::from_ref(name), || format!("{name}: {done}\n"))
}
