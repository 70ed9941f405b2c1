//! Commands and HTTPS: by a context, by a variable, and the sentences about an address of the wrong kind.

use std::os::unix::fs::PermissionsExt;
use windlass_tests::commands::Caller;
use windlass_tests::lone_server::LoneServer;

const TOKEN: &str = "a-token-of-thirty-two-characters";

#[tokio::test]
async fn an_address_of_https_works_by_a_context_and_by_a_variable_and_others_are_corrected() -> anyhow::Result<()> {
    let server = LoneServer::start_with_tls(TOKEN).await?;
    let authority = server.authority().and_then(|file| file.to_str()).expect("a file").to_owned();
    // By the variables.
    assert_eq!(server.caller(TOKEN)?.run(&["get", "workloads"])?.ok(), "there are no workloads\n");

    // By a context.
    let caller = Caller::new()?;
    let token = caller.folder().join("token");
    std::fs::write(&token, TOKEN)?;
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600))?;
    let url = server.url();
    let files = ["--token-file", "token", "--ca-file", &authority, "--use"];
    caller.run(&[&["context", "add", "lab", "--server", &url][..], &files].concat())?.ok();
    assert_eq!(caller.run(&["get", "workloads"])?.ok(), "there are no workloads\n");
    assert_eq!(caller.run(&["health", "-o", "json"])?.json()["server"], url);

    // The plain address of the port.
    let plain = format!("http://{}", server.address());
    let expected = format!(
        "error: {plain} speaks HTTPS only; use `{url}`, and `--ca-file` unless the system knows the server's authority\n"
    );
    let stranger = Caller::new()?.with("WINDLASS_SERVER", &plain).with("WINDLASS_TOKEN", TOKEN);
    for command in [&["get", "workloads"][..], &["scale", "web", "2"], &["events", "-w"], &["logs", "web-1"]] {
        assert_eq!(stranger.run(command)?.refused(1), expected, "{command:?}");
    }
    // An authority that the system does not know.
    let stranger = Caller::new()?.with("WINDLASS_SERVER", &url).with("WINDLASS_TOKEN", TOKEN);
    let refused = stranger.run(&["get", "workloads"])?.refused(1);
    assert!(refused.starts_with(&format!("error: cannot reach windlass at {url}: ")), "{refused}");
    assert!(refused.contains("`--ca-file`"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_port_without_tls_is_named_when_the_address_is_one_of_https() -> anyhow::Result<()> {
    let server = LoneServer::start(TOKEN).await?;
    let url = format!("https://{}", server.address());
    let refused = server.caller(TOKEN)?.run(&["get", "workloads", "--server", &url])?.refused(1);
    assert!(refused.contains("the port speaks no TLS") && refused.contains("`http://`"), "{refused}");
    Ok(())
}
