//! `windlass get -w`: a line for each resource, and another one for each change of it.

use crate::cli::format::{Format, Output, json_line};
use crate::cli::news::{News, Pauses};
use crate::cli::outage::Outage;
use crate::cli::output::print;
use crate::cli::resources::{Kind, Resource, Selection, fetch};
use crate::cli::yaml;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use windlass_control::events::EventKind;
use windlass_core::text::plain;
use windlass_network::remote::{Remote, RemoteError};

/// Time between two looks. Not every change has an event: the failures of a policy have none.
const PAUSES: Pauses = Pauses { with_stream: Duration::from_secs(5), without: Duration::from_secs(1) };

/// Prints the resources and their changes until the reader leaves. A server that stops answering is tried for a minute.
pub(super) async fn watch(client: &Remote, selection: Selection<'_>, output: Output) -> anyhow::Result<()> {
    let mut lines = Lines::new(selection, output.format());
    let mut news = News::follow(client, query(selection), PAUSES);
    let mut outage = Outage::default();
    let mut was_there = false;
    loop {
        let found = match fetch(client, selection).await {
            Ok(found) => found,
            // The only resource is gone, or the workload of the containers.
            Err(error) if was_there && is_missing(&error) => {
                print(&lines.news(&[])?)?;
                return Ok(());
            }
            // A server that restarts answers again.
            Err(error) if was_there && is_unreachable(&error) => {
                outage.pause(&error.to_string()).await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        outage.end();
        was_there = true;
        let text = lines.news(&found)?;
        if (!text.is_empty() && !print(&text)?) || (selection.name.is_some() && found.is_empty()) {
            return Ok(());
        }
        news.next(PAUSES.with_stream).await;
    }
}

/// The events that may change these resources, as a query of `GET /events`.
fn query(selection: Selection<'_>) -> Vec<(&'static str, String)> {
    match selection {
        Selection { kind: Kind::Policies, .. } => vec![("kind", EventKind::Policy.as_str().to_owned())],
        Selection { kind: Kind::Workloads, name: Some(workload), .. }
        | Selection { kind: Kind::Containers, workload: Some(workload), .. } => vec![("workload", workload.to_owned())],
        Selection { .. } => Vec::new(),
    }
}

/// Returns true if there is no resource of the name. False if the server cannot be reached or rejects the request.
fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_none_or(|error: &RemoteError| error.status() == Some(404))
}

/// Returns true if the server cannot be reached.
fn is_unreachable(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(RemoteError::Unreachable { .. }))
}

/// The lines about resources that changed.
struct Lines {
    columns: &'static [&'static str],
    /// Number of columns whose change is news.
    stable: usize,
    format: Format,
    /// The cells of each resource that are news, when it was last printed.
    known: BTreeMap<String, Vec<String>>,
    /// Width of each column; empty before the first line.
    widths: Vec<usize>,
}

impl Lines {
    fn new(selection: Selection<'_>, format: Format) -> Self {
        let columns = selection.kind.columns();
        let stable = columns.len() - selection.kind.volatile();
        Self { columns, stable, format, known: BTreeMap::new(), widths: Vec::new() }
    }

    /// The lines about what changed since the last call.
    fn news(&mut self, found: &[Resource]) -> anyhow::Result<String> {
        let mut text = String::new();
        if self.format == Format::Table && self.widths.is_empty() {
            let width = |column: usize| {
                let cells = found.iter().map(|one| one.row[column].chars().count());
                cells.chain([self.columns[column].len()]).max().unwrap_or_default()
            };
            self.widths = (0..self.columns.len()).map(width).collect();
            text += &self.line(self.columns.iter().copied());
        }
        for one in found {
            let news = one.row[..self.stable].to_vec();
            if self.known.get(&one.name) != Some(&news) {
                text += &self.changed(one)?;
                self.known.insert(one.name.clone(), news);
            }
        }
        let is_there = |name: &String| found.iter().any(|one| one.name == *name);
        let removed: Vec<String> = self.known.keys().filter(|name| !is_there(name)).cloned().collect();
        for name in removed {
            self.known.remove(&name);
            text += &match self.format {
                Format::Table => self.line([plain(&name).as_str(), "removed"].into_iter()),
                Format::Name => format!("{name}\n"),
                Format::Json => json_line(&json!({"removed": name})),
                Format::Yaml => document(&json!({"removed": name}))?,
            };
        }
        Ok(text)
    }

