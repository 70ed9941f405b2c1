//! Checks the documents against the program: links have targets, keys are accepted, commands work as written.

use super::sources::root;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};
use windlass_core::labels::ServiceLabels;
use windlass_tests::images::Fixture;
use windlass_tests::response::redacted;
use windlass_tests::site::{Site, binary};

const DOCUMENTS: [&str; 6] =
    ["README.md", "MANUAL.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a document in a language.
fn blocks(document: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    document.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

/// The program, without environment variables of the person who runs the tests.
fn windlass(arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WINDLASS_")) {
        command.env_remove(name);
    }
    Ok(command.args(arguments).output()?)
}

fn check_configuration(text: &str) -> anyhow::Result<Output> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), text)?;
    windlass(&["config", "check", "--config", &file.path().display().to_string()])
}

/// The anchors of a document's sections.
fn anchors(name: &str) -> BTreeSet<String> {
    let document = read(name);
    let sections = document.lines().filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")));
    let anchor =
        |section: &str| section.to_lowercase().replace(' ', "-").replace(|c| !matches!(c, 'a'..='z' | '-'), "");
    sections.map(anchor).collect()
}

#[test]
fn links_lead_to_what_is_there() {
    let mut dead = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { document } else { file };
            let leads = || root().join(file).exists() && (section.is_empty() || anchors(file).contains(section));
            if !link.contains("://") && !leads() {
                dead.push(format!("{document}: {link}"));
            }
        }
        // The code map names files without linking each.
        let named =
            text.split('`').skip(1).step_by(2).filter(|name| name.ends_with(".rs") && name.starts_with("tests/"));
        dead.extend(named.filter(|name| !root().join(name).exists()).map(|name| format!("{document}: {name}")));
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn the_configurations_shown_are_accepted() -> anyhow::Result<()> {
    let shown = blocks(&read("MANUAL.md"), "toml");
    assert!(shown.len() >= 4);
    for block in shown {
        let output = check_configuration(&block)?;
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

#[test]
fn the_labels_shown_are_accepted() {
    let shown = blocks(&read("MANUAL.md"), "yaml");
    assert!(!shown.is_empty());
    for block in shown {
        let pairs = block.lines().filter_map(|line| line.trim().split_once(": "));
        let labels = pairs.filter(|(name, _)| name.starts_with("windlass."));
        let labels = labels.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect();
        assert!(matches!(ServiceLabels::read(&labels), Ok(Some(_))), "{block}");
    }
}

#[test]
fn the_parts_of_a_start_that_are_shown_are_accepted() -> anyhow::Result<()> {
    let shown = blocks(&read("MANUAL.md"), "jsonc");
    assert!(shown.len() >= 2);
    for block in shown {
        let mut body = windlass_tests::site::start_body("nginx:alpine", 1, 5);
        let part: serde_json::Map<String, Value> = serde_json::from_str(&block)?;
        body.as_object_mut().expect("it is one").extend(part);
        windlass_api::start::workload(&body).map_err(|why| anyhow::anyhow!("{block}\n{why:?}"))?;
    }
    Ok(())
}

#[test]
fn the_example_shows_every_key_with_its_default() -> anyhow::Result<()> {
    // The example's keys are commented out, since they show the defaults.
    let example = read("examples/windlass.toml");
    let defaults = example.lines().map(|line| match line.strip_prefix("# ") {
        // These keys have no default, or one that depends on the machine.
        Some(key)
            if [
                "token_file",
                "host",
                "publish_address",
                "socket_group",
                "data_dir",
                "source",
                "alert_url",
                "address",
                "file",
                "template",
                "check",
                "command",
                "webhook",
                "username",
                "password_file",
                "bearer_token_file",
                "ca_file",
                "tls_certificate",
                "tls_key",
            ]
            .iter()
            .any(|name| key.starts_with(&format!("{name} = "))) =>
        {
            ""
        }
        // A table that is invalid without its required keys.
        Some(table) if table.starts_with('[') && table.ends_with(']') => table,
        Some(key)
            if key.split_once(" = ").is_some_and(|(name, _)| name.chars().all(|c| c.is_lowercase() || c == '_')) =>
        {
            key
        }
        _ => line,
    });
    let shown = check_configuration(&defaults.collect::<Vec<_>>().join("\n"))?;
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let plain = check_configuration("")?;
    assert!(plain.status.success(), "{}", String::from_utf8_lossy(&plain.stderr));

    let keys = |text: &str| -> BTreeSet<String> {
        let mut section = String::new();
        let mut keys = BTreeSet::new();
        for line in text.lines().map(|line| line.trim_start_matches("# ")) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((name, _)) = line.split_once(" = ")
                && name.chars().all(|c| c.is_lowercase() || c == '_')
            {
                keys.insert(format!("{section}.{name}"));
            }
        }
        keys
    };
    let printed = String::from_utf8_lossy(&plain.stdout).into_owned();
    let missing: Vec<String> = keys(&printed).difference(&keys(&example)).cloned().collect();
    // The policies' own settings are printed as sections below `control`.
    let missing: Vec<&String> = missing.iter().filter(|key| !key.contains("_config.")).collect();
    assert!(missing.is_empty(), "examples/windlass.toml does not show {missing:?}");

    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).map(str::to_owned);
        line.unwrap_or_default()
    };
    for key in ["interval", "stop_grace", "decision_time", "memory_bytes", "pull_timeout", "body_bytes", "listen"] {
        let output = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(value(&output, key), value(&printed, key), "the default of `{key}` is another");
    }
    Ok(())
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_right_one() -> anyhow::Result<()> {
    let refused = check_configuration("[control]\nintervall = \"5s\"\n")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(said.contains("intervall") && said.contains("did you mean `interval`"), "{said}");
    Ok(())
}

