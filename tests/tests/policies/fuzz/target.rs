//! A fuzz target: a parser of hostile input, with its seeds.

/// A function that parses one input, and panics if the parser misbehaves. It returns whether the input is valid.
pub(crate) type Parser = Box<dyn FnMut(&[u8]) -> bool>;

/// A parser under test.
pub(crate) struct Target {
    /// The name of its test, and of the folder with its seeds below `tests/fuzz/corpus`.
    pub(crate) name: &'static str,
    /// The number of damaged copies in a run of `make test`.
    pub(crate) cases: u64,
    /// The seeds in addition to the files in its folder.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// Words of the parser's language. Damage inserts them.
    pub(crate) words: &'static [&'static str],
    /// Prepares the parser.
    pub(crate) start: fn() -> Parser,
}
