//! Failures of other autoscalers, and the tests that show them held off here: a table of stories, which cannot name a
//! test that is not there, and the tests that stand nowhere else.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use windlass_control::clock::Clock;
use windlass_control::{Controller, Parts};
use windlass_core::contract::{ScalingDecision, ScalingObservation, Usage};
use windlass_core::net::{Net, NetError};
use windlass_core::policy::{Policies, PolicySource, ScalingPolicy};
use windlass_core::settings::ControlSettings;
use windlass_core::workload::{Bounds, DesiredStatus, Resources};
use windlass_core::{DurationMs, HttpProbe, PolicyChoice, PolicyFailure, PolicyIdentity, Timestamp, Workload};
use windlass_simulated_engine::SimulatedEngine;
use windlass_storage::SqliteStore;
use windlass_tests::policies::{built_in, registry};

/// What went wrong elsewhere, and who shows here that it does not.
struct Story {
    /// What happened.
    told: &'static str,
    /// Where it was reported.
    seen: &'static str,
    /// What the tests make go wrong.
    fault: &'static str,
    /// What holds.
    defence: &'static str,
    /// The tests: file and name.
    tests: &'static [(&'static str, &'static str)],
}

const STORIES: [Story; 17] = [
    Story {
        told: "The source of a metric was down, its absence was read as no load, and everything was scaled away.",
        seen: "KEDA #8036; Kubernetes #99394",
        fault: "a source that refuses the connection, answers 500, nothing, or no number; a trace with an outage; a metric without a value beside a proposal to shrink",
        defence: "an error is a failure with a name and never a zero; nothing shrinks while a metric has no value",
        tests: &[
            ("tests/tests/metrics.rs", "what_is_measured_steers_the_count_and_an_error_is_never_a_zero"),
            ("tests/tests/metrics.rs", "a_prometheus_is_asked_and_whatever_it_answers_wrong_is_never_a_zero"),
            ("tests/tests/simulate.rs", "a_metric_outage"),
            ("host/src/control/decide/tests.rs", "a_metric_without_a_value_blocks_scaling_down_and_never_up"),
        ],
    },
    Story {
        told: "What was asked for did not exist, or crashed at its start, and was read as an enormous load: up to the maximum.",
        seen: "KEDA #7657; Kubernetes #87199",
        fault: "answers without the number; replicas that never become ready; a deploy that crashes; a proposal of many at once",
        defence: "what is missing is an error; what is not ready is no load; a rate bounds each step up",
        tests: &[
            ("host/src/control/metrics/tests.rs", "answers_are_numbers_or_failures_with_a_name"),
            (
                "plugins/target-tracking/src/policy/tests.rs",
                "what_is_not_ready_is_no_load_on_the_way_up_and_stays_on_the_way_down",
            ),
            (
                "plugins/step/src/policy.rs",
                "what_is_not_ready_is_no_load_so_a_deploy_that_crashes_is_not_scaled_on_and_on",
            ),
            ("tests/tests/simulate.rs", "a_deploy_that_crashes"),
            ("host/src/control/smooth/tests.rs", "a_jump_is_spread_by_the_rate_that_allows_most"),
        ],
    },
    Story {
        told: "A value that is no number, negative or too large for the arithmetic became a count.",
        seen: "KEDA #7475, #7880, #7441",
        fault: "NaN, infinities, negative values, and counts above 32 bits",
        defence: "what is no value is refused by name when it comes; counts saturate and are then bounded",
        tests: &[
            ("host/src/model/metric.rs", "what_is_no_value_has_a_name"),
            ("plugins/common/src/metrics.rs", "counts_saturate_and_rounding_errors_are_none"),
            ("plugins/pass-through/src/policy.rs", "what_is_no_count_is_no_zero"),
        ],
    },
    Story {
        told: "A load that swings made the count swing with it: started, stopped, started again.",
        seen: "docker-swarm-autoscale, which has no cooldown",
        fault: "proposals that fall and rise again; a load like the teeth of a saw",
        defence: "a tolerance by direction, and the highest proposal of a window on the way down",
        tests: &[
            (
                "host/src/control/smooth/tests.rs",
                "the_count_falls_to_the_highest_proposal_of_the_window_and_rises_at_once",
            ),
            ("plugins/target-tracking/src/policy/tests.rs", "tolerances_differ_by_direction"),
            ("tests/tests/simulate.rs", "a_sawtooth"),
            ("tests/tests/simulate.rs", "without_its_window_a_count_swings_with_the_load"),
        ],
    },
    Story {
        told: "Replicas that were being replaced were measured as load, so that each update ended with more of them.",
        seen: "Kubernetes #72775, #84142",
        fault: "an update that replaces each replica in turn, each at its limit while it starts",
        defence: "the count is taken from what is wanted, not from what is there; what warms up is no load; nothing shrinks while some are to come",
        tests: &[
            ("tests/tests/failure_modes.rs", "replicas_replaced_one_after_another_end_as_many_as_they_were"),
            ("host/src/control/decide/tests.rs", "nothing_shrinks_while_replicas_are_still_to_come"),
            (
                "plugins/target-tracking/src/policy/tests.rs",
                "what_is_not_ready_is_no_load_on_the_way_up_and_stays_on_the_way_down",
            ),
        ],
    },
    Story {
        told: "Labels of two workloads overlapped, and one counted and scaled the replicas of the other.",
        seen: "Kubernetes #116898, #124307",
        fault: "containers without the label, or of another instance; a second host on the same data",
        defence: "a replica is known by labels that the host sets itself; a data directory has one host",
        tests: &[
            ("tests/tests/lifecycle.rs", "containers_of_others_are_not_listed_not_touched_and_not_found"),
            ("host/src/runtime/docker/labels.rs", "only_containers_with_every_label_of_this_instance_are_ours"),
            ("tests/tests/access.rs", "a_data_directory_belongs_to_one_windlass"),
        ],
    },
    Story {
        told: "After one error a policy was never asked again, and nothing said so.",
        seen: "Nomad Autoscaler #1334, #514; autoheal #42",
        fault: "a pass that panics on the host's side, from the first on; an engine that is stopped for a while",
        defence: "the next pass is the retry, whatever became of the one before; a workload without one is overdue, and the host not ready",
        tests: &[
            ("tests/tests/failure_modes.rs", "a_pass_that_panics_is_told_and_tried_again"),
            ("host/src/api/status.rs", "what_keeps_windlass_from_its_work_is_told_to_those_who_may_call_it"),
            ("tests/tests/engine_outage.rs", "an_engine_stopped_and_started_again_needs_no_restart_of_windlass"),
        ],
    },
    Story {
        told: "A restart of the autoscaler forgot its windows, and a busy service shrank at once.",
        seen: "what the Horizontal Pod Autoscaler seeds its window against",
        fault: "a restart of the host within the window of a drop",
        defence: "proposals and steps are stored; what was just adopted begins with the count it has",
        tests: &[
            ("tests/tests/guardrails.rs", "a_drop_waits_for_its_window_which_a_restart_does_not_shorten"),
            ("tests/tests/guardrails.rs", "rates_and_cooldowns_go_on_over_a_restart"),
        ],
    },
    Story {
        told: "Two evaluations at once each took the step, or a burst of requests woke a service many times over.",
        seen: "Nomad Autoscaler #610; traefik-ondemand-plugin #23",
        fault: "ten pushes at once; a host killed in the middle of scaling up",
        defence: "one pass at a time for a workload, ten wakes are one pass, and counts are absolute: a slot is filled once",
        tests: &[
            ("tests/tests/metrics.rs", "samples_that_are_pushed_wake_the_workload_and_ten_pushes_are_few_passes"),
            ("tests/tests/lifecycle.rs", "killed_amid_scaling_up_to_twenty_the_next_one_ends_at_exactly_twenty"),
        ],
    },
    Story {
        told: "All policies were evaluated at the same moment, and their sources asked the same thing many times over.",
        seen: "the splay and the query cache of Nomad Autoscaler 0.5.0; the cache of KEDA",
        fault: "two hundred workloads when the engine comes back; two with one question; many calls of policies at once",
        defence: "each workload has its own place in a tenth of the interval; the same question is asked once; calls in flight are bounded and the others wait for a place",
        tests: &[
            ("tests/tests/failure_modes.rs", "when_the_engine_comes_back_workloads_are_looked_at_one_after_another"),
            ("tests/tests/metrics.rs", "the_same_question_of_two_workloads_is_asked_once"),
            ("host/src/policy/registry/tests.rs", "calls_one_after_another_and_at_once_leave_nothing_behind"),
        ],
    },
    Story {
        told: "One slow plugin or source held up the evaluation of everything else.",
        seen: "KEDA #7574",
        fault: "a policy that never ends beside others; a source that takes each connection and answers none",
        defence: "each call has a time, fuel and memory; one policy or source has half of the places at most; over time is no answer",
        tests: &[
            ("host/src/control/metrics/places.rs", "a_source_that_does_not_answer_leaves_places_to_the_others"),
            ("tests/tests/hostile.rs", "a_spinning_policy_delays_no_other_and_a_call_waits_a_second_for_a_place"),
            ("tests/tests/hostile.rs", "each_limit_bites_where_it_says_and_not_above"),
        ],
    },
    Story {
        told: "A lost connection was opened again without a pause, in a loop that took a whole processor.",
        seen: "KEDA #7856; Sablier #272",
        fault: "an engine that takes each connection and drops it; one that is not there, comes and goes",
        defence: "the wait doubles up to its bound, lengthened by chance; after it everything is looked at again",
        tests: &[
            ("tests/tests/docker_runtime/absent.rs", "an_engine_that_hangs_up_is_asked_less_and_less_often"),
            ("host/src/runtime/docker/events.rs", "the_wait_doubles_up_to_its_bound_with_a_share_of_chance"),
            ("tests/tests/docker_runtime/absent.rs", "an_engine_may_come_and_go_and_come_back"),
        ],
    },
    Story {
        told: "A source was down when the service was set up, and a rule that nobody had chosen scaled it by its processor.",
        seen: "KEDA #7729",
        fault: "a metric that the workload does not define; a policy without any value",
        defence: "no metric is made up: it is missing, by name, and the count stays",
        tests: &[
            ("host/src/control/metrics/tests.rs", "what_has_no_value_says_so_and_is_never_a_zero"),
            ("plugins/target-tracking/src/policy/tests.rs", "without_any_value_there_is_no_answer"),
        ],
    },
    Story {
        told: "A panic in a plugin ended the autoscaler.",
        seen: "Nomad Autoscaler #1275",
        fault: "every hostile component there is; a revision that fails its first calls",
        defence: "a trap ends its call alone; too many set the revision back, and the one before acts again",
        tests: &[
            ("tests/tests/hostile.rs", "every_hostile_component_is_held_harmless"),
            ("tests/tests/hostile_host.rs", "a_serving_host_holds_every_hostile_policy_harmless"),
            ("tests/tests/policies.rs", "a_revision_that_fails_its_trial_is_set_back_for_good"),
        ],
    },
    Story {
        told: "A service that somebody had just started was scaled to nothing at once, since nothing was asked of it yet.",
        seen: "KEDA #5008",
        fault: "a policy that wants fewer of a workload that is new to the host",
        defence: "nothing shrinks within the grace of a workload, 5 minutes unless somebody says otherwise",
        tests: &[
            ("host/src/control/decide/tests.rs", "a_workload_that_is_new_here_is_not_shrunk_by_its_policy_for_a_while"),
            ("tests/tests/guardrails.rs", "a_drop_waits_for_its_window_which_a_restart_does_not_shorten"),
        ],
    },
    Story {
        told: "What was unhealthy was restarted every five seconds for ever, and what depended on it was left broken.",
        seen: "docker-autoheal #49, #67",
        fault: "a process that ends at once; a replica that never gets well; a workload whose dependency goes away and comes back",
        defence: "each restart in a row waits twice as long, the last one ends them with an alert, and dependents wait and follow",
        tests: &[
            (
                "host/src/control/decide/tests.rs",
                "the_first_heal_is_at_once_and_later_ones_wait_twice_as_long_up_to_the_cap",
            ),
            ("tests/tests/healing.rs", "what_never_stays_up_is_given_up_told_once_and_healed_again_by_an_operator"),
            ("tests/tests/dependencies.rs", "a_workload_waits_for_what_it_depends_on_and_is_restarted_after_it"),
        ],
    },
    Story {
        told: "The way to the replicas broke, every probe failed, and everything was restarted at once.",
        seen: "none of the tools that were read holds against it",
        fault: "most probes fail in the same pass while the processes run",
        defence: "the path is suspected, said so, and one replica is healed; the next when that serves, or after waits that double",
        tests: &[
            (
                "host/src/control/decide/tests.rs",
                "when_most_fail_their_probe_at_once_the_path_is_suspected_and_one_is_healed",
            ),
            ("host/src/control/decide/tests.rs", "while_the_path_is_suspected_one_is_healed_in_each_backoff"),
            ("host/src/control/decide/tests.rs", "a_path_that_stays_broken_does_not_wear_out_what_is_behind_it"),
            ("tests/tests/scenarios.rs", "every_scenario_ends_as_it_is_written_down"),
        ],
    },
];

