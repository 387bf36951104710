//! Every decoder with its seeds, and with what becomes of them by chance: the targets of `cargo fuzz`, for a
//! bounded time and without it. `FTX_FUZZ_SEED` repeats a run, `FTX_FUZZ_ROUNDS` makes it longer.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

mod mutate;
mod seeds;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use self::mutate::Mutator;
use self::targets::{TARGETS, Target, Took};

/// Mutations of a target with a share of 1.
const ROUNDS: u32 = 300;

/// The seed of a run that nobody asked for: always the same, so that what fails fails again.
const SEED: u64 = 0x6674_7821;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The seeds of a target, with their names, in order.
fn seeds_of(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for child in fs::read_dir(folder().join("seeds").join(target.name))
        .unwrap_or_else(|error| panic!("{}: {error}", target.name))
    {
        let path = child.unwrap().path();
        seeds.push((path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()));
    }
    seeds.sort();
    seeds
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// A seed that is not read any more is none; those called `bad-…` were found once, and are refused.
#[test]
fn every_decoder_takes_its_seeds() {
    for target in TARGETS {
        let seeds = seeds_of(target);
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for (name, bytes) in seeds {
            let expected = if name.starts_with("bad-") { Took::No } else { Took::Yes };
            assert_eq!(target.run(&bytes), expected, "{}/{name}", target.name);
            assert!(bytes.len() <= 16 << 10, "{}/{name} is no small file", target.name);
        }
    }
}

#[test]
fn no_decoder_breaks_a_promise_whatever_becomes_of_its_seeds() {
    let seed = number("FTX_FUZZ_SEED").unwrap_or(SEED);
    let rounds = number("FTX_FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds as u32);
    for target in TARGETS {
        let seeds: Vec<_> = seeds_of(target).into_iter().map(|(_, bytes)| bytes).collect();
        let mut mutator = Mutator::new(seed);
        let mut taken = 0;
        for round in 0..rounds * target.share {
            let bytes = mutator.mutate(&seeds);
            match catch_unwind(|| target.run(&bytes)) {
                Ok(took) => taken += u32::from(took == Took::Yes),
                Err(panic) => {
                    eprintln!("{}: FTX_FUZZ_SEED={seed}, round {round}: {}", target.name, bytes.escape_ascii());
                    std::panic::resume_unwind(panic);
                }
            }
        }
        assert!(taken > 0, "no mutation of the seeds of {} gets past its first check", target.name);
    }
}

/// Whoever adds a target finds out what else it takes.
#[test]
fn every_target_is_one_of_cargo_fuzz_too() {
    let manifest: toml::Table = toml::from_str(&fs::read_to_string(folder().join("Cargo.toml")).unwrap()).unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap().to_owned());
    // The library's own parser has no place in the table: only there it can be reached.
    let bins: BTreeSet<_> = bins.filter(|name| name != "mdns_library").collect();
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(bins, names);
    assert!(names.iter().all(|name| Target::named(name).is_some()));
}
