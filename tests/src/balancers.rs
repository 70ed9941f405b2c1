//! The example templates for load balancers, and workloads with hostile names and labels to render them with.

use proptest::collection::{btree_set, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use std::collections::BTreeMap;
use std::path::Path;
use windlass_core::contract::HealthStatus;
use windlass_discovery::identifier::unique;
use windlass_discovery::template::Template;
use windlass_discovery::{Target, Workload};

/// Names that a balancer could take for something else, or for each other.
pub const HOSTILE_NAMES: [&str; 22] = [
    "a_b:1",
    "a/b:1",
    "a_b_1",
    "A_B:1",
    "a-b:1",
    "web:A",
    "web:a",
    "shop",
    "shop.eu/x",
    "localhost:5000/web",
    "[::1]:5000/web",
    "web@sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
    "http",
    "defaults",
    "127.0.0.1",
    "-f",
    "--",
    ".",
    "a\"; }\nglobal\n daemon",
    "$host",
    "ä ö",
    "#",
];

/// The label that the templates below write as a quoted word.
pub const LABEL: &str = "team";

/// The example template for HAProxy, with the label as a header of each backend's answers.
///
/// # Errors
/// If the template is invalid, or the example has another form.
pub fn haproxy() -> Result<Template, String> {
    let example = include_str!("../../examples/balancer/haproxy.cfg.jinja");
    let place = "    balance leastconn\n";
    let header = format!("{place}    http-response set-header x-team {{{{ workload.labels.{LABEL}|quoted }}}}\n");
    extended(example, place, &header)
}

/// The example template for nginx, with the label as a value of a map.
///
/// # Errors
/// If the template is invalid, or the example has another form.
pub fn nginx() -> Result<Template, String> {
    let example = include_str!("../../examples/balancer/nginx.conf.jinja");
    let place = "upstream {{ workload.identifier }} {\n";
    let map = format!(
        "map $host $team_{{{{ loop.index }}}} {{ default {{{{ workload.labels.{LABEL}|quoted }}}}; }}\n{place}"
    );
    extended(example, place, &map)
}

/// A configuration of nginx with these directives in its block `http`, for a check without running it. It keeps its files in
/// `folder`.
pub fn nginx_configuration(folder: &Path, directives: &str) -> String {
    let folder = folder.display();
    format!(
        "events {{}}
pid {folder}/nginx.pid;
error_log stderr;
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {directives}
}}
"
    )
}

fn extended(example: &str, place: &str, replacement: &str) -> Result<Template, String> {
    if example.matches(place).count() != 1 {
        return Err(format!("the example has another form: no `{place}`"));
    }
    Template::of(example.replace(place, replacement))
}

/// A list of workloads with these names, label values and numbers of targets.
pub fn list(workloads: &[(String, String, u32)]) -> Vec<Workload> {
    let names: Vec<&str> = workloads.iter().map(|(name, ..)| name.as_str()).collect();
    let identifiers = unique(&names);
    let workloads = workloads.iter().zip(identifiers).map(|((name, label, targets), identifier)| Workload {
        name: name.clone(),
        identifier,
        image: name.clone(),
        labels: labels(label),
        targets: (1..=*targets).map(|slot| target(name, label, slot)).collect(),
    });
    workloads.collect()
}

fn labels(label: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(LABEL.to_owned(), label.to_owned())])
}

fn target(workload: &str, label: &str, slot: u32) -> Target {
    let host = if slot.is_multiple_of(2) { "::1" } else { "127.0.0.1" };
    Target {
        address: if slot.is_multiple_of(2) { format!("[{host}]:80") } else { format!("{host}:80") },
        host: host.to_owned(),
        host_port: 80,
        port: 80,
        workload: workload.to_owned(),
        image: workload.to_owned(),
        container: format!("c-{slot}"),
        container_id: String::new(),
        slot,
        health: HealthStatus::Healthy,
        ready: true,
        labels: labels(label),
    }
}

/// Any list of workloads: hostile names, image references and any other text, each with any label.
pub fn lists() -> impl Strategy<Value = Vec<Workload>> {
    let name = prop_oneof![
        proptest::sample::select(HOSTILE_NAMES.to_vec()).prop_map(str::to_owned),
        "[a-c]{1,2}([._/:@-][a-cA-C]{1,2}){0,3}",
        "(?s).{1,12}",
    ];
    let label = prop_oneof![any::<String>(), "[\"'\\\\\n\r\t ;{}#$%a]{0,12}", Just("x".repeat(9_000))];
    (btree_set(name, 0..12), vec((label, 0..4u32), 12)).prop_map(|(names, others)| {
        let workloads = names.into_iter().zip(others).map(|(name, (label, targets))| (name, label, targets));
        list(&workloads.collect::<Vec<_>>())
    })
}