#[test]
fn the_commands_shown_exist() -> anyhow::Result<()> {
    let makefile = read("Makefile");
    for document in ["README.md", "MANUAL.md", "CONTRIBUTING.md"] {
        for line in blocks(&read(document), "sh").iter().flat_map(|block| block.lines()) {
            let words = shell_words(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["make", recipe, ..] => {
                    assert!(makefile.contains(&format!("\n{recipe}:")), "{document}: no recipe `{recipe}`");
                }
                ["target/release/windlass", arguments @ ..] => {
                    // A command that does not end by itself runs with `--help` instead.
                    let serves = arguments.first() == Some(&"serve") && !arguments.contains(&"--help");
                    let help: &[&str] = if serves { &["--help"] } else { &[] };
                    let arguments = [arguments, help].concat();
                    // The target directory need not be `target` here.
                    let built = binary()?.with_file_name("..").display().to_string();
                    let arguments = arguments.iter().map(|word| match word.strip_prefix("target/") {
                        Some(file) => format!("{built}/{file}"),
                        None => (*word).to_owned(),
                    });
                    let output = Command::new(binary()?).args(arguments).current_dir(root()).output()?;
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{document}: `{line}`: {said}");
                    if words[1] == "simulate" {
                        // The output is the same on every machine, so the document must have it exactly.
                        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                        assert!(read(document).contains(&printed), "{document} does not show {printed}");
                    }
                }
                ["curl", ..] => {}                      // the tour below
                ["export" | "docker-compose", ..] => {} // `tests/tests/engine/image.rs`
                _ => panic!("{document}: no test knows how to check `{line}`"),
            }
        }
    }
    Ok(())
}

/// The commands need a policy that `make examples` builds and runs. Here they run with `--help`, which is printed only
/// after the arguments before it were understood.
#[test]
fn the_commands_of_the_guide_to_policies_are_understood() -> anyhow::Result<()> {
    let languages = ["rust", "c", "javascript", "go", "python"].map(|language| format!("{language}/"));
    for folder in [String::new()].iter().chain(&languages) {
        let page = format!("examples/policies/{folder}README.md");
        let text = read(&page);
        let shown: Vec<&str> = text.lines().filter_map(|line| line.trim_start().strip_prefix("windlass ")).collect();
        assert!(!shown.is_empty(), "{page} shows no command");
        for command in shown {
            let mut words = shell_words(command);
            words.push("--help".to_owned());
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = windlass(&words)?;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{page}: `windlass {command}`: {said}");
        }
    }
    Ok(())
}

/// One `curl` of the tour: method, path and body. Only the tour's flags are supported.
fn request(line: &str) -> (Method, String, Option<String>) {
    let words = shell_words(line);
    let mut words = words.iter().skip(1);
    let (mut method, mut path, mut body) = (None, None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => method = words.next().and_then(|method| method.parse().ok()),
            "--json" | "--data-binary" => body = words.next().cloned(),
            "-H" => assert_eq!(words.next().map(String::as_str), Some("content-type: application/wasm"), "{line}"),
            url => path = url.strip_prefix("127.0.0.1:8000").map(str::to_owned),
        }
    }
    let usual = if body.is_some() { Method::POST } else { Method::GET };
    (method.unwrap_or(usual), path.unwrap_or_else(|| panic!("no address in `{line}`")), body)
}

/// The words of a line; text in single quotes is one word.
fn shell_words(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

/// The fenced blocks of a document as (language, content), in order.
fn fenced(document: &str) -> Vec<(String, String)> {
    let fences: Vec<&str> = document.split("```").collect();
    // Every second piece lies between two fences.
    let blocks = fences.into_iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    blocks.map(|(language, content)| (language.to_owned(), content.to_owned())).collect()
}

#[tokio::test]
async fn the_tour_can_be_walked_as_it_is_written() -> anyhow::Result<()> {
    let site = Site::new("tour").await?;
    // The tests use no external registry: another web server replaces the tour's image.
    let image = site.engine().prepare(Fixture::Web).await?;
    let windlass = site.start().await?;
    let readme = read("README.md").replace("nginx:alpine", image);
    let (mut walked, mut compared) = (0, 0);
    let mut answer = None;
    for (language, content) in fenced(&readme) {
        match language.as_str() {
            "sh" => {
                for line in content.lines().filter(|line| line.starts_with("curl ")) {
                    let (method, path, body) = request(line);
                    let response = match body.as_deref().and_then(|body| body.strip_prefix("@target/")) {
                        Some(component) => {
                            let component = fs::read(binary()?.with_file_name("..").join(component))?;
                            windlass.put_component(&path, component).await
                        }
                        None => windlass.request(method, &path, body).await,
                    };
                    assert_eq!(response.status, 200, "{line}\n{response}");
                    walked += 1;
                    answer = Some(response.body);
                }
            }
            "json" => {
                let shown: Value = serde_json::from_str(&content)?;
                let answer = answer.take().expect("an answer stands below its request");
                assert_eq!(redacted(&shown), redacted(&answer), "README.md shows another answer");
                compared += 1;
            }
            _ => {}
        }
    }
    assert!(walked >= 6 && compared >= 2, "the tour has {walked} steps and shows {compared} answers");
    assert!(site.engine().containers(site.instance()).await?.is_empty(), "the tour leaves containers behind");
    Ok(())
}
