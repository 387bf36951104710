//! What broke other tools, and does not break this one: S1 to S17 of ftx-security(7), whose table names the
//! tests of each. A test whose name begins with such a number is one of that promise, here and in the files
//! beside; deleting one needs a reason.

pub(crate) mod in_between;
#[cfg(target_os = "linux")]
mod s10_modes;
mod s10_secrets;
#[cfg(target_os = "linux")]
mod s11_announced;
mod s15_web;
pub(crate) mod s1_names;
#[cfg(target_os = "linux")]
mod s2_swapped;
mod s3_kept;
#[cfg(target_os = "linux")]
mod s6_asked;
mod s8_other_key;
mod table;
