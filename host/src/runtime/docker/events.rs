//! The engine's events as a stream that never ends: it reconnects by itself, with backoff.

use super::connect::Engine;
use super::failure::Failure;
use super::labels;
#[cfg(test)]
use crate::model::WorkloadKey;
use crate::model::{ContainerId, Timestamp};
use crate::runtime::{RuntimeError, RuntimeEvent};
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::time::Duration;
use tokio::time::Instant;

/// What may change what a pass would see. `exec_…` is left out: each health check sends three.
const KINDS: [&str; 6] = ["die", "oom", "health_status", "destroy", "start", "kill"];
/// Signals that do not ask a process to end in good order: SIGHUP, SIGKILL, SIGUSR1, SIGUSR2. Any other may be an image's
/// own signal for that.
const NO_REQUESTS: [&str; 4] = ["1", "9", "10", "12"];
/// Wait before the first attempt to reconnect; doubled by each that fails or does not last.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait; a connection that lasted this long is a success.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// After this long without an event the engine is asked whether it is still there: a stream of a dead
/// machine stays silent for ever.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// The events of `instance`'s containers from now on; each call has a connection of its own.
pub(super) fn subscribe(engine: Engine, instance: String) -> BoxStream<'static, RuntimeEvent> {
    let subscription = Subscription { engine, instance, connection: None, wait: Duration::ZERO, is_lost: false };
    stream::unfold(subscription, |mut subscription| async move {
        let event = subscription.next().await;
        Some((event, subscription))
    })
    .boxed()
}

struct Subscription {
    engine: Engine,
    instance: String,
    connection: Option<Connection>,
    /// Time to wait before the next attempt to connect.
    wait: Duration,
    /// The loss was told and nothing is connected since.
    is_lost: bool,
}

struct Connection {
    messages: BoxStream<'static, Result<EventMessage, bollard::errors::Error>>,
    since: Instant,
}

impl Subscription {
    async fn next(&mut self) -> RuntimeEvent {
        loop {
            match &mut self.connection {
                None => {
                    tokio::time::sleep(self.wait).await;
                    match Self::connect(&self.engine, &self.instance).await {
                        Ok(connection) => {
                            self.connection = Some(connection);
                            self.is_lost = false;
                            return RuntimeEvent::Connected;
                        }
                        Err(failure) => {
                            self.wait = longer(self.wait);
                            if !self.is_lost {
                                self.is_lost = true;
                                return RuntimeEvent::Lost(RuntimeError::from(failure).to_string());
                            }
                        }
                    }
                }
                Some(connection) => {
                    let message = match tokio::time::timeout(LONGEST_SILENCE, connection.messages.next()).await {
                        Ok(Some(Ok(message))) => Ok(Some(message)),
                        Ok(Some(Err(error))) => Err(Failure::from(error)),
                        Ok(None) => Err(Failure::Unavailable("the stream of events ended".to_owned())),
                        Err(_) => {
                            self.engine.call("ping", |docker| async move { docker.ping().await }).await.map(|_| None)
                        }
                    };
                    match message {
                        Ok(message) => {
                            if let Some(event) = message.and_then(|message| told(&message, &self.instance)) {
                                return event;
                            }
                        }
                        Err(failure) => {
                            let lasted = self.connection.take().is_some_and(|it| it.since.elapsed() >= LONGEST_WAIT);
                            self.wait = if lasted { FIRST_WAIT } else { longer(self.wait) };
                            self.is_lost = true;
                            return RuntimeEvent::Lost(RuntimeError::from(failure).to_string());
                        }
                    }
                }
            }
        }
    }

    /// Asks for events since a moment, by the engine's clock, before `Connected` is told: what happens while
    /// the stream is being opened is sent too, and what happened before is seen by the look at everything.
    async fn connect(engine: &Engine, instance: &str) -> Result<Connection, Failure> {
        engine.facts().await?;
        let info = engine.call("ask for the engine's time", |docker| async move { docker.info().await }).await?;
        let mut filters = labels::filter(instance, None);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), KINDS.map(str::to_owned).to_vec());
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        if let Some(since) = info.system_time.as_deref().and_then(seconds_and_nanoseconds) {
            options = options.since(&since);
        }
        let docker = engine.client().await?;
        Ok(Connection { messages: docker.events(Some(options.build())).boxed(), since: Instant::now() })
    }
}

fn longer(wait: Duration) -> Duration {
    if wait.is_zero() { FIRST_WAIT } else { (wait * 2).min(LONGEST_WAIT) }
}

/// A time as the engine's `since` takes it: `seconds.nanoseconds`.
fn seconds_and_nanoseconds(text: &str) -> Option<String> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(format!("{}.{:09}", time.as_second(), time.subsec_nanosecond()))
}

/// What a message says; none when it is not about a container of ours, or says nothing that matters.
fn told(message: &EventMessage, instance: &str) -> Option<RuntimeEvent> {
    let actor = message.actor.as_ref()?;
    let attributes = actor.attributes.as_ref()?;
    let workload = labels::identify(attributes, instance)?.workload;
    if message.action.as_deref() != Some("kill") {
        return Some(RuntimeEvent::Changed(workload));
    }
    let signal = attributes.get("signal")?;
    let at = Timestamp(u64::try_from(message.time_nano?).ok()? / 1_000_000);
    let replica = ContainerId(actor.id.clone()?);
    (!NO_REQUESTS.contains(&signal.as_str())).then_some(RuntimeEvent::AskedToEnd { workload, replica, at })
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
        assert_eq!(told(&died, "i"), Some(RuntimeEvent::Changed(WorkloadKey::stored("web"))));
        assert_eq!(told(&died, "other"), None);
        assert_eq!(told(&message("die", &serde_json::json!({"name": "x"})), "i"), None);
        assert_eq!(told(&EventMessage::default(), "i"), None);
    }

    #[test]
    fn a_signal_asks_to_end_but_for_those_that_kill_or_mean_something_else() {
        let signalled = |signal: &str| {
            let attributes = serde_json::json!({"orchestrator.image": "web:1", "windlass.instance": "i",
                "windlass.slot": "0", "windlass.workload": "web", "signal": signal});
            told(&message("kill", &attributes), "i")
        };
        let asked = RuntimeEvent::AskedToEnd {
            workload: WorkloadKey::stored("web"),
            replica: ContainerId("ab".to_owned()),
            at: Timestamp(1_700_000_000_123),
        };
        // SIGINT, SIGQUIT, SIGTERM, and what Apache's image asks for.
        for signal in ["2", "3", "15", "28"] {
            assert_eq!(signalled(signal), Some(asked.clone()), "{signal}");
        }
        for signal in ["1", "9", "10", "12"] {
            assert_eq!(signalled(signal), None, "{signal}");
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let mut wait = Duration::ZERO;
        let waits: Vec<u128> = (0..9)
            .map(|_| {
                wait = longer(wait);
                wait.as_millis()
            })
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn the_engines_time_is_kept_to_the_nanosecond() {
        let since = seconds_and_nanoseconds("1970-01-01T00:01:00.000000042Z");
        assert_eq!(since.as_deref(), Some("60.000000042"));
    }
}
