//! The target that the program is called like.
#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = targets::Target::named(env!("CARGO_BIN_NAME")).expect("every program is called like a target");
    target.run(bytes);
});
