//! Answers that last: the event stream, the course of a workload over time, and the lines of containers.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use windlass_tests::images::Fixture;
use windlass_tests::memory::resident;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::wait::eventually;

const SOON: Duration = Duration::from_secs(20);

/// Lines of an answer that lasts.
struct Lines {
    response: reqwest::Response,
    rest: String,
}

impl Lines {
    async fn of(windlass: &Windlass, path: &str, accept: &str) -> anyhow::Result<Self> {
        // Its provider of TLS is that of the process.
        windlass_tests::response::client();
        let client = reqwest::Client::builder().no_proxy().build()?;
        let request = client.get(format!("http://{}{path}", windlass.address()));
        let response = request.header("accept", accept).send().await?.error_for_status()?;
        Ok(Self { response, rest: String::new() })
    }

    /// The next line that is not empty. `None` at the end.
    async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let line = line.trim_end().to_owned();
                self.rest = rest.to_owned();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            let part = timeout(SOON, self.response.chunk()).await.context("a part in time")??;
            let Some(part) = part else { return Ok(None) };
            self.rest.push_str(std::str::from_utf8(&part)?);
        }
    }

    /// The data of the next event whose sentence contains a text.
    async fn event(&mut self, text: &str) -> anyhow::Result<Value> {
        loop {
            let line = self.next().await?.context("the stream goes on")?;
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let event: Value = serde_json::from_str(data)?;
            if event["text"].as_str().is_some_and(|sentence| sentence.contains(text)) {
                return Ok(event);
            }
        }
    }
}

#[tokio::test]
async fn what_happens_is_followed_across_a_restart() -> anyhow::Result<()> {
    let site = Site::new("events").await?.set("control.interval", "\"1s\"");
    let image = site.engine().prepare(Fixture::Deaf).await?;
    let mut windlass = site.start().await?;
    let mut events = Lines::of(&windlass, "/events?last_event_id=0", "text/event-stream").await?;
    windlass.post("/start/container", start_body(image, 1, 3)).await.ok();
    let started = events.event("a start request declares it").await?;
    assert_eq!((&started["kind"], &started["workload"]), (&json!("workload"), &json!(image)));
    let created = events.event("created replica").await?;
    let id = created["data"]["container_id"].as_str().context("a container")?.to_owned();

    // A person kills the container, and Windlass repairs it.
    site.engine().kill(&id).await?;
    let repaired = events.event(" replica `").await?;
    assert_eq!(repaired["kind"], json!("replica"), "{repaired}");
    let path = format!("/workloads/{}", image.replace('/', "%2F"));
    windlass.patch(&format!("{path}/overrides"), json!({"paused": true})).await.ok();
    let paused = events.event("scaling is paused").await?;
    assert_eq!((&paused["kind"], &paused["data"]["overrides"]["paused"]), (&json!("override"), &json!(true)));

    // The stream ends with Windlass, which waits for no reader.
    let began = Instant::now();
    assert!(windlass.terminate().await?.success());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    while events.next().await?.is_some() {}
    let windlass = site.start().await?;
    let last = paused["id"].as_u64().context("a number")?;
    let mut later = Lines::of(&windlass, &format!("/events?last_event_id={last}"), "text/event-stream").await?;
    later.event("are not kept any more").await?;
    windlass.patch(&format!("{path}/overrides"), json!({"paused": false})).await.ok();
    let resumed = later.event("scaling is not paused any more").await?;
    assert!(resumed["id"].as_u64() > Some(last), "{resumed}");

    // Both overrides and the outage are on the time axis, whose lines have the same steps.
    let series = windlass.get(&format!("{path}/series?step=1s&since={}", json_time(&paused, 600)?)).await.ok();
    let bands = series["bands"].as_array().context("bands")?;
    let pause = bands.iter().find(|band| band["kind"] == "override").context("the pause")?;
    assert_eq!(pause["text"], json!("scaling is paused"));
    assert_eq!(pause["lasts"], json!(false), "it lasted over the restart, and is over: {pause}");
    let lines = series["lines"].as_array().context("lines")?;
    let names: Vec<&str> = lines.iter().filter_map(|line| line["name"].as_str()).collect();
    assert_eq!(names[..5], ["replicas.running", "count.raw", "count.stabilized", "count.limited", "count.target"]);
    assert!(names.contains(&"replicas.ready") && names.contains(&"metric.cpu-utilization"), "{names:?}");
    let newest = |name: &str| {
        let line = lines.iter().find(|line| line["name"] == name)?;
        line["points"].as_array()?.iter().rev().find_map(|point| point[1].as_f64())
    };
    assert_eq!((newest("count.target"), newest("replicas.running")), (Some(1.0), Some(1.0)));
    let points = |line: &Value| line["points"].as_array().map(Vec::len);
    assert!(lines.iter().all(|line| points(line) == points(&lines[0])) && points(&lines[0]) <= Some(1_000));
    let refused = windlass.get(&format!("{path}/series?since=2020-01-01T00:00:00Z&step=1m")).await;
    assert_eq!(refused.status, 422, "{refused}");
    Ok(())
}

/// Some seconds before an event, in milliseconds since the Unix epoch.
fn json_time(event: &Value, before: u64) -> anyhow::Result<u64> {
    let time: jiff::Timestamp = event["time"].as_str().context("a time")?.parse()?;
    Ok(u64::try_from(time.as_millisecond())?.saturating_sub(before * 1_000))
}

