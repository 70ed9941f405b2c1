//! The events of a pass: its decision, the changes of its replicas, and the alerts that began or ended.

use crate::action::{Action, ActionKind};
use crate::alerts::is_known;
use crate::events::{EventKind, Events};
use crate::reconcile::result::PassResult;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use windlass_core::contract::HealthStatus;
use windlass_core::{Alert, ContainerId, History, Phase, Replica, Snapshot, WorkloadKey};

/// Most replicas of a workload whose changes in one pass are events of their own.
const MOST_CHANGES: usize = 50;

/// Publishes a decision that is not a repetition. `number` is that of its record, if it could be stored.
pub(crate) fn decision(events: &Events, result: &PassResult, number: Option<i64>) {
    let plan = &result.plan;
    let data = json!({
        "decision": number,
        "target": plan.target,
        "target_before": result.before.target_or_initial(result.desired.bounds),
        "held_by": plan.held_by,
        "stages": plan.stages,
        "steps": plan.steps.len(),
        "recommended": plan.recommended.as_ref().map(|recommended| recommended.target),
    });
    events.publish(EventKind::Decision, Some(&result.desired.key), &plan.reason, &data);
}

/// A change of one replica.
struct Change {
    text: String,
    data: Value,
}

/// Publishes the actions of a pass, and the changes that the engine made or a person made through it.
pub(crate) fn replicas(events: &Events, key: &WorkloadKey, before: &Snapshot, after: &Snapshot, actions: &[Action]) {
    let acted: BTreeSet<&ContainerId> = actions.iter().filter_map(|action| action.container.as_ref()).collect();
    let (was, is) = (by_id(before), by_id(after));
    let is_news = |known: &BTreeMap<_, &Replica>, id| !known.contains_key(id) && !acted.contains(id);
    let appeared = after.replicas.iter().filter(|replica| is_news(&was, &replica.id));
    let gone = before.replicas.iter().filter(|replica| is_news(&is, &replica.id));
    let stayed = after.replicas.iter().filter_map(|replica| Some((*was.get(&replica.id)?, replica)));
    let changes = (actions.iter().map(of_action))
        .chain(appeared.map(|replica| presence(replica, "appeared")))
        .chain(gone.map(|replica| presence(replica, "gone")))
        .chain(stayed.flat_map(|(was, is)| {
            let phase = (was.phase != is.phase && !acted.contains(&is.id)).then(|| phase(was, is));
            let health = (before.health_of(&is.id), after.health_of(&is.id));
            phase.into_iter().chain(health_change(is, health))
        }));
    let mut changes = changes.collect::<Vec<_>>().into_iter();
    for Change { text, data } in changes.by_ref().take(MOST_CHANGES) {
        events.publish(EventKind::Replica, Some(key), &text, &data);
    }
    let more = changes.len();
    if more > 0 {
        let data = json!({"change": "more", "count": more});
        let text = match more {
            1 => "1 more change of a replica".to_owned(),
            more => format!("{more} more changes of replicas"),
        };
        events.publish(EventKind::Replica, Some(key), &text, &data);
    }
}

fn by_id(snapshot: &Snapshot) -> BTreeMap<&ContainerId, &Replica> {
    snapshot.replicas.iter().map(|replica| (&replica.id, replica)).collect()
}

fn of_action(action: &Action) -> Change {
    let Action { kind, reason, container, name, error } = action;
    let replica = if name.is_empty() { "a replica".to_owned() } else { format!("replica `{name}`") };
    let text = match (kind, error) {
        (ActionKind::SetCount, None) => format!("set the number of replicas: {reason}"),
        (ActionKind::SetCount, Some(error)) => format!("could not set the number of replicas: {error}"),
        (ActionKind::Deploy, None) => format!("created the service: {reason}"),
        (ActionKind::Deploy, Some(error)) => format!("could not create the service: {error}"),
        (kind, None) => format!("{} {replica}: {reason}", past(*kind)),
        (kind, Some(error)) => format!("could not {} {replica}: {error}", kind.as_str()),
    };
    let change = kind.as_str();
    let data = json!({"change": change, "container_id": container, "name": name, "reason": reason, "error": error});
    Change { text, data }
}

