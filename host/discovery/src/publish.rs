//! Tells a file, a command and a webhook whenever the ready targets change. The newest state is what counts: changes that
//! come while one is told are one, and what failed is tried again, with backoff, until it is delivered or superseded.

use crate::template::Template;
use crate::{Discovery, Workload, prometheus};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_control::drain::Subscriber;
use windlass_core::Phase;
use windlass_core::contract::HealthStatus;
use windlass_core::net::Net;
use windlass_core::settings::DiscoverySettings;

/// Wait before something that failed is tried again; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long after the start a list waits for replicas to be probed again: those that were well before a restart of
/// Windlass are not to leave it for that.
const SETTLING: Duration = Duration::from_secs(10);
/// How long it waits for a workload that the engine does not show while it shows others.
const LONGEST_SETTLING: Duration = Duration::from_secs(60);
/// Bytes shown of what a command complained of.
const COMPLAINT: u64 = 1_024;

/// What is said of replicas that run and were not asked yet how they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unasked {
    AreReady,
    AreNotReady,
}

/// Follows the ready targets.
pub struct Publisher {
    discovery: Discovery,
    follower: Subscriber,
    net: Arc<dyn Net>,
    settings: DiscoverySettings,
    template: Template,
    /// What the file holds; none: not known.
    written: Option<String>,
    /// For what the command ran; none: not for what the file holds.
    ran_for: Option<Vec<Workload>>,
    /// What the webhook was sent.
    sent: Option<Vec<Workload>>,
}

