//! The declaration of a workload: by a request of the API, or by labels on a service that exists already.

use crate::{ImageRef, WorkloadKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The place where a workload is declared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "lowercase")]
pub enum Declaration {
    /// A start request. The workload is *managed*: its desired state is stored here.
    #[default]
    Api,
    /// Labels on a service of a Compose project. The workload is *adopted*: bounds, policies and mode come from its labels.
    Compose {
        /// The Compose project.
        project: String,
        /// The service in the project.
        service: String,
    },
    /// Labels on a service of a Swarm. The workload is *adopted*.
    Swarm {
        /// The name of the service.
        service: String,
    },
}

impl Declaration {
    /// Whether labels declare the workload.
    pub fn is_adopted(&self) -> bool {
        *self != Self::Api
    }

    /// The word for it in the API: `api`, `compose` or `swarm`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Compose { .. } => "compose",
            Self::Swarm { .. } => "swarm",
        }
    }
}

/// The place in words: "service `web` in project `shop`".
impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service().as_deref().unwrap_or("a start request"))
    }
}

/// A service whose labels ask Windlass to scale it, as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredService {
    /// The key of its workload: the name of the Swarm service, or `PROJECT-SERVICE`. Unchecked.
    pub key: WorkloadKey,
    /// The place of its labels.
    pub declaration: Declaration,
    /// Its image.
    pub image: ImageRef,
    /// Its labels whose names begin with `windlass.`.
    pub labels: BTreeMap<String, String>,
    /// Workloads that must be up for it, as Compose's own labels say.
    pub depends_on: Vec<WorkloadKey>,
    /// Why it cannot be adopted whatever its labels say, in one sentence: it is a global service, or two of its containers
    /// have different labels. `None` if it can.
    pub obstacle: Option<String>,
}
