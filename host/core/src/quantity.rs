//! Amounts in user input: CPU (`0.5`, `500m`) and memory (`512m`, `1g`).

use crate::Invalid;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An amount of CPU, counted in billionths of a core, as in engines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cpu {
    text: String,
    nano_cores: u64,
}

impl Cpu {
    /// The smallest amount that an engine accepts, in billionths of a core.
    pub const LEAST: u64 = 10_000_000;
    const MOST: u64 = 1024 * 1_000_000_000;

    /// Billionths of a core.
    pub fn nano_cores(&self) -> u64 {
        self.nano_cores
    }

    /// Cores: 0.5 is half of one.
    #[expect(clippy::cast_precision_loss, reason = "nano cores stay far below 2^52")]
    pub fn cores(&self) -> f64 {
        self.nano_cores as f64 / 1e9
    }
}

impl FromStr for Cpu {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::at_least(Self::LEAST, text)
    }
}

impl Cpu {
    fn at_least(least: u64, text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Err(Invalid::new(format!(
                "`{}` is not an amount of cpu; expected cores such as `0.5`, or thousandths such as `500m`, \
                 from 0.01 to 1024 cores",
                text.escape_debug()
            )))
        };
        let (digits, nano_per_unit) = match text.strip_suffix('m') {
            Some(digits) => (digits, 1_000_000),
            None => (text, 1_000_000_000),
        };
        let Some(nano_cores) = decimal(digits, nano_per_unit) else {
            return invalid();
        };
        if !(least..=Self::MOST).contains(&nano_cores) {
            return invalid();
        }
        Ok(Self { text: text.to_owned(), nano_cores })
    }
}

/// An amount of memory in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Memory {
    text: String,
    bytes: u64,
}

impl Memory {
    /// The smallest limit of a container that an engine accepts, in bytes.
    pub const LEAST: u64 = 6 << 20;

    /// Bytes; at least 1.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl FromStr for Memory {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let lower = text.to_ascii_lowercase();
        let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor: Option<u64> = match &lower[number.len()..] {
            "" | "b" => Some(1),
            "k" | "kb" | "ki" | "kib" => Some(1 << 10),
            "m" | "mb" | "mi" | "mib" => Some(1 << 20),
            "g" | "gb" | "gi" | "gib" => Some(1 << 30),
            "t" | "tb" | "ti" | "tib" => Some(1 << 40),
            _ => None,
        };
        match factor.and_then(|factor| decimal(number, factor)) {
            // The engine's API has a signed number of bytes.
            Some(bytes) if bytes > 0 && i64::try_from(bytes).is_ok() => Ok(Self { text: text.to_owned(), bytes }),
            _ => Err(Invalid::new(format!(
                "`{}` is not an amount of memory; expected bytes with `k`, `m` or `g` (powers of 1024), \
                 such as `512m` or `1g`",
                text.escape_debug()
            ))),
        }
    }
}

/// A plain decimal number (`12`, `0.5`) times `unit`, rounded down. `None` if it is not such a number or is too large;
/// signs, exponents and spaces are invalid.
fn decimal(text: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.len() <= 18 && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = fraction.parse().ok()?;
    let fraction = u64::try_from(fraction * u128::from(unit) / scale).ok()?;
    whole.checked_mul(unit)?.checked_add(fraction)
}

impl TryFrom<String> for Cpu {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        // Earlier versions stored smaller amounts.
        Self::at_least(1, &text)
    }
}

impl TryFrom<String> for Memory {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

macro_rules! text_form {
    ($type:ty) => {
        impl From<$type> for String {
            fn from(amount: $type) -> Self {
                amount.text
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }
    };
}
text_form!(Cpu);
text_form!(Memory);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_read_as_cores_or_thousandths() {
        let nano = |text: &str| text.parse::<Cpu>().map(|cpu| cpu.nano_cores()).ok();
        assert_eq!(nano("0.5"), Some(500_000_000));
        assert_eq!(nano("500m"), Some(500_000_000));
        assert_eq!(nano("2"), Some(2_000_000_000));
        assert_eq!((nano("0.01"), nano("10m")), (Some(10_000_000), Some(10_000_000)));
        assert_eq!((nano("0.009"), nano("9m")), (None, None));
        let stored: Cpu = serde_json::from_str("\"0.001\"").expect("an earlier version stored it");
        assert_eq!(stored.nano_cores(), 1_000_000);
        for wrong in ["", "0", "-1", "1e3", "0.0001", "half", "1 ", "m", ".5", "5.", "nan", "99999999999"] {
            assert_eq!(nano(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn memory_is_read_in_powers_of_1024() {
        let bytes = |text: &str| text.parse::<Memory>().map(|memory| memory.bytes()).ok();
        assert_eq!(bytes("512m"), Some(512 << 20));
        assert_eq!(bytes("1g"), Some(1 << 30));
        assert_eq!(bytes("1.5G"), Some(3 << 29));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("1048576"), Some(1 << 20));
        for wrong in ["", "0", "-1m", "1x", "m", "1 g", "1e9", "9999999999g"] {
            assert_eq!(bytes(wrong), None, "{wrong:?}");
        }
    }
}
