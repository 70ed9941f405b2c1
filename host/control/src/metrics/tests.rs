//! The series that policies receive, and the values that they never receive.

use crate::metrics::answer::{body, pointed, printed, prometheus};
use crate::metrics::gather::{MOST_REQUESTS, MOST_REQUESTS_PER_SOURCE};
use crate::metrics::log::MetricLog;
use crate::metrics::track::KEPT;
use crate::metrics::unsaved::Unsaved;
use futures_util::FutureExt;
use std::time::Duration;
use windlass_concurrency::KeyedConcurrencyLimit;
use windlass_core::contract::{HealthStatus, Limits, MetricRequest, Sample, Usage};
use windlass_core::fixtures::{running, workload};
use windlass_core::metric::SampleChange;
use windlass_core::net::SourceResponse;
use windlass_core::{
    ContainerId, Credentials, FirstReady, History, Metric, MetricFailure, MetricSource, Snapshot, SourceUrl, Timestamp,
    Workload,
};

const NOW: Timestamp = Timestamp(1_767_225_600_000);

fn ago(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 - seconds * 1_000)
}

fn measured(names: &[&str]) -> Workload {
    let metric = Metric {
        source: MetricSource::Push,
        interval: Metric::INTERVAL,
        timeout: Metric::TIMEOUT,
        max_age: Duration::from_secs(60),
        allow_negative: false,
    };
    let metrics = names.iter().map(|name| ((*name).to_owned(), metric.clone())).collect();
    Workload { metrics, ..workload("web", 1, 9) }
}

fn request(name: &str, seconds: u64) -> MetricRequest {
    MetricRequest { name: name.to_owned(), window: seconds * 1_000 }
}

fn pushed(log: &MetricLog, samples: &[(u64, f64)]) {
    for (seconds, value) in samples {
        log.push("queue", Sample { at: ago(*seconds), value: *value });
    }
}

#[test]
fn a_window_is_shown_in_the_order_of_time_with_the_newest_in_any_case() {
    let (log, workload) = (MetricLog::default(), measured(&["queue"]));
    pushed(&log, &[(10, 3.0), (50, 1.0), (30, 2.0), (30, 2.5)]);
    let values = |window| -> Vec<f64> {
        let shown = log.series(&[request("queue", window)], &workload, NOW);
        assert_eq!((shown.len(), shown[0].failure.as_ref(), shown[0].replica.as_ref()), (1, None, None));
        shown[0].samples.iter().map(|sample| sample.value).collect()
    };
    assert_eq!(values(100), [1.0, 2.5, 3.0]);
    assert_eq!(values(40), [2.5, 3.0]);
    assert_eq!(values(0), [3.0]);
    // A value after the observation is no part of it.
    assert_eq!(log.series(&[request("queue", 100)], &workload, ago(20))[0].samples.len(), 2);
}

#[test]
fn what_has_no_value_says_so_and_is_never_a_zero() {
    let (log, workload) = (MetricLog::default(), measured(&["queue"]));
    let failure = |name| log.series(&[request(name, 60)], &workload, NOW).remove(0).failure.unwrap_or_default();
    assert_eq!(failure("other"), "missing: the workload defines no metric `other`");
    assert_eq!(failure("queue"), "missing: no value has come yet");
    assert_eq!(failure("cpu-utilization"), "missing: no value has come yet");
    pushed(&log, &[(61, 3.0)]);
    assert_eq!(failure("queue"), "stale: the newest value is 61000 ms old, at most 60000 ms count");
    pushed(&log, &[(60, 3.0)]);
    assert_eq!(failure("queue"), "");
    log.note("queue", Err(MetricFailure::Empty("the query found nothing".to_owned())));
    let shown = log.series(&[request("queue", 60)], &workload, NOW).remove(0);
    assert_eq!(shown.failure.as_deref(), Some("empty: the query found nothing"));
    assert_eq!(shown.samples.len(), 1, "earlier values stay");
}

