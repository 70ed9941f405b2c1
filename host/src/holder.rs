//! The name by which this Windlass holds the lease of a Swarm.

use anyhow::Context;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The host's name, and random digits that stay the same for a data directory. Only one Windlass uses a data directory, so
/// after a restart it holds its lease at once.
///
/// # Errors
/// If the digits can be neither read nor written.
pub(crate) fn name(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("holder");
    let digits = match fs::read_to_string(&path) {
        Ok(digits) if digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => digits,
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
        }
        Ok(_) | Err(_) => {
            let mut bytes = [0; 8];
            File::open("/dev/urandom")
                .and_then(|mut random| random.read_exact(&mut bytes))
                .context("no random bytes")?;
            let digits = format!("{:016x}", u64::from_ne_bytes(bytes));
            windlass_files::replace(&path, digits.as_bytes(), 0o600)
                .with_context(|| format!("cannot write `{}`", path.display()))?;
            digits
        }
    };
    Ok(format!("{}-{digits}", rustix::system::uname().nodename().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_keeps_its_name_and_others_have_another_one() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = name(one.path()).unwrap();
        assert_eq!(name(one.path()).unwrap(), first);
        assert_ne!(name(other.path()).unwrap(), first);
        // A file that was cut off is written anew.
        fs::write(one.path().join("holder"), "12").unwrap();
        assert_eq!(name(one.path()).unwrap().len(), first.len());
    }
}
