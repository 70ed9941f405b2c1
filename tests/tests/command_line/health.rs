//! `windlass health` finds the server as every command does, and its exit status says whether the server answers.

use std::process::{Child, Command, Stdio};
use std::time::Duration;
use windlass_tests::site::binary;
use windlass_tests::wait::eventually;

/// A server that is killed with the value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs `windlass health` with these variables and no other: the exit code, standard output and standard error.
fn health(variables: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    let mut command = Command::new(binary()?);
    command.arg("health").args(arguments).env_clear().envs(variables.iter().copied());
    let output = command.output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

#[tokio::test]
async fn the_exit_status_says_whether_windlass_answers() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let place = format!("unix:{}", path("api.sock"));
    let (file, data) = (path("windlass.toml"), path("data"));
    std::fs::write(&file, format!("api.listen = {place:?}\nstore.data_dir = {data:?}\n"))?;
    let mut serve = Command::new(binary()?);
    serve.args(["serve", "--config", &file]).env_clear().env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let server = Server(serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    eventually("windlass to be healthy", Duration::from_secs(60), async || {
        let ended = health(&[], &["--server", &place]).map_err(|error| error.to_string())?;
        if ended.0 == Some(0) { Ok(()) } else { Err(format!("{ended:?}")) }
    })
    .await;

    let healthy = (Some(0), format!("windlass at {place} is healthy\n"), String::new());
    // A health check has the variables of the server. It needs no token, and must not fail for want of one.
    let listen = format!("0.0.0.0:1,{place}");
    let missing = ("WINDLASS_TOKEN_FILE", "/nonexistent/token");
    for variables in [
        [("WINDLASS_SERVER", place.as_str()), missing],
        [("WINDLASS_CONFIG", file.as_str()), missing],
        [("WINDLASS_LISTEN", listen.as_str()), missing],
    ] {
        assert_eq!(health(&variables, &[])?, healthy, "{variables:?}");
    }

    drop(server);
    let (code, printed, error) = health(&[("WINDLASS_CONFIG", file.as_str())], &[])?;
    assert_eq!((code, printed.as_str(), error.lines().count()), (Some(1), "", 1), "{error}");
    assert!(error.starts_with(&format!("error: cannot reach windlass at {place}: ")), "{error}");
    Ok(())
}
