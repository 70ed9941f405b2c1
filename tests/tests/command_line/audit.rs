//! The record of changes, as an administrator reads it: in the log, and by `windlass events --audit`.

use serde_json::{Value, json};
use windlass_builtin::MIN_MAX;
use windlass_tests::commands::Caller;
use windlass_tests::lone_server::LoneServer;

const TOKEN: &str = "a-token-of-thirty-two-characters";

/// The caller and the request of a line of the log, and whether the change was made.
fn line(change: &Value) -> (String, String, bool) {
    let word = |field: &str| change[field].as_str().unwrap_or("-").to_owned();
    let (status, result) = (change["status"].as_u64().unwrap_or_default(), word("result"));
    assert_eq!((200..300).contains(&status), result == "done", "{change}");
    assert_eq!(word("from"), "127.0.0.1", "{change}");
    (word("who"), word("request"), result == "done")
}

fn kept(events: &Value) -> Vec<Value> {
    events["events"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn the_log_and_the_events_name_the_caller_and_the_result_of_each_change() -> anyhow::Result<()> {
    let server = LoneServer::start(TOKEN).await?;
    let admin = server.caller(TOKEN)?;
    let (ci, id) = LoneServer::create_token(&admin, &["ci", "--role", "admin"])?;
    let person = server.caller(&ci)?;
    std::fs::write(person.folder().join("queue.wasm"), MIN_MAX)?;
    person.run(&["policy", "push", "queue.wasm"])?.ok();
    let failed = person.run(&["policy", "promote", "queue", "--revision", "7"])?.refused(1);
    person.run(&["policy", "delete", "queue"])?.ok();
    person.run(&["scaling", "pause", "nothing"])?.refused(1);
    // Reading is no change.
    person.run(&["get", "workloads"])?.ok();
    admin.run(&["token", "revoke", &id])?.ok();

    let changes = server.changes();
    let lines: Vec<(String, String, bool)> = changes.iter().map(line).collect();
    let revoke = format!("DELETE /tokens/{id}");
    let expected = [
        ("the configured token", "POST /tokens", true),
        ("ci", "PUT /policies/queue", true),
        ("ci", "POST /policies/queue/promote", false),
        ("ci", "DELETE /policies/queue", true),
        ("ci", "PATCH /workloads/nothing/overrides", false),
        ("the configured token", revoke.as_str(), true),
    ];
    assert_eq!(lines, expected.map(|(who, request, done)| (who.to_owned(), request.to_owned(), done)));
    assert!(changes[1..5].iter().all(|change| change["token"] == id.as_str()), "{changes:#?}");
    // The result of a change that failed is the sentence that its caller received.
    assert_eq!(format!("error: {}\n", changes[2]["result"].as_str().unwrap_or_default()), failed);

    // The same in the events, for administrators only, in both forms.
    let events = kept(&admin.run(&["events", "--audit", "-o", "json"])?.json());
    let of_events: Vec<(String, String, bool)> = events.iter().map(|event| line(&event["data"])).collect();
    assert_eq!(of_events, lines);
    assert!(events.iter().all(|event| event["kind"] == "audit"), "{events:#?}");
    let table = admin.run(&["events", "--audit"])?.ok();
    assert!(table.contains("audit") && table.contains("`ci` at 127.0.0.1: DELETE /policies/queue: done"), "{table}");
    let (operator, _) = LoneServer::create_token(&admin, &["bo", "--role", "operator"])?;
    let all = server.caller(&operator)?.run(&["events", "-o", "json"])?.json();
    assert!(kept(&all).iter().all(|event| event["kind"] != "audit"), "{all:#}");

    let told = format!("{}\n{table}\n{}", server.log(), json!(events));
    for secret in [TOKEN, secret_of(&ci), secret_of(&operator)] {
        assert!(!told.contains(secret), "a secret is shown");
    }
    Ok(())
}

fn secret_of(token: &str) -> &str {
    token.rsplit_once('_').map_or(token, |(_, secret)| secret)
}

#[tokio::test]
async fn a_follower_of_the_changes_sees_the_next_one() -> anyhow::Result<()> {
    let server = LoneServer::start(TOKEN).await?;
    let admin: Caller = server.caller(TOKEN)?;
    let mut follower = admin.begin(&["events", "--audit", "-w", "-o", "json"])?;
    LoneServer::create_token(&admin, &["ci", "--role", "viewer"])?;
    let event: Value = serde_json::from_str(&follower.line()?)?;
    assert_eq!(event["data"]["request"], "POST /tokens", "{event}");
    assert_eq!(event["data"]["who"], "the configured token", "{event}");
    Ok(())
}
