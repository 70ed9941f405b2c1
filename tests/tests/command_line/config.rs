//! `windlass config check`: the policies of profiles, without a server.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use windlass_builtin::MIN_MAX;
use windlass_tests::site::binary;

fn check(file: &Path) -> anyhow::Result<Output> {
    let arguments = ["config", "check", "--config", file.to_str().expect("a plain name")];
    let data = file.with_file_name("data");
    let output = Command::new(binary()?).args(arguments).env_clear().env("WINDLASS_DATA_DIR", &data).output()?;
    assert!(!data.exists(), "the check left something behind");
    Ok(output)
}

#[test]
fn each_profile_is_checked_against_its_policies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("windlass.toml");
    fs::write(folder.path().join("mine.wasm"), MIN_MAX)?;
    fs::write(folder.path().join("broken.wasm"), "no component")?;
    let sources = "
        [policies.mine]
        source = 'mine.wasm'
        [policies.broken]
        source = 'broken.wasm'
        [policies.pushed]
        [policies.fetched]
        source = 'oci://registry.example/team/fetched:1'
    ";
    let right = "
        [profiles.web]
        scaling_policy = [{ name = 'pushed' }, { name = 'fetched', config = { a = 1 } }]
        [profiles.web.probe]
        tcp = { port = 80 }
    ";
    fs::write(&file, format!("{sources}{right}"))?;
    let output = check(&file)?;
    let printed = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let comments: Vec<&str> = printed.lines().skip(1).take_while(|line| line.starts_with('#')).collect();
    insta::assert_snapshot!(comments.join("\n"), @r"
    # `profiles.web.scaling_policy[0]`: `pushed` is checked when the server uses it, because it is pushed through the API
    # `profiles.web.scaling_policy[1]`: `fetched` is checked when the server uses it, because its source is a registry
    ");
    assert!(printed.contains("[profiles.web.probe.tcp]\nport = 80\n"), "{printed}");

    let wrong = "
        [profiles.a]
        scaling_policy = { name = 'liveness' }
        health_policy = { name = 'liveness', config = { failure-treshold = 2 } }
        [profiles.b]
        scaling_policy = [{ name = 'broken' }, { name = 'min-max', config = { a = 1 } }, { name = 'mine' }]
        shadow_policies = [{ name = 'nobody' }, { name = 'mine' }, { name = 'liveness' }]
    ";
    fs::write(&file, format!("{sources}{wrong}"))?;
    let output = check(&file)?;
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr)?.replace(&folder.path().display().to_string(), "DIR");
    insta::assert_snapshot!(told, @r"
    error: `profiles.a.scaling_policy`: there is no scaling policy `liveness`; there are: `min-max`, `mine`, `pass-through`, `predictive`, `schedule`, `step`, `target-tracking`
    `profiles.a.health_policy.config`: Additional properties are not allowed ('failure-treshold' was unexpected)
    `profiles.b.scaling_policy[0]`: cannot load `DIR/broken.wasm`: it is not a policy this host can run: the file is text, not a WebAssembly component; if it is WAT, convert it with `wasm-tools parse FILE -o FILE.wasm`
    `profiles.b.scaling_policy[1].config`: Additional properties are not allowed ('a' was unexpected)
    `profiles.b.shadow_policies[0]`: there is no policy `nobody`; it is not built in, and there is no `[policies.nobody]`; add that section if the policy is pushed through the API
    ");
    Ok(())
}
