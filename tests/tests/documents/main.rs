//! Tests that compare the documents, the sources and the program with each other.

mod architecture;
mod balancers;
mod circles;
mod deploy;
mod failure_modes;
mod language;
mod pages;
mod public_items;
mod scripts;
mod sources;
mod threats;