impl Publisher {
    /// None: nobody is to be told.
    ///
    /// # Errors
    /// When the template cannot be read, or is none.
    pub fn new(discovery: Discovery, net: Arc<dyn Net>, settings: DiscoverySettings) -> Result<Option<Self>, String> {
        if settings.file.is_none() && settings.command.is_empty() && settings.webhook.is_none() {
            return Ok(None);
        }
        let template = match &settings.template {
            None => Template::prometheus(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| error.to_string())
                .and_then(Template::of)
                .map_err(|why| format!("`discovery.template`, `{}`: {why}", path.display()))?,
        };
        let follower = discovery.controller.follow(settings.leave_timeout);
        let written = settings.file.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        Ok(Some(Self { discovery, follower, net, settings, template, written, ran_for: None, sent: None }))
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        self.settle().await;
        let mut wait = FIRST_WAIT;
        loop {
            let is_told = self.tell(Unasked::AreNotReady).await;
            self.follower.dealt_with();
            if is_told {
                wait = FIRST_WAIT;
                self.follower.changed().await;
                continue;
            }
            tokio::select! {
                () = self.follower.changed() => {}
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
    }

    /// Waits until every workload that was there at the start was looked at and its replicas were probed. A Windlass that
    /// is restarted would otherwise take them all out of the list and put them in again.
    async fn settle(&mut self) {
        let (mut first_seen, mut all_seen_since) = (None, None);
        loop {
            let views = self.discovery.controller.views();
            if views.iter().any(|view| view.seen.is_some()) {
                first_seen.get_or_insert_with(Instant::now);
            }
            let all_seen = views.iter().all(|view| view.seen.is_some());
            if all_seen {
                all_seen_since.get_or_insert_with(Instant::now);
            }
            let all_probed = views.iter().all(|view| {
                let mut running = view.replicas.iter().filter(|replica| replica.phase == Phase::Running);
                running.all(|replica| view.health.get(&replica.id).is_some_and(|was| *was != HealthStatus::Starting))
            });
            let left =
                |since: Option<Instant>, limit: Duration| since.map(|since| limit.saturating_sub(since.elapsed()));
            let waits = [left(all_seen_since, SETTLING), left(first_seen, LONGEST_SETTLING)];
            let wait = waits.into_iter().flatten().min().unwrap_or(LONGEST_SETTLING);
            if (all_seen && all_probed) || wait.is_zero() {
                return;
            }
            // Who is about to be stopped leaves at once; what is left is as it was before the restart, so far as one can say.
            if all_seen && views.iter().any(|view| !view.leaving.is_empty()) && self.tell(Unasked::AreReady).await {
                self.follower.dealt_with();
            }
            tokio::select! {
                () = self.follower.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Tells those who do not know yet. False: one could not be told.
    async fn tell(&mut self, unasked: Unasked) -> bool {
        let ready = self.discovery.ready(unasked == Unasked::AreReady);
        let is_written = self.write(&ready).await;
        // The command is about the file: without it there is nothing new to say.
        let has_run = is_written && self.run_command(&ready).await;
        self.send(&ready).await && has_run
    }

    async fn write(&mut self, ready: &[Workload]) -> bool {
        let Some(path) = self.settings.file.clone() else {
            // There the command is about what is asked for.
            self.ran_for.take_if(|before| before != ready);
            return true;
        };
        let text = match self.template.render(ready) {
            Ok(text) => text,
            Err(why) => {
                tracing::error!(why, "the list of targets cannot be written: its template fails");
                return false;
            }
        };
        if self.written.as_ref() == Some(&text) {
            return true;
        }
        let (file, content) = (path.clone(), text.clone());
        let replaced = tokio::task::spawn_blocking(move || replace(&file, &content)).await;
        match replaced.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Ok(()) => {
                let targets: usize = ready.iter().map(|workload| workload.targets.len()).sum();
                tracing::info!(file = %path.display(), targets, "the list of targets was written");
                self.written = Some(text);
                self.ran_for = None;
                true
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the list of targets cannot be written");
                false
            }
        }
    }

    /// Once after each new file, and once after the start: a file of before may have had no command run for it.
    async fn run_command(&mut self, ready: &[Workload]) -> bool {
        if self.settings.command.is_empty() || self.ran_for.is_some() {
            return true;
        }
        match run(&self.settings.command, self.settings.command_timeout).await {
            Ok(()) => {
                self.ran_for = Some(ready.to_vec());
                true
            }
            Err(why) => {
                tracing::warn!(command = ?self.settings.command, why, "`discovery.command` failed");
                false
            }
        }
    }

    async fn send(&mut self, ready: &[Workload]) -> bool {
        let Some(url) = self.settings.webhook.as_ref().filter(|_| self.sent.as_deref() != Some(ready)) else {
            return true;
        };
        let targets: Vec<_> = ready.iter().flat_map(|workload| workload.targets.clone()).collect();
        match self.net.post_json(url, &prometheus(&targets), self.settings.webhook_timeout).await {
            Ok(()) => {
                self.sent = Some(ready.to_vec());
                true
            }
            Err(error) => {
                tracing::warn!(url, %error, "`discovery.webhook` was not told of the targets");
                false
            }
        }
    }
}

/// Puts a new file in the place of the old one, so that a reader finds one or the other whole.
fn replace(path: &Path, content: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".windlass-").tempfile_in(folder)?;
    file.write_all(content.as_bytes())?;
    // A balancer runs as another user.
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Runs a program to its end, without a shell and without our secrets.
async fn run(command: &[String], limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    // A file and no pipe: what it leaves running in the background may hold it open.
    let mut complaint = tempfile::tempfile().map_err(|error| error.to_string())?;
    let stderr = complaint.try_clone().map_err(|error| error.to_string())?;
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .env_remove("WINDLASS_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("it cannot be run: {error}"))?;
    match tokio::time::timeout(limit, child.wait()).await {
        Err(_) => Err(format!("it took more than {} ms and was killed", limit.as_millis())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let mut said = Vec::new();
            let read = complaint.rewind().and_then(|()| complaint.take(COMPLAINT).read_to_end(&mut said));
            let said = read.map(|_| String::from_utf8_lossy(&said).trim().to_owned()).unwrap_or_default();
            Err(format!("it ended with {status}: {said}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn a_command_has_no_shell_a_bounded_time_and_says_why_it_failed() {
        let long = Duration::from_secs(20);
        assert_eq!(run(&words(&["test", "$HOME", "=", "$HOME"]), long).await, Ok(()));
        let failed = run(&words(&["sh", "-c", "echo no such backend >&2; exit 3"]), long).await;
        assert_eq!(failed, Err("it ended with exit status: 3: no such backend".to_owned()));
        let slow = run(&words(&["sleep", "60"]), Duration::from_millis(100)).await;
        assert_eq!(slow, Err("it took more than 100 ms and was killed".to_owned()));
        // One that leaves somebody behind who holds its standard error is over when it is over.
        assert_eq!(run(&words(&["sh", "-c", "sleep 30 & exit 0"]), long).await, Ok(()));
        assert!(run(&words(&["/nowhere/program"]), long).await.is_err_and(|why| why.starts_with("it cannot be run")));
    }

    #[test]
    fn a_file_is_replaced_whole_and_can_be_read_by_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("targets.json");
        std::fs::write(&path, "before").expect("a file");
        let before = std::fs::File::open(&path).expect("the file");
        replace(&path, "after").expect("replaced");
        assert_eq!(std::io::read_to_string(before).expect("the old one"), "before");
        assert_eq!(std::fs::read_to_string(&path).expect("the new one"), "after");
        assert_eq!(path.metadata().expect("the file").permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
        assert!(replace(&folder.path().join("nowhere/x"), "x").is_err());
    }
}
