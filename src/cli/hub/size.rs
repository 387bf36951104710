//! Sizes, limits, lengths of time and moments as they are typed.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::hub::control::message::Limit;

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// Bytes, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most(pub Limit);

/// Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasts(pub u64);

/// A moment in seconds since 1970, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(pub Limit);

/// Text that is none of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotThat {
    /// No size.
    #[error("a size is a number of bytes, as 500M or 20G (of 1024), or 20GB (of 1000)")]
    Size,
    /// No length of time.
    #[error("a time is a number with m, h or d, as 30m, 12h or 7d")]
    Lasts,
    /// No moment.
    #[error("a moment is a day, or a day and a time, as 2026-12-01 or \"2026-12-01 18:00\"; or none")]
    Deadline,
}

impl FromStr for Size {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        let text = text.trim();
        let letters = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(letters);
        let unit = unit.to_ascii_lowercase();
        let (base, letter): (f64, &str) = match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(letter), _) => (1024.0, letter),
            (None, Some("")) => (1.0, ""),
            (None, Some(letter)) => (1000.0, letter),
            (None, None) => (1024.0, &unit),
        };
        let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == letter).ok_or(NotThat::Size)?;
        let number: f64 = number.trim().parse().map_err(|_| NotThat::Size)?;
        let bytes = number * base.powi(i32::try_from(power).unwrap_or(0));
        if (0.0..=1e18).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(NotThat::Size) }
    }
}

impl FromStr for Most {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        if text == "none" { Ok(Self(Limit::None)) } else { text.parse().map(|Size(bytes)| Self(Limit::Is(bytes))) }
    }
}

impl FromStr for Lasts {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        let units = [('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
        let read = units.iter().find_map(|(letter, seconds)| {
            let number: u64 = text.strip_suffix(*letter)?.parse().ok()?;
            number.checked_mul(*seconds).filter(|seconds| *seconds > 0)
        });
        read.map(Self).ok_or(NotThat::Lasts)
    }
}

impl FromStr for Deadline {
    type Err = NotThat;

    fn from_str(text: &str) -> Result<Self, NotThat> {
        if text == "none" {
            return Ok(Self(Limit::None));
        }
        // A day ends with its last second.
        let day = || text.parse::<Date>().ok().map(|day| day.at(23, 59, 59, 0));
        let time = if text.contains(':') { text.parse::<DateTime>().ok() } else { day() };
        let moment = time.and_then(|time| time.to_zoned(TimeZone::system()).ok());
        let seconds = moment.and_then(|moment| u64::try_from(moment.timestamp().as_second()).ok());
        seconds.map(|seconds| Self(Limit::Is(seconds))).ok_or(NotThat::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        for (text, bytes) in
            [("5", 5), ("5B", 5), ("1k", 1024), ("1.5G", 3 << 29), ("2TB", 2_000_000_000_000), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in ["", "G", "-1", "5X", "1e30", "5 MBB", "nan", "none"] {
            assert_eq!(bad.parse::<Size>(), Err(NotThat::Size), "{bad}");
        }
        assert_eq!("none".parse(), Ok(Most(Limit::None)));
        assert_eq!(("90m".parse(), "2d".parse()), (Ok(Lasts(5400)), Ok(Lasts(172_800))));
        for bad in ["", "5", "m", "0m", "-1d", "99999999999999999999d"] {
            assert_eq!(bad.parse::<Lasts>(), Err(NotThat::Lasts), "{bad}");
        }
    }

    #[test]
    fn a_day_lasts_until_its_end() {
        let seconds = |text: &str| match text.parse() {
            Ok(Deadline(Limit::Is(seconds))) => seconds,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(seconds("2026-12-01") + 1, seconds("2026-12-02 00:00"));
        assert_eq!(seconds("2026-12-01T18:30") + 30 * 60, seconds("2026-12-01 19:00"));
        assert_eq!("none".parse(), Ok(Deadline(Limit::None)));
        for bad in ["", "tomorrow", "18:00", "2026-13-01", "2026-12-01 25:00", "1900-01-01"] {
            assert_eq!(bad.parse::<Deadline>(), Err(NotThat::Deadline), "{bad}");
        }
    }
}
