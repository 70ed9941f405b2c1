//! The examples that run Windlass: as a user of its own, with variables and arguments that the program knows.

use super::sources::root;
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::process::Command;
use windlass_tests::site::binary;

const COMPOSE: &str = "compose/compose.yaml";

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

/// The services of an example as `docker-compose` understands it, with the variable that the example requires. An error if
/// `docker-compose` refuses the file.
fn services(example: &str, group: Option<&str>) -> anyhow::Result<String> {
    let mut command = Command::new("docker-compose");
    command.env_remove("WINDLASS_IMAGE").env_remove("DOCKER_GID").envs(group.map(|group| ("DOCKER_GID", group)));
    command.current_dir(root().join("examples")).args(["--file", example, "config"]);
    let output = command.output().context("cannot run docker-compose; `make setup` installs it")?;
    ensure!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn compose_accepts_the_example_with_the_group_of_the_socket() -> anyhow::Result<()> {
    let found = services(COMPOSE, Some("999"))?;
    let image = concat!("image: windlass:", env!("CARGO_PKG_VERSION"), "\n");
    assert!(found.contains(image), "another version: {found}");
    let refused = services(COMPOSE, None).expect_err("the group is missing");
    assert!(refused.to_string().contains("as the first lines of this file say"), "{refused}");
    Ok(())
}
