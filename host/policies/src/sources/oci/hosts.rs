//! The hosts that a registry may name for its logins and downloads.

use windlass_core::Origin;
use windlass_core::net::{Reach, RedirectRule};

/// The login hosts of public registries.
const KNOWN: [(&str, &str); 2] =
    [("https://index.docker.io", "https://auth.docker.io"), ("https://registry.gitlab.com", "https://gitlab.com")];

/// A registry, and the other hosts that it may name.
#[derive(Debug)]
pub(super) struct Hosts {
    /// `host` or `host:port`.
    registry: String,
    own: Origin,
    named: Vec<Origin>,
}

impl Hosts {
    /// A registry, `host` or `host:port`, that is reached over `scheme`.
    pub(super) fn new(scheme: &str, registry: &str, named: &[Origin]) -> Result<Self, String> {
        let invalid = || format!("`{}` is not the host of a registry", registry.escape_debug());
        let own: Origin = format!("{scheme}://{registry}").parse().map_err(|_| invalid())?;
        let is_own = |text: &str| text.parse().is_ok_and(|known: Origin| known == own);
        let known = KNOWN.iter().filter(|(registry, _)| is_own(registry)).filter_map(|(_, host)| host.parse().ok());
        let named = named.iter().cloned().chain(known).collect();
        Ok(Self { registry: registry.to_owned(), own, named })
    }

    /// The registry itself.
    pub(super) fn own(&self) -> &Origin {
        &self.own
    }

    /// The addresses that a request for a token may reach at a host.
    ///
    /// # Errors
    /// If the host may not receive the request, for example because it would receive a login.
    pub(super) fn token_host(&self, host: &Origin, has_login: bool) -> Result<Reach, String> {
        let refused = |why: &str| format!("the registry asks for a login at {host}, {why}");
        if self.own.is_secure() && !host.is_secure() {
            return Err(refused("but no login is sent from HTTPS to HTTP"));
        }
        if *host == self.own || self.named.contains(host) {
            return Ok(Reach::Configured);
        }
        let setting = format!("`registries.\"{}\".hosts`", self.registry);
        if has_login {
            return Err(refused(&format!(
                "but its login is sent only to its own host; to allow the other, add it to {setting}"
            )));
        }
        if !host.is_secure() {
            return Err(refused(&format!("but another host must speak HTTPS; to allow it, add it to {setting}")));
        }
        Ok(Reach::Public)
    }
}

/// Downloads may be redirected to any public host over HTTPS: no login is sent there, and the digest is checked.
impl RedirectRule for Hosts {
    fn follow(&self, target: &Origin) -> Result<Reach, String> {
        if *target == self.own || self.named.contains(target) {
            return Ok(Reach::Configured);
        }
        if target.is_secure() {
            return Ok(Reach::Public);
        }
        Err(format!("another host must speak HTTPS; to allow it, add it to `registries.\"{}\".hosts`", self.registry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().expect("an origin")
    }

    fn hosts(scheme: &str, registry: &str) -> Hosts {
        let named = [origin("https://auth.example"), origin("http://10.0.0.1:5001")];
        Hosts::new(scheme, registry, &named).expect("a registry")
    }

    #[test]
    fn a_login_goes_only_to_the_registry_and_the_hosts_that_the_configuration_names() {
        let secure = hosts("https", "registry.example:5000");
        for (host, with_login, anonymous) in [
            ("https://registry.example:5000", Some(Reach::Configured), Some(Reach::Configured)),
            ("https://auth.example", Some(Reach::Configured), Some(Reach::Configured)),
            ("https://registry.example", None, Some(Reach::Public)),
            ("https://evil.example", None, Some(Reach::Public)),
            ("http://registry.example:5000", None, None),
            ("http://10.0.0.1:5001", None, None),
            ("http://evil.example", None, None),
        ] {
            assert_eq!(secure.token_host(&origin(host), true).ok(), with_login, "{host}");
            assert_eq!(secure.token_host(&origin(host), false).ok(), anonymous, "{host}");
        }
        let plain = hosts("http", "127.0.0.1:5000");
        assert_eq!(plain.token_host(&origin("http://10.0.0.1:5001"), true), Ok(Reach::Configured));
        assert!(plain.token_host(&origin("http://127.0.0.1:5002"), true).is_err());
        let hub = Hosts::new("https", "index.docker.io", &[]).expect("a registry");
        assert_eq!(hub.token_host(&origin("https://auth.docker.io"), true), Ok(Reach::Configured));
        assert!(secure.token_host(&origin("https://auth.docker.io"), true).is_err());
        let why = secure.token_host(&origin("https://evil.example"), true).expect_err("refused");
        assert!(why.ends_with("add it to `registries.\"registry.example:5000\".hosts`"), "{why}");
    }

    #[test]
    fn a_download_leads_to_public_hosts_over_https() {
        let hosts = hosts("https", "registry.example");
        assert_eq!(hosts.follow(&origin("https://registry.example")), Ok(Reach::Configured));
        assert_eq!(hosts.follow(&origin("https://cdn.example")), Ok(Reach::Public));
        assert!(hosts.follow(&origin("http://cdn.example")).is_err());
    }
}
