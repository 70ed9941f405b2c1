//! The commands against a running server: the examples of their help, their documents, files, waits, and the live table.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;
use windlass_builtin::MIN_MAX;
use windlass_tests::commands::{Caller, Ended, Running, documented};
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, start_body};
use windlass_tests::terminal::Terminal;
use windlass_tests::wait::eventually;

/// Time limit for a change to show on a terminal.
const SOON: Duration = Duration::from_secs(20);

/// A load over two minutes.
const LOAD: &str = "time,load\n0,10\n60,20\n120,30\n";

/// How a test runs an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It ends with code 0.
    Ends,
    /// It prints something, and does not end.
    Follows,
    /// It needs what this test does not have; its arguments are understood.
    IsUnderstood,
}

/// Every example of the help, in an order in which each finds what it needs.
const EXAMPLES: &[(&str, How)] = &[
    ("windlass context add lab --server http://127.0.0.1:8000 --use", How::Ends),
    ("windlass context list -o json", How::Ends),
    ("windlass health -o json", How::Ends),
    ("windlass start -f web.yaml --wait --timeout 2m", How::Ends),
    ("windlass diff -f web.yaml", How::Ends),
    ("windlass get workloads", How::Ends),
    ("windlass get workloads web -o yaml", How::Ends),
    ("windlass get containers --workload web -w", How::Follows),
    ("windlass get policies -o json", How::Ends),
    ("windlass describe workload web", How::Ends),
    ("windlass describe policy min-max -o json", How::Ends),
    ("windlass wait web --for ready --timeout 2m", How::Ends),
    ("windlass rollback web --wait", How::Ends),
    ("windlass scale web --max 4", How::Ends),
    ("windlass scale web 2 --wait --timeout 2m", How::Ends),
    ("windlass wait web --for replicas=2 -o json", How::Ends),
    ("windlass container protect web-3f91a2-0 -o json", How::Ends),
    ("windlass container unprotect web-3f91a2-0", How::Ends),
    ("windlass container stop web-3f91a2-0", How::Ends),
    ("windlass container start web-3f91a2-0", How::Ends),
    ("windlass logs web-3f91a2-0 --tail 20 --since 10m", How::Ends),
    ("windlass logs web-3f91a2-0 -f", How::Follows),
    ("windlass container remove web-3f91a2-0 --force", How::Ends),
    ("windlass top", How::Ends),
    ("windlass top -o json", How::Ends),
    ("windlass events --workload web --kind decision -o json", How::Ends),
    ("windlass events -w", How::Follows),
    ("windlass explain web", How::Ends),
    ("windlass explain web --at 1s -o json", How::Ends),
    ("windlass scaling show web -o json", How::Ends),
    ("windlass scaling pause web", How::Ends),
    ("windlass scaling freeze web down", How::Ends),
    ("windlass scaling force web 2 --for 1h", How::Ends),
    ("windlass scaling resume web", How::Ends),
    ("windlass policy list -o json", How::Ends),
    ("windlass policy push queue.wasm --candidate", How::Ends),
    ("windlass policy promote queue", How::Ends),
    ("windlass policy rollback queue", How::Ends),
    ("windlass policy diff web", How::Ends),
    ("windlass policy delete queue", How::Ends),
    // Only a policy from a registry is refreshed.
    ("windlass policy refresh queue", How::IsUnderstood),
    ("windlass token list", How::Ends),
    ("windlass token create ci --role operator --workload web-1 --expires-in 90d", How::Ends),
    // Each token has another identifier.
    ("windlass token revoke 0a1b2c3d4e5f", How::IsUnderstood),
    ("windlass tls init --folder tls --name windlass.lab --name 192.168.1.10", How::Ends),
    ("windlass stop web --wait", How::Ends),
    ("windlass start web -o json", How::Ends),
    ("windlass stop web --remove", How::Ends),
    ("windlass policy new mine --lang rust", How::Ends),
    ("windlass policy check queue.wasm", How::Ends),
    ("windlass policy check queue.wasm -o json", How::Ends),
    ("windlass policy run queue.wasm --input observation.json", How::Ends),
    ("windlass policy bench queue.wasm --calls 100 -o json", How::Ends),
    // It needs the output of a compiler.
    ("windlass policy wrap module.wasm -o wrapped.wasm", How::IsUnderstood),
    ("windlass policy wit", How::Ends),
    ("windlass simulate --trace load.csv --policy min-max -o json", How::Ends),
    ("windlass config check --config windlass.toml", How::Ends),
    ("windlass completions bash", How::Ends),
    ("windlass man --directory man1", How::Ends),
    ("windlass context use default", How::Ends),
    ("windlass context remove lab", How::Ends),
    // Others show these two on a port and on a Swarm of their own.
    ("windlass serve --listen 127.0.0.1:8000", How::IsUnderstood),
    ("windlass agent --listen 0.0.0.0:9323", How::IsUnderstood),
    ("windlass swarm init --days 365", How::IsUnderstood),
];

