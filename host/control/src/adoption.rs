//! Services that labels declare: which of them Windlass scales, and why it leaves the others alone.

use crate::controller::Controller;
use parking_lot::Mutex;
use windlass_core::{Declaration, WorkloadKey};

/// A service whose labels ask Windlass to scale it, and which it leaves alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedService {
    /// The key that its workload would have.
    pub key: WorkloadKey,
    /// The place of its labels.
    pub declaration: Declaration,
    /// Why it is left alone, in one sentence.
    pub reason: String,
}

/// The services that labels declare, as last observed.
#[derive(Debug, Default)]
pub(crate) struct Adoption {
    refused: Mutex<Vec<RefusedService>>,
}

impl Controller {
    /// The services that labels declare and that are left alone, in the order of their keys.
    pub fn refused_services(&self) -> Vec<RefusedService> {
        self.context.adoption.refused.lock().clone()
    }
}
