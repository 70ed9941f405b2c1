//! Inspects and changes the container engine independently of Windlass.

use crate::images::{self, Fixture};
use crate::wait::until;
use anyhow::Context;
use bollard::Docker;
use bollard::models::{ContainerConfig, ContainerCreateBody, ContainerSummary, HostConfig};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptions, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    EventsOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::time::Duration;

/// The label with the image, kept from the system with which Windlass is compatible.
pub const IMAGE_LABEL: &str = "orchestrator.image";

/// The label with the instance name of the Windlass that owns a container.
pub const INSTANCE_LABEL: &str = "windlass.instance";

/// A container engine (Docker).
#[derive(Clone)]
pub struct Engine {
    docker: Docker,
    host: String,
}

impl Engine {
    /// This machine's engine: `DOCKER_HOST`, otherwise the default socket.
    ///
    /// # Errors
    /// If no engine answers; the text says what to do.
    pub async fn of_this_machine() -> anyhow::Result<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
        Self::at(&host).await.with_context(|| {
            format!(
                "no Docker engine answers at `{host}`; these tests need one: `make setup` starts it \
                 (a user without access to it needs sudo, or the group `docker`)"
            )
        })
    }

    /// The engine at an address.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn at(host: &str) -> anyhow::Result<Self> {
        let docker = Docker::connect_with_host(host)?;
        docker.ping().await?;
        Ok(Self { docker, host: host.to_owned() })
    }

    /// The engine's address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The client of the engine's API.
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Builds the image of a fixture unless it exists, and returns its reference.
    ///
    /// # Errors
    /// If the engine rejects the image.
    pub async fn prepare(&self, fixture: Fixture) -> anyhow::Result<&'static str> {
        // Two tests that build the same image would leave one of the two without a name.
        static BUILDING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _building = BUILDING.lock().await;
        let reference = fixture.reference();
        let command = fixture.command();
        let present = self.docker.inspect_image(reference).await.ok().and_then(|image| image.config?.cmd);
        if present.as_ref() == Some(&command) {
            return Ok(reference);
        }
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        self.import(reference, images::root_file_system()?, &command, fixture.instructions()).await?;
        if let Some(signal) = fixture.stop_signal() {
            self.set_stop_signal(reference, signal).await?;
        }
        Ok(reference)
    }

    /// Gives an image a stop signal, which an import cannot do.
    async fn set_stop_signal(&self, reference: &str, signal: &str) -> anyhow::Result<()> {
        let body = ContainerCreateBody { image: Some(reference.to_owned()), ..ContainerCreateBody::default() };
        let container = self.docker.create_container(None::<CreateContainerOptions>, body).await?.id;
        let (repository, tag) = reference.split_once(':').context("an image's reference has a tag")?;
        let options = CommitContainerOptionsBuilder::new().container(&container).repo(repository).tag(tag).build();
        let config = ContainerConfig { stop_signal: Some(signal.to_owned()), ..ContainerConfig::default() };
        let committed = self.docker.commit_container(options, config).await;
        self.remove(&container).await;
        committed?;
        Ok(())
    }

    /// Builds an image from an archive of its file system, a command and other Dockerfile instructions.
    ///
    /// # Errors
    /// If the engine rejects the image.
    pub async fn import(
        &self,
        reference: &str,
        root: Vec<u8>,
        command: &[&str],
        instructions: Vec<String>,
    ) -> anyhow::Result<()> {
        let (repository, tag) = reference.split_once(':').context("an image's reference has a tag")?;
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(repository)
            .tag(tag)
            .changes([vec![format!("CMD {}", serde_json::to_string(command)?)], instructions].concat())
            .build();
        let body = bollard::body_full(root.into());
        self.docker.create_image(Some(options), Some(body), None).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// Every container of an instance, running or not.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn containers(&self, instance: &str) -> anyhow::Result<Vec<ContainerSummary>> {
        let filters = HashMap::from([("label", vec![format!("{INSTANCE_LABEL}={instance}")])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        Ok(self.docker.list_containers(Some(options)).await?)
    }

    /// The full identifiers of an instance's running containers, sorted.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn running(&self, instance: &str) -> anyhow::Result<Vec<String>> {
        use bollard::models::ContainerSummaryStateEnum as State;
        let containers = self.containers(instance).await?;
        let running = containers.into_iter().filter(|container| container.state == Some(State::RUNNING));
        let mut identifiers: Vec<String> = running.filter_map(|container| container.id).collect();
        identifiers.sort();
        Ok(identifiers)
    }

    /// Kills a container's process without going through Windlass.
    ///
    /// # Errors
    /// If the container does not run.
    pub async fn kill(&self, id: &str) -> anyhow::Result<()> {
        Ok(self.docker.kill_container(id, None::<bollard::query_parameters::KillContainerOptions>).await?)
    }

    /// Stops a container like `docker stop`.
    ///
    /// # Errors
    /// If the engine rejects the request.
    pub async fn stop(&self, id: &str) -> anyhow::Result<()> {
        Ok(self.docker.stop_container(id, None::<bollard::query_parameters::StopContainerOptions>).await?)
    }

    /// Pauses a container like `docker pause`.
    ///
    /// # Errors
    /// If the engine rejects the request.
    pub async fn pause(&self, id: &str) -> anyhow::Result<()> {
        Ok(self.docker.pause_container(id).await?)
    }

    /// Continues a container like `docker unpause`.
    ///
    /// # Errors
    /// If the engine rejects the request.
    pub async fn unpause(&self, id: &str) -> anyhow::Result<()> {
        Ok(self.docker.unpause_container(id).await?)
    }

    /// Starts a container like `docker start`.
    ///
    /// # Errors
    /// If the engine rejects the request.
    pub async fn start(&self, id: &str) -> anyhow::Result<()> {
        Ok(self.docker.start_container(id, None).await?)
    }

    /// Starts a command in a container, and does not wait for its end.
    ///
    /// # Errors
    /// If the engine rejects the request.
    pub async fn exec(&self, id: &str, command: &[&str]) -> anyhow::Result<()> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let exec = bollard::models::ExecConfig { cmd: Some(command), ..Default::default() };
        let exec = self.docker.create_exec(id, exec).await?;
        let detached = bollard::exec::StartExecOptions { detach: true, ..Default::default() };
        self.docker.start_exec(&exec.id, Some(detached)).await?;
        Ok(())
    }

    /// Creates and starts a container with these labels that belongs to no Windlass, and returns its identifier. Remove
    /// it with [`Engine::remove`].
    ///
    /// # Errors
    /// If the engine rejects the request.
    pub async fn run(&self, name: &str, image: &str, labels: &[(&str, &str)]) -> anyhow::Result<String> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            labels: Some(labels),
            host_config: Some(HostConfig { publish_all_ports: Some(false), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let created = self.docker.create_container(Some(options), body).await?;
        self.docker.start_container(&created.id, None).await?;
        Ok(created.id)
    }

    /// Removes a container, running or not. A container that is gone is no error.
    pub async fn remove(&self, id: &str) {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        // Cleaning up must not hide a test's own failure; the next listing shows what is left.
        drop(self.docker.remove_container(id, Some(options)).await);
    }

    /// Removes every container of an instance whose process has ended. Waits for containers that the engine still
    /// creates for requests sent before.
    pub async fn remove_all(&self, instance: &str) {
        let mut empty_looks = 0;
        let gone = until("the containers to go", Duration::from_secs(60), async || {
            let containers = self.containers(instance).await.map_err(|error| error.to_string())?;
            empty_looks = if containers.is_empty() { empty_looks + 1 } else { 0 };
            let removals = containers.iter().filter_map(|container| container.id.as_deref()).map(|id| self.remove(id));
            futures_util::future::join_all(removals).await;
            if empty_looks >= 5 { Ok(()) } else { Err(format!("{} were there", containers.len())) }
        });
        // Destructors call this and cannot report an error; the instance name identifies what is left.
        drop(gone.await);
    }

    /// The number of events of one kind (`create`, `die`, …) of an instance's containers between two times, in seconds
    /// since the epoch.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn count_events(&self, instance: &str, action: &str, since: u64, until: u64) -> anyhow::Result<usize> {
        let filters = HashMap::from([
            ("label", vec![format!("{INSTANCE_LABEL}={instance}")]),
            ("event", vec![action.to_owned()]),
            ("type", vec!["container".to_owned()]),
        ]);
        let options =
            EventsOptionsBuilder::new().since(&since.to_string()).until(&until.to_string()).filters(&filters).build();
        Ok(self.docker.events(Some(options)).filter(|event| std::future::ready(event.is_ok())).count().await)
    }
}
