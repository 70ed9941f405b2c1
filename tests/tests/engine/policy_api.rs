//! Policies of a running Windlass: pushed, chosen, swapped and rolled back.

use anyhow::Context as _;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use windlass_tests::hostile::{self, Kind, Stub};
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, binary, start_body};
use windlass_tests::wait::eventually;
use windlass_tests::workloads::running;

const LIMIT: Duration = Duration::from_secs(60);

async fn push(windlass: &Windlass, stub: &Stub) -> Value {
    windlass.put_component("/policies/queue", stub.build()).await.ok()
}

#[tokio::test]
async fn a_policy_is_pushed_chosen_swapped_and_rolled_back_while_windlass_runs() -> anyhow::Result<()> {
    let site = Site::new("push").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    let mut body = start_body(image, 1, 5);
    // Proposals take effect at once.
    body["guardrails"] = json!({"grace": 0, "scale_down": {"window": 0}});
    windlass.post("/start/container", body).await.ok();

    insta::assert_snapshot!(windlass.put_component("/policies/queue", hostile::proposes(3).build()).await, @r#"
    200 application/json
    {
      "acting": 1,
      "candidate": null,
      "config_schema": {},
      "digest": "[digest]",
      "events": [
        {
          "at": "[time]",
          "at_ms": "[time]",
          "revision": 1,
          "what": "pushed by ada@example.org; it acts"
        }
      ],
      "failing": [],
      "failures": {
        "busy": 0,
        "insufficient-data": 0,
        "link": 0,
        "memory": 0,
        "output": 0,
        "refused": 0,
        "time": 0,
        "trap": 0
      },
      "http": null,
      "imports": [
        "windlass:policy/types@0.1.0"
      ],
      "kind": "scaling",
      "name": "queue",
      "replayable": true,
      "revisions": [
        {
          "acting": true,
          "described_name": "hostile",
          "digest": "[digest]",
          "loaded_at": "[time]",
          "loaded_at_ms": "[time]",
          "loaded_by": "ada@example.org",
          "memory_since": 0,
          "number": 1,
          "proved": false,
          "quarantined": null,
          "size_bytes": 5810,
          "version": "1.0.0"
        }
      ],
      "size_bytes": 5810,
      "source": "upload",
      "source_problem": null,
      "summary": "misbehaves",
      "version": "1.0.0"
    }
    "#);
    let shown =
        windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": {"name": "queue"}})).await.ok();
    assert_eq!(shown["desired"]["scaling_policy"], json!({"name": "queue", "config": {}}), "{shown}");
    assert_eq!(shown["last_pass"]["scaling_policy"]["revision"], 1, "{shown}");
    assert_eq!(
        (&shown["desired"]["target"], shown["desired"]["health_policy"].is_null()),
        (&json!(3), true),
        "{shown}"
    );
    running(&site, 3).await?;

    // The next pass calls the new policy; starting the same image again keeps the choice of policies.
    push(&windlass, &hostile::proposes(2)).await;
    windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    running(&site, 2).await?;
    windlass.post("/start/container", start_body(image, 1, 5)).await.ok();
    running(&site, 2).await?;
    assert_eq!(windlass.post("/policies/queue/rollback", Value::Null).await.ok()["acting"], 1);
    windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    running(&site, 3).await?;
    let decisions = windlass.get(&format!("/images/{image}/decisions?limit=100")).await.ok();
    let asked: Vec<&Value> = decisions["decisions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|decision| &decision["scaling"]["policy"])
        .filter(|policy| policy["name"] == "queue")
        .map(|policy| &policy["revision"])
        .collect();
    assert!(asked.contains(&&json!(1)) && asked.contains(&&json!(2)), "{asked:?}");

    // Of several policies the highest count wins. The one that keeps the current count blocks scale-in.
    let several = json!([{"name": "queue", "config": {}}, {"name": "min-max", "config": {}}]);
    let shown = windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": several})).await.ok();
    assert_eq!(shown["desired"]["scaling_policy"], several, "{shown}");
    assert_eq!(shown["last_pass"]["scaling_policy"]["name"], "queue + min-max", "{shown}");
    push(&windlass, &hostile::proposes(2)).await;
    windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    let reason = shown["last_pass"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("`queue` wants 2") && reason.contains("`min-max` wants 3"), "{shown}");
    running(&site, 3).await?;
    let decisions = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok();
    let parts = decisions["decisions"][0]["scaling"]["answer"]["parts"].as_array().cloned().unwrap_or_default();
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| json!([part["policy"]["name"], part["policy"]["revision"], part["answer"]["replicas"]]))
        .collect();
    assert_eq!(parts, [json!(["queue", 3, 2]), json!(["min-max", 0, 3])], "{decisions}");
    let twice = json!({"scaling_policy": [{"name": "queue"}, {"name": "queue"}]});
    let refused = windlass.put(&format!("/images/{image}/policy"), twice).await;
    assert_eq!((refused.status, &refused.body["errors"][0]["pointer"]), (422, &json!("/scaling_policy/1")));
    assert_eq!(windlass.post("/policies/queue/promote?revision=1", Value::Null).await.ok()["acting"], 1);

    // All of it survives the process.
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    assert_eq!(windlass.get("/policies/queue").await.ok()["acting"], 1);
    assert_eq!(windlass.get(&format!("/images/{image}")).await.ok()["desired"]["scaling_policy"], several);
    let reconciled = windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    assert_eq!(reconciled["actions"], json!([]), "{reconciled}");
    running(&site, 3).await?;
    Ok(())
}

#[tokio::test]
async fn a_broken_revision_changes_nothing_and_is_set_back() -> anyhow::Result<()> {
    let site = Site::new("set-back").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    push(&windlass, &hostile::proposes(2)).await;
    let mut body = start_body(image, 1, 5);
    body["scaling_policy"] = json!({"name": "queue", "config": {}});
    windlass.post("/start/container", body).await.ok();
    running(&site, 2).await?;
    let before = site.engine().running(site.instance()).await?;

    push(&windlass, &Stub::new(Kind::Scaling).first("(unreachable)")).await;
    for _ in 0..3 {
        windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    }
    let shown = windlass.get("/policies/queue").await.ok();
    assert_eq!(shown["acting"], 1, "{shown}");
    let why = shown["revisions"][0]["quarantined"].as_str().unwrap_or_default();
    assert!(why.starts_with("3 of its first 3 calls failed, the last one: trap: "), "{shown}");
    assert!(windlass.log().contains("failed its probation and is quarantined"), "{}", windlass.log());
    assert_eq!(site.engine().running(site.instance()).await?, before);
    let pass = windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    assert_eq!(pass["actions"], json!([]), "{pass}");
    let asked = async |count: usize| {
        let record = windlass.get(&format!("/images/{image}/decisions?limit={count}")).await.ok();
        let decisions = record["decisions"].as_array().cloned().unwrap_or_default();
        decisions.into_iter().map(|one| one["scaling"]["policy"].clone()).collect::<Vec<_>>()
    };
    // The record has both: the revision that failed, and the one that acts again.
    let revisions: Vec<Value> = asked(3).await.iter().map(|policy| policy["revision"].clone()).collect();
    assert_eq!(revisions, [json!(1), json!(2), json!(1)]);

    // Without another revision, the events, the state, the record and the reason name the built-in policy that acts
    // instead.
    windlass.put_component("/policies/broken", Stub::new(Kind::Scaling).first("(unreachable)").build()).await.ok();
    let choice = json!({"scaling_policy": {"name": "broken"}});
    windlass.put(&format!("/images/{image}/policy"), choice).await.ok();
    for _ in 0..3 {
        windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    }
    let events = windlass.get("/policies/broken").await.ok()["events"][0]["what"].clone();
    assert!(
        events.as_str().is_some_and(|what| what.ends_with("the built-in scaling policy takes its place")),
        "{events}"
    );
    let state = windlass.get(&format!("/images/{image}")).await.ok();
    let answered = &state["last_pass"]["scaling_policy"];
    assert_eq!((&answered["name"], &answered["stands_in_for"]), (&json!("min-max"), &json!("broken")), "{state}");
    assert_eq!(asked(1).await[0]["stands_in_for"], "broken");
    let (_, told, _) = ran(&windlass, &["explain", image]).await?;
    assert!(
        told.contains(
            "The policy `broken` fails or has no active revision, so the built-in policy `min-max` takes its place."
        ),
        "{told}"
    );
    Ok(())
}

#[tokio::test]
async fn what_is_only_recommended_is_recorded_and_not_done() -> anyhow::Result<()> {
    let site = Site::new("recommend").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 2, 5)).await.ok();
    running(&site, 2).await?;
    let path = format!("/images/{image}/policy");
    let shown = windlass.put(&path, json!({"mode": "recommend"})).await.ok();
    assert_eq!((&shown["desired"]["mode"], &shown["desired"]["target"]), (&json!("recommend"), &json!(2)), "{shown}");

    let killed = site.engine().running(site.instance()).await?.remove(0);
    site.engine().kill(&killed).await?;
    let scale = json!({"min_replicas": 4, "max_replicas": 5});
    let scaled = windlass.post(&format!("/images/{image}/scale"), scale).await.ok();
    assert_eq!(scaled["actions"], json!([]), "{scaled}");
    let newest = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok();
    let newest = &newest["decisions"][0];
    assert_eq!((&newest["recommended"]["target"], &newest["steps"]), (&json!(4), &json!([])), "{newest}");
    let steps: Vec<&str> = newest["recommended"]["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["step"].as_str())
        .collect();
    assert_eq!((steps.len(), steps.contains(&"replace")), (3, true), "{newest}");

    let shown = windlass.put(&path, json!({})).await.ok();
    assert_eq!(
        (&shown["desired"]["mode"], &shown["last_pass"]["recommended"]),
        (&json!("act"), &Value::Null),
        "{shown}"
    );
    running(&site, 4).await?;
    Ok(())
}

