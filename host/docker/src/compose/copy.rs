//! The request that creates a copy of a container, from its inspection as JSON, so that fields which only the engine knows
//! survive.

use crate::compose::labels::{CLONE_OF, NUMBER, REPLACES, ServiceContainer, short_id};
use crate::container::is_network_mode;
use crate::labels::INSTANCE;
use serde_json::{Map, Value, json};
use windlass_core::Slot;

/// The state of a container in a network, as opposed to its configuration there.
const ENDPOINT_STATE: [&str; 10] = [
    "NetworkID",
    "EndpointID",
    "Gateway",
    "IPAddress",
    "IPPrefixLen",
    "IPv6Gateway",
    "GlobalIPv6Address",
    "GlobalIPv6PrefixLen",
    "MacAddress",
    "DNSNames",
];

/// A copy to create.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Copy {
    /// The name of its container.
    pub(crate) name: String,
    /// The body of the create request.
    pub(crate) body: Value,
    /// The networks to join afterwards, each with its configuration: engines before 25 accept one network at creation.
    pub(crate) networks: Vec<(String, Value)>,
}

/// The copy of an inspected container in a slot. `image` leads to the image of the container.
pub(crate) fn copy_of(
    inspected: &Value,
    container: &ServiceContainer,
    instance: &str,
    slot: Slot,
    image: &str,
) -> Copy {
    let id = inspected["Id"].as_str().unwrap_or_default();
    let model_name = inspected["Name"].as_str().unwrap_or_default().trim_start_matches('/');
    let name = container.name_of(slot, model_name);
    let mut config = inspected["Config"].as_object().cloned().unwrap_or_default();
    let mut host = inspected["HostConfig"].as_object().cloned().unwrap_or_default();
    // The engine names a container without a host name after its identifier.
    if config.get("Hostname").and_then(Value::as_str) == Some(short_id(id)) {
        config.remove("Hostname");
    }
    config.insert("Image".to_owned(), json!(image));
    let mut labels = config.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default();
    labels.remove(REPLACES);
    labels.extend([
        (NUMBER.to_owned(), json!(slot.to_string())),
        (INSTANCE.to_owned(), json!(instance)),
        (CLONE_OF.to_owned(), json!(id)),
    ]);
    config.insert("Labels".to_owned(), Value::Object(labels));
    host.remove("ContainerIDFile");
    renew_anonymous_volumes(&mut config, &mut host);
    if let Some(links) = host.get_mut("Links").and_then(Value::as_array_mut) {
        links.iter_mut().for_each(relative_link);
    }
    let endpoints = inspected["NetworkSettings"]["Networks"].as_object().cloned().unwrap_or_default();
    let mut networks: Vec<(String, Value)> = endpoints
        .into_iter()
        .filter(|(network, _)| !is_network_mode(network))
        .map(|(network, endpoint)| (network, endpoint_config(endpoint, id, model_name, &name)))
        .collect();
    let mode = host.get("NetworkMode").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(first) = networks.iter().position(|(network, _)| *network == mode) {
        let (network, endpoint) = networks.remove(first);
        let endpoints = Map::from_iter([(network, endpoint)]);
        config.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": endpoints }));
    }
    config.insert("HostConfig".to_owned(), Value::Object(host));
    Copy { name, body: Value::Object(config), networks }
}

/// A container's configuration in a network: without its state, and without the aliases that are its own.
fn endpoint_config(endpoint: Value, id: &str, model_name: &str, name: &str) -> Value {
    let Value::Object(mut config) = endpoint else { return json!({}) };
    config.retain(|key, _| !ENDPOINT_STATE.contains(&key.as_str()));
    if let Some(aliases) = config.get_mut("Aliases").and_then(Value::as_array_mut) {
        aliases.retain(|alias| alias.as_str() != Some(short_id(id)));
        for alias in aliases.iter_mut().filter(|alias| alias.as_str() == Some(model_name)) {
            *alias = json!(name);
        }
    }
    Value::Object(config)
}

/// Replaces the anonymous volumes of the container by new ones. Compose names those of the container that it recreated.
fn renew_anonymous_volumes(config: &mut Map<String, Value>, host: &mut Map<String, Value>) {
    let mut targets = Vec::new();
    if let Some(binds) = host.get_mut("Binds").and_then(Value::as_array_mut) {
        binds.retain(|bind| {
            let mut parts = bind.as_str().unwrap_or_default().split(':');
            let (Some(source), Some(target)) = (parts.next(), parts.next()) else { return true };
            let is_read_only = parts.next().is_some_and(|mode| mode.split(',').any(|word| word == "ro"));
            if !is_anonymous(source) || is_read_only {
                return true;
            }
            targets.push(target.to_owned());
            false
        });
    }
    if !targets.is_empty() {
        let volumes = config.entry("Volumes").or_insert(Value::Null);
        if !volumes.is_object() {
            *volumes = json!({});
        }
        for target in targets {
            volumes[target] = json!({});
        }
    }
    for mount in host.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        if mount["Type"] == "volume"
            && mount["Source"].as_str().is_some_and(is_anonymous)
            && let Some(mount) = mount.as_object_mut()
        {
            mount.remove("Source");
        }
    }
}

