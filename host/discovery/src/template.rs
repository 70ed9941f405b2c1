//! The format of the targets file: a template of the user's, or Prometheus service discovery.

use crate::identifier::{identifier, quoted};
use crate::{Workload, prometheus};
use minijinja::{Environment, UndefinedBehavior, context};
use windlass_core::error_chain;

/// Name of the template in error messages.
const NAME: &str = "template";

/// The format of a list of targets.
#[derive(Debug)]
pub struct Template(Option<Environment<'static>>);

impl Template {
    /// The format of Prometheus service discovery from files.
    pub fn prometheus() -> Self {
        Self(None)
    }

    /// A Jinja template. An undefined name is an error instead of empty text. The filter `identifier` writes a text as a name,
    /// and `quoted` as one word in quotes.
    ///
    /// # Errors
    /// If the template is invalid, with the line.
    pub fn of(text: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.add_filter("identifier", |text: String| identifier(&text));
        environment.add_filter("quoted", |text: String| quoted(&text));
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.add_template_owned(NAME, text).map_err(|error| error_chain(&error))?;
        Ok(Self(Some(environment)))
    }

    /// Renders the list. The template receives `workloads`, each with its `targets`, and all `targets` in one list.
    ///
    /// # Errors
    /// If the template cannot be rendered, with the line.
    pub fn render(&self, workloads: &[Workload]) -> Result<String, String> {
        let targets: Vec<_> = workloads.iter().flat_map(|workload| workload.targets.clone()).collect();
        let Some(environment) = &self.0 else {
            return Ok(format!("{:#}\n", prometheus(&targets)));
        };
        let template = environment.get_template(NAME).map_err(|error| error_chain(&error))?;
        template.render(context! { workloads, targets }).map_err(|error| error_chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;
    use std::collections::BTreeMap;
    use windlass_core::contract::HealthStatus;

    fn workload(name: &str, slots: u32) -> Workload {
        let target = |slot: u32, port: u16| Target {
            address: format!("127.0.0.1:{}", if port == 80 { 9_000 + slot } else { 9_900 + slot }),
            host: "127.0.0.1".to_owned(),
            host_port: 9_000,
            port,
            workload: name.to_owned(),
            image: "web:1".to_owned(),
            container: format!("{name}-{slot}"),
            container_id: String::new(),
            slot,
            health: HealthStatus::Healthy,
            ready: true,
            labels: BTreeMap::new(),
        };
        Workload {
            name: name.to_owned(),
            identifier: identifier(name),
            image: "web:1".to_owned(),
            labels: BTreeMap::new(),
            targets: (1..=slots).flat_map(|slot| [target(slot, 80), target(slot, 9_090)]).collect(),
        }
    }

    #[test]
    fn the_lists_of_the_examples_are_what_balancers_read() {
        let workloads = [workload("shop", 2), workload("empty", 0)];
        let of = |text: &str| Template::of(text.to_owned()).and_then(|template| template.render(&workloads));
        let haproxy = of(include_str!("../../../examples/balancer/haproxy.cfg.jinja")).expect("HAProxy's");
        let shop = "backend shop\n    balance leastconn\n    server s1 127.0.0.1:9001\n    server s2 127.0.0.1:9002\n";
        assert!(haproxy.contains(shop), "{haproxy}");
        assert!(haproxy.contains("backend empty\n"), "{haproxy}");
        let nginx = of(include_str!("../../../examples/balancer/nginx.conf.jinja")).expect("nginx's");
        let shop = "upstream shop {\n    server 127.0.0.1:9001;\n    server 127.0.0.1:9002;\n}\n";
        assert!(nginx.contains(shop), "{nginx}");
        assert!(!haproxy.contains(":99") && !nginx.contains(":99"), "one port of a workload: {haproxy} {nginx}");
        // nginx rejects an upstream without a server, and a reference to a missing upstream.
        assert!(
            nginx.contains("\nupstream empty {\n") && nginx.contains("\n    server 127.0.0.1:1 down;\n}"),
            "{nginx}"
        );
    }

    #[test]
    fn the_names_in_the_examples_have_no_character_that_a_balancer_forbids() {
        let digest = format!("ghcr.io/org/shop@sha256:{}", "0f".repeat(32));
        let workloads = [workload(&digest, 1), workload("ghcr.io/org/web:1", 1)];
        let balancers = [
            (include_str!("../../../examples/balancer/haproxy.cfg.jinja"), &["backend ", "use_backend "][..]),
            (include_str!("../../../examples/balancer/nginx.conf.jinja"), &["upstream "]),
        ];
        for (text, keywords) in balancers {
            let list = Template::of(text.to_owned()).and_then(|template| template.render(&workloads)).expect("a list");
            for keyword in keywords {
                let lines = list.lines().filter_map(|line| line.trim().strip_prefix(keyword));
                let names: Vec<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
                let is_plain =
                    |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
                assert!(names.len() == 2 && names.iter().all(is_plain), "{names:?}");
            }
            assert!(!list.contains('@'), "{list}");
        }
        let label = Template::of("{{ 'a@b'|identifier }}".to_owned()).and_then(|template| template.render(&[]));
        assert_eq!(label, Ok("a_b".to_owned()));
    }

    #[test]
    fn without_a_template_it_is_what_prometheus_reads() {
        let text = Template::prometheus().render(&[workload("shop", 1)]).expect("a list");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read[0]["targets"][0], "127.0.0.1:9001");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = Template::of("a\n{% for x in %}".to_owned()).expect_err("no template");
        assert!(wrong.contains("template:2"), "{wrong}");
        let unknown = Template::of("\n\n{{ replicas }}".to_owned()).and_then(|template| template.render(&[]));
        assert!(unknown.as_ref().is_err_and(|why| why.contains("template:3")), "{unknown:?}");
    }
}
