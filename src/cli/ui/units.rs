//! Sizes, rates and times for people.

use std::time::Duration;

use indicatif::{BinaryBytes, HumanDuration};

use crate::base::manifest::Stamp;

/// `1.2 MiB`.
pub fn bytes(n: u64) -> String {
    BinaryBytes(n).to_string()
}

/// `1.2 MiB in 0.3 s, 4.0 MiB/s`; without a rate where it would say nothing.
pub fn moved(n: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if n < 1 << 20 || seconds < 0.001 {
        return format!("{} in {seconds:.2} s", bytes(n));
    }
    format!("{} in {seconds:.2} s, {}/s", bytes(n), bytes((n as f64 / seconds) as u64))
}

/// `1 file`, `3 files`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// `40 seconds ago`.
pub fn ago(then: u64, now: u64) -> String {
    format!("{} ago", HumanDuration(Duration::from_secs(now.saturating_sub(then))))
}

/// `2026-11-21T14:05:00Z` (RFC 3339), of seconds since 1970.
pub fn rfc3339(seconds: u64) -> String {
    at(seconds).to_string()
}

/// `20261121T140500Z`, as a part of a file's name, of seconds since 1970.
pub fn utc(seconds: u64) -> String {
    at(seconds).strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn at(seconds: u64) -> jiff::Timestamp {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.unwrap_or(jiff::Timestamp::MAX)
}

/// `2026-11-21 14:05` in this machine's time zone.
pub fn when(stamp: Stamp) -> String {
    let time = jiff::Timestamp::new(stamp.seconds, 0);
    time.map_or_else(
        |_| "-".to_owned(),
        |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %H:%M").to_string(),
    )
}

/// `2026-11-21 14:05:33` in this machine's time zone.
pub fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(
        || "-".to_owned(),
        |time| time.to_zoned(jiff::tz::TimeZone::system()).strftime("%F %T").to_string(),
    )
}