#[tokio::test]
async fn a_start_says_who_decides_and_whether_it_is_done_and_the_next_one_leaves_it() -> anyhow::Result<()> {
    let site = Site::new("start-policy").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 2, 5);
    body["mode"] = json!("recommend");
    body["health_policy"] = json!({"name": "liveness", "config": {"failure-threshold": 7}});
    body["shadow_policies"] = json!([{"name": "pass-through", "config": {"metric": "queue"}}]);
    let started = windlass.post("/start/container", body).await;
    assert_eq!(started.status, 202, "{started}");
    let decides = async || {
        let desired = &windlass.get(&format!("/images/{image}")).await.ok()["desired"];
        json!([desired["mode"], desired["health_policy"]["config"], desired["shadow_policies"][0]["name"]])
    };
    let said = json!(["recommend", {"failure-threshold": 7}, "pass-through"]);
    assert_eq!(decides().await, said);
    windlass.post("/start/container", start_body(image, 3, 5)).await;
    assert_eq!(decides().await, said);
    assert!(site.engine().running(site.instance()).await?.is_empty());

    let mut body = start_body(image, 3, 5);
    body["mode"] = json!("act");
    windlass.post("/start/container", body).await.ok();
    running(&site, 3).await?;
    Ok(())
}

/// A push that has sent its head and holds back its body.
async fn held_push(windlass: &Windlass) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(windlass.address()).await?;
    let head = "PUT /policies/queue HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/wasm\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

