//! `windlass events` and `windlass logs` against a server that breaks its streams.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use windlass_tests::commands::{Caller, Running};

/// The answers to the requests of a test, in order: the beginning of the request line, and the answer with its head.
type Script = Vec<(&'static str, String)>;

/// A server that answers one request a connection, and keeps the heads of the requests.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(script: Script) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        // The thread ends with its script, or with this program.
        std::thread::spawn(move || {
            for (_, answer) in script {
                let Ok((stream, _)) = listener.accept() else { return };
                let head = head(&stream);
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                // A reader that left is the end of its stream.
                let _ = (&stream).write_all(answer.as_bytes());
            }
        });
        Ok(Self { address, requests })
    }

    /// The request lines so far, and the identifier of the last event in each.
    fn requests(&self) -> Vec<(String, Option<String>)> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let field = |head: &str, name: &str| {
            let value = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
            value.map(|value| value.trim().to_owned())
        };
        let line = |head: &String| head.lines().next().unwrap_or_default().replace(" HTTP/1.1", "");
        requests.iter().map(|head| (line(head), field(head, "last-event-id:"))).collect()
    }
}

fn head(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

fn answer(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{body}")
}

fn event(id: u64, kind: &str, workload: Option<&str>, text: &str) -> Value {
    let mut event = json!({"id": id, "time": "2026-01-01T00:00:00Z", "kind": kind, "text": text, "data": {}});
    if let Some(workload) = workload {
        event["workload"] = json!(workload);
    }
    event
}

fn sent(event: &Value) -> String {
    let kind = event["kind"].as_str().unwrap_or_default();
    format!("id: {}\nevent: {kind}\ndata: {event}\n\n", event["id"])
}

/// The next line that a command prints.
fn line(running: &mut BufReader<&mut std::process::ChildStdout>) -> anyhow::Result<String> {
    let mut line = String::new();
    running.read_line(&mut line)?;
    Ok(line)
}

#[test]
fn events_are_listed_with_their_filters() -> anyhow::Result<()> {
    let list = json!({"events": [event(3, "decision", Some("web"), "3 replicas"), event(4, "policy", None, "pushed")]});
    let json = || answer("application/json", &list.to_string());
    let server = Server::start(vec![("a", json()), ("b", json()), ("c", json())])?;
    let caller = Caller::new()?.with("WINDLASS_SERVER", &server.address);
    insta::assert_snapshot!(caller.run(&["events"])?.ok(), @r"
    TIME                  KIND      WORKLOAD  EVENT
    2026-01-01T00:00:00Z  decision  web       3 replicas
    2026-01-01T00:00:00Z  policy    -         pushed
    ");
    let filters = ["events", "--workload", "web", "--kind", "decision", "--kind", "alert", "-o", "json"];
    assert_eq!(caller.run(&filters)?.json(), list);
    assert_eq!(caller.run(&["events", "--audit", "-o", "name"])?.ok(), "3\n4\n");
    let requests: Vec<String> = server.requests().into_iter().map(|(line, _)| line).collect();
    assert_eq!(
        requests,
        [
            "GET /events?follow=false",
            "GET /events?kind=decision&kind=alert&workload=web&follow=false",
            "GET /events?kind=audit&follow=false"
        ]
    );
    Ok(())
}

#[test]
fn a_broken_stream_of_events_goes_on_where_it_ended() -> anyhow::Result<()> {
    let [first, second, third, fourth] =
        [7, 8, 9, 10].map(|id| event(id, "replica", Some("web"), &format!("event {id}")));
    let stream = |body: &str| answer("text/event-stream", body);
    let notice = |kind, text| format!("event: {kind}\ndata: {}\n\n", json!({"text": text}));
    let (missed, dropped) = (notice("missed", "some are not kept"), notice("dropped", "it read too slowly"));
    let server = Server::start(vec![
        ("backlog", answer("application/json", &json!({"events": [first], "last_event_id": 7}).to_string())),
        ("stream", stream(&format!(": hello\n\n{missed}{}{dropped}", sent(&second)))),
        ("again", stream(&sent(&third))),
        ("again", stream(&sent(&fourth))),
        ("the end", stream("")),
    ])?;
    let caller = Caller::new()?.with("WINDLASS_SERVER", &server.address);
    let Running(child) = &mut caller.begin(&["events", "-w", "--workload", "web", "-o", "json"])?;
    let mut output = child.stdout.take().expect("it is piped");
    let mut output = BufReader::new(&mut output);
    for event in [&first, &second, &third, &fourth] {
        assert_eq!(serde_json::from_str::<Value>(&line(&mut output)?)?, *event);
    }
    let requests = server.requests();
    let follow = |id: &str| ("GET /events?workload=web".to_owned(), Some(id.to_owned()));
    let backlog = ("GET /events?workload=web&follow=false".to_owned(), None);
    assert_eq!(requests[..4], [backlog, follow("7"), follow("8"), follow("9")]);
    let mut notes = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    assert_eq!(notes.next().transpose()?.as_deref(), Some("note: some are not kept"));
    let dropped = "note: the server ended the stream: it read too slowly; connecting again";
    assert_eq!(notes.next().transpose()?.as_deref(), Some(dropped));
    Ok(())
}

#[test]
fn a_log_keeps_its_two_streams_apart() -> anyhow::Result<()> {
    let out = json!({"time": "2026-01-01T00:00:00Z", "stream": "stdout", "text": "ready\u{1b}[2J"});
    let error = json!({"time": "2026-01-01T00:00:01Z", "stream": "stderr", "text": "no"});
    let log = || answer("application/x-ndjson", &format!("{out}\n{error}\n"));
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\nconnection: close\r\n\r\n\
                   {\"detail\": \"there is no container `x`\"}";
    let server = Server::start(vec![("a", log()), ("b", log()), ("c", missing.to_owned())])?;
    let caller = Caller::new()?.with("WINDLASS_SERVER", &server.address);
    let ended = caller.run(&["logs", "web-1", "--tail", "5", "--since", "2026-01-01T00:00:00Z", "--timestamps"])?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "2026-01-01T00:00:00Z ready[2J\n");
    assert_eq!(ended.stderr, "2026-01-01T00:00:01Z no\n");
    let lines = caller.run(&["logs", "web-1", "-f", "-o", "json"])?.ok();
    let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines, [out, error]);
    assert_eq!(caller.run(&["logs", "x"])?.refused(1), "error: there is no container `x`\n");
    let requests: Vec<String> = server.requests().into_iter().map(|(line, _)| line).collect();
    assert_eq!(
        requests,
        [
            "GET /containers/web-1/logs?tail=5&follow=false&since=2026-01-01T00%3A00%3A00Z",
            "GET /containers/web-1/logs?tail=100&follow=true",
            "GET /containers/x/logs?tail=100&follow=false"
        ]
    );
    assert!(caller.run(&["logs", "x", "-o", "name"])?.refused(2).starts_with("error: a log has no names"));
    Ok(())
}

/// A server that closes the connections of two looks, as one that restarts does, and whose policies then differ.
#[test]
fn a_follower_of_resources_outlives_a_restart_of_the_server() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    // The thread ends with this program.
    std::thread::spawn(move || {
        let mut looks = 0;
        while let Ok((stream, _)) = listener.accept() {
            // Without a stream of events, the command looks again from time to time.
            if head(&stream).starts_with("GET /events") {
                continue;
            }
            looks += 1;
            let acting = match looks {
                1 => 1,
                2 | 3 => continue,
                _ => 2,
            };
            let list = json!({"policies": [{"name": "queue", "acting": acting}]});
            let _ = (&stream).write_all(answer("application/json", &list.to_string()).as_bytes());
        }
    });
    let caller = Caller::new()?.with("WINDLASS_SERVER", &address);
    let mut follower = caller.begin(&["get", "policies", "-w", "-o", "json"])?;
    for acting in [1, 2] {
        assert_eq!(serde_json::from_str::<Value>(&follower.line()?)?["acting"], acting);
    }
    let Running(child) = &mut follower;
    let notes = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let notes = notes.take(2).collect::<Result<Vec<_>, _>>()?;
    let is_note =
        |note: &String| note.starts_with("note: cannot reach windlass at ") && note.ends_with("; connecting again");
    assert!(notes.len() == 2 && notes.iter().all(is_note), "{notes:#?}");
    Ok(())
}

