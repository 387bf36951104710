//! Codes that people say to one another: words of a list, and before those of `ftx give` a number.
//!
//! The number is public: whoever gives announces it, so that it is found among many. It is drawn on its own
//! and tells nothing of the words, which are the secret.

use std::fmt;
use std::str::FromStr;

use diceware_wordlists::EFF_LONG_WORDLIST;
use zeroize::Zeroizing;

use super::secret::{plain_code, random};
use crate::base::fault::Fault;

/// How many words a code has that lives for minutes and works once: 38 bits, for three guesses.
pub const SHORT_LIVED: usize = 3;

/// The largest number before a code.
const MAX_NUMBER: u8 = 99;

/// A code of `ftx give`: `17-otter-window-lamp`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    /// The number, 1 to 99, that finds the giver.
    pub number: u8,
    words: Zeroizing<String>,
}

/// Why a text is no code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCode {
    /// It does not begin with a number from 1 to 99.
    #[error("a code begins with a number from 1 to 99, as in 17-otter-window-lamp")]
    Number,
    /// What follows is not three words of the list.
    #[error("after the number come three words of the list, as in 17-otter-window-lamp; one of them is misspelt")]
    Words,
}

impl Code {
    /// A new one, with a number that is not among `taken`, unless all are.
    ///
    /// # Errors
    /// Where the system gives no randomness.
    pub fn new(taken: &[u8]) -> Result<Self, Fault> {
        let free: Vec<u8> = (1..=MAX_NUMBER).filter(|number| !taken.contains(number)).collect();
        let number = match pick(free.len())? {
            Some(at) => free.get(at).copied(),
            None => pick(MAX_NUMBER.into())?.and_then(|at| u8::try_from(at + 1).ok()),
        };
        Ok(Self { number: number.unwrap_or(1), words: words(SHORT_LIVED)? })
    }

    /// The code as it is said and typed.
    pub fn shown(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}-{}", self.number, *self.words))
    }

    /// The secret part.
    pub fn secret(&self) -> &str {
        &self.words
    }
}

/// However it is typed: in any case of letters, with dashes, spaces or nothing between its parts.
impl FromStr for Code {
    type Err = NoCode;

    fn from_str(typed: &str) -> Result<Self, NoCode> {
        let plain = plain_code(typed);
        let digits = plain.chars().take_while(char::is_ascii_digit).count();
        let (number, letters) = plain.split_at_checked(digits).ok_or(NoCode::Number)?;
        let number = number.parse().ok().filter(|number| (1..=MAX_NUMBER).contains(number)).ok_or(NoCode::Number)?;
        let words = split(letters, SHORT_LIVED).ok_or(NoCode::Words)?;
        Ok(Self { number, words: Zeroizing::new(words.join("-")) })
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({}-…)", self.number)
    }
}

/// The words that make up these letters.
fn split(letters: &str, count: usize) -> Option<Vec<&'static str>> {
    if count == 0 {
        return letters.is_empty().then(Vec::new);
    }
    list().find_map(|word| {
        let mut words = split(letters.strip_prefix(word)?, count - 1)?;
        words.insert(0, word);
        Some(words)
    })
}

/// The words of which codes are made: those of the list that do not look like two.
pub fn list() -> impl Iterator<Item = &'static str> {
    EFF_LONG_WORDLIST.iter().copied().filter(|word| !word.contains('-'))
}

/// Some words of the EFF's long list with dashes between them, each as likely as any other.
///
/// # Errors
/// Where the system gives no randomness.
pub fn words(count: usize) -> Result<Zeroizing<String>, Fault> {
    let mut words: Vec<&str> = Vec::with_capacity(count);
    while words.len() < count {
        let word = pick(EFF_LONG_WORDLIST.len())?.and_then(|at| EFF_LONG_WORDLIST.get(at).copied());
        words.extend(word.filter(|word| !word.contains('-')));
    }
    Ok(Zeroizing::new(words.join("-")))
}

/// A number below `count`, each as likely as any other; `None` where there is none.
fn pick(count: usize) -> Result<Option<usize>, Fault> {
    if count == 0 {
        return Ok(None);
    }
    loop {
        let mut bytes = [0; 2];
        random(&mut bytes)?;
        let number = usize::from(u16::from_be_bytes(bytes));
        // Beyond that the dice would favour some.
        if number < (1 << 16) / count * count {
            return Ok(Some(number % count));
        }
    }
}

