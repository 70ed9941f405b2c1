//! `windlass token create`, `list` and `revoke`: the tokens of people and programs.

use crate::cli::format::Output;
use crate::cli::output::print_error;
use crate::cli::server::Server;
use crate::cli::table::Table;
use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_api::answer::list;
use windlass_core::text::duration;

/// The rights of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum TokenRole {
    /// Reads
    Viewer,
    /// Also scales by hand, pauses, freezes, forces, promotes and rolls back
    Operator,
    /// Also starts and deletes workloads, pushes policies and manages tokens
    Admin,
}

impl TokenRole {
    fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// `windlass token …`
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create a token and print it on standard output. Nothing can show it again
    #[command(after_help = "Examples:\n  windlass token create ci --role operator --workload web-1 --expires-in 90d")]
    Create(CreateArguments),
    /// List the tokens, without their secrets
    #[command(after_help = "Examples:\n  windlass token list")]
    List {
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Revoke a token: it lets nobody in from now on
    #[command(after_help = "Examples:\n  windlass token revoke 0a1b2c3d4e5f")]
    Revoke {
        /// Identifier of the token, as `list` prints it
        id: String,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
}

/// Flags of `windlass token create`.
#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// Name of the person or program that will use the token; it appears in the audit record
    name: String,
    /// Rights of the token
    #[arg(long)]
    role: TokenRole,
    /// Limit the token to workloads by a glob of their names or images; may be repeated [default: every workload]
    #[arg(long = "workload", value_name = "GLOB")]
    workloads: Vec<String>,
    /// Time until the token expires, such as `90d` [default: it does not expire]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text a command prints. Its document is the server's answer.
pub(super) async fn run(command: &TokenCommand) -> anyhow::Result<String> {
    match command {
        TokenCommand::Create(CreateArguments { name, role, workloads, expires_in, output, server }) => {
            let body = json!({
                "name": name, "role": role.name(), "workloads": workloads,
                "expires_in": expires_in.map(|life| life.as_secs_f64()),
            });
            let created = server.client()?.post_json(&["tokens"], &[], &body).await?;
            let token = created["token"].as_str().context("the answer has no token")?;
            // Standard output has the token alone, for scripts.
            print_error(&format!("{}\nKeep the token: nothing can show it again.\n", line(&created)))?;
            output.show(&created, &identifiers(std::slice::from_ref(&created)), || format!("{token}\n"))
        }
        TokenCommand::List { output, server } => {
            let answer = server.client()?.get(&["tokens"]).await?;
            let tokens = list(&answer["tokens"]);
            output.show(&answer, &identifiers(tokens), || table(tokens))
        }
        TokenCommand::Revoke { id, output, server } => {
            let revoked = server.client()?.delete(&["tokens", id]).await?;
            output.show(&revoked, std::slice::from_ref(id), || format!("revoked: {}\n", line(&revoked)))
        }
    }
}

fn identifiers(tokens: &[Value]) -> Vec<String> {
    tokens.iter().filter_map(|token| token["id"].as_str().map(str::to_owned)).collect()
}

/// A token in one line.
fn line(token: &Value) -> String {
    let [id, name, role, workloads, expires, _] = cells(token);
    format!("{id}: `{name}`, role {role}, workloads {workloads}, expires {expires}")
}

fn table(tokens: &[Value]) -> String {
    if tokens.is_empty() {
        return "no tokens; `windlass token create NAME --role ROLE` makes one\n".to_owned();
    }
    let mut table = Table::new(&["ID", "NAME", "ROLE", "WORKLOADS", "EXPIRES", "LAST USED"]);
    for token in tokens {
        table.row(cells(token));
    }
    table.text()
}

fn cells(token: &Value) -> [String; 6] {
    let text = |name: &str| token[name].as_str().unwrap_or("never").to_owned();
    let globs: Vec<&str> = token["workloads"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let workloads = if globs.is_empty() { "all".to_owned() } else { globs.join(",") };
    [text("id"), text("name"), text("role"), workloads, text("expires_at"), text("last_used_at")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_listed_in_columns() {
        let ci = json!({
            "id": "0a1b2c3d4e5f", "name": "ci", "role": "operator", "workloads": ["web-*", "api"],
            "expires_at": "2026-01-01T00:00:00Z", "last_used_at": null,
        });
        let ann = json!({
            "id": "ffffffffffff", "name": "ann", "role": "admin", "workloads": [], "expires_at": null,
            "last_used_at": "2026-01-01T00:00:00Z",
        });
        let text = table(&[ci.clone(), ann]);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["0a1b2c3d4e5f", "ci", "operator", "web-*,api", "2026-01-01T00:00:00Z", "never"]);
        assert_eq!(rows[2], ["ffffffffffff", "ann", "admin", "all", "never", "2026-01-01T00:00:00Z"]);
        assert_eq!(line(&ci), "0a1b2c3d4e5f: `ci`, role operator, workloads web-*,api, expires 2026-01-01T00:00:00Z");
        assert!(table(&[]).starts_with("no tokens; "));
    }
}
