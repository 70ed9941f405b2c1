//! Guardrails keep the count from following every proposal, also over a restart.

use anyhow::Context as _;
use serde_json::json;
use std::time::Duration;
use windlass_tests::hostile;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, Windlass, binary, start_body};
use windlass_tests::wait::eventually;
use windlass_tests::workloads::target_after_pass;

#[tokio::test]
async fn a_drop_waits_for_its_window_which_a_restart_does_not_shorten() -> anyhow::Result<()> {
    let site = Site::new("guardrails").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    windlass.put_component("/policies/queue", hostile::proposes(3).build()).await.ok();
    let mut body = start_body(image, 1, 5);
    body["scaling_policy"] = json!({"name": "queue"});
    windlass.post("/start/container", body).await.ok();
    assert_eq!(target_after_pass(&windlass, image).await, (3, "as told".to_owned()));

    windlass.put_component("/policies/queue", hostile::proposes(1).build()).await.ok();
    let (target, waits) = target_after_pass(&windlass, image).await;
    let because = " because the 5-minute window still contains a proposal of 3; `queue` proposed 1: as told";
    assert!(
        target == 3 && waits.starts_with("held at 3: scale-in waits until ") && waits.ends_with(because),
        "{waits}"
    );
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    assert_eq!(target_after_pass(&windlass, image).await, (3, waits));
    let decision = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok();
    let stages = json!({"raw": 1, "stabilized": 3, "limited": 3, "bounded": 3});
    assert_eq!(decision["decisions"][0]["stages"], stages);

    let path = format!("/images/{image}/guardrails");
    let frozen = windlass.put(&path, json!({"grace": 0, "scale_down": {"window": 0, "select": "disabled"}})).await.ok();
    assert_eq!(frozen["desired"]["guardrails"]["scale_down"]["select"], "disabled");
    let disabled = "held at 3: scale-in is disabled; `queue` proposed 1: as told";
    assert_eq!(target_after_pass(&windlass, image).await, (3, disabled.to_owned()));
    // A new workload does not scale in at once, whatever its windows.
    windlass.put(&path, json!({"scale_down": {"window": 0}})).await.ok();
    let (target, reason) = target_after_pass(&windlass, image).await;
    let new = " because the workload is new (grace period 300 s); `queue` proposed 1: as told";
    let waits = "held at 3: scale-in waits until ";
    assert!(target == 3 && reason.starts_with(waits) && reason.ends_with(new), "{target} {reason}");
    // An operator can request it at once.
    let freed = windlass.put(&path, json!({"grace": "0s", "scale_down": {"window": 0, "rates": []}})).await.ok();
    assert_eq!(freed["desired"]["target"], 1);
    assert_eq!(target_after_pass(&windlass, image).await, (1, "as told".to_owned()));
    // Sending back the response's value changes nothing.
    let again = windlass.put(&path, freed["desired"]["guardrails"].clone()).await.ok();
    assert_eq!(again["desired"]["guardrails"], freed["desired"]["guardrails"]);
    Ok(())
}

#[tokio::test]
async fn rates_and_cooldowns_go_on_over_a_restart() -> anyhow::Result<()> {
    let site = Site::new("rates").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    windlass.put_component("/policies/queue", hostile::proposes(3).build()).await.ok();
    let mut body = start_body(image, 1, 5);
    body["scaling_policy"] = json!({"name": "queue"});
    body["guardrails"] = json!({"scale_up": {"window": "0s", "rates": [{"count": 1, "per": "1h"}]}});
    windlass.post("/start/container", body).await.ok();
    let limited =
        (2, "held at 2: scale-out is limited to 1 replica per 3600 s; `queue` proposed 3: as told".to_owned());
    assert_eq!(target_after_pass(&windlass, image).await, limited);
    assert!(windlass.terminate().await?.success());
    let mut windlass = site.start().await?;
    assert_eq!(target_after_pass(&windlass, image).await, limited);

    let cooldown = json!({"scale_up": {"window": "0s", "cooldown": "1h", "rates": []}});
    windlass.put(&format!("/images/{image}/guardrails"), cooldown).await.ok();
    let cooled = target_after_pass(&windlass, image).await;
    let waits = "held at 2: scale-out waits until ";
    assert!(cooled.0 == 2 && cooled.1.starts_with(waits), "{cooled:?}");
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    assert_eq!(target_after_pass(&windlass, image).await, cooled);
    Ok(())
}

