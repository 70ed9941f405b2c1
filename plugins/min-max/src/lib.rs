//! The WIT glue of the default scaling policy: the rule itself is in [`policy`].

pub mod policy;

/// What `wit/` says, as Rust types.
#[expect(missing_docs, reason = "generated from wit/, documented there")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "scaling-policy",
        path: "../../wit",
    });
}

#[cfg(target_arch = "wasm32")]
mod component {
    //! The component's exports.
    use crate::bindings::exports::windlass::policy::{manifest, scaling};
    use crate::bindings::windlass::policy::types::PolicyError;
    use crate::policy;

    /// An instance answers one call and is gone, so nothing is given back; and memory that is there from the
    /// start need not be grown, which costs a third of a call. A test of the host fills it with 1,000 replicas.
    #[global_allocator]
    static ARENA: static_alloc::Bump<[u8; 8 << 20]> = static_alloc::Bump::uninit();

    struct MinMax;

    impl manifest::Guest for MinMax {
        fn describe() -> manifest::Description {
            manifest::Description {
                name: "min-max".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                summary: "Keeps the current count within the workload's minimum and maximum".to_owned(),
                config_schema: policy::CONFIG_SCHEMA.to_owned(),
            }
        }

        fn configure(config: String) -> Result<manifest::Requirements, PolicyError> {
            policy::check_config(&config).map_err(PolicyError::InvalidConfig)?;
            Ok(manifest::Requirements { metrics: Vec::new() })
        }
    }

    impl scaling::Guest for MinMax {
        fn decide(config: String, observation: scaling::Observation) -> Result<scaling::Decision, PolicyError> {
            policy::check_config(&config).map_err(PolicyError::InvalidConfig)?;
            Ok(policy::decide(&observation))
        }
    }

    #[expect(unsafe_code, reason = "the exported symbols are the component's ABI")]
    mod export {
        use super::MinMax;
        crate::bindings::export!(MinMax with_types_in crate::bindings);
    }
}
