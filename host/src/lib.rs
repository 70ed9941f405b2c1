//! Windlass runs containers, keeps the right number of each alive, and lets sandboxed WebAssembly
//! components decide what "right" means.
//!
//! ```text
//!            request                      engine event        timer
//!               │                              │                │
//!   api ──► Controller::{start,scale,…} ──► wake(workload) ◄────┘
//!               ▲                              │ one pass at a time for a workload
//!               │ report            ┌──────────▼──────────────────────────────────┐
//!               └───────────────────┤ observe ─► evaluate ─► decide ─► act        │
//!                                   │ Snapshot   Verdict      Plan     engine     │
//!                                   └────┬──────────┬───────────────────┬─────────┘
//!                                     Runtime   ScalingPolicy        Runtime
//!                                     (Docker)  HealthPolicy (WASM)   Store
//! ```
//!
//! Invariants, each held by a test: a policy proposes and the host disposes; `decide` is pure; one pass
//! at a time for a workload; a container that is not ours is never touched; imports run one way
//! (`model` ← traits and configuration ← `control` ← `api` ← `app`).
//!
//! Modules in reading order: [`model`], [`runtime`], [`policy`], [`store`], [`control`], [`discovery`], [`simulate`], [`api`],
//! [`config`], [`app`], [`cli`].

pub mod app;
pub mod cli;
pub mod config;
