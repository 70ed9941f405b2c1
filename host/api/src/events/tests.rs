//! The endpoint over real connections: its format, its limits, and its end.

use crate::fixtures::isolated_controller;
use crate::router::router;
use crate::tests::state_of;
use crate::*;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use windlass_control::events::EventKind;
use windlass_core::WorkloadKey;

/// Time limit for every step of a test.
const BOUND: Duration = Duration::from_secs(20);

struct Served {
    address: SocketAddr,
    controller: Controller,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn served(settings: ApiSettings) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let controller = isolated_controller();
    let router = router(state_of(controller.clone(), &settings));
    let (stop, stopped) = oneshot::channel();
    let ended = tokio::spawn(async move {
        serve(listener, router, &settings, async {
            let _ = stopped.await;
        })
        .await
    });
    Served { address, controller, stop, ended }
}

impl Served {
    /// Publishes an event of a workload with this sentence.
    fn publish(&self, kind: EventKind, workload: &str, text: &str) {
        let key = WorkloadKey::stored(workload);
        self.controller.events().publish(kind, Some(&key), text, &json!({}));
    }

    /// Sends a request, and reads the head of its answer.
    async fn open(&self, path: &str, headers: &str) -> (String, BufReader<TcpStream>) {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = timeout(BOUND, reader.read_line(&mut head)).await.expect("in time").expect("a line");
            assert!(read > 0, "the connection ended: {head}");
        }
        (head, reader)
    }

    /// The JSON of an answer.
    async fn get(&self, path: &str) -> Value {
        let (_, mut body) = self.open(path, "connection: close\r\n").await;
        let mut text = String::new();
        timeout(BOUND, body.read_to_string(&mut text)).await.expect("in time").expect("text");
        let (begin, end) = (text.find('{').expect("an object"), text.rfind('}').expect("an object"));
        // Without the lines of the chunks.
        let lines = text[begin..=end].split("\r\n").enumerate().filter(|(index, _)| index % 2 == 0);
        serde_json::from_str(&lines.map(|(_, line)| line).collect::<String>()).expect("JSON")
    }
}

/// The next line that is neither empty nor the length of a chunk. `None` at the end.
async fn line(reader: &mut BufReader<TcpStream>) -> Option<String> {
    loop {
        let mut line = String::new();
        let read = timeout(BOUND, reader.read_line(&mut line)).await.expect("in time").unwrap_or(0);
        if read == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.contains(':') {
            return Some(line.to_owned());
        }
    }
}

async fn lines<const N: usize>(reader: &mut BufReader<TcpStream>) -> [String; N] {
    let mut all = Vec::new();
    for _ in 0..N {
        all.push(line(reader).await.expect("one more line"));
    }
    all.try_into().expect("as many")
}

#[tokio::test]
async fn events_are_followed_and_continued() {
    let served = served(ApiSettings::default()).await;
    served.publish(EventKind::Alert, "web", "before");
    let (head, mut reader) = served.open("/events?workload=web&kind=decision&kind=alert", "").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("connection: close") && head.contains("x-accel-buffering: no"), "{head}");
    let [retry, comment] = lines(&mut reader).await;
    assert_eq!((retry.as_str(), comment.as_str()), ("retry: 1000", ": the events of Windlass"));
    served.publish(EventKind::Decision, "db", "another workload");
    served.publish(EventKind::Replica, "web", "another kind");
    served.publish(EventKind::Decision, "web", "it grows");
    let [id, event, data] = lines(&mut reader).await;
    assert_eq!((id.as_str(), event.as_str()), ("id: 4", "event: decision"));
    let data: Value = serde_json::from_str(data.trim_start_matches("data: ")).expect("JSON");
    assert_eq!((&data["id"], &data["workload"], &data["text"]), (&json!(4), &json!("web"), &json!("it grows")));

    // The header takes precedence over the query.
    let (_, mut again) = served.open("/events?last_event_id=4", "last-event-id: 2\r\n").await;
    let [_, _, id] = lines(&mut again).await;
    assert_eq!(id, "id: 3");
    let (_, mut later) = served.open("/events?last_event_id=9000", "").await;
    let [_, _, event, data] = lines(&mut later).await;
    assert_eq!(event, "event: missed");
    assert!(data.contains("read the current state again"), "{data}");
}

#[tokio::test]
async fn the_kept_events_are_a_list() {
    let served = served(ApiSettings::default()).await;
    assert_eq!(served.get("/events?follow=false").await, json!({"events": [], "last_event_id": 0}));
    for number in 0..200 {
        served.publish(EventKind::Decision, "web", &number.to_string());
    }
    let list = served.get("/events?follow=false").await;
    let events = list["events"].as_array().expect("a list");
    assert_eq!((events.len(), &events[199]["text"], &list["last_event_id"]), (200, &json!("199"), &json!(200)));
    let later = served.get("/events?follow=false&last_event_id=198&kind=decision").await;
    assert_eq!(later["events"].as_array().map(Vec::len), Some(2));
    let refused = served.get("/events?kind=decisions&follow=false").await;
    let detail =
        "/query/kind: expected one of `decision`, `replica`, `alert`, `policy`, `override`, `workload`, `audit`";
    assert_eq!(refused["detail"], json!(detail));
}

/// The reader shares its only thread with the test, so it gets no turn before the backlog has gone on without it.
#[tokio::test]
async fn a_slow_reader_is_told_that_it_is_dropped() {
    let served = served(ApiSettings::default()).await;
    let (_, mut slow) = served.open("/events", "").await;
    let [_, _] = lines(&mut slow).await;
    for number in 0..5_000 {
        served.publish(EventKind::Decision, "web", &number.to_string());
    }
    let [event, data] = lines(&mut slow).await;
    assert_eq!(event, "event: dropped");
    assert!(data.contains("too slow"), "{data}");
    assert_eq!(line(&mut slow).await, None, "the stream ends");
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_take_no_place_of_requests() {
    let settings = ApiSettings {
        streams: 8,
        streams_per_peer: 4,
        connections: 3,
        connections_per_peer: 3,
        concurrent_requests: 2,
        requests_per_peer: 2,
        ..ApiSettings::default()
    };
    let served = served(settings).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let (head, reader) = served.open("/events", "").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        open.push(reader);
    }
    let refused = served.get("/events").await;
    assert_eq!(refused["status"], json!(503));
    assert_eq!(refused["detail"], json!("too many event streams to this address are open; close one"));
    assert_eq!(served.get("/health").await, json!({"ok": true}));
    assert_eq!(served.get("/workloads").await["workloads"], json!([]));
    // The place of a reader that leaves is free.
    drop(open.pop());
    let opened = async {
        loop {
            let (head, reader) = served.open("/events", "").await;
            if head.starts_with("HTTP/1.1 200") {
                return reader;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, opened).await.expect("in time");
}

#[tokio::test]
async fn a_shutdown_ends_the_streams_at_once() {
    let Served { address, controller, stop, ended } = served(ApiSettings::default()).await;
    let (unused, _) = oneshot::channel();
    let served = Served { address, controller, stop: unused, ended: tokio::spawn(async { Ok(()) }) };
    let (_, mut reader) = served.open("/events", "").await;
    let [_, _] = lines(&mut reader).await;
    stop.send(()).expect("it serves");
    served.controller.shut_down().await;
    assert_eq!(line(&mut reader).await, None);
    timeout(BOUND, ended).await.expect("within the grace").expect("no panic").expect("served");
    drop((served.stop, served.ended));
}
