//! `windlass tls init`: makes a certificate for the API of a lab.

use crate::cli::format::Output;
use crate::cli::new_file;
use crate::cli::words::counted;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;
use windlass_core::Timestamp;
use windlass_network::certificates::Certificates;

/// The files in the folder, with their modes.
const AUTHORITY: (&str, u32) = ("ca.pem", 0o644);
const CERTIFICATE: (&str, u32) = ("certificate.pem", 0o644);
const KEY: (&str, u32) = ("key.pem", 0o600);

/// `windlass tls …`
#[derive(Debug, Subcommand)]
pub(super) enum TlsCommand {
    /// Make a certificate of a new authority, for a lab: `ca.pem`, `certificate.pem` and `key.pem`
    #[command(after_help = "Examples:\n  windlass tls init --folder tls --name windlass.lab --name 192.168.1.10")]
    Init(InitArguments),
}

/// Flags of `windlass tls init`.
#[derive(Debug, Args)]
pub(super) struct InitArguments {
    /// Folder for the files; it is created if it does not exist
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// Name or address of the server, in addition to `localhost`, `127.0.0.1`, `::1` and the name of this machine; may be
    /// repeated
    #[arg(long = "name", value_name = "NAME|ADDRESS")]
    names: Vec<String>,
    /// Days for which the certificate is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// The form of the result.
    #[command(flatten)]
    output: Output,
}

/// Runs the command, and returns the text for standard output.
pub(super) fn run(command: &TlsCommand) -> anyhow::Result<String> {
    let TlsCommand::Init(arguments) = command;
    let folder = &arguments.folder;
    let [authority, certificate, key] = [AUTHORITY, CERTIFICATE, KEY].map(|(name, mode)| (folder.join(name), mode));
    let existing = [&authority, &certificate, &key].into_iter().map(|(path, _)| path).find(|path| path.exists());
    if let Some(path) = existing {
        bail!("`{}` exists, and nothing was changed; choose another folder, or remove the old files", path.display());
    }
    let mut names = arguments.names.clone();
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned).into_iter().chain([machine]));
    let mut known = BTreeSet::new();
    names.retain(|name| known.insert(name.clone()));
    let now = Timestamp::from(SystemTime::now());
    let made = Certificates::issue("Windlass lab", &names, now, arguments.days).map_err(anyhow::Error::msg)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
    // The key of the authority is forgotten: it signs nothing else.
    for ((path, mode), text) in
        [(&authority, made.authority.as_str()), (&certificate, &made.certificate), (&key, made.key.reveal())]
    {
        new_file::create(path, *mode, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
    let show = |name: &str| folder.join(name).display().to_string();
    let files = [CERTIFICATE.0, KEY.0, AUTHORITY.0].map(show);
    let [certificate, key, authority] = &files;
    let document = json!({
        "names": names, "days": arguments.days, "certificate": certificate, "key": key, "authority": authority,
    });
    let text = format!(
        "created a certificate for {}, valid for {}\n\nin windlass.toml:\n[api]\ntls_certificate = \"{certificate}\"\ntls_key = \
         \"{key}\"\n\nclients trust {authority}: `--ca-file` of the commands, `--cacert` of curl\n",
        names.join(", "),
        counted(u64::from(arguments.days), "day"),
    );
    arguments.output.show(&document, &files, || text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_private_and_no_file_is_replaced() {
        let base = tempfile::tempdir().expect("a folder");
        let folder = base.path().join("tls");
        let init = || {
            // A name of the server's own, and a repeated one.
            let names = ["windlass.lab", "localhost", "windlass.lab"].map(str::to_owned).to_vec();
            let arguments = InitArguments { folder: folder.clone(), names, days: 30, output: Output::default() };
            run(&TlsCommand::Init(arguments))
        };
        let said = init().expect("made");
        assert!(said.starts_with("created a certificate for windlass.lab, localhost, 127.0.0.1, ::1"), "{said}");
        assert!(said.contains(", valid for 30 days\n"), "{said}");
        let mode = |name: &str| folder.join(name).metadata().expect("it exists").permissions().mode() & 0o777;
        assert_eq!((mode("key.pem"), mode("certificate.pem") & 0o600, mode("ca.pem") & 0o600), (0o600, 0o600, 0o600));
        let before = std::fs::read_to_string(folder.join("key.pem")).expect("it exists");
        let error = init().expect_err("the files exist").to_string();
        assert!(error.contains("ca.pem` exists, and nothing was changed"), "{error}");
        assert_eq!(std::fs::read_to_string(folder.join("key.pem")).expect("it exists"), before);
    }
}
