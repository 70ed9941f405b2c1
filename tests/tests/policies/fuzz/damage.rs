//! Damage to a seed: flipped bits, other bytes, pieces that are cut, repeated or taken from another seed, and words.

use proptest::collection::vec;
use proptest::prelude::{Just, any};
use proptest::prop_oneof;
use proptest::sample::Index;
use proptest::strategy::{BoxedStrategy, Strategy};

/// The longest input in bytes.
const LONGEST: usize = 1 << 20;

/// Words that are hostile in most languages.
const WORDS: [&str; 36] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "-1e999",
    "0.1",
    "NaN",
    "inf",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"\":",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\r\n",
    "\n\n",
    "\u{feff}",
    "\u{202e}",
    "é\u{301}",
    "%00",
    "../",
    "'",
    "\"",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

/// A seed and the changes to it.
#[derive(Debug, Clone)]
pub(crate) struct Damage {
    seed: Index,
    changes: Vec<Change>,
}

/// A place in an input, and a number of bytes from there.
#[derive(Debug, Clone)]
struct Piece {
    at: Index,
    length: usize,
}

#[derive(Debug, Clone)]
enum Change {
    Flip {
        at: Index,
        bit: u8,
    },
    Set {
        at: Index,
        byte: u8,
    },
    Truncate {
        at: Index,
    },
    Remove(Piece),
    Repeat {
        piece: Piece,
        times: usize,
    },
    /// Replaces a piece with one of another seed.
    Splice {
        piece: Piece,
        seed: Index,
        from: Index,
    },
    /// Inserts a word.
    Insert {
        at: Index,
        word: Index,
    },
    /// Replaces the number or name at a place with a word.
    Replace {
        at: Index,
        word: Index,
    },
    /// Replaces the number or name at a place with one of another seed.
    Exchange {
        at: Index,
        seed: Index,
        from: Index,
    },
}

fn piece() -> impl Strategy<Value = Piece> {
    let length = prop_oneof![4 => 1..17usize, 2 => 17..129usize, 1 => 129..4_096usize];
    (any::<Index>(), length).prop_map(|(at, length)| Piece { at, length })
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    let times = prop_oneof![6 => 1..8usize, 1 => 8..5_000usize];
    prop_oneof![
        2 => (index(), 0..8u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        1 => (index(), prop_oneof![Just(0), Just(0x7f), Just(0xff), any::<u8>()])
            .prop_map(|(at, byte)| Change::Set { at, byte }),
        1 => index().prop_map(|at| Change::Truncate { at }),
        2 => piece().prop_map(Change::Remove),
        2 => (piece(), times).prop_map(|(piece, times)| Change::Repeat { piece, times }),
        2 => (piece(), index(), index()).prop_map(|(piece, seed, from)| Change::Splice { piece, seed, from }),
        2 => (index(), index()).prop_map(|(at, word)| Change::Insert { at, word }),
        4 => (index(), index()).prop_map(|(at, word)| Change::Replace { at, word }),
        3 => (index(), index(), index()).prop_map(|(at, seed, from)| Change::Exchange { at, seed, from }),
    ]
}

/// Damage of one to six changes: an input with many is seldom valid.
pub(crate) fn damage() -> BoxedStrategy<Damage> {
    let changes = prop_oneof![3 => vec(change(), 1), 2 => vec(change(), 2..4), 1 => vec(change(), 4..7)];
    (any::<Index>(), changes).prop_map(|(seed, changes)| Damage { seed, changes }).boxed()
}

/// The position of an index among the bytes of an input and its end.
fn position(index: &Index, input: &[u8]) -> usize {
    index.index(input.len() + 1)
}

impl Piece {
    fn range(&self, input: &[u8]) -> std::ops::Range<usize> {
        let from = position(&self.at, input);
        from..from.saturating_add(self.length).min(input.len())
    }
}

/// The number or name around a position; empty if there is none.
fn word_around(input: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(byte);
    let from = input[..at].iter().rposition(|byte| !is_inside(byte)).map_or(0, |before| before + 1);
    let to = input[at..].iter().position(|byte| !is_inside(byte)).map_or(input.len(), |after| at + after);
    from..to
}

impl Damage {
    /// The number of changes.
    pub(crate) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// The damage without one of the changes.
    pub(crate) fn without(&self, at: usize) -> Self {
        let mut less = self.clone();
        less.changes.remove(at);
        less
    }

    /// The damaged copy. `seeds` is not empty.
    pub(crate) fn apply(&self, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
        let mut input = self.seed.get(seeds).clone();
        for change in &self.changes {
            change.apply(&mut input, seeds, words);
            input.truncate(LONGEST);
        }
        input
    }
}

impl Change {
    fn apply(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str]) {
        let word = |index: &Index| {
            let index = index.index(WORDS.len() + words.len());
            WORDS.get(index).or_else(|| words.get(index - WORDS.len())).copied().unwrap_or_default()
        };
        match self {
            Self::Flip { at, bit } => {
                let at = position(at, input);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Set { at, byte } => {
                let at = position(at, input);
                if let Some(place) = input.get_mut(at) {
                    *place = *byte;
                }
            }
            Self::Truncate { at } => input.truncate(position(at, input)),
            Self::Remove(piece) => drop(input.drain(piece.range(input))),
            Self::Repeat { piece, times } => {
                let range = piece.range(input);
                let times = (*times).min(LONGEST / range.len().max(1));
                let repeated = input[range.clone()].repeat(times);
                drop(input.splice(range.end..range.end, repeated));
            }
            Self::Splice { piece, seed, from } => {
                let other = seed.get(seeds);
                let foreign = Piece { at: *from, length: piece.length }.range(other);
                drop(input.splice(piece.range(input), other[foreign].iter().copied()));
            }
            Self::Insert { at, word: index } => {
                let at = position(at, input);
                drop(input.splice(at..at, word(index).bytes()));
            }
            Self::Replace { at, word: index } => {
                let range = word_around(input, position(at, input));
                drop(input.splice(range, word(index).bytes()));
            }
            Self::Exchange { at, seed, from } => {
                let other = seed.get(seeds);
                let foreign = word_around(other, position(from, other));
                let range = word_around(input, position(at, input));
                drop(input.splice(range, other[foreign].iter().copied()));
            }
        }
    }
}
