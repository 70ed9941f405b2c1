//! Tests of commands that need no container engine.

mod audit;
mod config;
mod confinement;
mod contexts;
mod exit_codes;
mod health;
mod https;
mod policy;
mod shells;
mod streams;
