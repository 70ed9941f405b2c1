//! The text of an input file: its encoding and its byte order mark.

/// First bytes of files that are often passed by mistake, and the remedy.
const FOREIGN: [(&[u8], &str); 3] = [
    (b"\x1f\x8b", "it is compressed with gzip; decompress it with `gunzip`"),
    (b"PK\x03\x04", "it is a ZIP archive or an Excel workbook; save the sheet as CSV"),
    (b"PAR1", "it is a Parquet file; export it as CSV"),
];

/// Decodes UTF-8, and UTF-16 with a byte order mark, as PowerShell and Excel write it. The mark is dropped.
///
/// # Errors
/// One sentence with the remedy.
pub fn decode(bytes: Vec<u8>) -> Result<String, String> {
    if let Some((_, why)) = FOREIGN.iter().find(|(beginning, _)| bytes.starts_with(beginning)) {
        return Err((*why).to_owned());
    }
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).map_err(|_| "it is not valid UTF-16; save it as UTF-8".to_owned())
    };
    match bytes.get(..2) {
        Some(b"\xff\xfe") => return utf16(u16::from_le_bytes),
        Some(b"\xfe\xff") => return utf16(u16::from_be_bytes),
        _ => {}
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        format!("line {} is not UTF-8; save the file as UTF-8", line + 1)
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_usual_encoding_is_read() {
        let units = |order: fn(u16) -> [u8; 2]| "\u{feff}time,ä".encode_utf16().flat_map(order).collect();
        for bytes in [
            "time,ä".as_bytes().to_vec(),
            "\u{feff}time,ä".as_bytes().to_vec(),
            units(u16::to_le_bytes),
            units(u16::to_be_bytes),
        ] {
            assert_eq!(decode(bytes), Ok("time,ä".to_owned()));
        }
    }

    #[test]
    fn other_files_are_rejected_with_the_remedy() {
        for (bytes, why) in [
            (&b"\x1f\x8b\x08"[..], "it is compressed with gzip; decompress it with `gunzip`"),
            (b"PK\x03\x04..", "it is a ZIP archive or an Excel workbook; save the sheet as CSV"),
            (b"time,load\n0,1\n5,\xe4\n", "line 3 is not UTF-8; save the file as UTF-8"),
            (b"\xff\xfe\x00\xd8", "it is not valid UTF-16; save it as UTF-8"),
        ] {
            assert_eq!(decode(bytes.to_vec()), Err(why.to_owned()));
        }
    }
}
