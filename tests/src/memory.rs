//! The memory of a process.

/// Resident memory of a process in bytes.
///
/// # Errors
/// If there is no such process, or the system does not report its memory.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages: u64 = text.split(' ').nth(1).ok_or_else(|| anyhow::anyhow!("no second field in `{text}`"))?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
