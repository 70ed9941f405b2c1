//! The events of a Swarm: those of its managers about services and nodes, and polls for tasks, about which there are none.

use super::node::Node;
use super::observer::{Observer, Picture};
use super::service::Service;
use super::task::Task;
use crate::client::EngineClient;
use crate::events::running;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_core::WorkloadKey;
use windlass_core::engine::EngineEvent;

/// Time between two polls at rest.
const AT_REST: Duration = Duration::from_secs(5);
/// Time between two polls while tasks start, end or are replaced.
const IN_MOTION: Duration = Duration::from_secs(1);
/// A service that stays unsettled for this long is polled as one at rest: a task may be pending for ever.
const MOTION_FOR: Duration = Duration::from_secs(60);
/// Time from an event to the poll. Several events often come together.
const AFTER_EVENT: Duration = Duration::from_millis(200);

type Messages = BoxStream<'static, Result<EventMessage, bollard::errors::Error>>;

/// The events for the workloads of `instance`, without end.
pub(super) fn subscribe(
    engine: EngineClient,
    observer: Arc<Observer>,
    instance: String,
) -> BoxStream<'static, EngineEvent> {
    let watch = Watch {
        engine,
        observer,
        instance,
        messages: None,
        seen: HashMap::new(),
        events: VecDeque::new(),
        is_connected: false,
        is_lost: false,
        next_poll: Instant::now(),
        moved_at: Instant::now(),
    };
    stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await;
        Some((event, watch))
    })
    .boxed()
}

struct Watch {
    engine: EngineClient,
    observer: Arc<Observer>,
    instance: String,
    /// The managers' events. `None` until they are requested, and after they ended.
    messages: Option<Messages>,
    /// The fingerprint of each workload at the latest poll.
    seen: HashMap<WorkloadKey, u64>,
    /// Events that are not sent yet.
    events: VecDeque<EngineEvent>,
    is_connected: bool,
    /// [`EngineEvent::Lost`] was sent, and no poll has succeeded since.
    is_lost: bool,
    next_poll: Instant,
    /// When a workload last changed.
    moved_at: Instant,
}

impl Watch {
    async fn next(&mut self) -> EngineEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if self.heard_before_the_poll().await {
                // Services and nodes may have changed, and their tasks follow.
                self.observer.end_picture();
                self.next_poll = self.next_poll.min(Instant::now() + AFTER_EVENT);
            } else {
                self.poll().await;
            }
        }
    }

    /// Waits for the next poll. Returns true if a manager sends an event before.
    async fn heard_before_the_poll(&mut self) -> bool {
        let poll = tokio::time::sleep_until(self.next_poll);
        let Some(messages) = &mut self.messages else {
            poll.await;
            return false;
        };
        tokio::select! {
            () = poll => return false,
            message = messages.next() => {
                if let Some(Ok(_)) = message {
                    return true;
                }
                tracing::debug!(?message, "the manager's events ended; they are requested again with the next poll");
            }
        }
        self.messages = None;
        tokio::time::sleep_until(self.next_poll).await;
        false
    }

    async fn poll(&mut self) {
        if self.messages.is_none() {
            // Changes without an event are noticed now.
            self.observer.end_picture();
            self.messages = request_messages(self.engine.clone()).await;
        }
        let polled = self.observer.poll().await;
        let now = Instant::now();
        let is_settled = match polled {
            Ok(picture) => {
                if !self.is_connected || self.is_lost {
                    (self.is_connected, self.is_lost) = (true, false);
                    self.events.push_back(EngineEvent::Connected);
                }
                self.compare(&picture, now)
            }
            Err(error) => {
                if !self.is_lost {
                    (self.is_lost, self.moved_at) = (true, now);
                    self.events.push_back(EngineEvent::Lost(error.to_string()));
                }
                // A new connection may lead to another process behind the same address.
                self.messages = None;
                false
            }
        };
        let is_in_motion = !is_settled && now.duration_since(self.moved_at) < MOTION_FOR;
        self.next_poll = now + if is_in_motion { IN_MOTION } else { AT_REST };
    }

    /// Adds an event for each workload that changed since the poll before. Returns whether all are settled.
    fn compare(&mut self, picture: &Picture, now: Instant) -> bool {
        let mut seen = HashMap::new();
        let mut is_settled = true;
        for service in picture.services.iter() {
            let Some(key) = service.key(&self.instance) else { continue };
            let tasks = picture.tasks(service);
            seen.insert(key, fingerprint(service, tasks, picture));
            is_settled &= settled(service, tasks);
        }
        let keys = seen.keys().chain(self.seen.keys().filter(|key| !seen.contains_key(*key)));
        let changed: Vec<WorkloadKey> = keys.filter(|key| seen.get(*key) != self.seen.get(*key)).cloned().collect();
        if !changed.is_empty() {
            self.moved_at = now;
        }
        self.events.extend(changed.into_iter().map(EngineEvent::Changed));
        self.seen = seen;
        is_settled
    }
}

async fn request_messages(engine: EngineClient) -> Option<Messages> {
    let docker = engine.client().await.ok()?;
    let filters = HashMap::from([("type", vec!["service", "node"]), ("scope", vec!["swarm"])]);
    let options = EventsOptionsBuilder::default().filters(&filters).build();
    Some(running(docker.events(Some(options))))
}

/// A number that differs if a service or its tasks changed.
fn fingerprint(service: &Service, tasks: &[Task], picture: &Picture) -> u64 {
    let mut tasks: Vec<_> = tasks
        .iter()
        .map(|task| {
            let is_up = picture.nodes.get(&task.node).map(Node::is_up);
            (&task.id, &task.status.state, &task.status.err, &task.desired_state, is_up)
        })
        .collect();
    tasks.sort();
    let mut hasher = DefaultHasher::new();
    (&service.id, service.version, tasks).hash(&mut hasher);
    hasher.finish()
}

/// Whether as many tasks run as Swarm keeps.
fn settled(service: &Service, tasks: &[Task]) -> bool {
    let running = tasks.iter().filter(|task| task.is_running()).count();
    running == tasks.len() && service.count().is_none_or(|count| usize::try_from(count) == Ok(running))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::observer::{SERVICES_FOR, TASKS_FOR};

    /// At rest, nothing but polls and the age of the other lists causes requests.
    #[test]
    fn a_swarm_at_rest_gets_fewer_than_sixty_requests_a_minute() {
        let polls = 60 / AT_REST.as_secs();
        let others = 2 * 60_u64.div_ceil(SERVICES_FOR.as_secs());
        assert_eq!(polls + others, 16);
        assert!(AT_REST < TASKS_FOR, "passes between two polls need none");
    }
}
