//! Tests in simulated time: the control loop on the simulated engine, and `windlass simulate`.

mod budgets;
mod failure_modes;
mod scenarios;
mod shadows;
mod simulate;
