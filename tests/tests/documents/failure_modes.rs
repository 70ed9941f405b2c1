//! Known failures of other autoscalers, and the tests that show that Windlass does not repeat them.
//!
//! The table names tests by function name; [`each_story_names_tests_that_are_there`] finds them in the sources.

use super::sources::rust;

/// A failure of another autoscaler, and the tests that reproduce its cause here.
struct Story {
    /// The failure.
    failure: &'static str,
    /// Reports of the failure.
    reports: &'static str,
    /// The fault that the tests inject.
    fault: &'static str,
    /// The rule that prevents the failure.
    defence: &'static str,
    /// The names of the tests.
    tests: &'static [&'static str],
}

const STORIES: [Story; 18] = [
    Story {
        failure: "A metric source was down. The autoscaler read the missing value as no load and removed every replica.",
        reports: "KEDA #8036; Kubernetes #99394",
        fault: "a source that refuses the connection, answers 500, nothing, or no number; a trace with an outage; a metric without a value next to a proposal to scale in",
        defence: "an error is a named failure and never a zero; nothing scales in while a metric has no value",
        tests: &[
            "what_is_measured_steers_the_count_and_an_error_is_never_a_zero",
            "a_prometheus_is_asked_and_whatever_it_answers_wrong_is_never_a_zero",
            "a_metric_outage",
            "a_metric_without_a_value_blocks_scaling_down_and_never_up",
        ],
    },
    Story {
        failure: "A missing or crashing target was read as an enormous load, and the count rose to the maximum.",
        reports: "KEDA #7657; Kubernetes #87199",
        fault: "answers without the number; replicas that never become ready; a deployment that crashes; a proposal of many replicas at once",
        defence: "a missing value is an error; a replica that is not ready adds no load; a rate bounds each scale-out",
        tests: &[
            "answers_are_numbers_or_failures_with_a_name",
            "what_is_not_ready_is_no_load_on_the_way_up_and_stays_on_the_way_down",
            "what_is_not_ready_is_no_load_so_a_deploy_that_crashes_is_not_scaled_on_and_on",
            "a_deploy_that_crashes",
            "a_jump_is_spread_by_the_rate_that_allows_most",
        ],
    },
    Story {
        failure: "A value that is not a number, negative or too large for the arithmetic became a count.",
        reports: "KEDA #7475, #7880, #7441",
        fault: "NaN, infinities, negative values, and counts above 32 bits",
        defence: "an invalid value is rejected by name when it arrives; counts saturate and are then bounded",
        tests: &[
            "what_is_no_value_has_a_name",
            "counts_saturate_and_rounding_errors_are_none",
            "what_is_no_count_is_no_zero",
        ],
    },
    Story {
        failure: "The count followed a swinging load: replicas were started, stopped and started again.",
        reports: "docker-swarm-autoscale, which has no cooldown",
        fault: "proposals that fall and rise again; a sawtooth load",
        defence: "a tolerance for each direction, and the highest proposal of a window when scaling in",
        tests: &[
            "the_count_falls_to_the_highest_proposal_of_the_window_and_rises_at_once",
            "tolerances_differ_by_direction",
            "a_sawtooth",
            "without_its_window_a_count_swings_with_the_load",
        ],
    },
    Story {
        failure: "Replicas that were being replaced counted as load, so each update ended with more replicas.",
        reports: "Kubernetes #72775, #84142",
        fault: "an update that replaces each replica in turn, each at its limit while it starts",
        defence: "the count derives from the replicas wanted, not from those present; a replica that warms up adds no load; nothing scales in while replicas are still missing",
        tests: &[
            "replicas_replaced_one_after_another_end_as_many_as_they_were",
            "nothing_shrinks_while_replicas_are_still_to_come",
            "what_is_not_ready_is_no_load_on_the_way_up_and_stays_on_the_way_down",
        ],
    },
    Story {
        failure: "The labels of two workloads overlapped, and one workload counted and scaled the other's replicas.",
        reports: "Kubernetes #116898, #124307",
        fault: "containers without the label, or of another instance; a second host on the same data",
        defence: "the host sets the labels that identify a replica; a data directory has one host",
        tests: &[
            "containers_of_others_are_not_listed_not_touched_and_not_found",
            "only_containers_with_every_label_of_this_instance_are_ours",
            "a_data_directory_belongs_to_one_windlass",
        ],
    },
    Story {
        failure: "After one error a policy was never evaluated again, and nothing reported it.",
        reports: "Nomad Autoscaler #1334, #514; autoheal #42",
        fault: "a pass that panics in the host, from the first pass on; an engine that is stopped for a while",
        defence: "the next pass is the retry, whatever the outcome of the one before; a workload without a finished pass is overdue, and the host is not ready",
        tests: &[
            "a_pass_that_panics_is_told_and_tried_again",
            "what_keeps_windlass_from_its_work_is_told_to_those_who_may_call_it",
            "an_engine_stopped_and_started_again_needs_no_restart_of_windlass",
        ],
    },
    Story {
        failure: "A restart of the autoscaler lost its windows, and a busy service scaled in at once.",
        reports: "the reason why the Horizontal Pod Autoscaler seeds its window",
        fault: "a restart of the host within the scale-in window",
        defence: "proposals and steps are stored; an adopted workload begins with the count it has",
        tests: &[
            "a_drop_waits_for_its_window_which_a_restart_does_not_shorten",
            "rates_and_cooldowns_go_on_over_a_restart",
        ],
    },
    Story {
        failure: "Two concurrent evaluations each took the step, or a burst of requests woke a service many times.",
        reports: "Nomad Autoscaler #610; traefik-ondemand-plugin #23",
        fault: "ten pushes at once; a host killed in the middle of a scale-out",
        defence: "a workload has one pass at a time, ten wakes are one pass, and counts are absolute: a slot is filled once",
        tests: &[
            "samples_that_are_pushed_wake_the_workload_and_ten_pushes_are_few_passes",
            "killed_amid_scaling_up_to_twenty_the_next_one_ends_at_exactly_twenty",
        ],
    },
    Story {
        failure: "All policies were evaluated at the same moment, and their sources received the same query many times.",
        reports: "the splay and the query cache of Nomad Autoscaler 0.5.0; the cache of KEDA",
        fault: "two hundred workloads when the engine comes back; two workloads with one query; many concurrent policy calls",
        defence: "each workload has its own offset within a tenth of the interval; equal queries are sent once; calls in flight are bounded and the others wait for a slot",
        tests: &[
            "when_the_engine_comes_back_workloads_are_looked_at_one_after_another",
            "the_same_question_of_two_workloads_is_asked_once",
            "calls_one_after_another_and_at_once_leave_nothing_behind",
        ],
    },
    Story {
        failure: "One slow plugin or source delayed the evaluation of everything else.",
        reports: "KEDA #7574",
        fault: "a policy that never ends next to others; a source that accepts each connection and answers none",
        defence: "each call has a time limit, a fuel limit and a memory limit; one policy or source has at most half of the slots; a call over its time limit has no answer",
        tests: &[
            "a_source_that_does_not_answer_leaves_places_to_the_others",
            "a_spinning_policy_delays_no_other_and_a_call_waits_a_second_for_a_place",
            "each_limit_bites_where_it_says_and_not_above",
        ],
    },
    Story {
        failure: "A lost connection was reopened without a pause, in a loop that used a whole processor.",
        reports: "KEDA #7856; Sablier #272",
        fault: "an engine that accepts each connection and drops it; an engine that is absent, comes and goes",
        defence: "the wait doubles up to its limit, with random jitter; after reconnecting, the host observes everything again",
        tests: &[
            "an_engine_that_hangs_up_is_asked_less_and_less_often",
            "the_wait_doubles_up_to_its_bound_with_a_share_of_chance",
            "an_engine_may_come_and_go_and_come_back",
        ],
    },
    Story {
        failure: "A source was down when the service was set up, and a default rule that nobody had chosen scaled it by its CPU.",
        reports: "KEDA #7729",
        fault: "a metric that the workload does not define; a policy without any value",
        defence: "the host invents no metric: it reports the missing one by name, and the count stays",
        tests: &["what_has_no_value_says_so_and_is_never_a_zero", "without_any_value_there_is_no_answer"],
    },
    Story {
        failure: "A panic in a plugin ended the autoscaler.",
        reports: "Nomad Autoscaler #1275",
        fault: "every hostile component of the test suite; a revision that fails its first calls",
        defence: "a trap ends only its call; too many failures roll the revision back to the one before",
        tests: &[
            "every_hostile_component_is_held_harmless",
            "a_serving_host_holds_every_hostile_policy_harmless",
            "a_revision_that_fails_its_trial_is_set_back_for_good",
        ],
    },
    Story {
        failure: "A service that had just been started was scaled to zero at once, since it had received no requests yet.",
        reports: "KEDA #5008",
        fault: "a policy that proposes fewer replicas for a workload that is new to the host",
        defence: "nothing scales in within a workload's grace period, 5 minutes unless configured otherwise",
        tests: &[
            "a_workload_that_is_new_here_is_not_shrunk_by_its_policy_for_a_while",
            "a_drop_waits_for_its_window_which_a_restart_does_not_shorten",
        ],
    },
    Story {
        failure: "An unhealthy container was restarted every five seconds forever, and its dependents were left broken.",
        reports: "docker-autoheal #49, #67",
        fault: "a process that ends at once; a replica that never becomes healthy; a workload whose dependency goes away and comes back",
        defence: "each restart in a row waits twice as long, the last one raises an alert and ends the restarts, and dependents wait and follow",
        tests: &[
            "the_first_heal_is_at_once_and_later_ones_wait_twice_as_long_up_to_the_cap",
            "what_never_stays_up_is_given_up_told_once_and_healed_again_by_an_operator",
            "a_workload_waits_for_what_it_depends_on_and_is_restarted_after_it",
        ],
    },
    Story {
        failure: "The network path to the replicas broke, every probe failed, and everything was restarted at once.",
        reports: "none of the tools that were studied prevents it",
        fault: "most probes fail in the same pass while the processes run",
        defence: "the host suspects and reports the path, and restarts one replica; the next one when that one is ready, or after waits that double",
        tests: &[
            "when_most_fail_their_probe_at_once_the_path_is_suspected_and_one_is_healed",
            "while_the_path_is_suspected_one_is_healed_in_each_backoff",
            "a_path_that_stays_broken_does_not_wear_out_what_is_behind_it",
            "every_scenario_ends_as_it_is_written_down",
        ],
    },
    Story {
        failure: "A count that changed during a service's update began the update anew: the last good replica was replaced, and the rollback was lost.",
        reports: "moby #31034, #39891; docker/cli #2235",
        fault: "a bad update that is paused, one that rolls back, and a deploy that resets the count, each while a policy wants another count",
        defence: "no count is set while an update is in progress or paused, except an operator's; a count is set only at the version that was read",
        tests: &[
            "nothing_is_set_while_the_engine_updates_the_service_except_by_force",
            "a_deploy_that_resets_the_count_is_put_back_when_it_is_done",
            "every_scenario_ends_as_it_is_written_down",
        ],
    },
];

/// Whether a source has a test function of this name.
fn has_test(source: &str, name: &str) -> bool {
    let Some(place) = source.find(&format!("fn {name}()")) else { return false };
    let attributes = source[..place].rsplit("\n\n").next().unwrap_or_default();
    attributes.contains("test]") || attributes.contains("test(")
}

#[test]
fn each_story_names_tests_that_are_there() {
    let sources = rust(&["host", "plugins", "tests"]);
    let mut missing = Vec::new();
    for Story { failure, reports, fault, defence, tests } in &STORIES {
        assert!(!tests.is_empty() && [reports, fault, defence].iter().all(|text| !text.is_empty()), "{failure}");
        let is_there = |name: &str| sources.iter().any(|(_, source)| has_test(source, name));
        missing.extend(tests.iter().filter(|name| !is_there(name)).map(|name| format!("`{name}` ({failure})")));
    }
    assert!(missing.is_empty(), "no source has a test of these names: {missing:#?}");
}
