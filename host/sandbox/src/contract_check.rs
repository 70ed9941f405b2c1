//! Compares a component's imports and exports with the contract. Unlike wasmtime's own check, it finds every problem, and its
//! messages tell the author what to do.

use crate::convert::{excerpt, plain, wit_health, wit_log, wit_manifest, wit_scaling, wit_types};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, Lift, Lower};
use windlass_core::PolicyKind;

/// The package of the contract, without its version.
const PACKAGE: &str = "windlass:policy";

/// Version of the contract that this host implements. Patch versions are compatible.
const VERSION: &str = "0.1.0";

/// WASI 0.2's interfaces, which the host offers without access to the machine.
pub(crate) const WASI: [&str; 27] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The interfaces of WASI that an operator grants.
const HTTP: [&str; 2] = ["wasi:http/outgoing-handler", "wasi:http/types"];

/// Whether a component with these imports can send HTTP requests.
pub(crate) fn sends_http(imports: &[String]) -> bool {
    imports.iter().any(|import| Name::parse(import).path == HTTP[0])
}

/// Whether a component with these imports asks since when replicas have been ready.
pub(crate) fn reads_readiness(imports: &[String]) -> bool {
    imports.iter().any(|import| Name::parse(import).interface() == Some("readiness"))
}

/// One reason why a component cannot be linked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkProblem {
    /// It exports neither interface that would make it a policy.
    #[error(
        "it exports neither `windlass:policy/scaling@{VERSION}` nor `windlass:policy/health@{VERSION}`: a scaling policy \
         exports `manifest` and `scaling` (world `windlass:policy/scaling-policy@{VERSION}`), a health policy `manifest` \
         and `health` (world `windlass:policy/health-policy@{VERSION}`)"
    )]
    NotAPolicy,
    /// It exports both.
    #[error("it exports both `scaling` and `health`, but a policy has one kind; split it into two components")]
    TwoPolicies,
    /// An interface that its world exports is missing.
    #[error("it does not export `{PACKAGE}/{interface}@{VERSION}`, which the world `{world}` requires")]
    MissingInterface {
        /// The interface.
        interface: &'static str,
        /// The world.
        world: &'static str,
    },
    /// A function is missing from an interface it exports.
    #[error("its export `{export}` lacks the function `{function}`")]
    MissingFunction {
        /// The interface.
        export: String,
        /// The function.
        function: &'static str,
    },
    /// A function has another type than in the contract.
    #[error("the function `{function}` of `{interface}` has another type than in {PACKAGE}@{VERSION}: {why}")]
    FunctionType {
        /// The interface.
        interface: String,
        /// The function.
        function: String,
        /// The difference.
        why: String,
    },
    /// It was compiled for a version of the contract that the host does not implement.
    #[error("it {verb} `{name}`, but this host implements {PACKAGE}@{VERSION}; compile it for that version of `wit/`")]
    Version {
        /// `imports` or `exports`.
        verb: &'static str,
        /// The interface with its version.
        name: String,
    },
    /// It imports an interface that an operator must grant.
    #[error(
        "it imports `{name}`, outgoing HTTP, which it was not granted; the operator of this windlass can grant it to a \
         policy by name, with `[policies.NAME.http]` and `hosts = [\"https://…\"]` in windlass.toml"
    )]
    NotGranted {
        /// The interface.
        name: String,
    },
    /// It was built for a later WASI.
    #[error(
        "it imports `{name}`, but this host offers WASI 0.2; build it for that version, in Rust with the target \
         `wasm32-wasip2`"
    )]
    LaterWasi {
        /// The interface with its version.
        name: String,
    },
    /// It imports an interface that the host does not offer.
    #[error(
        "it imports `{name}`, which the host does not offer: the world `{world}` imports `{PACKAGE}/log@{VERSION}`, \
         a policy may also import `{PACKAGE}/readiness@{VERSION}`, and nothing else (the host also accepts the WASI 0.2 imports that language runtimes add, without access to the \
         machine)"
    )]
    Import {
        /// The interface.
        name: String,
        /// The world that it should be compiled for.
        world: &'static str,
    },
}

/// The functions of a component that fits the contract.
pub(crate) struct Links {
    pub(crate) kind: PolicyKind,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) configure: ComponentExportIndex,
    /// `decide` or `evaluate`.
    pub(crate) decide: ComponentExportIndex,
    /// `protected`, if a scaling policy exports it.
    pub(crate) protected: Option<ComponentExportIndex>,
}

