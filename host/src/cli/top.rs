//! `windlass top`: the workloads as a live table in the terminal, with keys for the actions of an operator.

mod fetch;
mod screen;
mod state;

use crate::cli::explain;
use crate::cli::format::{Format, Output};
use crate::cli::output::{WrongUse, print_error};
use crate::cli::server::Server;
use crate::cli::top::fetch::{Range, Row, rows};
use crate::cli::top::screen::Screen;
use crate::cli::top::state::{Request, State};
use clap::Args;
use serde_json::{Value, json};
use std::io::{IsTerminal, stdin, stdout};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use windlass_core::error_chain;
use windlass_core::text::duration;
use windlass_network::remote::Remote;

/// Longest wait at the end for the results of changes that are still on their way.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// `windlass top …`
#[derive(Debug, Args)]
pub(super) struct TopArguments {
    /// Time between two looks at the server
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "2s")]
    interval: Duration,
    /// The form of the result; any other than `table` is printed once
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints: without a terminal, the table of one look.
pub(super) async fn run(arguments: &TopArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let is_live = arguments.output.format() == Format::Table && stdout().is_terminal();
    if !is_live {
        let rows = rows(&client, Range::ALL).await?;
        let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
        return arguments.output.show(&document(&rows), &names, || state::table(&rows).text());
    }
    if !stdin().is_terminal() {
        let why = "standard input is no terminal, so that no key can be pressed; pass `-o json` for one look";
        return Err(WrongUse(why.to_owned()).into());
    }
    // An error of the first look is printed as one, and not shown on a screen.
    let first = rows(&client, Range::ALL.first_screen()).await?;
    live(&client, arguments.interval, first).await?;
    Ok(String::new())
}

/// `{"workloads": [{"name", "ready", "target", "min_replicas", "max_replicas", "cpu_percent", "mem_percent", "metrics",
/// "overrides", "reason"}]}`
fn document(rows: &[Row]) -> Value {
    json!({"workloads": rows.iter().map(Row::document).collect::<Vec<_>>()})
}

/// A look at the server, or the reason why it failed.
type Look = Result<Vec<Row>, String>;

/// Shows the table until a key ends it.
async fn live(client: &Remote, interval: Duration, first: Vec<Row>) -> anyhow::Result<()> {
    let mut screen = Screen::open()?;
    let mut state = State::default();
    state.looked(Ok(first));
    let (looks, mut looked) = mpsc::channel(1);
    let (visible, wanted) = watch::channel(Range::ALL.first_screen());
    let looking = tokio::spawn(look_for_ever(client.clone(), interval, wanted, looks));
    // An answer may take minutes, and the keys stay alive meanwhile.
    let mut changes: JoinSet<String> = JoinSet::new();
    let mut explanations: JoinSet<Result<Vec<String>, String>> = JoinSet::new();
    let ended = loop {
        let (columns, lines) = screen.size();
        let range = state.visible(columns, lines);
        visible.send_if_modified(|before| std::mem::replace(before, range) != range);
        if let Err(error) = screen.draw(&state.draw(columns, lines)) {
            break Err(error);
        }
        tokio::select! {
            Some(look) = looked.recv() => state.looked(look),
            Some(Ok(sentence)) = changes.join_next() => {
                state.note(sentence);
                // The next look shows the change.
                visible.send_modify(|_| {});
            }
            Some(Ok(explained)) = explanations.join_next() => match explained {
                Ok(page) => state.show(page),
                Err(sentence) => state.note(sentence),
            },
            key = screen.key() => match key {
                Ok(Some(key)) => match state.key(key) {
                    Some(Request::End) => break Ok(()),
                    Some(Request::Change { workload, change, done }) => {
                        state.note(format!("{workload}: sending the request"));
                        changes.spawn(send(client.clone(), workload, change, done));
                    }
                    Some(Request::Explain { workload }) => {
                        state.note(format!("{workload}: sending the request"));
                        explanations.spawn(explained(client.clone(), workload));
                    }
                    None => {}
                },
                // The size of the terminal changed.
                Ok(None) => {}
                Err(error) => break Err(error),
            },
        }
    };
    looking.abort();
    drop(screen);
    print_answers(changes).await;
    ended
}

/// Prints the results of the changes that were on their way at the end: one that was just confirmed is still sent.
async fn print_answers(mut changes: JoinSet<String>) {
    // If standard error is closed, nobody can receive the sentences.
    let answers = async {
        while let Some(answer) = changes.join_next().await {
            if let Ok(sentence) = answer {
                let _ = print_error(&format!("{sentence}\n"));
            }
        }
    };
    if timeout(LAST_ANSWERS, answers).await.is_err() {
        let note = "note: the server has not answered a change yet; `windlass get workloads` shows its effect\n";
        let _ = print_error(note);
    }
}

/// Looks at the server at each interval, and at once when other rows are visible.
async fn look_for_ever(
    client: Remote,
    interval: Duration,
    mut wanted: watch::Receiver<Range>,
    looks: mpsc::Sender<Look>,
) {
    loop {
        let range = *wanted.borrow_and_update();
        let look = rows(&client, range).await.map_err(|error| error_chain(&error));
        if looks.send(look).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}

/// Sends a change of the overrides. Returns a sentence about the result.
async fn send(client: Remote, workload: String, change: Value, done: &'static str) -> String {
    match client.patch(&["workloads", &workload, "overrides"], &change).await {
        Ok(_) => format!("{workload}: {done}"),
        Err(error) => format!("error: {error}"),
    }
}

/// The lines of the explanation of a workload's count, or a sentence about the failure.
async fn explained(client: Remote, workload: String) -> Result<Vec<String>, String> {
    match explain::newest(&client, &workload).await {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) => Err(format!("error: {error:#}")),
    }
}
