//! `windlass context`: a server and its token by name, for every command.

use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use windlass_tests::commands::Caller;
use windlass_tests::lone_server::LoneServer;

#[tokio::test]
async fn a_command_finds_the_server_and_the_token_by_the_context() -> anyhow::Result<()> {
    const TOKEN: &str = "a-token-of-thirty-two-characters";
    let server = LoneServer::start(TOKEN).await?;
    let address = server.url();
    let caller = Caller::new()?;
    let token = caller.folder().join("token");
    std::fs::write(&token, format!("{TOKEN}\n"))?;
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600))?;

    // A relative path is stored as an absolute one.
    let added = caller.run(&["context", "add", "lab", "--server", &address, "--token-file", "token"])?.ok();
    assert_eq!(added, format!("lab: {address}; next: windlass context use lab\n"));
    assert_eq!(caller.run(&["context", "use", "lab"])?.ok(), format!("commands use lab: {address}\n"));
    // A context in use needs no next step.
    let changed = caller.run(&["context", "add", "lab", "--server", &address, "--token-file", "token"])?.ok();
    assert_eq!(changed, format!("lab: {address}\n"));
    let file = caller.folder().join(".config/windlass/contexts.toml");
    assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
    let listed = caller.run(&["context", "list", "-o", "json"])?.json();
    let lab = json!({"name": "lab", "server": address, "token_file": token, "ca_file": null});
    assert_eq!(listed, json!({"current": "lab", "contexts": [lab]}));
    let table = caller.run(&["context", "list"])?.ok();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CURRENT  NAME") && lines[2].starts_with("*        lab"), "{table}");

    assert_eq!(caller.run(&["get", "workloads"])?.ok(), "there are no workloads\n");
    assert_eq!(caller.run(&["get", "policies", "min-max", "-o", "json"])?.json()["name"], "min-max");

    // The token of a context goes to the context's server only, although this is the same one.
    let refused = caller.run(&["get", "workloads", "--server", &address])?.refused(4);
    assert_eq!(refused, "error: a token is required: send the header `authorization: Bearer <token>`\n");
    let wrong = Caller::new()?.with("WINDLASS_SERVER", &address).with("WINDLASS_TOKEN", "another-token-of-that-length");
    assert_eq!(wrong.run(&["get", "workloads"])?.refused(4), "error: the bearer token is wrong\n");

    // The server of this machine is not there.
    caller.run(&["context", "add", "gone", "--server", "unix:/nonexistent/windlass.sock"])?.ok();
    let gone = caller.run(&["get", "workloads", "--context", "gone"])?.refused(1);
    assert!(gone.starts_with("error: cannot reach windlass at unix:/nonexistent/windlass.sock: "), "{gone}");
    let unknown = caller.run(&["get", "workloads", "--context", "lap"])?.refused(1);
    assert_eq!(unknown, "error: there is no context `lap`; did you mean `lab`?\n");
    let both = caller.run(&["get", "workloads", "--context", "lab", "--server", &address])?.refused(2);
    assert!(both.contains("cannot be used with"), "{both}");

    // Another user may not direct the commands to another server.
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666))?;
    let exposed = caller.run(&["get", "workloads"])?.refused(1);
    assert!(exposed.contains("other users can access") && exposed.contains("chmod 600"), "{exposed}");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600))?;

    assert_eq!(caller.run(&["context", "remove", "lab"])?.ok(), "lab: removed\n");
    assert_eq!(caller.run(&["context", "list", "-o", "json"])?.json()["current"], "default");
    assert!(token.exists(), "the token's file stays");
    Ok(())
}

#[test]
fn a_context_that_cannot_be_right_is_refused() -> anyhow::Result<()> {
    let caller = Caller::new()?;
    let refused = caller.run(&["context", "add", "lab", "--server", "localhost:8000"])?.refused(1);
    assert!(refused.contains("expected an address such as `http://127.0.0.1:8000`"), "{refused}");
    let refused = caller.run(&["context", "add", "default", "--server", "http://127.0.0.1:1"])?.refused(1);
    assert!(refused.contains("`default` stands for the server of this machine"), "{refused}");
    let refused = caller.run(&["context", "use", "lab"])?.refused(1);
    assert_eq!(refused, "error: there is no context `lab`; known contexts: `default`\n");
    assert!(!caller.folder().join(".config").exists(), "nothing was written");
    Ok(())
}