/// The parts of `package/interface@version`.
struct Name<'a> {
    path: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Self {
        let (path, version) = name.split_once('@').unwrap_or((name, ""));
        Self { path, version }
    }

    /// Its interface, if it belongs to the contract's package.
    fn interface(&self) -> Option<&'a str> {
        self.path.strip_prefix(PACKAGE)?.strip_prefix('/')
    }

    fn is_minor(&self, minor: &str) -> bool {
        let patch = self.version.strip_prefix(minor).and_then(|rest| rest.strip_prefix('.'));
        patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// Whether a name is an interface of WASI 0.3 or later.
fn is_later_wasi(name: &Name<'_>) -> bool {
    let mut numbers = name.version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    name.path.starts_with("wasi:") && version >= (0, 3)
}

/// Compares a component with the contract. `is_granted_http` allows it to import outgoing HTTP.
pub(crate) fn check(engine: &Engine, component: &Component, is_granted_http: bool) -> Result<Links, Vec<LinkProblem>> {
    let mut problems = Vec::new();
    let component_type = component.component_type();
    let mut exported = Vec::new();
    let mut of_other_version = false;
    for (name, export) in component_type.exports(engine) {
        let parsed = Name::parse(name);
        let Some(interface @ ("manifest" | "scaling" | "protection" | "health")) = parsed.interface() else { continue };
        if !parsed.is_minor("0.1") {
            of_other_version = true;
            problems.push(LinkProblem::Version { verb: "exports", name: excerpt(name) });
        } else if let ComponentItem::ComponentInstance(instance) = export.ty {
            exported.push((interface, name.to_owned(), instance));
        }
    }
    let exports = |wanted: &str| exported.iter().find(|(interface, ..)| *interface == wanted);
    let kind = match (exports("scaling"), exports("health")) {
        (Some(_), None) => Some(PolicyKind::Scaling),
        (None, Some(_)) => Some(PolicyKind::Health),
        (Some(_), Some(_)) => {
            problems.push(LinkProblem::TwoPolicies);
            None
        }
        (None, None) => {
            if !of_other_version {
                problems.push(LinkProblem::NotAPolicy);
            }
            None
        }
    };
    let world = kind.unwrap_or(PolicyKind::Scaling).world();
    if exports("manifest").is_none() && kind.is_some() && !of_other_version {
        problems.push(LinkProblem::MissingInterface { interface: "manifest", world });
    }

    check_imports(engine, component, (world, is_granted_http), &mut problems);
    let mut checker = Exports { engine, component, problems: &mut problems };
    let manifest = exports("manifest");
    let describe = manifest.and_then(|(_, name, instance)| {
        checker.function::<(), (wit_manifest::Description,)>(name, instance, "describe")
    });
    let configure = manifest.and_then(|(_, name, instance)| {
        checker.function::<ConfigureArguments<'_>, ConfigureAnswer>(name, instance, "configure")
    });
    let decide = match kind {
        Some(PolicyKind::Scaling) => exports("scaling").and_then(|(_, name, instance)| {
            checker.function::<DecideArguments<'_>, DecideAnswer>(name, instance, "decide")
        }),
        Some(PolicyKind::Health) => exports("health").and_then(|(_, name, instance)| {
            checker.function::<EvaluateArguments<'_>, EvaluateAnswer>(name, instance, "evaluate")
        }),
        None => None,
    };
    let protected = exports("protection").and_then(|(_, name, instance)| {
        checker.function::<DecideArguments<'_>, ProtectedAnswer>(name, instance, "protected")
    });
    match (kind, describe, configure, decide) {
        (Some(kind), Some(describe), Some(configure), Some(decide)) if problems.is_empty() => {
            Ok(Links { kind, describe, configure, decide, protected })
        }
        _ => Err(problems),
    }
}

/// Arguments and results of the functions of the contract.
pub(crate) type ConfigureArguments<'a> = (&'a str,);
pub(crate) type ConfigureAnswer = (Result<wit_manifest::Requirements, wit_types::PolicyError>,);
pub(crate) type DecideArguments<'a> = (&'a str, wit_scaling::Observation<'a>);
pub(crate) type DecideAnswer = (Result<wit_scaling::Decision, wit_types::PolicyError>,);
pub(crate) type ProtectedAnswer = (Result<Vec<String>, wit_types::PolicyError>,);
pub(crate) type EvaluateArguments<'a> = (&'a str, wit_health::Observation<'a>);
pub(crate) type EvaluateAnswer = (Result<wit_health::Report, wit_types::PolicyError>,);

struct Exports<'a> {
    engine: &'a Engine,
    component: &'a Component,
    problems: &'a mut Vec<LinkProblem>,
}

