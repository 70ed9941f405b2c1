//! The lines of tasks, on the manager's node and on others.

use super::WAIT;
use super::site::{SwarmSite, adopted};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use windlass_core::ContainerId;
use windlass_core::engine::{Engine, EngineError};
use windlass_core::logs::{LogLine, LogQuery, LogStream};
use windlass_tests::images::Fixture;
use windlass_tests::wait::eventually;

pub(crate) async fn the_lines_of_a_task_are_read_and_followed_on_each_node(site: &SwarmSite) {
    let script = "trap 'exit 0' TERM; echo on $(hostname); echo error >&2; while :; do sleep 0.2; echo again; done";
    let options = ["--hostname", "{{.Node.Hostname}}", "--replicas-max-per-node", "1"];
    let command = [Fixture::Deaf.reference(), "/bin/sh", "-c", script];
    site.create("talking", 3, &[&options[..], &command[..]].concat()).await;
    let workload = adopted("talking");
    let mut nodes = BTreeSet::new();
    for replica in site.running(&workload, 3).await {
        let all = LogQuery { tail: Some(1_000), ..LogQuery::default() };
        let lines = eventually("the lines of a task", WAIT, async || {
            let lines = site.engine.logs(&replica.id, all).await.map_err(|error| error.to_string())?;
            let lines: Vec<LogLine> = lines.try_collect().await.map_err(|error| error.to_string())?;
            if lines.len() > 3 { Ok(lines) } else { Err(format!("{lines:?}")) }
        })
        .await;
        let of = |stream| lines.iter().find(|line| line.stream == stream).map(|line| line.text.as_str());
        assert_eq!(of(LogStream::Stderr), Some("error"), "{lines:?}");
        nodes.extend(of(LogStream::Stdout).map(str::to_owned));
        assert!(lines.iter().all(|line| line.at.is_some_and(|at| at.0 > 1_700_000_000_000)), "{lines:?}");
        let follow = LogQuery { tail: Some(0), since: None, follow: true };
        let mut followed = site.engine.logs(&replica.id, follow).await.unwrap();
        let next = tokio::time::timeout(WAIT, followed.next()).await.expect("a line in time");
        assert_eq!(next.unwrap().unwrap().text, "again");
    }
    assert_eq!(nodes.len(), 3, "each task is on a node of its own: {nodes:?}");
    let unknown = site.engine.logs(&ContainerId("0".repeat(64)), LogQuery::default()).await;
    assert!(matches!(unknown, Err(EngineError::NotFound(_))), "no such task");
    site.docker(&["service", "rm", "talking"]).await;
}
