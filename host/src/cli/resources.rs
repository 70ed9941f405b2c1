//! Workloads, containers and policies of a server, as documents and as rows of a table.

use crate::cli::words::word;
use crate::cli::workload_text::{age, overrides, percent};
use anyhow::bail;
use clap::ValueEnum;
use futures_util::stream::{StreamExt, TryStreamExt, iter};
use serde_json::{Map, Value, json};
use windlass_api::answer::{list, time, title};
use windlass_network::remote::{Remote, RemoteError};

/// Requests that are sent at once for a list.
const AT_ONCE: usize = 8;

/// Fewest characters of an identifier that stand for a container.
const SHORT_ID: usize = 12;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// The workloads, managed and adopted
    #[value(alias = "workload")]
    Workloads,
    /// The containers of all workloads
    #[value(alias = "container")]
    Containers,
    /// The policies
    #[value(alias = "policy")]
    Policies,
}

impl Kind {
    /// Its field in a document with several resources.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Workloads => "workloads",
            Self::Containers => "containers",
            Self::Policies => "policies",
        }
    }

    /// The titles of the columns. The last ones, [`Kind::volatile`] in number, change all the time.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Workloads => &["NAME", "READY", "BOUNDS", "MODE", "DECLARED BY", "OVERRIDES", "IMAGE"],
            Self::Containers => &["NAME", "WORKLOAD", "PHASE", "HEALTH", "ID", "CPU", "MEMORY", "AGE"],
            Self::Policies => &["NAME", "KIND", "VERSION", "ACTS", "CANDIDATE", "SOURCE", "FAILURES"],
        }
    }

    /// Number of the last columns whose change is no news.
    pub(super) fn volatile(self) -> usize {
        match self {
            Self::Workloads | Self::Policies => 0,
            Self::Containers => 3,
        }
    }
}

/// One resource.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) name: String,
    pub(super) row: Vec<String>,
    pub(super) document: Value,
}

/// The resources to fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'s> {
    pub(super) kind: Kind,
    /// Only this one.
    pub(super) name: Option<&'s str>,
    /// Only the containers of this workload.
    pub(super) workload: Option<&'s str>,
    /// True if the documents are complete; otherwise only the rows are.
    pub(super) is_whole: bool,
}

/// The services that Windlass leaves alone, as `GET /workloads` lists them.
pub(super) async fn refused(client: &Remote) -> Result<Value, RemoteError> {
    Ok(client.get(&["workloads"]).await?["refused"].take())
}

/// The resources of a selection. A name without a resource is an error.
pub(super) async fn fetch(client: &Remote, selection: Selection<'_>) -> anyhow::Result<Vec<Resource>> {
    match (selection.kind, selection.name) {
        (Kind::Workloads, name) => workloads(client, name, selection.is_whole).await,
        (Kind::Policies, None) => {
            let listed = client.get(&["policies"]).await?;
            Ok(list(&listed["policies"]).iter().map(policy).collect())
        }
        (Kind::Policies, Some(name)) => Ok(vec![policy(&client.get(&["policies", name]).await?)]),
        (Kind::Containers, name) => {
            let all = containers(client, selection.workload).await?;
            let Some(name) = name else { return Ok(all) };
            let is_meant = |one: &Resource| {
                let id = one.document["container_id"].as_str().unwrap_or_default();
                one.name == name || id == name || (name.len() >= SHORT_ID && id.starts_with(name))
            };
            match all.into_iter().find(is_meant) {
                Some(found) => Ok(vec![found]),
                None => bail!("there is no container `{}`; `windlass get containers` lists all", name.escape_debug()),
            }
        }
    }
}

