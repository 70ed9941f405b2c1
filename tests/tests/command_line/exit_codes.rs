//! The exit codes of the manual, each by commands that end with it.

use std::collections::BTreeSet;
use windlass_builtin::MIN_MAX;
use windlass_tests::commands::Caller;
use windlass_tests::lone_server::LoneServer;

const TOKEN: &str = "a-token-of-thirty-two-characters";

/// The codes of the manual's table.
fn documented() -> anyhow::Result<BTreeSet<i32>> {
    let manual = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../MANUAL.md"))?;
    let table = manual.split("| exit code | meaning |").nth(1).expect("the manual has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| Ok(row.trim_matches('|').split('|').next().unwrap_or_default().trim().parse()?)).collect()
}

#[tokio::test]
async fn each_exit_code_of_the_manual_is_that_of_a_command() -> anyhow::Result<()> {
    let server = LoneServer::start(TOKEN).await?;
    let caller = server.caller(TOKEN)?;
    std::fs::write(caller.folder().join("web.yaml"), "name: web\nimage: web:1\nresources: {cpu: '1', memory: 64m}\n")?;
    std::fs::write(caller.folder().join("wrong.toml"), "control.interval = 'soon'\n")?;
    let url = server.url();
    let gone = "unix:/nonexistent/windlass.sock";
    let cases: &[(i32, &[&str], &str)] = &[
        (0, &["get", "policies", "-o", "name"], "min-max"),
        (0, &["context", "list"], "default"),
        (1, &["get", "policies", "nothing"], "nothing"),
        (1, &["get", "workloads", "--server", gone], "cannot reach windlass"),
        (1, &["describe", "workload", "nothing"], "nothing"),
        (1, &["start", "-f", "missing.yaml"], "missing.yaml"),
        (2, &["scale"], "required"),
        (2, &["get", "nonsense"], "invalid value"),
        (2, &["logs", "web-1", "-o", "name"], "a log has no names"),
        (2, &["config", "check", "--config", "wrong.toml"], "control.interval"),
        (2, &["serve", "--config", "wrong.toml"], "control.interval"),
        (
            3,
            &["wait", "web", "--for", "ready", "--timeout", "100ms", "--server", gone],
            "after 100ms, `web` is not ready",
        ),
        (4, &["get", "workloads", "--server", url.as_str()], "a token is required"),
        (5, &["diff", "-f", "web.yaml"], "web: would be created"),
    ];
    let mut seen = BTreeSet::new();
    for (code, arguments, text) in cases {
        // A caller without the variable has no token.
        let person = if *code == 4 { Caller::new()? } else { server.caller(TOKEN)? };
        for name in ["web.yaml", "wrong.toml"] {
            std::fs::copy(caller.folder().join(name), person.folder().join(name))?;
        }
        let ended = person.run(arguments)?;
        assert_eq!(ended.code, Some(*code), "{arguments:?}: {ended:#?}");
        let place = if matches!(code, 0 | 5) { &ended.stdout } else { &ended.stderr };
        assert!(place.contains(text), "{arguments:?}: {ended:#?}");
        seen.insert(*code);
    }
    assert_eq!(seen, documented()?, "a code of the manual's table has no command here, or the other way round");
    Ok(())
}

#[tokio::test]
async fn a_command_that_the_role_of_the_token_forbids_ends_with_its_own_code() -> anyhow::Result<()> {
    let server = LoneServer::start(TOKEN).await?;
    let admin = server.caller(TOKEN)?;
    let role = |role| LoneServer::create_token(&admin, &["someone", "--role", role]);
    let ((viewer, _), (operator, _)) = (role("viewer")?, role("operator")?);
    let limited = LoneServer::create_token(&admin, &["ci", "--role", "admin", "--workload", "web*"])?.0;
    // Commands that read before they change something read first, and find nothing here.
    let as_operator: &[&[&str]] = &[
        &["scale", "web", "2"],
        &["rollback", "web"],
        &["scaling", "pause", "web"],
        &["scaling", "freeze", "web", "down"],
        &["scaling", "force", "web", "2", "--for", "1h"],
        &["container", "stop", "web-1"],
        &["container", "start", "web-1"],
        &["container", "protect", "web-1"],
        &["container", "unprotect", "web-1"],
        &["policy", "promote", "queue"],
        &["policy", "rollback", "queue"],
    ];
    let as_admin: &[&[&str]] = &[
        &["start", "-f", "web.json"],
        &["stop", "web", "--remove"],
        &["container", "remove", "web-1"],
        &["policy", "push", "queue.wasm"],
        &["policy", "refresh", "queue"],
        &["policy", "delete", "queue"],
        &["token", "list"],
        &["token", "create", "other", "--role", "admin"],
        &["token", "revoke", "0a1b2c3d4e5f"],
        &["events", "--audit"],
        &["events", "--audit", "-w"],
    ];
    for (token, needed, commands) in
        [(&viewer, "operator", as_operator), (&viewer, "admin", as_admin), (&operator, "admin", as_admin)]
    {
        let person = server.caller(token)?;
        let body = r#"{"name": "web", "image": "web:1", "resources": {"cpu": "1", "memory": "64m"}}"#;
        std::fs::write(person.folder().join("web.json"), body)?;
        std::fs::write(person.folder().join("queue.wasm"), MIN_MAX)?;
        for command in commands {
            let refused = person.run(command)?.refused(4);
            assert!(refused.contains(&format!("this needs the role `{needed}`")), "{command:?}: {refused}");
        }
    }
    let refused = server.caller(&limited)?.run(&["scale", "foreign", "2"])?.refused(4);
    assert!(refused.contains("is limited to the workloads `web*`"), "{refused}");
    // A token that is revoked is no token any more.
    let (gone, id) = LoneServer::create_token(&admin, &["gone", "--role", "admin"])?;
    admin.run(&["token", "revoke", &id])?.ok();
    let refused = server.caller(&gone)?.run(&["get", "workloads"])?.refused(4);
    assert!(refused.starts_with("error: "), "{refused}");
    Ok(())
}