/// A server, and a person who uses it from the command line.
struct Place {
    site: Site,
    windlass: Windlass,
    caller: Caller,
    image: &'static str,
}

impl Place {
    async fn new(name: &str) -> anyhow::Result<Self> {
        let site = Site::new(name).await?.set("control.interval", "\"1s\"");
        let image = site.engine().prepare(Fixture::Web).await?;
        let windlass = site.start().await?;
        let address = format!("http://{}", windlass.address());
        let caller = Caller::new()?.with("WINDLASS_SERVER", &address);
        Ok(Self { site, windlass, caller, image })
    }

    /// A start request of `web` with this variable.
    fn web(&self, value: &str) -> Value {
        let mut body = start_body(self.image, 1, 3);
        body["name"] = json!("web");
        body["env"] = json!({"A": value, "VERSION": "1.10", "ANSWER": "yes"});
        let script = "echo ready; trap 'exit 0' TERM; hostname > /www/index.html; httpd -f -p 80 -h /www & wait";
        body["command"] = json!(["/bin/sh", "-c", script]);
        body
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        Ok(std::fs::write(self.caller.folder().join(name), content)?)
    }

    async fn container(&self) -> String {
        self.windlass.get("/workloads/web/containers").await.text("/containers/0/name")
    }

    /// The containers with the times of their starts: other ones after any replacement or restart.
    async fn containers(&self) -> Vec<Value> {
        let view = self.windlass.get("/workloads/web").await.ok();
        let containers = view["observed"]["containers"].as_array().cloned().unwrap_or_default();
        containers.iter().map(|one| json!([one["container_id"], one["started_at"]])).collect()
    }

    async fn close(self) -> anyhow::Result<()> {
        let Self { site, windlass, .. } = self;
        drop(windlass);
        drop(site);
        Ok(())
    }
}

/// The words of an example, in this place.
async fn words(place: &Place, example: &str) -> Vec<String> {
    let mut line = example.replace("127.0.0.1:8000", place.windlass.address());
    if line.contains("web-3f91a2-0") {
        line = line.replace("web-3f91a2-0", &place.container().await);
    }
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// The first line of a command that does not end.
fn first_line(running: &mut Running) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(running.0.stdout.as_mut().expect("it is piped")).read_line(&mut line)?;
    Ok(line)
}

#[tokio::test]
async fn every_example_of_the_help_runs_as_it_is_written() -> anyhow::Result<()> {
    let mut place = Place::new("examples").await?;
    let examples = documented(&place.caller)?.into_iter().flat_map(|command| command.examples);
    let known = EXAMPLES.iter().map(|(example, _)| (*example).to_owned());
    assert_eq!(
        known.collect::<BTreeSet<_>>(),
        examples.collect::<BTreeSet<_>>(),
        "the table lacks examples of the help"
    );

    // The generation before, and the revision before.
    place.windlass.post("/start/container", place.web("1")).await.ok();
    place.windlass.put_component("/policies/queue", MIN_MAX.to_vec()).await.ok();
    place.write("web.yaml", place.web("2").to_string())?;
    place.write("queue.wasm", MIN_MAX)?;
    place.write("load.csv", LOAD)?;
    place.write("windlass.toml", "")?;
    let observation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/observations/scaling.json");
    place.write("observation.json", std::fs::read(observation)?)?;
    // The context leads to the server.
    let folder = place.caller.folder().to_owned();
    let caller = Caller::new()?;
    for file in std::fs::read_dir(&folder)? {
        let file = file?;
        std::fs::copy(file.path(), caller.folder().join(file.file_name()))?;
    }
    place.caller = caller;
    for (example, how) in EXAMPLES {
        let words = words(&place, example).await;
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        match how {
            How::Follows => {
                let line = first_line(&mut place.caller.begin(&words)?)?;
                assert!(!line.is_empty(), "{example} printed nothing");
            }
            How::Ends | How::IsUnderstood => {
                if *how == How::IsUnderstood {
                    words.push("--help");
                }
                let Ended { code, stdout, stderr } = place.caller.run(&words)?;
                assert!(code == Some(0) && !stdout.is_empty(), "{example}: {code:?}\n{stdout}\n{stderr}");
                if *how == How::Ends && example.ends_with("-o json") {
                    serde_json::from_str::<Value>(&stdout).map_err(|error| anyhow::anyhow!("{example}: {error}"))?;
                }
            }
        }
    }
    place.close().await
}

