//! `windlass health`: asks a running Windlass whether it answers, for the health check of a container.

use crate::cli::format::Output;
use crate::cli::server::Server;
use anyhow::{bail, ensure};
use clap::Args;
use serde_json::json;
use std::time::Duration;

/// Time for the answer, which waits for nothing. The health check of the image has more.
const LIMIT: Duration = Duration::from_secs(3);

/// `windlass health`
#[derive(Debug, Args)]
pub(super) struct HealthArguments {
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The line that it prints if Windlass answers.
///
/// # Errors
/// If there is no answer in time, or one that is not Windlass's.
pub(super) async fn run(arguments: &HealthArguments) -> anyhow::Result<String> {
    let (server, client) = arguments.server.without_token()?;
    let Ok(answer) = tokio::time::timeout(LIMIT, client.get(&["health"])).await else {
        bail!("windlass at {server} did not answer within {} s", LIMIT.as_secs());
    };
    let answer = answer?;
    ensure!(answer["ok"] == true, "the server at {server} is not windlass: its answer is {answer}; check the address");
    let document = json!({"server": server, "healthy": true});
    arguments.output.show(&document, std::slice::from_ref(&server), || format!("windlass at {server} is healthy\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: HealthArguments,
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_not_healthy() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = format!("http://{}", silent.local_addr().expect("an address"));
        let line = Line::try_parse_from(["health", "--server", &server]).expect("arguments");
        let error = run(&line.arguments).await.expect_err("it is silent").to_string();
        assert_eq!(error, format!("windlass at {server} did not answer within 3 s"));
    }
}
