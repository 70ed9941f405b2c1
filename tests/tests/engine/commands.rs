//! The commands against a running server: files, waits, and the live table; the topics below have the rest.

mod documents;
mod examples;
mod follow;
mod place;
mod waits;

use crate::commands::place::Place;
use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::terminal::Terminal;
use windlass_tests::wait::eventually;

/// Time limit for a change to show on a terminal.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_file_that_get_printed_changes_nothing_and_an_edited_one_does() -> anyhow::Result<()> {
    let place = Place::new("files").await?;
    let caller = &place.caller;
    place.write(
        "web.toml",
        "name = 'web'\nimage = 'IMAGE'\nmin_replicas = 1\nresources = {cpu = '500m', memory = '64m'}\n\
        [env]\nANSWER = 'yes'\nVERSION = '1.10'\nA = 'x: y # z'\n"
            .replace("IMAGE", place.image()),
    )?;
    let new = caller.run(&["diff", "-f", "web.toml"])?;
    assert_eq!(new.code, Some(5), "{new:?}");
    assert!(new.stdout.starts_with("web: would be created\n") && new.stdout.contains("\"A\":\"x: y # z\""), "{new:?}");
    let started = caller.run(&["start", "-f", "web.toml", "--wait", "--timeout", "1m"])?.ok();
    assert!(started.starts_with("web: created web-"), "{started}");
    let before = place.containers().await;

    for (form, file) in [("json", "web.json"), ("yaml", "web.yaml"), ("yaml", "web")] {
        for arguments in [&["get", "workloads", "web", "-o", form][..], &["get", "workloads", "-o", form]] {
            let printed = caller.run(arguments)?.ok();
            place.write(file, &printed)?;
            assert_eq!(caller.run(&["diff", "-f", file])?.ok(), "web: no change\n", "{printed}");
            let started = caller.run_with(&["start", "-f", "-"], &printed)?.ok();
            assert!(started.starts_with("web: kept-existing web-"), "{started}");
        }
    }
    assert_eq!(caller.run(&["diff", "-f", "web.toml"])?.ok(), "web: no change\n", "`500m` is `0.5`");
    assert_eq!(place.containers().await, before, "a start with the same state replaces no container");

    let printed = caller.run(&["get", "workloads", "web", "-o", "yaml"])?.ok();
    let edited = printed.replace("x: y # z", "new").replace("max_replicas: 5", "max_replicas: 4");
    place.write("web.yaml", &edited)?;
    let differs = caller.run(&["diff", "-f", "web.yaml"])?;
    assert_eq!(differs.code, Some(5), "{differs:?}");
    let expected = "web: 2 fields would change\n  /env/A: \"x: y # z\" -> \"new\"\n  /max_replicas: 5 -> 4\n";
    assert_eq!(differs.stdout, expected);
    caller.run(&["start", "-f", "web.yaml", "--wait"])?.ok();
    assert_ne!(place.containers().await, before, "another variable replaces the container");
    assert_eq!(caller.run(&["diff", "-f", "web.yaml"])?.ok(), "web: no change\n");

    // Overrides belong to `windlass scaling`, which the command says.
    caller.run(&["scaling", "pause", "web"])?.ok();
    let paused = caller.run(&["get", "workloads", "web", "-o", "json"])?.ok();
    caller.run(&["scaling", "resume", "web"])?.ok();
    let noted = caller.run_with(&["start", "-f", "-"], &paused)?;
    assert_eq!(noted.code, Some(0), "{noted:?}");
    assert!(noted.stderr.contains("the `overrides` of `web` in the file are not applied"), "{noted:?}");
    place.write("wrong.yaml", "image: a\nresource: {}\n")?;
    let wrong = caller.run(&["start", "-f", "wrong.yaml"])?.refused(1);
    assert!(wrong.contains("cannot start `a`") && wrong.contains("did you mean `resources`?"), "{wrong}");
    place.close().await
}

