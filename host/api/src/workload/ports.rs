//! `ports`: where the ports of a replica are published on the engine's host.

use crate::json::fields::Field;
use crate::json::object::{declare, object, reference};
use crate::json::pattern::{ipv4, ipv6, numbers, whole as whole_text};
use crate::json::problems::{Problems, join, quote};
use crate::json::shape::{Schemas, Shape, one_of, parsed_by, port, text, whole_number};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};
use windlass_core::publication::{address, short_form};
use windlass_core::workload::{ContainerPort, Protocol};
use windlass_core::{HostPorts, Publication, Publications};

/// The most publications of a workload: an engine starts a process, or adds a rule, for each of them in each replica.
const MOST: usize = 1_000;
/// Most characters of a port with its address.
const LONGEST: usize = 100;

const PROTOCOLS: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)];

declare! {
    /// A published port in the long form of Compose.
    pub(crate) struct PortRequest {
        /// Port inside the replica.
        required target: u16 = port(),
        /// Port of the host, a number or text: 0 or absent for any free one, `8000-8010` for a free one of a range.
        optional published: HostPorts = host_ports(),
        /// Address of the host. Default: `engine.publish_address` of the configuration, or every address.
        nullable host_ip: IpAddr = parsed_by(address).pattern(&whole_text(&[ipv4(), ipv6()]), LONGEST),
        /// Default: `tcp`.
        optional protocol: Protocol = one_of(PROTOCOLS).keyword("default", json!("tcp")),
        /// As in Compose; without effect on a single engine.
        nullable mode: () = one_of(&[("host", ()), ("ingress", ())]),
        /// As in Compose; not stored.
        nullable name: String = text(),
        /// As in Compose; not stored.
        nullable app_protocol: String = text(),
    }
}

/// Published ports: an object from ports inside the replica to ports of the host, or the list of Compose.
pub(crate) fn ports() -> Shape<BTreeMap<ContainerPort, Publications>> {
    let schema = |schemas: &mut Schemas| {
        let long = reference::<PortRequest>(schemas);
        let number = json!({"type": "integer", "minimum": 0, "maximum": 65_535});
        let publication = json!({"type": "string", "pattern": publication_pattern(), "maxLength": LONGEST});
        let several = json!({"type": "array", "minItems": 1, "items": {"anyOf": [number, publication]}});
        let short = json!({"type": "string", "pattern": short_pattern(), "maxLength": LONGEST});
        let inside = json!({"type": "integer", "minimum": 1, "maximum": 65_535});
        json!({"anyOf": [
            {
                "type": "object", "maxProperties": MOST,
                "propertyNames": {"pattern": container_port_pattern(), "maxLength": LONGEST},
                "additionalProperties": {"anyOf": [number, publication, several]},
            },
            {"type": "array", "maxItems": MOST, "items": {"anyOf": [short, inside, long]}},
        ]})
    };
    Shape::with_schema(schema, |value, pointer, problems| {
        let mut found = Found::default();
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    found.of_map(name, value, &join(pointer, name), problems);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    found.of_list(value, &format!("{pointer}/{index}"), problems);
                }
            }
            other => problems.add(pointer, format!("expected an object or a list, found {}", quote(other))),
        }
        if found.count > MOST {
            problems.add(pointer, format!("a workload publishes at most {MOST} ports"));
        }
        Some(found.ports)
    })
}

/// The ports read so far.
#[derive(Default)]
struct Found {
    ports: BTreeMap<ContainerPort, Publications>,
    count: usize,
}

impl Found {
    /// A port inside the replica with its ports of the host.
    fn of_map(&mut self, name: &str, value: &Value, pointer: &str, problems: &mut Problems) {
        let inside: Option<ContainerPort> =
            name.parse().map_err(|invalid: windlass_core::Invalid| problems.add(pointer, invalid.0)).ok();
        let values = match value {
            Value::Array(values) => {
                values.iter().enumerate().map(|(index, value)| (value, format!("{pointer}/{index}"))).collect()
            }
            value => vec![(value, pointer.to_owned())],
        };
        if values.is_empty() {
            problems.add(pointer, "expected at least one port of the host");
        }
        // A port is given once: its other publications are in the same list.
        let is_repeated = inside.is_some_and(|inside| self.ports.contains_key(&inside));
        if let (Some(inside), true) = (inside, is_repeated) {
            problems.add(pointer, format!("`{inside}` is given more than once"));
        }
        for (value, pointer) in values {
            let publication = publication(value, &pointer, problems);
            if let (Some(inside), Some(publication), false) = (inside, publication, is_repeated) {
                self.add(inside, publication, &pointer, problems);
            }
        }
    }

