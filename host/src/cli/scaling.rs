//! `windlass scaling …`: an operator's word over the policy of a workload that runs.

use crate::cli::remote::{Server, remote, time};
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::time::Duration;
use windlass_core::text::duration;

/// Up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// The count does not rise
    Up,
    /// The count does not fall
    Down,
}

/// One of the things an operator may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Said {
    /// That scaling is paused
    Pause,
    /// That scaling up is frozen
    FreezeUp,
    /// That scaling down is frozen
    FreezeDown,
    /// That a count is forced
    Force,
}

impl Said {
    const ALL: &[Self] = &[Self::Pause, Self::FreezeUp, Self::FreezeDown, Self::Force];

    /// What takes it back.
    fn taken_back(self) -> (&'static str, Value) {
        match self {
            Self::Pause => ("paused", json!(false)),
            Self::FreezeUp => ("freeze_scale_up", json!(false)),
            Self::FreezeDown => ("freeze_scale_down", json!(false)),
            Self::Force => ("force", Value::Null),
        }
    }
}

/// What is said.
#[derive(Debug, Subcommand)]
pub enum ScalingCommand {
    /// Show how many replicas are wanted, and why
    Show {
        /// Image or name of the workload
        image: String,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Leave the count where it is; what is ill is healed all the same
    Pause {
        /// Image or name of the workload
        image: String,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Freeze one direction
    Freeze {
        /// Image or name of the workload
        image: String,
        /// Which
        direction: Direction,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Force a count for a time
    Force {
        /// Image or name of the workload
        image: String,
        /// How many, within the bounds
        #[arg(value_parser = clap::value_parser!(u32).range(0..=1_000))]
        replicas: u32,
        /// How long
        #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
        time: Duration,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
    /// Take it back: the policy decides again
    Resume {
        /// Image or name of the workload
        image: String,
        /// Take only this back [default: all of it]
        what: Vec<Said>,
        /// Where it runs.
        #[command(flatten)]
        server: Server,
    },
}

/// What a command prints.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: &ScalingCommand) -> anyhow::Result<String> {
    let (image, server, change) = match command {
        ScalingCommand::Show { image, server } => {
            return Ok(told(&remote(server)?.get(&["images", image]).await?));
        }
        ScalingCommand::Pause { image, server } => (image, server, json!({"paused": true})),
        ScalingCommand::Freeze { image, direction: Direction::Up, server } => {
            (image, server, json!({"freeze_scale_up": true}))
        }
        ScalingCommand::Freeze { image, direction: Direction::Down, server } => {
            (image, server, json!({"freeze_scale_down": true}))
        }
        ScalingCommand::Force { image, replicas, time, server } => {
            (image, server, json!({"force": {"replicas": replicas, "for": time.as_secs_f64()}}))
        }
        ScalingCommand::Resume { image, what, server } => {
            let what = if what.is_empty() { Said::ALL } else { what };
            (image, server, what.iter().map(|said| said.taken_back()).collect())
        }
    };
    Ok(told(&remote(server)?.patch(&["images", image, "overrides"], &change).await?))
}

/// One workload in a few lines.
fn told(view: &Value) -> String {
    let (desired, overrides) = (&view["desired"], &view["desired"]["overrides"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let named =
        [("paused", "paused"), ("freeze_scale_up", "frozen upwards"), ("freeze_scale_down", "frozen downwards")];
    let mut said: Vec<String> =
        named.iter().filter(|(field, _)| overrides[field] == true).map(|(_, words)| (*words).to_owned()).collect();
    if let Some(force) = overrides["force"].as_object() {
        said.push(format!("{} forced until {}", force["replicas"], time(&force["until"])));
    }
    let stopped: Vec<String> = view["observed"]["stopped_outside"].as_array().into_iter().flatten().map(text).collect();
    let stopped = match stopped.as_slice() {
        [] => String::new(),
        names => format!("\nstopped outside of Windlass: {}", names.join(", ")),
    };
    let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
    format!(
        "{}: {} wanted of {} to {}, {} run\nby an operator: {said}{stopped}\nbecause: {}\n",
        text(&view["image"]),
        desired["target"],
        desired["min_replicas"],
        desired["max_replicas"],
        view["observed"]["running"],
        text(&view["last_pass"]["reason"])
    )
}
