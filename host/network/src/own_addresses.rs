//! The IP addresses of this machine, read from the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kernel's table of IPv4 routes, and the IPv6 addresses of its interfaces. Both are those of the process's own network.
const IPV4: &str = "/proc/self/net/fib_trie";
const IPV6: &str = "/proc/self/net/if_inet6";

/// Whether an address is one of this machine. If the kernel does not list its addresses, every address counts.
pub(crate) fn contain(ip: IpAddr) -> bool {
    if ip.is_loopback() {
        return true;
    }
    match ip {
        IpAddr::V4(ip) => std::fs::read_to_string(IPV4).map_or(true, |table| ipv4(&table).any(|own| own == ip)),
        // Without IPv6 there is no list.
        IpAddr::V6(ip) => std::fs::read_to_string(IPV6).is_ok_and(|table| ipv6(&table).any(|own| own == ip)),
    }
}

/// The addresses of the table's entries `|-- ADDRESS`, each followed by its properties, with the property `/32 host LOCAL`.
fn ipv4(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    let mut last = None;
    table.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        }
        last.filter(|_| line == "/32 host LOCAL")
    })
}

/// The addresses at the beginning of each line, 32 hexadecimal digits.
fn ipv6(table: &str) -> impl Iterator<Item = Ipv6Addr> {
    table.lines().filter_map(|line| {
        let digits = line.split_whitespace().next()?;
        u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn the_tables_of_the_kernel_are_read() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.0.0\n        \
                     /24 link UNICAST\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        \
                     /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let expected = [Ipv4Addr::new(10, 0, 0, 7), Ipv4Addr::LOCALHOST];
        assert_eq!(ipv4(table).collect::<Vec<_>>(), expected);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\nfd000000000000000000000000000007 02 40 20 80 eth0\n";
        let expected: [Ipv6Addr; 2] = [Ipv6Addr::LOCALHOST, "fd00::7".parse().expect("an address")];
        assert_eq!(ipv6(table).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_address_with_which_this_machine_sends_is_its_own() {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        // Nothing is sent: this only chooses the route. A machine without a network has none.
        if socket.connect("192.0.2.1:9").is_ok() {
            assert!(contain(socket.local_addr().expect("an address").ip()));
        }
        assert!(contain(IpAddr::from([127, 9, 9, 9])));
        assert!(!contain(IpAddr::from([192, 0, 2, 1])));
        assert!(!contain("2001:db8::1".parse().expect("an address")));
    }
}
