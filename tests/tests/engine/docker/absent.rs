//! An engine that is absent, comes and goes, is silent, or returns unexpected answers.

use super::fake::{MadeUp, Server};
use super::fixture::eventually;
use futures_util::StreamExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::engine::{Engine, EngineError, EngineEvent, SlotEngine};
use windlass_core::settings::EngineSettings;
use windlass_core::workload::{Bounds, DesiredStatus, Resources};
use windlass_core::{ContainerId, Slot, Workload};
use windlass_docker::{DockerEngine, Environment};

async fn connect(socket: &Path, environment: &Environment) -> Arc<DockerEngine> {
    let settings = EngineSettings {
        instance: "dockertest-absent".to_owned(),
        host: Some(socket.display().to_string()),
        call_timeout: Duration::from_secs(2),
        ..EngineSettings::default()
    };
    DockerEngine::connect_in(&settings, environment).await.unwrap()
}

fn workload() -> Workload {
    let image = "registry.example:5000/team/app:1".parse().unwrap();
    Workload::new(
        image,
        Bounds::new(1, 1).unwrap(),
        Resources { cpu: "1".parse().unwrap(), memory: "64m".parse().unwrap(), status: DesiredStatus::Running },
    )
}

#[tokio::test]
async fn an_engine_may_come_and_go_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let runtime = connect(&socket, &Environment::default()).await;
    let mut events = runtime.events();
    let unavailable = |outcome: Result<(), EngineError>| matches!(outcome, Err(EngineError::Unavailable(_)));
    let absent = runtime.ping().await;
    let told = format!(
        "the engine is unavailable: unix://{}: no such socket; start the engine, or correct its address",
        socket.display()
    );
    assert_eq!(absent.map_err(|error| error.to_string()), Err(told));
    assert!(matches!(runtime.list_all().await, Err(EngineError::Unavailable(_))));
    assert!(matches!(events.next().await, Some(EngineEvent::Lost(_))));
    for _ in 0..2 {
        let engine = Server::proxy(&socket);
        runtime.ping().await.unwrap();
        assert_eq!(runtime.list_all().await, Ok(Vec::new()));
        assert_eq!(events.next().await, Some(EngineEvent::Connected));
        drop(engine);
        eventually("the engine is gone", || async { unavailable(runtime.ping().await).then_some(()) }).await;
        let lost = tokio::time::timeout(Duration::from_secs(30), events.next()).await.unwrap();
        assert!(matches!(lost, Some(EngineEvent::Lost(_))), "{lost:?}");
    }
}

/// Other tools reopened a broken stream without a pause, forever (KEDA #7856, Sablier #272).
#[tokio::test]
async fn an_engine_that_hangs_up_is_asked_less_and_less_often() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let (told, mut attempts) = tokio::sync::mpsc::unbounded_channel();
    let _engine = Server::hanging_up(&socket, told);
    let runtime = connect(&socket, &Environment::default()).await;
    let mut events = runtime.events();
    let _listening = tokio::spawn(async move { while events.next().await.is_some() {} });
    let mut before: Option<Instant> = None;
    let mut waits = Vec::new();
    // The waits are 100, 200, 400, 800 and 1,600 ms, plus the first connections of a client.
    while waits.len() < 20 && waits.last().is_none_or(|wait| *wait < Duration::from_millis(1_600)) {
        let at = tokio::time::timeout(Duration::from_secs(30), attempts.recv()).await.unwrap().unwrap();
        waits.extend(before.replace(at).map(|before| at - before));
    }
    assert!(waits.len() < 20, "{waits:?}");
}

#[tokio::test]
async fn an_engine_that_says_nothing_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    let _engine = Server::silent(&socket);
    let runtime = connect(&socket, &Environment::default()).await;
    let id = ContainerId("some".to_owned());
    let wanted = workload();
    let begun = Instant::now();
    let (ping, list, start, create) =
        tokio::join!(runtime.ping(), runtime.list_all(), runtime.start(&id), runtime.create(&wanted, Slot(0)));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(matches!(ping, Err(EngineError::TimedOut { .. })), "{ping:?}");
    for outcome in [list.map(drop), start.map(drop), create.map(drop)] {
        assert!(matches!(outcome, Err(EngineError::TimedOut { .. })), "{outcome:?}");
    }
    assert_eq!(runtime.usage(&id), None, "which never waits");
}