/// Runs `windlass scaling …` against this Windlass.
fn scaling(windlass: &Windlass, arguments: &[&str]) -> anyhow::Result<String> {
    ran(windlass, "scaling", arguments)
}

/// Runs a command against this Windlass.
fn ran(windlass: &Windlass, command: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let mut called = std::process::Command::new(binary()?);
    let command = called.arg(command);
    command.args(arguments).env("WINDLASS_SERVER", format!("http://{}", windlass.address()));
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn an_operator_pauses_forces_and_lets_go_again() -> anyhow::Result<()> {
    let site = Site::new("overrides").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut windlass = site.start().await?;
    windlass.put_component("/policies/queue", hostile::proposes(3).build()).await.ok();
    windlass.post("/start/container", start_body(image, 1, 5)).await.ok();
    let shown = scaling(&windlass, &["pause", image])?;
    let nothing = "1 running\noverrides: paused\nreason: ";
    assert!(shown.starts_with(&format!("{image}: target 1 of 1 to 5, {nothing}")), "{shown}");
    let chosen = json!({"scaling_policy": {"name": "queue"}});
    windlass.put(&format!("/images/{image}/policy"), chosen).await.ok();
    let held = "held at 1: an operator paused scaling; `queue` proposed 3: as told";
    assert_eq!(target_after_pass(&windlass, image).await, (1, held.to_owned()));

    let shown = scaling(&windlass, &["force", image, "2", "--for", "1h"])?;
    assert!(
        shown.starts_with(&format!("{image}: target 2 of 1 to 5, 2 running\noverrides: paused, 2 forced")),
        "{shown}"
    );
    assert!(windlass.terminate().await?.success());
    let windlass = site.start().await?;
    let (target, reason) = target_after_pass(&windlass, image).await;
    assert!(target == 2 && reason.starts_with("an operator forces 2 replicas until 2"), "{target} {reason}");
    // The reason stays the same from pass to pass, so it is recorded once.
    for _ in 0..2 {
        windlass.post(&format!("/images/{image}/reconcile"), json!(null)).await.ok();
    }
    let decisions = windlass.get(&format!("/images/{image}/decisions?limit=100")).await.ok();
    let written =
        decisions["decisions"].as_array().into_iter().flatten().filter(|one| one["reason"] == reason.as_str());
    assert!(written.count() <= 2, "one before the restart, one after it: {decisions}");
    let told = ran(&windlass, "explain", &[image])?;
    assert!(told.contains(&format!("{image} has a target of 2 replicas, decided at 20")), "{told}");
    assert!(told.contains("The scaling policy `queue` proposed 3: as told."), "{told}");
    assert!(
        told.contains("What would change the target:\n  - An operator paused scaling; `windlass scaling resume "),
        "{told}"
    );
    // `--at` explains an earlier decision, without a hint what would change it: only the current one can change.
    for earlier in decisions["decisions"].as_array().into_iter().flatten().skip(1) {
        let at = jiff::Timestamp::from_millisecond(earlier["at"].as_i64().context("a time")?)?.to_string();
        let told = ran(&windlass, "explain", &[image, "--at", &at])?;
        let reason = earlier["reason"].as_str().context("a reason")?;
        assert!(told.contains(&format!("decided at {at}: {}", reason.trim_end_matches('.'))), "{reason}: {told}");
        assert!(!told.contains("What would change the target"), "{told}");
    }
    let too_early = ran(&windlass, "explain", &[image, "--at", "1h"]);
    assert!(too_early.is_err_and(|why| why.to_string().contains("no decision about")));

    // Removing one override keeps the others.
    let shown = scaling(&windlass, &["resume", image, "force", "pause"])?;
    assert!(shown.contains(": target 3 of 1 to 5, 3 running\noverrides: none\nreason: as told\n"), "{shown}");
    scaling(&windlass, &["pause", image])?;
    scaling(&windlass, &["freeze", image, "down"])?;
    let shown = scaling(&windlass, &["freeze", image, "up"])?;
    assert!(shown.contains("overrides: paused, scale-out frozen, scale-in frozen\n"), "{shown}");
    let shown = scaling(&windlass, &["resume", image, "pause", "freeze-up"])?;
    assert!(shown.contains("overrides: scale-in frozen\n"), "{shown}");
    windlass.put_component("/policies/queue", hostile::proposes(1).build()).await.ok();
    eventually("the lower proposal to be held", Duration::from_secs(10), async || {
        match target_after_pass(&windlass, image).await {
            (3, reason) if reason == "held at 3: an operator froze scale-in; `queue` proposed 1: as told" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let frozen = json!({"paused": false, "freeze_scale_up": false, "freeze_scale_down": true, "force": null});
    let decision = windlass.get(&format!("/images/{image}/decisions?limit=1")).await.ok()["decisions"][0].clone();
    assert_eq!((&decision["overrides"], &decision["held_by"]), (&frozen, &json!("freeze-down")), "{decision}");
    assert_eq!(windlass.get("/images").await.ok()["images"][0]["overrides"], frozen);
    let figures = windlass.get("/metrics").await.ok();
    let figures = figures.as_str().expect("a text");
    for size in ["windlass_store_bytes ", "windlass_store_used_bytes "] {
        let bytes = figures.lines().find_map(|line| line.strip_prefix(size)?.parse::<u64>().ok());
        assert!(bytes.is_some_and(|bytes| bytes > 0), "{size}: {figures}");
    }
    for (what, is_said) in [("paused", 0), ("freeze_scale_up", 0), ("freeze_scale_down", 1), ("force", 0)] {
        let line = format!("windlass_override{{workload=\"{image}\",override=\"{what}\"}} {is_said}\n");
        assert!(figures.contains(&line), "{line}: {figures}");
    }

    let shown = scaling(&windlass, &["resume", image])?;
    assert!(windlass.get("/images").await.ok()["images"][0].get("overrides").is_none());
    let held = ": target 3 of 1 to 5, 3 running\noverrides: none\nreason: held at 3: scale-in waits until ";
    assert!(shown.contains(held) && shown.ends_with("; `queue` proposed 1: as told\n"), "{shown}");
    let wrong = json!({"paused": 1, "force": {"replicas": 2000, "for": "1y"}, "freeze": true});
    let refused = windlass.patch(&format!("/images/{image}/overrides"), wrong).await;
    assert_eq!(refused.status, 422, "{refused}");
    let detail = refused.text("/detail");
    for place in ["/paused: ", "/force/replicas: ", "/force/for: ", "/freeze: "] {
        assert!(detail.contains(place), "{detail}");
    }
    Ok(())
}

#[tokio::test]
async fn what_somebody_stops_through_the_engine_is_left_so_until_it_is_resumed() -> anyhow::Result<()> {
    let site = Site::new("stopped-outside").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    windlass.post("/start/container", start_body(image, 2, 5)).await.ok();
    // Later stops arrive as events. Earlier ones may come from a busy engine that has forgotten them.
    let follows = async || match windlass.log() {
        log if log.contains("following the engine's events") => Ok(()),
        log => Err(log),
    };
    eventually("Windlass follows the engine's events", Duration::from_secs(30), follows).await;
    let both = site.engine().running(site.instance()).await?;
    for id in &both {
        site.engine().stop(id).await?;
    }
    let is_left = async || {
        let (target, reason) = target_after_pass(&windlass, image).await;
        let left = reason.ends_with("; 2 replicas were stopped outside Windlass and stay stopped");
        if target == 2 && left { Ok(()) } else { Err(reason) }
    };
    eventually("both are left as they are", Duration::from_secs(10), is_left).await;
    // Over a restart of Windlass: simulated/scenarios/stopped_outside.txt.
    assert_eq!(site.engine().containers(site.instance()).await?.len(), 2);
    assert!(site.engine().running(site.instance()).await?.is_empty());
    let shown = scaling(&windlass, &["show", image])?;
    assert!(shown.contains("stopped outside of Windlass: "), "{shown}");
    // A container that is started through the engine is managed again.
    site.engine().start(&both[0]).await?;
    let one_left = async || {
        let (_, reason) = target_after_pass(&windlass, image).await;
        if reason.contains("1 replica was stopped outside") { Ok(()) } else { Err(reason) }
    };
    eventually("the other is left", Duration::from_secs(10), one_left).await;
    // Only resuming scaling removes the override; changing another one does not.
    windlass.patch(&format!("/images/{image}/overrides"), json!({"force": null})).await.ok();
    one_left().await.map_err(anyhow::Error::msg)?;
    let shown = scaling(&windlass, &["resume", image])?;
    assert!(shown.contains("2 running\noverrides: none\n"), "{shown}");
    // A killed process was not asked to end, so this is not a pause.
    site.engine().kill(&both[0]).await?;
    let replaced = async || match site.engine().running(site.instance()).await {
        Ok(running) if running.len() == 2 && !running.contains(&both[0]) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually("the killed one is replaced", Duration::from_secs(10), replaced).await;
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_guardrails_is_told_with_its_place() -> anyhow::Result<()> {
    let site = Site::new("wrong-guardrails").await?;
    let windlass = site.start().await?;
    let wrong = json!({
        "scale_up": {"window": "2h", "select": "most", "rates": [{"count": 1}, {"per": "1s"}, {"count": 0, "per": "2h"}]},
        "scale_down": {"cooldown": "soon", "rate": []},
        "grace": "2h",
        "fallback": {"replicas": 2000, "after": 0},
    });
    insta::assert_snapshot!(windlass.put("/images/any/guardrails", wrong).await, @r#"
    422 application/problem+json
    {
      "detail": "/scale_up/window: expected 0 s to 1 h; /scale_up/select: expected `max` or `min` or `disabled`, found `\"most\"`; /scale_up/rates/0/per: this field is required; /scale_up/rates/1: a rate has `count` or `percent`, one of them; /scale_up/rates/2/count: expected a whole number from 1 to 1000, found `0`; /scale_up/rates/2/per: expected 1 s to 1 h; /scale_down/rate: unknown field; did you mean `rates`?; /scale_down/cooldown: expected a length of time: a number of seconds, or text such as `500ms`, `5s` or `1m`; /grace: expected 0 s to 1 h; /fallback/replicas: expected a whole number from 0 to 1000, found `2000`; /fallback/after: expected a whole number from 1 to 1000, found `0`",
      "errors": [
        {
          "detail": "expected 0 s to 1 h",
          "pointer": "/scale_up/window"
        },
        {
          "detail": "expected `max` or `min` or `disabled`, found `\"most\"`",
          "pointer": "/scale_up/select"
        },
        {
          "detail": "this field is required",
          "pointer": "/scale_up/rates/0/per"
        },
        {
          "detail": "a rate has `count` or `percent`, one of them",
          "pointer": "/scale_up/rates/1"
        },
        {
          "detail": "expected a whole number from 1 to 1000, found `0`",
          "pointer": "/scale_up/rates/2/count"
        },
        {
          "detail": "expected 1 s to 1 h",
          "pointer": "/scale_up/rates/2/per"
        },
        {
          "detail": "unknown field; did you mean `rates`?",
          "pointer": "/scale_down/rate"
        },
        {
          "detail": "expected a length of time: a number of seconds, or text such as `500ms`, `5s` or `1m`",
          "pointer": "/scale_down/cooldown"
        },
        {
          "detail": "expected 0 s to 1 h",
          "pointer": "/grace"
        },
        {
          "detail": "expected a whole number from 0 to 1000, found `2000`",
          "pointer": "/fallback/replicas"
        },
        {
          "detail": "expected a whole number from 1 to 1000, found `0`",
          "pointer": "/fallback/after"
        }
      ],
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "about:blank"
    }
    "#);
    Ok(())
}