#[test]
fn a_long_window_is_thinned_and_an_old_value_is_forgotten() {
    let (log, workload) = (MetricLog::default(), measured(&["queue"]));
    for second in (0..5_000).rev() {
        log.note("queue", Ok(Sample { at: ago(second), value: 1.0 }));
    }
    let shown = log.series(&[request("queue", 5_000)], &workload, NOW).remove(0).samples;
    assert_eq!((shown.len(), shown.last().map(|sample| sample.at)), (1_001, Some(NOW)));
    log.note("queue", Ok(Sample { at: NOW.plus(KEPT), value: 1.0 }));
    let kept = log.report("queue", &workload, Timestamp(0), NOW);
    assert_eq!(kept.map(|metric| metric.samples.len()), Some(2));
}

#[test]
fn use_is_told_by_replica_and_as_the_mean_over_those_that_are_ready() {
    let (log, workload) = (MetricLog::default(), measured(&[]));
    let replicas: Vec<_> = (1..=3).map(|slot| running(&workload, slot, 1)).collect();
    let mut snapshot = Snapshot { at: NOW, replicas: replicas.clone(), ..Snapshot::default() };
    snapshot.health.insert(replicas[2].id.clone(), HealthStatus::Unhealthy);
    let cores = workload.resources.cpu.cores();
    let usage = |id: &ContainerId| {
        let share = replicas.iter().position(|replica| replica.id == *id).map_or(0.0, |index| [0.2, 0.6, 4.0][index]);
        Some(Usage {
            at: ago(1),
            cpu_cores: share * cores,
            memory_bytes: workload.resources.memory.bytes() / 2,
            network_receive_rate: 10.0,
            network_transmit_rate: f64::NAN,
            network_is_unknown: false,
        })
    };
    log.note_usage(&workload, &snapshot, &History::default(), usage, NOW);
    let shown = log.series(&[request("cpu-utilization", 60)], &workload, NOW);
    let values: Vec<(bool, f64)> = shown.iter().map(|one| (one.replica.is_some(), one.samples[0].value)).collect();
    assert_eq!(values.len(), 4);
    assert!((values[0].1 - 0.4).abs() < 1e-9 && !values[0].0, "{values:?}");
    assert!(values[1..].iter().any(|(of_replica, value)| *of_replica && (value - 4.0).abs() < 1e-9), "{values:?}");
    let one = |name| log.series(&[request(name, 60)], &workload, NOW).remove(0);
    assert_eq!(one("memory-utilization").samples[0].value, 0.5);
    assert_eq!(one("ready-replicas").samples[0].value, 2.0);
    assert_eq!(one("network-transmit-rate").failure.as_deref(), Some("not-a-number: the value is NaN"));
    assert_eq!(one("cpu-utilization").failure, None, "a replica that is not ready does not count");
    // One of the two ready replicas reports nothing: the value of the other counts, with the failure next to it.
    let later = NOW.plus(Duration::from_secs(15));
    log.note_usage(&workload, &snapshot, &History::default(), |id| usage(id).filter(|_| *id == replicas[0].id), later);
    let in_part = log.series(&[request("cpu-utilization", 60)], &workload, later).remove(0);
    assert!(in_part.samples.last().is_some_and(|sample| (sample.value - 0.2).abs() < 1e-9), "{in_part:?}");
    let why = "partial: 1 of 2 replicas have no value: they have not reported their usage lately";
    assert_eq!(in_part.failure.as_deref(), Some(why));
    // A sample counts once, however often it is looked at, and a newer one is added.
    let of_first = |at: Timestamp| {
        let newer = |id: &ContainerId| usage(id).map(|usage| Usage { at, ..usage });
        log.note_usage(&workload, &snapshot, &History::default(), newer, later);
        let all = log.series(&[request("cpu-utilization", 60)], &workload, later);
        all.iter()
            .find(|one| one.replica.as_deref() == Some(replicas[0].id.as_str()))
            .map_or(0, |one| one.samples.len())
    };
    assert_eq!([of_first(ago(1)), of_first(later), of_first(later)], [1, 2, 2]);
    // The clock is set back: the metric is measured at once, and later values do not count.
    let back = ago(3_600);
    log.note_usage(
        &workload,
        &snapshot,
        &History::default(),
        |id| usage(id).map(|usage| Usage { at: back, ..usage }),
        back,
    );
    let then = log.series(&[request("cpu-utilization", 60)], &workload, back).remove(0);
    assert!(then.failure.is_none() && then.samples.len() == 1 && then.samples[0].at == back, "{then:?}");
    // If no replica reports, the metric has no value; that is not zero.
    log.note_usage(&workload, &snapshot, &History::default(), |_| None, NOW.plus(Duration::from_secs(30)));
    let cpu = log.series(&[request("cpu-utilization", 60)], &workload, NOW.plus(Duration::from_secs(30))).remove(0);
    assert_eq!(cpu.failure.as_deref(), Some("missing: no ready replica has reported its usage lately"));
}