#[test]
fn a_follower_without_a_server_ends_at_once() -> anyhow::Result<()> {
    let caller = Caller::new()?.with("WINDLASS_SERVER", "unix:/nonexistent/windlass.sock");
    let refused = caller.run(&["get", "policies", "-w"])?.refused(1);
    assert!(refused.starts_with("error: cannot reach windlass"), "{refused}");
    Ok(())
}

/// A server whose policies change, and whose stream has one event after each change.
#[test]
fn a_follower_of_resources_looks_again_after_an_event() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}", listener.local_addr()?);
    let acting = Arc::new(Mutex::new(1));
    let (opened, streams) = std::sync::mpsc::channel();
    let shown = Arc::clone(&acting);
    // The thread ends with this program.
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let head = head(&stream);
            if head.starts_with("GET /events") {
                let _ = (&stream).write_all(answer("text/event-stream", ": hello\n\n").as_bytes());
                let _ = opened.send((head, stream));
                continue;
            }
            let number = *shown.lock().unwrap_or_else(PoisonError::into_inner);
            let list = json!({"policies": [{"name": "queue", "acting": number}]});
            let _ = (&stream).write_all(answer("application/json", &list.to_string()).as_bytes());
        }
    });
    let caller = Caller::new()?.with("WINDLASS_SERVER", &address);
    let mut follower = caller.begin(&["get", "policies", "-w", "-o", "json"])?;
    let mut next =
        || -> anyhow::Result<Value> { Ok(serde_json::from_str::<Value>(&follower.line()?)?["acting"].take()) };
    assert_eq!(next()?, 1);
    let (head, stream) = streams.recv_timeout(std::time::Duration::from_secs(30))?;
    assert!(head.starts_with("GET /events?kind=policy HTTP/1.1"), "{head}");
    for number in 2..5 {
        *acting.lock().unwrap_or_else(PoisonError::into_inner) = number;
        (&stream).write_all(sent(&event(number, "policy", None, "another revision acts")).as_bytes())?;
        assert_eq!(next()?, number);
    }
    Ok(())
}
