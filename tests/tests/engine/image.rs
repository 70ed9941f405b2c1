//! The image, as README.md runs it with the Compose example: without privileges, with nothing but the program. The engine is one
//! of its own, because this Windlass scales every labelled service that it finds.

use anyhow::{Context, bail, ensure};
use futures_util::TryStreamExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use tokio::process::Command;
use windlass_builtin::MIN_MAX;
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::private_engine::PrivateEngine;
use windlass_tests::program_image;
use windlass_tests::site::binary;
use windlass_tests::wait::eventually;

/// The user of the image.
const USER: u32 = 65_532;

/// Most bytes of the image that `make image` builds.
const MOST_BYTES: i64 = 60_000_000;

/// The variable with an image to test, such as the one that `make image` built.
const IMAGE: &str = "WINDLASS_IMAGE";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// Copies an image from this machine's engine.
async fn copy(engine: &Engine, image: &str) -> anyhow::Result<()> {
    let source = Engine::of_this_machine().await?;
    let archive: Vec<u8> = source.docker().export_image(image).map_ok(|part| part.to_vec()).try_concat().await?;
    let options = bollard::query_parameters::ImportImageOptionsBuilder::new().build();
    let imported = engine.docker().import_image(options, bollard::body_full(archive.into()), None);
    imported.try_collect::<Vec<_>>().await?;
    Ok(())
}

/// The commands in the section of README.md about the example.
fn readme() -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(example("../README.md"))?;
    let section = text.split("\n## ").find(|section| section.starts_with("Services that you already run\n"));
    let section = section.context("README.md has no such section")?;
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    Ok(blocks.flat_map(str::lines).map(str::to_owned).collect())
}

/// The files of the image.
const FILES: [&str; 5] = [
    "etc/group",
    "etc/passwd",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/windlass/windlass.toml",
    "usr/local/bin/windlass",
];

/// Files of every container that the engine makes, whatever is in its image.
const OF_THE_ENGINE: [&str; 6] =
    [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];

/// The files of an image besides [`FILES`], none of which is missing.
async fn other_files(engine: &Engine, image: &str) -> anyhow::Result<Vec<String>> {
    let body = bollard::models::ContainerCreateBody { image: Some(image.to_owned()), ..Default::default() };
    let options = None::<bollard::query_parameters::CreateContainerOptions>;
    let container = engine.docker().create_container(options, body).await?.id;
    let archive: Vec<u8> =
        engine.docker().export_container(&container).map_ok(|part| part.to_vec()).try_concat().await?;
    engine.remove(&container).await;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), archive)?;
    let listed = Command::new("tar").arg("--list").arg("--file").arg(file.path()).output().await?;
    ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout)?;
    let mut others: Vec<String> = listed.lines().filter(|path| !path.ends_with('/')).map(str::to_owned).collect();
    for file in FILES {
        ensure!(others.iter().any(|path| path == file), "{image} has no {file}: {others:?}");
    }
    others.retain(|path| !FILES.contains(&path.as_str()) && !OF_THE_ENGINE.contains(&path.as_str()));
    Ok(others)
}

/// The libraries of the program under test, which is not static.
async fn libraries() -> anyhow::Result<Vec<String>> {
    let listed = Command::new("ldd").arg(binary()?).output().await?;
    let listed = String::from_utf8(listed.stdout)?;
    Ok(listed.split_whitespace().filter_map(|word| word.strip_prefix('/')).map(str::to_owned).collect())
}

/// The project of `examples/compose/compose.yaml` on an engine.
struct Project {
    variables: Vec<(String, String)>,
}

impl Project {
    fn on(engine: &Engine, image: &str, web: &str) -> anyhow::Result<Self> {
        let socket = engine.host().strip_prefix("unix://").context("the engine has a socket")?;
        let variables = [
            ("DOCKER_HOST", engine.host().to_owned()),
            ("DOCKER_SOCKET", socket.to_owned()),
            ("DOCKER_GID", std::fs::metadata(socket)?.gid().to_string()),
            (IMAGE, image.to_owned()),
            ("WEB_IMAGE", web.to_owned()),
        ];
        Ok(Self { variables: variables.map(|(name, value)| (name.to_owned(), value)).into() })
    }

    async fn compose(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(windlass_tests::compose::program());
        command.arg("--file").arg(example("compose/compose.yaml")).args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.output().await.context("cannot run docker-compose; `make setup` installs it")
    }

    /// The standard output of a command that succeeds.
    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.compose(arguments).await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Follows a line of README.md, and returns what it prints.
    async fn follow(&mut self, line: &str) -> anyhow::Result<String> {
        if let Some((name, value)) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')) {
            // The group is that of this engine's socket.
            if !value.starts_with("$(") {
                self.variables.push((name.to_owned(), value.to_owned()));
            }
            return Ok(String::new());
        }
        let arguments = line.strip_prefix("docker-compose --file examples/compose/compose.yaml ");
        let arguments = arguments.with_context(|| format!("no test knows how to run `{line}`"))?;
        // This program has no terminal.
        let arguments = arguments.replace("exec ", "exec -T ");
        self.run(&arguments.split(' ').collect::<Vec<_>>()).await
    }
}

