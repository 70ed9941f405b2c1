//! Escapes invisible characters in documents, so that they are printed unchanged and steer no terminal.

use std::fmt::Write as _;
use windlass_core::text::is_invisible;

/// A JSON text whose invisible characters are escaped. YAML has another escape for those beyond 16 bits than JSON.
pub(super) fn escaped(text: &str, is_yaml: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !is_invisible(c) {
            escaped.push(c);
            continue;
        }
        // Writing to a string cannot fail.
        if is_yaml {
            let _ = write!(escaped, "\\U{:08x}", u32::from(c));
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| {
                let _ = write!(escaped, "\\u{unit:04x}");
            });
        }
    }
    escaped
}
