//! HAProxy and nginx accept the configurations of the example templates, whatever the workloads are called and labelled.

use crate::program;
use anyhow::ensure;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::path::Path;
use std::process::Command;
use windlass_discovery::Workload;
use windlass_discovery::template::Template;
use windlass_tests::balancers::{HOSTILE_NAMES, haproxy, list, lists, nginx, nginx_configuration};

/// Lists of workloads that are tried.
const CASES: u32 = 64;

/// Renders the list into `list` in the folder and runs a check of it.
fn check(template: &Template, workloads: &[Workload], folder: &Path, command: &str) -> Result<(), String> {
    let text = template.render(workloads)?;
    std::fs::write(folder.join("list"), &text).map_err(|error| error.to_string())?;
    let checked = Command::new("sh").args(["-c", command]).output().map_err(|error| error.to_string())?;
    if checked.status.success() {
        return Ok(());
    }
    Err(format!("{}\n{text}", String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat())))
}

#[test]
#[ignore = "it takes HAProxy and nginx: `make closed-loop`"]
fn haproxy_and_nginx_accept_every_name_and_label() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().display().to_string();
    std::fs::write(
        folder.path().join("nginx.conf"),
        nginx_configuration(folder.path(), &format!("include {path}/list;")),
    )?;
    let programs = [
        (haproxy().map_err(anyhow::Error::msg)?, format!("{} -c -f '{path}/list'", program("haproxy")?)),
        (nginx().map_err(anyhow::Error::msg)?, format!("{} -t -p '{path}' -c '{path}/nginx.conf'", program("nginx")?)),
    ];
    let accept = |workloads: &[Workload]| {
        programs.iter().try_for_each(|(template, command)| check(template, workloads, folder.path(), command))
    };
    // The check itself notices a wrong configuration.
    let broken = Template::of("{{ workloads[0].name }}".to_owned()).map_err(anyhow::Error::msg)?;
    let wrong = list(&[("a\"; }\nglobal".to_owned(), String::new(), 0)]);
    for (_, command) in &programs {
        ensure!(check(&broken, &wrong, folder.path(), command).is_err(), "`{command}` accepts anything");
    }
    let all = HOSTILE_NAMES.map(|name| (name.to_owned(), name.to_owned(), 2));
    accept(&list(&all)).map_err(anyhow::Error::msg)?;
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    runner.run(&lists(), |workloads| accept(&workloads).map_err(TestCaseError::fail))?;
    Ok(())
}
