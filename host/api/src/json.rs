//! The JSON of requests, declared once: reader, checks and OpenAPI schema come from the same declaration.
//!
//! [`object`] declares a JSON object, [`shape`] the values of its fields, [`time`] durations and times. [`pattern`] describes texts.
//! [`fields`] reads an object strictly, and [`problems`] collects everything that is wrong with it.

pub(crate) mod fields;
pub(crate) mod object;
pub(crate) mod pattern;
pub(crate) mod problems;
pub(crate) mod shape;
pub(crate) mod time;
