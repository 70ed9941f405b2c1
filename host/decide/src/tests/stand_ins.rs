//! Policies that do not act as chosen: the alert, and the memory of the chosen policy.

use super::*;

/// A pass in which `min-max` takes the place of `queue`, with this history and this memory in its answer.
fn instead_of_queue(history: History, memory: Vec<u8>) -> Pass {
    let desired = workload("web", 1, 5);
    let mut pass = Pass { history, ..Pass::of(&desired, replicas(&desired, 2)).steered_to(2) };
    pass.stand_ins = vec![StandIn { policy: "queue".to_owned(), reason: "`queue` fails".to_owned() }];
    pass.scaling = Ok(ScalingDecision { memory, ..proposes(2).expect("a proposal") });
    pass
}

#[test]
fn a_policy_that_does_not_act_as_chosen_is_an_alert_until_it_does() {
    let pass = instead_of_queue(History::default(), Vec::new());
    let first = pass.decide();
    let later = Pass { history: first.history.clone(), ..pass }.decide_at(NOW.plus(Duration::from_secs(60)));
    for plan in [&first, &later] {
        let alerts: Vec<_> = plan.alerts.iter().map(|alert| (alert.kind, alert.since, alert.reason.as_str())).collect();
        assert_eq!(alerts, [(AlertKind::StandIn, NOW, "`queue` fails")]);
    }
    let desired = workload("web", 1, 5);
    let over = Pass { history: later.history, ..Pass::of(&desired, replicas(&desired, 2)) }.decide();
    assert_eq!((over.alerts, over.history.stand_ins.len()), (vec![], 0));
}

#[test]
fn a_policy_whose_place_another_one_takes_keeps_its_memory() {
    let owner = MemoryOwner { name: "queue".to_owned(), since: 3 };
    let history = History { scaling_memory: vec![7], scaling_memory_of: Some(owner.clone()), ..History::default() };
    let kept = instead_of_queue(history.clone(), Vec::new()).decide().history;
    assert_eq!((kept.scaling_memory, kept.scaling_memory_of), (vec![7], Some(owner)));
    // A stand-in that remembers something needs the place.
    let replaced = instead_of_queue(history, vec![5]).decide().history;
    assert_eq!(replaced.scaling_memory, [5]);
}
