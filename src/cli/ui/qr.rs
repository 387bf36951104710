//! A text for a phone's camera.

use fast_qr::QRBuilder;

/// The lines of a QR code (ISO/IEC 18004) of this text, in half blocks with a margin around; none where it is
/// too long for one.
pub fn lines(text: &str) -> Vec<String> {
    let drawn = QRBuilder::new(text).build();
    drawn.map(|code| code.to_str().lines().map(str::to_owned).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_is_drawn_and_one_that_is_too_long_is_not() {
        let lines = lines("17-otter-window-lamp");
        // 25 by 25 modules, two rows in each line, and the margin.
        assert!((13..=17).contains(&lines.len()), "{}", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{lines:#?}");
        assert!(lines.iter().all(|line| line.chars().all(|c| " █▀▄".contains(c))), "{lines:#?}");
        assert!(super::lines(&"x".repeat(4000)).is_empty());
    }
}
