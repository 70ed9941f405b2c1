//! The Windlass program: configuration, command line and composition root. The work is done in the crates below `host/`.
//!
//! ```text
//!            request                     engine event        timer
//!               │                             │                │
//!   api ──► Controller::{start,scale,…} ──► wake(workload) ◄───┘
//!               ▲                             │ one pass at a time per workload
//!               │ report           ┌──────────▼──────────────────────────────────┐
//!               └──────────────────┤ observe ─► evaluate ─► decide ─► act        │
//!                                  │ Snapshot   Verdict      Plan     engine     │
//!                                  └────┬──────────┬───────────────────┬─────────┘
//!                                    Engine    ScalingPolicy         Engine
//!                                    (Docker)  HealthPolicy (WASM)   Store
//! ```
//!
//! Each invariant is held by a test: a policy proposes and the host decides; `decide` is pure; a workload has one pass at a
//! time; the host never changes containers of others; dependencies point to `windlass-core`.
//!
//! Modules in reading order: [`app`], `agent`, [`config`], [`cli`]. ARCHITECTURE.md lists the crates.

mod agent;
pub mod app;
pub mod cli;
pub mod config;
mod holder;
mod own_container;
mod socket;
mod tls_files;
