//! `--wait` of the commands that change a container, the scaling or a policy.

use crate::commands::SOON;
use crate::commands::place::Place;
use serde_json::json;
use windlass_tests::hostile;
use windlass_tests::terminal::Terminal;
use windlass_tests::wait::eventually;

#[tokio::test]
async fn a_change_of_a_container_or_of_the_scaling_is_there_when_its_command_ends() -> anyhow::Result<()> {
    let place = Place::new("change-waits").await?;
    let caller = &place.caller;
    place.windlass.post("/start/container", place.web("1")).await.ok();
    caller.run(&["wait", "web", "--for", "ready"])?.ok();
    let container = place.container().await;
    let phase = async || {
        let view = place.windlass.get("/workloads/web").await.ok();
        let all = view["observed"]["containers"].as_array().cloned().unwrap_or_default();
        let own = all.into_iter().find(|one| one["name"] == container.as_str()).unwrap_or_default();
        [own["phase"].clone(), own["health"].clone()]
    };
    caller.run(&["scaling", "force", "web", "2", "--for", "1h", "--wait"])?.ok();
    assert_eq!(place.windlass.get("/workloads/web").await.ok()["observed"]["running"], 2);
    // Another container takes the place of the held one. A protected one stays when there are three.
    caller.run(&["container", "protect", &container])?.ok();
    let stopped = caller.run(&["container", "stop", &container, "--wait", "--timeout", "1m"])?.ok();
    assert_eq!((stopped, &phase().await[0]), (format!("{container}: stopped and held\n"), &json!("held")));
    let started = caller.run(&["container", "start", &container, "--wait", "-o", "json"])?.json();
    assert_eq!((&started["name"], phase().await), (&json!(container), [json!("running"), json!("healthy")]));

    let id = started["container_id"].as_str().expect("an identifier").to_owned();
    caller.run(&["container", "remove", &container, "--force", "--wait"])?.ok();
    let view = place.windlass.get("/workloads/web").await.ok();
    assert!(!view["observed"].to_string().contains(&id), "it is gone: {view:#}");
    assert_eq!(view["observed"]["running"], 2, "another one took its place: {view:#}");

    for command in
        [&["scaling", "pause", "web"][..], &["scaling", "freeze", "web", "up"], &["scaling", "resume", "web"]]
    {
        let document = caller.run(&[command, &["--wait", "-o", "json"]].concat())?.json();
        assert_eq!(document["workload"], "web", "{command:?}: {document}");
    }
    // A time limit that ends has the pending reason, and the code of its own.
    let mut wrong = place.web("1");
    (wrong["name"], wrong["command"]) = (json!("wrong"), json!(["/bin/sh", "-c", "exit 1"]));
    place.windlass.post("/start/container", wrong).await.ok();
    let late = ["scaling", "force", "wrong", "2", "--for", "1h", "--wait", "--timeout", "300ms"];
    let late = caller.run(&late)?.refused(3);
    assert!(late.starts_with("error: after 300ms, `wrong` is not at 2 ready replicas: "), "{late}");
    assert!(caller.run(&["scaling", "pause", "web", "--timeout", "1s"])?.refused(2).contains("--wait"));
    place.close().await
}

#[tokio::test]
async fn a_pushed_policy_is_awaited_through_its_probation_with_progress_on_a_terminal() -> anyhow::Result<()> {
    let place = Place::new("probation").await?;
    let caller = &place.caller;
    place.write("queue.wasm", hostile::proposes(1).build())?;
    place.write("next.wasm", hostile::proposes(2).build())?;
    place.write("broken.wasm", hostile::proposes(1).first("(unreachable)").build())?;
    // Nobody calls it yet.
    let late = caller.run(&["policy", "push", "queue.wasm", "--wait", "--timeout", "300ms"])?.refused(3);
    assert!(late.contains("`queue, revision 1` is not through its probation: it is on probation"), "{late}");
    let refused = caller.run(&["policy", "push", "queue.wasm", "--candidate", "--wait"])?.refused(2);
    assert!(refused.contains("cannot be used with"), "{refused}");
    let mut web = place.web("1");
    web["scaling_policy"] = json!({"name": "queue", "config": {}});
    place.windlass.post("/start/container", web).await.ok();
    let mut terminal =
        Terminal::run(&caller.windlass(&["policy", "push", "next.wasm", "--name", "queue", "--wait"])?)?;
    eventually("the progress", SOON, async || {
        let text = terminal.text();
        if text.contains("queue, revision 2: it is on probation") { Ok(()) } else { Err(text) }
    })
    .await;
    // Each pass is a call of the probation.
    let ended = eventually("the end of the probation", SOON * 3, async || {
        place.windlass.post("/workloads/web/reconcile", json!({})).await.ok();
        terminal.ended().ok().flatten().ok_or_else(|| terminal.text())
    })
    .await;
    assert!(ended.success(), "{}", terminal.text());
    let proved = place.windlass.get("/policies/queue").await.ok();
    assert_eq!((&proved["acting"], &proved["revisions"][0]["proved"]), (&json!(2), &json!(true)), "{proved:#}");
    // A proved revision acts again at once.
    place.windlass.put_component("/policies/queue", hostile::proposes(3).build()).await.ok();
    let back = caller.run(&["policy", "rollback", "queue", "--wait", "-o", "json"])?.json();
    assert_eq!(back["acting"], 2, "{back:#}");

    // A revision that fails its probation is an error with the reason.
    let mut push = caller.begin(&["policy", "push", "broken.wasm", "--name", "queue", "--wait"])?;
    let status = eventually("the end of the failed probation", SOON * 3, async || {
        place.windlass.post("/workloads/web/reconcile", json!({})).await;
        push.0.try_wait().map_err(|error| error.to_string())?.ok_or_else(|| "it waits".to_owned())
    })
    .await;
    let mut text = String::new();
    std::io::Read::read_to_string(push.0.stderr.as_mut().expect("it is piped"), &mut text)?;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("failed its probation and does not act any more: "), "{text}");
    place.close().await
}
