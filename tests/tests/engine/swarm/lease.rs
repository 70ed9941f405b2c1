//! The lease by which one of several Windlasses of an instance acts.

use super::WAIT;
use super::site::{INSTANCE, SwarmSite, adopted, refusal};
use bollard::query_parameters::UpdateConfigOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::engine::CountEngine;
use windlass_core::{Leadership, Workload, WorkloadKey};
use windlass_docker::swarm::{LeaseTimes, SwarmEngine};
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::wait::{eventually, throughout};
use windlass_tests::workloads::workload as workload_of;

/// Long enough for a command and a change of the count, however busy the machine is.
const LAPSE: Duration = Duration::from_secs(35);

/// A holder that never renews its lease: it hangs, or is cut off.
const NEVER: Duration = Duration::from_secs(3_600);
const OFTEN: Duration = Duration::from_millis(200);

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
    let contender = async |name, renewal| site.contender(INSTANCE, name, times(renewal)).await;
    let first = contender("first", NEVER).await;
    until(&first, &Leadership::Leads).await;
    site.set_count_by(&first, &workload, 2).await.unwrap();
    let managed = workload_of(Fixture::Web.reference(), 1, 1).unwrap();
    let managed = Workload { key: WorkloadKey::named("lease-managed").unwrap(), ..managed };
    first.deploy(&managed, 1).await.unwrap();
    let second = contender("second", OFTEN).await;
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
    let first = contender("first", OFTEN).await;
    until(&first, &Leadership::Follows { leader: Some("second".to_owned()) }).await;
    let labels = site.docker(&["config", "inspect", "windlass-lease-here", "--format", "{{json .Spec.Labels}}"]).await;
    let labels: serde_json::Value = serde_json::from_str(&labels).unwrap();
    assert_eq!((&labels["windlass.holder"], &labels["windlass.term"]), (&"second".into(), &"2".into()), "{labels}");

    // A restart of the holder goes on at once, because its name is the same.
    drop(second);
    let second = contender("second", OFTEN).await;
    until(&second, &Leadership::Leads).await;
    drop(second);
    until(&first, &Leadership::Leads).await;
    site.docker(&["service", "rm", "leased"]).await;
}

/// The label with the time of the lease is for people. A clock that is years ahead or behind gives nobody the lease, and keeps
/// nobody from it.
pub(crate) async fn a_wrong_time_on_the_lease_changes_nothing(site: &SwarmSite) {
    const CLOCKS: &str = "clocks";
    site.create_for(CLOCKS, "timed", 1, &[Fixture::Deaf.reference()]).await;
    let workload = adopted("timed");
    let first = site.contender(CLOCKS, "first", times(NEVER)).await;
    until(&first, &Leadership::Leads).await;
    let second = site.contender(CLOCKS, "second", times(OFTEN)).await;
    let follows = Leadership::Follows { leader: Some("first".to_owned()) };
    until(&second, &follows).await;

    write_time(site, CLOCKS, "2000-01-01T00:00:00Z").await;
    throughout("the lease of the first one", Duration::from_secs(3), async || {
        match (first.leadership(), second.leadership()) {
            (Leadership::Leads, other) if other == follows => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let why = refusal(site.set_count_by(&second, &workload, 5).await);
    assert_eq!(why, "Windlass `first` acts, and this one stands by");
    site.set_count_by(&first, &workload, 2).await.unwrap();

    let rewritten = Instant::now();
    write_time(site, CLOCKS, "2099-01-01T00:00:00Z").await;
    until(&second, &Leadership::Leads).await;
    assert!(rewritten.elapsed() >= LAPSE, "each change begins the wait anew: {:?}", rewritten.elapsed());
    let why = refusal(site.set_count_by(&first, &workload, 5).await);
    assert!(why.contains("this Windlass waits until it knows") || why.contains("`second` acts"), "{why}");
    assert_eq!(site.count_of("timed").await, 2);
    site.set_count_by(&second, &workload, 3).await.unwrap();
    site.docker(&["service", "rm", "timed"]).await;
}

/// Writes a time into the label of a lease that nobody renews, as another program may.
async fn write_time(site: &SwarmSite, instance: &str, time: &str) {
    let engine = Engine::at(site.other_host()).await.unwrap();
    let lease = engine.docker().inspect_config(&format!("windlass-lease-{instance}")).await.unwrap();
    let (id, mut specification) = (lease.id.unwrap(), lease.spec.unwrap());
    let version = i64::try_from(lease.version.and_then(|version| version.index).unwrap()).unwrap();
    let before = specification.labels.as_mut().unwrap().insert("windlass.until".to_owned(), time.to_owned());
    assert!(before.is_some(), "the lease has a time: {specification:?}");
    engine.docker().update_config(&id, specification, UpdateConfigOptions { version }).await.unwrap();
}
