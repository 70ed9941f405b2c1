//! The file with the list of targets: rendered, checked by the user's command, and put in place.

use crate::Workload;
use crate::command::run;
use crate::template::Template;
use std::io;
use std::path::PathBuf;
use windlass_core::settings::DiscoverySettings;
use windlass_files::{Placed, Replacement};

/// Permission bits of the file: a load balancer runs as another user.
const FILE_MODE: u32 = 0o644;

/// The word in `discovery.check` that stands for the path of the new file.
const NEW_FILE: &str = "{}";

/// The file that a load balancer or Prometheus reads.
#[derive(Debug)]
pub(crate) struct TargetsFile {
    path: PathBuf,
    template: Template,
    /// The file's content. `None` if it is unknown.
    written: Option<String>,
    /// Whether the log contains that the file is written in place.
    has_warned: bool,
}

/// The result of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Updated {
    /// The file has new content.
    Written,
    /// The file had this content before.
    Unchanged,
    /// The file keeps its content; the log has the reason.
    Failed,
}

impl TargetsFile {
    /// The file at this path, with the content that it has now.
    pub(crate) fn new(path: PathBuf, template: Template) -> Self {
        let written = std::fs::read_to_string(&path).ok();
        Self { path, template, written, has_warned: false }
    }

    /// Writes the list, unless the file contains it. A list that does not pass `discovery.check` is not put in place.
    pub(crate) async fn update(&mut self, ready: &[Workload], settings: &DiscoverySettings) -> Updated {
        let text = match self.template.render(ready) {
            Ok(text) => text,
            Err(why) => {
                tracing::error!(why, "cannot write the list of targets; correct `discovery.template`");
                return Updated::Failed;
            }
        };
        if self.written.as_ref() == Some(&text) {
            return Updated::Unchanged;
        }
        let file = self.path.display();
        let (path, content) = (self.path.clone(), text.clone().into_bytes());
        let new = match blocking(move || Replacement::prepare(&path, content, FILE_MODE)).await {
            Ok(new) => new,
            Err(error) => {
                tracing::warn!(%file, %error, "cannot write `discovery.file`; it is retried");
                return Updated::Failed;
            }
        };
        let new_path = new.path().to_string_lossy().into_owned();
        let check: Vec<String> = settings.check.iter().map(|word| word.replace(NEW_FILE, &new_path)).collect();
        if let Err(why) = run(&check, settings.command_timeout).await {
            let kept =
                "`discovery.check` rejects the new list of targets; the file stays as it is, and the check is retried";
            tracing::error!(%file, command = ?check, why, "{kept}");
            return Updated::Failed;
        }
        match blocking(move || new.place()).await {
            Ok(placed) => {
                let targets: usize = ready.iter().map(|workload| workload.targets.len()).sum();
                tracing::info!(%file, targets, "wrote the list of targets");
                if placed == Placed::InPlace && !self.has_warned {
                    self.has_warned = true;
                    tracing::warn!(
                        %file,
                        "`discovery.file` is a mount of its own and is written in place, so a reader may see a part of it; \
                         mount its folder instead"
                    );
                }
                self.written = Some(text);
                Updated::Written
            }
            Err(error) => {
                tracing::warn!(%file, %error, "cannot write `discovery.file`; it is retried");
                // A write in place may have failed halfway.
                self.written = None;
                Updated::Failed
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;

    fn workload(name: &str) -> Workload {
        Workload {
            name: name.to_owned(),
            identifier: name.to_owned(),
            image: String::new(),
            labels: BTreeMap::new(),
            targets: Vec::new(),
        }
    }

    fn names_file(path: &Path) -> TargetsFile {
        let template = "{% for workload in workloads %}{{ workload.name }}\n{% endfor %}";
        TargetsFile::new(path.to_owned(), Template::of(template.to_owned()).expect("a template"))
    }

    #[tokio::test]
    async fn a_list_that_the_check_rejects_does_not_replace_the_good_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list");
        let mut file = names_file(&path);
        let check = ["sh", "-c", "test \"$(cat $1)\" != bad", "-", "{}"].map(str::to_owned).to_vec();
        let settings =
            DiscoverySettings { check, command_timeout: Duration::from_secs(20), ..DiscoverySettings::default() };
        let content = || std::fs::read_to_string(&path).expect("the list");
        assert_eq!(file.update(&[workload("good")], &settings).await, Updated::Written);
        assert_eq!(content(), "good\n");
        for _ in 0..2 {
            assert_eq!(file.update(&[workload("bad")], &settings).await, Updated::Failed);
            assert_eq!(content(), "good\n");
        }
        assert_eq!(file.update(&[workload("good")], &settings).await, Updated::Unchanged);
        assert_eq!(file.update(&[workload("better")], &settings).await, Updated::Written);
        assert_eq!(content(), "better\n");
        // A new process knows the content of the file.
        assert_eq!(names_file(&path).update(&[workload("better")], &settings).await, Updated::Unchanged);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "no temporary file is left");
    }

    #[tokio::test]
    async fn a_file_behind_a_link_is_written_and_the_link_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, path) = (folder.path().join("link"), folder.path().join("list"));
        std::os::unix::fs::symlink("list", &link).expect("a link");
        let mut file = names_file(&link);
        assert_eq!(file.update(&[workload("good")], &DiscoverySettings::default()).await, Updated::Written);
        assert_eq!(std::fs::read_to_string(path).expect("the list"), "good\n");
        assert!(link.is_symlink());
    }
}