/// The open connections of a process.
fn sockets(pid: u32) -> anyhow::Result<usize> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))?.filter_map(Result::ok);
    let target = |file: std::fs::DirEntry| std::fs::read_link(file.path()).ok();
    Ok(files.filter_map(target).filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

#[tokio::test]
async fn the_lines_of_a_container_are_read_and_followed() -> anyhow::Result<()> {
    let site = Site::new("logs").await?;
    let image = site.engine().prepare(Fixture::Deaf).await?;
    let windlass = site.start().await?;
    let script = "trap 'exit 0' TERM; echo first; echo second >&2; while :; do sleep 0.2; echo again; done";
    let mut body = start_body(image, 1, 1);
    body["command"] = json!(["/bin/sh", "-c", script]);
    let name = windlass.post("/start/container", body).await.text("/name");
    let path = format!("/containers/{name}/logs");
    let all = eventually("the first lines", SOON, async || {
        let mut lines = Lines::of(&windlass, &format!("{path}?tail=1000"), "application/x-ndjson")
            .await
            .map_err(|it| it.to_string())?;
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.map_err(|error| error.to_string())? {
            all.push(serde_json::from_str::<Value>(&line).map_err(|error| error.to_string())?);
        }
        if all.len() > 3 { Ok(all) } else { Err(format!("{all:?}")) }
    })
    .await;
    // The engine may store the two streams in either order.
    let of = |stream: &str| all.iter().find(|line| line["stream"] == stream).map(|line| line["text"].clone());
    assert_eq!((of("stdout"), of("stderr")), (Some(json!("first")), Some(json!("second"))));
    let time: jiff::Timestamp = all[0]["time"].as_str().context("a time")?.parse()?;
    assert!(jiff::Timestamp::now().duration_since(time).as_secs().abs() < 120, "{time}");
    assert_eq!(windlass.get(&format!("{path}?tail=1")).await.body, json!("again\n"));
    let later = windlass.get(&format!("{path}?since=2100-01-01T00:00:00Z")).await;
    assert_eq!((later.status, later.content_type.as_str(), later.body), (200, "text/plain; charset=utf-8", json!("")));

    // The engine stops sending when the caller leaves.
    let mut followed = Lines::of(&windlass, &format!("{path}?tail=0&follow=true"), "*/*").await?;
    assert_eq!(followed.next().await?.as_deref(), Some("again"));
    let following = sockets(windlass.pid())?;
    drop(followed);
    // One to the caller, and one to the engine. Earlier requests may leave others, which end by themselves.
    eventually("the connections to end", SOON, async || {
        let now = sockets(windlass.pid()).map_err(|error| error.to_string())?;
        if now + 2 <= following { Ok(()) } else { Err(format!("{now} connections, {following} while it followed")) }
    })
    .await;

    // The stream ends with the process.
    let mut followed = Lines::of(&windlass, &format!("{path}?tail=0&follow=true"), "*/*").await?;
    let other = site.engine().run(&format!("{}-other", site.instance()), image, &[]).await?;
    assert_eq!(windlass.get(&format!("/containers/{other}/logs")).await.status, 404, "it is not ours");
    site.engine().remove(&other).await;
    assert_eq!(windlass.get("/containers/nobody/logs").await.status, 404);
    let id = site.engine().running(site.instance()).await?.pop().context("a container")?;
    site.engine().stop(&id).await?;
    while followed.next().await?.is_some() {}
    Ok(())
}

/// Bytes that one more reader may take.
const MOST_BYTES: u64 = 40 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_take_little_memory_and_each_gets_the_event() -> anyhow::Result<()> {
    const READERS: usize = 1_000;
    raise_file_limit()?;
    let site = Site::new("readers").await?.set("api.streams_per_peer", "1000").set("control.interval", "\"1h\"");
    let image = site.engine().prepare(Fixture::Deaf).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 2)).await.ok();
    let path = format!("/workloads/{}", image.replace('/', "%2F"));
    let before = resident(windlass.pid())?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(reader(windlass.address()).await?);
    }
    let of_one = resident(windlass.pid())?.saturating_sub(before) / READERS as u64;
    assert!(of_one <= MOST_BYTES, "{of_one} bytes for each of {READERS} readers");
    let refused = windlass.get("/events").await;
    assert_eq!((refused.status, windlass.get("/health").await.status), (503, 200), "{refused}");

    windlass.patch(&format!("{path}/overrides"), json!({"freeze_scale_up": true})).await.ok();
    for reader in &mut readers {
        let mut line = String::new();
        while !line.contains("scale-out is frozen") {
            line.clear();
            assert!(timeout(SOON, reader.read_line(&mut line)).await?? > 0, "the stream ended");
        }
    }
    Ok(())
}

/// A reader of the events, after its first line.
async fn reader(address: &str) -> anyhow::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut reader = BufReader::with_capacity(4 << 10, stream);
    let mut line = String::new();
    while !line.contains("the events of Windlass") {
        line.clear();
        assert!(timeout(SOON, reader.read_line(&mut line)).await?? > 0, "the stream ended");
        assert!(!line.contains(" 503 "), "{line}");
    }
    Ok(reader)
}

/// Lets this process have the connections of all readers.
fn raise_file_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = 4_096.min(limit.maximum.unwrap_or(4_096));
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })?;
    }
    Ok(())
}