#[tokio::test]
async fn an_address_of_no_kind_that_is_spoken_is_refused_at_once() {
    let settings = EngineSettings { host: Some("ssh://somewhere".to_owned()), ..EngineSettings::default() };
    assert!(matches!(DockerEngine::connect(&settings).await, Err(EngineError::Refused(_))));
}

fn old(request: &str) -> (u16, &'static str) {
    match request {
        "GET /version" => (200, r#"{"ApiVersion": "1.40"}"#),
        _ => (200, "{}"),
    }
}

#[tokio::test]
async fn an_engine_too_old_to_be_spoken_to_says_so() {
    let engine = MadeUp::start(old);
    let runtime = connect(Path::new(&engine.socket()), &Environment::default()).await;
    match runtime.ping().await {
        Err(EngineError::Unavailable(reason)) => {
            assert!(reason.contains("1.40") && reason.contains("1.41"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// An engine without the image, whose registry refuses the pull.
fn without_image(request: &str) -> (u16, &'static str) {
    match request {
        "GET /version" => (200, r#"{"ApiVersion": "1.41"}"#),
        "GET /info" => (200, r#"{"SystemTime": "2026-03-01T10:00:00Z"}"#),
        "POST /containers/create" => (404, r#"{"message": "No such image: registry.example:5000/team/app:1"}"#),
        "POST /images/create" => {
            (200, "{\"status\":\"Pulling\"}\r\n{\"errorDetail\":{\"message\":\"denied\"},\"error\":\"denied\"}\r\n")
        }
        _ => (404, r#"{"message": "page not found"}"#),
    }
}

#[tokio::test]
async fn an_image_is_fetched_with_the_users_credentials() {
    let engine = MadeUp::start(without_image);
    let config = tempfile::tempdir().unwrap();
    // robot:a>?~>?~é, whose encoding differs between the two alphabets of base64.
    let written = r#"{"auths": {"https://registry.example:5000": {"auth": "cm9ib3Q6YT4/fj4/fsOp"}}}"#;
    std::fs::write(config.path().join("config.json"), written).unwrap();
    let environment = Environment { config_folder: Some(config.path().to_owned()), ..Environment::default() };
    let runtime = connect(Path::new(&engine.socket()), &environment).await;
    let refused = runtime.create(&workload(), Slot(0)).await.unwrap_err();
    assert_eq!(
        refused,
        EngineError::Refused(
            "image `registry.example:5000/team/app:1` is missing and cannot be pulled: denied".to_owned()
        )
    );
    let requests = engine.requests();
    let pull = requests.iter().find(|request| request.line.contains("/images/create")).unwrap();
    assert_eq!(pull.line, "POST /v1.41/images/create?fromImage=registry.example%3A5000%2Fteam%2Fapp%3A1&platform=");
    // Decoded by an engine that accepts only the alphabet of RFC 4648, section 5.
    let sent = pull.header("X-Registry-Auth").unwrap();
    assert!(!sent.contains(['+', '/']), "{sent}");
    let credentials: serde_json::Value = serde_json::from_slice(&decode(sent)).unwrap();
    assert_eq!(credentials["username"], "robot");
    assert_eq!(credentials["password"], "a>?~>?~é");
    assert_eq!(credentials["serveraddress"], "registry.example:5000");
    let others = requests.iter().filter(|request| !request.line.contains("/images/create"));
    assert!(others.into_iter().all(|request| request.header("X-Registry-Auth").is_none()));
}

/// Base64 with `-` and `_`.
fn decode(text: &str) -> Vec<u8> {
    let digits = text.bytes().filter(|byte| *byte != b'=').map(|byte| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        other => panic!("`{}` is no digit", char::from(other)),
    });
    let digits: Vec<u8> = digits.collect();
    let mut bytes = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, digit| (bits << 6) | u32::from(*digit)) << (6 * (4 - group.len()));
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    bytes
}