    /// An element of a list as in Compose.
    fn of_list(&mut self, value: &Value, pointer: &str, problems: &mut Problems) {
        match value {
            Value::Object(_) => {
                if let Some((inside, publication)) = object().then(PortRequest::port).read(value, pointer, problems) {
                    self.add(inside, publication, pointer, problems);
                }
            }
            Value::String(text) => match short_form(text) {
                // Each is added on its own, so that a range that is given twice is one problem.
                Ok(ports) => {
                    for (inside, publication) in ports {
                        if !self.add(inside, publication, pointer, problems) {
                            break;
                        }
                    }
                }
                Err(invalid) => problems.add(pointer, invalid.0),
            },
            value => match port().read(value, pointer, &mut Problems::default()) {
                Some(number) => {
                    let inside = ContainerPort { number, protocol: Protocol::Tcp };
                    let any = Publication { host_ip: None, host_ports: HostPorts::ANY };
                    self.add(inside, any, pointer, problems);
                }
                None => problems.add(
                    pointer,
                    format!(
                        "expected a port such as `\"127.0.0.1:8080:80/tcp\"`, `80` or `{{\"target\": 80}}`, found {}",
                        quote(value)
                    ),
                ),
            },
        }
    }

    /// Adds a publication. Returns false after recording why it is wrong.
    fn add(&mut self, inside: ContainerPort, publication: Publication, pointer: &str, problems: &mut Problems) -> bool {
        // More are refused as a whole.
        if self.count > MOST {
            return false;
        }
        let of_protocol = self.ports.iter().filter(|(port, _)| port.protocol == inside.protocol);
        let is_taken = of_protocol.flat_map(|(_, all)| all.iter()).any(|other| other.overlaps(&publication));
        if is_taken {
            let ports = publication.host_ports;
            let noun = if ports.capacity() == Some(1) { "host port" } else { "host ports" };
            let verb = if ports.capacity() == Some(1) { "is" } else { "are" };
            problems.add(pointer, format!("{noun} {ports} {verb} given more than once"));
            return false;
        }
        let is_repeated = self.ports.get(&inside).is_some_and(|all| all.iter().any(|other| *other == publication));
        if is_repeated {
            problems.add(pointer, format!("`{inside}` is given more than once"));
            return false;
        }
        self.count += 1;
        self.ports.entry(inside).and_modify(|all| all.push(publication)).or_insert_with(|| publication.into());
        true
    }
}

impl PortRequest {
    fn port(self, _: &str, _: &mut Problems) -> Option<(ContainerPort, Publication)> {
        let Self { target, published, host_ip, protocol, mode, name, app_protocol, .. } = self;
        // A wrong field has been recorded, and leaves no port.
        let is_wrong = matches!(host_ip, Field::Wrong)
            || matches!(mode, Field::Wrong)
            || matches!(name, Field::Wrong)
            || matches!(app_protocol, Field::Wrong);
        let inside = ContainerPort { number: target.given()?, protocol: protocol.or(Protocol::Tcp)? };
        let publication = Publication { host_ip: host_ip.given(), host_ports: published.or(HostPorts::ANY)? };
        (!is_wrong).then_some((inside, publication))
    }
}

