//! Codes: words that a hub makes, and that let a device join.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::account::check_name;
use super::register::Records;
use crate::base::fault::{Fault, FaultKind};
use crate::base::path::Name;
use crate::flow::code::{SHORT_LIVED, words};
use crate::flow::secret::plain_code;
use crate::wire::hub::Rank;

/// How long a code lives that many devices may use, if nothing else is said: 7 days, in seconds.
pub const LASTS: u64 = 7 * 24 * 60 * 60;

/// How long a code lives that works once, if nothing else is said: 15 minutes, in seconds.
pub const LASTS_ONCE: u64 = 15 * 60;

/// How long any code lives at most: 90 days, in seconds.
pub const LASTS_AT_MOST: u64 = 90 * 24 * 60 * 60;

/// Most codes that are open at a time: a proof is compared with each.
pub const MAX_CODES: usize = 16;

/// Until this age, in seconds, three words are enough for a code that works once: 38 bits, for some
/// hundred guesses.
const SHORT_LIFE: u64 = 60 * 60;

/// A code. Both sides need it, so it is kept as it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// `apple-banana-cherry`.
    pub words: Zeroizing<String>,
    /// Until when it works, in seconds since 1970.
    pub until: u64,
    /// Whether it works once only.
    #[serde(default)]
    pub once: bool,
    /// The account that it is for; a new one of the device's choice, if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Name>,
    /// What whoever joins with it may do.
    pub rank: Rank,
}

/// What code is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Whether it is to work once only.
    pub once: bool,
    /// How long, in seconds; [`LASTS`] or [`LASTS_ONCE`] if not given.
    pub lasts: Option<u64>,
    /// For which account, which is made where it is missing.
    pub account: Option<Name>,
    /// What whoever joins with it may do.
    pub rank: Rank,
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Code(until {})", self.until)
    }
}

impl Code {
    /// Whether it works now.
    pub fn is_open(&self, now: u64) -> bool {
        now < self.until
    }

    /// Whether these are its words, or the first of them, however they are typed.
    pub fn begins_with(&self, typed: &str) -> bool {
        let typed = plain_code(typed);
        let mut begun = String::new();
        self.words.split('-').any(|word| {
            begun.push_str(word);
            *typed == begun
        })
    }
}

impl Records {
    /// The codes that work now.
    pub fn open_codes(&self, now: u64) -> impl Iterator<Item = &Code> {
        self.codes.iter().filter(move |code| code.is_open(now))
    }

    /// Makes a code. Those whose time is over are forgotten.
    ///
    /// # Errors
    /// Where [`MAX_CODES`] are open, it is to live longer than [`LASTS_AT_MOST`], or the account cannot have
    /// its name.
    pub fn invite(&mut self, wanted: Invitation, now: u64) -> Result<Code, Fault> {
        self.codes.retain(|code| code.is_open(now));
        if self.codes.len() >= MAX_CODES {
            let text = format!("{MAX_CODES} codes are open, which is the most; take one back first");
            return Err(Fault::new(FaultKind::Busy, text));
        }
        let lasts = wanted.lasts.unwrap_or(if wanted.once { LASTS_ONCE } else { LASTS });
        if !(1..=LASTS_AT_MOST).contains(&lasts) {
            let text = format!("a code lives from a second to {} days", LASTS_AT_MOST / (24 * 60 * 60));
            return Err(Fault::new(FaultKind::NotPermitted, text));
        }
        let account = wanted.account.map(|name| self.find(&name).map_or(name.clone(), |(written, _)| written.clone()));
        account.iter().try_for_each(check_name)?;
        let count = if wanted.once && lasts <= SHORT_LIFE { SHORT_LIVED } else { 4 };
        let code = Code { words: words(count)?, until: now + lasts, once: wanted.once, account, rank: wanted.rank };
        self.codes.push(code.clone());
        Ok(code)
    }

    /// Takes a code back, however its words are typed; the first of them are enough if no other code begins
    /// with them, so that none has to be typed where others see it.
    ///
    /// # Errors
    /// Where there is none, or there are several.
    pub fn take_back(&mut self, typed: &str) -> Result<Code, Fault> {
        let all: Vec<usize> = (0..self.codes.len()).filter(|at| self.codes[*at].begins_with(typed)).collect();
        match all.as_slice() {
            [at] => Ok(self.codes.remove(*at)),
            [] => Err(Fault::new(FaultKind::NotFound, "there is no such code")),
            several => {
                let text = format!("{} codes begin with that; type more of its words", several.len());
                Err(Fault::new(FaultKind::NotFound, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Invitation {
        Invitation { once: false, lasts: None, account: None, rank: Rank::Member }
    }

    #[test]
    fn a_code_has_as_many_words_as_its_life_is_long() {
        let mut records = Records::default();
        let long = records.invite(wanted(), 100).unwrap();
        let short = records.invite(Invitation { once: true, ..wanted() }, 100).unwrap();
        let once = records.invite(Invitation { once: true, lasts: Some(LASTS), ..wanted() }, 100).unwrap();
        let count = |code: &Code| code.words.split('-').count();
        assert_eq!((count(&long), count(&short), count(&once)), (4, 3, 4));
        assert_eq!((long.until, short.until), (100 + LASTS, 100 + LASTS_ONCE));
    }

    #[test]
    fn few_codes_are_open_at_a_time_and_old_ones_make_room() {
        let mut records = Records::default();
        for _ in 0..MAX_CODES {
            records.invite(Invitation { lasts: Some(10), ..wanted() }, 100).unwrap();
        }
        assert_eq!(records.invite(wanted(), 109).unwrap_err().kind, FaultKind::Busy);
        assert_eq!(records.open_codes(109).count(), MAX_CODES);
        assert_eq!(records.open_codes(110).count(), 0);
        records.invite(wanted(), 110).unwrap();
        assert_eq!(records.codes.len(), 1);
        assert!(records.invite(Invitation { lasts: Some(LASTS_AT_MOST + 1), ..wanted() }, 110).is_err());
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let mut records = Records::default();
        let code = records.invite(wanted(), 1).unwrap();
        assert!(!code.begins_with("apple banana") && !code.begins_with("") && !code.begins_with("-"));
        let typed = format!("  {} ", code.words.to_uppercase().replace('-', "  "));
        assert_eq!(records.take_back(&typed).unwrap(), code);
        assert_eq!(records.take_back(&code.words).unwrap_err().kind, FaultKind::NotFound);
        assert!(!format!("{code:?}").contains(code.words.as_str()));
    }

    #[test]
    fn a_code_is_taken_back_by_its_first_words_where_only_one_begins_so() {
        let mut records = Records::default();
        let code = records.invite(wanted(), 1).unwrap();
        for words in ["apple-banana-cherry", "apple-bananas-cherry", "apples-x-y"] {
            records.codes.push(Code { words: Zeroizing::new(words.to_owned()), ..code.clone() });
        }
        for none in ["", "app", "banana", "apple-ban", "apple banana cherry x"] {
            assert!(records.take_back(none).is_err(), "{none}");
        }
        assert!(records.take_back("Apple").unwrap_err().to_string().contains("2 codes"));
        assert_eq!(*records.take_back("apple bananas").unwrap().words, "apple-bananas-cherry");
        assert_eq!(*records.take_back("APPLE").unwrap().words, "apple-banana-cherry");
        assert_eq!(records.codes.len(), 2);
    }
}
