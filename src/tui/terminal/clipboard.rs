//! The clipboard of the terminal at the far end of an SSH connection: OSC 52, with pass-through for tmux and screen.
//!
//! Makes bytes from text and what the environment says of multiplexers; writes nothing itself.

use std::fmt::Write as _;

/// Longest text put on the clipboard, in bytes: terminals cut or drop what is longer than about 100 kB in Base64.
const MAX_COPY: usize = 70_000;

/// Longest piece of a pass-through sequence that GNU screen takes.
const SCREEN_CHUNK: usize = 700;

/// What stands between the program and the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Multiplexer {
    /// Nothing that is known.
    #[default]
    None,
    /// tmux.
    Tmux,
    /// GNU screen.
    Screen,
}

impl Multiplexer {
    /// As the environment variables `TMUX`, `STY` and `TERM` tell.
    pub(crate) fn detect(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| variable(name).is_some_and(|value| !value.is_empty());
        if set("TMUX") {
            Self::Tmux
        } else if set("STY") || variable("TERM").is_some_and(|term| term.starts_with("screen")) {
            Self::Screen
        } else {
            Self::None
        }
    }
}

/// The bytes that put `text` on the clipboard, or `None` where it is too long. Control characters other than line
/// breaks and tabs are left out: what is pasted into a shell later must not drive it.
pub(crate) fn copy(text: &str, through: Multiplexer) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|&c| matches!(c, '\n' | '\t') || !c.is_control()).collect();
    if text.len() > MAX_COPY {
        return None;
    }
    let plain = format!("\u{1b}]52;c;{}\u{7}", base64(text.as_bytes()));
    let mut out = String::new();
    match through {
        Multiplexer::None => out.push_str(&plain),
        Multiplexer::Tmux => {
            // The first works where `set-clipboard` is on, the second where `allow-passthrough` is.
            out.push_str(&plain);
            let _ = write!(out, "\u{1b}Ptmux;{}\u{1b}\\", plain.replace('\u{1b}', "\u{1b}\u{1b}"));
        }
        Multiplexer::Screen => {
            // Base64 is ASCII: cutting at any byte is fine.
            for piece in plain.as_bytes().chunks(SCREEN_CHUNK) {
                let _ = write!(out, "\u{1b}P{}\u{1b}\\", String::from_utf8_lossy(piece));
            }
        }
    }
    Some(out.into_bytes())
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            if i <= group.len() {
                out.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn the_sequence_is_wrapped_for_multiplexers() {
        assert_eq!(copy("foo", Multiplexer::None).unwrap(), b"\x1b]52;c;Zm9v\x07");
        assert_eq!(
            copy("foo", Multiplexer::Tmux).unwrap(),
            b"\x1b]52;c;Zm9v\x07\x1bPtmux;\x1b\x1b]52;c;Zm9v\x07\x1b\\"
        );
        assert_eq!(copy("foo", Multiplexer::Screen).unwrap(), b"\x1bP\x1b]52;c;Zm9v\x07\x1b\\");
    }

    #[test]
    fn what_drives_a_shell_or_is_too_long_is_not_copied() {
        assert_eq!(copy("f\u{1b}o\u{3}o", Multiplexer::None).unwrap(), b"\x1b]52;c;Zm9v\x07");
        assert_eq!(copy(&"x".repeat(MAX_COPY + 1), Multiplexer::None), None);
    }

    #[test]
    fn multiplexers_are_known_by_their_variables() {
        let with = |name: &'static str, value: &'static str| {
            Multiplexer::detect(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(with("TMUX", "/tmp/tmux-1000/default,1,0"), Multiplexer::Tmux);
        assert_eq!(with("STY", "123.pts-0"), Multiplexer::Screen);
        assert_eq!(with("TERM", "screen-256color"), Multiplexer::Screen);
        assert_eq!(with("TERM", "xterm-256color"), Multiplexer::None);
        assert_eq!(with("TMUX", ""), Multiplexer::None);
    }
}
