//! What ftx promises, tried through real processes, sockets and files. Everything happens on the
//! loopback interface, or in network namespaces made for it, and below scratch homes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skipped"
)]

#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "not all tests that it helps are for other systems"))]
mod house;

#[cfg(target_os = "linux")]
mod confine;
mod conflict;
#[cfg(unix)]
mod control;
mod demo;
#[cfg(target_os = "linux")]
mod denial;
#[cfg(unix)]
mod descriptors;
#[cfg(target_os = "linux")]
mod disk_full;
#[cfg(unix)]
mod doctor;
#[cfg(target_os = "linux")]
mod doctor_lan;
#[cfg(target_os = "linux")]
mod durable;
mod flaws;
mod fuzz;
#[cfg(unix)]
mod give;
mod hostile;
#[cfg(unix)]
mod hostile_giving;
mod hostile_lanes;
mod hostile_receiver;
mod house_plan;
#[cfg(unix)]
mod hub_again;
#[cfg(unix)]
mod hub_at_once;
#[cfg(unix)]
mod hub_broken;
#[cfg(unix)]
mod hub_by_hand;
#[cfg(target_os = "linux")]
mod hub_full;
#[cfg(unix)]
mod hub_killed;
#[cfg(unix)]
mod hub_moves;
#[cfg(unix)]
mod hub_names;
#[cfg(unix)]
mod hub_quota;
#[cfg(unix)]
mod hub_theirs;
mod join;
#[cfg(unix)]
mod killed;
#[cfg(target_os = "linux")]
mod lan;
#[cfg(target_os = "linux")]
mod managed;
mod manual;
mod names;
#[cfg(target_os = "linux")]
mod nasty;
#[cfg(unix)]
mod output;
mod policy;
#[cfg(unix)]
mod proxy;
mod pull;
mod push;
mod receipts;
#[cfg(target_os = "linux")]
mod redial;
#[cfg(unix)]
mod rules;
#[cfg(target_os = "linux")]
mod service;
#[cfg(unix)]
mod several;
#[cfg(unix)]
mod signals;
#[cfg(unix)]
mod sources;
mod states;
mod supply;
#[cfg(unix)]
mod survive;
#[cfg(target_os = "linux")]
mod terminal;
mod trees;
mod verbs;
#[cfg(target_os = "linux")]
mod ways;
