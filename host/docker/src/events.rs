//! The engine's events as an endless stream that reconnects with backoff.

use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::identity::{Identity, identify};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;
#[cfg(test)]
use windlass_core::WorkloadKey;
use windlass_core::engine::{EngineError, EngineEvent};
use windlass_core::{ContainerId, Creator, Timestamp};

/// Events that may change the result of a pass. `exec_…` is left out: each health check sends three.
const EVENT_KINDS: [&str; 13] = [
    "create",
    "die",
    "oom",
    "health_status",
    "destroy",
    "start",
    "kill",
    "stop",
    "pause",
    "unpause",
    "restart",
    "rename",
    "update",
];
/// Events by which a person ends a process. The engine remembers its latest 256 events of all kinds.
const STOP_KINDS: [&str; 2] = ["kill", "stop"];
/// SIGKILL, as events name it.
const SIGKILL: &str = "9";
/// Events that are read before anybody asks for them.
const EVENTS_AHEAD: usize = 256;
/// The time that the engine has to list the events that it remembers.
const PAST_WITHIN: Duration = Duration::from_secs(2);
/// Delay before the first reconnection attempt. It doubles after each attempt that fails or does not last. Random
/// jitter adds up to the same again, so that several hosts do not reconnect to their engine together.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest delay, before jitter.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A connection that lasts this long resets the backoff.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// After this long without an event, the engine is pinged: the stream of a dead machine stays silent forever.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// The stops of `instance`'s containers that the engine remembers, then their events from now on. Each call opens its own
/// connection.
pub(crate) fn subscribe(engine: EngineClient, instance: String) -> BoxStream<'static, EngineEvent> {
    let subscription = Subscription {
        engine,
        instance,
        connection: None,
        past: VecDeque::new(),
        wait: Duration::ZERO,
        waits: waits(),
        is_lost: false,
    };
    stream::unfold(subscription, |mut subscription| async move {
        let event = subscription.next().await;
        Some((event, subscription))
    })
    .boxed()
}

struct Subscription {
    engine: EngineClient,
    instance: String,
    connection: Option<Connection>,
    /// Events from before the connection that are not sent yet, then [`EngineEvent::Connected`].
    past: VecDeque<EngineEvent>,
    /// Delay before the next attempt to connect.
    wait: Duration,
    /// The delays after that.
    waits: ExponentialBackoff,
    /// [`EngineEvent::Lost`] was sent and no connection exists since.
    is_lost: bool,
}

struct Connection {
    messages: BoxStream<'static, Result<EventMessage, bollard::errors::Error>>,
    since: Instant,
}

impl Subscription {
    async fn next(&mut self) -> EngineEvent {
        loop {
            if let Some(event) = self.past.pop_front() {
                return event;
            }
            match &mut self.connection {
                None => {
                    tokio::time::sleep(self.wait).await;
                    match Self::connect(&self.engine, &self.instance).await {
                        Ok((past, connection)) => {
                            self.past = past.into();
                            self.past.push_back(EngineEvent::Connected);
                            self.connection = Some(connection);
                            self.is_lost = false;
                        }
                        Err(error) => {
                            self.wait = self.longer_wait();
                            if !self.is_lost {
                                self.is_lost = true;
                                return EngineEvent::Lost(EngineError::from(error).to_string());
                            }
                        }
                    }
                }
                Some(connection) => {
                    let message = match tokio::time::timeout(LONGEST_SILENCE, connection.messages.next()).await {
                        Ok(Some(Ok(message))) => Ok(Some(message)),
                        Ok(Some(Err(error))) => Err(CallError::from(error)),
                        Ok(None) => Err(CallError::Unavailable("the engine ended its event stream".to_owned())),
                        Err(_) => {
                            self.engine.call("ping", |docker| async move { docker.ping().await }).await.map(|_| None)
                        }
                    };
                    match message {
                        Ok(message) => {
                            if let Some(event) = message.and_then(|message| engine_event(&message, &self.instance)) {
                                return event;
                            }
                        }
                        Err(error) => {
                            if self.connection.take().is_some_and(|it| it.since.elapsed() >= STABLE_AFTER) {
                                self.waits = waits();
                            }
                            self.wait = self.longer_wait();
                            self.is_lost = true;
                            return EngineEvent::Lost(EngineError::from(error).to_string());
                        }
                    }
                }
            }
        }
    }

