//! Waits until a workload is as wanted, and says why it is not if the time ends.

use crate::cli::news::{News, Pauses};
use crate::cli::output::TimedOut;
use crate::cli::terminal;
use crate::cli::words::{counted, word};
use crate::cli::workload_text::alerts;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use windlass_api::answer::{list, title};
use windlass_core::text::{duration, plain, show_duration};
use windlass_network::remote::{Remote, RemoteError};

/// Time between two looks at the server.
const PAUSES: Pauses = Pauses { with_stream: Duration::from_secs(1), without: Duration::from_millis(250) };

/// Time between two pictures of the progress.
const TICK: Duration = Duration::from_millis(250);

/// Least time for a look: the one at the end of the wait has an answer too, unless the server is silent.
const LEAST_LOOK: Duration = Duration::from_secs(1);

/// Time limit of a wait, unless a flag sets another one.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Flags of a command that changes a workload.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct WaitFlags {
    /// Wait until the change has taken effect
    #[arg(long)]
    wait: bool,
    /// Time limit of the wait [default: 2m]
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    timeout: Option<Duration>,
}

impl WaitFlags {
    /// Waits for a workload if the caller wants that. Returns whether it waited.
    pub(super) async fn wait(self, client: &Remote, workload: &str, condition: Condition) -> anyhow::Result<bool> {
        if self.wait {
            wait(client, workload, condition, self.timeout()).await?;
        }
        Ok(self.wait)
    }

    /// Returns true if the caller wants to wait.
    pub(super) fn is_wanted(self) -> bool {
        self.wait
    }

    /// The time limit of the wait.
    pub(super) fn timeout(self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_TIMEOUT)
    }
}

/// The result of one look at a server.
pub(super) enum Look {
    /// The wait is over.
    Met,
    /// The state in a few words, and the reasons for it.
    Pending { state: String, reasons: Vec<String> },
}

/// The thing that a wait is for, and the state that ends it, for the sentence after the time limit.
pub(super) struct Wanted<'w> {
    pub(super) subject: &'w str,
    pub(super) state: &'w str,
}

/// A state of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// As many replicas are ready as the target.
    Ready,
    /// Ready, and no replica is made from an earlier state.
    RolledOut,
    /// This number of replicas is ready, and no other one runs.
    Replicas(u32),
    /// No replica runs.
    Stopped,
    /// There is no such workload.
    Removed,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ready" => Ok(Self::Ready),
            "rolled-out" => Ok(Self::RolledOut),
            "stopped" => Ok(Self::Stopped),
            "removed" => Ok(Self::Removed),
            _ => {
                let count = text.strip_prefix("replicas=").and_then(|count| count.parse().ok());
                count.map(Self::Replicas).ok_or_else(|| {
                    "expected `ready`, `rolled-out`, `replicas=NUMBER`, `stopped` or `removed`".to_owned()
                })
            }
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::RolledOut => f.write_str("rolled out"),
            Self::Replicas(count) => write!(f, "at {}", counted(u64::from(*count), "ready replica")),
            Self::Stopped => f.write_str("stopped"),
            Self::Removed => f.write_str("removed"),
        }
    }
}

/// A workload as last observed.
struct Seen {
    view: Value,
    /// Number of replicas that are ready for requests.
    ready: u64,
}

impl Seen {
    async fn of(client: &Remote, workload: &str) -> Result<Self, RemoteError> {
        let view = client.get(&["workloads", workload]).await?;
        let listed = client.get(&["workloads"]).await?;
        let summary = listed["workloads"].as_array().into_iter().flatten().find(|one| one["name"] == title(&view));
        Ok(Self { ready: summary.and_then(|one| one["ready"].as_u64()).unwrap_or_default(), view })
    }

    fn meets(&self, condition: Condition) -> bool {
        let observed = |field: &str| self.view["observed"][field].as_u64().unwrap_or_default();
        let is_ready = self.view["desired"]["target"].as_u64().is_some_and(|target| self.ready >= target);
        match condition {
            Condition::Ready => is_ready,
            Condition::RolledOut => is_ready && observed("outdated") == 0,
            Condition::Replicas(count) => self.ready == u64::from(count) && observed("running") == u64::from(count),
            Condition::Stopped => observed("running") == 0,
            Condition::Removed => false,
        }
    }

