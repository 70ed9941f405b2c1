//! Tests of real policy components in the test process: revisions, sources, limits, grants, hostile components.

mod bindings;
mod examples;
mod grants;
mod hostile;
mod mutations;
mod revisions;
mod serving_host;
mod sources;
