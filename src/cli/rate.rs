//! Rates as they are typed: `20M`.

use std::str::FromStr;

use serde::Deserialize;

use crate::flow::limit::Limit;

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate(u64);

/// Text that is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number of bytes a second, as 500K, 20M or 1.5G (of 1024), or 20MB (of 1000)")]
pub struct NoRate;

impl Rate {
    /// The limit that keeps to it; none where none is given.
    pub fn limit(rate: Option<Self>) -> Limit {
        rate.map_or_else(Limit::none, |Self(bytes)| Limit::rate(bytes))
    }
}

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let text = text.trim();
        let text = text.strip_suffix("/s").unwrap_or(text);
        let letters = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(letters);
        let power = |base: u64, unit: &str| match unit {
            "" => Some(1),
            "k" => Some(base),
            "m" => Some(base.pow(2)),
            "g" => Some(base.pow(3)),
            _ => None,
        };
        let unit = unit.to_ascii_lowercase();
        let factor = match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(binary), _) => power(1024, binary),
            (None, Some(decimal)) => power(1000, decimal),
            (None, None) => power(1024, &unit),
        };
        let number: f64 = number.trim().parse().map_err(|_| NoRate)?;
        let bytes = number * factor.ok_or(NoRate)? as f64;
        if (1.0..=1e15).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(NoRate) }
    }
}

impl TryFrom<String> for Rate {
    type Error = NoRate;

    fn try_from(text: String) -> Result<Self, NoRate> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_other_tools_read_them() {
        let rate = |text: &str| text.parse::<Rate>().map(|Rate(bytes)| bytes);
        assert_eq!(rate("1000"), Ok(1000));
        assert_eq!(rate("500K"), Ok(500 << 10));
        assert_eq!(rate("20M"), Ok(20 << 20));
        assert_eq!(rate("20MiB/s"), Ok(20 << 20));
        assert_eq!(rate("20MB"), Ok(20_000_000));
        assert_eq!(rate("1.5g"), Ok(3 << 29));
        for bad in ["", "M", "-1", "0", "20X", "1e30", "20 MBB", "nan"] {
            assert_eq!(rate(bad), Err(NoRate), "{bad}");
        }
    }
}
