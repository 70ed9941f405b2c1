//! `windlass agent` on the real control groups, and its secrets on a real Swarm.

use anyhow::Context;
use bollard::models::{
    ContainerUpdateBody, NetworkAttachmentConfig, ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated,
    SwarmInitRequest, TaskSpec, TaskSpecContainerSpec, TaskSpecContainerSpecFile, TaskSpecContainerSpecSecrets,
};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::TryStreamExt;
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use windlass_core::node_usage::{AgentClient, ContainerUsage, NodeUsage};
use windlass_core::{ContainerId, Secret, Timestamp};
use windlass_network::agent_secrets::AgentSecrets;
use windlass_network::{Agents, NetClient};
use windlass_tests::engine::Engine;
use windlass_tests::images::Fixture;
use windlass_tests::private_engine::PrivateEngine;
use windlass_tests::site::binary;
use windlass_tests::wait::{eventually, until};

const LIMIT: Duration = Duration::from_secs(30);

/// Writes a file that only this user may read.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

/// The program without the environment of the person who runs the tests.
fn windlass(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(binary()?);
    command.args(arguments).env_clear().stdin(Stdio::null());
    Ok(command)
}

/// An agent of this machine. Dropping it ends the process.
struct Agent {
    process: Child,
    address: SocketAddr,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn files(folder: &Path) -> [PathBuf; 3] {
    ["cert", "key", "token"].map(|name| folder.join(name))
}

fn agent_command(folder: &Path) -> anyhow::Result<Command> {
    let [certificate, key, token] = files(folder);
    let mut command = windlass(&["agent", "--listen", "127.0.0.1:0", "--interval", "100ms", "--log-format", "human"])?;
    command.arg("--cert").arg(certificate).arg("--key").arg(key).arg("--token-file").arg(token);
    Ok(command)
}

impl Agent {
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join("log");
        let process = agent_command(folder)?.stderr(std::fs::File::create(&log)?).spawn()?;
        let mut agent = Self { process, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        agent.address = until("the agent to listen", LIMIT, async || {
            let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
            let address = text.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            address.ok_or(text)
        })
        .await?;
        Ok(agent)
    }
}

fn client(authority: &str, token: &Secret) -> anyhow::Result<Agents> {
    Ok(NetClient::new()?.agents(authority, token.clone())?)
}

/// The use of a container, as soon as it is there and `holds`.
async fn usage_of(
    client: &Agents,
    agent: SocketAddr,
    id: &str,
    what: &str,
    mut holds: impl FnMut(&NodeUsage, Option<&ContainerUsage>) -> bool,
) -> Option<ContainerUsage> {
    eventually(what, LIMIT, async || {
        let answer = client.usage(agent, LIMIT).await.map_err(|error| error.to_string())?;
        let usage = answer.containers.get(&ContainerId(id.to_owned()));
        if holds(&answer, usage) { Ok(usage.copied()) } else { Err(format!("{usage:?}")) }
    })
    .await
}

#[tokio::test]
async fn an_agent_reports_the_containers_of_its_machine() -> anyhow::Result<()> {
    let engine = Engine::of_this_machine().await?;
    let image = engine.prepare(Fixture::Deaf).await?;
    let folder = tempfile::tempdir()?;
    let secrets = AgentSecrets::issue(Timestamp::from(SystemTime::now()), 1).map_err(anyhow::Error::msg)?;
    let [certificate, key, token] = files(folder.path());
    std::fs::write(&certificate, &secrets.certificate)?;
    write_secret(&key, secrets.key.reveal())?;
    write_secret(&token, secrets.token.reveal())?;
    let id = engine.run(&format!("windlass-agent-{}", std::process::id()), image, &[]).await?;
    let shown = watch(&engine, &id, folder.path(), &secrets).await;
    engine.remove(&id).await;
    shown?;

    // A key that others can read ends the agent before it listens.
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    let refused = agent_command(folder.path())?.output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("private key") && said.contains("chmod 600"), "{said}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    let mut elsewhere = agent_command(folder.path())?;
    let refused = elsewhere.arg("--cgroups").arg(folder.path()).output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("bind `/sys/fs/cgroup` of the node"), "{said}");
    Ok(())
}

