//! Completions and manual pages: every command is in them, and bash completes with its script.

use std::collections::BTreeSet;
use windlass_tests::commands::{Caller, documented};

#[test]
fn bash_completes_commands_flags_and_values() -> anyhow::Result<()> {
    let caller = Caller::new()?;
    let script = caller.run(&["completions", "bash"])?.ok();
    std::fs::write(caller.folder().join("windlass.bash"), script)?;
    let complete = |words: &[&str]| -> anyhow::Result<BTreeSet<String>> {
        let call = "source windlass.bash; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                    _windlass windlass \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                    printf '%s\\n' \"${COMPREPLY[@]}\"";
        let mut bash = caller.command("bash");
        bash.args(["--norc", "--noprofile", "-euo", "pipefail", "-c", call, "bash"]).args(words);
        let output = bash.output()?;
        anyhow::ensure!(output.status.success(), "{words:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
    };
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(complete(&["windlass", "sc"])?, of(&["scale", "scaling"]));
    assert_eq!(complete(&["windlass", "scaling", "fr"])?, of(&["freeze"]));
    assert!(complete(&["windlass", "get", ""])?.is_superset(&of(&["workloads", "containers", "policies"])));
    assert!(complete(&["windlass", "get", "--w"])?.is_superset(&of(&["--workload", "--watch"])));
    assert_eq!(complete(&["windlass", "get", "workloads", "-o", ""])?, of(&["table", "json", "yaml", "name"]));
    assert!(!complete(&["windlass", ""])?.contains("compile-policy"), "a hidden command is completed");
    Ok(())
}

#[test]
fn the_scripts_and_the_pages_have_every_command() -> anyhow::Result<()> {
    let caller = Caller::new()?;
    let paths: Vec<Vec<String>> = documented(&caller)?.into_iter().map(|command| command.path).collect();
    assert!(paths.len() > 40, "{paths:?}");
    for shell in ["zsh", "fish"] {
        let script = caller.run(&["completions", shell])?.ok();
        for path in &paths {
            assert!(path.iter().all(|name| script.contains(name.as_str())), "{shell} has no {path:?}");
        }
    }
    caller.run(&["man", "--directory", "man1"])?.ok();
    let pages: BTreeSet<String> = std::fs::read_dir(caller.folder().join("man1"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    let expected = paths.iter().map(|path| [&["windlass".to_owned()], path.as_slice()].concat().join("-") + ".1");
    assert_eq!(pages, expected.collect());
    for path in paths.iter().filter(|path| !path.is_empty()) {
        let page =
            std::fs::read_to_string(caller.folder().join("man1").join(format!("windlass-{}.1", path.join("-"))))?;
        assert!(page.contains(".TH windlass") && page.contains(".SH SYNOPSIS"), "{path:?}: {page}");
    }
    let page = caller.run(&["man"])?.ok();
    assert!(page.contains(".TH windlass 1") && page.contains("windlass\\-get(1)"), "{page}");
    Ok(())
}

#[test]
fn every_command_has_an_example() -> anyhow::Result<()> {
    let caller = Caller::new()?;
    for command in documented(&caller)?.into_iter().filter(|command| !command.is_group) {
        let own = format!("windlass {}", command.path.join(" "));
        let is_own = |example: &String| example.starts_with(&own);
        assert!(!command.examples.is_empty() && command.examples.iter().all(is_own), "{command:?}");
    }
    Ok(())
}
