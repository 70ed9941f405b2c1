//! The certificate of the API: read from its files at the start, and again when they change.

use crate::agent::secret;
use anyhow::Context;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::time::MissedTickBehavior;
use windlass_api::Tls;
use windlass_core::error_chain;
use windlass_core::settings::TlsFiles;

/// Time between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(5);

/// The content of a file without reading it: its time, its size and its inode.
type Stamp = Option<(SystemTime, u64, u64)>;

/// The certificate of the files.
///
/// # Errors
/// If a file cannot be read, other users can access the key, or the two do not fit.
pub(crate) fn load(files: &TlsFiles) -> anyhow::Result<Tls> {
    let (certificate, key) = (&files.certificate, &files.key);
    let certificate = std::fs::read_to_string(certificate).with_context(|| {
        format!("cannot read the certificate from `{}` (`api.tls_certificate`)", certificate.display())
    })?;
    let key = secret(key, "private key").context("`api.tls_key`")?;
    let tls = Tls::from_pem(&certificate, key.reveal()).map_err(anyhow::Error::msg);
    Ok(tls.context("`api.tls_certificate` and `api.tls_key` cannot be used")?.answering_plain_requests())
}

/// Watches the files of a certificate.
pub(crate) struct TlsWatch {
    files: TlsFiles,
    tls: Tls,
    /// The files whose content is used, or whose problem was logged.
    seen: [Stamp; 2],
    is_used: bool,
}

impl TlsWatch {
    /// A watch of files that were just loaded.
    pub(crate) fn new(files: TlsFiles, tls: Tls) -> Self {
        let seen = stamps(&files);
        Self { files, tls, seen, is_used: true }
    }

    /// Replaces the certificate each time when the files change. New connections get the new one.
    pub(crate) async fn run(mut self) {
        let mut ticker = tokio::time::interval(INTERVAL);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticker.tick().await;
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            // The runtime ends.
            let Ok(watch) = looked.await else { return };
            self = watch;
        }
    }

    /// Loads the files if they changed. A certificate that cannot be used leaves the old one, and is tried again: the two
    /// files do not change at the same moment.
    fn look(&mut self) {
        let now = stamps(&self.files);
        let is_new = now != self.seen;
        if !is_new && self.is_used {
            return;
        }
        self.seen = now;
        match load(&self.files) {
            Ok(tls) => {
                self.tls.replace(&tls);
                self.is_used = true;
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate of the API was reloaded");
            }
            Err(error) => {
                self.is_used = false;
                if is_new {
                    let reason = error_chain(error.as_ref());
                    tracing::error!(reason, "the changed certificate of the API cannot be used; the old one stays");
                }
            }
        }
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [&files.certificate, &files.key].map(|path| stamp(path))
}

fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use windlass_core::Timestamp;
    use windlass_network::certificates::Certificates;

    fn write(path: &Path, text: &str) {
        // As programs that renew certificates do: a new file takes the place of the old one.
        let new = path.with_extension("new");
        std::fs::write(&new, text).expect("written");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).expect("changed");
        std::fs::rename(&new, path).expect("renamed");
    }

    #[test]
    fn changed_files_are_loaded_when_they_fit_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = TlsFiles { certificate: folder.path().join("certificate.pem"), key: folder.path().join("key.pem") };
        let issue = || {
            let now = Timestamp::from(SystemTime::now());
            Certificates::issue("a lab", &["localhost".to_owned()], now, 1).expect("certificates")
        };
        let [first, second] = [issue(), issue()];
        write(&files.certificate, &first.certificate);
        write(&files.key, first.key.reveal());
        let mut watch = TlsWatch::new(files.clone(), load(&files).expect("they fit"));
        watch.look();
        assert!(watch.is_used);
        write(&files.certificate, &second.certificate);
        watch.look();
        assert!(!watch.is_used, "the key is still the old one");
        write(&files.key, second.key.reveal());
        watch.look();
        assert!(watch.is_used);
        std::fs::remove_file(&files.key).expect("removed");
        watch.look();
        assert!(!watch.is_used, "the loaded one stays");
        let problem = error_chain(load(&files).expect_err("no key").as_ref());
        assert!(problem.contains("`api.tls_key`") && problem.contains("private key"), "{problem}");
    }
}
