//! Runs commands of the program as a person does: with a home folder of its own, through pipes or in a terminal.

use crate::site::binary;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;

/// The result of a command.
#[derive(Debug)]
pub struct Ended {
    /// The exit code. `None` if a signal ended the command.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// The standard output of a command that succeeded without a word on standard error.
    ///
    /// # Panics
    /// If it failed.
    pub fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:#?}");
        self.stdout
    }

    /// The standard output as JSON of a command that succeeded. Notes on standard error are for people.
    ///
    /// # Panics
    /// If it failed, or printed no JSON.
    pub fn json(self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The standard error of a command that ended with this code and printed no result.
    ///
    /// # Panics
    /// If it ended in another way.
    pub fn refused(self, code: i32) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:#?}");
        self.stderr
    }
}

/// A person with a home folder, and variables in the environment.
pub struct Caller {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Caller {
    /// A person with an empty home folder. Every command runs in that folder.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, variables: Vec::new() })
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The home folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A program with the environment of this person.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.folder()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.variables.iter().map(|(name, value)| (name, value))).current_dir(self.folder());
        command
    }

    /// `windlass` with these arguments, as a command to run.
    ///
    /// # Errors
    /// If the program is missing.
    pub fn windlass(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = self.command(binary()?);
        command.args(arguments);
        Ok(command)
    }

    /// Runs `windlass` with these arguments and without input.
    ///
    /// # Errors
    /// If the program is missing, or prints no text.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<Ended> {
        self.run_with(arguments, "")
    }

    /// Runs `windlass` with these arguments and this standard input.
    ///
    /// # Errors
    /// If the program is missing, or prints no text.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<Ended> {
        let mut child = piped(&mut self.windlass(arguments)?)?;
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that fails before it reads leaves its input.
        let _unread = stdin.write_all(input.as_bytes());
        drop(stdin);
        ended(child)
    }

    /// Starts `windlass` with these arguments; its output is piped.
    ///
    /// # Errors
    /// If the program is missing.
    pub fn begin(&self, arguments: &[&str]) -> anyhow::Result<Running> {
        Ok(Running(piped(&mut self.windlass(arguments)?)?))
    }
}

/// A command that does not end by itself. Dropping the value kills it.
pub struct Running(pub Child);

impl Running {
    /// The next line of its output, with its end. It is empty at the end of the output.
    ///
    /// # Errors
    /// If the output cannot be read.
    ///
    /// # Panics
    /// If its output is not piped.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let output = self.0.stdout.as_mut().expect("it is piped");
        let (mut line, mut byte) = (Vec::new(), [0]);
        // A reader with a buffer would lose the beginning of the line after this one.
        while !line.ends_with(b"\n") && output.read(&mut byte)? == 1 {
            line.extend(byte);
        }
        Ok(String::from_utf8(line)?)
    }
}

/// The output of a command so far, read in the background.
#[derive(Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    /// Everything that the command printed.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Running {
    /// Reads its output in the background from now on.
    ///
    /// # Panics
    /// If its output is not piped.
    pub fn collect(&mut self) -> Collected {
        let mut output = self.0.stdout.take().expect("it is piped");
        let collected = Collected::default();
        let kept = collected.clone();
        // The thread ends with the output.
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                kept.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..read]);
            }
        });
        collected
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn piped(command: &mut Command) -> anyhow::Result<Child> {
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

fn ended(child: Child) -> anyhow::Result<Ended> {
    let output = child.wait_with_output()?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

/// A command with its path below the program, and the examples of its help.
#[derive(Debug)]
pub struct Documented {
    /// The words after `windlass`; empty for the program itself.
    pub path: Vec<String>,
    /// The examples, each beginning with `windlass`.
    pub examples: Vec<String>,
    /// Whether it has commands below it.
    pub is_group: bool,
    /// Whether it has the flag for the form of its result.
    pub has_forms: bool,
}

/// The rows of the manual's table about documents: a command, and the fields of its document.
///
/// # Errors
/// If the manual cannot be read.
///
/// # Panics
/// If the manual has no such table.
pub fn documents() -> anyhow::Result<Vec<(String, BTreeSet<String>)>> {
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../MANUAL.md"))?;
    let table = manual.split("| command | fields |").nth(1).expect("the manual has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(|cell| cell.split('`').skip(1).step_by(2));
        let command = cells.next().and_then(|mut cell| cell.next()).unwrap_or_default().to_owned();
        (command, cells.next().into_iter().flatten().map(str::to_owned).collect())
    });
    Ok(rows.collect())
}

/// Every command of the program that its help shows.
///
/// # Errors
/// If the program is missing.
pub fn documented(caller: &Caller) -> anyhow::Result<Vec<Documented>> {
    let mut found = Vec::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = caller.run(&words)?.ok();
        let list =
            help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
        let names = list.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        let below: Vec<&str> = names.filter(|name| *name != "help").collect();
        let examples = help.split("Examples:").nth(1).unwrap_or_default().lines().map(str::trim);
        let examples = examples.filter(|line| line.starts_with("windlass ")).map(str::to_owned).collect();
        open.extend(below.iter().map(|name| [path.clone(), vec![(*name).to_owned()]].concat()));
        let has_forms = help.contains("-o, --output <FORMAT>");
        found.push(Documented { path, examples, is_group: !below.is_empty(), has_forms });
    }
    Ok(found)
}
