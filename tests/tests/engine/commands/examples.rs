//! The examples of the help: each one runs, and has the effect that it stands for.

use crate::commands::place::Place;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use windlass_tests::commands::{Caller, Ended, Running, documented};
use windlass_tests::compiled::SharedCode;
use windlass_tests::wait::eventually;

use Effect::{Answers, Container, File, Gone, Prints, Replaced, State};

/// Time limit for an effect. A server compiles its policies before it answers for the first time.
const START: Duration = Duration::from_secs(120);

/// How a test runs an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// It ends with code 0.
    Ends,
    /// It prints something, and does not end.
    Follows,
    /// It is a server: it answers, and does not end.
    Serves,
    /// A test of another file runs it: the file, the function, and the words of the example in it.
    RunBy(&'static str, &'static str, &'static str),
}

/// The effect of an example.
#[derive(Debug, Clone, Copy)]
enum Effect {
    /// Its output has this text.
    Prints(&'static str),
    /// The server's answer at a path then has a JSON value at a pointer.
    State(&'static str, &'static str, &'static str),
    /// The server has nothing at a path any more.
    Gone(&'static str),
    /// The container of the example then has a JSON value in a field.
    Container(&'static str, &'static str),
    /// The container of the example is gone.
    Replaced,
    /// A file of the caller has a text in it.
    File(&'static str, &'static str),
    /// Another command then prints a document with a JSON value at a pointer; `null` if there is none.
    Answers(&'static str, &'static str, &'static str),
}

/// Every example of the help, in an order in which each finds what it needs, with its effect.
const EXAMPLES: &[(&str, How, Effect)] = &[
    (
        "windlass context add lab --server http://127.0.0.1:8000 --use",
        How::Ends,
        Answers("context list -o json", "/current", "\"lab\""),
    ),
    ("windlass context list -o json", How::Ends, Prints("\"lab\"")),
    ("windlass health -o json", How::Ends, Prints("\"healthy\": true")),
    ("windlass start -f web.yaml --wait --timeout 2m", How::Ends, State("/workloads/web", "/desired/env/A", "\"2\"")),
    ("windlass diff -f web.yaml", How::Ends, Prints("web: no change")),
    ("windlass get workloads", How::Ends, Prints("web ")),
    ("windlass get workloads web -o yaml", How::Ends, Prints("max_replicas: 3")),
    ("windlass get containers --workload web -w", How::Follows, Prints("NAME")),
    ("windlass get policies -o json", How::Ends, Prints("\"queue\"")),
    ("windlass describe workload web", How::Ends, Prints("web")),
    ("windlass describe policy min-max -o json", How::Ends, Prints("\"min-max\"")),
    ("windlass wait web --for ready --timeout 2m", How::Ends, Prints("web is ready")),
    ("windlass rollback web --wait", How::Ends, State("/workloads/web", "/desired/env/A", "\"1\"")),
    ("windlass scale web --max 4", How::Ends, State("/workloads/web", "/desired/max_replicas", "4")),
    ("windlass scale web 2 --wait --timeout 2m", How::Ends, State("/workloads/web", "/observed/running", "2")),
    ("windlass wait web --for replicas=2 -o json", How::Ends, Prints("\"met\": true")),
    // A protected container stays when it is one too many.
    ("windlass container protect web-3f91a2-0 -o json", How::Ends, Container("scale_in_protection", "true")),
    ("windlass container stop web-3f91a2-0", How::Ends, Container("phase", "\"held\"")),
    ("windlass container start web-3f91a2-0", How::Ends, Container("phase", "\"running\"")),
    ("windlass container unprotect web-3f91a2-0", How::Ends, Container("scale_in_protection", "false")),
    ("windlass logs web-3f91a2-0 --tail 20 --since 10m", How::Ends, Prints("ready")),
    ("windlass logs web-3f91a2-0 -f", How::Follows, Prints("ready")),
    ("windlass container remove web-3f91a2-0 --force --wait", How::Ends, Replaced),
    ("windlass top", How::Ends, Prints("web ")),
    ("windlass top -o json", How::Ends, Prints("\"web\"")),
    ("windlass events --workload web --kind decision -o json", How::Ends, Prints("\"kind\": \"decision\"")),
    ("windlass events -w", How::Follows, Prints("Z  ")),
    ("windlass explain web", How::Ends, Prints("web has a target of 2 replicas")),
    ("windlass explain web --at 1s -o json", How::Ends, Prints("\"sentences\"")),
    ("windlass scaling show web -o json", How::Ends, Prints("\"target\": 2")),
    ("windlass scaling pause web", How::Ends, State("/workloads/web", "/desired/overrides/paused", "true")),
    (
        "windlass scaling freeze web down",
        How::Ends,
        State("/workloads/web", "/desired/overrides/freeze_scale_down", "true"),
    ),
    (
        "windlass scaling force web 2 --for 1h",
        How::Ends,
        State("/workloads/web", "/desired/overrides/force/replicas", "2"),
    ),
    ("windlass scaling resume web", How::Ends, State("/workloads/web", "/desired/overrides/force", "null")),
    ("windlass policy list -o json", How::Ends, Prints("\"queue\"")),
    ("windlass policy push queue.wasm --candidate", How::Ends, State("/policies/queue", "/candidate", "2")),
    ("windlass policy promote queue", How::Ends, State("/policies/queue", "/acting", "2")),
    ("windlass policy rollback queue", How::Ends, State("/policies/queue", "/acting", "1")),
    ("windlass policy diff web", How::Ends, Prints("no shadow policy was called yet")),
    ("windlass policy delete queue", How::Ends, Gone("/policies/queue")),
    ("windlass policy refresh queue", How::Ends, State("/policies/fetched", "/acting", "2")),
    ("windlass token list", How::Ends, Prints("no tokens")),
    (
        "windlass token create ci --role operator --workload web-1 --expires-in 90d",
        How::Ends,
        Answers("token list -o json", "/tokens/0/workloads/0", "\"web-1\""),
    ),
    ("windlass token revoke 0a1b2c3d4e5f", How::Ends, Answers("token list -o json", "/tokens/1", "null")),
    (
        "windlass tls init --folder tls --name windlass.lab --name 192.168.1.10",
        How::Ends,
        File("tls/certificate.pem", "BEGIN CERTIFICATE"),
    ),
    ("windlass stop web --wait", How::Ends, State("/workloads/web", "/observed/running", "0")),
    ("windlass start web -o json", How::Ends, State("/workloads/web", "/desired/resources/status", "\"running\"")),
    ("windlass stop web --remove", How::Ends, Gone("/workloads/web")),
    ("windlass policy new mine --lang rust", How::Ends, File("mine/Cargo.toml", "mine")),
    ("windlass policy check queue.wasm", How::Ends, Prints("min-max ")),
    ("windlass policy check queue.wasm -o json", How::Ends, Prints("\"min-max\"")),
    ("windlass policy run queue.wasm --input observation.json", How::Ends, Prints("\"replicas\"")),
    ("windlass policy bench queue.wasm --calls 100 -o json", How::Ends, Prints("\"calls\"")),
    (
        "windlass policy wrap module.wasm -o wrapped.wasm",
        How::Ends,
        Answers("policy check wrapped.wasm -o json", "/name", "\"min-max\""),
    ),
    ("windlass policy wit", How::Ends, Prints("package windlass:policy")),
    ("windlass simulate --trace load.csv --policy min-max -o json", How::Ends, Prints("\"too_little\"")),
    ("windlass config check --config windlass.toml", How::Ends, Prints("listen")),
    ("windlass completions bash", How::Ends, Prints("complete -F _windlass")),
    ("windlass man --directory man1", How::Ends, File("man1/windlass-get.1", ".TH windlass")),
    ("windlass context use default", How::Ends, Answers("context list -o json", "/current", "\"default\"")),
    ("windlass context remove lab", How::Ends, Answers("context list -o json", "/contexts/0", "null")),
    ("windlass serve --listen 127.0.0.1:8000", How::Serves, Answers("health -o json", "/healthy", "true")),
    (
        "windlass agent --listen 0.0.0.0:9323",
        How::RunBy("agent.rs", "an_agent_reports_the_containers_of_its_machine", "\"agent\", \"--listen\""),
        Prints(""),
    ),
    (
        "windlass swarm init --days 365",
        How::RunBy("agent.rs", "the_secrets_of_agents_are_made_once_on_a_swarm", "\"--days\", \"365\""),
        Prints(""),
    ),
];

impl Effect {
    /// Waits until the effect is there.
    async fn check(self, place: &Place, caller: &Caller, example: &str, before: &Before, output: &str) {
        if let Prints(text) = self {
            assert!(output.contains(text), "{example}: {output}");
            return;
        }
        eventually(&format!("the effect of `{example}`: {self:?}"), START, async || {
            let found = self.found(place, caller, before).await.map_err(|error| error.to_string())?;
            if found.is_there { Ok(()) } else { Err(found.seen) }
        })
        .await;
    }

    async fn found(self, place: &Place, caller: &Caller, before: &Before) -> anyhow::Result<Found> {
        let at = |document: &Value, pointer: &str, value: &str| -> anyhow::Result<Found> {
            let found = document.pointer(pointer).cloned().unwrap_or_default();
            Ok(Found { is_there: found == serde_json::from_str::<Value>(value)?, seen: format!("{document:#}") })
        };
        match self {
            Prints(_) => Ok(Found { is_there: true, seen: String::new() }),
            State(path, pointer, value) => at(&place.windlass.get(path).await.body, pointer, value),
            Gone(path) => {
                let response = place.windlass.get(path).await;
                Ok(Found { is_there: response.status == 404, seen: response.to_string() })
            }
            Container(field, value) => {
                let view = place.windlass.get("/workloads/web").await.ok();
                let all = view["observed"]["containers"].as_array().cloned().unwrap_or_default();
                let own = all.iter().find(|one| one["name"] == before.container.as_str()).cloned().unwrap_or_default();
                at(&own, &format!("/{field}"), value)
            }
            Replaced => {
                let view = place.windlass.get("/workloads/web").await.ok();
                Ok(Found { is_there: !view["observed"].to_string().contains(&before.id), seen: format!("{view:#}") })
            }
            File(name, text) => {
                let content = std::fs::read_to_string(caller.folder().join(name))?;
                Ok(Found { is_there: content.contains(text), seen: content })
            }
            Answers(command, pointer, value) => {
                let words: Vec<&str> = command.split_whitespace().collect();
                let Ended { stdout, stderr, .. } = caller.run(&words)?;
                let document = serde_json::from_str(&stdout).map_err(|error| anyhow::anyhow!("{error}: {stderr}"))?;
                at(&document, pointer, value)
            }
        }
    }
}

struct Found {
    is_there: bool,
    seen: String,
}

/// The container of the examples before an example runs; empty texts without one.
#[derive(Default)]
struct Before {
    container: String,
    id: String,
}

impl Before {
    async fn of(place: &Place, example: &str) -> Self {
        if !example.contains("web-3f91a2-0") {
            return Self::default();
        }
        let listed = place.windlass.get("/workloads/web/containers").await;
        Self { container: listed.text("/containers/0/name"), id: listed.text("/containers/0/container_id") }
    }
}

/// Runs the example of a server, and returns a caller whose commands use it.
fn serve(place: &Place, example: &str) -> anyhow::Result<(Running, Caller)> {
    // The port was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let line = example.replace("127.0.0.1:8000", &address);
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let mut command = place.caller.windlass(&words)?;
    let data = place.caller.folder().join("served");
    if let Some(shared) = SharedCode::open()? {
        shared.give(&data)?;
    }
    command.env("WINDLASS_DATA_DIR", data);
    command.env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    let server = Running(command.stderr(std::fs::File::create(place.caller.folder().join("log"))?).spawn()?);
    Ok((server, Caller::new()?.with("WINDLASS_SERVER", &format!("http://{address}"))))
}

#[tokio::test]
async fn every_example_of_the_help_runs_as_it_is_written_and_has_its_effect() -> anyhow::Result<()> {
    let mut place = Place::with_everything("examples").await?;
    let examples = documented(&place.caller)?.into_iter().flat_map(|command| command.examples);
    let known = EXAMPLES.iter().map(|(example, ..)| (*example).to_owned());
    assert_eq!(
        known.collect::<BTreeSet<_>>(),
        examples.collect::<BTreeSet<_>>(),
        "the table lacks examples of the help"
    );
    // The context of the first example leads to the server, not a variable.
    let folder = place.caller.folder().to_owned();
    let caller = Caller::new()?;
    for file in std::fs::read_dir(&folder)? {
        let file = file?;
        std::fs::copy(file.path(), caller.folder().join(file.file_name()))?;
    }
    place.caller = caller;
    for (example, how, effect) in EXAMPLES {
        let before = Before::of(&place, example).await;
        let words = place.words(example).await?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match how {
            How::Follows => {
                let line = place.caller.begin(&words)?.line()?;
                effect.check(&place, &place.caller, example, &before, &line).await;
            }
            How::Ends => {
                let Ended { code, stdout, stderr } = place.caller.run(&words)?;
                assert!(code == Some(0) && !stdout.is_empty(), "{example}: {code:?}\n{stdout}\n{stderr}");
                if example.ends_with("-o json") {
                    serde_json::from_str::<Value>(&stdout).map_err(|error| anyhow::anyhow!("{example}: {error}"))?;
                }
                effect.check(&place, &place.caller, example, &before, &stdout).await;
            }
            How::Serves => {
                let (_server, caller) = serve(&place, example)?;
                effect.check(&place, &caller, example, &before, "").await;
            }
            How::RunBy(file, function, words) => {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine").join(file);
                let text = std::fs::read_to_string(path)?;
                let is_test = text.contains(&format!("#[tokio::test]\nasync fn {function}("));
                assert!(is_test && text.contains(words), "{example}: {file} does not run it in {function}");
            }
        }
    }
    place.close().await
}
