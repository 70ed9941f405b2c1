//! Compiles the built-in policies in `plugins/` to components, whose bytes this crate embeds.
//!
//! A nested cargo builds the core modules in `<target>/guests`, because the outer cargo locks its own target directory.
//! All profiles share that folder. `wit-component` turns each module into a component.

use sha2::{Digest, Sha256};
use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};
use wit_component::ComponentEncoder;

/// The built-in policies: each is a folder of `plugins/`.
const POLICIES: [&str; 7] =
    ["liveness", "min-max", "pass-through", "predictive", "schedule", "step", "target-tracking"];

/// The scaling policies among them, whose manifests can be read from their sources.
const SCALING: [&str; 6] = ["min-max", "pass-through", "predictive", "schedule", "step", "target-tracking"];

/// The interface that some rules import, as the component names it.
const READINESS: &str = "windlass:policy/readiness@0.1.0";

const TARGET: &str = "wasm32-unknown-unknown";

fn main() -> Result<(), Box<dyn Error>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .ok_or("the crate lies two folders below the workspace")?
        .to_owned();
    for watched in ["host/builtin/build.rs", "plugins", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(watched).display());
    }
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    // OUT_DIR is `<target>/<profile>/build/<package>/out`, or has a folder for the target triple in between. The first
    // ancestor with cargo's tag is the target directory.
    let target_dir = out_dir
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .or_else(|| out_dir.ancestors().nth(4))
        .ok_or("OUT_DIR lies in a target directory")?
        .join("guests");

    build_modules(&workspace, &target_dir)?;
    let mut list = String::from("&[\n");
    let mut manifests = String::from("&[\n");
    for policy in POLICIES {
        let file = format!("windlass_policy_{}.wasm", policy.replace('-', "_"));
        let module = target_dir.join(TARGET).join("guest").join(file);
        let module = fs::read(&module).map_err(|error| format!("cannot read {}: {error}", module.display()))?;
        let component = ComponentEncoder::default()
            .validate(true)
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| format!("cannot make a component of `{policy}`: {error:#}"))?;
        let name = format!("{policy}.wasm");
        fs::write(out_dir.join(&name), &component)?;
        // A copy at a stable path, for trying the command line.
        fs::write(target_dir.join(&name), &component)?;
        if SCALING.contains(&policy) {
            writeln!(manifests, "{}", manifest(&workspace.join("plugins").join(policy), policy, &component)?)?;
        }
        writeln!(list, "    ({policy:?}, include_bytes!({:?})),", out_dir.join(&name).display().to_string())?;
    }
    list.push_str("]\n");
    fs::write(out_dir.join("built_in.rs"), list)?;
    manifests.push_str("]\n");
    fs::write(out_dir.join("manifests.rs"), manifests)?;
    Ok(())
}

/// The manifest of a scaling policy as a Rust expression: its component cannot be called here.
fn manifest(folder: &Path, policy: &str, component: &[u8]) -> Result<String, Box<dyn Error>> {
    let rule = folder.join("src/policy.rs");
    let source = fs::read_to_string(&rule).map_err(|error| format!("cannot read {}: {error}", rule.display()))?;
    let summary =
        source.split_once("const SUMMARY: &'static str =").and_then(|(_, rest)| rest.trim_start().strip_prefix('"'));
    let summary = summary.and_then(|rest| rest.split_once("\";")).map(|(summary, _)| summary);
    let summary = summary.filter(|summary| !summary.contains(['\\', '"', '\n']));
    let summary = summary.ok_or_else(|| {
        format!("{} has no `const SUMMARY: &'static str = \"...\";` of one plain line", rule.display())
    })?;
    let digest = Sha256::digest(component).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    // Types come with the exports that mention them. The linker drops the readiness of replicas where the rule has no use for it.
    let asks = component.windows(READINESS.len()).any(|bytes| bytes == READINESS.as_bytes());
    let imports = if asks { "READINESS_AND_TYPES" } else { "TYPES" };
    let schema = folder.join("schema.json").display().to_string();
    Ok(format!(
        "    Manifest {{ name: {policy:?}, version: env!(\"CARGO_PKG_VERSION\"), summary: {summary:?}, \
         config_schema: include_str!({schema:?}), digest: {digest:?}, \
         imports: {imports} }},"
    ))
}

fn build_modules(workspace: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = nested_cargo()?;
    cargo.current_dir(workspace).args(["build", "--locked", "--profile", "guest", "--target", TARGET]);
    for policy in POLICIES {
        cargo.arg("--package").arg(format!("windlass-policy-{policy}"));
    }
    cargo.arg("--target-dir").arg(target_dir);
    let output = cargo.output().map_err(|error| format!("cannot run {:?}: {error}", cargo.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("the built-in policies do not compile:\n{}", String::from_utf8_lossy(&output.stderr)).into())
}

/// The running cargo if its compiler has the target. Otherwise the distribution's, with the sources of the standard library
/// (Debian: `rustc-web cargo-web rust-web-src lld-19`).
fn nested_cargo() -> Result<Command, Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = Command::new(&rustc).args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout)?.trim());
    if sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir() {
        let mut cargo = clean_command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The compiler whose sysroot was checked, not the first one in the path.
        cargo.env("RUSTC", rustc);
        return Ok(cargo);
    }
    let packaged = Path::new("/usr/bin/cargo").is_file()
        && fs::read_dir("/usr/src").is_ok_and(|mut sources| {
            sources.any(|entry| entry.is_ok_and(|entry| entry.path().join("library/std/Cargo.toml").is_file()))
        });
    if packaged {
        let mut cargo = clean_command("/usr/bin/cargo".into());
        cargo
            .args(["-Z", "build-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1")
            .env("PATH", format!("/usr/bin:{}", env::var("PATH").unwrap_or_default()))
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
        return Ok(cargo);
    }
    Err(format!(
        "the built-in policies need the Rust target {TARGET}: run `make setup` or `rustup target add {TARGET}`"
    )
    .into())
}

/// A command without the variables that the outer cargo, clippy or a coverage tool set: the host's compiler flags and wrappers
/// are not for the guests. Settings for registries stay.
fn clean_command(program: OsString) -> Command {
    const OUTER: [&str; 8] =
        ["RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTDOCFLAGS", "TARGET", "HOST", "PROFILE", "OPT_LEVEL"];
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"];
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_cargo = text.starts_with("CARGO") && !KEPT.iter().any(|kept| text.starts_with(kept));
        let wrapper = text.starts_with("RUSTC_W") || text.starts_with("CLIPPY_");
        if of_cargo || wrapper || OUTER.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    command
}
