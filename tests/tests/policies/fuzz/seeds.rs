//! The seeds: files of the corpus, and examples of the project.

use std::path::{Path, PathBuf};

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder with the seeds of a target.
pub(crate) fn corpus(target: &str) -> PathBuf {
    root().join("tests/fuzz/corpus").join(target)
}

/// The folder for inputs on which a target failed. Git ignores it.
pub(crate) fn failures(target: &str) -> PathBuf {
    corpus("failures").join(target)
}

/// The files in a folder, by name. A missing folder has none.
pub(crate) fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed is readable")).collect()
}

/// The files in a folder of the project, by name.
pub(crate) fn examples(folder: &str) -> Vec<Vec<u8>> {
    let found = files(&root().join(folder));
    assert!(!found.is_empty(), "no files in {folder}");
    found
}
