//! The second stage of `[discovery]`: checks the subscribers to the list of replicas.

use crate::config::raw::RawDiscovery;
use std::net::IpAddr;
use std::path::Path;
use windlass_core::SourceUrl;
use windlass_core::settings::DiscoverySettings;

impl RawDiscovery {
    /// Checks the section; relative paths start at `folder`.
    pub(super) fn check(self, folder: &Path, problems: &mut Vec<String>) -> DiscoverySettings {
        let mut settings = DiscoverySettings::default();
        self.apply("discovery", &mut settings, problems);
        let is_host = |text: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.bytes().all(plain))
        };
        if let Some(address) = self.address.as_ref().filter(|address| !is_host(address)) {
            let shown = address.escape_debug();
            problems.push(format!(
                "`discovery.address` is `{shown}`; expected a host name or an IP address without a port"
            ));
        }
        if let Some(webhook) = &self.webhook {
            let uri: Option<http::Uri> = webhook.parse().ok();
            let fits =
                uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
            if !fits {
                let shown = SourceUrl::new(webhook).masked().escape_debug().to_string();
                problems.push(format!(
                    "`discovery.webhook` is `{shown}`; expected an address such as `http://127.0.0.1:9000/`"
                ));
            }
        }
        if self.template.is_some() && self.file.is_none() {
            problems.push(
                "`discovery.template` is set without `discovery.file`; name the file that the template renders to"
                    .to_owned(),
            );
        }
        if let Some(check) = &self.check {
            if self.file.is_none() {
                problems
                    .push("`discovery.check` is set without `discovery.file`; name the file that it checks".to_owned());
            }
            if check.first().is_none_or(String::is_empty) || !check.iter().any(|word| word.contains("{}")) {
                problems.push(
                    "`discovery.check` does not name the new file; write `{}` in its place: `[\"haproxy\", \"-c\", \"-f\", \
                     \"{}\"]`"
                        .to_owned(),
                );
            }
        }
        if self.command.as_ref().is_some_and(|words| words.first().is_none_or(String::is_empty)) {
            problems.push(
                "`discovery.command` is empty; expected a program and its arguments: `[\"systemctl\", …]`".to_owned(),
            );
        }
        settings.address = self.address;
        settings.file = self.file.map(|path| folder.join(path));
        settings.template = self.template.map(|path| folder.join(path));
        settings.check = self.check.unwrap_or_default();
        settings.command = self.command.unwrap_or_default();
        settings.webhook = self.webhook;
        settings
    }
}
