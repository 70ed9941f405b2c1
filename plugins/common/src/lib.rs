//! Shared code of the built-in scaling policies.
//!
//! - [`ScalingPolicy`] is the trait of a policy's rule, and [`component!`] builds a component from it.
//! - [`metrics`] reads metrics from an observation, and [`readiness`] asks since when its replicas have been ready.
//! - [`tracking`], [`step`] and [`pass_through`] are rules that the schedule policy can wrap.
//! - [`fixtures`] is for tests.

pub mod fixtures;
pub mod metrics;
pub mod pass_through;
pub mod readiness;
pub mod step;
pub mod tracking;

use bindings::exports::windlass::policy::manifest::{Description, MetricRequest, Requirements};
use bindings::exports::windlass::policy::scaling::{Decision, Observation};
use bindings::windlass::policy::types::PolicyError;
use serde::de::DeserializeOwned;

/// The contract in `wit/` as Rust types.
#[expect(missing_docs, reason = "generated from wit/, documented there")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "readiness-scaling-policy",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "windlass_policy_common::bindings",
    });
}

#[doc(hidden)]
pub use static_alloc;

/// A scaling policy without its component glue. Every function is pure: the result depends on the arguments alone.
pub trait ScalingPolicy {
    /// The policy's name.
    const NAME: &'static str;
    /// A one-line summary.
    const SUMMARY: &'static str;
    /// The JSON Schema (2020-12) of the configuration, as JSON text.
    const SCHEMA: &'static str;
    /// The configuration. [`ScalingPolicy::check`] checks rules that the schema cannot express.
    type Config: DeserializeOwned;

    /// Checks rules that the schema cannot express.
    ///
    /// # Errors
    /// A sentence that names the invalid field.
    fn check(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// The metrics that the policy requires with a configuration.
    fn metrics(_config: &Self::Config) -> Vec<MetricRequest> {
        Vec::new()
    }

    /// Proposes the number of replicas.
    ///
    /// # Errors
    /// [`PolicyError::InsufficientData`] if the metrics are not sufficient to decide.
    fn decide(config: &Self::Config, observation: &Observation) -> Result<Decision, PolicyError>;
}

/// Parses and checks a configuration from JSON text.
///
/// # Errors
/// A sentence that names the invalid field.
pub fn parse<P: ScalingPolicy>(text: &str) -> Result<P::Config, String> {
    let json = &mut serde_json::Deserializer::from_str(text);
    let config = serde_path_to_error::deserialize(json).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("`{path}`: {}", error.inner()),
    })?;
    P::check(&config)?;
    Ok(config)
}

/// Returns a policy's description. `version` is the version of its package.
pub fn described<P: ScalingPolicy>(version: &str) -> Description {
    Description {
        name: P::NAME.to_owned(),
        version: version.to_owned(),
        summary: P::SUMMARY.to_owned(),
        config_schema: P::SCHEMA.to_owned(),
    }
}

/// Returns a policy's requirements with a configuration.
///
/// # Errors
/// [`PolicyError::InvalidConfig`] if the configuration is invalid.
pub fn configured<P: ScalingPolicy>(config: &str) -> Result<Requirements, PolicyError> {
    let config = parse::<P>(config).map_err(PolicyError::InvalidConfig)?;
    Ok(Requirements { metrics: P::metrics(&config) })
}

/// Returns a policy's decision with a configuration.
///
/// # Errors
/// [`PolicyError::InvalidConfig`] if the configuration is invalid, or the policy's own error.
pub fn decided<P: ScalingPolicy>(config: &str, observation: &Observation) -> Result<Decision, PolicyError> {
    P::decide(&parse::<P>(config).map_err(PolicyError::InvalidConfig)?, observation)
}

/// Builds a component from a [`ScalingPolicy`]: its exports and its allocator.
///
/// The allocator is a fixed arena of 8 MiB that never frees. An instance serves a single call, so freeing gains nothing,
/// and growing the memory would cost a third of a call. A test of the host checks that 1,000 replicas fit.
/// `component!(Type, frees)` keeps the standard allocator, for policies that need more memory and free it.
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