    /// The numbers in one sentence.
    fn numbers(&self) -> String {
        let observed = &self.view["observed"];
        let outdated = match observed["outdated"].as_u64().unwrap_or_default() {
            0 => String::new(),
            outdated => format!(", {outdated} outdated"),
        };
        format!(
            "{} of {} replicas are ready, {} running{outdated}",
            self.ready, self.view["desired"]["target"], observed["running"]
        )
    }

    /// The reasons for the state: the alerts, else the first replica that is not healthy; and the last pass.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = alerts(&self.view);
        if reasons.is_empty() {
            let containers = list(&self.view["observed"]["containers"]);
            let unhealthy = containers.iter().find(|one| one["health"] != "healthy" && one["phase"] != "held");
            reasons.extend(unhealthy.map(|container| {
                let why = container["health_reason"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
                let [name, phase, health] = ["name", "phase", "health"].map(|field| word(&container[field]));
                format!("`{name}` is {phase} and {health}{why}")
            }));
        }
        let pass = &self.view["last_pass"];
        reasons.extend(pass["error"].as_str().or(pass["reason"].as_str()).map(|why| format!("last pass: {why}")));
        reasons
    }
}

/// Waits until a workload meets a condition.
///
/// # Errors
/// [`TimedOut`] with the pending reason after `timeout`; the server's error if it rejects the requests.
pub(super) async fn wait(
    client: &Remote,
    workload: &str,
    condition: Condition,
    timeout: Duration,
) -> anyhow::Result<()> {
    let wanted = Wanted { subject: workload, state: &condition.to_string() };
    until(client, vec![("workload", workload.to_owned())], wanted, timeout, async || {
        look(client, workload, condition).await
    })
    .await
}

/// Compares a workload with a condition.
pub(super) async fn look(client: &Remote, workload: &str, condition: Condition) -> anyhow::Result<Look> {
    match Seen::of(client, workload).await {
        Ok(seen) if seen.meets(condition) => Ok(Look::Met),
        Ok(seen) => Ok(Look::Pending { state: seen.numbers(), reasons: seen.reasons() }),
        Err(error) if error.status() == Some(404) && condition == Condition::Removed => Ok(Look::Met),
        Err(error) => Err(error.into()),
    }
}

