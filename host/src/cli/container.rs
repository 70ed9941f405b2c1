//! `windlass container …`: an operator's changes of single containers.

use crate::cli::format::Output;
use crate::cli::resources::{Kind, Selection, fetch};
use crate::cli::server::Server;
use crate::cli::waiting::{self, Condition, Look, WaitFlags, Wanted};
use crate::cli::words::word;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use windlass_network::remote::Remote;

/// `windlass container …`
#[derive(Debug, Subcommand)]
pub(super) enum ContainerCommand {
    /// Stop a container and hold it: it is neither counted nor restarted
    #[command(after_help = "Examples:\n  windlass container stop web-3f91a2-0")]
    Stop(WaitTarget),
    /// Start a container that was held, and count it again
    #[command(after_help = "Examples:\n  windlass container start web-3f91a2-0")]
    Start(WaitTarget),
    /// Protect a container from scale-in
    #[command(after_help = "Examples:\n  windlass container protect web-3f91a2-0 -o json")]
    Protect(Target),
    /// Remove the protection from scale-in
    #[command(after_help = "Examples:\n  windlass container unprotect web-3f91a2-0")]
    Unprotect(Target),
    /// Remove a container; Windlass replaces it if the target wants that
    #[command(after_help = "Examples:\n  windlass container remove web-3f91a2-0 --force --wait")]
    Remove {
        /// Remove it even if it runs
        #[arg(long)]
        force: bool,
        /// The container.
        #[command(flatten)]
        target: WaitTarget,
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

/// The container of a command whose effect takes time.
#[derive(Debug, Args)]
pub(super) struct WaitTarget {
    /// The container.
    #[command(flatten)]
    target: Target,
    /// The flags of a wait.
    #[command(flatten)]
    wait: WaitFlags,
}

/// The state that a wait is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Held,
    Healthy,
    /// The container is gone, and as many replicas of its workload are ready as the target.
    Replaced,
}

/// The text a command prints. Its document is the server's answer.
pub(super) async fn run(command: &ContainerCommand) -> anyhow::Result<String> {
    match command {
        ContainerCommand::Stop(target) => change_status(target, "stopped", Awaited::Held, "stopped and held").await,
        ContainerCommand::Start(target) => change_status(target, "running", Awaited::Healthy, "started").await,
        ContainerCommand::Protect(target) => protect(target, true, "protected from scale-in").await,
        ContainerCommand::Unprotect(target) => protect(target, false, "not protected any more").await,
        ContainerCommand::Remove { force, target: WaitTarget { target, wait } } => {
            let Target { name, output, server } = target;
            let client = server.client()?;
            let wait = Wait::begin(&client, name, *wait).await?;
            let query: Vec<_> = force.then(|| ("force", "true".to_owned())).into_iter().collect();
            let answer = client.delete_where(&["containers", name], &query).await?;
            wait.end(&client, Awaited::Replaced).await?;
            output.show(&answer, std::slice::from_ref(name), || format!("{name}: removed\n"))
        }
    }
}

async fn change_status(target: &WaitTarget, status: &str, awaited: Awaited, done: &str) -> anyhow::Result<String> {
    let WaitTarget { target: Target { name, output, server }, wait } = target;
    let client = server.client()?;
    let wait = Wait::begin(&client, name, *wait).await?;
    let answer = client.patch(&["containers", name], &json!({"status": status})).await?;
    wait.end(&client, awaited).await?;
    output.show(&answer, std::slice::from_ref(name), || format!("{name}: {done}\n"))
}

async fn protect(target: &Target, is_protected: bool, done: &str) -> anyhow::Result<String> {
    let Target { name, output, server } = target;
    let change = json!({"scale_in_protection": is_protected});
    let answer = server.client()?.patch(&["containers", name], &change).await?;
    output.show(&answer, std::slice::from_ref(name), || format!("{name}: {done}\n"))
}

/// A wait for a container, which is looked up before the change: afterwards, it may be gone.
struct Wait {
    flags: WaitFlags,
    /// Identifier and workload of the container. `None` without a wait, and for a container of no workload.
    container: Option<(String, String)>,
}

impl Wait {
    async fn begin(client: &Remote, name: &str, flags: WaitFlags) -> anyhow::Result<Self> {
        if !flags.is_wanted() {
            return Ok(Self { flags, container: None });
        }
        let selection = Selection { kind: Kind::Containers, name: Some(name), workload: None, is_whole: true };
        let found = fetch(client, selection).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let container = found
            .first()
            .and_then(|one| Some((text(&one.document["container_id"])?, text(&one.document["workload"])?)));
        Ok(Self { flags, container })
    }

    async fn end(self, client: &Remote, awaited: Awaited) -> anyhow::Result<()> {
        let Some((id, workload)) = &self.container else { return Ok(()) };
        let state = match awaited {
            Awaited::Held => "held",
            Awaited::Healthy => "healthy",
            Awaited::Replaced => "replaced",
        };
        let query = vec![("workload", workload.clone())];
        let wanted = Wanted { subject: id, state };
        waiting::until(client, query, wanted, self.flags.timeout(), async || {
            let selection = Selection { kind: Kind::Containers, name: None, workload: Some(workload), is_whole: true };
            let found = fetch(client, selection).await?;
            let container = found.iter().find(|one| one.document["container_id"] == id.as_str());
            match (awaited, container.map(|one| &one.document)) {
                (Awaited::Replaced, None) => waiting::look(client, workload, Condition::Ready).await,
                (_, None) => anyhow::bail!("the container `{id}` is gone"),
                (_, Some(container)) => Ok(look(container, awaited)),
            }
        })
        .await
    }
}

fn look(container: &Value, awaited: Awaited) -> Look {
    let (phase, health) = (word(&container["phase"]), word(&container["health"]));
    let is_met = match awaited {
        Awaited::Held => phase == "held",
        Awaited::Healthy => phase == "running" && health == "healthy",
        Awaited::Replaced => false,
    };
    if is_met {
        return Look::Met;
    }
    let state = format!("it is {phase} and {health}");
    Look::Pending { state, reasons: container["health_reason"].as_str().map(str::to_owned).into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_awaited_by_its_phase_and_its_health() {
        let container =
            |phase: &str, health: &str| json!({"phase": phase, "health": health, "health_reason": "it boots"});
        let is_met = |phase, health, awaited| matches!(look(&container(phase, health), awaited), Look::Met);
        assert!(is_met("held", "unknown", Awaited::Held) && !is_met("running", "healthy", Awaited::Held));
        assert!(is_met("running", "healthy", Awaited::Healthy) && !is_met("running", "starting", Awaited::Healthy));
        assert!(!is_met("held", "healthy", Awaited::Healthy) && !is_met("running", "healthy", Awaited::Replaced));
        let Look::Pending { state, reasons } = look(&container("running", "starting"), Awaited::Healthy) else {
            panic!("it is met");
        };
        assert_eq!((state.as_str(), reasons.as_slice()), ("it is running and starting", &["it boots".to_owned()][..]));
    }
}
