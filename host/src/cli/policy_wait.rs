//! `--wait` of the commands that change a policy: waits until the acting revision has proved itself.

use crate::cli::waiting::{self, Look, WaitFlags, Wanted};
use anyhow::bail;
use serde_json::Value;
use windlass_api::answer::list;
use windlass_network::remote::Remote;

/// Waits until the probation of the acting revision is over, if the caller wants that. `answer` is the policy after the change.
/// Returns the policy after the wait.
///
/// # Errors
/// Another revision acts before: the revision failed its probation, or somebody changed the policy.
pub(super) async fn proved(client: &Remote, answer: Value, flags: WaitFlags) -> anyhow::Result<Value> {
    let name = answer["name"].as_str().unwrap_or_default().to_owned();
    let revision = answer["acting"].as_u64().unwrap_or_default();
    if !flags.is_wanted() {
        return Ok(answer);
    }
    let mut policy = answer;
    let wanted = Wanted { subject: &format!("{name}, revision {revision}"), state: "through its probation" };
    let query = vec![("kind", "policy".to_owned())];
    waiting::until(client, query, wanted, flags.timeout(), async || {
        policy = client.get(&["policies", &name]).await?;
        look(&policy, revision)
    })
    .await?;
    Ok(policy)
}

/// Compares a policy with the wait for its revision: the wait ends when the revision has proved itself. Revision 0 is built in.
fn look(policy: &Value, revision: u64) -> anyhow::Result<Look> {
    let found = list(&policy["revisions"]).iter().find(|one| one["number"] == revision);
    if let Some(why) = found.and_then(|one| one["quarantined"].as_str()) {
        bail!("revision {revision} failed its probation and does not act any more: {why}");
    }
    if policy["acting"].as_u64().unwrap_or_default() != revision {
        bail!("another revision acts in place of revision {revision}: {}", policy["acting"]);
    }
    if found.is_none_or(|one| one["proved"] == true) {
        return Ok(Look::Met);
    }
    let failures = list(&policy["failing"]).iter().filter_map(|one| one["last"].as_str());
    let calls = "its first calls are not over; each pass of a workload that uses it is one".to_owned();
    Ok(Look::Pending {
        state: "it is on probation".to_owned(),
        reasons: [calls].into_iter().chain(failures.map(|last| format!("last failure: {last}"))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_revision_is_awaited_until_it_is_proved_or_taken_back() {
        let policy = |acting: u64, proved: bool, quarantined: Value| {
            let revision = json!({"number": 2, "proved": proved, "quarantined": quarantined});
            json!({"acting": acting, "revisions": [revision, {"number": 1, "proved": true, "quarantined": null}]})
        };
        assert!(matches!(look(&policy(2, true, Value::Null), 2), Ok(Look::Met)));
        assert!(matches!(look(&json!({"acting": 0, "revisions": []}), 0), Ok(Look::Met)));
        assert!(matches!(look(&policy(2, false, Value::Null), 2), Ok(Look::Pending { .. })));
        let error = look(&policy(1, false, json!("3 of 20 calls failed")), 2).err().expect("an error").to_string();
        assert_eq!(error, "revision 2 failed its probation and does not act any more: 3 of 20 calls failed");
        let error = look(&policy(1, false, Value::Null), 2).err().expect("an error").to_string();
        assert_eq!(error, "another revision acts in place of revision 2: 1");
    }
}
