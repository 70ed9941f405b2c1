//! Policies as components: loading, calls, and the two kinds.
//!
//! `load` checks, compiles and links a component, `call` makes one call, `manifest`, `scaling` and `health` are the functions
//! of the contract, `problem` holds the reasons why a file does not load.

mod call;
mod health;
mod load;
mod loaded;
mod machine_code;
mod manifest;
mod problem;
mod scaling;

pub use crate::component::call::Called;
pub use crate::component::loaded::{FailureCounts, PolicyComponent};
pub use crate::component::problem::{LoadError, LoadProblem};
pub use crate::contract_check::LinkProblem;
pub use crate::digest::digest;
