//! `windlass swarm init`: makes the certificate, the key and the token of the agents, as secrets of the Swarm.

use crate::cli::format::Output;
use crate::cli::new_file;
use crate::cli::words::counted;
use crate::config;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;
use windlass_core::{Secret, Timestamp};
use windlass_docker::secrets::SecretStore;
use windlass_network::agent_secrets::AgentSecrets;

/// The names of the secrets, without their suffix.
const NAMES: [&str; 4] = ["windlass-ca", "windlass-agent-cert", "windlass-agent-key", "windlass-agent-token"];

/// The variable of the example stack with the suffix of the secrets' names.
const SUFFIX_VARIABLE: &str = "WINDLASS_SECRETS";

/// The socket that the example stack mounts unless a variable names another one.
const SOCKET: &str = "/var/run/docker.sock";

/// `windlass swarm …`
#[derive(Debug, Subcommand)]
pub(super) enum SwarmCommand {
    /// Make the secrets of the agents on a manager of a Swarm: a certificate of an own authority, its key, and a token
    #[command(after_help = "Examples:\n  windlass swarm init --days 365")]
    Init(InitArguments),
}

/// Flags of `windlass swarm init`.
#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Configuration file, for the address of the engine [default: /etc/windlass/windlass.toml, if it exists]
    #[arg(long, env = "WINDLASS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Socket or address of a manager's engine [default: DOCKER_HOST, else the engine's default]
    #[arg(long, env = "WINDLASS_ENGINE_HOST", value_name = "HOST")]
    engine_host: Option<String>,
    /// Make new secrets with other names although there are some
    #[arg(long)]
    renew: bool,
    /// Days for which the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// New file for the private key of the authority; without it, the key is forgotten
    #[arg(long, value_name = "FILE")]
    keep_ca_key: Option<PathBuf>,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
}

/// Runs the command, and returns the text for standard output.
pub(super) async fn run(command: &SwarmCommand) -> anyhow::Result<String> {
    let SwarmCommand::Init(arguments) = command;
    let settings = config::engine(arguments.config.as_deref(), arguments.engine_host.clone())?;
    let store = SecretStore::connect(&settings)?;
    let show = |created: bool, names: &[String], next: String, what: String| {
        let document = json!({"created": created, "secrets": names, "next": next});
        arguments.output.show(&document, names, || format!("{what}\nnext: {next}\n"))
    };
    let Some(suffix) = suffix(&store.names().await?, arguments.renew)? else {
        let names = names("");
        let what =
            format!("the secrets {} exist already, and nothing was changed; `--renew` makes new ones", list(&names));
        return show(false, &names, next("", store.socket()), what);
    };
    let now = Timestamp::from(SystemTime::now());
    let secrets = AgentSecrets::issue(now, arguments.days).map_err(anyhow::Error::msg)?;
    // The file comes first: the key cannot be had later.
    if let Some(file) = &arguments.keep_ca_key {
        new_file::create(file, 0o600, secrets.authority_key.reveal())
            .with_context(|| format!("cannot keep the key of the authority in `{}`", file.display()))?;
    }
    let names = names(&suffix);
    let texts = [Secret::new(secrets.authority), Secret::new(secrets.certificate), secrets.key, secrets.token];
    let created = store.create(&names.clone().into_iter().zip(texts).collect::<Vec<_>>()).await;
    if let (Err(_), Some(file)) = (&created, &arguments.keep_ca_key) {
        // It signs nothing that exists.
        let _ = std::fs::remove_file(file);
    }
    created?;
    let days = counted(u64::from(arguments.days), "day");
    let what = format!("created the secrets {}; the certificate is valid for {days}", list(&names));
    show(true, &names, next(&suffix, store.socket()), what)
}

/// The command that deploys the example stack with the secrets of this suffix. `socket` is that of the manager's engine; `None`
/// if this machine has none.
fn next(suffix: &str, socket: Option<&str>) -> String {
    let suffix = if suffix.is_empty() { String::new() } else { format!("{SUFFIX_VARIABLE}={suffix} ") };
    let socket = socket.filter(|socket| !["/run/docker.sock", SOCKET].contains(socket));
    let mounted = socket.map(|socket| format!("DOCKER_SOCKET={} ", quoted(socket))).unwrap_or_default();
    let group = format!("DOCKER_GID=$(stat -c %g {}) ", quoted(socket.unwrap_or(SOCKET)));
    format!("{suffix}{mounted}{group}docker stack deploy -c examples/swarm/stack.yaml windlass")
}

/// The word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The suffix of new secrets. `None` if there are all secrets, and no new ones are wanted.
fn suffix(existing: &BTreeSet<String>, renew: bool) -> anyhow::Result<Option<String>> {
    let [present, missing]: [Vec<String>; 2] =
        [true, false].map(|is_there| names("").into_iter().filter(|it| existing.contains(it) == is_there).collect());
    if present.is_empty() {
        return Ok(Some(String::new()));
    }
    if renew {
        let is_free = |suffix: &String| names(suffix).iter().all(|name| !existing.contains(name));
        return Ok((2..=u32::MAX).map(|number| format!("-{number}")).find(is_free));
    }
    if missing.is_empty() {
        return Ok(None);
    }
    bail!(
        "the Swarm has {}, but not {}; a part of the secrets cannot be made again: make new ones with `--renew`, or \
         remove the old ones with `docker secret rm {}`",
        list(&present),
        list(&missing),
        present.join(" ")
    )
}

fn names(suffix: &str) -> Vec<String> {
    NAMES.iter().map(|name| format!("{name}{suffix}")).collect()
}

/// The words as a list for people.
fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(existing: &[&str], renew: bool) -> Result<Option<String>, String> {
        suffix(&existing.iter().map(|name| (*name).to_owned()).collect(), renew).map_err(|error| error.to_string())
    }

    #[test]
    fn existing_secrets_are_never_replaced() {
        assert_eq!(of(&["other"], false), Ok(Some(String::new())));
        assert_eq!(of(&["other"], true), Ok(Some(String::new())));
        assert_eq!(of(&NAMES, false), Ok(None));
        assert_eq!(of(&NAMES, true), Ok(Some("-2".to_owned())));
        let with_second = [&NAMES[..], &["windlass-agent-key-2"]].concat();
        assert_eq!(of(&with_second, true), Ok(Some("-3".to_owned())), "a part of a set is not completed");
        let error = of(&["windlass-ca", "windlass-agent-key"], false).expect_err("incomplete");
        assert_eq!(
            error,
            "the Swarm has windlass-ca and windlass-agent-key, but not windlass-agent-cert and windlass-agent-token; a \
             part of the secrets cannot be made again: make new ones with `--renew`, or remove the old ones with \
             `docker secret rm windlass-ca windlass-agent-key`"
        );
        assert_eq!(of(&["windlass-ca", "windlass-agent-key"], true), Ok(Some("-2".to_owned())));
    }

    #[test]
    fn the_next_command_has_the_group_of_the_managers_socket() {
        let deploy = "docker stack deploy -c examples/swarm/stack.yaml windlass";
        for socket in [None, Some("/var/run/docker.sock"), Some("/run/docker.sock")] {
            assert_eq!(next("", socket), format!("DOCKER_GID=$(stat -c %g /var/run/docker.sock) {deploy}"));
        }
        let (socket, group) = ("DOCKER_SOCKET='/my docker.sock'", "DOCKER_GID=$(stat -c %g '/my docker.sock')");
        assert_eq!(next("-2", Some("/my docker.sock")), format!("WINDLASS_SECRETS=-2 {socket} {group} {deploy}"));
    }
}
