//! The parser of the library that announces and answers: it reads every packet of the network, too.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mdns_sd::fuzz_api::parse_packet(bytes));
