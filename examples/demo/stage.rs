//! The parts that both demos have in common: lines for people, the image, and the end.

use anyhow::bail;
use bollard::query_parameters::{BuildImageOptionsBuilder, RemoveImageOptionsBuilder};
use futures_util::TryStreamExt;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::time::Instant;
use windlass_harness::engine::Engine;
use windlass_harness::images::{Entry, archive, busybox};

pub(crate) const IMAGE: &str = "windlass-demo/web:1";

/// Time limit of a step; far more than a step needs, even on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Prints a line for the user.
#[expect(clippy::print_stdout, reason = "the demo prints for people")]
pub(crate) fn say(text: impl AsRef<str>) {
    println!("{}", text.as_ref());
}

/// Runs a demo until it ends or a signal interrupts it. Dropping its future removes everything it created.
pub(crate) async fn perform(demo: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::select! {
        // Without the handlers, an early signal would end the program before it removes anything.
        biased;
        () = interrupted() => Err(anyhow::anyhow!("interrupted")),
        outcome = demo => outcome,
    }
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The exit code of a demo; prints its error.
pub(crate) fn ending(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format!("\nThe demo failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// Collects the reasons of a decision: of the target and of each step. Each reason is listed once.
pub(crate) fn gather_reasons(value: &Value, reasons: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
            Value::String(reason) if key == "reason" && !reasons.contains(reason) => reasons.push(reason.clone()),
            value => gather_reasons(value, reasons),
        }),
        Value::Array(values) => values.iter().for_each(|value| gather_reasons(value, reasons)),
        _ => {}
    }
}

/// Held while the engine builds the image: it keeps the parts of a build that is broken off.
static BUILDING: Mutex<()> = Mutex::const_new(());

/// Builds examples/web through the engine's API, with the machine's static busybox.
pub(crate) async fn build_image(engine: &Engine) -> anyhow::Result<()> {
    let (engine, building) = (engine.clone(), BUILDING.lock().await);
    // An interrupt does not end a task of its own.
    let build = tokio::spawn(async move {
        let built = build(&engine).await;
        drop(building);
        built
    });
    build.await?
}

async fn build(engine: &Engine) -> anyhow::Result<()> {
    let context = archive(&[
        ("Dockerfile", Entry::File(include_bytes!("../web/Dockerfile").to_vec(), false)),
        ("serve", Entry::File(include_bytes!("../web/serve").to_vec(), true)),
        ("busybox", Entry::File(std::fs::read(busybox()?)?, true)),
    ])?;
    let options = BuildImageOptionsBuilder::new().dockerfile("Dockerfile").t(IMAGE).rm(true).build();
    let lines = engine.docker().build_image(options, None, Some(bollard::body_full(context.into())));
    let lines: Vec<_> = lines.try_collect().await?;
    if let Some(error) = lines.into_iter().find_map(|line| line.error_detail) {
        bail!("the engine did not build {IMAGE}: {}", error.message.unwrap_or_default());
    }
    Ok(())
}

/// Removes the image, once its build has ended.
pub(crate) async fn remove_image() {
    let _building = BUILDING.lock().await;
    if let Ok(engine) = Engine::of_this_machine().await {
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        // An error only means that the image was not built.
        drop(engine.docker().remove_image(IMAGE, Some(options), None).await);
    }
}
