//! A real Swarm of three nodes: services that Windlass scales, and nodes that die.
//!
//! All of it is one test, because a Swarm takes seconds to start and one machine holds one. Several scenarios run at the same time,
//! each with services of its own; those in which nodes die come last.

mod deploys;
mod endpoints;
mod lease;
mod logs;
mod nodes;
mod program;
mod rollback;
mod services;
mod site;
mod stack;
mod standby;

use futures_util::future::{join_all, try_join_all};
use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use site::SwarmSite;
use std::time::Duration;
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::program_image;
use windlass_tests::swarm::Swarm;

/// Time limit for tasks to start, move or be replaced.
const WAIT: Duration = Duration::from_secs(90);

/// Scenarios at the same time, besides those of leases. More of them would only make each slower.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_keep_their_count_and_nothing_else_of_them_changes() -> anyhow::Result<()> {
    let machine = Engine::of_this_machine().await?;
    let small = [machine.prepare(Fixture::Web).await?, machine.prepare(Fixture::Deaf).await?];
    let (swarm, built) = tokio::join!(Swarm::start(), program_image::build(&machine, stack::IMAGE));
    let (mut swarm, ()) = (swarm?, built?);
    try_join_all(small.iter().map(|image| swarm.load(image))).await?;
    let site = SwarmSite::new(&swarm).await?;
    let others = async {
        swarm.load(stack::IMAGE).await?;
        stack::deploy(&site, &swarm).await?;
        let scenarios = [
            program::the_program_scales_services(&site).boxed_local(),
            stack::the_use_of_every_node_arrives(&site).boxed_local(),
            deploys::an_update_that_swarm_rolls_back_ends_with_the_good_image(&site).boxed_local(),
            deploys::a_rollback_leads_behind_changes_of_the_count(&site).boxed_local(),
            deploys::a_stack_that_is_deployed_again_is_recognized(&site).boxed_local(),
            deploys::a_paused_update_keeps_its_good_replica(&site).boxed_local(),
            stack::a_service_grows_with_the_use_that_an_agent_reports(&site).boxed_local(),
            deploys::a_workload_of_a_start_request_is_one_service(&site).boxed_local(),
            services::a_change_of_the_count_changes_one_number_of_a_service_with_every_option(&site).boxed_local(),
            services::a_service_without_room_or_in_a_crash_loop_says_why(&site).boxed_local(),
            services::only_replicated_services_are_scaled(&site).boxed_local(),
            services::a_command_runs_only_on_the_managers_own_node(&site).boxed_local(),
            logs::the_lines_of_a_task_are_read_and_followed_on_each_node(&site).boxed_local(),
            stack::the_health_check_of_the_image_succeeds(&site).boxed_local(),
            nodes::prepare(&site).boxed_local(),
        ];
        stream::iter(scenarios).buffer_unordered(AT_ONCE).collect::<()>().await;
        anyhow::Ok(())
    };
    // A lease ends after half a minute, so its scenarios do not wait for the stack.
    let of_leases = [
        standby::a_program_that_hangs_or_is_killed_is_replaced_and_one_that_goes_on_stands_by(&site).boxed_local(),
        lease::of_two_windlasses_one_acts(&site).boxed_local(),
        lease::a_wrong_time_on_the_lease_changes_nothing(&site).boxed_local(),
    ];
    tokio::join!(join_all(of_leases), others.boxed_local()).1?;
    // From here on, nodes die.
    nodes::without_a_leader_everything_is_held_and_then_tasks_move(&site, &mut swarm).boxed_local().await
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
