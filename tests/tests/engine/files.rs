//! Windlass's files: no other user can access them, and Windlass works as a user of its own.

use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use windlass_builtin::MIN_MAX;
use windlass_tests::images::Fixture;
use windlass_tests::site::{Site, start_body};
use windlass_tests::wait::eventually;

const TOKEN: &str = "a-token-of-thirty-two-characters";

/// A user without privileges.
const ANN: u32 = 54_321;

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(path.symlink_metadata()?.permissions().mode() & 0o777)
}

fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// The files and folders below a folder that other users can access, and the number of all.
fn exposed(folder: &Path) -> anyhow::Result<(Vec<String>, usize)> {
    let (mut found, mut all, mut folders) = (Vec::new(), 0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::iter::once(Ok(folder.clone()))
            .chain(std::fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())))
        {
            let path = entry?;
            if mode(&path)? & 0o077 != 0 {
                found.push(format!("{} {:o}", path.display(), mode(&path)?));
            }
            if path.is_dir() && path != folder {
                folders.push(path);
            } else {
                all += 1;
            }
        }
    }
    Ok((found, all))
}

/// Runs the command that an error names in backticks after the word "run".
fn follow(error: &str) -> anyhow::Result<()> {
    let command = error.rsplit_once("run `").and_then(|(_, rest)| rest.split('`').next());
    let command = command.unwrap_or_else(|| panic!("no command: {error}"));
    assert!(Command::new("sh").args(["-c", command]).status()?.success(), "{command}");
    Ok(())
}

#[tokio::test]
async fn no_other_user_can_access_the_data() -> anyhow::Result<()> {
    let site = Site::new("files").await?;
    let image = site.engine().prepare(Fixture::Web).await?;
    let (data, targets) = (site.folder().join("data"), site.folder().join("targets.json"));
    let site = site.set("discovery.file", &json!(targets).to_string());
    let mut windlass = site.start().await?;
    let mut body = start_body(image, 1, 1);
    body["env"] = json!({"PASSWORD": "secret"});
    windlass.post("/start/container", body).await.ok();
    windlass.put_component("/policies/mine", MIN_MAX.to_vec()).await.ok();
    let (found, all) = exposed(&data)?;
    // The folder, the lock, the database with its log and its shared memory, the key, and a policy with its machine code.
    assert!(found.is_empty() && all >= 10, "{all}: {found:?}");
    for name in ["windlass.lock", "windlass.db", "windlass.db-wal", "windlass.db-shm", "compiled.key"] {
        assert_eq!(mode(&data.join(name))?, 0o600, "{name}");
    }
    // A load balancer runs as another user.
    let public = eventually("the list of targets", Duration::from_secs(30), async || {
        mode(&targets).map_err(|error| error.to_string())
    });
    assert_eq!(public.await, 0o644);
    assert!(windlass.terminate().await?.success());

    // An earlier version left files that others can read, and a person opened the directory.
    for file in std::fs::read_dir(&data)?.map(|entry| entry.map(|entry| entry.path())) {
        let file = file?;
        if file.is_file() && !file.ends_with("compiled.key") {
            set_mode(&file, 0o644)?;
        }
    }
    set_mode(&data, 0o755)?;
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    let expected = format!("other users can read or enter `{0}` (mode 0755); run `chmod 700 {0}`", data.display());
    assert!(!status.success() && said.contains(&expected), "{said}");
    assert_eq!(mode(&data)?, 0o755, "the directory stays as it is");
    follow(&said)?;
    let windlass = site.start().await?;
    assert_eq!(exposed(&data)?.0, Vec::<String>::new());
    eventually("the replica to be adopted", Duration::from_secs(30), async || {
        let containers = windlass.get("/containers").await.list("/containers").len();
        if containers == 1 { Ok(()) } else { Err(containers.to_string()) }
    })
    .await;
    Ok(())
}

/// Also for a file that names no mode.
#[tokio::test]
async fn windlass_works_with_a_mask_that_keeps_others_out() -> anyhow::Result<()> {
    let site = Site::new("umask").await?;
    let windlass = site.start().await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", windlass.pid()))?;
    assert!(status.contains("\nUmask:\t0077\n"), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_token_that_others_can_read_is_refused() -> anyhow::Result<()> {
    let site = Site::new("token-file").await?;
    let file = site.folder().join("token");
    std::fs::write(&file, TOKEN)?;
    set_mode(&file, 0o644)?;
    let site = site.set("api.token_file", &json!(file).to_string());
    let (status, said) = site.refuse(&["--listen", "127.0.0.1:0"]).await?;
    let expected = format!("other users can access `{0}` (mode 0644); run `chmod 600 {0}`", file.display());
    assert!(status.code() == Some(2) && said.contains(&expected) && !said.contains(TOKEN), "{said}");
    follow(&said)?;
    let windlass = site.start().await?.with_token(TOKEN);
    assert_eq!(windlass.get("/containers").await.ok(), json!({"containers": []}));
    Ok(())
}

/// The process of `examples/deploy`: a user of its own in the group of the engine's socket, without capabilities.
#[tokio::test]
async fn as_a_user_of_its_own_windlass_starts_replicas_and_compiles_policies() -> anyhow::Result<()> {
    let site = Site::new("user").await?;
    if !rustix::process::geteuid().is_root() || !site.engine().host().starts_with("unix://") {
        return Ok(());
    }
    let image = site.engine().prepare(Fixture::Web).await?;
    let site = site.owned_by(ANN)?;
    let windlass = site.start().await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", windlass.pid()))?;
    let is_so = |line: &str| status.lines().any(|known| known.split_whitespace().collect::<Vec<_>>().join(" ") == line);
    assert!(is_so(&format!("Uid: {ANN} {ANN} {ANN} {ANN}")) && is_so("CapEff: 0000000000000000"), "{status}");
    windlass.post("/start/container", start_body(image, 1, 1)).await.ok();
    windlass.put_component("/policies/mine", MIN_MAX.to_vec()).await.ok();
    windlass.put(&format!("/images/{image}/policy"), json!({"scaling_policy": {"name": "mine"}})).await.ok();
    assert_eq!(exposed(&site.folder().join("data"))?.0, Vec::<String>::new());
    Ok(())
}
