//! Temporary: replaced by the composition root.

use crate::config::Config;

/// Fails: there is nothing to run yet.
///
/// # Errors
/// Always.
pub async fn run(config: Config) -> anyhow::Result<()> {
    anyhow::bail!("nothing to serve on {}", config.api.listen)
}
