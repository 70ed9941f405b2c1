//! Updates a file, a command and a webhook whenever the ready targets change.
//!
//! Only the newest state counts: changes during an update are combined. A failed update is retried with backoff until
//! it succeeds or a newer state replaces it.

use crate::command::run;
use crate::file::{TargetsFile, Updated};
use crate::template::Template;
use crate::{Discovery, Workload, prometheus};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use windlass_control::drain::Subscriber;
use windlass_core::contract::HealthStatus;
use windlass_core::net::{Net, Reach};
use windlass_core::settings::DiscoverySettings;
use windlass_core::{Phase, SourceUrl};

/// Delay before the first retry; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Time after the start in which the list waits for replicas to be probed again. Replicas that were healthy before a
/// restart of Windlass must not leave the list because of it.
const SETTLING: Duration = Duration::from_secs(10);
/// Time in which the list waits for a workload missing from the engine's answers while other workloads are there.
const LONGEST_SETTLING: Duration = Duration::from_secs(60);

/// The treatment of running replicas that were not probed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unprobed {
    AreReady,
    AreNotReady,
}

/// Publishes the ready targets.
pub struct Publisher {
    discovery: Discovery,
    subscriber: Subscriber,
    net: Arc<dyn Net>,
    settings: DiscoverySettings,
    file: Option<TargetsFile>,
    /// The targets for which the command last ran. `None` if it has not run for the file's current content.
    ran_for: Option<Vec<Workload>>,
    /// The targets last sent to the webhook.
    sent: Option<Vec<Workload>>,
}

impl Publisher {
    /// Creates the publisher. `None` if neither a file, a command nor a webhook is configured.
    ///
    /// # Errors
    /// If the template cannot be read or is invalid.
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
        let subscriber = discovery.controller.follow(settings.leave_timeout);
        let file = settings.file.clone().map(|path| TargetsFile::new(path, template));
        Ok(Some(Self { discovery, subscriber, net, settings, file, ran_for: None, sent: None }))
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        self.settle().await;
        let mut wait = FIRST_WAIT;
        loop {
            let is_updated = self.update(Unprobed::AreNotReady).await;
            self.subscriber.dealt_with();
            if is_updated {
                wait = FIRST_WAIT;
                self.subscriber.changed().await;
                continue;
            }
            tokio::select! {
                () = self.subscriber.changed() => {}
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
    }

    /// Waits until every workload known at the start was observed and its replicas were probed. Otherwise a restart of
    /// Windlass would remove all replicas from the list and add them again.
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
            // Replicas about to be stopped leave at once. The others are presumed to be as before the restart.
            if all_seen && views.iter().any(|view| !view.leaving.is_empty()) && self.update(Unprobed::AreReady).await {
                self.subscriber.dealt_with();
            }
            tokio::select! {
                () = self.subscriber.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Updates the file, the command and the webhook if they are out of date. Returns false if one update failed.
    async fn update(&mut self, unprobed: Unprobed) -> bool {
        let ready = self.discovery.ready(unprobed == Unprobed::AreReady);
        let is_written = self.write(&ready).await;
        // The command announces the file, so it does not run if the file was not written.
        let has_run = is_written && self.run_command(&ready).await;
        self.send(&ready).await && has_run
    }

    async fn write(&mut self, ready: &[Workload]) -> bool {
        let Some(file) = &mut self.file else {
            // Without a file, the command announces changes of the targets.
            self.ran_for.take_if(|before| before != ready);
            return true;
        };
        match file.update(ready, &self.settings).await {
            Updated::Written => self.ran_for = None,
            Updated::Unchanged => {}
            Updated::Failed => return false,
        }
        true
    }

    /// Runs the command once after each new file, and once after the start, because it may not have run for an earlier
    /// file.
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
                tracing::warn!(command = ?self.settings.command, why, "`discovery.command` failed; it is retried");
                false
            }
        }
    }

    async fn send(&mut self, ready: &[Workload]) -> bool {
        let Some(url) = self.settings.webhook.as_ref().filter(|_| self.sent.as_deref() != Some(ready)) else {
            return true;
        };
        let targets: Vec<_> = ready.iter().flat_map(|workload| workload.targets.clone()).collect();
        match self.net.post_json(url, Reach::Configured, &prometheus(&targets), self.settings.webhook_timeout).await {
            Ok(()) => {
                self.sent = Some(ready.to_vec());
                true
            }
            Err(error) => {
                // The address may contain a secret.
                let url = SourceUrl::new(url).masked();
                tracing::warn!(url, %error, "cannot send the targets to `discovery.webhook`; it is retried");
                false
            }
        }
    }
}
