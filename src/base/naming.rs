//! What a machine or a person may be called: names that are typed in targets and shown on screens.

use super::text::{cut, is_deceptive};

/// Longest name of a node or an account, in bytes.
pub const MAX_NAME: usize = 64;

/// What a name must be, for a person.
pub const RULE: &str = "a name has 1 to 64 bytes and none of ~ : , / \\ [ ] @ or control characters";

/// Whether a name can be typed as part of a target and means nothing else there.
pub fn is_good(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME && name.trim() == name && !name.contains(is_odd)
}

/// A text that was meant for something else made a good name, where anything of it is left.
pub fn cleaned(text: &str) -> Option<String> {
    let mut name = text.trim().replace(is_odd, "-");
    cut(&mut name, MAX_NAME);
    let name = name.trim().to_owned();
    is_good(&name).then_some(name)
}

fn is_odd(c: char) -> bool {
    is_deceptive(c) || matches!(c, '~' | ':' | ',' | '/' | '\\' | '[' | ']' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_in_a_target_are_refused_or_cleaned() {
        for bad in ["", " ", "a ", "a~b", "a:b", "a,b", "a/b", "a\\b", "[a]", "@a", "a\u{202e}b", &"x".repeat(65)] {
            assert!(!is_good(bad), "{bad:?}");
        }
        assert!(is_good("Anna-Lena Müller"));
        assert_eq!(cleaned(" DOMAIN\\anna ").as_deref(), Some("DOMAIN-anna"));
        assert_eq!(cleaned(&"ä".repeat(60)).unwrap().len(), MAX_NAME);
        assert_eq!(cleaned(" "), None);
    }
}
