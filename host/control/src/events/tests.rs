//! The log with its readers: order, limits, filters, gaps and the end.

use crate::clock::Clock;
use crate::events::*;
use serde_json::{Value, json};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use windlass_core::{Timestamp, WorkloadKey};

fn log(runs: u64) -> Events {
    Events::after_runs(runs, Clock::simulated(Timestamp(1_767_225_600_123)))
}

fn key(name: &str) -> WorkloadKey {
    WorkloadKey::stored(name)
}

/// Publishes a decision of a workload with this sentence.
fn decide(log: &Events, workload: &str, text: &str) {
    log.publish(EventKind::Decision, Some(&key(workload)), text, &json!({"target": 2}));
}

fn texts(read: Read) -> Vec<String> {
    let Read::Events(events) = read else { panic!("{read:?}") };
    let text = |json: &str| serde_json::from_str::<Value>(json).expect("JSON")["text"].as_str().map(str::to_owned);
    events.iter().filter_map(|event| text(&event.json)).collect()
}

/// A log whose readers are woken.
fn awake() -> Events {
    let log = log(0);
    tokio::spawn(log.clone().wake_readers());
    log
}

#[tokio::test(start_paused = true)]
async fn an_event_is_one_json_object() {
    let log = log(0);
    decide(&log, "web", "it \"grows\"");
    log.publish(EventKind::Policy, None, "revision 2 acts", &Value::Null);
    let read: Vec<String> =
        log.since(0, &EventFilter::default()).events.iter().map(|event| event.json.clone()).collect();
    assert_eq!(
        read,
        [
            r#"{"id":1,"time":"2026-01-01T00:00:00.123Z","kind":"decision","workload":"web","text":"it \"grows\"","data":{"target":2}}"#,
            r#"{"id":2,"time":"2026-01-01T00:00:00.123Z","kind":"policy","text":"revision 2 acts","data":null}"#,
        ]
    );
}

#[test]
fn numbers_rise_over_restarts() {
    let first = log(0);
    decide(&first, "web", "one");
    let second = log(1);
    assert!(second.last() > first.last());
    decide(&second, "web", "two");
    assert_eq!(second.since(0, &EventFilter::default()).events[0].id, second.last());
    // A JSON reader keeps whole numbers up to 2^53.
    assert!(log(2_000_000).last() < 1 << 53);
}

#[test]
fn the_backlog_is_bounded_in_number_and_in_bytes() {
    let all = |log: &Events| {
        let (mut events, mut after) = (Vec::new(), 0);
        loop {
            let Batch { events: more, last, is_more } = log.since(after, &EventFilter::default());
            events.extend(more);
            after = last;
            if !is_more {
                return events;
            }
        }
    };
    let small = log(0);
    for number in 0..5_000 {
        decide(&small, "web", &number.to_string());
    }
    let kept = all(&small);
    assert_eq!((kept.len(), kept[0].id, kept[4_095].id), (4_096, 905, 5_000));
    let large = log(0);
    for _ in 0..1_000 {
        large.publish(EventKind::Alert, None, "x", &json!("y".repeat(15_000)));
    }
    let bytes: usize = all(&large).iter().map(|event| event.json.len()).sum();
    assert!((3 << 20..=4 << 20).contains(&bytes), "{bytes}");
    let huge = log(0);
    huge.publish(EventKind::Alert, None, &"é".repeat(9_000), &json!(vec![1; 20_000]));
    let event: Value = serde_json::from_str(&all(&huge)[0].json).expect("JSON");
    assert_eq!((event["text"].as_str().map(str::len), &event["data"]), (Some(4_096), &json!({"omitted": true})));
}

#[test]
fn a_limited_reader_gets_the_events_of_its_workloads_only() {
    let events = log(0);
    decide(&events, "web", "one");
    decide(&events, "db", "two");
    events.publish(EventKind::Policy, None, "three", &Value::Null);
    let visible = Some(Visible::of(|key| key.as_str() == "web"));
    let seen = events.since(0, &EventFilter { visible, ..EventFilter::default() }).events;
    assert_eq!(seen.iter().map(|event| event.id).collect::<Vec<_>>(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_gets_the_events_it_asked_for_from_now_on() {
    let log = awake();
    decide(&log, "web", "before");
    let filter = EventFilter { workloads: vec![key("web")], kinds: vec![EventKind::Decision], visible: None };
    let mut reader = log.subscribe(None, filter);
    decide(&log, "db", "another workload");
    log.publish(EventKind::Alert, Some(&key("web")), "another kind", &Value::Null);
    log.publish(EventKind::Decision, None, "no workload", &Value::Null);
    decide(&log, "web", "one");
    assert_eq!(texts(reader.next().await), ["one"]);
    let (read, ()) = tokio::join!(reader.next(), async {
        tokio::task::yield_now().await;
        decide(&log, "web", "two");
    });
    assert_eq!(texts(read), ["two"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_continues_where_another_one_ended() {
    let log = awake();
    for text in ["one", "two", "three"] {
        decide(&log, "web", text);
    }
    let from = |after| log.subscribe(Some(after), EventFilter::default());
    assert_eq!(texts(from(1).next().await), ["two", "three"]);
    assert_eq!(texts(from(0).next().await), ["one", "two", "three"]);
    // A number of another data directory, or of a run before whose last events are lost.
    for (log, after) in [(&log, 99), (&self::log(1), 7)] {
        decide(log, "web", "last");
        let mut reader = log.subscribe(Some(after), EventFilter::default());
        assert_eq!(reader.next().await, Read::Missed);
        assert_eq!(texts(reader.next().await).last().map(String::as_str), Some("last"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_is_dropped() {
    let log = awake();
    let mut reader = log.subscribe(None, EventFilter::default());
    for number in 0..5_000 {
        decide(&log, "web", &number.to_string());
    }
    assert_eq!(reader.next().await, Read::Dropped);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_log_ends_its_readers_after_the_last_event() {
    let log = awake();
    let mut reader = log.subscribe(None, EventFilter::default());
    decide(&log, "web", "last");
    log.end();
    assert_eq!(texts(reader.next().await), ["last"]);
    assert_eq!(reader.next().await, Read::Over);
}

/// Counts its wakes.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A publisher that woke each reader would take longer with each of them.
#[tokio::test(start_paused = true)]
async fn the_publisher_wakes_no_reader_itself() {
    let log = awake();
    tokio::task::yield_now().await;
    let mut reader = log.subscribe(None, EventFilter::default());
    let counted = Arc::<Counted>::default();
    let waker = Waker::from(Arc::clone(&counted));
    let mut read = pin!(reader.next());
    assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    for _ in 0..100 {
        decide(&log, "web", "one of a burst");
    }
    assert_eq!(counted.0.load(Ordering::SeqCst), 0);
    tokio::task::yield_now().await;
    assert_eq!(counted.0.load(Ordering::SeqCst), 1, "the burst is one wake");
    assert_eq!(texts(read.await).len(), 64);
}
