//! Reads a damaged `windlass.toml`. A valid one is written as TOML without secrets, and read again.

use crate::fuzz::seeds::root;
use crate::fuzz::target::{Parser, Target};
use std::path::Path;
use windlass::config::{Config, ConfigError, Overrides, Surroundings, load};

pub(crate) const TARGET: Target = Target {
    name: "configuration",
    cases: 250,
    seeds: || vec![std::fs::read(root().join("examples/windlass.toml")).expect("the example")],
    words: &[
        "\n[api]\n",
        "\n[engine]\n",
        "\n[control]\n",
        "\n[policy]\n",
        "\n[policies.queue]\n",
        "\n[policies.queue.http]\n",
        "\n[discovery]\n",
        "\n[store]\n",
        "\n[log]\n",
        "\n[[a]]\n",
        "hosts = [\"https://a.example\"]\n",
        "\"1s\"",
        "\"1h\"",
        "\"64MiB\"",
        "\"-1ms\"",
        "\"99999999999999999999h\"",
        "127.0.0.1:0",
        "[::]:80",
        "1979-05-27T07:32:00Z",
        "'''",
        "\"\"\"",
        "a.b.c = 1\n",
        "= {a = [",
    ],
    start,
};

/// The configuration of a file, as a user without environment variables reads it.
fn read(file: &Path, text: &str) -> Result<Config, ConfigError> {
    std::fs::write(file, text).expect("the file can be written");
    let overrides = Overrides { file: Some(file.to_owned()), ..Overrides::default() };
    load(&overrides, &Surroundings { variable: &|_| None, is_root: true })
}

fn start() -> Parser {
    let folder = tempfile::tempdir().expect("a folder");
    Box::new(move |input| {
        let file = folder.path().join("windlass.toml");
        match read(&file, &String::from_utf8_lossy(input)) {
            Ok(config) => {
                let written = config.to_toml();
                let again = read(&file, &written).unwrap_or_else(|error| panic!("{error}\n{written}"));
                assert_eq!(again.to_toml(), written);
                true
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                false
            }
        }
    })
}
