//! A project of Compose on the real engine, and containers with the labels of Compose v2; removed at the end.

use super::fixture::{Fixture, docker};
use serde_json::Value;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use windlass_core::{Declaration, Workload, WorkloadKey};
use windlass_tests::compose;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A project. Compose reads its file from a folder.
pub(crate) struct Project {
    pub(crate) name: String,
    folder: TempDir,
}

impl Project {
    /// A project with this file. `IMAGE` and `INSTANCE` in it stand for those of the fixture.
    pub(crate) fn new(fixture: &Fixture, file: &str) -> Self {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wl{}x{count}", std::process::id());
        let project = Self { name, folder: tempfile::tempdir().unwrap() };
        project.write(fixture, file);
        project
    }

    pub(crate) fn write(&self, fixture: &Fixture, file: &str) {
        let file = file.replace("IMAGE", &fixture.image).replace("INSTANCE", &fixture.instance);
        std::fs::write(self.folder.path().join("docker-compose.yml"), file).unwrap();
    }

    /// Runs `docker-compose`, and returns what it printed.
    pub(crate) fn compose(&self, arguments: &[&str]) -> String {
        let engine = format!("unix://{}", super::fixture::socket());
        let output = compose::command(&engine, &self.name, self.folder.path()).args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The name that Compose gives to a container.
    pub(crate) fn container(&self, service: &str, number: u32) -> String {
        compose::container(&self.name, service, number)
    }

    pub(crate) fn key(&self, service: &str) -> WorkloadKey {
        WorkloadKey::stored(format!("{}-{service}", self.name))
    }

    pub(crate) fn declaration(&self, service: &str) -> Declaration {
        Declaration::Compose { project: self.name.clone(), service: service.to_owned() }
    }

    /// The adopted workload of a service.
    pub(crate) fn workload(&self, fixture: &Fixture, service: &str) -> Workload {
        Workload { key: self.key(service), declaration: self.declaration(service), ..fixture.workload(&[]) }
    }

    /// The labels of a container of Compose v2, for `docker create`. The tests need them on a machine with Compose v1.
    ///
    /// They are those of a container that Compose 2.26.1 of Debian 13 created. Its `pkg/api/labels.go` declares them under the
    /// names beside each, and `prepareLabels` in `pkg/compose/create.go` sets them. The remaining labels of that file are not on
    /// a container that `up` creates:
    ///
    /// - `NetworkLabel` and `VolumeLabel` are those of networks and volumes;
    /// - `SlugLabel` is on containers of `docker compose run`, beside `OneoffLabel` with `True`;
    /// - `EnvironmentFileLabel` names the files of `--env-file`;
    /// - `ContainerReplaceLabel` is on a container that takes the place of another one, with that one's identifier;
    /// - `ImageBuilderLabel`, of later versions, is a label of images that Compose built.
    pub(crate) fn labels_of_v2(&self, fixture: &Fixture, service: &str, number: u32) -> Vec<String> {
        let labels = [
            // ConfigHashLabel: the SHA-256 of the service in the file, without its count.
            ("com.docker.compose.config-hash", "b86b401e0a09fa969534ab0044dbfa35".repeat(2)),
            // ContainerNumberLabel.
            ("com.docker.compose.container-number", number.to_string()),
            // DependenciesLabel: `SERVICE:CONDITION:RESTART`, joined by commas. Empty without dependencies.
            (
                "com.docker.compose.depends_on",
                "db:service_started:false,job:service_completed_successfully:false".to_owned(),
            ),
            // ImageDigestLabel: the identifier of the image.
            ("com.docker.compose.image", format!("sha256:{}", "00".repeat(32))),
            // OneoffLabel.
            ("com.docker.compose.oneoff", "False".to_owned()),
            // ProjectLabel.
            ("com.docker.compose.project", self.name.clone()),
            // ConfigFilesLabel: paths, joined by commas.
            ("com.docker.compose.project.config_files", "/srv/shop/compose.yaml".to_owned()),
            // WorkingDirLabel.
            ("com.docker.compose.project.working_dir", "/srv/shop".to_owned()),
            // ServiceLabel.
            ("com.docker.compose.service", service.to_owned()),
            // VersionLabel: without the `v` and the revision of the package.
            ("com.docker.compose.version", "2.26.1".to_owned()),
            ("windlass.enable", "true".to_owned()),
            ("windlass.max", "4".to_owned()),
            ("windlass.instance", fixture.instance.clone()),
        ];
        labels.into_iter().flat_map(|(name, value)| ["--label".to_owned(), format!("{name}={value}")]).collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        for (kind, remove) in
            [("container", &["rm", "--force", "--volumes"][..]), ("network", &["rm"]), ("volume", &["rm"])]
        {
            let all: &[&str] = if kind == "container" { &["--all"] } else { &[] };
            let listed = docker(&[&[kind, "ls", "--quiet", "--filter", &filter], all].concat());
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let ids: Vec<&str> = listed.split_whitespace().collect();
            if !ids.is_empty() {
                docker(&[&[kind], remove, ids.as_slice()].concat());
            }
        }
    }
}

/// The inspection of a container.
pub(crate) fn inspect(name: &str) -> Value {
    let output = docker(&["container", "inspect", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut all: Value = serde_json::from_slice(&output.stdout).unwrap();
    all[0].take()
}

/// Runs the Docker client, and returns what it printed.
pub(crate) fn docker_prints(arguments: &[&str]) -> String {
    let output = docker(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
