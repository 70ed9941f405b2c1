//! The policies as people deal with them: names, revisions, what may be done to them.

use crate::settings::HttpGrant;
use crate::{PolicyChoice, PolicyFailure, PolicyKind, Timestamp};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One policy as it is listed: its acting revision, or the newest where none acts.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyInfo {
    /// Name it is registered under.
    pub name: String,
    /// What it decides.
    pub kind: PolicyKind,
    /// Version it describes itself with.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// `sha256:` and the component's digest.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// Where what acts comes from; none: it is built in.
    pub source: Option<Source>,
    /// What its file or registry gave last.
    pub taken: Option<Taken>,
    /// What it imports.
    pub imports: Vec<String>,
    /// Whether it answers the same question in the same way: not if it may ask the network.
    pub replayable: bool,
    /// What it was granted of the network.
    pub http: Option<HttpGrant>,
    /// Failed calls since it was loaded, by kind; every kind is there.
    pub failures: BTreeMap<String, u64>,
    /// Number of the acting revision; none: the built-in policy of its kind stands in. 0: it is built in.
    pub acting: Option<u32>,
    /// Number of the revision that is a candidate: it shadows the acting one wherever that acts.
    pub candidate: Option<u32>,
    /// Every revision that is kept, newest first; none of a built-in one.
    pub revisions: Vec<RevisionInfo>,
    /// What happened to it, newest first; the last 100.
    pub events: Vec<PolicyEvent>,
    /// Why the newest state of the source it comes from could not be taken.
    pub source_problem: Option<String>,
}

/// Events kept of a policy.
pub const EVENTS_KEPT: usize = 100;

/// Something that changed who acts, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEvent {
    /// When.
    pub at: Timestamp,
    /// Number of the revision it is about.
    pub revision: u32,
    /// What happened to that revision, one sentence.
    pub what: String,
}

/// Where a revision came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Somebody pushed it.
    #[default]
    Upload,
    /// A file that `windlass.toml` names, or in the folder it names.
    File,
    /// A registry that `windlass.toml` names.
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

/// What a file or a registry gave last, kept for longer than the revision it became: the source acts again when it gives
/// something else, and what was pushed since holds until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The file, or the reference and the manifest it led to.
    pub from: String,
    /// `sha256:` and the component's digest.
    pub digest: String,
}

/// One revision of a policy, as it is listed and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionInfo {
    /// Counts from 1 for each name.
    pub number: u32,
    /// `sha256:` and the component's digest.
    pub digest: String,
    /// Size of the component in bytes.
    pub size_bytes: u64,
    /// Name it gives itself.
    pub described_name: String,
    /// Version it gives itself.
    pub version: String,
    /// When it was pushed.
    pub loaded_at: Timestamp,
    /// Who pushed it, by their own word; or the file or reference it came from.
    pub loaded_by: String,
    /// Where it came from.
    #[serde(default)]
    pub source: Source,
    /// The revision that last began with empty memory, up to this one; 0: none did.
    pub memory_since: u32,
    /// It has acted at some time.
    #[serde(default = "yes")]
    pub acted: bool,
    /// It answered its first calls well enough to be trusted.
    pub proved: bool,
    /// Why it may not act any more.
    pub quarantined: Option<String>,
}

/// Of revisions stored before there were candidates.
fn yes() -> bool {
    true
}

/// A component to be registered.
#[derive(Debug, Clone)]
pub struct Push {
    /// Name to register it under: 1 to 63 lower-case letters, digits and hyphens.
    pub name: String,
    /// The component.
    pub component: Arc<[u8]>,
    /// Who pushes it; or the file or reference it comes from.
    pub by: String,
    /// Where it comes from.
    pub source: Source,
    /// Whether it begins with empty memory instead of what the revision before it left.
    pub reset_memory: bool,
    /// Whether it becomes the candidate, which is only asked beside the acting revision, instead of acting.
    pub candidate: bool,
    /// When.
    pub at: Timestamp,
}

impl Push {
    /// The record of what the source delivered. `None` if the component was uploaded.
    pub fn taken(&self, digest: &str) -> Option<Taken> {
        let taken = Taken { from: self.by.clone(), digest: digest.to_owned() };
        (self.source != Source::Upload).then_some(taken)
    }
}