#[tokio::test]
async fn a_wait_ends_with_the_state_or_with_the_pending_reason() -> anyhow::Result<()> {
    let place = Place::new("waits").await?;
    let caller = &place.caller;
    place.windlass.post("/start/container", place.web("1")).await.ok();
    assert_eq!(caller.run(&["wait", "web", "--for", "ready"])?.ok(), "web is ready\n");
    let late = caller.run(&["wait", "web", "--for", "replicas=3", "--timeout", "300ms"])?.refused(3);
    let expected =
        "error: after 300ms, `web` is not at 3 ready replicas: 1 of 1 replicas are ready, 1 running; last pass: ";
    assert!(late.starts_with(expected), "{late}");
    let unknown = caller.run(&["wait", "nobody", "--for", "ready"])?.refused(1);
    assert!(unknown.contains("nobody"), "{unknown}");
    assert!(caller.run(&["wait", "web", "--for", "happy"])?.refused(2).contains("expected `ready`, `rolled-out`"));
    assert!(caller.run(&["scale", "web"])?.refused(2).contains("required"));
    let bounds = caller.run(&["scale", "web", "--min", "9"])?.refused(2);
    assert!(bounds.contains("pass `--max 9` too"), "{bounds}");

    // A follower prints a line for each change, and ends with its reader.
    let mut follower = caller.begin(&["get", "workloads", "web", "-w", "-o", "json"])?;
    let mut next = || -> anyhow::Result<Value> { Ok(serde_json::from_str(&follower.line()?)?) };
    assert_eq!(next()?["desired"]["max_replicas"], 3);
    caller.run(&["scale", "web", "--max", "4"])?.ok();
    assert_eq!(next()?["desired"]["max_replicas"], 4);

    // Events and lines of a container arrive as they happen.
    let mut events = caller.begin(&["events", "-w", "--workload", "web", "--kind", "override", "-o", "json"])?;
    caller.run(&["scaling", "pause", "web"])?.ok();
    let event: Value = serde_json::from_str(&events.line()?)?;
    assert_eq!((&event["kind"], &event["workload"]), (&json!("override"), &json!("web")), "{event}");
    caller.run(&["scaling", "resume", "web"])?.ok();
    let container = place.container().await;
    let line = caller.begin(&["logs", &container, "-f", "-o", "json"])?.line()?;
    let line: Value = serde_json::from_str(&line)?;
    assert_eq!((&line["stream"], &line["text"]), (&json!("stdout"), &json!("ready")), "{line}");

    // Progress is for terminals: here it is seen, and above, standard error was empty.
    let arguments = ["wait", "web", "--for", "replicas=2", "--timeout", "2s"];
    let mut terminal = Terminal::run(&caller.windlass(&arguments)?)?;
    eventually("the progress", SOON, async || {
        let text = terminal.text();
        if text.contains("web: 1 of 1 replicas are ready") { Ok(()) } else { Err(text) }
    })
    .await;
    let status =
        eventually("the end of the wait", SOON, async || terminal.ended().ok().flatten().ok_or("it waits".to_owned()));
    assert_eq!(status.await.code(), Some(3), "{}", terminal.text());

    caller.run(&["scale", "web", "2", "--wait"])?.ok();
    let both = place.containers().await;
    assert_eq!(both.len(), 2, "{both:?}");
    let stopped = caller.run(&["stop", "web", "--wait"])?.ok();
    assert_eq!(stopped, "web: stopped, 0 running; `windlass start web` starts it again\n");
    let view = place.windlass.get("/workloads/web").await.ok();
    assert_eq!(view["desired"]["resources"]["status"], "stopped");
    // The same containers run again.
    caller.run(&["start", "web", "--wait"])?.ok();
    let ids = |containers: &[Value]| containers.iter().map(|one| one[0].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&place.containers().await), ids(&both));
    assert_eq!(place.windlass.get("/workloads/web").await.ok()["observed"]["running"], 2);
    let removed = caller.run(&["stop", "web", "--remove", "--wait", "-o", "json"])?.json();
    assert_eq!((&removed["workload"], &removed["deleted"]), (&json!("web"), &json!(true)));
    assert_eq!(caller.run(&["wait", "web", "--for", "removed", "-o", "json"])?.json()["met"], true);
    place.close().await
}

#[tokio::test]
async fn the_live_table_shows_the_workloads_and_takes_keys() -> anyhow::Result<()> {
    let place = Place::new("top").await?;
    place.windlass.post("/start/container", place.web("1")).await.ok();
    let mut terminal = Terminal::run(&place.caller.windlass(&["top", "--interval", "200ms"])?)?;
    let shows = async |terminal: &Terminal, wanted: &str| {
        eventually(&format!("`{wanted}` on the screen"), SOON, async || {
            let text = terminal.text();
            if text.contains(wanted) { Ok(()) } else { Err(text) }
        })
        .await;
    };
    shows(&terminal, "windlass: 1 workload, ").await;
    shows(&terminal, "1/1").await;
    terminal.press("p")?;
    shows(&terminal, "pause the scaling of web? (y/n)").await;
    terminal.press("y")?;
    shows(&terminal, "web: scaling is paused").await;
    assert_eq!(place.windlass.get("/workloads/web").await.ok()["desired"]["overrides"]["paused"], true);
    terminal.press("e")?;
    shows(&terminal, "web has a target of 1 replica, ").await;
    terminal.press("x")?;
    // An escape sequence of the arrow key, and the end by Ctrl-C.
    terminal.press("\u{1b}[B\u{3}")?;
    let status =
        eventually("the end of the table", SOON, async || terminal.ended().ok().flatten().ok_or(terminal.text()));
    assert!(status.await.success(), "{}", terminal.text());
    // The last bytes of the table may be read after its end is known.
    eventually("the screen to be restored", SOON, async || {
        let raw = terminal.raw();
        if raw.contains("\u{1b}[?1049h") && raw.contains("\u{1b}[?1049l") { Ok(()) } else { Err(raw) }
    })
    .await;

    // A workload that lacks a replica has a colour, unless NO_COLOR is set.
    let mut wrong = place.web("1");
    (wrong["name"], wrong["command"]) = (json!("wrong"), json!(["/bin/sh", "-c", "exit 1"]));
    place.windlass.post("/start/container", wrong).await.ok();
    for is_plain in [false, true] {
        let mut command = place.caller.windlass(&["top", "--interval", "200ms"])?;
        if is_plain {
            command.env("NO_COLOR", "1");
        }
        let terminal = Terminal::run(&command)?;
        shows(&terminal, "wrong").await;
        shows(&terminal, "0/1").await;
        let raw = terminal.raw();
        assert_eq!(!raw.contains("\u{1b}[38;5;"), is_plain, "{raw:?}");
    }

    // Without a terminal, the table is printed once.
    let once = place.caller.run(&["top"])?.ok();
    assert!(once.starts_with("NAME   READY  BOUNDS  CPU") && once.contains("\nweb    1/1    1-3"), "{once}");
    place.close().await
}
