//! Text from outside, made harmless once on entry.
//!
//! Terminals obey what they print. Whatever people or other systems name things passes here before it is stored: C0
//! and C1 controls, bidirectional overrides, zero-width and tag characters are dropped, stacks of combining marks cut.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// Longest text kept, in characters: enough for a reason or a description.
pub const MAX_TEXT: usize = 500;

/// Most combining marks kept on one character.
const MAX_MARKS: usize = 2;

/// `text` without anything that could move the cursor, hide or reorder text; line breaks and tabs become spaces; cut
/// at [`MAX_TEXT`] characters with an ellipsis.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    harmless(text, MAX_TEXT)
}

/// [`clean`] without the cut: for what is printed whole.
#[must_use]
pub fn clean_whole(text: &str) -> Cow<'_, str> {
    harmless(text, usize::MAX)
}

fn harmless(text: &str, most: usize) -> Cow<'_, str> {
    if text.is_ascii() && text.len() <= most && text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(MAX_TEXT * 4));
    let mut kept = 0;
    for grapheme in text.graphemes(true) {
        let mut marks = 0;
        for c in grapheme.chars() {
            let c = if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c };
            if is_hostile(c) {
                continue;
            }
            if c.width() == Some(0) {
                marks += 1;
                // A mark without a base would sit on whatever the screen shows to its left.
                if marks > MAX_MARKS || out.is_empty() {
                    continue;
                }
            }
            if kept == most {
                out.push('…');
                return Cow::Owned(out);
            }
            kept += 1;
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// [`clean`], trimmed, owned: for names and reasons.
#[must_use]
pub fn clean_line(text: &str) -> String {
    clean(text).trim().to_owned()
}

/// Whether a character can move the cursor, hide or reorder text.
#[must_use]
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_survives() {
        assert_eq!(clean("a\u{1b}]0;owned\u{7}b"), "a]0;ownedb");
        assert_eq!(clean("x\u{9b}2J"), "x2J");
        assert_eq!(clean("safe\u{202e}evil"), "safeevil");
        assert_eq!(clean("ze\u{200b}ro"), "zero");
        assert_eq!(clean("tag\u{e0041}s"), "tags");
        assert_eq!(clean("two\nlines"), "two lines");
        assert_eq!(clean("e\u{301}\u{301}\u{301}\u{301}"), "e\u{301}\u{301}");
        assert_eq!(clean(&"x".repeat(600)).chars().count(), 501);
    }

    proptest! {
        #[test]
        fn cleaning_twice_changes_nothing_and_no_control_is_left(text in "\\PC*|.*") {
            let once = clean(&text).into_owned();
            prop_assert!(!once.chars().any(char::is_control));
            prop_assert!(once.chars().count() <= MAX_TEXT + 1);
        }
    }
}
