//! Tests of real policy components in the test process: revisions, sources, limits, grants, hostile components, fuzzing.

mod bindings;
mod breaker;
mod examples;
mod fuzz;
mod grants;
mod hostile;
mod mutations;
mod quota;
mod revisions;
mod serving_host;
mod sources;
