//! The lease by which one of several Windlasses of an instance acts.

use super::WAIT;
use super::site::{SwarmSite, adopted, refusal};
use std::sync::Arc;
use std::time::Duration;
use windlass_core::engine::CountEngine;
use windlass_core::{Leadership, Workload, WorkloadKey};
use windlass_docker::swarm::{LeaseTimes, SwarmEngine};
use windlass_tests::images::Fixture;
use windlass_tests::wait::eventually;
use windlass_tests::workloads::workload as workload_of;

/// Long enough for a command and a change of the count, however busy the machine is.
const LAPSE: Duration = Duration::from_secs(12);

fn times(renewal: Duration) -> LeaseTimes {
    LeaseTimes { renewal, lapse: LAPSE, margin: Duration::from_secs(2) }
}

async fn until(engine: &Arc<SwarmEngine>, wanted: &Leadership) {
    eventually("the lease", WAIT, async || {
        let is = engine.leadership();
        if is == *wanted { Ok(()) } else { Err(is.to_string()) }
    })
    .await;
}

pub(crate) async fn of_two_windlasses_one_acts(site: &SwarmSite) {
    site.create("leased", 1, &[Fixture::Web.reference()]).await;
    let workload = adopted("leased");
    site.running(&workload, 1).await;
    let often = times(Duration::from_millis(200));

    // The first one takes the lease, and never renews it: it hangs, or is cut off.
    let first = site.contender("first", times(Duration::from_secs(3_600))).await;
    until(&first, &Leadership::Leads).await;
    site.set_count_by(&first, &workload, 2).await.unwrap();
    let managed = workload_of(Fixture::Web.reference(), 1, 1).unwrap();
    let managed = Workload { key: WorkloadKey::named("lease-managed").unwrap(), ..managed };
    first.deploy(&managed, 1).await.unwrap();
    let second = site.contender("second", often).await;
    until(&second, &Leadership::Follows { leader: Some("first".to_owned()) }).await;
    let why = refusal(site.set_count_by(&second, &workload, 3).await);
    assert_eq!(why, "Windlass `first` acts, and this one stands by");
    // Nor does it create or remove a service.
    let other = Workload { key: WorkloadKey::named("lease-other").unwrap(), ..managed.clone() };
    for outcome in [second.deploy(&other, 1).await, second.remove_service(&managed).await] {
        assert_eq!(refusal(outcome), "Windlass `first` acts, and this one stands by");
    }

    // They never act both.
    eventually("the second one to act", WAIT, async || match (first.leadership(), second.leadership()) {
        (Leadership::Leads, Leadership::Leads) => panic!("both act"),
        (_, Leadership::Leads) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let why = refusal(site.set_count_by(&first, &workload, 3).await);
    assert!(why.starts_with("this Windlass waits until it knows"), "{why}");
    assert_eq!(site.state(&workload).await.count, 2, "nothing was written meanwhile");
    site.set_count_by(&second, &workload, 3).await.unwrap();
    second.remove_service(&managed).await.unwrap();

    // A Windlass that is back stands by as long as the other one renews its lease.
    drop(first);
    let first = site.contender("first", often).await;
    until(&first, &Leadership::Follows { leader: Some("second".to_owned()) }).await;
    let labels = site.docker(&["config", "inspect", "windlass-lease-here", "--format", "{{json .Spec.Labels}}"]).await;
    let labels: serde_json::Value = serde_json::from_str(&labels).unwrap();
    assert_eq!((&labels["windlass.holder"], &labels["windlass.term"]), (&"second".into(), &"2".into()), "{labels}");

    // A restart of the holder goes on at once, because its name is the same.
    drop(second);
    let second = site.contender("second", often).await;
    until(&second, &Leadership::Leads).await;
    drop(second);
    until(&first, &Leadership::Leads).await;
    site.docker(&["service", "rm", "leased"]).await;
}
