//! Reads workloads from a file in JSON, YAML or TOML: start requests, or answers of `GET` with them inside.

use crate::cli::policy_call::read_input;
use crate::cli::yaml;
use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use std::path::Path;

/// A workload of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Declared {
    /// The name by which it is addressed.
    pub(super) name: String,
    /// The body of its start request, without the fields that a start does not change.
    pub(super) body: Value,
    /// `overrides`, if the file has them. A start does not change them.
    pub(super) overrides: Option<Value>,
}

/// The workloads of a file, and the names of the adopted ones, which no start request can declare.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Declarations {
    pub(super) workloads: Vec<Declared>,
    pub(super) adopted: Vec<String>,
}

/// Reads a file; `-` is standard input.
pub(super) fn read(file: &Path) -> anyhow::Result<Declarations> {
    let unusable = || format!("cannot use `{}`", file.display());
    let text = String::from_utf8(read_input(file)?).map_err(|_| anyhow!("it is no text")).with_context(unusable)?;
    let extension = file.extension().and_then(|extension| extension.to_str());
    let documents = documents(&text, extension).with_context(unusable)?;
    let mut declarations = Declarations::default();
    for document in documents {
        gather(document, &mut declarations).with_context(unusable)?;
    }
    match (declarations.workloads.as_slice(), declarations.adopted.as_slice()) {
        ([], []) => Err(anyhow!("it has no workload")).with_context(unusable),
        ([], adopted) => Err(adopted_only(adopted)).with_context(unusable),
        _ => Ok(declarations),
    }
}

fn adopted_only(names: &[String]) -> anyhow::Error {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    anyhow!("labels of services declare {}; change the labels instead", names.join(", "))
}

/// The documents of a text. A file without a known extension may have any of the three languages.
fn documents(text: &str, extension: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let json = || serde_json::Deserializer::from_str(text).into_iter().collect::<Result<Vec<Value>, _>>();
    let toml = || toml::from_str::<Value>(text).map(|document| vec![document]);
    match extension {
        Some("json") => json().context("it is no JSON"),
        Some("toml") => toml().context("it is no TOML"),
        Some("yaml" | "yml") => yaml::documents(text).map_err(|why| anyhow!("it is no YAML: {why}")),
        _ => match (json(), toml()) {
            (Ok(documents), _) | (_, Ok(documents)) => Ok(documents),
            _ => yaml::documents(text).map_err(|why| anyhow!("it is neither JSON, nor TOML, nor YAML: {why}")),
        },
    }
}

/// Adds the workloads of a document: a start request, an answer with `desired`, or a list of them.
fn gather(document: Value, declarations: &mut Declarations) -> anyhow::Result<()> {
    let mut fields = match document {
        Value::Array(list) => return list.into_iter().try_for_each(|one| gather(one, declarations)),
        Value::Object(fields) => fields,
        other => bail!("expected a workload or a list of workloads, found `{other}`"),
    };
    for list in ["workloads", "images"] {
        if let Some(list) = fields.remove(list) {
            return gather(list, declarations);
        }
    }
    let is_adopted = fields.get("declared_by").is_some_and(|by| *by != "api");
    let mut body = match fields.remove("desired") {
        Some(Value::Object(desired)) => desired,
        Some(other) => bail!("/desired: expected an object, found `{other}`"),
        None => fields,
    };
    let name = body.get("name").and_then(Value::as_str).or_else(|| body.get("image").and_then(Value::as_str));
    let name = name.context("/image: this field is required")?.to_owned();
    if is_adopted {
        declarations.adopted.push(name);
        return Ok(());
    }
    body.remove("target");
    let overrides = body.remove("overrides").filter(|overrides| !overrides.is_null());
    declarations.workloads.push(Declared { name, body: Value::Object(body), overrides });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn declared(name: &str, body: Value) -> Declared {
        Declared { name: name.to_owned(), body, overrides: None }
    }

    fn of(text: &str, extension: Option<&str>) -> Result<Declarations, String> {
        let mut declarations = Declarations::default();
        for document in documents(text, extension).map_err(|error| format!("{error:#}"))? {
            gather(document, &mut declarations).map_err(|error| format!("{error:#}"))?;
        }
        Ok(declarations)
    }

    #[test]
    fn a_workload_is_read_from_each_language() {
        let body = json!({"image": "web:1.10", "resources": {"cpu": "0.5"}, "env": {"A": "yes"}, "max_replicas": 3});
        let expected = Ok(Declarations { workloads: vec![declared("web:1.10", body.clone())], adopted: vec![] });
        let yaml = "image: web:1.10\nresources: {cpu: '0.5'}\nenv:\n  A: 'yes'\nmax_replicas: 3\n";
        let toml = "image = 'web:1.10'\nmax_replicas = 3\nresources.cpu = '0.5'\nenv.A = 'yes'\n";
        for (text, extension) in [(&body.to_string(), "json"), (&yaml.to_owned(), "yaml"), (&toml.to_owned(), "toml")] {
            assert_eq!(of(text, Some(extension)), expected, "{extension}");
            assert_eq!(of(text, None), expected, "{extension} without its extension");
        }
        assert_eq!(of(&yaml::text(&body).expect("YAML"), Some("yml")), expected);
    }

    #[test]
    fn answers_and_lists_of_them_are_read() {
        let view = |name: &str, by: &str| {
            let overrides = json!({"paused": true});
            let desired = json!({"image": "web:1", "name": name, "target": 3, "overrides": overrides});
            json!({"image": "web:1", "name": name, "declared_by": by, "desired": desired, "observed": {}})
        };
        let web = Declared {
            overrides: Some(json!({"paused": true})),
            ..declared("web", json!({"image": "web:1", "name": "web"}))
        };
        let expected = Declarations { workloads: vec![web], adopted: vec!["shop-db".to_owned()] };
        let both = [view("web", "api"), view("shop-db", "compose")];
        let list = json!({"workloads": both, "refused": []}).to_string();
        let stream = format!("{}\n{}", both[0], both[1]);
        let yaml = format!("{}---\n{}---\n", yaml::text(&both[0]).expect("YAML"), yaml::text(&both[1]).expect("YAML"));
        for (text, extension) in
            [(&list, "json"), (&json!(both).to_string(), "json"), (&stream, "json"), (&yaml, "yaml")]
        {
            assert_eq!(of(text, Some(extension)).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn a_file_that_has_no_workload_is_refused_with_the_reason() {
        let error = |text, extension| of(text, extension).expect_err("refused");
        assert_eq!(error("{}", Some("json")), "/image: this field is required");
        assert_eq!(error("3", Some("yaml")), "expected a workload or a list of workloads, found `3`");
        assert!(error("image: [", Some("yaml")).starts_with("it is no YAML: "), "{}", error("image: [", Some("yaml")));
        assert!(error("image: [", None).starts_with("it is neither JSON, nor TOML, nor YAML: "));
        assert!(error("a = ", Some("toml")).starts_with("it is no TOML: "));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "declared_by: compose\ndesired: {image: a, name: shop-web}\n").expect("written");
        let error = format!("{:#}", read(&file).expect_err("adopted"));
        assert!(error.ends_with("labels of services declare `shop-web`; change the labels instead"), "{error}");
    }
}
