//! Authentication, listening addresses, the Unix socket, the host's network, and the lock on a data directory.

use serde_json::json;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, binary, start_body};
use windlass_tests::wait::eventually;

const TOKEN: &str = "a-token-of-thirty-two-characters";

#[tokio::test]
async fn without_a_token_only_the_loopback_is_listened_on() -> anyhow::Result<()> {
    let site = Site::new("open").await?;
    let (status, said) = site.refuse(&["--listen", "0.0.0.0:0"]).await?;
    assert!(!status.success());
    assert!(said.contains("token") && said.contains("--insecure"), "{said}");
    // `--insecure` makes the intention explicit.
    drop(site.start_with(&["--listen", "0.0.0.0:0", "--insecure"]).await?);
    Ok(())
}

#[tokio::test]
async fn a_token_is_asked_of_everyone_when_there_is_one() -> anyhow::Result<()> {
    let site = Site::new("token").await?.environment("WINDLASS_TOKEN", TOKEN);
    let windlass = site.start_with(&["--listen", "0.0.0.0:0"]).await?;
    insta::assert_snapshot!(windlass.get("/containers").await, @r#"
    401 application/problem+json
    {
      "detail": "a token is required: send the header `authorization: Bearer <token>`",
      "status": 401,
      "title": "Unauthorized",
      "type": "about:blank"
    }
    "#);
    let windlass = windlass.with_token("wrong");
    insta::assert_snapshot!(windlass.get("/containers").await, @r#"
    401 application/problem+json
    {
      "detail": "the bearer token is wrong",
      "status": 401,
      "title": "Unauthorized",
      "type": "about:blank"
    }
    "#);
    let windlass = windlass.with_token(TOKEN);
    assert_eq!(windlass.get("/containers").await.ok(), json!({"containers": []}));
    assert!(!windlass.log().contains(TOKEN), "the token is in the log");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_windlass() -> anyhow::Result<()> {
    let site = Site::new("twice").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let first = site.start().await?;
    first.post("/start/container", start_body(image, 1, 1)).await.ok();
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    assert!(!status.success());
    assert!(said.contains("in use by another windlass"), "{said}");
    assert_eq!(first.get("/containers").await.list("/containers").len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_a_workload_is_told_in_secret_is_not_in_the_log() -> anyhow::Result<()> {
    const SECRET: &str = "correct-horse-battery-staple";
    let site = Site::new("secret").await?.environment("WINDLASS_LOG", "trace");
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["env"] = json!({"PASSWORD": SECRET});
    windlass.post("/start/container", body).await.ok();
    let log = windlass.log();
    assert!(log.contains("TRACE") && !log.contains(SECRET), "the secret is in the log");
    Ok(())
}

/// Runs `windlass` with this configuration file in its environment. Returns its standard output.
async fn command(configuration: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = tokio::process::Command::new(binary()?);
    let output = command.args(arguments).env_clear().env("WINDLASS_CONFIG", configuration).output().await?;
    anyhow::ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_unix_socket_needs_no_token_and_every_command_finds_it() -> anyhow::Result<()> {
    let site = Site::new("socket").await?.environment("WINDLASS_TOKEN", TOKEN);
    let image = site.engine().prepare(Fixture::Web).await?;
    let path = site.folder().join("api.sock");
    let place = format!("unix:{}", path.display());
    // As after `kill -9`: nobody listens on the socket that is there.
    drop(std::os::unix::net::UnixListener::bind(&path)?);
    let site = site.set("api.listen", &json!(["127.0.0.1:0", place]).to_string());
    let windlass = site.start_with(&[]).await?;
    let file = std::fs::metadata(&path)?;
    assert!(file.file_type().is_socket() && file.permissions().mode() & 0o777 == 0o660, "{file:?}");
    assert_eq!(windlass.get("/images").await.status, 401, "the address needs the token");
    assert!(windlass.log().contains("the owner of the Unix socket"), "each start says who may change everything");

    let configuration = site.folder().join("windlass.toml");
    let mut windlass = windlass.with_token(TOKEN);
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    for arguments in [
        &["policy", "list"][..],
        &["policy", "list", "--server", &place],
        &["policy", "diff", image],
        &["scaling", "show", image],
        &["explain", image],
    ] {
        assert!(!command(&configuration, arguments).await?.is_empty(), "{arguments:?}");
    }
    windlass.terminate().await?;
    assert!(!path.exists(), "the socket goes with the process");
    Ok(())
}

#[tokio::test]
async fn callers_on_the_loopback_may_be_limited_to_reading() -> anyhow::Result<()> {
    let site = Site::new("local").await?;
    let place = format!("unix:{}", site.folder().join("api.sock").display());
    let site = site.set("api.local", "\"read-only\"");
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    assert!(!status.success() && said.contains("nobody could change anything"), "{said}");
    let windlass = site.start_with(&["--listen", &format!("127.0.0.1:0,{place}")]).await?;
    assert_eq!(windlass.get("/containers").await.status, 200);
    let refused = windlass.post("/start/container", start_body("web:1", 1, 1)).await;
    assert!(refused.status == 403 && refused.to_string().contains("api.local"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_replica_gets_the_network_of_the_host_only_if_the_configuration_allows_it() -> anyhow::Result<()> {
    let site = Site::new("host-network").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let mut body = start_body(image, 1, 1);
    body["networks"] = json!(["host"]);
    let windlass = site.start().await?;
    let refused = windlass.post("/start/container", body.clone()).await;
    assert!(refused.status == 422 && refused.to_string().contains("engine.host_network"), "{refused}");
    assert_eq!(windlass.get("/images").await.list("/images").len(), 0, "nothing was stored");
    drop(windlass);
    let site = site.set("engine.host_network", "true");
    let windlass = site.start().await?;
    windlass.post("/start/container", body).await.ok();
    Ok(())
}

#[tokio::test]
async fn a_socket_that_windlass_may_not_open_is_reported_with_its_group() -> anyhow::Result<()> {
    /// A user without privileges, and a group that it is not in.
    const ANN: u32 = 54_321;
    const OTHERS: u32 = 54_322;
    let site = Site::new("socket-group").await?;
    if !rustix::process::geteuid().is_root() || !site.engine().host().starts_with("unix://") {
        return Ok(());
    }
    let path = site.folder().join("engine.sock");
    let _engine = std::os::unix::net::UnixListener::bind(&path)?;
    chown(&path, None, Some(OTHERS))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
    let address = format!("unix://{}", path.display());
    let site = site.owned_by(ANN)?.set("engine.host", &json!(address).to_string());
    let windlass = site.start().await?;
    let expected = format!(
        "{address}: user {ANN} may not open the socket, which belongs to group {OTHERS}; run windlass with this group: \
         `--group-add {OTHERS}` of `docker run`, `group_add: [\"{OTHERS}\"]` in Compose, `SupplementaryGroups={OTHERS}` in \
         a systemd unit"
    );
    eventually("the reason", Duration::from_secs(30), async || {
        let ready = windlass.get("/ready").await;
        let detail = ready.body["detail"].as_str().unwrap_or_default();
        if detail.contains(&expected) { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    Ok(())
}
