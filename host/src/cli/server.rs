//! The address and token of a running Windlass, for the commands that send requests to it.

use crate::cli::contexts::{self, Context, Contexts};
use crate::config;
use anyhow::{Context as _, bail};
use clap::Args;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use windlass_core::Listen;
use windlass_core::listen::socket_text;
use windlass_files::private::read_secret;
use windlass_network::remote::Remote;

/// Flags that name the server. The token is no flag, because other users can read a process's flags.
#[derive(Debug, Clone, Args)]
pub(super) struct Server {
    /// Address or Unix socket windlass listens on, such as `http://127.0.0.1:8000` or `unix:/run/windlass/windlass.sock`
    /// [env: WINDLASS_SERVER] [default: that of the context, else WINDLASS_LISTEN, else `api.listen` of the configuration
    /// file, else http://127.0.0.1:8000]
    #[arg(long, value_name = "URL|unix:PATH", help_heading = HEADING)]
    server: Option<String>,
    /// A server by its name, see `windlass context` [env: WINDLASS_CONTEXT] [default: that of `windlass context use`]
    #[arg(long, value_name = "NAME", help_heading = HEADING, conflicts_with = "server")]
    context: Option<String>,
    /// Places that the server listens on: in a container, its variables are those of the commands
    #[arg(long, env = "WINDLASS_LISTEN", value_name = "ADDRESS:PORT|unix:PATH", hide = true)]
    server_listen: Option<Listen>,
    /// Configuration file of the server, for its address
    #[arg(long, env = "WINDLASS_CONFIG", value_name = "FILE", hide = true)]
    server_config: Option<PathBuf>,
    /// File with the token; or put the token in WINDLASS_TOKEN
    #[arg(long, env = "WINDLASS_TOKEN_FILE", value_name = "FILE", hide_env_values = true, help_heading = HEADING)]
    token_file: Option<PathBuf>,
    /// File with the certificate, in PEM, of the authority that signed the server's certificate
    #[arg(long, env = "WINDLASS_CA_FILE", value_name = "FILE", hide_env_values = true, help_heading = HEADING)]
    ca_file: Option<PathBuf>,
}

/// The heading of the flags in the help.
const HEADING: &str = "Server";

impl Server {
    /// A client for the server, with the token.
    pub(super) fn client(&self) -> anyhow::Result<Remote> {
        let chosen = self.chosen(variable, user_contexts)?;
        let token = match (variable("WINDLASS_TOKEN"), &self.token_file) {
            (Some(_), Some(_)) => {
                bail!("both WINDLASS_TOKEN and a token file (`--token-file`) are set; remove one of them")
            }
            (Some(token), None) => Some(token),
            (None, file) => file.as_ref().or(chosen.token_file.as_ref()).map(|file| token(file)).transpose()?,
        };
        self.remote(&chosen, token)
    }

    /// The address of the server, and a client for requests that need no token. The token's file need not be readable.
    pub(super) fn without_token(&self) -> anyhow::Result<(String, Remote)> {
        let chosen = self.chosen(variable, user_contexts)?;
        let client = self.remote(&chosen, None)?;
        Ok((chosen.server, client))
    }

    fn remote(&self, chosen: &Context, token: Option<String>) -> anyhow::Result<Remote> {
        let read = |file: &PathBuf| {
            std::fs::read(file).with_context(|| format!("cannot read the certificate in `{}`", file.display()))
        };
        let authority = self.ca_file.as_ref().or(chosen.ca_file.as_ref()).map(read).transpose()?;
        Ok(Remote::new(&chosen.server, token, authority.as_deref())?)
    }

