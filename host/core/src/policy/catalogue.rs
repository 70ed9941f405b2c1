//! Policies as operators see them: names, revisions, and the operations on them.

use crate::settings::HttpGrant;
use crate::text;
use crate::{PolicyChoice, PolicyFailure, PolicyKind, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One policy in a listing: its acting revision, or the newest if none acts.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyInfo {
    /// Name that it is registered under.
    pub name: String,
    /// Its kind.
    pub kind: PolicyKind,
    /// Version in its description.
    pub version: String,
    /// One line from its description.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// `sha256:` and the component's digest.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// Origin of the listed revision. `None` if the policy is built in.
    pub source: Option<Source>,
    /// The last delivery of its file or registry.
    pub taken: Option<Taken>,
    /// Names of its imports.
    pub imports: Vec<String>,
    /// Whether the same input produces the same answer. `false` if it may send HTTP requests.
    pub replayable: bool,
    /// The outgoing HTTP that it was granted.
    pub http: Option<HttpGrant>,
    /// Failed calls since it was loaded, by kind. If it is loaded or built in, every kind is present.
    pub failures: BTreeMap<String, u64>,
    /// Number of the acting revision. 0 if the policy is built in. `None` if no revision acts: then the built-in policy of its
    /// kind takes its place.
    pub acting: Option<u32>,
    /// Number of the candidate, which shadows the acting revision in every workload.
    pub candidate: Option<u32>,
    /// Every kept revision, newest first. Empty if the policy is built in.
    pub revisions: Vec<RevisionInfo>,
    /// The last 100 events, newest first.
    pub events: Vec<PolicyEvent>,
    /// The workloads in which it failed so often in a row that another policy takes its place, by name.
    pub failing: Vec<FailingPolicy>,
    /// The reason why its source could not deliver the newest component.
    pub source_problem: Option<String>,
}

/// A workload in which a policy failed so often in a row that another policy takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingPolicy {
    /// Key of the workload.
    pub workload: String,
    /// Number of the revision. 0 if the policy is built in.
    pub revision: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Time of the first failure.
    pub since: Timestamp,
    /// The last failure.
    pub last: PolicyFailure,
    /// Time of the next attempt.
    pub retry_at: Timestamp,
}

/// Events kept for each policy.
pub const EVENTS_KEPT: usize = 100;

/// A change of the revision that acts, or is to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEvent {
    /// Time of the event.
    pub at: Timestamp,
    /// Number of the revision.
    pub revision: u32,
    /// The event in one sentence.
    pub what: String,
}

/// Origin of a revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It was pushed through the API.
    #[default]
    Upload,
    /// A file that `windlass.toml` names, or a file in the folder that it names.
    File,
    /// An OCI registry that `windlass.toml` names.
    Registry,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upload => "upload",
            Self::File => "file",
            Self::Registry => "registry",
        })
    }
}

/// The last delivery of a file or a registry. It is kept longer than the revision that it became: the source pushes again
/// only when it delivers another component, and later pushes stay until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The file, or the reference and the digest of its manifest.
    pub from: String,
    /// `sha256:` and the component's digest.
    pub digest: String,
}

/// One revision of a policy, as listed and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionInfo {
    /// Counts from 1 for each name.
    pub number: u32,
    /// `sha256:` and the component's digest.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// Name in its description.
    pub described_name: String,
    /// Version in its description.
    pub version: String,
    /// Time of the push.
    pub loaded_at: Timestamp,
    /// The name that the client gave, or the file or reference that delivered it. It is not verified.
    pub loaded_by: String,
    /// Its origin.
    #[serde(default)]
    pub source: Source,
    /// The last revision up to this one that started with empty memory. 0 if there is none.
    pub memory_since: u32,
    /// Whether it has ever acted.
    #[serde(default = "yes")]
    pub acted: bool,
    /// Whether it passed its probation.
    pub proved: bool,
    /// The reason why it may not act any more.
    pub quarantined: Option<String>,
}

/// The default for revisions that were stored before candidates existed.
fn yes() -> bool {
    true
}

/// A component to register.
#[derive(Debug, Clone)]
pub struct Push {
    /// Name to register it under: 1 to 63 lower-case letters, digits and hyphens.
    pub name: String,
    /// The component.
    pub component: Arc<[u8]>,
    /// The client, or the file or reference that delivered it.
    pub by: String,
    /// Its origin.
    pub source: Source,
    /// Whether it starts with empty memory instead of inheriting the memory of the acting revision.
    pub reset_memory: bool,
    /// Whether it becomes the candidate, which shadows the acting revision, instead of acting.
    pub candidate: bool,
    /// Time of the push.
    pub at: Timestamp,
}