/// Whether this is the name of an anonymous volume: 64 hexadecimal digits.
fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The engine lists a link as `/db:/web/alias`, and expects `db:alias`.
fn relative_link(link: &mut Value) {
    let Some((target, alias)) = link.as_str().and_then(|link| link.split_once(':')) else { return };
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    *link = json!(format!("{}:{alias}", target.trim_start_matches('/')));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> ServiceContainer {
        ServiceContainer {
            project: "shop".to_owned(),
            service: "web".to_owned(),
            number: Slot(1),
            config_hash: "aa".to_owned(),
            is_clone: false,
        }
    }

    fn inspected() -> Value {
        json!({
            "Id": "0123456789abcdef",
            "Name": "/shop_web_1",
            "Config": {
                "Hostname": "0123456789ab", "Image": "web:1", "NewField": {"a": [1, null]},
                "Labels": {NUMBER: "1", REPLACES: "x", "team": "shop"}, "Healthcheck": {"Test": ["CMD", "true"]}
            },
            "HostConfig": {"NetworkMode": "back", "ContainerIDFile": "", "NewOption": 7, "Binds": null, "Links": null},
            "NetworkSettings": {"Networks": {
                "front": {"Aliases": ["web", "0123456789ab", "shop_web_1"], "IPAddress": "10.0.0.2", "NewKey": "kept"},
                "back": {"Aliases": null, "NetworkID": "ab", "DriverOpts": {"a": "b"}}
            }}
        })
    }

    fn copy(inspected: &Value) -> Copy {
        copy_of(inspected, &container(), "here", Slot(3), "sha256:01")
    }

    #[test]
    fn a_copy_keeps_what_nobody_knows_and_drops_what_is_the_models_own() {
        let copy = copy(&inspected());
        assert_eq!(copy.name, "shop_web_3");
        let labels = json!({NUMBER: "3", "team": "shop", INSTANCE: "here", CLONE_OF: "0123456789abcdef"});
        let expected = json!({
            "Image": "sha256:01", "NewField": {"a": [1, null]}, "Labels": labels,
            "Healthcheck": {"Test": ["CMD", "true"]},
            "HostConfig": {"NetworkMode": "back", "NewOption": 7, "Binds": null, "Links": null},
            "NetworkingConfig": {"EndpointsConfig": {"back": {"Aliases": null, "DriverOpts": {"a": "b"}}}}
        });
        assert_eq!(copy.body, expected);
        let front = json!({"Aliases": ["web", "shop_web_3"], "NewKey": "kept"});
        assert_eq!(copy.networks, [("front".to_owned(), front)]);
    }

    #[test]
    fn a_host_name_of_the_users_is_kept_and_so_are_the_modes_of_networks() {
        let mut model = inspected();
        model["Config"]["Hostname"] = json!("web");
        model["HostConfig"]["NetworkMode"] = json!("none");
        model["NetworkSettings"]["Networks"] = json!({"none": {"Aliases": null}});
        let copy = copy(&model);
        assert_eq!(copy.body["Hostname"], "web");
        assert_eq!((copy.body.get("NetworkingConfig"), copy.networks.len()), (None, 0));
    }

    #[test]
    fn a_copy_gets_anonymous_volumes_of_its_own() {
        let mut model = inspected();
        let anonymous = "5f".repeat(32);
        model["HostConfig"]["Binds"] = json!([format!("{anonymous}:/data:rw"), "named:/named:rw", "/srv:/srv:ro"]);
        model["HostConfig"]["Mounts"] = json!([
            {"Type": "volume", "Source": anonymous, "Target": "/cache"},
            {"Type": "volume", "Source": "named", "Target": "/other"}
        ]);
        let copy = copy(&model);
        assert_eq!(copy.body["HostConfig"]["Binds"], json!(["named:/named:rw", "/srv:/srv:ro"]));
        assert_eq!(copy.body["Volumes"], json!({"/data": {}}));
        let mounts =
            json!([{"Type": "volume", "Target": "/cache"}, {"Type": "volume", "Source": "named", "Target": "/other"}]);
        assert_eq!(copy.body["HostConfig"]["Mounts"], mounts);
    }

    #[test]
    fn links_have_the_form_of_a_request() {
        let mut model = inspected();
        model["HostConfig"]["Links"] = json!(["/shop_db_1:/shop_web_1/db"]);
        assert_eq!(copy(&model).body["HostConfig"]["Links"], json!(["shop_db_1:db"]));
    }
}
