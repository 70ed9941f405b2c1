//! Requests the usage of every node from its agent, and logs once which nodes have none.

use crate::agents::table::AgentTable;
use futures_util::stream::{self, StreamExt};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};
use windlass_core::engine::EngineError;
use windlass_core::node_usage::AgentClient;
use windlass_core::{ContainerId, Timestamp};

/// Requests to agents in flight at once.
const CONCURRENT: usize = 32;
/// Time limit of a request. A slow agent delays the next round of all.
const LIMIT: Duration = Duration::from_secs(5);

/// A node, and the way to its agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The identifier of the node.
    pub(crate) node: String,
    /// The name of the node, for people.
    pub(crate) name: String,
    /// The address of its agent, or why there is none, as a sentence.
    pub(crate) agent: Result<SocketAddr, String>,
    /// The containers that the Swarm runs there.
    pub(crate) containers: HashSet<ContainerId>,
}

/// The task that polls the agents; dropping it ends the task.
pub(crate) struct Poller(AbortHandle);

impl Drop for Poller {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Poller {
    /// Polls every `interval`. `places` lists the nodes.
    pub(crate) fn start<F>(
        table: AgentTable,
        client: Arc<dyn AgentClient>,
        interval: Duration,
        places: impl Fn() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Vec<Place>, EngineError>> + Send,
    {
        // Tests may set an interval of 0, which the configuration rejects.
        let interval = interval.max(Duration::from_millis(1));
        let mut agents = Agents { table, client, limit: interval.min(LIMIT), problems: HashMap::new() };
        let task = tokio::spawn(async move {
            let mut ticker = tokio::time::interval(interval);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticker.tick().await;
                match places().await {
                    Ok(places) => agents.poll(places).await,
                    Err(error) => tracing::debug!(%error, "the nodes of the Swarm are unknown; no agent is read"),
                }
            }
        });
        Self(task.abort_handle())
    }
}

struct Agents {
    table: AgentTable,
    client: Arc<dyn AgentClient>,
    limit: Duration,
    /// Why nodes have no usage, by node; each was logged.
    problems: HashMap<String, String>,
}

impl Agents {
    /// Reads every agent once.
    async fn poll(&mut self, places: Vec<Place>) {
        let known: HashSet<String> = places.iter().map(|place| place.node.clone()).collect();
        self.problems.retain(|node, _| known.contains(node));
        let (client, table, limit) = (Arc::clone(&self.client), self.table.clone(), self.limit);
        let answers = stream::iter(places).map(|place| {
            let (client, table) = (&client, &table);
            async move {
                let read = match &place.agent {
                    Err(why) => Err(why.clone()),
                    Ok(address) => match client.usage(*address, limit).await {
                        Err(error) => Err(format!("its agent at {address} cannot be read: {error}")),
                        Ok(answer) => {
                            table.record(&answer, &place.containers, Instant::now(), Timestamp::from(SystemTime::now()))
                        }
                    },
                };
                (place, read)
            }
        });
        let mut answers = std::pin::pin!(answers.buffer_unordered(CONCURRENT));
        while let Some((place, read)) = answers.next().await {
            note(&mut self.problems, &place, read);
        }
        self.table.forget_old();
    }
}

/// Logs a problem of a node when it begins and when it ends. Another text about the same problem is not logged again.
fn note(problems: &mut HashMap<String, String>, place: &Place, read: Result<(), String>) {
    match read {
        Ok(()) => {
            if problems.remove(&place.node).is_some() {
                tracing::info!(node = place.name, "the node reports resource use again");
            }
        }
        Err(why) => {
            if problems.insert(place.node.clone(), why.clone()).is_none() {
                tracing::warn!(
                    node = place.name,
                    reason = why,
                    "the node reports no resource use, so its replicas have neither CPU nor memory use"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use windlass_core::net::NetError;
    use windlass_core::node_usage::{ContainerUsage, NodeUsage};

    const INTERVAL: Duration = Duration::from_secs(5);

    /// Agents by their port. A missing one does not answer.
    #[derive(Default)]
    struct Fake {
        answers: Mutex<HashMap<u16, NodeUsage>>,
        requests: Mutex<Vec<u16>>,
    }

    #[async_trait]
    impl AgentClient for Fake {
        async fn usage(&self, agent: SocketAddr, timeout: Duration) -> Result<NodeUsage, NetError> {
            self.requests.lock().push(agent.port());
            let answer = self.answers.lock().get(&agent.port()).cloned();
            match answer {
                Some(answer) => Ok(answer),
                None => {
                    tokio::time::sleep(timeout).await;
                    Err(NetError::TimedOut(timeout))
                }
            }
        }
    }

    fn id(node: u16) -> ContainerId {
        ContainerId(format!("{node:064x}"))
    }

    fn answer(node: u16, seconds: i64) -> NodeUsage {
        let at = jiff::Timestamp::from_second(seconds).unwrap();
        let cpu_nanoseconds = u64::try_from(seconds).unwrap() * 500_000_000;
        let sample = ContainerUsage { at, cpu_nanoseconds, memory_bytes: 7, memory_limit_bytes: None };
        NodeUsage { now: at, containers: [(id(node), sample)].into() }
    }

    fn place(node: u16) -> Place {
        Place {
            node: format!("id{node}"),
            name: format!("node{node}"),
            agent: Ok(SocketAddr::from(([127, 0, 0, 1], node))),
            containers: [id(node)].into(),
        }
    }

    fn agents(client: &Arc<Fake>) -> Agents {
        let client = Arc::<Fake>::clone(client);
        Agents { table: AgentTable::new(INTERVAL), client, limit: INTERVAL, problems: HashMap::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_without_an_agent_has_no_use_and_keeps_none_of_the_others_waiting() {
        let client = Arc::new(Fake::default());
        let mut agents = agents(&client);
        let without = Place { agent: Err("no agent runs there".to_owned()), ..place(3) };
        let places = vec![place(1), place(2), without];
        for seconds in [10, 15] {
            client.answers.lock().insert(1, answer(1, seconds));
            agents.poll(places.clone()).await;
        }
        let cores = |agents: &Agents, node| agents.table.usage(&id(node)).map(|usage| usage.cpu_cores);
        assert_eq!([1, 2, 3].map(|node| cores(&agents, node)), [Some(0.5), None, None]);
        let timed_out = "its agent at 127.0.0.1:2 cannot be read: no answer within 5000 ms";
        let expected = [("id2", timed_out), ("id3", "no agent runs there")];
        let expected: HashMap<_, _> = expected.map(|(node, why)| (node.to_owned(), why.to_owned())).into();
        assert_eq!(agents.problems, expected);
        client.requests.lock().sort_unstable();
        assert_eq!(*client.requests.lock(), [1, 1, 2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_node_loses_its_use_and_gets_it_back() {
        let client = Arc::new(Fake::default());
        let mut agents = agents(&client);
        for seconds in [10, 15] {
            client.answers.lock().insert(1, answer(1, seconds));
            agents.poll(vec![place(1)]).await;
        }
        assert!(agents.table.usage(&id(1)).is_some());
        // The Swarm reports the node as down, so it is not polled.
        for _ in 0..4 {
            tokio::time::advance(INTERVAL).await;
            agents.poll(Vec::new()).await;
        }
        assert_eq!(agents.table.usage(&id(1)), None);
        for seconds in [40, 45] {
            client.answers.lock().insert(1, answer(1, seconds));
            agents.poll(vec![place(1)]).await;
        }
        assert!(agents.table.usage(&id(1)).is_some() && agents.problems.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_poller_reads_the_nodes_anew_each_time_and_ends_with_its_value() {
        let client = Arc::new(Fake::default());
        client.answers.lock().insert(1, answer(1, 10));
        let table = AgentTable::new(INTERVAL);
        let listings = Arc::new(Mutex::new(0));
        let count = Arc::clone(&listings);
        let poller = Poller::start(table.clone(), Arc::<Fake>::clone(&client), INTERVAL, move || {
            let mut listings = count.lock();
            *listings += 1;
            // Without a leader, the Swarm does not list its nodes.
            let failed = *listings == 2;
            async move { if failed { Err(EngineError::Unavailable("no leader".to_owned())) } else { Ok(vec![place(1)]) } }
        });
        tokio::time::sleep(Duration::from_millis(12_500)).await;
        assert_eq!((*listings.lock(), client.requests.lock().len()), (3, 2));
        drop(poller);
        tokio::time::sleep(INTERVAL * 4).await;
        assert_eq!(*listings.lock(), 3);
    }

    #[test]
    fn a_problem_is_noted_once_and_again_after_its_end() {
        let mut problems = HashMap::new();
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        for read in [Err("a"), Err("b"), Ok(()), Ok(()), Err("c")] {
            note(&mut problems, &place(1), read.map_err(str::to_owned));
        }
        assert_eq!(*lines.0.lock(), ["WARN", "INFO", "WARN"]);
    }

    /// Records the levels of the log's lines.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            self.0.lock().push(event.metadata().level().to_string());
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
}
