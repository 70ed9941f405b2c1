//! The address at which a published port is reachable from here.

use std::net::{IpAddr, SocketAddr};
use windlass_core::PortBinding;

/// The address at which a published port is reachable. `host` is the address of the engine's machine. `None` if it is
/// unknown: then only a port that is published on an address of its own is reachable.
pub(crate) fn reachable_address(binding: &PortBinding, host: Option<IpAddr>) -> Option<SocketAddr> {
    let bound = if binding.host_ip.is_empty() { host? } else { binding.host_ip.parse().ok()? };
    let reachable = if bound.is_unspecified() {
        // IPv4 and IPv6 are bound, and listed, separately.
        host.filter(|host| host.is_ipv4() == bound.is_ipv4())
    } else if bound.is_loopback() && !host.is_some_and(|host| host.is_loopback()) {
        None
    } else {
        Some(bound)
    };
    reachable.map(|ip| SocketAddr::new(ip, binding.host_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_port_is_reached_where_it_is_bound() {
        let reached = |host_ip: &str, host: &str| {
            let binding = PortBinding { host_ip: host_ip.to_owned(), host_port: 8080 };
            reachable_address(&binding, host.parse().ok()).map(|address| address.to_string())
        };
        assert_eq!(reached("0.0.0.0", "127.0.0.1").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(reached("::", "127.0.0.1"), None);
        assert_eq!(reached("0.0.0.0", "10.0.0.9").as_deref(), Some("10.0.0.9:8080"));
        assert_eq!(reached("127.0.0.1", "10.0.0.9"), None, "only on the other machine");
        assert_eq!(reached("192.168.1.5", "127.0.0.1").as_deref(), Some("192.168.1.5:8080"));
        assert_eq!(reached("", "::1").as_deref(), Some("[::1]:8080"));
        assert_eq!(reached("0.0.0.0", "unknown"), None, "from a container");
        assert_eq!(reached("192.168.1.5", "unknown").as_deref(), Some("192.168.1.5:8080"));
    }
}
