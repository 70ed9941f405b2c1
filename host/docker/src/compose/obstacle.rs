//! Why no faithful copy of a container can be made, read from its inspection as JSON.

use crate::labels::is_plain;
use serde_json::Value;

/// Why no faithful copy of a container can be made, in one sentence. `None` if one can.
///
/// `copied_in`: a file that Compose copied into the container. `None` if there is none.
pub(crate) fn obstacle(inspected: &Value, has_compose_name: bool, copied_in: Option<&str>) -> Option<String> {
    let name = inspected["Name"].as_str().unwrap_or_default().trim_start_matches('/');
    if !has_compose_name {
        return Some(format!(
            "container `{name}` has a name of its own, and no other container may have it; remove `container_name` from \
             the service"
        ));
    }
    let why = network_mode(inspected)
        .or_else(|| fixed_port(inspected))
        .or_else(|| fixed_address(inspected))
        .or_else(|| fixed_mac(inspected))
        .or_else(|| {
            copied_in.map(|file| {
                format!(
                    "has `{file}`, which Compose copied into it and the engine does not describe; give the secret or config \
                     by `file:`"
                )
            })
        })?;
    Some(format!("container `{name}` {why}"))
}

fn network_mode(inspected: &Value) -> Option<String> {
    let mode = inspected["HostConfig"]["NetworkMode"].as_str()?;
    if mode == "host" {
        return Some(
            "uses the host's network, so a copy would need the same ports; use another `network_mode`".to_owned(),
        );
    }
    let other = mode.strip_prefix("container:")?;
    let other = if is_plain(other) { &other[..other.len().min(12)] } else { "another" };
    Some(format!(
        "shares the network of container `{other}`, so a copy would need the same ports; use `networks` instead of \
         `network_mode`"
    ))
}

fn fixed_port(inspected: &Value) -> Option<String> {
    let bindings = inspected["HostConfig"]["PortBindings"].as_object()?;
    let ports = bindings.values().flat_map(|bound| bound.as_array().into_iter().flatten());
    // A range, such as `8000-8010`, has a port for a copy.
    let fixed =
        ports.filter_map(|binding| binding["HostPort"].as_str()?.parse::<u16>().ok()).filter(|port| *port > 0).min()?;
    Some(format!(
        "publishes the fixed host port {fixed}, which a copy would need too; publish the port without a host port, or give \
         a range of host ports"
    ))
}

fn fixed_address(inspected: &Value) -> Option<String> {
    let networks = inspected["NetworkSettings"]["Networks"].as_object()?;
    networks.iter().find_map(|(network, endpoint)| {
        let config = &endpoint["IPAMConfig"];
        let of = |key: &str| config[key].as_str().filter(|address| !address.is_empty());
        let link_local = config["LinkLocalIPs"].as_array().and_then(|all| all.first()?.as_str());
        let (address, key) = of("IPv4Address")
            .map(|address| (address, "ipv4_address"))
            .or_else(|| of("IPv6Address").map(|address| (address, "ipv6_address")))
            .or_else(|| link_local.map(|address| (address, "link_local_ips")))?;
        Some(format!(
            "has the fixed address {address} in network `{network}`, which a copy cannot have too; remove `{key}`"
        ))
    })
}

/// A generated address has the bit of locally administered ones. So an address without it was chosen by a person, also
/// where the engine does not list it in the container's configuration.
fn fixed_mac(inspected: &Value) -> Option<String> {
    let configured = inspected["Config"]["MacAddress"].as_str().filter(|mac| !mac.is_empty());
    let endpoints = inspected["NetworkSettings"]["Networks"].as_object();
    let is_universal = |mac: &&str| {
        mac.get(..2).and_then(|first| u8::from_str_radix(first, 16).ok()).is_some_and(|first| first & 2 == 0)
    };
    let chosen =
        || endpoints?.values().filter_map(|endpoint| endpoint["MacAddress"].as_str()).find(|mac| is_universal(mac));
    let mac = configured.or_else(chosen)?;
    Some(format!("has the fixed MAC address {mac}, which a copy cannot have too; remove `mac_address`"))
}

