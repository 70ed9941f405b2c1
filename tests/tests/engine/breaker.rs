//! A policy that fails for ever after it proved itself: another one takes its place, and repairs go on.

use serde_json::{Value, json};
use std::time::Duration;
use windlass_tests::hostile;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, start_body};
use windlass_tests::wait::eventually;
use windlass_tests::workloads::running;

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_killed_replica_of_a_policy_that_fails_for_ever_is_replaced_and_the_failure_is_told() -> anyhow::Result<()> {
    let site = Site::new("breaker").await?.set("policies.queue.trial_calls", "1");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    // It answers while the target count is 2, and panics ever after.
    windlass.put_component("/policies/queue", hostile::knows_only(2).build()).await.ok();
    let mut body = start_body(image, 2, 5);
    body["scaling_policy"] = json!({"name": "queue"});
    windlass.post("/start/container", body).await.ok();
    running(&site, 2).await?;
    let reconcile = async || windlass.post(&format!("/images/{image}/reconcile"), Value::Null).await.ok();
    reconcile().await;
    eventually("the revision to be proved", LIMIT, async || {
        let policy = windlass.get("/policies/queue").await.ok();
        if policy["revisions"][0]["proved"] == true { Ok(()) } else { Err(policy.to_string()) }
    })
    .await;
    windlass.post(&format!("/images/{image}/scale"), json!({"min_replicas": 3, "max_replicas": 5})).await.ok();
    let before = running(&site, 3).await?;
    for _ in 0..5 {
        reconcile().await;
    }
    site.engine().kill(&before[0]).await?;

    eventually("the replacement", LIMIT, async || {
        reconcile().await;
        let after = site.engine().running(site.instance()).await.map_err(|error| error.to_string())?;
        if after.len() == 3 && !after.contains(&before[0]) { Ok(()) } else { Err(format!("{after:?}")) }
    })
    .await;
    let shown = windlass.get(&format!("/images/{image}")).await.ok();
    let alert = &shown["alerts"][0];
    assert_eq!(alert["kind"], "stand-in", "{shown}");
    let reason = alert["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("revision 1 of `queue` failed 5 times in a row, the last time with trap"), "{reason}");
    let answered = &shown["last_pass"]["scaling_policy"];
    assert_eq!((&answered["name"], &answered["stands_in_for"]), (&json!("min-max"), &json!("queue")), "{shown}");
    eventually("the event of the policy", LIMIT, async || {
        let policy = windlass.get("/policies/queue").await.ok();
        let what = policy["events"][0]["what"].as_str().unwrap_or_default();
        let is_told = what.starts_with(&format!("failed 5 times in a row for `{image}`"));
        if is_told && policy["failing"][0]["failures"] == 5 { Ok(()) } else { Err(policy.to_string()) }
    })
    .await;
    Ok(())
}