impl Push {
    /// The record of what the source delivered. `None` if the component was uploaded.
    pub fn taken(&self, digest: &str) -> Option<Taken> {
        let taken = Taken { from: self.by.clone(), digest: digest.to_owned() };
        (self.source != Source::Upload).then_some(taken)
    }
}

/// The reason why a change failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// The policy does not exist.
    #[error("there is no policy `{}`", .0.escape_debug())]
    Unknown(String),
    /// The name is invalid.
    #[error("`{}` is not a policy's name: expected 1 to 63 lower-case letters, digits and hyphens", .0.escape_debug())]
    Name(String),
    /// It contradicts the current state.
    #[error("{0}")]
    Conflict(String),
    /// The component is not a policy that this host can run: one sentence for each problem.
    #[error("it is not a policy this host can run: {}", text::sentences(.0))]
    Component(Vec<String>),
    /// The source did not deliver it.
    #[error("{0}")]
    Source(String),
    /// Writing to disk failed. The text is for the log only.
    #[error("the policies cannot be stored: {0}")]
    Disk(String),
}

/// The reason why a policy cannot be chosen for a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// No policy of this kind has this name.
    #[error("there is no {kind} policy `{}`; there are: {}", name.escape_debug(), known.join(", "))]
    Unknown {
        /// The requested name.
        name: String,
        /// The requested kind.
        kind: PolicyKind,
        /// The known names.
        known: Vec<String>,
    },
    /// Its schema rejects the configuration.
    #[error("the schema of policy `{name}` does not allow this configuration: {}", sentences(problems))]
    Schema {
        /// The policy.
        name: String,
        /// Every problem: (JSON pointer, problem).
        problems: Vec<(String, String)>,
    },
    /// The policy rejected the configuration, or failed.
    #[error("the policy `{name}` does not accept this configuration: {}", failure.reason)]
    Refused {
        /// The policy.
        name: String,
        /// Its failure.
        failure: PolicyFailure,
    },
}

fn sentences(problems: &[(String, String)]) -> String {
    let sentence = |(at, problem): &(String, String)| match at.as_str() {
        "" => problem.clone(),
        at => format!("`{at}`: {problem}"),
    };
    text::sentences(&problems.iter().map(sentence).collect::<Vec<_>>())
}

/// The known policies, and the operations on them.
#[async_trait]
pub trait PolicyCatalogue: Send + Sync + 'static {
    /// Every policy, sorted by name.
    fn list(&self) -> Vec<PolicyInfo>;

    /// One policy.
    fn find(&self, name: &str) -> Option<PolicyInfo>;

    /// The problem of each source that cannot deliver its policy, by the policy's name.
    fn source_problems(&self) -> BTreeMap<String, String>;

    /// Records the problem of a policy's source. `None` clears it.
    fn tell_source(&self, name: &str, problem: Option<String>);

    /// Fetches a policy again from the registry that `windlass.toml` names. If its reference leads to another component, that
    /// becomes a new revision, which acts. Otherwise nothing changes.
    ///
    /// # Errors
    /// The policy has no such source, or its component cannot be fetched or loaded.
    async fn refresh(&self, name: &str, at: Timestamp) -> Result<PolicyInfo, CatalogueError>;

    /// Registers a component as the newest revision of its name. It acts from the next pass on, or becomes the candidate. A
    /// component that acts or is the candidate already is not a new revision; a delivery by a source is recorded anyway.
    ///
    /// # Errors
    /// The component cannot be loaded. The acting revision stays.
    async fn push(&self, push: Push) -> Result<PolicyInfo, CatalogueError>;

    /// Promotes the candidate, or the revision with this number, to the acting revision.
    ///
    /// # Errors
    /// There is no such revision, or it may not act.
    async fn promote(&self, name: &str, revision: Option<u32>, at: Timestamp) -> Result<PolicyInfo, CatalogueError>;

    /// Rolls back to the newest revision before the acting one that has acted and is not quarantined.
    ///
    /// # Errors
    /// There is no such revision.
    async fn roll_back(&self, name: &str, at: Timestamp) -> Result<PolicyInfo, CatalogueError>;

    /// Removes a pushed policy with all its revisions. Check before that no workload has chosen it: the built-in policy of its
    /// kind would take its place there.
    ///
    /// # Errors
    /// The policy does not exist, is built in, is a default, or has a source that would push it again.
    async fn remove(&self, name: &str) -> Result<PolicyInfo, CatalogueError>;

    /// Checks that a policy of this kind and name exists, and that its schema and the policy itself accept the configuration.
    ///
    /// # Errors
    /// The check that failed.
    async fn check(&self, kind: PolicyKind, choice: &PolicyChoice, now: Timestamp) -> Result<(), ChoiceError>;
}