#[test]
fn answers_are_numbers_or_failures_with_a_name() {
    let told = |body: &str| {
        prometheus(body.as_bytes()).map(|result| {
            assert_eq!(result.missing, None);
            (result.sample.at.0, result.sample.value)
        })
    };
    let vector =
        |elements: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{elements}]}}}}"#);
    let one = r#"{"metric":{},"value":[1767225600.5,"12.5"]}"#;
    assert_eq!(told(&vector(one)), Ok((1_767_225_600_500, 12.5)));
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1767225600,"3"]}}"#;
    assert_eq!(told(scalar), Ok((1_767_225_600_000, 3.0)));
    let failures: Vec<String> = [
        vector(""),
        vector(&format!("{one},{one}")),
        vector(&one.replace("12.5", "many")),
        r#"{"status":"error","error":"parse error at char 3"}"#.to_owned(),
        r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_owned(),
        "0 or 1".to_owned(),
    ]
    .iter()
    .map(|body| told(body).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(failures.join("\n"), @r#"
    empty: the query found nothing
    unreadable: the query found 2 series; one is expected, so sum or average them
    not-a-number: the value is a text of 4 bytes
    unreadable: Prometheus rejected the query: parse error at char 3
    unreadable: the query gives a matrix, not one number
    unreadable: the answer is not JSON: trailing characters at line 1 column 3
    "#);
    // They are parsed here; the log rejects them.
    assert!(told(&vector(&one.replace("12.5", "NaN"))).is_ok_and(|(_, value)| value.is_nan()));
    assert!(told(&vector(&one.replace("12.5", "+Inf"))).is_ok_and(|(_, value)| value.is_infinite()));

    // Some servers write numbers as numbers, or times as text.
    assert_eq!(told(&vector(&one.replace("\"12.5\"", "12.5"))), Ok((1_767_225_600_500, 12.5)));
    assert_eq!(told(&vector(&one.replace("1767225600.5", "\"1767225600.5\""))), Ok((1_767_225_600_500, 12.5)));

    let document = br#"{"queues": [{"depth": 7}], "none": null, "text": "seven", "blank": " "}"#;
    assert_eq!(pointed(document, "/queues/0/depth"), Ok(7.0));
    assert_eq!(pointed(b"7.5", ""), Ok(7.5));
    let failures: Vec<String> = ["/queues/1/depth", "/none", "/text", "/blank", "/queues"]
        .map(|at| pointed(document, at).unwrap_err().to_string())
        .to_vec();
    insta::assert_snapshot!(failures.join("\n"), @r#"
    missing: nothing is at `/queues/1/depth`
    empty: `/none` is null
    not-a-number: the value is a text of 5 bytes
    empty: `/blank` is an empty text
    not-a-number: the value is a list of length 1
    "#);
    assert_eq!(printed(" 42\n"), Ok(42.0));
    assert_eq!(printed("\n").unwrap_err().to_string(), "empty: the command printed nothing");
    assert_eq!(printed("42 jobs").unwrap_err().to_string(), "not-a-number: the value is a text of 7 bytes");
}

#[test]
fn numbers_are_read_as_people_write_them() {
    let text = br#"{"number": "7.5", "spaced": " 7 ", "exponent": "7e1"}"#;
    let read = |pointer| pointed(text, pointer).ok();
    assert_eq!((read("/number"), read("/spaced"), read("/exponent")), (Some(7.5), Some(7.0), Some(70.0)));
    assert_eq!(pointed("\u{feff}{\"depth\": 7}".as_bytes(), "/depth"), Ok(7.0));
    assert_eq!(pointed("\u{feff}7".as_bytes(), ""), Ok(7.0));
    let scalar = "\u{feff}{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1767225600,\"3\"]}}";
    assert_eq!(prometheus(scalar.as_bytes()).map(|result| result.sample.value), Ok(3.0));
    assert_eq!(printed("\u{feff}42\r\n"), Ok(42.0));
}

#[test]
fn a_partial_answer_has_its_value_and_says_so() {
    let missing = |more: &str, result: &str| {
        let answer = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}{more}}}"#);
        prometheus(answer.as_bytes()).map(|result| (result.sample.value, result.missing.unwrap_or_default()))
    };
    let one = r#"{"metric":{},"value":[1767225600,"12.5"]}"#;
    assert_eq!(missing("", one), Ok((12.5, String::new())));
    assert_eq!(missing(r#","warnings":[]"#, one), Ok((12.5, String::new())));
    let warned = missing(r#","warnings":["store a is down","store b is down"]"#, one);
    assert_eq!(warned, Ok((12.5, "the source answered in part: store a is down (and 1 more)".to_owned())));
    let marked = missing(r#","isPartial":true"#, one);
    assert_eq!(marked, Ok((12.5, "the source answered in part: it says that it is partial".to_owned())));
    let nothing = missing(r#","warnings":["store a is down"]"#, "").map_err(|failure| failure.to_string());
    let why = "empty: the query found nothing (the source answered in part: store a is down)";
    assert_eq!(nothing, Err(why.to_owned()));
    assert_eq!(MetricFailure::InPart("a".to_owned()).to_string(), format!("{}: a", MetricFailure::PARTIAL));
}

#[test]
fn an_answer_that_is_no_document_is_named() {
    let response = |status: u16, location: Option<&str>, text: &str| {
        let response = SourceResponse {
            status: status.try_into().expect("a status"),
            location: location.map(str::to_owned),
            date: None,
            body: text.to_owned().into(),
        };
        body(&response).and_then(|body| pointed(body, "")).map_err(|failure| failure.to_string())
    };
    let page = "\n<!DOCTYPE html>\n<html><head><TITLE lang=\"en\"> Sign in </title></head><body>no</body></html>";
    let failures: Vec<String> = [
        response(401, None, "\n  no token given  \nsecond line"),
        response(503, None, ""),
        response(502, None, page),
        response(400, None, r#"{"status":"error","errorType":"bad_data","error":"parse error at char 3"}"#),
        response(302, Some("https://login.example/?next=a&token=s3cret"), page),
        response(304, None, ""),
        response(200, None, page),
        response(200, None, "<html></html>"),
        response(200, None, "<?xml version=\"1.0\"?><a/>"),
    ]
    .map(|answer| answer.expect_err("no number"))
    .to_vec();
    insta::assert_snapshot!(failures.join("\n"), @r#"
    unreachable: the server responded with status 401 Unauthorized: `no token given`
    unreachable: the server responded with status 503 Service Unavailable
    unreachable: the server responded with status 502 Bad Gateway: a page of HTML (`Sign in`)
    unreachable: the server responded with status 400 Bad Request: `parse error at char 3`
    unreachable: the server responded with status 302 Found, a redirect to `https://login.example/?next=a&token=***`, which is not followed; give that address if it is right
    unreachable: the server responded with status 304 Not Modified
    unreadable: the answer is a page of HTML, not JSON; check the address: it may be that of a login or a proxy
    unreadable: the answer is a page of HTML, not JSON; check the address: it may be that of a login or a proxy
    unreadable: the answer is not JSON: expected value at line 1 column 1
    "#);
}

#[test]
fn no_failure_repeats_a_part_of_a_document() {
    let secret = "s3cret-value";
    let documents = [
        format!("\"{secret}\""),
        format!("{{\"{secret}\": 1}}"),
        format!("[\"{secret}\", true]"),
        secret.to_owned(),
        format!("{{\"error\": \"{secret}\"}}"),
        format!("<html><title>{secret}</title></html>"),
        format!("{{\"status\": \"success\", \"data\": {{\"resultType\": \"{secret}\"}}}}"),
        format!("{{\"status\": \"success\", \"data\": {{\"resultType\": \"scalar\", \"result\": [1, \"{secret}\"]}}}}"),
        format!("{{\"status\": \"{secret}\"}}"),
    ];
    for document in documents {
        // The text of an error is no value.
        let is_error = document == secret || document.contains("\"error\"") || document.contains("<title>");
        for status in [200, 404, 500].into_iter().filter(|status| *status == 200 || !is_error) {
            let response = SourceResponse {
                status: u16::try_into(status).expect("a status"),
                location: None,
                date: None,
                body: document.clone().into(),
            };
            let failures = body(&response).map(|body| {
                let pointed = ["", "/0", "/error"].map(|at| pointed(body, at).expect_err("no number"));
                (pointed, prometheus(body).expect_err("no result"))
            });
            let told = format!("{failures:?}");
            assert!(!told.contains(secret), "{told}");
        }
        assert!(!printed(&document).expect_err("no number").to_string().contains(secret));
    }
}

#[test]
fn if_no_replica_is_ready_the_load_is_that_of_those_that_were() {
    let (log, workload) = (MetricLog::default(), measured(&[]));
    let replicas: Vec<_> = (1..=3).map(|slot| running(&workload, slot, 1)).collect();
    let health = replicas.iter().map(|replica| (replica.id.clone(), HealthStatus::Unhealthy)).collect();
    let snapshot = Snapshot { at: NOW, replicas: replicas.clone(), health, ..Snapshot::default() };
    let cores = workload.resources.cpu.cores();
    let usage = |_: &ContainerId| {
        Some(Usage {
            at: ago(1),
            cpu_cores: cores * 0.9,
            memory_bytes: 0,
            network_receive_rate: 0.0,
            network_transmit_rate: 0.0,
            network_is_unknown: false,
        })
    };
    let mut history = History::default();
    log.note_usage(&workload, &snapshot, &history, usage, NOW);
    let cpu = |at| log.series(&[request("cpu-utilization", 60)], &workload, at).remove(0);
    assert_eq!(cpu(NOW).failure.as_deref(), Some("missing: no ready replica has reported its usage lately"));
    for replica in &replicas[..2] {
        let started = replica.started_at.expect("it runs");
        history.ready.insert(replica.id.clone(), FirstReady { started, at: ago(60) });
    }
    let later = NOW.plus(Duration::from_secs(15));
    log.note_usage(&workload, &snapshot, &history, usage, later);
    let shown = cpu(later);
    let why = "partial: no replica is ready; the value is that of the replicas that were";
    assert_eq!(shown.failure.as_deref(), Some(why));
    assert!(shown.samples.last().is_some_and(|sample| (sample.value - 0.9).abs() < 1e-9), "{shown:?}");
}

#[test]
fn what_came_is_stored_once() {
    let log =
        MetricLog::stored(vec![("queue".to_owned(), Sample { at: ago(50), value: 1.0 })], &measured(&["queue"]), NOW);
    assert!(log.take_unsaved().is_empty());
    pushed(&log, &[(10, 2.0)]);
    let changes = vec![SampleChange::Put(Sample { at: ago(10), value: 2.0 })];
    assert_eq!(log.take_unsaved(), [Unsaved { name: "queue".to_owned(), changes, oldest: ago(50) }]);
    assert!(log.take_unsaved().is_empty());
    assert_eq!(log.series(&[request("queue", 60)], &measured(&["queue"]), NOW)[0].samples.len(), 2);
}

#[test]
fn values_that_could_not_be_stored_are_stored_with_the_next_ones() {
    let (log, before) = (MetricLog::default(), measured(&["queue"]));
    log.keep_only(&before, &Snapshot::default());
    pushed(&log, &[(20, 1.0)]);
    let failed = log.take_unsaved();
    pushed(&log, &[(10, 2.0)]);
    log.put_back(failed);
    let both = log.take_unsaved();
    let put = |seconds, value| SampleChange::Put(Sample { at: ago(seconds), value });
    let changes = vec![put(20, 1.0), put(10, 2.0)];
    assert_eq!(both, [Unsaved { name: "queue".to_owned(), changes, oldest: ago(20) }]);
    // Values of an earlier source are dropped, and that they are dropped is stored in any case.
    let mut after = before.clone();
    after.metrics.get_mut("queue").expect("it is there").source = MetricSource::Exec { command: Vec::new() };
    log.keep_only(&after, &Snapshot::default());
    pushed(&log, &[(5, 3.0)]);
    log.put_back(both);
    let cleared = Unsaved { name: "queue".to_owned(), changes: vec![SampleChange::Clear], oldest: Timestamp(0) };
    let newest = Unsaved { name: "queue".to_owned(), changes: vec![put(5, 3.0)], oldest: ago(5) };
    let unsaved = log.take_unsaved();
    assert_eq!(unsaved, [cleared, newest]);
    log.put_back(unsaved.clone());
    assert_eq!(log.take_unsaved(), unsaved);
}

#[test]
fn a_metric_from_another_source_begins_anew() {
    let before = measured(&["queue", "other"]);
    let log = MetricLog::stored(vec![("queue".to_owned(), Sample { at: ago(50), value: 1.0 })], &before, NOW);
    log.note("other", Ok(Sample { at: ago(5), value: 2.0 }));
    log.take_unsaved();
    let mut after = before.clone();
    let metric = after.metrics.get_mut("queue").expect("it is there");
    metric.interval = Duration::from_secs(60);
    log.keep_only(&after, &Snapshot::default());
    assert_eq!(log.series(&[request("queue", 60)], &after, NOW)[0].failure, None, "the same, less often");
    let metric = after.metrics.get_mut("queue").expect("it is there");
    metric.source = MetricSource::Json {
        url: SourceUrl::new("http://127.0.0.1:1/"),
        pointer: String::new(),
        credentials: Credentials::default(),
    };
    log.keep_only(&after, &Snapshot::default());
    let shown = log.series(&[request("queue", 60), request("other", 60)], &after, NOW);
    assert_eq!(shown[0].failure.as_deref(), Some("missing: no value has come yet"));
    assert_eq!((shown[0].samples.len(), shown[1].samples.len()), (0, 1));
    let cleared = Unsaved { name: "queue".to_owned(), changes: vec![SampleChange::Clear], oldest: Timestamp(0) };
    assert_eq!(log.take_unsaved(), [cleared]);
    // A removed metric leaves nothing for another one of its name.
    after.metrics.remove("other");
    log.keep_only(&after, &Snapshot::default());
    assert_eq!(log.take_unsaved().len(), 1);
}

#[test]
fn values_are_kept_for_the_longest_window_a_policy_asks_for_up_to_28_days() {
    const DAY: u64 = 86_400;
    let oldest = |log: &MetricLog, workload: &Workload| {
        let shown = log.report("queue", workload, Timestamp(0), NOW);
        let samples = shown.map(|metric| metric.samples).unwrap_or_default();
        samples.first().map(|sample| NOW.since(sample.at).as_secs() / DAY)
    };
    let workload = measured(&["queue"]);
    for (asked, kept) in [(60, 1), (9 * DAY, 9), (400 * DAY, 28)] {
        let log = MetricLog::default();
        for day in (0..=40).rev() {
            log.series(&[request("queue", asked), request("queue", 30)], &workload, ago(day * DAY));
            pushed(&log, &[(day * DAY, 1.0)]);
        }
        assert_eq!(oldest(&log, &workload), Some(kept), "{asked} s");
    }
    // Values that no policy requests any more are kept for a day, in case one does again; so are all values after a restart.
    let stored = |now| {
        let days = (1..=20).rev().map(|day| ("queue".to_owned(), Sample { at: ago(day * DAY), value: 1.0 }));
        MetricLog::stored(days.collect(), &measured(&["queue"]), now)
    };
    let log = stored(ago(DAY - 60));
    pushed(&log, &[(0, 1.0)]);
    assert_eq!(oldest(&log, &workload), Some(20));
    let log = stored(ago(DAY + 60));
    pushed(&log, &[(0, 1.0)]);
    assert_eq!(oldest(&log, &workload), Some(1));
}

#[tokio::test]
async fn a_source_that_does_not_answer_leaves_places_to_the_others() {
    let limit = KeyedConcurrencyLimit::new(MOST_REQUESTS, MOST_REQUESTS_PER_SOURCE);
    let mut slow = Vec::new();
    while let Some(permit) = limit.acquire("slow").now_or_never() {
        slow.push(permit);
    }
    assert_eq!(slow.len(), MOST_REQUESTS_PER_SOURCE);
    assert!(limit.acquire("quick").now_or_never().is_some());
    limit.remove_idle();
    assert!(limit.acquire("slow").now_or_never().is_none(), "its permits are in use");
    slow.clear();
    limit.remove_idle();
    assert_eq!(limit.groups(), 0);
}

#[test]
fn utilization_is_relative_to_the_limits_in_force() {
    let workload = workload("web", 1, 1);
    let utilization = |limits| {
        let replica = windlass_core::Replica { limits, ..running(&workload, 1, NOW.0 - 60_000) };
        let usage = Usage {
            at: NOW,
            cpu_cores: 0.1,
            memory_bytes: 32 << 20,
            network_receive_rate: 0.0,
            network_transmit_rate: 0.0,
            network_is_unknown: false,
        };
        let snapshot = Snapshot { at: NOW, replicas: vec![replica], ..Snapshot::default() };
        let log = MetricLog::default();
        log.note_usage(&workload, &snapshot, &History::default(), |_| Some(usage), NOW);
        let series = log.series(&[request("cpu-utilization", 60), request("memory-utilization", 60)], &workload, NOW);
        let of_workload = series.iter().filter(|series| series.replica.is_none());
        of_workload.map(|series| series.samples[0].value).collect::<Vec<_>>()
    };
    // The workload asks for 0.1 cores and 64 MiB.
    assert_eq!(utilization(workload.limits()), [1.0, 0.5]);
    let updated = Limits { cpu_cores: Some(0.2), memory_bytes: Some(128 << 20) };
    assert_eq!(utilization(updated), [0.5, 0.25]);
    assert_eq!(utilization(Limits::default()), [1.0, 0.5], "a container without limits is measured against the wish");
}

#[test]
fn a_network_that_was_not_measured_is_no_load_of_zero() {
    let (log, workload) = (MetricLog::default(), measured(&[]));
    let replicas: Vec<_> = (1..=2).map(|slot| running(&workload, slot, 1)).collect();
    let snapshot = Snapshot { at: NOW, replicas: replicas.clone(), ..Snapshot::default() };
    let usage = |unknown: usize| {
        let replicas = replicas.clone();
        move |id: &ContainerId| {
            let index = replicas.iter().position(|replica| replica.id == *id).unwrap_or_default();
            let network_is_unknown = index < unknown;
            let rate = if network_is_unknown { 0.0 } else { 10.0 };
            Some(Usage {
                at: NOW,
                cpu_cores: 0.5,
                memory_bytes: 1,
                network_receive_rate: rate,
                network_transmit_rate: rate,
                network_is_unknown,
            })
        }
    };
    log.note_usage(&workload, &snapshot, &History::default(), usage(1), NOW);
    let whole = |name, now| log.series(&[request(name, 60)], &workload, now).remove(0);
    assert_eq!(whole("network-receive-rate", NOW).samples[0].value, 10.0, "the mean of those that were measured");
    let later = NOW.plus(Duration::from_secs(120));
    log.note_usage(
        &workload,
        &snapshot,
        &History::default(),
        |id| usage(2)(id).map(|it| Usage { at: later, ..it }),
        later,
    );
    let none = whole("network-transmit-rate", later);
    assert!(none.failure.is_some() && none.samples.iter().all(|sample| sample.at < later), "{none:?}");
    assert!(!whole("cpu-utilization", later).samples.is_empty());
}

#[test]
fn a_command_is_due_until_a_replica_has_run_it() {
    let metrics = MetricLog::default();
    assert!(!metrics.take_due("depth", false), "no replica runs yet");
    assert!(metrics.take_due("depth", true), "the first one does");
    assert!(!metrics.take_due("depth", true), "the next time is at its interval");
    metrics.stays_due("depth");
    assert!(!metrics.take_due("depth", false));
    assert!(metrics.take_due("depth", true), "a replica runs again");
}