#[tokio::test]
async fn the_compose_example_runs_the_image_without_privileges() -> anyhow::Result<()> {
    let private = PrivateEngine::start().await?;
    let engine = private.engine().await?;
    let web = engine.prepare(Fixture::Web).await?;
    let given = std::env::var(IMAGE).ok();
    let image = given.as_deref().unwrap_or("windlass:test");
    match given {
        Some(_) => copy(&engine, image).await?,
        None => program_image::build(&engine, image).await?,
    }
    let inspected = engine.docker().inspect_image(image).await?;
    let size = inspected.size.context("a size")?;
    eprintln!("{image} has {size} bytes");
    assert!(given.is_none() || size < MOST_BYTES, "{size} bytes");
    // Without a library in the image, the program is static: it could not start otherwise.
    let allowed = if given.is_some() { Vec::new() } else { libraries().await? };
    let mut others = other_files(&engine, image).await?;
    others.retain(|path| !allowed.contains(path));
    assert_eq!(others, [""; 0], "the image has nothing but the program, the authorities and their settings");

    let mut project = Project::on(&engine, image, web)?;
    let lines = readme()?;
    let [group, up, explain, mode, up_again, list] = lines.as_slice() else { bail!("other steps: {lines:?}") };
    project.follow(group).await?;
    project.follow(up).await?;
    // The engine repeats this command every few seconds.
    let config = inspected.config.context("a configuration")?;
    assert_eq!(config.user, Some(format!("{USER}:{USER}")));
    let check = config.healthcheck.and_then(|check| check.test);
    let check = check.context("the image has a health check")?;
    assert_eq!(check[0], "CMD", "{check:?}");
    let check: Vec<&str> =
        ["exec", "-T", "windlass"].into_iter().chain(check.iter().skip(1).map(String::as_str)).collect();
    let answer = eventually("windlass to be healthy", Duration::from_secs(120), async || {
        project.run(&check).await.map_err(|error| error.to_string())
    });
    assert_eq!(answer.await, "windlass at unix:/run/windlass/windlass.sock is healthy\n");

    let id = project.run(&["ps", "--quiet", "windlass"]).await?;
    let container = engine.docker().inspect_container(id.trim(), None).await?;
    let process = container.state.and_then(|state| state.pid).context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let lines: Vec<String> = status.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [format!("Uid: {USER} {USER} {USER} {USER}").as_str(), "CapEff: 0000000000000000", "NoNewPrivs: 1"] {
        assert!(lines.iter().any(|known| known == line), "no `{line}` in {lines:?}");
    }
    let volumes = container.mounts.unwrap_or_default();
    let data = volumes.iter().find(|mount| mount.destination.as_deref() == Some("/var/lib/windlass"));
    let data = std::fs::metadata(data.and_then(|mount| mount.source.as_ref()).context("a volume")?)?;
    assert_eq!((data.uid(), data.permissions().mode() & 0o777), (USER, 0o700));

    eventually("a recommendation", Duration::from_secs(60), async || {
        let text = project.follow(explain).await.map_err(|error| error.to_string())?;
        if text.contains("only recommends a target of 2") { Ok(()) } else { Err(text) }
    })
    .await;
    assert_eq!(project.run(&["ps", "--quiet", "web"]).await?.lines().count(), 1, "a recommendation changes nothing");
    // The process that compiles works inside of the image.
    let policies = tempfile::tempdir()?;
    std::fs::set_permissions(policies.path(), PermissionsExt::from_mode(0o755))?;
    std::fs::write(policies.path().join("mine.wasm"), MIN_MAX)?;
    std::fs::set_permissions(policies.path().join("mine.wasm"), PermissionsExt::from_mode(0o644))?;
    let mount = format!("{}:/policies:ro", policies.path().display());
    let one_off = ["run", "--rm", "--no-deps", "-T"];
    let checked = project
        .run(&[&one_off[..], &["--volume", &mount, "windlass", "policy", "check", "/policies/mine.wasm"]].concat())
        .await?;
    assert!(checked.contains("min-max"), "{checked}");
    // The name of the other service resolves without the libraries of a distribution. Its server is not Windlass.
    let asked = project.compose(&[&one_off[..], &["windlass", "health", "--server", "http://web"]].concat()).await?;
    let error = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(asked.status.code() == Some(1) && error.contains("http://web is not windlass"), "{error}");

    project.follow(mode).await?;
    project.follow(up_again).await?;
    eventually("a second web server", Duration::from_secs(120), async || {
        let text = project.follow(list).await.map_err(|error| error.to_string())?;
        if text.matches(" Up").count() == 2 { Ok(()) } else { Err(text) }
    })
    .await;
    project.run(&["down", "--volumes", "--timeout", "2"]).await?;
    Ok(())
}
