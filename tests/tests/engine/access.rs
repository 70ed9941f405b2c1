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

/// Runs `windlass` with these arguments and a token. Returns its exit code, its output and its error.
async fn command_of(token: &str, arguments: &[&str]) -> anyhow::Result<(bool, String, String)> {
    let mut command = tokio::process::Command::new(binary()?);
    let output = command.args(arguments).env_clear().env("WINDLASS_TOKEN", token).output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((output.status.success(), text(output.stdout), text(output.stderr)))
}

#[tokio::test]
async fn tokens_of_people_are_made_used_recorded_and_revoked_by_the_commands() -> anyhow::Result<()> {
    let site = Site::new("tokens").await?.environment("WINDLASS_TOKEN", TOKEN);
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start_with(&["--listen", "127.0.0.1:0"]).await?;
    let server = format!("http://{}", windlass.address());
    let create = ["token", "create", "ci", "--role", "operator", "--workload", "web*", "--server", &server];
    let (is_done, token, said) = command_of(TOKEN, &create).await?;
    let token = token.trim().to_owned();
    assert!(is_done && token.starts_with("wl_") && said.contains("nothing can show it again"), "{said}");
    let windlass = windlass.with_token(TOKEN);
    let mut body = start_body(image, 1, 2);
    body["name"] = json!("web");
    body["env"] = json!({"PASSWORD": "correct-horse"});
    windlass.post("/start/container", body).await.ok();
    // It survives kill -9, and lets its owner do what its role and its workloads allow.
    windlass.kill()?;
    let windlass = site.start_with(&["--listen", "127.0.0.1:0"]).await?.with_token(&token);
    let server = format!("http://{}", windlass.address());
    let (is_done, _, said) = command_of(&token, &["scaling", "pause", "web", "--server", &server]).await?;
    assert!(is_done, "{said}");
    let (is_done, _, said) = command_of(&token, &["token", "list", "--server", &server]).await?;
    assert!(!is_done && said.contains("this needs the role `admin`; `ci` has the role `operator`"), "{said}");
    assert_eq!(windlass.delete("/workloads/web").await.status, 403);
    assert_eq!(windlass.get("/workloads/another").await.status, 403);
    let (_, listed, _) = command_of(TOKEN, &["token", "list", "--server", &server]).await?;
    let id = token.split('_').nth(1).unwrap_or_default();
    assert!(listed.contains(id) && listed.contains("operator") && !listed.contains(&token), "{listed}");

    let windlass = windlass.with_token(TOKEN);
    let records = windlass.get("/audit?workload=web").await;
    let [pause, start] = records.list("/records") else { panic!("{records}") };
    assert_eq!((&pause["who"], &pause["token"], &pause["from"]), (&json!("ci"), &json!(id), &json!("127.0.0.1")));
    assert_eq!(pause["after"]["overrides"]["paused"], true, "{pause}");
    assert_eq!((&start["who"], &start["after"]["env"]), (&json!("the configured token"), &json!("not shown")));
    let (is_done, _, said) = command_of(TOKEN, &["token", "revoke", id, "--server", &server]).await?;
    assert!(is_done, "{said}");
    let windlass = windlass.with_token(&token);
    assert_eq!(windlass.get("/workloads/web").await.status, 401);
    let log = windlass.log();
    assert!(log.contains("a change") && log.contains("PATCH /workloads/web/overrides"), "each change is in the log");
    for secret in [TOKEN, &token, "correct-horse"] {
        assert!(!log.contains(secret) && !records.to_string().contains(secret), "{secret} is shown");
    }
    Ok(())
}

#[tokio::test]
async fn https_is_served_from_files_and_plain_requests_are_refused() -> anyhow::Result<()> {
    let site = Site::new("https").await?.environment("WINDLASS_TOKEN", TOKEN);
    let folder = site.folder().join("tls");
    let folder_text = folder.display().to_string();
    let (is_done, said, error) = command_of(TOKEN, &["tls", "init", "--folder", &folder_text]).await?;
    assert!(is_done && said.contains("tls_certificate"), "{error}");
    let path = |name: &str| folder.join(name).display().to_string();
    let site = site.set("api.tls_certificate", &json!(path("certificate.pem")).to_string());
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    assert!(!status.success() && said.contains("`api.tls_key` is not; name both files"), "{said}");
    let site = site.set("api.tls_key", &json!(path("key.pem")).to_string());
    let windlass = site.begin_with(&["--listen", "127.0.0.1:0"]).await?;
    let (address, authority) = (windlass.address().to_owned(), path("ca.pem"));
    let server = format!("https://{address}");
    eventually("an answer over HTTPS", Duration::from_secs(30), async || {
        let arguments = ["token", "list", "--server", &server, "--ca-file", &authority];
        match command_of(TOKEN, &arguments).await {
            Ok((true, said, _)) if said.contains("no tokens") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let (is_done, _, said) = command_of(TOKEN, &["token", "list", "--server", &server]).await?;
    assert!(!is_done && said.contains("cannot reach windlass"), "nobody trusts it without the authority: {said}");
    let plain = windlass.get("/workloads").await;
    assert!(plain.status == 400 && plain.to_string().contains("HTTPS only"), "{plain}");

    // A renewed certificate is used without a restart. Each file takes the place of the old one.
    let renewed = site.folder().join("renewed");
    let (is_done, _, error) = command_of(TOKEN, &["tls", "init", "--folder", &renewed.display().to_string()]).await?;
    assert!(is_done, "{error}");
    for name in ["certificate.pem", "key.pem"] {
        std::fs::rename(renewed.join(name), folder.join(name))?;
    }
    let authority = renewed.join("ca.pem").display().to_string();
    eventually("an answer with the renewed certificate", Duration::from_secs(60), async || {
        let arguments = ["token", "list", "--server", &server, "--ca-file", &authority];
        match command_of(TOKEN, &arguments).await {
            Ok((true, ..)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn the_socket_belongs_to_the_group_of_the_configuration() -> anyhow::Result<()> {
    const OTHERS: u32 = 54_322;
    let site = Site::new("api-group").await?;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let path = site.folder().join("api.sock");
    let places = json!(["127.0.0.1:0", format!("unix:{}", path.display())]).to_string();
    let site = site.set("api.listen", &places).set("api.socket_group", &format!("\"{OTHERS}\""));
    let _windlass = site.start_with(&[]).await?;
    assert_eq!(std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(&path)?), OTHERS);
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
