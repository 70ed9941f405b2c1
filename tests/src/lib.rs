//! Helpers of the black-box tests.

pub mod hostile;