impl Exports<'_> {
    fn function<Arguments, Answer>(
        &mut self,
        export: &str,
        instance: &ComponentInstance,
        function: &'static str,
    ) -> Option<ComponentExportIndex>
    where
        Arguments: ComponentNamedList + Lower,
        Answer: ComponentNamedList + Lift,
    {
        let item = instance.get_export(self.engine, function).map(|item| item.ty);
        let Some(ComponentItem::ComponentFunc(found)) = item else {
            self.problems.push(LinkProblem::MissingFunction { export: excerpt(export), function });
            return None;
        };
        if let Err(error) = found.typecheck::<Arguments, Answer>(&self.component.component_type().instance_type()) {
            self.problems.push(wrong_type(export, function, &error));
            return None;
        }
        let interface = self.component.get_export_index(None, export)?;
        self.component.get_export_index(Some(&interface), function)
    }
}

fn wrong_type(interface: &str, function: &str, error: &wasmtime::Error) -> LinkProblem {
    // Unlike at imports, "expected" is the host's type here and "found" is the component's.
    let why = excerpt(&format!("{error:#}"));
    LinkProblem::FunctionType { interface: excerpt(interface), function: plain(function), why }
}

fn check_imports(
    engine: &Engine,
    component: &Component,
    (world, is_granted_http): (&'static str, bool),
    problems: &mut Vec<LinkProblem>,
) {
    let component_type = component.component_type();
    for (name, import) in component_type.imports(engine) {
        let parsed = Name::parse(name);
        let foreign = || LinkProblem::Import { name: excerpt(name), world };
        match (parsed.interface(), import.ty) {
            (Some("log" | "readiness" | "types" | "manifest" | "scaling" | "protection" | "health"), _)
                if !parsed.is_minor("0.1") =>
            {
                problems.push(LinkProblem::Version { verb: "imports", name: excerpt(name) });
            }
            (Some("log"), ComponentItem::ComponentInstance(instance)) => {
                let import = ImportedInterface { engine, component, name, instance: &instance };
                import.check::<(wit_log::Level, &str), ()>("write", problems);
            }
            (Some("readiness"), ComponentItem::ComponentInstance(instance)) => {
                let import = ImportedInterface { engine, component, name, instance: &instance };
                import.check::<(&str,), (Option<u64>,)>("first-ready-at", problems);
            }
            // Types alone need nothing from the host. They come with every function that mentions them.
            (Some("types"), ComponentItem::ComponentInstance(instance)) => {
                let functions = instance.exports(engine).filter(|(_, item)| is_function(&item.ty));
                problems.extend(functions.map(|_| foreign()));
            }
            (None, ComponentItem::ComponentInstance(_)) if WASI.contains(&parsed.path) && parsed.is_minor("0.2") => {}
            (None, ComponentItem::ComponentInstance(_)) if HTTP.contains(&parsed.path) && parsed.is_minor("0.2") => {
                if !is_granted_http {
                    problems.push(LinkProblem::NotGranted { name: excerpt(name) });
                }
            }
            _ if is_later_wasi(&parsed) => {
                // One sentence for all of them: the remedy is the same.
                if !problems.iter().any(|problem| matches!(problem, LinkProblem::LaterWasi { .. })) {
                    problems.push(LinkProblem::LaterWasi { name: excerpt(name) });
                }
            }
            _ => problems.push(foreign()),
        }
    }
}

/// An import of an interface that the host implements, which has one function.
struct ImportedInterface<'a> {
    engine: &'a Engine,
    component: &'a Component,
    name: &'a str,
    instance: &'a ComponentInstance,
}

impl ImportedInterface<'_> {
    fn check<Arguments, Answer>(&self, function: &str, problems: &mut Vec<LinkProblem>)
    where
        Arguments: ComponentNamedList + Lower,
        Answer: ComponentNamedList + Lift,
    {
        for (found, item) in self.instance.exports(self.engine) {
            match item.ty {
                ComponentItem::ComponentFunc(imported) if found == function => {
                    let component_type = self.component.component_type();
                    if let Err(why) = imported.typecheck::<Arguments, Answer>(&component_type.instance_type()) {
                        problems.push(wrong_type(self.name, found, &why));
                    }
                }
                item if is_function(&item) => {
                    let why = "the host's interface has no such function".to_owned();
                    let (interface, function) = (excerpt(self.name), excerpt(found));
                    problems.push(LinkProblem::FunctionType { interface, function, why });
                }
                _ => {}
            }
        }
    }
}

fn is_function(item: &ComponentItem) -> bool {
    matches!(item, ComponentItem::ComponentFunc(_) | ComponentItem::CoreFunc(_))
}

/// The imports and exports by name, in the component's order.
pub(crate) fn names(engine: &Engine, component: &Component) -> (Vec<String>, Vec<String>) {
    let component_type = component.component_type();
    let imports = component_type.imports(engine).map(|(name, _)| excerpt(name)).collect();
    let exports = component_type.exports(engine).map(|(name, _)| excerpt(name)).collect();
    (imports, exports)
}