async fn watch(engine: &Engine, id: &str, folder: &Path, secrets: &AgentSecrets) -> anyhow::Result<()> {
    let mut agent = Agent::start(folder).await?;
    let ours = client(&secrets.authority, &secrets.token)?;
    let address = agent.address;
    let first = usage_of(&ours, address, id, "the container", |_, usage| usage.is_some()).await;
    let first = first.context("it is there")?;
    assert!(first.memory_bytes > 0 && first.memory_limit_bytes.is_none(), "{first:?}");

    // CPU time and the limit follow the container, and samples go on.
    engine.exec(id, &["/bin/sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"]).await?;
    let limit = ContainerUpdateBody { memory: Some(64 << 20), memory_swap: Some(128 << 20), ..Default::default() };
    engine.docker().update_container(id, limit).await?;
    let busy = usage_of(&ours, address, id, "CPU use", |answer, usage| {
        let busy = |usage: &ContainerUsage| usage.cpu_nanoseconds > first.cpu_nanoseconds + 50_000_000;
        usage.is_some_and(|usage| {
            assert!(usage.at <= answer.now, "{answer:?}");
            busy(usage) && usage.memory_limit_bytes == Some(64 << 20)
        })
    })
    .await;
    assert!(busy.is_some_and(|busy| busy.at > first.at));

    let other = AgentSecrets::issue(Timestamp::from(SystemTime::now()), 1).map_err(anyhow::Error::msg)?;
    let error = client(&secrets.authority, &other.token)?.usage(address, LIMIT).await.expect_err("a wrong token");
    assert_eq!(error.to_string(), "the agent has another token");
    let error = client(&other.authority, &secrets.token)?.usage(address, LIMIT).await.expect_err("a wrong authority");
    assert!(error.to_string().contains("invalid peer certificate"), "{error}");

    engine.kill(id).await?;
    usage_of(&ours, address, id, "the end of the container", |_, usage| usage.is_none()).await;
    kill_process(Pid::from_child(&agent.process), Signal::TERM)?;
    let ended = until("the agent to end", LIMIT, async || match agent.process.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    });
    assert!(ended.await?.success());
    let log = std::fs::read_to_string(folder.join("log"))?;
    assert!(!log.contains(secrets.token.reveal()), "{log}");
    Ok(())
}

fn swarm_init(host: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    Ok(windlass(&["swarm", "init", "--engine-host", host])?.args(arguments).output()?)
}

/// The standard output of a command that succeeds.
fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_secrets_of_agents_are_made_once_on_a_swarm() -> anyhow::Result<()> {
    const NAMES: [&str; 4] = ["windlass-ca", "windlass-agent-cert", "windlass-agent-key", "windlass-agent-token"];
    let private = PrivateEngine::start().await?;
    let (host, engine) = (private.host(), private.engine().await?);
    let socket = host.strip_prefix("unix://").context("the engine has a socket")?;
    let next = format!(
        "DOCKER_SOCKET={socket} DOCKER_GID=$(stat -c %g {socket}) docker stack deploy -c examples/swarm/stack.yaml \
         windlass\n"
    );
    let refused = swarm_init(&host, &[])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("is no manager of a Swarm; run `docker swarm init`"), "{said}");

    let local = Some("127.0.0.1:2377".to_owned());
    let swarm = SwarmInitRequest { listen_addr: local.clone(), advertise_addr: local, ..Default::default() };
    engine.docker().init_swarm(swarm).await?;
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("ca.key");
    let made = printed(&swarm_init(&host, &["--days", "365", "--keep-ca-key", &key.display().to_string()])?);
    let expected = "created the secrets windlass-ca, windlass-agent-cert, windlass-agent-key and windlass-agent-token; the \
                    certificate is valid for 365 days\nnext: ";
    assert_eq!(made, format!("{expected}{next}"));
    assert!(std::fs::read_to_string(&key)?.contains("PRIVATE KEY") && key.metadata()?.permissions().mode() & 0o77 == 0);
    let first = secrets(&engine).await?;
    assert_eq!(first.len(), NAMES.len());

    let again = printed(&swarm_init(&host, &[])?);
    assert!(again.contains("exist already, and nothing was changed") && again.ends_with(&next), "{again}");
    assert_eq!(secrets(&engine).await?, first);
    // An existing file is not replaced, and nothing else is done.
    let refused = swarm_init(&host, &["--renew", "--keep-ca-key", &key.display().to_string()])?;
    assert!(!refused.status.success());
    assert_eq!(secrets(&engine).await?, first);
    let renewed = printed(&swarm_init(&host, &["--renew"])?);
    assert!(renewed.ends_with(&format!("next: WINDLASS_SECRETS=-2 {next}")), "{renewed}");
    let both = secrets(&engine).await?;
    assert!(both.len() == 8 && first.iter().all(|secret| both.contains(secret)), "{both:?}");

    // A part of a set is never completed.
    let lost = first.iter().find(|(name, _)| name == "windlass-agent-key").context("it was made")?;
    engine.docker().delete_secret(&lost.1).await?;
    let refused = swarm_init(&host, &[])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("but not windlass-agent-key"), "{said}");

    // The second set, as a service gets it, is that of one agent and its clients.
    let texts = mounted(&engine, &NAMES.map(|name| format!("{name}-2"))).await?;
    let [authority, certificate, key, token] = texts.as_slice() else { anyhow::bail!("{texts:?}") };
    let files = files(folder.path());
    for (file, text) in files.iter().zip([certificate, key, token]) {
        write_secret(file, text)?;
    }
    let agent = Agent::start(folder.path()).await?;
    client(authority, &Secret::new(token.trim()))?.usage(agent.address, LIMIT).await?;
    Ok(())
}