/// The file that Compose copied into a container, from the engine's list of changed files: a secret that is no mount.
/// Compose does so with `environment:` and `content:`.
pub(crate) fn copied_in(changes: &Value, inspected: &Value) -> Option<String> {
    let is_mount = |path: &str| {
        let mounts = inspected["Mounts"].as_array().into_iter().flatten();
        let mut targets = mounts.filter_map(|mount| mount["Destination"].as_str());
        targets.any(|target| {
            target == path || target.starts_with(&format!("{path}/")) || path.starts_with(&format!("{target}/"))
        })
    };
    let paths = changes.as_array()?.iter().filter_map(|change| change["Path"].as_str());
    let mut secrets = paths.filter(|path| path.starts_with("/run/secrets/") && !is_mount(path));
    secrets.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn inspected(change: &[(&str, Value)]) -> Value {
        let mut inspected = json!({
            "Name": "/shop-web-1",
            "Config": {},
            "HostConfig": {"NetworkMode": "shop_default", "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}},
            "Mounts": [{"Type": "bind", "Destination": "/run/secrets/key"}],
            "NetworkSettings": {"Networks": {"back": {"IPAMConfig": {}, "MacAddress": "02:42:ac:14:00:02"}}}
        });
        for (pointer, value) in change {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            inspected.pointer_mut(parent).unwrap()[key] = value.clone();
        }
        inspected
    }

    #[test]
    fn each_part_that_a_copy_cannot_have_is_named_with_the_way_out() {
        assert_eq!(obstacle(&inspected(&[]), true, None), None);
        let range = json!({"80/tcp": [{"HostPort": "8000-8010"}]});
        assert_eq!(obstacle(&inspected(&[("/HostConfig/PortBindings", range)]), true, None), None);
        let in_back = "/NetworkSettings/Networks/back/IPAMConfig";
        for (pointer, value, told) in [
            ("/HostConfig/PortBindings", json!({"80/tcp": [{"HostPort": ""}, {"HostPort": "8080"}]}), "host port 8080"),
            ("/HostConfig/NetworkMode", json!("host"), "the host's network"),
            ("/HostConfig/NetworkMode", json!("container:0123456789abcdef"), "network of container `0123456789ab`"),
            (in_back, json!({"IPv4Address": "10.0.0.9"}), "fixed address 10.0.0.9 in network `back`"),
            (in_back, json!({"IPv6Address": "fd00::9"}), "remove `ipv6_address`"),
            (in_back, json!({"LinkLocalIPs": ["169.254.1.2"]}), "remove `link_local_ips`"),
            ("/Config/MacAddress", json!("02:42:00:00:00:01"), "fixed MAC address 02:42:00:00:00:01"),
            ("/NetworkSettings/Networks/back/MacAddress", json!("00:16:3e:00:00:01"), "MAC address 00:16:3e:00:00:01"),
        ] {
            let why = obstacle(&inspected(&[(pointer, value)]), true, None).unwrap();
            assert!(why.contains(told) && why.starts_with("container `shop-web-1` "), "{why}");
        }
        assert!(obstacle(&inspected(&[]), false, None).unwrap().contains("remove `container_name`"));
        assert!(obstacle(&inspected(&[]), true, Some("/run/secrets/x")).unwrap().contains("`/run/secrets/x`"));
    }

    #[test]
    fn a_secret_that_is_no_mount_was_copied_in() {
        let copied = |paths: &[&str]| {
            let changes: Vec<Value> = paths.iter().map(|path| json!({"Path": path, "Kind": 1})).collect();
            copied_in(&json!(changes), &inspected(&[]))
        };
        assert_eq!(copied(&["/run", "/run/secrets", "/run/secrets/key", "/run/app.pid"]), None);
        assert_eq!(copied(&["/run/secrets/key", "/run/secrets/token"]).as_deref(), Some("/run/secrets/token"));
        assert_eq!(copied_in(&Value::Null, &inspected(&[])), None);
    }
}
