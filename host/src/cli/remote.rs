//! `windlass policy push`, `list`, `promote`, `rollback`, `refresh`, `delete` and `diff`: policies of a Windlass that runs.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use windlass_network::remote::Remote;

/// Where it runs, and what it asks of callers. The token is no flag, for flags can be read by others.
#[derive(Debug, Args)]
pub struct Server {
    /// Where windlass listens
    #[arg(long, env = "WINDLASS_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8000")]
    server: String,
    /// File with the token; or put the token in WINDLASS_TOKEN
    #[arg(long, env = "WINDLASS_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// What is asked of a Windlass that runs.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Push a component to a windlass that runs, as the newest revision of a name
    Push {
        /// The component
        file: PathBuf,
        /// Name to push it under [default: the file's name without its ending]
        #[arg(long)]
        name: Option<String>,
        /// Only watch it beside the revision that acts; `promote` lets it act
        #[arg(long)]
        candidate: bool,
        /// Begin with empty memory instead of what the revision before it remembered
        #[arg(long)]
        reset_memory: bool,
        /// Who pushes it, for the record [default: USER]
        #[arg(long, env = "USER")]
        from: Option<String>,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// List the policies of a windlass that runs
    List {
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Let a candidate act, or the revision of a number
    Promote {
        /// Name of the policy
        name: String,
        /// Which revision [default: the candidate]
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Let the revision before the acting one act again
    Rollback {
        /// Name of the policy
        name: String,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Look again at where a policy's reference into a registry leads
    Refresh {
        /// Name of the policy
        name: String,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Forget a policy that no workload chose, with all its revisions
    Delete {
        /// Name of the policy
        name: String,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Show where the shadows of a workload would have decided differently, and how often
    Diff {
        /// Image or name of the workload
        image: String,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
}

/// What a command prints.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: &RemoteCommand) -> anyhow::Result<String> {
    match command {
        RemoteCommand::Push { file, name, candidate, reset_memory, from, server } => {
            let name = name.clone().or_else(|| stem(file)).context("this file has no name; say `--name`")?;
            let mut query = Vec::new();
            if *candidate {
                query.push(("candidate", "true".to_owned()));
            }
            if *reset_memory {
                query.push(("memory", "reset".to_owned()));
            }
            let component = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
            let path = ["policies", name.as_str()];
            let pushed = remote(server)?.put_component(&path, &query, component, from.as_deref()).await?;
            Ok(standing(&pushed))
        }
        RemoteCommand::List { server } => {
            let listed = remote(server)?.get(&["policies"]).await?;
            let policies = listed["policies"].as_array().cloned().unwrap_or_default();
            Ok(policies.iter().map(standing).collect())
        }
        RemoteCommand::Promote { name, revision, server } => {
            let query: Vec<_> = revision.iter().map(|number| ("revision", number.to_string())).collect();
            Ok(standing(&remote(server)?.post(&["policies", name, "promote"], &query).await?))
        }
        RemoteCommand::Rollback { name, server } => {
            Ok(standing(&remote(server)?.post(&["policies", name, "rollback"], &[]).await?))
        }
        RemoteCommand::Refresh { name, server } => {
            Ok(standing(&remote(server)?.post(&["policies", name, "refresh"], &[]).await?))
        }
        RemoteCommand::Delete { name, server } => {
            remote(server)?.delete(&["policies", name]).await?;
            Ok(format!("{name}: deleted\n"))
        }
        RemoteCommand::Diff { image, server } => Ok(diff(&remote(server)?.get(&["images", image, "shadows"]).await?)),
    }
}

fn stem(file: &Path) -> Option<String> {
    Some(file.file_stem()?.to_str()?.to_owned())
}

/// The Windlass that was named.
pub(super) fn remote(server: &Server) -> anyhow::Result<Remote> {
    let token = match (std::env::var("WINDLASS_TOKEN").ok(), &server.token_file) {
        (Some(_), Some(_)) => bail!("there is both WINDLASS_TOKEN and a token file (`--token-file`); keep one"),
        (Some(token), None) => Some(token),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file);
            Some(text.with_context(|| format!("cannot read the token from `{}`", file.display()))?.trim().to_owned())
        }
        (None, None) => None,
    };
    Ok(Remote::new(&server.server, token)?)
}

/// One line about a policy.
fn standing(policy: &Value) -> String {
    let text = |name: &str| policy[name].as_str().unwrap_or_default();
    let acts = match policy["acting"].as_u64() {
        None => format!("no revision acts; the built-in {} policy stands in", text("kind")),
        Some(0) => "built in".to_owned(),
        Some(number) => format!("revision {number} acts"),
    };
    let candidate = policy["candidate"].as_u64().map(|number| format!(", candidate {number}")).unwrap_or_default();
    format!("{} {} ({}, {}): {acts}{candidate}\n", text("name"), text("version"), text("kind"), text("digest"))
}

fn diff(answer: &Value) -> String {
    let shadows = answer["shadows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if shadows.is_empty() {
        return "no shadow was asked yet\n".to_owned();
    }
    shadows.iter().map(shadow).collect()
}

fn shadow(shadow: &Value) -> String {
    let number = |name: &str| shadow[name].as_u64().unwrap_or_default();
    let word = |name: &str| shadow[name].as_str().unwrap_or_default();
    let mut text = format!(
        "{} revision {} ({}, told {}): asked {} times since {}: {} different, {} without an answer, {} passes skipped\n",
        word("name"),
        number("revision"),
        word("kind"),
        shadow["config"],
        number("calls"),
        time(&shadow["since"]),
        number("differed"),
        number("failed"),
        number("skipped"),
    );
    for difference in shadow["differences"].as_array().into_iter().flatten() {
        let times = difference["times"].as_u64().unwrap_or_default();
        let (first, last) = (time(&difference["first_at"]), time(&difference["last_at"]));
        let when = if times == 1 { first } else { format!("{first} to {last}, {times} times") };
        // Writing to text cannot fail.
        let _ = writeln!(text, "  {when}");
        let _ = writeln!(text, "    acting: {}", said(&difference["acting"]));
        let _ = writeln!(text, "    shadow: {}", said(&difference["shadow"]));
    }
    text
}

fn said(answer: &Value) -> String {
    let reason = |value: &Value| value["reason"].as_str().unwrap_or_default().to_owned();
    if let Some(failure) = answer.get("unavailable") {
        return format!("no answer ({}: {})", failure["kind"].as_str().unwrap_or_default(), reason(failure));
    }
    if let Some(replicas) = answer["replicas"].as_u64() {
        return format!("{replicas} ({})", reason(answer));
    }
    let assessments = answer["assessments"].as_array().into_iter().flatten().map(|one| {
        let word = |name: &str| one[name].as_str().unwrap_or_default();
        format!("{} {}, remedy {} ({})", word("replica-id"), word("status"), word("remedy"), reason(one))
    });
    let all: Vec<String> = assessments.collect();
    if all.is_empty() { "nothing about these replicas".to_owned() } else { all.join("; ") }
}

/// Milliseconds since the Unix epoch as RFC 3339.
pub(super) fn time(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let at = value.as_i64().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
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
        queue revision 4 (scaling, told {"target":5}): asked 20 times since 2026-01-01T00:00:00Z: 4 different, 1 without an answer, 0 passes skipped
          2026-01-01T00:00:00Z to 2026-01-01T00:00:45Z, 3 times
            acting: 2 (as told)
            shadow: 4 (120 wait)
          2026-01-01T00:00:00Z
            acting: a healthy, remedy none (it runs)
            shadow: no answer (trap: it gave up)
        "#);
        assert_eq!(diff(&json!({"shadows": []})), "no shadow was asked yet\n");
    }

    #[test]
    fn a_policy_is_told_in_one_line() {
        let policy = |acting: Value, candidate: Value| {
            standing(&json!({
                "name": "queue", "version": "1.0.0", "kind": "scaling", "digest": "sha256:00",
                "acting": acting, "candidate": candidate,
            }))
        };
        assert_eq!(policy(json!(2), json!(3)), "queue 1.0.0 (scaling, sha256:00): revision 2 acts, candidate 3\n");
        assert_eq!(policy(json!(0), Value::Null), "queue 1.0.0 (scaling, sha256:00): built in\n");
        let none = policy(Value::Null, Value::Null);
        assert!(none.ends_with("no revision acts; the built-in scaling policy stands in\n"), "{none}");
    }
}
