//! Tests of commands that need no container engine.

mod confinement;
mod health;
mod policy;