    fn longer_wait(&mut self) -> Duration {
        self.waits.next().unwrap_or(LONGEST_WAIT)
    }

    /// Reads the stops that the engine remembers, and subscribes from the same moment by the engine's clock. So no stop
    /// is missed, and the pass after `Connected` observes everything else.
    async fn connect(engine: &EngineClient, instance: &str) -> Result<(Vec<EngineEvent>, Connection), CallError> {
        engine.info().await?;
        let now = match engine.call("read the engine's clock", |docker| async move { docker.info().await }).await {
            Ok(info) => info.system_time.as_deref().and_then(seconds_and_nanoseconds),
            // A proxy may refuse `/info`. Then this machine's clock has to do.
            Err(CallError::Response { .. } | CallError::Unreadable(_)) => None,
            Err(error) => return Err(error),
        };
        let now = now.or_else(|| seconds_and_nanoseconds(&jiff::Timestamp::now().to_string())).unwrap_or_default();
        let docker = engine.client().await?;
        let options = events_of(&EVENT_KINDS);
        let messages = running(docker.events(Some(options.since(&now).build())));
        let options = events_of(&STOP_KINDS);
        // Not 0, which means "no time" to the engine.
        let past = docker.events(Some(options.since("1").until(&now).build()));
        let events = past.filter_map(async |message| engine_event(&message.ok()?, instance));
        // The stream ends by itself, unless the clocks differ.
        let past = events.take_until(tokio::time::sleep(PAST_WITHIN)).collect().await;
        Ok((past, Connection { messages, since: Instant::now() }))
    }
}

/// The same stream, read by a task of its own: a stream sends its request when it is first read. The task ends with the
/// stream's reader.
pub(crate) fn running<T: Send + 'static>(stream: impl Stream<Item = T> + Send + 'static) -> BoxStream<'static, T> {
    let (sender, receiver) = tokio::sync::mpsc::channel(EVENTS_AHEAD);
    tokio::spawn(async move {
        let mut stream = std::pin::pin!(stream);
        loop {
            let item = tokio::select! {
                () = sender.closed() => return,
                item = stream.next() => item,
            };
            let Some(item) = item else { return };
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

/// The request for events of these kinds. The engine cannot filter for containers with one of several labels.
fn events_of(kinds: &[&str]) -> EventsOptionsBuilder {
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), kinds.iter().map(|&kind| kind.to_owned()).collect()),
    ]);
    EventsOptionsBuilder::default().filters(&filters)
}

fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .with_jitter()
        .without_max_times()
        .build()
}

/// A time in the format of the engine's `since`: `seconds.nanoseconds`.
fn seconds_and_nanoseconds(text: &str) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

