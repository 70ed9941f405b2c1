//! Runs a command in a replica.

use crate::call_error::CallError;
use crate::client::EngineClient;
use crate::flood;
use bollard::container::LogOutput;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use windlass_core::ContainerId;
use windlass_core::engine::EngineError;

/// Bytes kept of a command's standard output, and of its standard error.
const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// Bytes read of both. A command that prints more has failed.
const MAX_READ_BYTES: usize = 1 << 20;

/// Runs a command and returns its standard output if it ends with status 0.
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
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    if let StartExecResults::Attached { mut output, .. } = output {
        let mut read = 0;
        // The stream ends with the command or with the replica.
        while let Some(part) = output.next().await {
            let part = part.map_err(CallError::from)?;
            read += part.as_ref().len();
            if read > MAX_READ_BYTES {
                flood::end(engine, &operation, id, &exec).await;
                let why = format!("the command printed more than {MAX_READ_BYTES} bytes");
                return Err(EngineError::CommandFailed(why));
            }
            match part {
                LogOutput::StdErr { message } => append_bounded(&mut stderr, &message),
                other => append_bounded(&mut stdout, &other.into_bytes()),
            }
        }
    }
    let exec = exec.as_str();
    let ended = engine.call(&operation, |docker| async move { docker.inspect_exec(exec).await }).await?;
    let status = ended.exit_code;
    if status == Some(0) {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let status = status.map_or_else(|| "an unknown status".to_owned(), |status| format!("status {status}"));
    // If the command cannot be started, the engine's message is on standard output.
    let stderr = if stderr.is_empty() { stdout } else { stderr };
    let excerpt: String = String::from_utf8_lossy(&stderr).trim().escape_debug().take(200).collect();
    Err(EngineError::CommandFailed(format!("the command ended with {status}: {excerpt}")))
}

fn append_bounded(kept: &mut Vec<u8>, part: &[u8]) {
    let free = MAX_OUTPUT_BYTES.saturating_sub(kept.len()).min(part.len());
    kept.extend_from_slice(&part[..free]);
}