/// Why nothing came of a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// No such policy.
    #[error("there is no policy `{}`", .0.escape_debug())]
    Unknown(String),
    /// The name is none.
    #[error("`{}` is not a policy's name: expected 1 to 63 lower-case letters, digits and hyphens", .0.escape_debug())]
    Name(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The component is no policy this host can run: a sentence for each thing wrong with it.
    #[error("it is not a policy this host can run: {}", .0.join("; "))]
    Component(Vec<String>),
    /// The source it comes from did not give it.
    #[error("{0}")]
    Source(String),
    /// The disk failed; the text goes to the log only.
    #[error("the policies cannot be stored: {0}")]
    Disk(String),
}

/// Why a policy cannot be chosen for a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// No such policy of this kind.
    #[error("there is no {kind} policy `{}`; there are: {}", name.escape_debug(), known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Of which kind.
        kind: PolicyKind,
        /// The names there are.
        known: Vec<String>,
    },
    /// Its schema does not allow this configuration: (JSON pointer, what is wrong there).
    #[error("the schema of policy `{name}` does not allow this configuration: {}", sentences(problems))]
    Schema {
        /// Which policy.
        name: String,
        /// Everything that is wrong.
        problems: Vec<(String, String)>,
    },
    /// The policy refused the configuration, or gave no answer.
    #[error("the policy `{name}` does not accept this configuration: {}", failure.reason)]
    Refused {
        /// Which policy.
        name: String,
        /// What it answered.
        failure: PolicyFailure,
    },
}

fn sentences(problems: &[(String, String)]) -> String {
    problems.iter().map(|(at, problem)| format!("`{at}`: {problem}")).collect::<Vec<_>>().join("; ")
}

/// The policies there are, and what may be done to them.
#[async_trait]
pub trait PolicyCatalogue: Send + Sync + 'static {
    /// Every policy, by name.
    fn list(&self) -> Vec<PolicyInfo>;

    /// One policy.
    fn find(&self, name: &str) -> Option<PolicyInfo>;

    /// What keeps each source from being taken, by the policy's name; those that are fine are not there.
    fn source_problems(&self) -> BTreeMap<String, String>;

    /// Notes what keeps the source of a policy from being taken; none: nothing does.
    fn tell_source(&self, name: &str, problem: Option<String>);

    /// Looks again at the source that `windlass.toml` names for a policy: a reference into a registry that leads
    /// elsewhere now is a new revision, which acts; one that leads where it led changes nothing.
    ///
    /// # Errors
    /// When it has no such source, or what it leads to cannot be had or loaded.
    async fn refresh(&self, name: &str, at: Timestamp) -> Result<PolicyInfo, CatalogueError>;

    /// Registers a component as the newest revision of its name, which acts from the next call on, or is the
    /// candidate. Bytes that act already, or are the candidate already, are no new revision; that a file or a registry
    /// gave them is noted all the same.
    ///
    /// # Errors
    /// When it cannot be loaded; the revision before it then acts as before.
    async fn push(&self, push: Push) -> Result<PolicyInfo, CatalogueError>;

    /// Lets the candidate act, or the revision of this number.
    ///
    /// # Errors
    /// When there is no such revision, or it may not act.
    async fn promote(&self, name: &str, revision: Option<u32>, at: Timestamp) -> Result<PolicyInfo, CatalogueError>;

    /// Lets the newest revision before the acting one act again, quarantined ones passed over.
    ///
    /// # Errors
    /// When there is no such revision.
    async fn roll_back(&self, name: &str, at: Timestamp) -> Result<PolicyInfo, CatalogueError>;

    /// Forgets a pushed policy with all its revisions. A workload that still chose it is asked about by the built-in
    /// one of its kind, so look for such workloads first.
    ///
    /// # Errors
    /// When it is not there, is built in, is a default, or has a source that would bring it back.
    async fn remove(&self, name: &str) -> Result<PolicyInfo, CatalogueError>;

    /// Whether a policy of this kind and name is there and accepts a configuration: by its schema, then by
    /// its own word.
    ///
    /// # Errors
    /// When not, and why.
    async fn check(&self, kind: PolicyKind, choice: &PolicyChoice, now: Timestamp) -> Result<(), ChoiceError>;
}
