//! `windlass get`: lists workloads, containers or policies, and follows their changes.

use crate::cli::format::{Format, Output};
use crate::cli::resources::{Kind, Resource, Selection, fetch, refused};
use crate::cli::server::Server;
use crate::cli::table::Table;
use crate::cli::watch::watch;
use crate::cli::words::word;
use clap::Args;
use serde_json::{Value, json};
use windlass_api::answer::list;
use windlass_network::remote::Remote;

/// `windlass get …`
#[derive(Debug, Args)]
pub(super) struct GetArguments {
    /// Kind of the resources
    kind: Kind,
    /// Name of one resource; for a container, its identifier too [default: all]
    name: Option<String>,
    /// Only the containers of this workload
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// Go on with a line for each change
    #[arg(short = 'w', long)]
    watch: bool,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
    /// The server.
    #[command(flatten)]
    server: Server,
}

/// The text the command prints at its end.
pub(super) async fn run(arguments: &GetArguments) -> anyhow::Result<String> {
    let client = arguments.server.client()?;
    let GetArguments { kind, name, workload, output, .. } = arguments;
    let is_whole = matches!(output.format(), Format::Json | Format::Yaml);
    let selection = Selection { kind: *kind, name: name.as_deref(), workload: workload.as_deref(), is_whole };
    if arguments.watch {
        watch(&client, selection, *output).await?;
        return Ok(String::new());
    }
    let found = fetch(&client, selection).await?;
    let refused = match (kind, name) {
        (Kind::Workloads, None) => refused(&client).await?,
        _ => Value::Null,
    };
    let names: Vec<String> = found.iter().map(|one| one.name.clone()).collect();
    output.show(&document(selection, &found, &refused), &names, || text(*kind, &found, &refused))
}

/// A single resource as it is, or a list of all below their kind.
fn document(selection: Selection<'_>, found: &[Resource], refused: &Value) -> Value {
    let mut documents = found.iter().map(|one| one.document.clone());
    if selection.name.is_some() {
        return documents.next().unwrap_or_default();
    }
    let mut list = json!({selection.kind.field(): documents.collect::<Vec<_>>()});
    if !refused.is_null() {
        list["refused"] = refused.clone();
    }
    list
}

fn text(kind: Kind, found: &[Resource], refused: &Value) -> String {
    let mut text = if found.is_empty() {
        format!("there are no {}\n", kind.field())
    } else {
        let mut table = Table::new(kind.columns());
        found.iter().for_each(|one| table.row(one.row.clone()));
        table.text()
    };
    let refused = list(refused);
    if !refused.is_empty() {
        let mut table = Table::new(&["LEFT ALONE", "REASON"]);
        refused.iter().for_each(|one| table.row([word(&one["name"]), word(&one["reason"])].map(str::to_owned)));
        text += &format!("\n{}", table.text());
    }
    text
}

/// The complete resource of this kind and name, as `get -o json` prints it.
pub(super) async fn one(client: &Remote, kind: Kind, name: &str) -> anyhow::Result<Value> {
    let selection = Selection { kind, name: Some(name), workload: None, is_whole: true };
    Ok(document(selection, &fetch(client, selection).await?, &Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_that_are_left_alone_follow_the_table() {
        let web = Resource { name: "web".to_owned(), row: vec!["web".to_owned(); 7], document: json!({"name": "web"}) };
        let refused = json!([{"name": "shop-db", "reason": "`windlass.max` is missing"}]);
        let text = text(Kind::Workloads, std::slice::from_ref(&web), &refused);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].starts_with("NAME  READY") && lines[3].starts_with("LEFT ALONE  REASON"), "{text}");
        assert_eq!(self::text(Kind::Policies, &[], &Value::Null), "there are no policies\n");
        let selection = Selection { kind: Kind::Workloads, name: None, workload: None, is_whole: true };
        let list = document(selection, std::slice::from_ref(&web), &refused);
        assert_eq!(list, json!({"workloads": [{"name": "web"}], "refused": refused}));
        assert_eq!(
            document(Selection { name: Some("web"), ..selection }, &[web], &Value::Null),
            json!({"name": "web"})
        );
    }
}