/// The names and identifiers of all secrets, sorted.
async fn secrets(engine: &Engine) -> anyhow::Result<Vec<(String, String)>> {
    let listed = engine.docker().list_secrets(None).await?.into_iter();
    let mut secrets: Vec<_> = listed.filter_map(|secret| Some((secret.spec?.name?, secret.id?))).collect();
    secrets.sort();
    Ok(secrets)
}

/// The contents of these secrets, as a service reads them.
async fn mounted(engine: &Engine, names: &[String]) -> anyhow::Result<Vec<String>> {
    const END: &str = "\n---- end of a secret ----\n";
    let image = engine.prepare(Fixture::Deaf).await?;
    let known = secrets(engine).await?;
    let secret = |name: &String| {
        let id = known.iter().find(|(known, _)| known == name).map(|(_, id)| id.clone());
        let (uid, gid) = (Some("65532".to_owned()), Some("65532".to_owned()));
        let file = TaskSpecContainerSpecFile { name: Some(name.clone()), uid, gid, mode: Some(0o400) };
        TaskSpecContainerSpecSecrets { secret_id: id, secret_name: Some(name.clone()), file: Some(file) }
    };
    let script: String = names.iter().map(|name| format!("cat /run/secrets/{name}; printf '{END}'; ")).collect();
    let container = TaskSpecContainerSpec {
        image: Some(image.to_owned()),
        command: Some(["/bin/sh", "-c"].map(str::to_owned).to_vec()),
        args: Some(vec![format!("trap 'exit 0' TERM; {script} sleep 1000000 & wait")]),
        secrets: Some(names.iter().map(secret).collect()),
        ..Default::default()
    };
    let host = NetworkAttachmentConfig { target: Some("host".to_owned()), ..Default::default() };
    let service = ServiceSpec {
        name: Some("reader".to_owned()),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated { replicas: Some(1) }),
            ..Default::default()
        }),
        task_template: Some(TaskSpec {
            container_spec: Some(container),
            networks: Some(vec![host]),
            ..Default::default()
        }),
        ..Default::default()
    };
    engine.docker().create_service(service, None).await?;
    let log = until("the service to print the secrets", LIMIT, async || {
        let containers = engine.docker().list_containers(None).await.map_err(|error| error.to_string())?;
        let id = containers.first().and_then(|container| container.id.clone()).ok_or("no container yet")?;
        let options = LogsOptionsBuilder::new().stdout(true).build();
        let lines: Vec<_> =
            engine.docker().logs(&id, Some(options)).try_collect().await.map_err(|error| error.to_string())?;
        let text: String = lines.iter().map(ToString::to_string).collect();
        if text.matches(END).count() == names.len() { Ok(text) } else { Err(text) }
    })
    .await?;
    Ok(log.split(END).take(names.len()).map(str::to_owned).collect())
}