    /// The server. The files of a context belong to the context's server: another server does not get its token.
    fn chosen(
        &self,
        variable: impl Fn(&str) -> Option<String>,
        contexts: impl Fn() -> anyhow::Result<Contexts>,
    ) -> anyhow::Result<Context> {
        let without_files = |server| Context { server, token_file: None, ca_file: None };
        let by_address = match &self.context {
            Some(_) => None,
            None => self.server.clone().or_else(|| variable("WINDLASS_SERVER")),
        };
        if let Some(server) = by_address {
            return Ok(without_files(server));
        }
        let contexts = contexts()?;
        let context = match self.context.clone().or_else(|| variable("WINDLASS_CONTEXT")) {
            Some(name) => contexts.named(&name)?,
            None => contexts.current()?,
        };
        let configured = || config::listen(self.server_config.as_deref());
        let here = || without_files(address(&self.server_listen.clone().unwrap_or_else(configured)));
        Ok(context.cloned().unwrap_or_else(here))
    }
}

/// A variable of the environment; an empty one counts as absent.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn user_contexts() -> anyhow::Result<Contexts> {
    contexts::file().map_or_else(|| Ok(Contexts::default()), |file| contexts::load(&file))
}

fn token(file: &Path) -> anyhow::Result<String> {
    let text = read_secret(file);
    Ok(text.with_context(|| format!("cannot read the token from `{}`", file.display()))?.trim().to_owned())
}

/// The address at which a program of the same machine reaches a server. The socket is preferred, because it needs no token.
fn address(listen: &Listen) -> String {
    match (&listen.socket, listen.tcp) {
        (Some(path), _) => socket_text(path),
        (None, Some(mut address)) => {
            if address.ip().is_unspecified() {
                let is_v4 = address.is_ipv4();
                address.set_ip(if is_v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
            }
            format!("http://{address}")
        }
        (None, None) => "http://127.0.0.1:8000".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_this_machine_is_found_by_its_configuration() {
        for (listen, found) in [
            ("127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("[::]:80", "http://[::1]:80"),
            ("10.0.0.1:80,unix:/run/w.sock", "unix:/run/w.sock"),
        ] {
            assert_eq!(address(&listen.parse().expect("a place")), found);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("windlass.toml");
        std::fs::write(&file, "api.listen = 'unix:/run/w.sock'\n").expect("written");
        assert_eq!(address(&config::listen(Some(&file))), "unix:/run/w.sock");
        let missing = folder.path().join("missing.toml");
        assert_eq!(address(&config::listen(Some(&missing))), "http://127.0.0.1:8000");
    }

    fn server(arguments: &[&str]) -> Server {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            server: Server,
        }
        let line = [&["windlass"], arguments].concat();
        <Line as clap::Parser>::try_parse_from(line).expect("right arguments").server
    }

    #[test]
    fn the_nearest_choice_of_a_server_wins_and_its_files_go_to_no_other_server() {
        let context = |server: &str| Context {
            server: server.to_owned(),
            token_file: Some(format!("/{server}").into()),
            ca_file: Some("/ca".into()),
        };
        let contexts = Contexts {
            current: Some("a".to_owned()),
            contexts: [("a", context("at-a")), ("b", context("at-b")), ("c", context("at-c"))]
                .map(|(name, context)| (name.to_owned(), context))
                .into(),
        };
        let chosen = |arguments: &[&str], variables: &[(&str, &str)]| {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            server(arguments).chosen(variable, || Ok(contexts.clone())).expect("a server")
        };
        let plain = |server: &str| Context { server: server.to_owned(), token_file: None, ca_file: None };
        let both = [("WINDLASS_SERVER", "at-v"), ("WINDLASS_CONTEXT", "b")];
        assert_eq!(chosen(&["--server", "at-f"], &both), plain("at-f"));
        assert_eq!(chosen(&["--context", "c"], &both), context("at-c"));
        assert_eq!(chosen(&[], &both), plain("at-v"));
        assert_eq!(chosen(&[], &both[1..]), context("at-b"));
        assert_eq!(chosen(&["--server-listen", "0.0.0.0:1"], &[]), context("at-a"));
        assert_eq!(chosen(&["--context", "default", "--server-listen", "0.0.0.0:1"], &[]), plain("http://127.0.0.1:1"));
    }
}
