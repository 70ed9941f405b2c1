//! Recognizes compressed files, which are often passed in place of the component inside.

/// First bytes of compressed files, the name of the format, and the program that decompresses it.
const FORMATS: [(&[u8], Compression); 4] = [
    (b"\x1f\x8b", Compression { format: "gzip", program: "gunzip" }),
    (b"\x28\xb5\x2f\xfd", Compression { format: "zstd", program: "unzstd" }),
    (b"\xfd7zXZ\0", Compression { format: "xz", program: "unxz" }),
    (b"PK\x03\x04", Compression { format: "ZIP", program: "unzip" }),
];

/// A format of compressed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression {
    pub(crate) format: &'static str,
    pub(crate) program: &'static str,
}

/// The format of a compressed file. `None` if the file is not compressed.
pub(crate) fn of(bytes: &[u8]) -> Option<Compression> {
    FORMATS.iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, compression)| *compression)
}