#[tokio::test]
async fn of_pushes_four_at_once_are_held_in_memory() -> anyhow::Result<()> {
    let site = Site::new("pushes").await?;
    let windlass = site.start().await?;
    let push = async || windlass.put_component("/policies/queue", hostile::proposes(3).build()).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(held_push(&windlass).await?);
    }
    assert_eq!(push().await.status, 200);
    held.push(held_push(&windlass).await?);
    // Until Windlass has read the head of the fourth push, a fifth one is accepted.
    eventually("the fifth push to be refused", LIMIT, async || {
        let refused = push().await.to_string();
        let is_refused =
            refused.starts_with("503") && refused.contains("4 components are being pushed already; try again");
        if is_refused { Ok(()) } else { Err(refused) }
    })
    .await;
    drop(held);
    eventually("a push to be taken again", LIMIT, async || match push().await {
        taken if taken.status == 200 => Ok(()),
        refused => Err(refused.to_string()),
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_candidate_is_watched_in_shadow_and_promoted() -> anyhow::Result<()> {
    let site = Site::new("shadow").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 5)).await.ok();
    push(&windlass, &hostile::proposes(2)).await;
    let path = format!("/images/{image}/policy");
    let choice = json!({
        "scaling_policy": {"name": "queue"},
        "shadow_policies": [{"name": "min-max"}, {"name": "liveness", "config": {"failure-threshold": 7}}],
    });
    let shown = windlass.put(&path, choice).await.ok();
    assert_eq!(shown["desired"]["shadow_policies"][1]["config"], json!({"failure-threshold": 7}), "{shown}");
    running(&site, 2).await?;
    let pushed = windlass.put_component("/policies/queue?candidate=true", hostile::proposes(4).build()).await.ok();
    assert_eq!((&pushed["acting"], &pushed["candidate"]), (&json!(1), &json!(2)), "{pushed}");

    let shadows = format!("/images/{image}/shadows");
    let mut seen = Value::Null;
    eventually("the candidate to be called", LIMIT, async || {
        windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
        seen = windlass.get(&shadows).await.ok();
        if seen["shadows"][0]["revision"] == 2 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    let names: Vec<&Value> = seen["shadows"].as_array().into_iter().flatten().map(|shadow| &shadow["name"]).collect();
    assert_eq!(names, ["queue", "min-max", "liveness"], "{seen}");
    let difference = &seen["shadows"][0]["differences"][0];
    assert_eq!(
        (&difference["acting"]["replicas"], &difference["shadow"]["replicas"]),
        (&json!(2), &json!(4)),
        "{seen}"
    );
    let liveness = &seen["shadows"][2];
    assert_eq!((&liveness["differed"], &liveness["failed"]), (&json!(0), &json!(0)), "{seen}");
    // The candidate was only monitored.
    running(&site, 2).await?;
    assert_eq!(windlass.post("/policies/queue/promote", Value::Null).await.ok()["acting"], 2);
    windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    running(&site, 4).await?;

    insta::assert_snapshot!(
        windlass.put(&path, json!({"shadow_policies": [{"name": "quue"}, {"name": "min-max", "config": {"a": 1}}]})).await,
        @r#"
        422 application/problem+json
        {
          "detail": "/shadow_policies/0/name: there is no policy `quue`; /shadow_policies/1/config: Additional properties are not allowed ('a' was unexpected)",
          "errors": [
            {
              "detail": "there is no policy `quue`",
              "pointer": "/shadow_policies/0/name"
            },
            {
              "detail": "Additional properties are not allowed ('a' was unexpected)",
              "pointer": "/shadow_policies/1/config"
            }
          ],
          "status": 422,
          "title": "Unprocessable Entity",
          "type": "about:blank"
        }
        "#
    );
    insta::assert_snapshot!(
        windlass.put(&path, json!({"shadow_policies": vec![json!({"name": "min-max"}); 5]})).await,
        @r#"
        422 application/problem+json
        {
          "detail": "/shadow_policies: 5 policies are given; expected at most 4; /shadow_policies/1: the same policy with the same configuration is given twice; /shadow_policies/2: the same policy with the same configuration is given twice; /shadow_policies/3: the same policy with the same configuration is given twice; /shadow_policies/4: the same policy with the same configuration is given twice",
          "errors": [
            {
              "detail": "5 policies are given; expected at most 4",
              "pointer": "/shadow_policies"
            },
            {
              "detail": "the same policy with the same configuration is given twice",
              "pointer": "/shadow_policies/1"
            },
            {
              "detail": "the same policy with the same configuration is given twice",
              "pointer": "/shadow_policies/2"
            },
            {
              "detail": "the same policy with the same configuration is given twice",
              "pointer": "/shadow_policies/3"
            },
            {
              "detail": "the same policy with the same configuration is given twice",
              "pointer": "/shadow_policies/4"
            }
          ],
          "status": 422,
          "title": "Unprocessable Entity",
          "type": "about:blank"
        }
        "#
    );
    insta::assert_snapshot!(windlass.post("/policies/queue/promote", Value::Null).await, @r#"
    409 application/problem+json
    {
      "detail": "`queue` has no candidate; name the revision to promote",
      "status": 409,
      "title": "Conflict",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.post("/policies/queue/promote?revision=none", Value::Null).await, @r#"
    422 application/problem+json
    {
      "detail": "/query/revision: expected the number of a revision, from 1",
      "errors": [
        {
          "detail": "expected the number of a revision, from 1",
          "pointer": "/query/revision"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.get("/images/never:1/shadows").await, @r#"
    404 application/problem+json
    {
      "detail": "there is no workload `never:1`; it was never started, or it was deleted",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn a_folder_is_a_source_of_policies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("queue.wasm");
    std::fs::write(&file, hostile::proposes(2).build())?;
    let site = Site::new("policy-folder").await?.set("policy.folder", &format!("{:?}", folder.path()));
    let windlass = site.start().await?;
    let acts = async |number: u64| {
        eventually(&format!("revision {number} to act"), LIMIT, async || {
            let shown = windlass.get("/policies/queue").await;
            if shown.status == 200 && shown.ok()["acting"] == number { Ok(()) } else { Err("not yet".to_owned()) }
        })
        .await;
    };
    acts(1).await;
    std::fs::write(&file, hostile::proposes(3).build())?;
    acts(2).await;
    Ok(())
}

/// Runs `windlass policy …` against a Windlass; returns the exit code, standard output and standard error.
async fn command(windlass: &Windlass, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    ran(windlass, &[&["policy"], arguments].concat()).await
}

async fn ran(windlass: &Windlass, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    let mut command = tokio::process::Command::new(binary()?);
    command.args(arguments).env_clear();
    command.env("WINDLASS_SERVER", format!("http://{}", windlass.address())).env("USER", "ada");
    let output = command.output().await?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[tokio::test]
async fn an_author_pushes_watches_promotes_and_rolls_back_from_the_command_line() -> anyhow::Result<()> {
    let site = Site::new("push-command").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 5)).await.ok();
    let folder = tempfile::tempdir()?;
    let file = |name: &str, stub: &Stub| {
        let path = folder.path().join(name);
        std::fs::write(&path, stub.build()).map(|()| path.display().to_string())
    };
    let (first, second) = (file("queue.wasm", &hostile::proposes(2))?, file("next.wasm", &hostile::proposes(4))?);
    let ok = async |arguments: &[&str]| {
        let (code, stdout, stderr) = command(&windlass, arguments).await?;
        anyhow::ensure!(code == Some(0) && stderr.is_empty(), "{code:?} {stdout} {stderr}");
        // The digest is left out: it changes with the fixture.
        let (before, rest) = stdout.split_once(", sha256:").context(stdout.clone())?;
        Ok(format!("{before}{}", rest.trim_start_matches(|c: char| c.is_ascii_hexdigit())))
    };
    assert_eq!(ok(&["push", &first]).await?, "queue 1.0.0 (scaling): revision 1 acts\n");
    assert_eq!(windlass.get("/policies/queue").await.ok()["revisions"][0]["loaded_by"], "ada");
    windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": {"name": "queue"}})).await.ok();
    let pushed = ok(&["push", &second, "--name", "queue", "--candidate", "--from", "ben"]).await?;
    assert_eq!(pushed, "queue 1.0.0 (scaling): revision 1 acts, candidate 2\n");
    eventually("the candidate to be called", LIMIT, async || {
        windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
        let (_, told, _) = command(&windlass, &["diff", image]).await.map_err(|error| error.to_string())?;
        let line = told.lines().next().unwrap_or_default();
        let found = line.starts_with("queue revision 2 (scaling, config {}): called ")
            && told.contains("\n    acting: 2 (as told)\n    shadow: 4 (as told)\n");
        if found { Ok(()) } else { Err(told) }
    })
    .await;
    assert_eq!(ok(&["promote", "queue"]).await?, "queue 1.0.0 (scaling): revision 2 acts\n");
    // Recorded observations are replayed here: with the component that answered, and with another one.
    let report = windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    let newest = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok()["decisions"][0].clone();
    let number = newest["id"].to_string();
    assert_eq!(windlass.get(&format!("/decisions/{number}")).await.ok(), newest, "{report}");
    let (code, same, errors) = command(&windlass, &["run", &second, "--decision", &number]).await?;
    assert_eq!(code, Some(0), "{errors}");
    assert!(same.ends_with("the answer equals the recorded answer of this component\n"), "{same}");
    let (code, _, differs) = command(&windlass, &["run", &first, "--decision", &number]).await?;
    assert!(code == Some(1) && differs.contains("recorded answer of another component"), "{differs}");
    let (_, _, gone) = command(&windlass, &["run", &first, "--decision", "999999"]).await?;
    assert_eq!(gone, "error: there is no decision 999999: it was never made, or is no longer kept\n");
    assert_eq!(ok(&["rollback", "queue"]).await?, "queue 1.0.0 (scaling): revision 1 acts\n");
    let (_, listed, _) = command(&windlass, &["list"]).await?;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        names,
        ["liveness", "min-max", "pass-through", "predictive", "queue", "schedule", "step", "target-tracking"],
        "{listed}"
    );

    let refused = async |arguments: &[&str]| {
        let (code, stdout, stderr) = command(&windlass, arguments).await?;
        anyhow::ensure!(code == Some(1) && stdout.is_empty(), "{code:?} {stdout} {stderr}");
        Ok(stderr)
    };
    assert_eq!(
        refused(&["promote", "queue"]).await?,
        "error: `queue` has no candidate; name the revision to promote\n"
    );
    assert_eq!(
        refused(&["delete", "queue"]).await?,
        format!("error: `queue` was chosen for `{image}`; choose another one there first\n")
    );
    windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": {"name": "min-max"}})).await.ok();
    let (_, deleted, _) = command(&windlass, &["delete", "queue"]).await?;
    assert_eq!(deleted, "queue: deleted\n");
    assert_eq!(refused(&["rollback", "queue"]).await?, "error: there is no policy `queue`\n");
    assert_eq!(
        refused(&["diff", "never:1"]).await?,
        "error: there is no workload `never:1`; it was never started, or it was deleted\n"
    );
    let elsewhere = refused(&["list", "--server", "http://127.0.0.1:1"]).await?;
    assert!(elsewhere.starts_with("error: cannot reach windlass at http://127.0.0.1:1: "), "{elsewhere}");
    let nowhere = refused(&["list", "--server", "localhost"]).await?;
    assert!(nowhere.contains("expected an address such as `http://127.0.0.1:8000`"), "{nowhere}");
    Ok(())
}

#[tokio::test]
async fn memory_goes_over_a_swap_but_not_over_a_reset_and_what_was_drawn_is_drawn_again() -> anyhow::Result<()> {
    let site = Site::new("memory").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let file = tempfile::NamedTempFile::new()?;
    let path = file.path().display().to_string();
    // The number of the newest decision, and the bytes of memory that the policy received for it. A repeated decision
    // has no number of its own, so this considers the first decision of each revision.
    let handed = async || {
        windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
        let newest = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok()["decisions"][0].clone();
        (newest["id"].to_string(), newest["scaling"]["observation"]["memory"].as_array().map(Vec::len))
    };
    push(&windlass, &hostile::remembers(5)).await;
    let mut body = start_body(image, 1, 5);
    (body["mode"], body["scaling_policy"]) = (json!("recommend"), json!({"name": "queue"}));
    windlass.post("/start/container", body).await;
    assert_eq!(handed().await.1, Some(0));
    push(&windlass, &hostile::remembers(6)).await;
    assert_eq!(handed().await.1, Some(5));
    let reset = hostile::remembers(7).build();
    windlass.put_component("/policies/queue?memory=reset", reset).await.ok();
    assert_eq!(handed().await.1, Some(0));
    push(&windlass, &hostile::remembers(9)).await;
    assert_eq!(handed().await.1, Some(7));
    std::fs::write(&path, hostile::remembers(8).build())?;
    let (code, _, errors) = command(&windlass, &["push", &path, "--name", "queue", "--reset-memory"]).await?;
    assert_eq!((code, handed().await.1), (Some(0), Some(0)), "{errors}");

    let random = hostile::decides_at_random();
    windlass.put_component("/policies/queue", random.clone()).await.ok();
    std::fs::write(&path, random)?;
    let (number, _) = handed().await;
    let (code, same, errors) = command(&windlass, &["run", &path, "--decision", &number]).await?;
    assert_eq!(code, Some(0), "{errors}");
    assert!(same.ends_with("the answer equals the recorded answer of this component\n"), "{same}");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_pushed_or_chosen_is_told_with_its_reasons() -> anyhow::Result<()> {
    // The limit is small enough for the rest of the body to fit into the connection.
    let site = Site::new("no-push").await?.set("policy.component_bytes", "\"128KiB\"");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    insta::assert_snapshot!(windlass.put_component("/policies/queue", b"\0asm\x01\0\0\0".to_vec()).await, @r#"
    422 application/problem+json
    {
      "detail": "the file is a core WebAssembly module, not a component; convert it with `windlass policy wrap FILE -o COMPONENT`",
      "errors": [
        {
          "detail": "the file is a core WebAssembly module, not a component; convert it with `windlass policy wrap FILE -o COMPONENT`",
          "pointer": ""
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.put_component("/policies/Queue", hostile::proposes(1).build()).await, @r#"
    422 application/problem+json
    {
      "detail": "/path/name: `Queue` is not a policy's name: expected 1 to 63 lower-case letters, digits and hyphens",
      "errors": [
        {
          "detail": "`Queue` is not a policy's name: expected 1 to 63 lower-case letters, digits and hyphens",
          "pointer": "/path/name"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.put_component("/policies/liveness", hostile::proposes(1).build()).await, @r#"
    409 application/problem+json
    {
      "detail": "`liveness` is built in; push the component under another name",
      "status": 409,
      "title": "Conflict",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.put_component("/policies/queue?memory=lose", hostile::proposes(1).build()).await, @r#"
    422 application/problem+json
    {
      "detail": "/query/memory: expected `keep` or `reset`",
      "errors": [
        {
          "detail": "expected `keep` or `reset`",
          "pointer": "/query/memory"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.put("/policies/queue", json!({})).await, @r#"
    415 application/problem+json
    {
      "detail": "the body must be a component; send the header `content-type: application/wasm`",
      "status": 415,
      "title": "Unsupported Media Type",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.put_component("/policies/queue", vec![0; (128 << 10) + 1]).await, @r#"
    413 application/problem+json
    {
      "detail": "the body is larger than the limit of this windlass",
      "status": 413,
      "title": "Payload Too Large",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.get("/policies/queue").await, @r#"
    404 application/problem+json
    {
      "detail": "there is no policy `queue`",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(windlass.post("/policies/queue/rollback", Value::Null).await, @r#"
    404 application/problem+json
    {
      "detail": "there is no policy `queue`",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    let choose = async |body: Value| windlass.put(&format!("/images/{image}/policy"), body).await;
    // The schema allows it, and the policy itself rejects it.
    let bands = json!([{"below": 60, "change": 0}, {"from": 50, "change": 2}]);
    let step = json!({"name": "step", "config": {"metric": "cpu-utilization", "bands": bands}});
    let refused = choose(json!({"scaling_policy": step})).await;
    let said = refused.to_string();
    assert!(refused.status == 422 && said.contains("\"pointer\": \"/scaling_policy/config\""), "{said}");
    assert!(said.contains("`bands[1].from` is 50, which overlaps `bands[0]`, which ends at 60"), "{said}");
    insta::assert_snapshot!(choose(json!({"scaling_policy": {"name": "queue"}, "health": {}})).await, @r#"
    422 application/problem+json
    {
      "detail": "/health: unknown field; did you mean `health_policy`?",
      "errors": [
        {
          "detail": "unknown field; did you mean `health_policy`?",
          "pointer": "/health"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    insta::assert_snapshot!(
        choose(json!({
            "scaling_policy": {"name": "queue"},
            "health_policy": {"name": "liveness", "config": {"failure-threshold": 0}},
        }))
        .await,
        @r#"
    422 application/problem+json
    {
      "detail": "/scaling_policy/name: there is no scaling policy `queue`; there are: `min-max`, `pass-through`, `predictive`, `schedule`, `step`, `target-tracking`; /health_policy/config/failure-threshold: 0 is less than the minimum of 1",
      "errors": [
        {
          "detail": "there is no scaling policy `queue`; there are: `min-max`, `pass-through`, `predictive`, `schedule`, `step`, `target-tracking`",
          "pointer": "/scaling_policy/name"
        },
        {
          "detail": "0 is less than the minimum of 1",
          "pointer": "/health_policy/config/failure-threshold"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#
    );
    insta::assert_snapshot!(windlass.put("/images/never:1/policy", json!({})).await, @r#"
    404 application/problem+json
    {
      "detail": "there is no workload `never:1`; it was never started, or it was deleted",
      "status": 404,
      "title": "Not Found",
      "type": "about:blank"
    }
    "#);
    // None of it changed anything.
    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    assert!(shown["desired"]["scaling_policy"].is_null() && shown["desired"]["health_policy"].is_null(), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_default_policy_that_is_broken_or_away_does_not_keep_windlass_from_its_containers() -> anyhow::Result<()> {
    let site = Site::new("broken-default").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    push(&windlass, &hostile::traps_configuring()).await;
    windlass.post("/start/container", start_body(image, 2, 5)).await.ok();
    windlass.kill()?;
    for id in site.engine().running(site.instance()).await? {
        site.engine().remove(&id).await;
    }
    // And a registry that accepts the connection and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let source = format!("\"oci://{}/team/other:1\"", silent.local_addr()?);
    let site = site
        .set("control.scaling_policy", "\"queue\"")
        .set("control.health_policy", "\"other\"")
        .set("policies.other.source", &source);
    let windlass = site.start().await?;
    running(&site, 2).await?;
    let log = windlass.log();
    assert!(log.contains("the default policy cannot be used as windlass.toml configures it"), "{log}");
    // The policy without an answer is rolled back after its probation.
    eventually("the built-in policy to stand in", LIMIT, async || {
        windlass.post(&format!("/images/{image}/reconcile"), json!({})).await.ok();
        let shown = windlass.get(&format!("/images/{image}")).await.ok();
        let name = &shown["last_pass"]["scaling_policy"]["name"];
        if name == "min-max" { Ok(()) } else { Err(shown["last_pass"]["reason"].to_string()) }
    })
    .await;
    drop(windlass);
    // A name without a revision or a source is a typing error.
    let site = site.set("control.scaling_policy", "\"min-mx\"");
    let (_, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    assert!(said.contains("`control.scaling_policy` or its configuration is invalid"), "{said}");
    assert!(said.contains("there is no scaling policy `min-mx`; there are: "), "{said}");
    Ok(())
}
