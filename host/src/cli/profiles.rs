//! Checks the policies of profiles without a server: the built-in ones, and those whose file `windlass.toml` names.

use crate::cli::sandbox_args::{now, read_component};
use crate::config::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use windlass_builtin::BUILT_IN;
use windlass_core::policy::{CatalogueError, ChoiceError, PolicyCatalogue, Push, Source};
use windlass_core::settings::{PolicyOrigin, PolicySettings, Profile};
use windlass_core::{PolicyChoice, PolicyKind, error_chain};
use windlass_policies::registry::{Defaults, PolicyRegistry};
use windlass_sandbox::compile::Compiler;

/// The outcome of a check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// One sentence for each policy that is wrong.
    pub(super) problems: Vec<String>,
    /// One sentence for each policy that only the server can check.
    pub(super) unchecked: Vec<String>,
}

/// The place of a component.
enum Origin {
    BuiltIn,
    File(PathBuf),
    /// A registry, or a push through the API.
    Elsewhere(&'static str),
    Unknown,
}

impl Origin {
    fn is_here(&self) -> bool {
        matches!(self, Self::BuiltIn | Self::File(_))
    }
}

/// Checks that the policies of each profile exist and accept their configurations, as far as this is possible offline.
pub(super) async fn check(config: &Config) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    let profiles = &config.control.profiles;
    let names: BTreeSet<&str> =
        profiles.values().flat_map(choices).map(|(_, _, choice)| choice.name.as_str()).collect();
    let origins: BTreeMap<&str, Origin> = names.into_iter().map(|name| (name, origin(&config.policy, name))).collect();
    let registry = if origins.values().any(Origin::is_here) {
        let compiler = Compiler::this_program();
        Some(PolicyRegistry::begin(config.policy.clone(), compiler, Defaults::default(), None).await?)
    } else {
        None
    };
    // Each file is loaded once.
    let mut broken: BTreeMap<&str, String> = BTreeMap::new();
    for (name, origin) in &origins {
        if let (Origin::File(path), Some(registry)) = (origin, &registry)
            && let Err(error) = load(registry, &config.policy, name, path).await
        {
            broken.insert(name, format!("cannot load `{}`: {}", path.display(), error_chain(error.as_ref())));
        }
    }
    for (profile, settings) in profiles {
        for (field, kind, choice) in choices(settings) {
            let (place, name) = (format!("profiles.{profile}.{field}"), choice.name.as_str());
            match (&origins[name], broken.get(name), &registry) {
                (Origin::Elsewhere(why), ..) => {
                    let sentence = format!("`{place}`: `{name}` is checked when the server uses it, because {why}");
                    checked.unchecked.push(sentence);
                }
                (_, Some(why), _) => checked.problems.push(format!("`{place}`: {why}")),
                (Origin::Unknown, ..) | (_, _, None) => checked.problems.push(format!(
                    "`{place}`: there is no policy `{name}`; it is not built in, and there is no `[policies.{name}]`; add \
                     that section if the policy is pushed through the API"
                )),
                (_, None, Some(registry)) => checked.problems.extend(problems(registry, &place, kind, choice).await),
            }
        }
    }
    Ok(checked)
}

/// The policies of a profile with their fields. The kind of a shadow policy is its component's.
fn choices(profile: &Profile) -> Vec<(String, Option<PolicyKind>, &PolicyChoice)> {
    let Profile { scaling, health, shadows, .. } = profile;
    let scaling_field = |index| if scaling.len() == 1 { String::new() } else { format!("[{index}]") };
    let scaling = scaling
        .iter()
        .enumerate()
        .map(|(index, choice)| (format!("scaling_policy{}", scaling_field(index)), Some(PolicyKind::Scaling), choice));
    let health = health.iter().map(|choice| ("health_policy".to_owned(), Some(PolicyKind::Health), choice));
    let shadows = shadows.iter().enumerate().map(|(index, choice)| (format!("shadow_policies[{index}]"), None, choice));
    scaling.chain(health).chain(shadows).collect()
}

fn origin(settings: &PolicySettings, name: &str) -> Origin {
    if BUILT_IN.iter().any(|(known, _)| *known == name) {
        return Origin::BuiltIn;
    }
    let named = settings.named.get(name);
    match named.and_then(|named| named.source.as_ref()) {
        Some(PolicyOrigin::File(path)) => return Origin::File(path.clone()),
        Some(PolicyOrigin::Oci(_)) => return Origin::Elsewhere("its source is a registry"),
        None => {}
    }
    let in_folder = settings.folder.as_ref().map(|folder| folder.join(format!("{name}.wasm")));
    match in_folder.filter(|path| path.exists()) {
        Some(path) => Origin::File(path),
        None if named.is_some() => Origin::Elsewhere("it is pushed through the API"),
        None => Origin::Unknown,
    }
}

async fn load(registry: &PolicyRegistry, settings: &PolicySettings, name: &str, path: &Path) -> anyhow::Result<()> {
    let push = Push {
        name: name.to_owned(),
        component: read_component(path, settings.limits_of(name))?,
        by: format!("the file {}", path.display()),
        source: Source::File,
        reset_memory: false,
        candidate: false,
        at: now(),
    };
    registry.push(push).await?;
    Ok(())
}

/// The problems of one choice.
async fn problems(
    registry: &PolicyRegistry,
    place: &str,
    kind: Option<PolicyKind>,
    choice: &PolicyChoice,
) -> Vec<String> {
    let Some(kind) = kind.or_else(|| registry.find(&choice.name).map(|info| info.kind)) else {
        return vec![format!("`{place}`: {}", CatalogueError::Unknown(choice.name.clone()))];
    };
    match registry.check(kind, choice, now()).await {
        Ok(()) => Vec::new(),
        Err(ChoiceError::Schema { problems, .. }) => {
            problems.into_iter().map(|(at, why)| format!("`{place}.config{}`: {why}", at.replace('/', "."))).collect()
        }
        Err(error) => vec![format!("`{place}`: {error}")],
    }
}