/// What the last part of a code, as it is typed, is completed to: the rest of the one word that begins so,
/// or of what all that begin so have in common.
pub fn completed(typed: &str) -> Option<String> {
    let last = typed.rfind(|c: char| !c.is_alphabetic()).map_or(0, |at| at + 1);
    let (before, part) = typed.split_at_checked(last)?;
    let part = part.to_lowercase();
    // The number is nobody's word, and every word would do.
    if part.is_empty() || before.is_empty() {
        return None;
    }
    let mut alike = list().filter(|word| word.starts_with(&part));
    let first = alike.next()?;
    let common = alike.fold(first, |common, word| {
        let same = common.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
        common.get(..same).unwrap_or(common)
    });
    let whole = list().any(|word| word == common) && list().filter(|word| word.starts_with(&part)).count() == 1;
    let more = if whole && before.chars().filter(|c| !c.is_alphanumeric()).count() < SHORT_LIVED { "-" } else { "" };
    Some(format!("{before}{common}{more}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_code_reads_back_however_it_is_typed() {
        for _ in 0..50 {
            let code = Code::new(&[]).unwrap();
            let shown = code.shown();
            let words = code.secret();
            let all: HashSet<&str> = list().collect();
            assert!(words.split('-').count() == SHORT_LIVED && words.split('-').all(|word| all.contains(word)));
            for typed in [
                shown.to_string(),
                shown.to_uppercase(),
                shown.replace('-', "  "),
                format!(" {}\n", shown.replace('-', " - ")),
            ] {
                assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
            }
            // Without anything in between the letters count, and they are the same.
            let joined: Code = shown.replace('-', "").parse().unwrap();
            assert_eq!(plain_code(joined.secret()), plain_code(words));
            assert!(!format!("{code:?}").contains(words.split('-').next().unwrap()));
        }
    }

    #[test]
    fn all_words_come_up() {
        // That one of them is missing has a chance below one in a million.
        let drawn = words(200_000).unwrap();
        let seen: HashSet<&str> = drawn.split('-').collect();
        assert_eq!(seen, list().collect());
    }

    #[test]
    fn what_is_no_code_is_told_before_a_try_is_spent() {
        for (typed, why) in [
            ("", NoCode::Number),
            ("otter-window-lamp", NoCode::Number),
            ("0-apple-banana-cherry", NoCode::Number),
            ("100-apple-banana-cherry", NoCode::Number),
            ("17", NoCode::Words),
            ("17-apple", NoCode::Words),
            ("17-aple-outpost-sermon", NoCode::Words),
            ("17-outpost-sermon-muscular-squeegee", NoCode::Words),
        ] {
            assert_eq!(typed.parse::<Code>(), Err(why), "{typed}");
        }
        assert!("17-outpost-sermon-muscular".parse::<Code>().is_ok());
    }

    #[test]
    fn a_number_that_is_taken_is_left_to_others() {
        let taken: Vec<u8> = (1..=MAX_NUMBER).filter(|number| *number != 42).collect();
        for _ in 0..20 {
            assert_eq!(Code::new(&taken).unwrap().number, 42);
        }
        let all: Vec<u8> = (1..=MAX_NUMBER).collect();
        assert!((1..=MAX_NUMBER).contains(&Code::new(&all).unwrap().number));
        let drawn: HashSet<u8> = (0..2000).map(|_| Code::new(&[]).unwrap().number).collect();
        assert_eq!(drawn.len(), usize::from(MAX_NUMBER), "every number is drawn");
    }

    #[test]
    fn words_are_completed_as_far_as_they_are_clear() {
        let done = |typed: &str| completed(typed);
        assert_eq!(done("17-squeeg").as_deref(), Some("17-squeegee-"));
        assert_eq!(done("17 SQUEEG").as_deref(), Some("17 squeegee-"));
        assert_eq!(done("17-squeegee-sermon-muscul").as_deref(), Some("17-squeegee-sermon-muscular"));
        assert_eq!(done("17-zzz"), None);
        assert_eq!((done(""), done("17"), done("17-")), (None, None, None));
        // Several begin so: what they have in common.
        let common = done("17-outp").unwrap();
        assert!(common.starts_with("17-outp") && !common.ends_with('-'), "{common}");
    }
}
