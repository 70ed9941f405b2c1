//! The examples that run Windlass: as a user of its own, with variables and arguments that the program knows.

use super::sources::root;
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::process::Command;
use windlass_tests::site::binary;

const COMPOSE: &str = "compose/compose.yaml";
const STACK: &str = "swarm/stack.yaml";

fn read(name: &str) -> String {
    let path = root().join("examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of an example without comments.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The names of variables for Windlass in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    words.filter(|word| word.starts_with("WINDLASS_") && word.len() > "WINDLASS_".len()).collect()
}

#[test]
fn the_unit_and_the_image_run_windlass_without_privileges() {
    let unit = read("deploy/windlass.service");
    let unit = lines(&unit);
    for line in [
        "User=windlass",
        "StateDirectoryMode=0700",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "Environment=WINDLASS_TOKEN_FILE=/etc/windlass/token",
    ] {
        assert!(unit.contains(&line), "the unit has no `{line}`");
    }
    let image = read("deploy/Dockerfile");
    let image = lines(&image);
    let user = image.iter().find_map(|line| line.strip_prefix("USER "));
    assert!(user.is_some_and(|user| !user.starts_with("0") && !user.starts_with("root")), "{user:?}");
}

/// `make image` fails with a larger image, and so does the test of that image.
#[test]
fn the_recipe_and_the_test_of_the_image_have_one_limit_for_its_size() {
    let text =
        |name: &str| std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let number = |text: &str, before: &str| -> Option<u64> {
        let digits = text.split_once(before)?.1.lines().next()?.trim_end_matches(';').replace('_', "");
        digits.parse().ok()
    };
    let recipe = number(&text("Makefile"), "MOST_BYTES := ");
    let test = number(&text("tests/tests/engine/image.rs"), "const MOST_BYTES: i64 = ");
    assert_eq!((recipe, test), (Some(60_000_000), Some(60_000_000)));
}

#[test]
fn the_variables_of_the_unit_and_the_image_are_known() -> anyhow::Result<()> {
    let help = Command::new(binary()?).args(["serve", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    for name in ["deploy/windlass.service", "deploy/Dockerfile"] {
        let text = read(name);
        let text = lines(&text).join("\n");
        let (used, known) = (variables(&text), variables(&help));
        assert!(!used.is_empty() && used.is_subset(&known), "{name}: {:?}", used.difference(&known));
    }
    Ok(())
}

/// The output of a program that reads an example, with the variable that the example requires. An error if it refuses the file.
fn accepted(program: &str, arguments: &[&str], group: Option<&str>) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.env_remove("WINDLASS_IMAGE").env_remove("DOCKER_GID").envs(group.map(|group| ("DOCKER_GID", group)));
    command.args(arguments).current_dir(root().join("examples"));
    let output = command.output().with_context(|| format!("cannot run {program}; `make setup` installs it"))?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn compose_and_swarm_accept_the_examples_with_the_group_of_the_socket() -> anyhow::Result<()> {
    let image = concat!("image: windlass:", env!("CARGO_PKG_VERSION"), "\n");
    for example in [COMPOSE, STACK] {
        let arguments = ["--file", example, "config"];
        let compose = windlass_tests::compose::program();
        let compose = compose.to_str().context("the program of Compose has a readable name")?;
        let found = accepted(compose, &arguments, Some("999"))?;
        assert!(found.contains(image), "{example} has another version: {found}");
        let refused = accepted(compose, &arguments, None).expect_err("the group is missing");
        assert!(refused.to_string().contains("as the first lines of this file say"), "{refused}");
    }
    // Docker before version 24 has no such command.
    let stack = ["stack", "config", "--compose-file", STACK];
    if Command::new("docker").args(["stack", "config", "--help"]).output().is_ok_and(|output| output.status.success()) {
        let found = accepted("docker", &stack, Some("999"))?;
        assert!(found.contains("user: 65532:999\n") && found.contains("order: stop-first\n"), "{found}");
    }
    Ok(())
}

#[test]
fn the_configurations_of_the_image_and_the_stack_are_accepted() -> anyhow::Result<()> {
    for file in ["deploy/windlass.toml", "swarm/windlass.toml"] {
        let program = binary()?.display().to_string();
        accepted(&program, &["config", "check", "--config", file], None)?;
    }
    Ok(())
}

#[test]
fn readme_shows_the_labels_of_the_example() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("it is text");
    let shown =
        readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a block of labels");
    assert!(shown.contains("windlass.enable") && read(COMPOSE).contains(shown), "{shown}");
}

/// Agents read the use of containers only. Two Windlasses never share the data.
#[test]
fn agents_of_the_stack_have_no_socket_and_windlass_stops_before_it_starts() {
    let stack = read(STACK);
    let service = |name: &str| {
        let (_, rest) = stack.split_once(&format!("\n  {name}:\n")).expect("the service");
        rest.split("\n\n").next().unwrap_or_default().to_owned()
    };
    let (agent, windlass) = (service("agent"), service("windlass"));
    assert!(!agent.contains("docker.sock") && agent.contains("source: /sys/fs/cgroup"), "{agent}");
    let mounts: Vec<&str> = agent.split("- type: bind").skip(1).collect();
    assert!(!mounts.is_empty() && mounts.iter().all(|mount| mount.contains("read_only: true")), "{agent}");
    assert!(agent.contains("read_only: true\n    cap_drop: [ALL]") && agent.contains("mode: global"), "{agent}");
    assert!(windlass.contains("order: stop-first") && windlass.contains("cap_drop: [ALL]"), "{windlass}");
}
