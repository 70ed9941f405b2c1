//! The examples in `examples/deploy` run Windlass as a user of its own, with variables that the program knows.

use super::sources::root;
use std::collections::BTreeSet;
use std::process::Command;
use windlass_tests::site::binary;

fn read(name: &str) -> String {
    let path = root().join("examples/deploy").join(name);
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
    let unit = read("windlass.service");
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
    let image = read("Dockerfile");
    let image = lines(&image);
    let user = image.iter().find_map(|line| line.strip_prefix("USER "));
    assert!(user.is_some_and(|user| !user.starts_with("0") && !user.starts_with("root")), "{user:?}");
    assert!(image.iter().any(|line| line.contains("install -d -m 0700")), "the image has a private data directory");
}

#[test]
fn the_variables_of_the_unit_and_the_image_are_known() -> anyhow::Result<()> {
    let help = Command::new(binary()?).args(["serve", "--help"]).output()?;
    let help = String::from_utf8(help.stdout)?;
    for name in ["windlass.service", "Dockerfile"] {
        let text = read(name);
        let text = lines(&text).join("\n");
        let (used, known) = (variables(&text), variables(&help));
        assert!(!used.is_empty() && used.is_subset(&known), "{name}: {:?}", used.difference(&known));
    }
    Ok(())
}
