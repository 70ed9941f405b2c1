//! Tests of commands that need no container engine.

mod config;
mod confinement;
mod contexts;
mod health;
mod policy;
mod shells;
mod streams;