fn past(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Create | ActionKind::Deploy => "created",
        ActionKind::Remove => "removed",
        ActionKind::Restart => "restarted",
        ActionKind::Start => "started",
        ActionKind::SetCount => "set",
    }
}

fn presence(replica: &Replica, change: &str) -> Change {
    let name = &replica.name;
    let text =
        if change == "gone" { format!("replica `{name}` is gone") } else { format!("replica `{name}` appeared") };
    Change { text, data: json!({"change": change, "container_id": replica.id, "name": name}) }
}

fn phase(was: &Replica, is: &Replica) -> Change {
    let text = match is.exit_code.filter(|_| is.phase == Phase::Exited) {
        Some(code) => format!("replica `{}` ended with exit code {code}", is.name),
        None => format!("replica `{}` is {}", is.name, word(is.phase)),
    };
    let data = json!({
        "change": "phase", "container_id": is.id, "name": is.name, "from": was.phase, "to": is.phase, "exit_code": is.exit_code,
    });
    Change { text, data }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Paused => "paused",
        Phase::Restarting => "restarting",
        Phase::Stopping => "stopping",
        Phase::Exited => "exited",
        Phase::Dead => "dead",
        Phase::Held => "held",
        Phase::Unknown => "not described by the engine",
    }
}

/// A replica's way from no assessment to starting is no news.
fn health_change(replica: &Replica, (was, is): (HealthStatus, HealthStatus)) -> Option<Change> {
    let word = match is {
        _ if was == is => return None,
        HealthStatus::Healthy => "healthy",
        HealthStatus::Degraded => "degraded",
        HealthStatus::Unhealthy => "unhealthy",
        HealthStatus::Unknown | HealthStatus::Starting => return None,
    };
    let (id, name) = (&replica.id, &replica.name);
    let data = json!({"change": "health", "container_id": id, "name": name, "from": was, "to": is});
    Some(Change { text: format!("replica `{name}` is {word}"), data })
}

/// The alerts of two passes that follow each other.
pub(crate) struct Alerts<'a> {
    /// Those of the pass before. `None` if this one is the first since Windlass started.
    pub(crate) before: Option<&'a [Alert]>,
    pub(crate) now: &'a [Alert],
    /// The history before the pass, which knows the alerts of an earlier run.
    pub(crate) history: &'a History,
}