    fn changed(&self, one: &Resource) -> anyhow::Result<String> {
        Ok(match self.format {
            Format::Table => {
                let cells: Vec<String> = one.row.iter().map(|cell| plain(cell)).collect();
                self.line(cells.iter().map(|cell| if cell.is_empty() { "-" } else { cell }))
            }
            Format::Name => format!("{}\n", one.name),
            Format::Json => json_line(&one.document),
            Format::Yaml => document(&one.document)?,
        })
    }

    fn line<'c>(&self, cells: impl Iterator<Item = &'c str>) -> String {
        let padded = cells.zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    }
}

/// A document of a YAML stream.
fn document(document: &Value) -> anyhow::Result<String> {
    Ok(format!("---\n{}", yaml::text(document)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, health: &str, cpu: &str) -> Resource {
        let row = [name, "web", "running", health, "0123", cpu, "", "1s"].map(str::to_owned).to_vec();
        Resource { name: name.to_owned(), row, document: json!({"name": name, "health": health}) }
    }

    fn lines(format: Format) -> Lines {
        Lines::new(Selection { kind: Kind::Containers, name: None, workload: None, is_whole: false }, format)
    }

    #[test]
    fn only_news_is_printed() {
        let mut lines = lines(Format::Table);
        let first = lines.news(&[container("web-1", "starting", "1.0 %"), container("web-2", "healthy", "")]);
        insta::assert_snapshot!(first.expect("printed"), @r"
        NAME   WORKLOAD  PHASE    HEALTH    ID    CPU    MEMORY  AGE
        web-1  web       running  starting  0123  1.0 %  -       1s
        web-2  web       running  healthy   0123  -      -       1s
        ");
        let second = lines.news(&[container("web-1", "healthy", "2.0 %"), container("web-2", "healthy", "9.0 %")]);
        assert_eq!(second.expect("printed"), "web-1  web       running  healthy   0123  2.0 %  -       1s\n");
        let third = lines.news(&[container("web-1", "healthy", "3.0 %")]);
        assert_eq!(third.expect("printed"), "web-2  removed\n");
        assert_eq!(lines.news(&[container("web-1", "healthy", "3.0 %")]).expect("printed"), "");
    }

    #[test]
    fn a_server_that_is_gone_is_no_removal() {
        let refused = |status| RemoteError::Refused { status, detail: "no".to_owned() };
        assert!(is_missing(&refused(404).into()) && is_missing(&anyhow::anyhow!("there is no container `a`")));
        assert!(!is_missing(&refused(403).into()));
        let why = "it is no server".to_owned();
        assert!(!is_missing(&RemoteError::NotWindlass { server: "here".to_owned(), why }.into()));
    }

    #[test]
    fn a_change_is_a_document_of_a_stream() {
        let (before, after) = (container("web-1", "starting", ""), container("web-1", "healthy", ""));
        let mut json = lines(Format::Json);
        assert_eq!(
            json.news(std::slice::from_ref(&before)).expect("printed"),
            "{\"health\":\"starting\",\"name\":\"web-1\"}\n"
        );
        assert_eq!(json.news(&[after]).expect("printed"), "{\"health\":\"healthy\",\"name\":\"web-1\"}\n");
        assert_eq!(json.news(&[]).expect("printed"), "{\"removed\":\"web-1\"}\n");
        let text = lines(Format::Yaml).news(&[before.clone(), container("web-2", "healthy", "")]).expect("printed");
        assert_eq!(yaml::documents(&text).map(|documents| documents.len()), Ok(2), "{text}");
        assert_eq!(lines(Format::Name).news(&[before]).expect("printed"), "web-1\n");
    }
}