/// Looks until the wait is over: after each event that fits `query`, and from time to time.
///
/// # Errors
/// [`TimedOut`] with the pending reason after `timeout`, also if the server does not answer; the error of a look, unless
/// the server cannot be reached.
pub(super) async fn until(
    client: &Remote,
    query: Vec<(&'static str, String)>,
    Wanted { subject, state: wanted }: Wanted<'_>,
    timeout: Duration,
    mut look: impl AsyncFnMut() -> anyhow::Result<Look>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + timeout;
    let progress = progress();
    let mut news = News::follow(client, query, PAUSES);
    loop {
        let pending = match timeout_at(deadline.max(Instant::now() + LEAST_LOOK), look()).await {
            Ok(Ok(Look::Met)) => return Ok(()),
            Ok(Ok(Look::Pending { state, reasons })) => {
                progress.set_message(plain(&format!("{subject}: {state}")));
                [vec![state], reasons].concat().join("; ")
            }
            // A server that restarts answers again.
            Ok(Err(error)) if matches!(error.downcast_ref(), Some(RemoteError::Unreachable { .. })) => {
                error.to_string()
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => "the server has not answered yet".to_owned(),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let waited = show_duration(timeout);
            return Err(TimedOut(format!("after {waited}, `{subject}` is not {wanted}: {pending}")).into());
        }
        news.next(left).await;
    }
}

/// A line on the terminal that shows how far the wait is, and that disappears with the value. Hidden without a terminal.
fn progress() -> ProgressBar {
    if !terminal::shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(ready: u64, target: u64, running: u64, outdated: u64) -> Seen {
        let containers = json!([
            {"name": "web-1", "phase": "running", "health": "healthy"},
            {"name": "web-2", "phase": "running", "health": "unhealthy", "health_reason": "port 80 is closed"},
        ]);
        let view = json!({
            "name": "web", "desired": {"target": target}, "alerts": [], "last_pass": {"error": null, "reason": "2 is right"},
            "observed": {"running": running, "outdated": outdated, "containers": containers},
        });
        Seen { view, ready }
    }

    #[test]
    fn a_condition_is_met_by_its_numbers_only() {
        use Condition::{Ready, Replicas, RolledOut, Stopped};
        for (seen, met, unmet) in [
            (seen(2, 2, 2, 0), vec![Ready, RolledOut, Replicas(2)], vec![Stopped, Replicas(1)]),
            (seen(2, 2, 3, 1), vec![Ready], vec![RolledOut, Replicas(2)]),
            (seen(1, 2, 2, 0), vec![], vec![Ready, RolledOut, Replicas(1), Stopped]),
            (seen(0, 0, 0, 0), vec![Ready, Stopped, Replicas(0)], vec![Condition::Removed]),
        ] {
            assert!(met.iter().all(|condition| seen.meets(*condition)), "{}", seen.numbers());
            assert!(unmet.iter().all(|condition| !seen.meets(*condition)), "{}", seen.numbers());
        }
    }

    #[test]
    fn conditions_are_read() {
        for text in ["ready", "rolled-out", "stopped", "removed", "replicas=0", "replicas=12"] {
            text.parse::<Condition>().expect(text);
        }
        for text in ["", "Ready", "replicas", "replicas=", "replicas=-1"] {
            text.parse::<Condition>().expect_err(text);
        }
    }

    #[test]
    fn the_pending_reason_names_an_alert_or_a_replica() {
        let mut seen = seen(1, 2, 2, 0);
        let reasons = ["`web-2` is running and unhealthy (port 80 is closed)", "last pass: 2 is right"];
        assert_eq!(seen.reasons(), reasons);
        assert_eq!(seen.numbers(), "1 of 2 replicas are ready, 2 running");
        seen.view["alerts"] = json!([{"since": "2026-01-01T00:00:00Z", "reason": "it crashed; it is given up"}]);
        assert_eq!(seen.reasons()[0], "it crashed; it is given up (since 2026-01-01T00:00:00Z)");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_gone_is_the_pending_reason() {
        let client = Remote::new("unix:/nonexistent/windlass.sock", None, None).expect("a client");
        let error = wait(&client, "web", Condition::Ready, Duration::from_secs(3)).await.expect_err("it is gone");
        assert!(error.is::<TimedOut>(), "{error:?}");
        assert!(error.to_string().starts_with("after 3s, `web` is not ready: cannot reach windlass"), "{error}");
    }

    #[tokio::test]
    async fn a_wait_ends_although_the_server_does_not_answer() {
        // The kernel accepts connections to it, and nobody answers.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let client = Remote::new(&address, None, None).expect("a client");
        let waited = wait(&client, "web", Condition::Ready, Duration::from_millis(200));
        let waited = tokio::time::timeout(Duration::from_secs(20), waited).await.expect("the time limit holds");
        let error = waited.expect_err("there is no answer");
        assert!(error.is::<TimedOut>(), "{error:?}");
        assert_eq!(error.to_string(), "after 200ms, `web` is not ready: the server has not answered yet");
    }

    #[tokio::test(start_paused = true)]
    async fn the_pending_reason_is_that_of_the_last_look_or_the_silence_of_the_server() {
        let client = Remote::new("unix:/nonexistent/windlass.sock", None, None).expect("a client");
        for (silence, reason) in [(None, "1 of 2"), (Some(2), "the server has not answered yet")] {
            let mut looks = 0_u64;
            let wanted = Wanted { subject: "web", state: "ready" };
            let waited = until(&client, Vec::new(), wanted, Duration::from_secs(3), async || {
                looks += 1;
                if silence.is_some_and(|answered| looks > answered) {
                    std::future::pending::<()>().await;
                }
                Ok(Look::Pending { state: "1 of 2".to_owned(), reasons: Vec::new() })
            });
            let error = waited.await.expect_err("it is never met").to_string();
            assert_eq!(error, format!("after 3s, `web` is not ready: {reason}"));
        }
    }
}
