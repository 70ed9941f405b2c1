//! Runs a command in a replica.

use crate::connect::EngineClient;
use crate::failure::Failure;
use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use windlass_core::ContainerId;
use windlass_core::engine::EngineError;

/// Bytes that are kept of what a command prints, and of what it complains of.
const LONGEST: usize = 64 << 10;

/// What the command prints, if it ends with status 0.
pub(crate) async fn run(engine: &EngineClient, id: &ContainerId, command: &[String]) -> Result<String, EngineError> {
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..ExecConfig::default()
    };
    let operation = format!("run `{}` in {id}", command.join(" ").escape_debug());
    let begun = engine.call(&operation, |docker| async move {
        let exec = docker.create_exec(id.as_str(), config).await?.id;
        let output = docker.start_exec(&exec, None).await?;
        Ok((exec, output))
    });
    let (exec, output) = begun.await?;
    let (mut printed, mut complained) = (Vec::new(), Vec::new());
    if let StartExecResults::Attached { mut output, .. } = output {
        // Ends with the command, or with the replica.
        while let Some(part) = output.next().await {
            match part.map_err(Failure::from)? {
                LogOutput::StdErr { message } => keep(&mut complained, &message),
                other => keep(&mut printed, &other.into_bytes()),
            }
        }
    }
    let exec = exec.as_str();
    let ended = engine.call(&operation, |docker| async move { docker.inspect_exec(exec).await }).await?;
    let status = ended.exit_code;
    if status == Some(0) {
        return Ok(String::from_utf8_lossy(&printed).into_owned());
    }
    let status = status.map_or_else(|| "an unknown status".to_owned(), |status| format!("status {status}"));
    // What keeps a command from being run at all is told on its standard output.
    let complained = if complained.is_empty() { printed } else { complained };
    let complaint: String = String::from_utf8_lossy(&complained).trim().escape_debug().take(200).collect();
    Err(EngineError::Refused(format!("the command ended with {status}: {complaint}")))
}

fn keep(kept: &mut Vec<u8>, part: &[u8]) {
    let room = LONGEST.saturating_sub(kept.len()).min(part.len());
    kept.extend_from_slice(&part[..room]);
}
