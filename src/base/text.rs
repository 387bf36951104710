//! Text that a peer supplied.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that came from outside: a name, a reason, a version.
///
/// [`fmt::Display`] shows it with every control, bidirectional and zero-width character escaped,
/// so that nothing a peer says can steer a terminal or hide what it says. There is no way to
/// print it raw; [`PeerText::as_raw`] is for comparing and for serialising only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct PeerText(String);

impl PeerText {
    /// Longest text kept, in bytes; what is longer is cut at a character's boundary.
    pub const MAX: usize = 512;

    /// Takes text of any origin and cuts it to [`PeerText::MAX`].
    pub fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        cut(&mut text, Self::MAX);
        Self(text)
    }

    /// The text as it came, for comparing and serialising. Never for a screen or a log.
    pub fn as_raw(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for PeerText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for PeerText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&escape(&self.0))
    }
}

impl fmt::Debug for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", escape(&self.0))
    }
}

/// Cuts `text` to at most `max` bytes, on a character's boundary.
pub fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        text.truncate(end);
    }
}

/// `text` with what could steer or deceive a screen replaced by `\u{…}`. What is escaped already stays as
/// it is. No [`super::path::Name`] or path holds a backslash: of these no two look the same.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !deceives(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_deceptive(c) {
            shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether a text has any character that has no place on a screen: see [`is_deceptive`].
pub fn deceives(text: &str) -> bool {
    // Nearly all that is shown is plain, and there may be much of it.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    !is_plain && text.contains(is_deceptive)
}

/// Whether a character has no place on a screen when a peer chose it: controls (C0, C1, DEL),
/// line and paragraph separators, bidirectional controls (UAX #9), everything that is drawn as
/// nothing (variation selectors, joiners, fillers, tags), private use, and what will never be a character.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff
            | 0xffa0 | 0xfff0..=0xfffb | 0xfffe | 0xffff | 0x13430..=0x1343f | 0x16fe4
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff | 0xe000..=0xf8ff
            | 0xf0000..=0x10ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts in which what deceives is as frequent as what does not.
    fn nasty() -> impl Strategy<Value = String> {
        let deceptive = prop::sample::select(
            (0..=0x10_ffff).filter_map(char::from_u32).filter(|c| is_deceptive(*c)).collect::<Vec<_>>(),
        );
        let plain = prop::sample::select("aZ 0{}u\\/äש雪\u{301}".chars().collect::<Vec<_>>());
        prop::collection::vec(prop_oneof![deceptive, plain, any::<char>()], 0..300).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn nothing_deceptive_is_ever_shown(raw in nasty()) {
            let text = PeerText::new(raw.as_str());
            let shown = text.to_string();
            prop_assert!(!shown.contains(is_deceptive));
            let other = format!("{text:?} {text:>700}");
            prop_assert!(!other.contains(is_deceptive));
            prop_assert!(raw.starts_with(text.as_raw()) && text.as_raw().len() <= PeerText::MAX);
            // Nothing is lost on the way, and the longest escape of a character is `\u{10ffff}` for four bytes.
            prop_assert!(shown.len() <= text.as_raw().len() * 6);
            prop_assert_eq!(escape(&shown), shown.as_str(), "what is escaped twice looks as if it was once");
        }

        /// What a name or a path may hold looks like itself alone.
        #[test]
        fn without_a_backslash_no_two_texts_look_the_same(one in nasty(), other in nasty()) {
            let (one, other) = (one.replace('\\', ""), other.replace('\\', ""));
            prop_assert_eq!(one == other, escape(&one) == escape(&other));
            prop_assert_eq!(unescape(&escape(&one)), one);
        }
    }

    /// What [`escape`] made of a text without a backslash, back again.
    fn unescape(shown: &str) -> String {
        let mut parts = shown.split("\\u{");
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let (number, rest) = part.split_once('}').unwrap();
            text.push(u32::from_str_radix(number, 16).ok().and_then(char::from_u32).unwrap());
            text.push_str(rest);
        }
        text
    }

    /// From the Unicode Character Database 16.0: `Default_Ignorable_Code_Point` and `Bidi_Control` of
    /// DerivedCoreProperties.txt and PropList.txt, as far as they are assigned or reserved.
    #[test]
    fn whatever_unicode_draws_as_nothing_or_turns_around_is_deceptive() {
        const INVISIBLE: [(u32, u32); 18] = [
            (0x00ad, 0x00ad),
            (0x034f, 0x034f),
            (0x061c, 0x061c),
            (0x115f, 0x1160),
            (0x17b4, 0x17b5),
            (0x180b, 0x180f),
            (0x200b, 0x200f),
            (0x2028, 0x202e),
            (0x2060, 0x206f),
            (0x3164, 0x3164),
            (0xfe00, 0xfe0f),
            (0xfeff, 0xfeff),
            (0xffa0, 0xffa0),
            (0xfff0, 0xfff8),
            (0x1bca0, 0x1bca3),
            (0x1d173, 0x1d17a),
            (0xe0000, 0xe0fff),
            (0xfff9, 0xfffb),
        ];
        for (first, last) in INVISIBLE {
            for c in (first..=last).filter_map(char::from_u32) {
                assert!(is_deceptive(c), "U+{:04X}", u32::from(c));
            }
        }
        for c in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
            assert!(is_deceptive(c), "U+{:04X}", u32::from(c));
        }
        assert!(!"Zoë's Übung №3 — שלום, 你好, file_(1).tar.gz 😀~[]{}\\".contains(is_deceptive));
    }

    #[test]
    fn a_terminal_escape_and_an_override_are_made_visible() {
        let text = PeerText::new("a\u{1b}[2Jb\u{202e}fdp.exe");
        assert_eq!(text.to_string(), "a\\u{1b}[2Jb\\u{202e}fdp.exe");
    }

    #[test]
    fn text_is_cut_between_characters() {
        let mut text = "aä".to_owned();
        cut(&mut text, 2);
        assert_eq!(text, "a");
        assert!(PeerText::new("x".repeat(9000)).as_raw().len() == PeerText::MAX);
    }
}
