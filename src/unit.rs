//! Values with units: sizes in bytes, durations, ports.
//!
//! Parsing and printing only. The meaning of a value is defined by its user. A number without a
//! unit is an error.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not a value with a unit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The text is empty.
    #[error("an empty text is not a {wanted}")]
    Empty {
        /// Expected quantity.
        wanted: Quantity,
    },
    /// The number has no unit.
    #[error("`{number}` has no unit")]
    MissingUnit {
        /// Number as written.
        number: String,
        /// Expected quantity.
        wanted: Quantity,
    },
    /// The text after the number is not a known unit.
    #[error("`{unit}` is not a unit of a {wanted}")]
    UnknownUnit {
        /// Text in place of the unit.
        unit: String,
        /// Expected quantity.
        wanted: Quantity,
    },
    /// The text has a unit without a number, a sign, or two decimal points.
    #[error("`{text}` is not a {wanted}")]
    NotANumber {
        /// Whole text.
        text: String,
        /// Expected quantity.
        wanted: Quantity,
    },
    /// The value does not fit in 64 bits (of bytes or nanoseconds).
    #[error("`{text}` is too large for a {wanted}")]
    TooLarge {
        /// Whole text.
        text: String,
        /// Expected quantity.
        wanted: Quantity,
    },
}

impl UnitError {
    /// Returns help on how to fix the value.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::MissingUnit { number, wanted } => {
                let unit = wanted.usual();
                let units = wanted.units();
                format!("write the unit too, such as `\"{number}{unit}\"`; units are {units}")
            }
            Self::Empty { wanted }
            | Self::UnknownUnit { wanted, .. }
            | Self::NotANumber { wanted, .. }
            | Self::TooLarge { wanted, .. } => {
                let example = wanted.example();
                let units = wanted.units();
                format!("a {wanted} looks like {example}; units are {units}")
            }
        }
    }
}

/// The quantity that a value measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// A size in bytes.
    Size,
    /// A duration.
    Duration,
}

impl Quantity {
    fn usual(self) -> &'static str {
        match self {
            Self::Size => "MiB",
            Self::Duration => "s",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Size => "`512MiB`, `64m` or `1.5g`",
            Self::Duration => "`5s`, `1m30s` or `250ms`",
        }
    }

    fn units(self) -> &'static str {
        match self {
            Self::Size => "`B`, `KiB`, `MiB`, `GiB`, `TiB` (also `k`, `m`, `g`, `t`)",
            Self::Duration => "`us`, `ms`, `s`, `m`, `h`, `d`",
        }
    }

    /// Returns the factor of a unit, in bytes or nanoseconds.
    fn scale(self, unit: &str) -> Option<u64> {
        match self {
            Self::Size => Some(match unit.to_ascii_lowercase().as_str() {
                "b" => 1,
                "k" | "kb" | "kib" => 1 << 10,
                "m" | "mb" | "mib" => 1 << 20,
                "g" | "gb" | "gib" => 1 << 30,
                "t" | "tb" | "tib" => 1 << 40,
                _ => return None,
            }),
            Self::Duration => Some(match unit {
                "ns" => 1,
                "us" | "µs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                "d" => 86_400_000_000_000,
                _ => return None,
            }),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Duration => "duration",
        })
    }
}

/// Takes one number with its unit from the front of `rest`. Returns its value in bytes or
/// nanoseconds.
///
/// Uses integer arithmetic: `0.1s` is exactly 100 ms. Fractions of a byte or nanosecond are
/// truncated.
fn take(rest: &mut &str, text: &str, wanted: Quantity) -> Result<u64, UnitError> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (number, after) = split(rest, is_number);
    let (unit, after) = split(after, |c| !is_number(c) && !c.is_whitespace());
    *rest = after.trim_start();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let malformed = whole.is_empty() && fraction.is_empty() || fraction.contains('.');
    if malformed {
        let text = text.to_owned();
        return Err(UnitError::NotANumber { text, wanted });
    }
    if unit.is_empty() {
        let number = number.to_owned();
        return Err(UnitError::MissingUnit { number, wanted });
    }
    let scale = wanted.scale(unit).ok_or_else(|| UnitError::UnknownUnit {
        unit: unit.to_owned(),
        wanted,
    })?;
    worth(whole, fraction, scale).ok_or_else(|| UnitError::TooLarge {
        text: text.to_owned(),
        wanted,
    })
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    (first, rest)
}

/// Returns `None` if the value does not fit in 64 bits.
fn worth(whole: &str, fraction: &str, scale: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // 18 digits are more precise than the largest scale (8.64e13 ns) requires.
    let fraction = &fraction[..fraction.len().min(18)];
    let mut part: u128 = 0;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().ok()?;
        let tens = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
        part = digits * u128::from(scale) / tens;
    }
    let total = u128::from(whole) * u128::from(scale) + part;
    u64::try_from(total).ok()
}

