//! Shadow policies on the simulated engine: they receive the same observations, and no pass waits for them.

use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::contract::{ScalingDecision, ScalingObservation};
use windlass_core::policy::{Policies, ScalingPolicy, Shadow, ShadowPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::store::DecisionQuery;
use windlass_core::{PolicyFailure, PolicyIdentity, ShadowComparison, WorkloadKey};
use windlass_network::NetClient;
use windlass_policies::combined::Combined;
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;
use windlass_tests::policies::{built_in, turn};
use windlass_tests::wait::eventually;
use windlass_tests::workloads::workload;

const LIMIT: Duration = Duration::from_secs(20);

/// Proposes a fixed count, can be delayed, and counts its calls.
struct Fixed {
    identity: PolicyIdentity,
    replicas: AtomicU32,
    may_answer: Semaphore,
}

impl Fixed {
    fn new(name: &str, replicas: u32, answers: usize) -> Arc<Self> {
        Arc::new(Self {
            identity: PolicyIdentity { name: name.into(), version: "1.0.0".into(), ..Default::default() },
            replicas: replicas.into(),
            may_answer: Semaphore::new(answers),
        })
    }
}

#[async_trait]
impl ScalingPolicy for Fixed {
    fn identity(&self) -> &PolicyIdentity {
        &self.identity
    }

    async fn decide(&self, _: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        self.may_answer.acquire().await.expect("it is never closed").forget();
        let asked = observation.memory.first().copied().unwrap_or_default() + 1;
        let replicas = self.replicas.load(Ordering::SeqCst);
        let reason = format!("asked {asked} times about {} replicas", observation.current_replicas);
        Ok(ScalingDecision { replicas, reason, memory: vec![asked], evaluate_after: None, parts: Vec::new() })
    }
}

async fn begin(data_dir: &Path, acting: &Arc<impl ScalingPolicy>, shadow: &Arc<Fixed>) -> anyhow::Result<Controller> {
    let (_, health) = built_in();
    let shadow = Shadow { policy: ShadowPolicy::Scaling(shadow.clone()), config: "{}".to_owned() };
    Ok(Controller::begin(Parts {
        engine: Arc::new(SimulatedEngine::new(|| Clock::System.now(), Duration::ZERO)).into(),
        store: Arc::new(SqliteStore::open(&data_dir.join("data"), 100)?),
        policies: Arc::new(Policies { shadows: vec![shadow], ..Policies::plain(acting.clone(), health) }),
        net: NetClient::new()?,
        host_name: "here".to_owned(),
        // Passes run only on request.
        settings: ControlSettings { interval: Duration::from_secs(3_600), ..ControlSettings::default() },
        clock: Clock::System,
    })?)
}

/// Waits until the only shadow has this state.
async fn reaches(
    controller: &Controller,
    key: &WorkloadKey,
    enough: impl Fn(&ShadowComparison) -> bool,
) -> ShadowComparison {
    let mut found = None;
    eventually("the shadow to have come so far", LIMIT, async || {
        found = controller.view(key).and_then(|view| view.shadows.into_iter().next());
        if found.as_ref().is_some_and(&enough) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    found.expect("it was just there")
}

#[tokio::test]
async fn a_shadow_is_asked_and_counted_and_its_memory_is_its_own() -> anyhow::Result<()> {
    let _turn = turn().await;
    let data_dir = tempfile::tempdir()?;
    let (acting, shadow) = (Fixed::new("acting", 2, 100), Fixed::new("shadow", 4, 100));
    let workload = workload("web", 1, 5)?;
    let key = workload.key.clone();
    {
        let controller = begin(data_dir.path(), &acting, &shadow).await?;
        controller.start(workload).await?;
        let first = reaches(&controller, &key, |tally| tally.calls > 0).await;
        assert_eq!((first.differed, first.failed), (first.calls, 0));
        let difference = &first.differences[0];
        // The shadow received the acting policy's observation, from before its action.
        assert_eq!(difference.shadow["reason"], "asked 1 times about 1 replicas");
        // The record has it a moment after the counter.
        eventually("what it said to stand beside the decision", LIMIT, async || {
            let page =
                controller.decisions(&key, DecisionQuery::newest(10)).await.map_err(|error| error.to_string())?;
            let decisions: Vec<_> = page.decisions.iter().filter_map(|decision| decision.record().ok()).collect();
            let recorded = decisions.iter().find(|decision| Some(decision.id) == difference.decision);
            let beside = &recorded.ok_or("the decision is not recorded")?.body["shadows"][0];
            let said = (beside["policy"]["name"].as_str(), &beside["answer"]);
            if said == (Some("shadow"), &difference.shadow) { Ok(()) } else { Err(format!("{beside}")) }
        })
        .await;
        // The replicas follow the acting policy.
        assert_eq!(controller.view(&key).map(|view| view.replicas.len()), Some(2));
        controller.shut_down().await;
    }
    // All of it survives the process: the counters continue, and so does the policy's memory.
    let controller = begin(data_dir.path(), &acting, &shadow).await?;
    let later = reaches(&controller, &key, |tally| tally.calls > 1).await;
    assert_eq!(u64::from(later.memory[0]), later.calls);
    shadow.replicas.store(2, Ordering::SeqCst);
    controller.reconcile(&key).await?;
    let agreed = reaches(&controller, &key, |tally| tally.differed < tally.calls).await;
    assert!(agreed.differences.iter().all(|one| one.last_at < agreed.last_at));
    controller.shut_down().await;
    Ok(())
}

#[tokio::test]
async fn one_that_would_take_over_from_one_of_several_is_compared_with_that_one() -> anyhow::Result<()> {
    let _turn = turn().await;
    let data_dir = tempfile::tempdir()?;
    let (high, low, candidate) = (Fixed::new("high", 4, 100), Fixed::new("low", 2, 100), Fixed::new("low", 2, 100));
    let part = |policy: &Arc<Fixed>| (policy.clone() as Arc<dyn ScalingPolicy>, "{}".to_owned());
    let acting = Arc::new(Combined::new(vec![part(&high), part(&low)]));
    let workload = workload("web", 1, 5)?;
    let key = workload.key.clone();
    let controller = begin(data_dir.path(), &acting, &candidate).await?;
    controller.start(workload).await?;
    let first = reaches(&controller, &key, |tally| tally.calls > 0).await;
    // Combined they want four; the policy that the shadow would replace wants two, as the shadow does.
    assert_eq!((first.differed, first.failed), (0, 0), "{first:?}");
    assert_eq!(controller.view(&key).map(|view| view.target), Some(4));
    candidate.replicas.store(4, Ordering::SeqCst);
    // A pass during the shadow's previous call leaves the shadow out.
    eventually("the candidate to differ", LIMIT, async || {
        controller.reconcile(&key).await.map_err(|error| error.to_string())?;
        let tally = controller.view(&key).and_then(|view| view.shadows.into_iter().next());
        let differences = tally.map(|tally| tally.differences).unwrap_or_default();
        let acting = differences.front().map(|difference| difference.acting["replicas"].clone());
        if acting == Some(2.into()) { Ok(()) } else { Err(format!("{differences:?}")) }
    })
    .await;
    controller.shut_down().await;
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_a_shadow() -> anyhow::Result<()> {
    let _turn = turn().await;
    let data_dir = tempfile::tempdir()?;
    let (acting, shadow) = (Fixed::new("acting", 2, 100), Fixed::new("shadow", 4, 0));
    let controller = begin(data_dir.path(), &acting, &shadow).await?;
    let workload = workload("web", 1, 5)?;
    let key = workload.key.clone();
    // The shadow answers none of these passes, and each of them ends.
    tokio::time::timeout(LIMIT, controller.start(workload)).await??;
    for _ in 0..5 {
        tokio::time::timeout(LIMIT, controller.reconcile(&key)).await??;
    }
    assert_eq!(controller.view(&key).map(|view| view.replicas.len()), Some(2));
    shadow.may_answer.add_permits(1);
    reaches(&controller, &key, |tally| tally.calls == 1).await;
    // The shadow is busy with the next pass; it is not called for the passes after it.
    for _ in 0..3 {
        tokio::time::timeout(LIMIT, controller.reconcile(&key)).await??;
    }
    reaches(&controller, &key, |tally| tally.skipped >= 2).await;
    shadow.may_answer.add_permits(1);
    reaches(&controller, &key, |tally| tally.calls == 2).await;
    controller.shut_down().await;
    Ok(())
}