/// A port of the host: a number, or text with an address or a range.
fn publication(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Publication> {
    if let Value::String(text) = value {
        return text.parse().map_err(|invalid: windlass_core::Invalid| problems.add(pointer, invalid.0)).ok();
    }
    let number = whole_number(value).and_then(|number| u16::try_from(number).ok());
    if number.is_none() {
        problems.add(pointer, format!("expected a whole number from 0 to 65535, found {}", quote(value)));
    }
    number.map(|port| Publication { host_ip: None, host_ports: HostPorts::one(port) })
}

/// `published` of the long form: Compose writes it as text.
fn host_ports() -> Shape<HostPorts> {
    let schema = json!({
        "type": ["integer", "string"], "minimum": 0, "maximum": 65_535,
        "pattern": whole_text(&[numbers(0..=65_535), host_range()]), "maxLength": LONGEST,
    });
    Shape::new(schema, |value, pointer, problems: &mut Problems| {
        let text = match value {
            Value::String(text) => text.clone(),
            value => whole_number(value).map(|number| number.to_string()).unwrap_or_default(),
        };
        let parsed = text.parse();
        if parsed.is_err() {
            let expected =
                "expected a port of the host from 1 to 65535, a range such as `8000-8010`, or 0 for any free one";
            problems.add(pointer, format!("{expected}, found {}", quote(value)));
        }
        parsed.ok()
    })
}

/// `80`, `80/tcp`.
fn container_port_pattern() -> String {
    format!("^{}(?:/(?:tcp|udp|sctp))?$", numbers(1..=65_535))
}

/// `8080`, `8000-8010`, `127.0.0.1:8080`.
fn publication_pattern() -> String {
    format!("^(?:{}:)?(?:{}|{})$", host_address(), numbers(0..=65_535), host_range())
}

/// `[[address:]ports:]port[/protocol]` with one port inside the replica. Ranges inside are read, too, but a regular
/// expression cannot compare their length with that of the ports of the host.
fn short_pattern() -> String {
    let (any, host, inside) = (numbers(0..=65_535), host_address(), numbers(1..=65_535));
    format!("^(?:(?:{host}:)?(?:{any}|{range}):|{host}::)?{inside}(?:/(?:tcp|udp|sctp))?$", range = host_range())
}

fn host_range() -> String {
    let number = numbers(1..=65_535);
    format!("{number}-{number}")
}

fn host_address() -> String {
    format!(r"(?:{}|\[{}\])", ipv4(), ipv6())
}

/// The ports of the host for one port inside a replica, in the form of the request: a number; text if there is an address
/// or a range; or a list of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct PublishedView(pub(crate) Publications);

impl PartialSchema for PublishedView {
    fn schema() -> RefOr<Schema> {
        let one = |kind| ObjectBuilder::new().schema_type(kind);
        let either = || AnyOfBuilder::new().item(one(Type::Integer)).item(one(Type::String));
        let several = ArrayBuilder::new().items(either());
        let about = "Port of the host, 0 for any free one; `127.0.0.1:8080` or `8000-8010`; or a list of them.";
        Schema::AnyOf(either().item(several).description(Some(about)).build()).into()
    }
}

impl ToSchema for PublishedView {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("PublishedPort")
    }
}