/// The event for a message. `None` if it is not about one of our containers, or has no effect on a pass.
fn engine_event(message: &EventMessage, instance: &str) -> Option<EngineEvent> {
    let actor = message.actor.as_ref()?;
    let attributes = actor.attributes.as_ref()?;
    let Identity { workload, creator, .. } = identify(attributes, instance)?;
    let replica = || actor.id.clone().map(ContainerId);
    let at = || Some(Timestamp(u64::try_from(message.time_nano?).ok()? / 1_000_000));
    match message.action.as_deref() {
        Some("kill") => {
            let kills = attributes.get("signal").is_some_and(|signal| signal == SIGKILL);
            Some(EngineEvent::Signalled { workload, replica: replica()?, at: at()?, kills })
        }
        // Compose creates containers of services. A pass creates the others itself.
        Some("create") if creator == Creator::Windlass => None,
        Some("stop") => Some(EngineEvent::Stopped { workload, replica: replica()?, at: at()? }),
        _ => Some(EngineEvent::Changed(workload)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(action: &str, attributes: &serde_json::Value) -> EventMessage {
        serde_json::from_value(serde_json::json!({
            "Type": "container", "Action": action, "Actor": {"ID": "ab", "Attributes": attributes},
            "timeNano": 1_700_000_000_123_456_789_i64
        }))
        .unwrap()
    }

    #[test]
    fn a_message_concerns_the_workload_its_labels_name() {
        let ours = serde_json::json!({"orchestrator.image": "web:1", "windlass.instance": "i", "windlass.slot": "0",
            "windlass.workload": "web", "exitCode": "137", "name": "web-0-x"});
        let died = message("die", &ours);
        assert_eq!(engine_event(&died, "i"), Some(EngineEvent::Changed(WorkloadKey::stored("web"))));
        assert_eq!(engine_event(&died, "other"), None);
        assert_eq!(engine_event(&message("die", &serde_json::json!({"name": "x"})), "i"), None);
        assert_eq!(engine_event(&EventMessage::default(), "i"), None);
    }

    #[test]
    fn a_container_of_a_service_wakes_its_workload_and_ours_are_no_news() {
        let of_service = serde_json::json!({"windlass.enable": "true", "com.docker.compose.project": "shop",
            "com.docker.compose.service": "web", "com.docker.compose.container-number": "1",
            "com.docker.compose.config-hash": "aa", "com.docker.compose.oneoff": "False"});
        let changed = Some(EngineEvent::Changed(WorkloadKey::stored("shop-web")));
        for action in ["create", "destroy", "rename"] {
            assert_eq!(engine_event(&message(action, &of_service), "default"), changed, "{action}");
            assert_eq!(engine_event(&message(action, &of_service), "other"), None);
        }
        let managed = serde_json::json!({"orchestrator.image": "web:1", "windlass.instance": "i", "windlass.slot": "0",
            "windlass.workload": "web"});
        assert_eq!(engine_event(&message("create", &managed), "i"), None);
    }

    #[test]
    fn a_stop_is_the_engines_own_record_and_no_signal_is_one() {
        let received = |action: &str, signal: &str| {
            let attributes = serde_json::json!({"orchestrator.image": "web:1", "windlass.instance": "i",
                "windlass.slot": "0", "windlass.workload": "web", "signal": signal});
            engine_event(&message(action, &attributes), "i")
        };
        let (workload, replica) = (WorkloadKey::stored("web"), ContainerId("ab".to_owned()));
        let at = Timestamp(1_700_000_000_123);
        let signalled =
            |kills| EngineEvent::Signalled { workload: workload.clone(), replica: replica.clone(), at, kills };
        // SIGHUP, SIGQUIT, SIGKILL, SIGUSR1, SIGTERM, and the stop signal of Apache's image.
        for signal in ["1", "3", "9", "10", "15", "28"] {
            assert_eq!(received("kill", signal), Some(signalled(signal == "9")), "{signal}");
        }
        let stopped = EngineEvent::Stopped { workload: workload.clone(), replica: replica.clone(), at };
        assert_eq!(received("stop", ""), Some(stopped));
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound_with_a_share_of_chance() {
        let floors = [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000].map(Duration::from_millis);
        let all: Vec<Vec<Duration>> = (0..20).map(|_| waits().take(floors.len()).collect()).collect();
        for waits in &all {
            assert!(waits.iter().zip(floors).all(|(wait, floor)| (floor..=floor * 2).contains(wait)), "{waits:?}");
        }
        assert!(all.iter().any(|waits| waits != &all[0]));
        // It never ends.
        assert_eq!(waits().take(10_000).count(), 10_000);
    }

    #[test]
    fn the_engines_time_is_kept_to_the_nanosecond() {
        let since = seconds_and_nanoseconds("1970-01-01T00:01:00.000000042Z");
        assert_eq!(since.as_deref(), Some("60.000000042"));
    }
}
