//! Tests in simulated time: the control loop on the simulated engine, and `windlass simulate`.

mod adoption;
mod budgets;
mod failure_modes;
mod faulty_store;
mod page;
mod page_rights;
mod pages;
mod requests;
mod scenarios;
mod shadows;
mod simulate;