/// Parses a duration: one or more numbers with units, `5s`, `1m30s`, `1.5h`, `250ms`.
///
/// The units are those of Go and Compose, `ns`, `us`, `ms`, `s`, `m`, `h`, and additionally `d`.
///
/// # Errors
/// Returns an error if a unit is missing or unknown, or if the text does not consist of numbers and
/// units.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let wanted = Quantity::Duration;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError::Empty { wanted });
    }
    let mut nanoseconds = 0_u64;
    while !rest.is_empty() {
        let part = take(&mut rest, text, wanted)?;
        nanoseconds = nanoseconds
            .checked_add(part)
            .ok_or_else(|| UnitError::TooLarge {
                text: text.to_owned(),
                wanted,
            })?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Formats a duration so that [`parse_duration`] returns the same value: `1m30s`, `250ms`, `0s`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    use fmt::Write;
    const UNITS: [(u128, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (size, unit) in UNITS {
        if rest >= size {
            let _ = write!(text, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl fmt::Display for ByteSize {
    /// Uses the largest binary unit that divides the number: `512MiB`, `1536KiB`, `1000B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [
            (1 << 40, "TiB"),
            (1 << 30, "GiB"),
            (1 << 20, "MiB"),
            (1 << 10, "KiB"),
        ];
        let unit = UNITS
            .iter()
            .find(|(size, _)| self.0 >= *size && self.0.is_multiple_of(*size));
        match unit {
            Some((size, name)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    /// Parses a size: `512MiB`, `64m`, `1.5g`, `100B`.
    ///
    /// As in Compose, every unit is a power of 1024, however it is spelled (`2GB` is 2 GiB), and
    /// the case of letters is ignored. Unlike in Compose, a number without a unit is an error.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wanted = Quantity::Size;
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(UnitError::Empty { wanted });
        }
        let bytes = take(&mut rest, text, wanted)?;
        if rest.is_empty() {
            return Ok(Self(bytes));
        }
        let text = text.to_owned();
        Err(UnitError::NotANumber { text, wanted })
    }
}

/// Protocol of a port.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Byte streams.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
    /// Message streams.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_parse_as_in_compose() {
        let bytes = |text: &str| text.parse::<ByteSize>().map(|size| size.0);
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("64m"), Ok(64 << 20));
        assert_eq!(bytes("1g"), Ok(1 << 30));
        assert_eq!(bytes("2GB"), Ok(2 << 30));
        assert_eq!(bytes("1.5k"), Ok(1536));
        assert_eq!(bytes("7B"), Ok(7));
    }

    #[test]
    fn number_without_unit_error_suggests_unit() {
        let size = "512".parse::<ByteSize>().unwrap_err();
        assert_eq!(size.to_string(), "`512` has no unit");
        assert_eq!(
            size.help(),
            "write the unit too, such as `\"512MiB\"`; units are `B`, `KiB`, `MiB`, `GiB`, `TiB` \
             (also `k`, `m`, `g`, `t`)"
        );
        let duration = parse_duration("1m30").unwrap_err();
        assert_eq!(duration.to_string(), "`30` has no unit");
        assert!(duration.help().contains("`\"30s\"`"));
    }

    #[test]
    fn invalid_quantities_have_distinct_errors() {
        let size = |text: &str| text.parse::<ByteSize>().unwrap_err().to_string();
        assert_eq!(size(""), "an empty text is not a size");
        assert_eq!(size("12 parsecs"), "`12` has no unit");
        assert_eq!(size("12parsecs"), "`parsecs` is not a unit of a size");
        assert_eq!(size("-1m"), "`-1m` is not a size");
        assert_eq!(size("1.2.3m"), "`1.2.3m` is not a size");
        assert_eq!(size("1m1k"), "`1m1k` is not a size");
        assert_eq!(size("99999999t"), "`99999999t` is too large for a size");
    }

    #[test]
    fn duration_is_sum_of_parts() {
        let milliseconds = |text: &str| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(milliseconds("5s"), Ok(5_000));
        assert_eq!(milliseconds("1m30s"), Ok(90_000));
        assert_eq!(milliseconds("1m 30s"), Ok(90_000));
        assert_eq!(milliseconds("250ms"), Ok(250));
        assert_eq!(milliseconds("0.1s"), Ok(100));
        assert_eq!(milliseconds("1d"), Ok(86_400_000));
    }

    proptest! {
        #[test]
        fn displayed_values_parse_back(nanoseconds: u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            let size = ByteSize(nanoseconds);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = parse_duration(&text);
            let _ = text.parse::<ByteSize>();
        }
    }
}
