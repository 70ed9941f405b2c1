//! What the built-in scaling policies have in common: [`ScalingPolicy`], which a policy's rule implements, and
//! [`component!`], which makes a component of it; [`metrics`], which looks at what was measured;
//! [`tracking`], [`step`] and [`pass_through`], the rules that a schedule may have within.

pub mod fixtures;
pub mod metrics;
pub mod pass_through;
pub mod step;
pub mod tracking;

use bindings::exports::windlass::policy::manifest::{Description, MetricRequest, Requirements};
use bindings::exports::windlass::policy::scaling::{Decision, Observation};
use bindings::windlass::policy::types::PolicyError;
use serde::de::DeserializeOwned;

/// What `wit/` says, as Rust types.
#[expect(missing_docs, reason = "generated from wit/, documented there")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "scaling-policy",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "windlass_policy_common::bindings",
    });
}

#[doc(hidden)]
pub use static_alloc;

/// A scaling policy without its glue. Pure: what it answers depends on its arguments alone.
pub trait ScalingPolicy {
    /// The name it gives itself.
    const NAME: &'static str;
    /// One line.
    const SUMMARY: &'static str;
    /// JSON Schema (2020-12) of the configuration, as JSON text.
    const SCHEMA: &'static str;
    /// The configuration; what the schema cannot say of it is said by [`ScalingPolicy::check`].
    type Config: DeserializeOwned;

    /// What is wrong with a configuration that fits the schema.
    ///
    /// # Errors
    /// A sentence that names the field.
    fn check(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// The metrics it must be shown under a configuration.
    fn metrics(_config: &Self::Config) -> Vec<MetricRequest> {
        Vec::new()
    }

    /// How many replicas there should be.
    ///
    /// # Errors
    /// [`PolicyError::InsufficientData`] where what was measured does not say.
    fn decide(config: &Self::Config, observation: &Observation) -> Result<Decision, PolicyError>;
}

/// A configuration from JSON text.
///
/// # Errors
/// A sentence that names the field.
pub fn parse<P: ScalingPolicy>(text: &str) -> Result<P::Config, String> {
    let json = &mut serde_json::Deserializer::from_str(text);
    let config = serde_path_to_error::deserialize(json).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("`{path}`: {}", error.inner()),
    })?;
    P::check(&config)?;
    Ok(config)
}

/// What a policy says of itself; `version` is that of its package.
pub fn described<P: ScalingPolicy>(version: &str) -> Description {
    Description {
        name: P::NAME.to_owned(),
        version: version.to_owned(),
        summary: P::SUMMARY.to_owned(),
        config_schema: P::SCHEMA.to_owned(),
    }
}

/// What a policy needs under a configuration.
///
/// # Errors
/// [`PolicyError::InvalidConfig`].
pub fn configured<P: ScalingPolicy>(config: &str) -> Result<Requirements, PolicyError> {
    let config = parse::<P>(config).map_err(PolicyError::InvalidConfig)?;
    Ok(Requirements { metrics: P::metrics(&config) })
}

/// What a policy decides under a configuration.
///
/// # Errors
/// Its own, or [`PolicyError::InvalidConfig`].
pub fn decided<P: ScalingPolicy>(config: &str, observation: &Observation) -> Result<Decision, PolicyError> {
    P::decide(&parse::<P>(config).map_err(PolicyError::InvalidConfig)?, observation)
}

/// Makes a component of a [`ScalingPolicy`]: its exports and its allocator.
///
/// An instance answers one call and is gone, so nothing is given back; and memory that is there from the start need
/// not be grown, which costs a third of a call. A test of the host fills it with 1,000 replicas.
/// `component!(Type, frees)` is for policies that need more, and free it: they keep the standard allocator.
#[macro_export]
macro_rules! component {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[global_allocator]
        static ARENA: $crate::static_alloc::Bump<[u8; 8 << 20]> = $crate::static_alloc::Bump::uninit();

        $crate::component!($policy, frees);
    };
    ($policy:ty, frees) => {
        #[cfg(target_arch = "wasm32")]
        mod component {
            use $crate::bindings::exports::windlass::policy::{manifest, scaling};
            use $crate::bindings::windlass::policy::types::PolicyError;

            struct Component;

            impl manifest::Guest for Component {
                fn describe() -> manifest::Description {
                    $crate::described::<$policy>(env!("CARGO_PKG_VERSION"))
                }

                fn configure(config: String) -> Result<manifest::Requirements, PolicyError> {
                    $crate::configured::<$policy>(&config)
                }
            }

            impl scaling::Guest for Component {
                fn decide(config: String, observation: scaling::Observation) -> Result<scaling::Decision, PolicyError> {
                    $crate::decided::<$policy>(&config, &observation)
                }
            }

            #[expect(unsafe_code, reason = "the exported symbols are the component's ABI")]
            mod export {
                use super::Component;
                $crate::bindings::export!(Component with_types_in $crate::bindings);
            }
        }
    };
}