/// Publishes the alerts that began, and those that are over.
pub(crate) fn alerts(events: &Events, key: &WorkloadKey, alerts: &Alerts<'_>) {
    let is_same =
        |one: &Alert, other: &Alert| (one.kind, one.slot, &one.replica) == (other.kind, other.slot, &other.replica);
    let was_there = |alert: &Alert| match alerts.before {
        Some(before) => before.iter().any(|known| is_same(known, alert)),
        None => is_known(alert, alerts.history),
    };
    let publish = |alert: &Alert, state: &str, text: &str| {
        let data = json!({
            "state": state, "alert": alert.kind, "slot": alert.slot, "container_id": alert.replica, "since": alert.since,
        });
        events.publish(EventKind::Alert, Some(key), text, &data);
    };
    for alert in alerts.now.iter().filter(|alert| !was_there(alert)) {
        publish(alert, "begun", &alert.reason);
    }
    let before = alerts.before.unwrap_or_default();
    for alert in before.iter().filter(|alert| !alerts.now.iter().any(|known| is_same(known, alert))) {
        publish(alert, "over", &format!("over: {}", alert.reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::events::EventFilter;
    use windlass_core::fixtures::{exited, running, workload};
    use windlass_core::{AlertKind, Slot, Timestamp};

    fn published(publish: impl FnOnce(&Events)) -> Vec<(String, Value)> {
        let log = Events::after_runs(0, Clock::System);
        publish(&log);
        let events = log.since(0, &EventFilter::default()).events;
        let read = events.iter().map(|event| {
            let event: Value = serde_json::from_str(&event.json).expect("JSON");
            (event["text"].as_str().unwrap_or_default().to_owned(), event["data"].clone())
        });
        read.collect()
    }

    fn seen(replicas: Vec<Replica>, health: HealthStatus) -> Snapshot {
        let health = replicas.iter().map(|replica| (replica.id.clone(), health)).collect();
        Snapshot { replicas, health, ..Snapshot::default() }
    }

    #[test]
    fn each_change_of_a_replica_is_one_event() {
        let web = workload("web", 1, 9);
        let [one, two, three, four] = [1, 2, 3, 4].map(|slot| running(&web, slot, 1_000));
        let before = seen(vec![one.clone(), two.clone(), three.clone()], HealthStatus::Starting);
        let after = seen(vec![exited(one.clone(), 3), two.clone(), four.clone()], HealthStatus::Healthy);
        let action = |kind, of: &Replica, error: Option<&str>| Action {
            kind,
            reason: "so".to_owned(),
            container: Some(of.id.clone()),
            name: of.name.clone(),
            error: error.map(str::to_owned),
        };
        let texts = |actions: &[Action]| -> Vec<String> {
            let all = published(|events| replicas(events, &web.key, &before, &after, actions));
            all.into_iter().map(|(text, _)| text.replace(&one.name, "1").replace(&two.name, "2")).collect()
        };
        let healthy = |of: &Replica| format!("replica `{}` is healthy", of.name);
        let unasked = texts(&[]);
        assert!(unasked.contains(&format!("replica `{}` appeared", four.name)), "{unasked:?}");
        assert!(unasked.contains(&format!("replica `{}` is gone", three.name)), "{unasked:?}");
        assert!(unasked.contains(&"replica `1` ended with exit code 3".to_owned()), "{unasked:?}");
        assert!(unasked.contains(&healthy(&two).replace(&two.name, "2")), "{unasked:?}");
        // An action is the event of its replica.
        let asked = texts(&[
            action(ActionKind::Remove, &three, None),
            action(ActionKind::Create, &four, None),
            action(ActionKind::Restart, &two, Some("no space")),
        ]);
        assert_eq!(
            asked[..3],
            [
                format!("removed replica `{}`: so", three.name),
                format!("created replica `{}`: so", four.name),
                "could not restart replica `2`: no space".to_owned(),
            ]
        );
        assert!(!asked.iter().any(|text| text.contains("gone") || text.contains("appeared")), "{asked:?}");
        assert_eq!(published(|events| replicas(events, &web.key, &after, &after, &[])), []);
    }

    #[test]
    fn a_pass_that_changes_very_many_replicas_counts_the_rest() {
        let web = workload("web", 1, 900);
        let many = seen((1..=200).map(|slot| running(&web, slot, 1_000)).collect(), HealthStatus::Unknown);
        let all = published(|events| replicas(events, &web.key, &many, &Snapshot::default(), &[]));
        assert_eq!((all.len(), all[50].0.as_str()), (51, "150 more changes of replicas"));
        let one_more = seen((1..=51).map(|slot| running(&web, slot, 1_000)).collect(), HealthStatus::Unknown);
        let all = published(|events| replicas(events, &web.key, &one_more, &Snapshot::default(), &[]));
        assert_eq!((all.len(), all[50].0.as_str()), (51, "1 more change of a replica"));
    }

    #[test]
    fn an_alert_is_published_when_it_begins_and_when_it_ends() {
        let alert = |slot| Alert {
            kind: AlertKind::Blocked,
            since: Timestamp(5),
            slot: Some(Slot(slot)),
            replica: None,
            reason: format!("slot {slot} cannot be filled"),
        };
        let history = History::default();
        let texts = |before: Option<&[Alert]>, now: &[Alert]| -> Vec<String> {
            let alerts = Alerts { before, now, history: &history };
            let all = published(|events| super::alerts(events, &WorkloadKey::stored("web"), &alerts));
            all.into_iter().map(|(text, _)| text).collect()
        };
        assert_eq!(texts(None, &[alert(1)]), ["slot 1 cannot be filled"]);
        assert_eq!(texts(Some(&[alert(1)]), &[alert(1)]), [""; 0]);
        let changed = texts(Some(&[alert(1)]), &[alert(2)]);
        assert_eq!(changed, ["slot 2 cannot be filled", "over: slot 1 cannot be filled"]);
    }
}
