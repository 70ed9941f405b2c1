//! Completions and manual pages: every command is in them, and each shell completes with its script.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;
use windlass_tests::commands::{Caller, documented, documents};
use windlass_tests::terminal::Terminal;
use windlass_tests::wait::eventually;

/// Time limit for a shell to answer.
const LIMIT: Duration = Duration::from_secs(30);

/// Keys that a person presses, and the command line that the shell runs then: a command, an option, and a value.
const PRESSED: [(&str, &str); 3] = [
    ("windlass scaling fr\t\n", "ran <scaling freeze>"),
    ("windlass get --wat\t workloads\n", "ran <get --watch workloads>"),
    ("windlass get workloads -o ya\t\n", "ran <get workloads -o yaml>"),
];

/// Presses the keys in a shell whose `windlass` prints its arguments.
async fn press(shell: &Command) -> anyhow::Result<()> {
    let terminal = Terminal::run(shell)?;
    let shows = async |wanted: &str| {
        eventually(&format!("`{wanted}` on the terminal"), LIMIT, async || {
            let text = terminal.text();
            if text.contains(wanted) { Ok(()) } else { Err(text) }
        })
        .await;
    };
    shows("ready> ").await;
    for (keys, expected) in PRESSED {
        terminal.press(keys)?;
        shows(expected).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_person_completes_with_tab_in_bash_and_zsh() -> anyhow::Result<()> {
    let caller = Caller::new()?;
    let write = |name: &str, text: &str| std::fs::write(caller.folder().join(name), text);
    write("windlass.bash", &caller.run(&["completions", "bash"])?.ok())?;
    write("bashrc", "source windlass.bash\nwindlass() { printf 'ran <%s>\\n' \"$*\"; }\nPS1='ready> '\n")?;
    let mut bash = caller.command("bash");
    press(bash.args(["--noprofile", "--rcfile", "bashrc", "-i"])).await?;

    // zsh finds the function by its name in a folder of its path.
    std::fs::create_dir(caller.folder().join("functions"))?;
    write("functions/_windlass", &caller.run(&["completions", "zsh"])?.ok())?;
    write(
        ".zshrc",
        "fpath=(~/functions $fpath)\nautoload -Uz compinit\ncompinit -u -D\nwindlass() { print -r -- \"ran <$*>\" }\n\
         PS1='ready> '\n",
    )?;
    // Without the files of the system.
    press(caller.command("zsh").args(["-d", "-i"])).await
}

#[test]
fn fish_completes_commands_options_and_values() -> anyhow::Result<()> {
    let caller = Caller::new()?;
    std::fs::write(caller.folder().join("windlass.fish"), caller.run(&["completions", "fish"])?.ok())?;
    let complete = |line: &str| -> anyhow::Result<BTreeSet<String>> {
        let mut fish = caller.command("fish");
        let output = fish.args(["--no-config", "-c", "source windlass.fish; complete -C $argv[1]", line]).output()?;
        anyhow::ensure!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
        // A description follows after a tab.
        let words = String::from_utf8(output.stdout)?;
        Ok(words.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect())
    };
    let of = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(complete("windlass sc")?, of(&["scale", "scaling"]));
    assert_eq!(complete("windlass scaling fr")?, of(&["freeze"]));
    assert_eq!(complete("windlass get --wat")?, of(&["--watch"]));
    assert_eq!(complete("windlass get workloads -o ya")?, of(&["yaml"]));
    assert!(!complete("windlass comp")?.contains("compile-policy"), "a hidden command is completed");
    Ok(())
}

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

/// The commands without a row in the manual's table of documents, with the reason.
const WITHOUT_ROW: [(&str, &str); 9] = [
    ("serve", "it is the server"),
    ("agent", "it is a server"),
    ("completions", "it prints a script"),
    ("man", "it prints a page"),
    ("policy wit", "it prints a text of another language"),
    ("policy wrap", "it writes a component, and `-o` names its file"),
    ("policy run", "it always prints a document, that of the policy"),
    ("logs", "it prints a document a line"),
    ("swarm init", "it needs a Swarm; `the_secrets_of_agents_are_made_once_on_a_swarm` checks its document"),
];

#[test]
fn every_command_has_an_example_and_a_document_in_the_manual() -> anyhow::Result<()> {
    let caller = Caller::new()?;
    let rows = documents()?;
    for command in documented(&caller)?.into_iter().filter(|command| !command.is_group) {
        let name = command.path.join(" ");
        let own = format!("windlass {name}");
        let is_own = |example: &String| example.starts_with(&own);
        assert!(!command.examples.is_empty() && command.examples.iter().all(is_own), "{command:?}");
        let has_row = rows.iter().any(|(row, fields)| {
            let is_own = row.strip_prefix(&own).is_some_and(|rest| rest.starts_with(' '));
            is_own && row.ends_with("-o json") && !fields.is_empty()
        });
        match WITHOUT_ROW.iter().find(|(known, _)| *known == name) {
            None => assert!(command.has_forms && has_row, "`{own}` has no `-o json`, or the manual has no row for it"),
            Some(_) => assert!(!has_row, "`{own}` has a row in the manual"),
        }
    }
    Ok(())
}