/// Published ports in the form of the request.
pub(crate) fn view(ports: &BTreeMap<ContainerPort, Publications>) -> BTreeMap<String, PublishedView> {
    ports.iter().map(|(port, publications)| (port.to_string(), PublishedView(publications.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Result<Value, String> {
        let mut problems = Problems::default();
        let read = ports().read(value, "/ports", &mut problems);
        problems.finish(read).map(|ports| json!(view(&ports))).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn every_form_of_compose_is_read_and_shown_as_an_object() {
        for (said, shown) in [
            (json!({"80/tcp": 0, "53/udp": 5353}), json!({"80/tcp": 0, "53/udp": 5353})),
            (json!({"80": "127.0.0.1:8080"}), json!({"80/tcp": "127.0.0.1:8080"})),
            (json!({"80": "[::1]:0", "81": "8000-8010"}), json!({"80/tcp": "[::1]:0", "81/tcp": "8000-8010"})),
            (json!({"80": ["127.0.0.1:80", "10.0.0.1:81"]}), json!({"80/tcp": ["127.0.0.1:80", "10.0.0.1:81"]})),
            (json!(["127.0.0.1:8080:80/tcp"]), json!({"80/tcp": "127.0.0.1:8080"})),
            (json!(["8080:80", "127.0.0.1::81", 82]), json!({"80/tcp": 8080, "81/tcp": "127.0.0.1:0", "82/tcp": 0})),
            (json!(["3000-3002"]), json!({"3000/tcp": 0, "3001/tcp": 0, "3002/tcp": 0})),
            (json!(["9000-9001:80-81/udp"]), json!({"80/udp": 9000, "81/udp": 9001})),
            (json!(["10.0.0.1:80:80", "10.0.0.2:80:80"]), json!({"80/tcp": ["10.0.0.1:80", "10.0.0.2:80"]})),
            (json!([{"target": 80}]), json!({"80/tcp": 0})),
            (
                json!([{"target": 53, "published": "5300-5310", "host_ip": "127.0.0.1", "protocol": "udp"}]),
                json!({"53/udp": "127.0.0.1:5300-5310"}),
            ),
            (
                json!([{"name": "web", "target": 80, "published": 8080, "mode": "ingress", "app_protocol": "http"}]),
                json!({"80/tcp": 8080}),
            ),
            (json!([]), json!({})),
        ] {
            assert_eq!(read(&said), Ok(shown.clone()), "{said}");
            assert_eq!(read(&shown), Ok(shown), "sent back");
        }
    }

    #[test]
    fn wrong_ports_are_told_with_their_place() {
        let mut said = vec![];
        for ports in [
            json!(80),
            json!({"80/tcp": "localhost:80", "81": true, "82": [], "83": [1, -1]}),
            json!(["8080:80", "127.0.0.1:8080:81", "8080:80/udp"]),
            json!({"80": "8000-8010", "81": 8005}),
            json!(["80", 80]),
            json!(["8000-8001:80-82", null, 0, "80/http"]),
            json!([{"published": "8080"}, {"target": 80, "published": "x", "host_ip": "here", "protocol": "http"}]),
            json!([{"target": 80, "mode": "global", "ports": 1}]),
            json!(["1-65535"]),
        ] {
            said.push(format!("{ports}\n  {}", read(&ports).expect_err("refused").replace("; /", "\n  /")));
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
        80
          /ports: expected an object or a list, found `80`
        {"80/tcp":"localhost:80","81":true,"82":[],"83":[1,-1]}
          /ports/80~1tcp: `localhost` is not an address of the host; expected an IP address such as `127.0.0.1` or `[::1]`
          /ports/81: expected a whole number from 0 to 65535, found `true`
          /ports/82: expected at least one port of the host
          /ports/83/1: expected a whole number from 0 to 65535, found `-1`
        ["8080:80","127.0.0.1:8080:81","8080:80/udp"]
          /ports/1: host port 8080 is given more than once
        {"80":"8000-8010","81":8005}
          /ports/81: host port 8005 is given more than once
        ["80",80]
          /ports/1: `80/tcp` is given more than once
        ["8000-8001:80-82",null,0,"80/http"]
          /ports/0: `8000-8001:80-82` is not a port: it has 2 ports of the host for 3 ports inside the replica; expected `[[address:]host port:]port[/protocol]`, such as `127.0.0.1:8080:80/tcp`, `8000-8010:80` or `80`
          /ports/1: expected a port such as `"127.0.0.1:8080:80/tcp"`, `80` or `{"target": 80}`, found null
          /ports/2: expected a port such as `"127.0.0.1:8080:80/tcp"`, `80` or `{"target": 80}`, found `0`
          /ports/3: `80/http` is not a port: `http` is not a protocol; expected `tcp`, `udp` or `sctp`; expected `[[address:]host port:]port[/protocol]`, such as `127.0.0.1:8080:80/tcp`, `8000-8010:80` or `80`
        [{"published":"8080"},{"host_ip":"here","protocol":"http","published":"x","target":80}]
          /ports/0/target: this field is required
          /ports/1/published: expected a port of the host from 1 to 65535, a range such as `8000-8010`, or 0 for any free one, found `"x"`
          /ports/1/host_ip: `here` is not an address of the host; expected an IP address such as `127.0.0.1` or `[::1]`
          /ports/1/protocol: expected `tcp` or `udp` or `sctp`, found `"http"`
        [{"mode":"global","ports":1,"target":80}]
          /ports/0/ports: unknown field; expected `target`, `published`, `host_ip`, `protocol`, `mode`, `name`, `app_protocol`
          /ports/0/mode: expected `host` or `ingress`, found `"global"`
        ["1-65535"]
          /ports: a workload publishes at most 1000 ports
        "#);
    }
}
