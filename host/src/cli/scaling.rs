//! `windlass scaling …`: an operator's overrides of a running workload's policy.

use crate::cli::format::Output;
use crate::cli::server::Server;
use crate::cli::waiting::{Condition, WaitFlags};
use crate::cli::workload_text;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_api::answer::title;
use windlass_core::text::duration;

/// A direction of scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Direction {
    /// Scale-out: the count does not rise
    Up,
    /// Scale-in: the count does not fall
    Down,
}

/// One override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Override {
    /// Scaling is paused
    Pause,
    /// Scale-out is frozen
    FreezeUp,
    /// Scale-in is frozen
    FreezeDown,
    /// A count is forced
    Force,
}

impl Override {
    const ALL: &[Self] = &[Self::Pause, Self::FreezeUp, Self::FreezeDown, Self::Force];

    /// The field and value that remove it.
    fn removed(self) -> (&'static str, Value) {
        match self {
            Self::Pause => ("paused", json!(false)),
            Self::FreezeUp => ("freeze_scale_up", json!(false)),
            Self::FreezeDown => ("freeze_scale_down", json!(false)),
            Self::Force => ("force", Value::Null),
        }
    }

    /// Returns true if these overrides, as the API returns them, contain it.
    fn is_in_force(self, current: &Value) -> bool {
        let (field, removed) = self.removed();
        current[field] != removed
    }
}

/// `windlass scaling …`
#[derive(Debug, Subcommand)]
pub(super) enum ScalingCommand {
    /// Show how many replicas a workload should have, and why
    #[command(after_help = "Examples:\n  windlass scaling show web -o json")]
    Show {
        /// Name of the workload, or its image
        workload: String,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Keep the current count; unhealthy replicas are still repaired
    #[command(after_help = "Examples:\n  windlass scaling pause web")]
    Pause {
        /// Name of the workload, or its image
        workload: String,
        /// The flags of a wait.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Freeze scale-out or scale-in
    #[command(after_help = "Examples:\n  windlass scaling freeze web down")]
    Freeze {
        /// Name of the workload, or its image
        workload: String,
        /// The direction to freeze
        direction: Direction,
        /// The flags of a wait.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Force a count for some time
    #[command(after_help = "Examples:\n  windlass scaling force web 2 --for 1h")]
    Force {
        /// Name of the workload, or its image
        workload: String,
        /// Number of replicas, within the workload's bounds
        #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000))]
        replicas: u32,
        /// Time for which the count is forced
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        time: Duration,
        /// The flags of a wait.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
    /// Remove overrides: the policy decides again
    #[command(after_help = "Examples:\n  windlass scaling resume web")]
    Resume {
        /// Name of the workload, or its image
        workload: String,
        /// Remove only these overrides [default: all]
        what: Vec<Override>,
        /// The flags of a wait.
        #[command(flatten)]
        wait: WaitFlags,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
        /// The server.
        #[command(flatten)]
        server: Server,
    },
}

/// The text a command prints.
pub(super) async fn run(command: &ScalingCommand) -> anyhow::Result<String> {
    let (workload, output, server, wait, change) = match command {
        ScalingCommand::Show { workload, output, server } => {
            return show(&server.client()?.get(&["workloads", workload]).await?, *output);
        }
        ScalingCommand::Pause { workload, wait, output, server } => {
            (workload, output, server, wait, json!({"paused": true}))
        }
        ScalingCommand::Freeze { workload, direction, wait, output, server } => {
            let field = match direction {
                Direction::Up => "freeze_scale_up",
                Direction::Down => "freeze_scale_down",
            };
            (workload, output, server, wait, json!({field: true}))
        }
        ScalingCommand::Force { workload, replicas, time, wait, output, server } => {
            (workload, output, server, wait, json!({"force": {"replicas": replicas, "for": time.as_secs_f64()}}))
        }
        ScalingCommand::Resume { workload, what, wait, output, server } => {
            let current = server.client()?.get(&["workloads", workload]).await?;
            let in_force = |one: Override| one.is_in_force(&current["desired"]["overrides"]);
            let is_sent = |one: &Override| *one == Override::Pause || in_force(*one);
            let change = if what.is_empty() {
                // `paused` is always sent: it also ends the pause that follows a stop outside Windlass. The other overrides
                // are sent if they are in force, because a body equal to the current overrides changes nothing.
                Override::ALL.iter().copied().filter(is_sent).map(Override::removed).collect()
            } else {
                what.iter().copied().map(Override::removed).collect()
            };
            (workload, output, server, wait, change)
        }
    };
    let client = server.client()?;
    let mut view = client.patch(&["workloads", workload, "overrides"], &change).await?;
    let condition = match command {
        ScalingCommand::Force { replicas, .. } => Condition::Replicas(*replicas),
        _ => Condition::Ready,
    };
    if wait.wait(&client, workload, condition).await? {
        view = client.get(&["workloads", workload]).await?;
    }
    show(&view, *output)
}

fn show(view: &Value, output: Output) -> anyhow::Result<String> {
    output.show(&document(view), &[title(view).to_owned()], || summary(view))
}

/// `{"workload", "target", "min_replicas", "max_replicas", "running", "overrides", "stopped_outside", "reason"}`
fn document(view: &Value) -> Value {
    let (desired, observed) = (&view["desired"], &view["observed"]);
    json!({
        "workload": title(view), "target": desired["target"], "min_replicas": desired["min_replicas"],
        "max_replicas": desired["max_replicas"], "running": observed["running"], "overrides": desired["overrides"],
        "stopped_outside": observed["stopped_outside"], "reason": view["last_pass"]["reason"],
    })
}

/// A workload in a few lines.
fn summary(view: &Value) -> String {
    let desired = &view["desired"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let active = workload_text::overrides(&desired["overrides"]);
    let stopped: Vec<String> = view["observed"]["stopped_outside"].as_array().into_iter().flatten().map(text).collect();
    let stopped = match stopped.as_slice() {
        [] => String::new(),
        names => format!("\nstopped outside of Windlass: {}", names.join(", ")),
    };
    let active = if active.is_empty() { "none".to_owned() } else { active.join(", ") };
    format!(
        "{}: target {} of {} to {}, {} running\noverrides: {active}{stopped}\nreason: {}\n",
        title(view),
        desired["target"],
        desired["min_replicas"],
        desired["max_replicas"],
        view["observed"]["running"],
        text(&view["last_pass"]["reason"])
    )
}
