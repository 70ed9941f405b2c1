//! Builds the image of Windlass from the program under test.

use anyhow::ensure;
use bollard::query_parameters::BuildImageOptionsBuilder;
use futures_util::TryStreamExt;
use std::path::Path;
use tokio::process::Command;
use windlass_harness::engine::Engine;
use windlass_harness::site::binary;

/// Builds the image as `make image` does. The program under test is not static, so the image has its libraries.
///
/// # Errors
/// If there is no program, or the engine rejects the image.
pub async fn build(engine: &Engine, image: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("windlass");
    // The debug information is half of the program.
    let strip = Command::new("strip").arg("-o").arg(&program).arg(binary()?).status().await?;
    ensure!(strip.success(), "cannot strip the program");
    let context = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/deploy/context");
    let context = Command::new(context).arg(&program).output().await?;
    ensure!(context.status.success(), "{}", String::from_utf8_lossy(&context.stderr));
    let options = BuildImageOptionsBuilder::new().t(image).rm(true).build();
    let context = bollard::body_full(context.stdout.into());
    engine.docker().build_image(options, None, Some(context)).try_collect::<Vec<_>>().await?;
    Ok(())
}
