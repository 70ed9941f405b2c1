//! `windlass context …`: servers by name, so that a command need not be given an address and a token.

use crate::cli::contexts::{self, Context, Contexts, DEFAULT};
use crate::cli::format::Output;
use crate::cli::table::Table;
use anyhow::{Context as _, ensure};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use windlass_network::remote::Remote;

/// `windlass context …`
#[derive(Debug, Subcommand)]
pub(super) enum ContextCommand {
    /// Add a server under a name, or change it
    #[command(after_help = "Examples:\n  windlass context add lab --server http://127.0.0.1:8000 --use")]
    Add {
        /// Name of the context
        name: String,
        /// Address or Unix socket of the server
        #[arg(long, value_name = "URL|unix:PATH")]
        server: String,
        /// File with the token; no other user may read it
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// File with the certificate, in PEM, of the authority that signed the server's certificate [default: those of the
        /// system]
        #[arg(long, value_name = "FILE")]
        ca_file: Option<PathBuf>,
        /// Use it from now on
        #[arg(long = "use")]
        is_used: bool,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
    },
    /// Use a context from now on; `default` is the server of this machine
    #[command(after_help = "Examples:\n  windlass context use default")]
    Use {
        /// Name of the context
        name: String,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
    },
    /// List the contexts
    #[command(after_help = "Examples:\n  windlass context list -o json")]
    List {
        /// The form of the result.
        #[command(flatten)]
        output: Output,
    },
    /// Remove a context; its token's file stays
    #[command(after_help = "Examples:\n  windlass context remove lab")]
    Remove {
        /// Name of the context
        name: String,
        /// The form of the result.
        #[command(flatten)]
        output: Output,
    },
}

/// The text a command prints.
pub(super) fn run(command: &ContextCommand) -> anyhow::Result<String> {
    let file = contexts::file().context("there is no configuration folder; set HOME or XDG_CONFIG_HOME")?;
    let mut all = contexts::load(&file)?;
    match command {
        ContextCommand::Add { name, server, token_file, ca_file, is_used, output } => {
            contexts::check_name(name)?;
            Remote::new(server, None, None)?;
            let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
            let context = Context {
                server: server.clone(),
                token_file: absolute(token_file).context("`--token-file` is no path of a file")?,
                ca_file: absolute(ca_file).context("`--ca-file` is no path of a file")?,
            };
            all.contexts.insert(name.clone(), context);
            if *is_used {
                all.current = Some(name.clone());
            }
            contexts::store(&file, &all)?;
            let is_current = all.current.as_deref() == Some(name.as_str());
            let next = if is_current { String::new() } else { format!("; next: windlass context use {name}") };
            output.show(&document(&all), std::slice::from_ref(name), || format!("{name}: {server}{next}\n"))
        }
        ContextCommand::Use { name, output } => {
            let server = all.named(name)?.map(|context| context.server.clone());
            all.current = server.is_some().then(|| name.clone());
            contexts::store(&file, &all)?;
            let server = server.unwrap_or_else(|| "the server of this machine".to_owned());
            output.show(&document(&all), std::slice::from_ref(name), || format!("commands use {name}: {server}\n"))
        }
        ContextCommand::List { output } => {
            let names: Vec<String> = all.contexts.keys().cloned().collect();
            output.show(&document(&all), &names, || table(&all))
        }
        ContextCommand::Remove { name, output } => {
            ensure!(name != DEFAULT, "`{DEFAULT}` is the server of this machine and cannot be removed");
            all.named(name)?;
            all.contexts.remove(name);
            all.current.take_if(|current| current == name);
            contexts::store(&file, &all)?;
            output.show(&document(&all), std::slice::from_ref(name), || format!("{name}: removed\n"))
        }
    }
}

/// `{"current", "contexts": [{"name", "server", "token_file", "ca_file"}]}`; `current` is `default` if no context is used.
fn document(all: &Contexts) -> Value {
    let contexts: Vec<Value> = (all.contexts.iter())
        .map(|(name, Context { server, token_file, ca_file })| {
            json!({"name": name, "server": server, "token_file": token_file, "ca_file": ca_file})
        })
        .collect();
    json!({"current": all.current.as_deref().unwrap_or(DEFAULT), "contexts": contexts})
}

fn table(all: &Contexts) -> String {
    let mut table = Table::new(&["CURRENT", "NAME", "SERVER", "TOKEN FILE"]);
    let mark = |name: Option<&str>| if all.current.as_deref() == name { "*" } else { "" }.to_owned();
    table.row([mark(None), DEFAULT.to_owned(), "the server of this machine".to_owned(), String::new()]);
    for (name, context) in &all.contexts {
        let token = context.token_file.as_ref().map(|file| file.display().to_string());
        table.row([mark(Some(name)), name.clone(), context.server.clone(), token.unwrap_or_default()]);
    }
    table.text()
}