/// The rows of the manual's table about documents: a command, and the fields of its document.
fn documents() -> anyhow::Result<Vec<(String, BTreeSet<String>)>> {
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../MANUAL.md"))?;
    let table = manual.split("| command | fields |").nth(1).expect("the manual has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(|cell| cell.split('`').skip(1).step_by(2));
        let command = cells.next().and_then(|mut cell| cell.next()).unwrap_or_default().to_owned();
        (command, cells.next().into_iter().flatten().map(str::to_owned).collect())
    });
    Ok(rows.collect())
}

#[tokio::test]
async fn each_document_has_the_fields_of_the_manual() -> anyhow::Result<()> {
    let place = Place::new("documents").await?;
    place.windlass.post("/start/container", place.web("1")).await.ok();
    place.windlass.post("/start/container", place.web("2")).await.ok();
    place.windlass.put_component("/policies/queue", MIN_MAX.to_vec()).await.ok();
    place.windlass.put_component("/policies/queue?candidate=true", MIN_MAX.to_vec()).await.ok();
    place.write("web.yaml", place.web("2").to_string())?;
    place.write("queue.wasm", MIN_MAX)?;
    place.write("load.csv", LOAD)?;
    let documents = documents()?;
    assert!(documents.len() >= 20, "{documents:?}");
    for (command, fields) in documents {
        let words = words(&place, &command).await;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let document = place.caller.run(&words)?.json();
        let found: BTreeSet<String> =
            document.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let is_open = fields.contains("…");
        let missing: Vec<&String> = fields.iter().filter(|field| *field != "…" && !found.contains(*field)).collect();
        assert!(missing.is_empty() && (is_open || found.len() == fields.len()), "{command}: {missing:?} of {found:?}");
    }
    place.close().await
}

#[tokio::test]
async fn a_file_that_get_printed_changes_nothing_and_an_edited_one_does() -> anyhow::Result<()> {
    let place = Place::new("files").await?;
    let caller = &place.caller;
    place.write(
        "web.toml",
        "name = 'web'\nimage = 'IMAGE'\nmin_replicas = 1\nresources = {cpu = '500m', memory = '64m'}\n\
        [env]\nANSWER = 'yes'\nVERSION = '1.10'\nA = 'x: y # z'\n"
            .replace("IMAGE", place.image),
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
    let follower = &mut caller.begin(&["get", "workloads", "web", "-w", "-o", "json"])?;
    let mut changes = BufReader::new(follower.0.stdout.take().expect("it is piped"));
    let mut next = || -> anyhow::Result<Value> {
        let mut line = String::new();
        changes.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    assert_eq!(next()?["desired"]["max_replicas"], 3);
    caller.run(&["scale", "web", "--max", "4"])?.ok();
    assert_eq!(next()?["desired"]["max_replicas"], 4);

    // Events and lines of a container arrive as they happen.
    let mut events = caller.begin(&["events", "-w", "--workload", "web", "--kind", "override", "-o", "json"])?;
    caller.run(&["scaling", "pause", "web"])?.ok();
    let event: Value = serde_json::from_str(&first_line(&mut events)?)?;
    assert_eq!((&event["kind"], &event["workload"]), (&json!("override"), &json!("web")), "{event}");
    caller.run(&["scaling", "resume", "web"])?.ok();
    let container = place.container().await;
    let line = first_line(&mut caller.begin(&["logs", &container, "-f", "-o", "json"])?)?;
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
    shows(&terminal, "windlass: 1 workloads").await;
    shows(&terminal, "1/1").await;
    terminal.press("p")?;
    shows(&terminal, "pause the scaling of web? (y/n)").await;
    terminal.press("y")?;
    shows(&terminal, "web: scaling is paused").await;
    assert_eq!(place.windlass.get("/workloads/web").await.ok()["desired"]["overrides"]["paused"], true);
    terminal.press("e")?;
    shows(&terminal, "web has a target of 1 replicas").await;
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
