//! `windlass events`: decisions, changes and alerts of a server, as they happened and as they happen.

use crate::cli::format::{Format, Output, json_line};
use crate::cli::outage::Outage;
use crate::cli::output::{print, print_error};
use crate::cli::server::Server;
use crate::cli::sse::{Parser, StreamEvent};
use crate::cli::table::Table;
use crate::cli::words::word;
use crate::cli::yaml;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde_json::Value;
use windlass_api::answer::{list, time};
use windlass_control::events::EventKind;
use windlass_core::text::plain;
use windlass_network::remote::{Remote, RemoteError};

/// Reads a kind of events, and lists the kinds with their meanings in the help.
fn kind_parser() -> impl TypedValueParser<Value = EventKind> {
    let values = EventKind::ALL.map(|kind| PossibleValue::new(kind.as_str()).help(meaning(kind)));
    PossibleValuesParser::new(values).try_map(|word| {
        EventKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or("expected a kind of events")
    })
}

fn meaning(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Decision => "A count was decided",
        EventKind::Replica => "A replica began, ended or changed its health",
        EventKind::Alert => "Something needs an operator",
        EventKind::Policy => "A policy was pushed, promoted or rolled back",
        EventKind::Override => "An operator changed an override",
        EventKind::Workload => "A workload was started, changed or removed",
        EventKind::Audit => "A change by a person or a token",
    }
}

/// `windlass events …`
#[derive(Debug, Args)]
pub(super) struct EventsArguments {
    /// Go on with each new event
    #[arg(short = 'w', long)]
    watch: bool,
    /// Only events of this workload; may be repeated
    #[arg(long, value_name = "NAME")]
    workload: Vec<String>,
    /// Only events of this kind; may be repeated
    #[arg(long, value_parser = kind_parser())]
    kind: Vec<EventKind>,
    /// Only changes by a person or a token, as `--kind audit`
    #[arg(long, conflicts_with = "kind")]
    audit: bool,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints at its end.
pub(super) async fn run(arguments: &EventsArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let kinds = if arguments.audit { &[EventKind::Audit][..] } else { &arguments.kind };
    let mut query: Vec<(&str, String)> = kinds.iter().map(|kind| ("kind", kind.as_str().to_owned())).collect();
    query.extend(arguments.workload.iter().map(|workload| ("workload", workload.clone())));
    let backlog = [&query[..], &[("follow", "false".to_owned())]].concat();
    let listed = client.get_where(&["events"], &backlog).await?;
    let events = list(&listed["events"]);
    if !arguments.watch {
        let ids: Vec<String> = events.iter().map(|event| event["id"].to_string()).collect();
        return arguments.output.show(&listed, &ids, || table(events));
    }
    let format = arguments.output.format();
    for event in events {
        if !print(&shown(event, format)?)? {
            return Ok(String::new());
        }
    }
    let last = listed["last_event_id"].as_u64().or(events.last().and_then(|event| event["id"].as_u64()));
    let last = last.map(|id| id.to_string());
    follow(&client, &query, last, format).await?;
    Ok(String::new())
}

/// Prints new events until the reader leaves. A broken stream is continued where it ended.
async fn follow(
    client: &Remote,
    query: &[(&str, String)],
    mut last: Option<String>,
    format: Format,
) -> anyhow::Result<()> {
    let mut outage = Outage::default();
    loop {
        let why = match stream(client, query, &mut last, &mut outage, format).await {
            Ok(Ended::ReaderLeft) => return Ok(()),
            Ok(Ended::Dropped(why)) => why,
            Err(error) => match error.downcast::<RemoteError>() {
                Ok(error @ RemoteError::Unreachable { .. }) => error.to_string(),
                Ok(error) => return Err(error.into()),
                Err(error) => return Err(error),
            },
        };
        outage.pause(&why).await?;
    }
}

/// The end of a stream.
enum Ended {
    /// Nobody reads standard output any more.
    ReaderLeft,
    /// The server ended the stream, with the reason.
    Dropped(String),
}

async fn stream(
    client: &Remote,
    query: &[(&str, String)],
    last: &mut Option<String>,
    outage: &mut Outage,
    format: Format,
) -> anyhow::Result<Ended> {
    let mut headers = vec![("accept", "text/event-stream")];
    let sent = last.clone();
    headers.extend(sent.as_deref().map(|id| ("last-event-id", id)));
    let mut lines = client.lines(&["events"], query, &headers).await?;
    outage.end();
    let mut parser = Parser::default();
    while let Some(line) = lines.next().await? {
        let Some(StreamEvent { id, kind, data }) = parser.line(&line) else { continue };
        match kind.as_str() {
            "dropped" => return Ok(Ended::Dropped(format!("the server ended the stream: {}", notice(&data)))),
            "missed" => {
                print_error(&format!("note: {}\n", plain(&notice(&data))))?;
                continue;
            }
            _ => {}
        }
        if let Some(id) = id {
            *last = Some(id);
        }
        let Ok(event) = serde_json::from_str(&data) else { continue };
        if !print(&shown(&event, format)?)? {
            return Ok(Ended::ReaderLeft);
        }
    }
    Ok(Ended::Dropped("the server ended the stream".to_owned()))
}

/// The sentence of a notice about the stream itself.
fn notice(data: &str) -> String {
    let text = serde_json::from_str::<Value>(data).ok().and_then(|notice| Some(notice["text"].as_str()?.to_owned()));
    text.unwrap_or_else(|| data.to_owned())
}

/// One event of a stream in the chosen form.
fn shown(event: &Value, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Table => {
            let [at, kind, workload, text] = cells(event);
            let workload = if workload.is_empty() { "-".to_owned() } else { workload };
            format!("{at}  {kind:<8}  {workload}  {text}\n")
        }
        Format::Json => json_line(event),
        Format::Yaml => format!("---\n{}", yaml::text(event)?),
        Format::Name => format!("{}\n", event["id"]),
    })
}

fn table(events: &[Value]) -> String {
    if events.is_empty() {
        return "there are no events\n".to_owned();
    }
    let mut table = Table::new(&["TIME", "KIND", "WORKLOAD", "EVENT"]);
    events.iter().for_each(|event| table.row(cells(event)));
    table.text()
}

fn cells(event: &Value) -> [String; 4] {
    [time(&event["time"]).as_str(), word(&event["kind"]), word(&event["workload"]), word(&event["text"])].map(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({"id": 7, "time": "2026-01-01T00:00:00Z", "kind": "decision", "workload": "web",
            "text": "3 replicas\nbecause", "data": {}});
        let text = shown(&event, Format::Table).expect("shown");
        assert_eq!(text, "2026-01-01T00:00:00Z  decision  web  3 replicas because\n");
        assert_eq!(shown(&event, Format::Name).expect("shown"), "7\n");
        assert_eq!(shown(&event, Format::Json).expect("shown"), format!("{event}\n"));
        let policy = json!({"id": 8, "time": "2026-01-01T00:00:00Z", "kind": "policy", "text": "pushed"});
        let text = shown(&policy, Format::Table).expect("shown");
        assert_eq!(text, "2026-01-01T00:00:00Z  policy    -  pushed\n");
        assert_eq!(table(&[]), "there are no events\n");
    }

    #[test]
    fn every_kind_of_the_api_is_read() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            events: EventsArguments,
        }
        let read = |word: &str| <Line as clap::Parser>::try_parse_from(["windlass", "--kind", word]);
        for kind in EventKind::ALL {
            assert_eq!(read(kind.as_str()).map(|line| line.events.kind).ok(), Some(vec![kind]));
        }
        assert!(read("nothing").is_err() && read("Audit").is_err());
    }
}
