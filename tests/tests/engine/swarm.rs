//! A real Swarm of three nodes: services that Windlass scales, and nodes that die.
//!
//! All of it is one test, because a Swarm takes seconds to start and one machine holds one.

mod deploys;
mod lease;
mod logs;
mod nodes;
mod program;
mod services;
mod site;

use futures_util::FutureExt;
use site::SwarmSite;
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::swarm::Swarm;

/// Time limit for tasks to start, move or be replaced.
const WAIT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_keep_their_count_and_nothing_else_of_them_changes() -> anyhow::Result<()> {
    let machine = windlass_tests::engine::Engine::of_this_machine().await?;
    let images = [machine.prepare(Fixture::Web).await?, machine.prepare(Fixture::Deaf).await?];
    let mut swarm = Swarm::start().await?;
    for image in images {
        swarm.load(image).await?;
    }
    let site = SwarmSite::new(&swarm).await?;
    // One after the other: the command `docker` blocks this thread, and with it the time limits of requests.
    let scenarios = [
        services::a_change_of_the_count_changes_one_number_of_a_service_with_every_option(&site).boxed_local(),
        services::a_service_without_room_or_in_a_crash_loop_says_why(&site).boxed_local(),
        services::only_replicated_services_are_scaled(&site).boxed_local(),
        services::a_command_runs_only_on_the_managers_own_node(&site).boxed_local(),
        logs::the_lines_of_a_task_are_read_and_followed_on_each_node(&site).boxed_local(),
        deploys::a_paused_update_keeps_its_good_replica(&site).boxed_local(),
        deploys::an_update_that_swarm_rolls_back_ends_with_the_good_image(&site).boxed_local(),
        deploys::a_rollback_leads_behind_changes_of_the_count(&site).boxed_local(),
        deploys::a_stack_that_is_deployed_again_is_recognized(&site).boxed_local(),
        deploys::a_workload_of_a_start_request_is_one_service(&site).boxed_local(),
        lease::of_two_windlasses_one_acts(&site).boxed_local(),
        program::the_program_starts_a_service_and_leaves_its_tasks_to_swarm(&site).boxed_local(),
    ];
    for scenario in scenarios {
        scenario.await;
    }
    nodes::tasks_of_a_dead_node_move_and_the_count_holds(&site, &mut swarm).await?;
    nodes::a_new_leader_is_followed(&site, &mut swarm).await?;
    nodes::without_a_leader_everything_is_held(&site, &mut swarm).await
}

#[tokio::test]
async fn an_engine_without_a_swarm_is_refused_at_the_start() -> anyhow::Result<()> {
    let site = windlass_tests::site::Site::new("no-swarm").await?;
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0", "--engine", "swarm"]).await?;
    assert!(
        !status.success() && said.contains("is no manager of a Swarm") && said.contains("docker swarm init"),
        "{said}"
    );
    Ok(())
}
