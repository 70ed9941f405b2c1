//! Embeds the files of the example policies, from which `windlass policy new` creates projects.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const LANGUAGES: [&str; 5] = ["c", "go", "javascript", "python", "rust"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    list_templates(&examples, &out_dir.join("templates.rs"))
}

/// Writes a list of every file of the example policies and a sample observation for each language: (language, path in the
/// language's folder, content).
fn list_templates(examples: &Path, output: &Path) -> Result<(), Box<dyn Error>> {
    let observation = examples.join("observations/scaling.json");
    println!("cargo::rerun-if-changed={}", observation.display());
    let mut list = String::from("&[\n");
    for language in LANGUAGES {
        let folder = examples.join("policies").join(language);
        let ignore = fs::read_to_string(folder.join(".gitignore"))?;
        let ignored: Vec<&str> = ignore.lines().map(|line| line.trim_matches('/')).collect();
        let mut files = Vec::new();
        collect(&folder, &ignored, &mut files)?;
        files.sort();
        for file in files {
            println!("cargo::rerun-if-changed={}", file.display());
            let path = file.strip_prefix(&folder)?.display().to_string();
            writeln!(list, "    ({language:?}, {path:?}, include_bytes!({:?})),", file.display().to_string())?;
        }
        writeln!(
            list,
            "    ({language:?}, \"observation.json\", include_bytes!({:?})),",
            observation.display().to_string()
        )?;
    }
    list.push_str("]\n");
    fs::write(output, list)?;
    Ok(())
}

/// Collects the files below a folder, except ignored ones. A pattern is a name, with an optional `*` at its end.
fn collect(folder: &Path, ignored: &[&str], files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ignored = ignored.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *pattern,
        });
        if is_ignored {
            continue;
        }
        if path.is_dir() {
            collect(&path, ignored, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