async fn workloads(client: &Remote, name: Option<&str>, is_whole: bool) -> anyhow::Result<Vec<Resource>> {
    let named = match name {
        Some(name) => Some(client.get(&["workloads", name]).await?),
        None => None,
    };
    let listed = client.get(&["workloads"]).await?;
    let summaries = list(&listed["workloads"]).iter();
    if let Some(view) = named {
        let mut found = summaries.filter(|one| one["name"] == title(&view)).map(workload);
        return Ok(found.next().map(|one| Resource { document: view, ..one }).into_iter().collect());
    }
    let rows: Vec<Resource> = summaries.map(workload).collect();
    if !is_whole {
        return Ok(rows);
    }
    let whole = iter(rows).map(|row| async move {
        match client.get(&["workloads", &row.name]).await {
            Ok(document) => Ok(Some(Resource { document, ..row })),
            // It was removed in between.
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    });
    let whole: Vec<Option<Resource>> = whole.buffered(AT_ONCE).try_collect().await?;
    Ok(whole.into_iter().flatten().collect())
}

fn workload(summary: &Value) -> Resource {
    let name = word(&summary["name"]).to_owned();
    let row = vec![
        name.clone(),
        format!("{}/{}", summary["ready"], summary["target"]),
        format!("{}-{}", summary["min_replicas"], summary["max_replicas"]),
        word(&summary["mode"]).to_owned(),
        word(&summary["declared_by"]).to_owned(),
        overrides(&summary["overrides"]).join(", "),
        word(&summary["image"]).to_owned(),
    ];
    Resource { name, row, document: summary.clone() }
}

fn policy(policy: &Value) -> Resource {
    let name = word(&policy["name"]).to_owned();
    let acts = match policy["acting"].as_u64() {
        None => "none".to_owned(),
        Some(0) => "built-in".to_owned(),
        Some(number) => format!("revision {number}"),
    };
    let failures: u64 =
        policy["failures"].as_object().into_iter().flat_map(Map::values).filter_map(Value::as_u64).sum();
    let row = vec![
        name.clone(),
        word(&policy["kind"]).to_owned(),
        word(&policy["version"]).to_owned(),
        acts,
        policy["candidate"].as_u64().map(|number| format!("revision {number}")).unwrap_or_default(),
        word(&policy["source"]).to_owned(),
        failures.to_string(),
    ];
    Resource { name, row, document: policy.clone() }
}

/// The containers of one workload, or of all and of none.
async fn containers(client: &Remote, workload: Option<&str>) -> anyhow::Result<Vec<Resource>> {
    if let Some(workload) = workload {
        return Ok(containers_of(client, workload).await?);
    }
    let listed = client.get(&["workloads"]).await?;
    let names: Vec<String> = list(&listed["workloads"]).iter().map(|one| word(&one["name"]).to_owned()).collect();
    let all = iter(names).map(|name| async move {
        match containers_of(client, &name).await {
            Err(error) if error.status() == Some(404) => Ok(Vec::new()),
            found => found,
        }
    });
    let all: Vec<Vec<Resource>> = all.buffered(AT_ONCE).try_collect().await?;
    let mut all: Vec<Resource> = all.into_iter().flatten().collect();
    // The last ones of the list are those of no workload.
    let listed = client.get(&["containers"]).await?;
    let is_known = |id: &Value| all.iter().any(|one| one.document["container_id"] == *id);
    let others = list(&listed["containers"]).iter().filter(|one| !is_known(&one["container_id"]));
    let others: Vec<Resource> = others.map(|one| container(one.clone(), None)).collect();
    all.extend(others);
    Ok(all)
}

/// The containers of a workload, each with its health and its use.
async fn containers_of(client: &Remote, workload: &str) -> Result<Vec<Resource>, RemoteError> {
    let view = client.get(&["workloads", workload]).await?;
    let health = client.get(&["workloads", workload, "health"]).await?;
    let used = |id: &Value| list(&health["health"]).iter().find(|one| one["container_id"] == *id);
    let containers = list(&view["observed"]["containers"]).iter().map(|one| {
        let mut document = one.clone();
        let used = used(&one["container_id"]).and_then(Value::as_object);
        let used = used.into_iter().flatten().map(|(field, value)| (field.clone(), value.clone()));
        let used: Vec<(String, Value)> = used.filter(|(field, _)| one.get(field).is_none()).collect();
        document.as_object_mut().into_iter().for_each(|fields| fields.extend(used.clone()));
        container(document, Some(title(&view)))
    });
    Ok(containers.collect())
}

fn container(mut document: Value, workload: Option<&str>) -> Resource {
    let name = word(&document["name"]).to_owned();
    let id = word(&document["container_id"]);
    let phase = document["phase"].as_str().or(document["status"].as_str()).unwrap_or_default();
    let row = vec![
        name.clone(),
        workload.unwrap_or_default().to_owned(),
        phase.to_owned(),
        word(&document["health"]).to_owned(),
        id.get(..SHORT_ID).unwrap_or(id).to_owned(),
        percent(&document["cpu_percent"]),
        percent(&document["mem_percent"]),
        age(&json!(time(&document["created_at"])), jiff::Timestamp::now()),
    ];
    document["workload"] = json!(workload);
    Resource { name, row, document }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let summary = json!({"name": "web", "image": "web:1", "ready": 1, "target": 2, "min_replicas": 1, "max_replicas": 5,
            "mode": "act", "declared_by": "api", "overrides": {"paused": true}});
        let row = workload(&summary).row;
        assert_eq!(row, ["web", "1/2", "1-5", "act", "api", "paused", "web:1"]);
        assert_eq!(row.len(), Kind::Workloads.columns().len());
        let listed = json!({"name": "queue", "kind": "scaling", "version": "1.0.0", "acting": 2, "candidate": 3,
            "source": "upload", "failures": {"trap": 2, "time": 1}});
        let row = policy(&listed).row;
        assert_eq!(row, ["queue", "scaling", "1.0.0", "revision 2", "revision 3", "upload", "3"]);
        assert_eq!(row.len(), Kind::Policies.columns().len());
        let replica = json!({"name": "web-1", "container_id": "0123456789abcdef", "phase": "running", "health": "healthy",
            "cpu_percent": 12.34, "mem_percent": null, "created_at": null});
        let container = container(replica, Some("web"));
        assert_eq!(container.row, ["web-1", "web", "running", "healthy", "0123456789ab", "12.3 %", "", ""]);
        assert_eq!(container.row.len(), Kind::Containers.columns().len());
        assert_eq!(container.document["workload"], "web");
    }
}
