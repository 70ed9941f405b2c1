//! `windlass policy push`, `list`, `promote`, `rollback`, `refresh`, `delete` and `diff`: the policies of a running Windlass.

use crate::cli::format::Output;
use crate::cli::policy_wait::proved;
use crate::cli::server::Server;
use crate::cli::waiting::WaitFlags;
use crate::cli::words::{counted, word};
use anyhow::Context;
use clap::Subcommand;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use windlass_api::answer::{list, time};

/// Commands that send a request to a running Windlass.
#[derive(Debug, Subcommand)]
pub(super) enum RemoteCommand {
    /// Push a component to a running windlass, as the newest revision of a policy
    #[command(after_help = "Examples:\n  windlass policy push queue.wasm --candidate")]
    Push {
        /// The component
        file: PathBuf,
        /// Name of the policy [default: the file's name without its extension]
        #[arg(long)]
        name: Option<String>,
        /// Run it as a candidate next to the acting revision; `promote` makes it act
        #[arg(long, conflicts_with = "wait")]
        candidate: bool,
        /// Start with empty memory instead of the previous revision's memory
        #[arg(long)]
        reset_memory: bool,
        /// Name to record as the author of this push [default: USER]
        #[arg(long, env = "USER")]
        from: Option<String>,
        /// The flags of a wait, which ends when the acting revision has passed its probation.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// List the policies of a running windlass
    #[command(after_help = "Examples:\n  windlass policy list -o json")]
    List {
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Make the candidate act, or a revision by its number
    #[command(after_help = "Examples:\n  windlass policy promote queue")]
    Promote {
        /// Name of the policy
        name: String,
        /// Number of the revision [default: the candidate]
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
        /// The flags of a wait, which ends when the acting revision has passed its probation.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Make the revision before the acting one act again
    #[command(after_help = "Examples:\n  windlass policy rollback queue")]
    Rollback {
        /// Name of the policy
        name: String,
        /// The flags of a wait, which ends when the acting revision has passed its probation.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Resolve a policy's registry reference again, and fetch a new version
    #[command(after_help = "Examples:\n  windlass policy refresh queue")]
    Refresh {
        /// Name of the policy
        name: String,
        /// The flags of a wait, which ends when the acting revision has passed its probation.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Delete a policy that no workload uses, with all its revisions
    #[command(after_help = "Examples:\n  windlass policy delete queue")]
    Delete {
        /// Name of the policy
        name: String,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Show where the shadow policies of a workload decided differently, and how often
    #[command(after_help = "Examples:\n  windlass policy diff web")]
    Diff {
        /// Name of the workload, or its image
        workload: String,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
}

/// The text a command prints. Its document is the server's answer.
pub(super) async fn run(command: &RemoteCommand) -> anyhow::Result<String> {
    match command {
        RemoteCommand::Push { file, name, candidate, reset_memory, from, wait, output, server } => {
            let name = name
                .clone()
                .or_else(|| stem(file))
                .with_context(|| format!("`{}` has no usable file name; pass `--name`", file.display()))?;
            let mut query = Vec::new();
            if *candidate {
                query.push(("candidate", "true".to_owned()));
            }
            if *reset_memory {
                query.push(("memory", "reset".to_owned()));
            }
            let component = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
            let path = ["policies", name.as_str()];
            let client = server.client()?;
            let pushed = client.put_component(&path, &query, component, from.as_deref()).await?;
            show(&proved(&client, pushed, *wait).await?, *output)
        }
        RemoteCommand::List { output, server } => {
            let listed = server.client()?.get(&["policies"]).await?;
            let policies = list(&listed["policies"]);
            let names: Vec<String> =
                policies.iter().filter_map(|policy| Some(policy["name"].as_str()?.to_owned())).collect();
            output.show(&listed, &names, || policies.iter().map(policy_line).collect())
        }
        RemoteCommand::Promote { name, revision, wait, output, server } => {
            let query: Vec<_> = revision.iter().map(|number| ("revision", number.to_string())).collect();
            change(server, name, "promote", &query, *wait, *output).await
        }
        RemoteCommand::Rollback { name, wait, output, server } => {
            change(server, name, "rollback", &[], *wait, *output).await
        }
        RemoteCommand::Refresh { name, wait, output, server } => {
            change(server, name, "refresh", &[], *wait, *output).await
        }
        RemoteCommand::Delete { name, output, server } => {
            let answer = server.client()?.delete(&["policies", name]).await?;
            output.show(&answer, std::slice::from_ref(name), || format!("{name}: deleted\n"))
        }
        RemoteCommand::Diff { workload, output, server } => {
            let answer = server.client()?.get(&["workloads", workload, "shadows"]).await?;
            output.show(&answer, std::slice::from_ref(workload), || diff(&answer))
        }
    }
}

/// Sends a change of a policy, and waits if the caller wants that.
async fn change(
    server: &Server,
    name: &str,
    change: &str,
    query: &[(&str, String)],
    wait: WaitFlags,
    output: Output,
) -> anyhow::Result<String> {
    let client = server.client()?;
    let answer = client.post(&["policies", name, change], query).await?;
    show(&proved(&client, answer, wait).await?, output)
}

fn show(policy: &Value, output: Output) -> anyhow::Result<String> {
    let name = policy["name"].as_str().unwrap_or_default().to_owned();
    output.show(policy, &[name], || policy_line(policy))
}

fn stem(file: &Path) -> Option<String> {
    Some(file.file_stem()?.to_str()?.to_owned())
}

/// One line about a policy.
fn policy_line(policy: &Value) -> String {
    let text = |name: &str| policy[name].as_str().unwrap_or_default();
    let acts = match policy["acting"].as_u64() {
        None => format!("no revision acts; the built-in {} policy replaces it", text("kind")),
        Some(0) => "built in".to_owned(),
        Some(number) => format!("revision {number} acts"),
    };
    let candidate = policy["candidate"].as_u64().map(|number| format!(", candidate {number}")).unwrap_or_default();
    format!("{} {} ({}, {}): {acts}{candidate}\n", text("name"), text("version"), text("kind"), text("digest"))
}

fn diff(answer: &Value) -> String {
    let shadows = list(&answer["shadows"]);
    if shadows.is_empty() {
        return "no shadow policy was called yet\n".to_owned();
    }
    shadows.iter().map(shadow).collect()
}

fn shadow(shadow: &Value) -> String {
    let number = |name: &str| shadow[name].as_u64().unwrap_or_default();
    let mut text = format!(
        "{} revision {} ({}, config {}): called {} since {}: {} different, {} without an answer, {} skipped\n",
        word(&shadow["name"]),
        number("revision"),
        word(&shadow["kind"]),
        shadow["config"],
        counted(number("calls"), "time"),
        time(&shadow["since"]),
        number("differed"),
        number("failed"),
        counted(number("skipped"), "pass"),
    );
    for difference in shadow["differences"].as_array().into_iter().flatten() {
        let times = difference["times"].as_u64().unwrap_or_default();
        let (first, last) = (time(&difference["first_at"]), time(&difference["last_at"]));
        let when = if times == 1 { first } else { format!("{first} to {last}, {times} times") };
        // Writing to text cannot fail.
        let _ = writeln!(text, "  {when}");
        let _ = writeln!(text, "    acting: {}", answer_line(&difference["acting"]));
        let _ = writeln!(text, "    shadow: {}", answer_line(&difference["shadow"]));
    }
    text
}

fn answer_line(answer: &Value) -> String {
    if let Some(failure) = answer.get("unavailable") {
        return format!("no answer ({}: {})", word(&failure["kind"]), word(&failure["reason"]));
    }
    if let Some(replicas) = answer["replicas"].as_u64() {
        return format!("{replicas} ({})", word(&answer["reason"]));
    }
    let assessments = list(&answer["assessments"]).iter().map(|one| {
        let [id, status, remedy, reason] = ["replica-id", "status", "remedy", "reason"].map(|field| word(&one[field]));
        format!("{id} {status}, remedy {remedy} ({reason})")
    });
    let all: Vec<String> = assessments.collect();
    if all.is_empty() { "no assessment of these replicas".to_owned() } else { all.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_told_in_lines() {
        let answer = json!({"shadows": [{
            "kind": "scaling", "name": "queue", "revision": 4, "config": {"target": 5}, "since": 1_767_225_600_000_u64,
            "calls": 20, "differed": 4, "failed": 1, "skipped": 0,
            "differences": [
                {
                    "first_at": 1_767_225_600_000_u64, "last_at": 1_767_225_645_000_u64, "times": 3,
                    "acting": {"replicas": 2, "reason": "as told"},
                    "shadow": {"replicas": 4, "reason": "120 wait"},
                },
                {
                    "first_at": 1_767_225_600_000_u64, "last_at": 1_767_225_600_000_u64, "times": 1,
                    "acting": {"assessments": [
                        {"replica-id": "a", "status": "healthy", "remedy": "none", "reason": "it runs"},
                    ]},
                    "shadow": {"unavailable": {"kind": "trap", "reason": "it gave up"}},
                },
            ],
        }]});
        insta::assert_snapshot!(diff(&answer), @r#"
        queue revision 4 (scaling, config {"target":5}): called 20 times since 2026-01-01T00:00:00Z: 4 different, 1 without an answer, 0 passes skipped
          2026-01-01T00:00:00Z to 2026-01-01T00:00:45Z, 3 times
            acting: 2 (as told)
            shadow: 4 (120 wait)
          2026-01-01T00:00:00Z
            acting: a healthy, remedy none (it runs)
            shadow: no answer (trap: it gave up)
        "#);
        assert_eq!(diff(&json!({"shadows": []})), "no shadow policy was called yet\n");
    }

    #[test]
    fn a_policy_is_told_in_one_line() {
        let policy = |acting: Value, candidate: Value| {
            policy_line(&json!({
                "name": "queue", "version": "1.0.0", "kind": "scaling", "digest": "sha256:00",
                "acting": acting, "candidate": candidate,
            }))
        };
        assert_eq!(policy(json!(2), json!(3)), "queue 1.0.0 (scaling, sha256:00): revision 2 acts, candidate 3\n");
        assert_eq!(policy(json!(0), Value::Null), "queue 1.0.0 (scaling, sha256:00): built in\n");
        let none = policy(Value::Null, Value::Null);
        assert!(none.ends_with("no revision acts; the built-in scaling policy replaces it\n"), "{none}");
    }
}
