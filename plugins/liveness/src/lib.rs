//! The component glue of the default health policy. The rule is in [`policy`].

pub mod config;
pub mod policy;

/// The contract in `wit/` as Rust types.
#[expect(missing_docs, reason = "generated from wit/, documented there")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "health-policy",
        path: "../../wit",
    });
}

#[cfg(target_arch = "wasm32")]
mod component {
    //! The component's exports.
    use crate::bindings::exports::windlass::policy::{health, manifest};
    use crate::bindings::windlass::policy::types::PolicyError;
    use crate::config::{self, Config};
    use crate::policy;

    /// A fixed arena of 8 MiB that never frees. An instance serves a single call, so freeing gains nothing, and
    /// growing the memory would cost a third of a call. A test of the host checks that 1,000 replicas fit.
    #[global_allocator]
    static ARENA: static_alloc::Bump<[u8; 8 << 20]> = static_alloc::Bump::uninit();

    struct Liveness;

    impl manifest::Guest for Liveness {
        fn describe() -> manifest::Description {
            manifest::Description {
                name: "liveness".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                summary:
                    "Replaces replicas whose process ended; restarts, then replaces replicas whose probes keep failing"
                        .to_owned(),
                config_schema: config::SCHEMA.to_owned(),
            }
        }

        fn configure(config: String) -> Result<manifest::Requirements, PolicyError> {
            Config::parse(&config).map_err(PolicyError::InvalidConfig)?;
            Ok(manifest::Requirements { metrics: Vec::new() })
        }
    }

    impl health::Guest for Liveness {
        fn evaluate(config: String, observation: health::Observation) -> Result<health::Report, PolicyError> {
            let config = Config::parse(&config).map_err(PolicyError::InvalidConfig)?;
            Ok(policy::evaluate(&config, &observation))
        }
    }

    #[expect(unsafe_code, reason = "the exported symbols are the component's ABI")]
    mod export {
        use super::Liveness;
        crate::bindings::export!(Liveness with_types_in crate::bindings);
    }
}
