//! Docker Compose as it is installed, in version 1 or 2.
//!
//! Debian 12 has version 1 as `docker-compose`, and Debian 13 has version 2.26 under the same name. PyPI has version 1 only.
//! The variable `COMPOSE` names another program, so that the tests run with the other version, too.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// The major version of the program.
static VERSION: LazyLock<u32> = LazyLock::new(|| {
    let output = Command::new(program()).args(["version", "--short"]).output();
    let output = output.expect("docker-compose runs; `make setup` installs it");
    let printed = String::from_utf8_lossy(&output.stdout);
    let major = printed.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    major.unwrap_or_else(|| panic!("`docker-compose version --short` printed {printed:?}"))
});

/// The program of Compose: `COMPOSE`, otherwise `docker-compose`.
#[must_use]
pub fn program() -> OsString {
    std::env::var_os("COMPOSE").unwrap_or_else(|| "docker-compose".into())
}

/// A command of Compose for a project on an engine, with the file in a folder.
#[must_use]
pub fn command(engine: &str, project: &str, folder: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(folder).env("DOCKER_HOST", engine).args(["--ansi", "never", "--project-name", project]);
    command
}

/// The name that Compose gives to a container: `PROJECT_SERVICE_NUMBER` in version 1, and `PROJECT-SERVICE-NUMBER` since.
#[must_use]
pub fn container(project: &str, service: &str, number: u32) -> String {
    let separator = separator();
    format!("{project}{separator}{service}{separator}{number}")
}

/// The service and the number in the name of a container, as `web 1`. Another name stays as it is.
#[must_use]
pub fn short_name(project: &str, name: &str) -> String {
    let separator = separator();
    let parts = name.strip_prefix(&format!("{project}{separator}")).and_then(|rest| rest.rsplit_once(separator));
    parts.map_or_else(|| name.to_owned(), |(service, number)| format!("{service} {number}"))
}

fn separator() -> char {
    if *VERSION == 1 { '_' } else { '-' }
}
