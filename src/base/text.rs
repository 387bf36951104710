//! Text that a peer supplied.

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

/// `text` with what could steer or deceive a screen replaced by `\u{…}`.
pub fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            shown.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character has no place on a screen when a peer chose it: controls (C0, C1, DEL),
/// line and paragraph separators, bidirectional controls (UAX #9), zero-width and other invisible
/// format characters, tags and private use.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180e
            | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xffa0
            | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff
            | 0xe000..=0xf8ff | 0xf0000..=0x10ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_deceptive_is_ever_shown(text in any::<String>()) {
            let text = PeerText::new(text);
            prop_assert!(!text.to_string().chars().any(is_deceptive));
            let debug = format!("{text:?}");
            prop_assert!(!debug.chars().any(is_deceptive));
        }
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