#[test]
fn each_story_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for Story { told, seen, fault, defence, tests } in &STORIES {
        assert!(!tests.is_empty() && [seen, fault, defence].iter().all(|text| !text.is_empty()), "{told}");
        for (file, name) in *tests {
            let source = std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            let before = source.find(&format!("fn {name}()")).map(|place| &source[..place]);
            let before = before.unwrap_or_else(|| panic!("`{told}` names `{name}`, which is not in {file}"));
            let is_test =
                before.rsplit("\n\n").next().is_some_and(|head| head.contains("test]") || head.contains("test("));
            assert!(is_test, "`{name}` in {file} is no test");
        }
    }
}

/// The default policy, until it panics on the host's side: not in its sandbox, where it could do no harm.
struct Panicking {
    real: Arc<dyn ScalingPolicy>,
    panics: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl ScalingPolicy for Panicking {
    fn identity(&self) -> &PolicyIdentity {
        self.real.identity()
    }
    async fn decide(&self, config: &str, observation: &ScalingObservation) -> Result<ScalingDecision, PolicyFailure> {
        assert!(!self.panics.load(Ordering::SeqCst), "as told");
        self.real.decide(config, observation).await
    }
}

struct Nobody;

#[async_trait::async_trait]
impl Net for Nobody {
    async fn http_probe(&self, _: std::net::SocketAddr, _: &HttpProbe, _: Duration) -> Result<DurationMs, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn tcp_connect(&self, _: std::net::SocketAddr, _: Duration) -> Result<DurationMs, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn get(&self, _: &str, _: &[(&str, &str)], _: u64, _: Duration) -> Result<bytes::Bytes, NetError> {
        Err(NetError::Failed("nobody is there".to_owned()))
    }
    async fn post_json(&self, _: &str, _: &serde_json::Value, _: Duration) -> Result<(), NetError> {
        Ok(())
    }
}

fn workload(image: &str) -> anyhow::Result<Workload> {
    let resources = Resources { cpu: "0.1".parse()?, memory: "64m".parse()?, status: DesiredStatus::Running };
    Ok(Workload::new(image.parse()?, Bounds::new(1, 10)?, resources))
}

/// A host on a simulated engine in simulated time.
struct Host {
    engine: SimulatedEngine,
    controller: Controller,
    _directory: tempfile::TempDir,
}

impl Host {
    fn begin(policies: Arc<dyn PolicySource>) -> anyhow::Result<Self> {
        let clock = Clock::simulated(Timestamp(1_700_000_000_000));
        let engine = SimulatedEngine::new(move || clock.now(), Duration::from_millis(500));
        let directory = tempfile::tempdir()?;
        let controller = Controller::begin(Parts {
            engine: Arc::new(engine.clone()),
            store: Arc::new(SqliteStore::open(directory.path(), 1_000)?),
            policies,
            net: Arc::new(Nobody),
            host_name: "here".to_owned(),
            settings: ControlSettings::default(),
            clock,
        })?;
        Ok(Self { engine, controller, _directory: directory })
    }
}

/// After one error a policy was never asked again, and nothing said so (Nomad Autoscaler #1334): every pass panics from
/// the first on. Defence: readiness names the workload, and when the fault is gone the passes go on by themselves.
#[tokio::test(start_paused = true)]
async fn a_pass_that_panics_is_told_and_tried_again() -> anyhow::Result<()> {
    let panics = Arc::new(AtomicBool::new(true));
    let (real, health) = built_in();
    let policy = Panicking { real, panics: Arc::clone(&panics) };
    let Host { controller, .. } = &Host::begin(Arc::new(Policies::plain(Arc::new(policy), health)))?;
    let (starting, wanted) = (controller.clone(), workload("web:1")?);
    let key = wanted.key.clone();
    let start = tokio::spawn(async move { starting.start(wanted).await });
    tokio::time::sleep(ControlSettings::default().interval * 5).await;
    assert_eq!(controller.readiness().late, [key.to_string()]);
    assert!(controller.view(&key).is_some_and(|view| view.last_pass.is_none()));
    panics.store(false, Ordering::SeqCst);
    // Who waited since the beginning is answered by the first pass that ends.
    assert!(start.await??.created);
    assert!(controller.readiness().late.is_empty());
    controller.shut_down().await;
    Ok(())
}

/// An update's own load ended each update with more replicas (Kubernetes #72775): each of four is replaced in turn, and
/// what is new is at its limit for its first 25 seconds. Defence: what warms up is no load, and the count is that of the
/// replicas wanted.
#[tokio::test(start_paused = true)]
async fn replicas_replaced_one_after_another_end_as_many_as_they_were() -> anyhow::Result<()> {
    let host = Host::begin(registry())?;
    let mut wanted = workload("web:1")?;
    let key = wanted.key.clone();
    wanted.bounds = Bounds::new(4, 10)?;
    let config = r#"{"metrics": [{"name": "cpu-utilization", "target": 0.6}]}"#;
    wanted.policies.scaling = vec![PolicyChoice { name: "target-tracking".to_owned(), config: config.to_owned() }];
    let uses = |cpu_cores| Usage {
        at: Timestamp(0),
        cpu_cores,
        memory_bytes: 1 << 20,
        network_receive_rate: 0.0,
        network_transmit_rate: 0.0,
    };
    host.engine.set_load(&key, uses(0.06));
    host.engine.set_starting_load(&key, Duration::from_secs(25), uses(0.1));
    host.controller.start(wanted).await?;
    let settled = Duration::from_secs(120);
    tokio::time::sleep(settled).await;
    let before = host.engine.replicas(&key);
    assert_eq!(before.len(), 4);
    for old in &before {
        host.controller.remove(&old.name, true).await?;
        // The next is replaced while this one is still warm.
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    tokio::time::sleep(settled).await;
    let after = host.engine.replicas(&key);
    assert!(after.len() == 4 && before.iter().all(|old| after.iter().all(|new| new.id != old.id)), "{after:?}");
    let decisions = host.controller.decisions(&key, None, 1_000).await?;
    // The policy was asked all along, and what it saw was above its target.
    let seen = decisions.iter().filter_map(|decision| decision.body["reason"].as_str()).collect::<Vec<_>>();
    assert!(decisions.iter().all(|decision| decision.body["target"] == 4), "{seen:#?}");
    let shown = decisions.iter().flat_map(|decision| {
        decision.body["scaling"]["observation"]["metrics"].as_array().cloned().unwrap_or_default()
    });
    let highest =
        shown.filter_map(|series| series["samples"].as_array()?.last()?["value"].as_f64()).fold(0.0, f64::max);
    assert!(highest > 0.9, "a replica at its limit was shown, {highest} of it at most");
    host.controller.shut_down().await;
    Ok(())
}

/// Everything was evaluated in the same moment (what the splay of Nomad Autoscaler is against): an engine that was away
/// comes back to two hundred workloads. Defence: each has its own place in a tenth of the interval, and an interval of its
/// own after that.
#[tokio::test(start_paused = true)]
async fn when_the_engine_comes_back_workloads_are_looked_at_one_after_another() -> anyhow::Result<()> {
    const WORKLOADS: usize = 200;
    let (scaling, health) = built_in();
    let host = Host::begin(Arc::new(Policies::plain(scaling, health)))?;
    for number in 0..WORKLOADS {
        host.controller.start(workload(&format!("service-{number}:1"))?).await?;
    }
    let interval = ControlSettings::default().interval;
    host.engine.set_down(Some("connection refused"));
    tokio::time::sleep(interval * 2).await;
    host.engine.set_down(None);
    let back = tokio::time::Instant::now();
    let mut crowds = Vec::new();
    for within in [interval / 10, interval * 4] {
        tokio::time::sleep_until(back + within + Duration::from_millis(100)).await;
        let mut passes: BTreeMap<u64, usize> = BTreeMap::new();
        for view in host.controller.views() {
            let pass = view.last_pass.context("each was looked at")?;
            anyhow::ensure!(pass.error.is_none(), "{}: {:?}", view.workload.key, pass.error);
            // In spans of 50 ms, of which a tenth of the interval has 30.
            *passes.entry(pass.at.0 / 50).or_default() += 1;
        }
        crowds.push((passes.len(), passes.values().copied().max().unwrap_or_default()));
    }
    for (spans, most) in crowds.iter().copied() {
        assert!(spans >= 25 && most <= WORKLOADS / 10, "(spans, most in one): {crowds:?}");
    }
    host.controller.shut_down().await;
    Ok(())
}
