//! Estimates how random a secret is.

use std::collections::BTreeSet;

/// The minimum estimated randomness of a secret in production. HMAC-SHA256 is meant for 256 bits.
/// Secrets below this limit were typed by a person, not generated.
pub(super) const MIN_RANDOM_BITS: u32 = 96;

/// Estimates the randomness of a secret in bits. A random character counts with the size of its
/// alphabet. A character that continues a sequence, a repetition or a word counts much less.
pub(super) fn estimated_bits(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (alphabet, words) = (alphabet_bits(bytes), words(bytes));
    let (mut bits, mut at) = (0.0_f64, 0);
    while at < bytes.len() {
        let run = sequence(bytes, at).max(repetition(bytes, at));
        if run >= 3 {
            // For the position, the repeated part and the length.
            bits += 10.0;
            at += run;
        } else {
            // English has less than two and a half bits per letter.
            bits += if words[at] { 2.3_f64.min(alphabet) } else { alphabet };
            at += 1;
        }
    }
    let bits = phrase_bits(text).map_or(bits, |of_words| bits.min(of_words));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most a few bits for each byte of a text"
    )]
    let whole = bits as u32;
    whole
}

/// Estimates a text of words between separators, such as `correct horse battery staple`. A word costs
/// what drawing it from a list of 7,776 does (Diceware), and costs it once. `None`: it is no such text.
fn phrase_bits(text: &str) -> Option<f64> {
    const WORD_BITS: f64 = 12.9;
    let parts: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let is_plain = |part: &&str| {
        let rest = part.get(1..).unwrap_or_default();
        let is_name = part.len() <= 14 && part.bytes().all(|b| b.is_ascii_alphabetic());
        (is_name && rest.bytes().all(|b| b.is_ascii_lowercase()))
            || part.bytes().all(|b| b.is_ascii_digit())
    };
    let words = parts.iter().filter(|part| can_be_spoken(part)).count();
    if parts.len() < 3 || words * 2 < parts.len() || !parts.iter().all(is_plain) {
        return None;
    }
    let distinct: BTreeSet<String> = parts.iter().map(|part| part.to_ascii_lowercase()).collect();
    Some(distinct.iter().map(|_| WORD_BITS).sum())
}

fn alphabet_bits(bytes: &[u8]) -> f64 {
    let any = |is: fn(&u8) -> bool| bytes.iter().any(is);
    if bytes.iter().all(u8::is_ascii_digit) {
        return 10.0_f64.log2();
    }
    if bytes.iter().all(u8::is_ascii_hexdigit) {
        return 4.0;
    }
    let mut size = 0.0;
    for (found, more) in [
        (any(u8::is_ascii_lowercase), 26.0),
        (any(u8::is_ascii_uppercase), 26.0),
        (any(u8::is_ascii_digit), 10.0),
        (any(|byte| !byte.is_ascii_alphanumeric()), 4.0),
    ] {
        size += if found { more } else { 0.0 };
    }
    f64::max(size, 2.0).log2()
}

/// Returns the length of a run such as `abcd`, `9876` or `aaaa`, or of a run along a row of the
/// keyboard.
fn sequence(bytes: &[u8], at: usize) -> usize {
    const ROWS: [&[u8]; 4] = [b"qwertyuiop", b"qwertzuiop", b"asdfghjkl", b"yxcvbnm"];
    let step = |a: u8, b: u8| i16::from(b) - i16::from(a);
    let pairs = || bytes[at..].windows(2).map(|pair| (pair[0], pair[1]));
    let first = pairs().next().map(|(a, b)| step(a, b)).filter(|step| step.abs() <= 1);
    let arithmetic =
        first.map_or(0, |first| pairs().take_while(|(a, b)| step(*a, *b) == first).count());
    let on_a_row = |a: u8, b: u8| {
        let pair = [a.to_ascii_lowercase(), b.to_ascii_lowercase()];
        ROWS.iter().any(|row| row.windows(2).any(|keys| keys == pair))
    };
    let row = pairs().take_while(|(a, b)| on_a_row(*a, *b)).count();
    arithmetic.max(row) + 1
}

/// Returns how many of the next bytes repeat an earlier part of the text.
fn repetition(bytes: &[u8], at: usize) -> usize {
    let same = |start: usize| {
        bytes[start..]
            .iter()
            .zip(&bytes[at..])
            .take_while(|(a, b)| a.eq_ignore_ascii_case(b))
            .count()
    };
    (0..at).map(same).max().unwrap_or(0)
}

/// Marks the letters of words: runs of at least four letters that contain vowels as a language does
/// and do not change case as a random text does.
fn words(bytes: &[u8]) -> Vec<bool> {
    let mut marks = vec![false; bytes.len()];
    if bytes.iter().all(u8::is_ascii_hexdigit) {
        return marks;
    }
    let mut start = 0;
    while start < bytes.len() {
        let begins = |at: usize| {
            at > start && bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase()
        };
        let length = (start..bytes.len())
            .take_while(|at| bytes[*at].is_ascii_alphabetic() && !begins(*at))
            .count();
        let run = &bytes[start..start + length];
        if is_word(run) {
            marks[start..start + length].fill(true);
        }
        start += length.max(1);
    }
    if is_camel_case(bytes) {
        return vec![true; bytes.len()];
    }
    // Separators and numbers between words are no more random than the words.
    for at in 1..bytes.len() {
        marks[at] |= marks[at - 1] && !bytes[at].is_ascii_alphabetic();
    }
    marks
}

/// Returns whether a text mostly consists of words such as `TheSecretOfProduction`. A random text
/// changes its case after one or two letters.
fn is_camel_case(bytes: &[u8]) -> bool {
    let letters = bytes.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let words = (1..bytes.len())
        .filter(|at| bytes[*at].is_ascii_uppercase() && !bytes[*at - 1].is_ascii_uppercase())
        .count()
        + 1;
    let changes = bytes
        .windows(2)
        .filter(|pair| pair[0].is_ascii_uppercase() != pair[1].is_ascii_uppercase())
        .count();
    words >= 3 && letters * 10 >= bytes.len() * 7 && letters >= words * 4 && changes <= words * 2
}

fn is_word(run: &[u8]) -> bool {
    let is_vowel = |byte: &u8| b"aeiou".contains(&byte.to_ascii_lowercase());
    let vowels = run.iter().filter(|byte| is_vowel(byte)).count();
    let breaks = |byte: &u8| is_vowel(byte) || byte.eq_ignore_ascii_case(&b'y');
    let consonants = run.split(breaks).map(<[u8]>::len).max().unwrap_or(0);
    let case_changes = run[run.len().min(1)..]
        .windows(2)
        .filter(|pair| pair[0].is_ascii_uppercase() != pair[1].is_ascii_uppercase())
        .count();
    run.len() >= 4 && case_changes == 0 && vowels * 10 >= run.len() * 3 && consonants <= 3
}

/// Returns whether a text has vowels where a word has them.
fn can_be_spoken(text: &str) -> bool {
    let is_vowel = |c: char| "aeiouyAEIOUY".contains(c);
    let vowels = text.chars().filter(|c| is_vowel(*c)).count();
    let consonants = text.split(is_vowel).map(str::len).max().unwrap_or(0);
    text.len() >= 3 && vowels * 4 >= text.len() && consonants <= 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Entropy as _, SeededEntropy};
    use crate::config::secret_text::unresolved_reference;
    use base64::Engine as _;

    /// A text of random characters of an alphabet.
    fn drawn(alphabet: &[u8], length: usize, entropy: &SeededEntropy) -> String {
        let mut bytes = vec![0; length];
        entropy.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
    }

    #[test]
    fn drawn_secrets_are_neither_references_nor_too_weak() {
        let entropy = SeededEntropy::new(7);
        let printable: Vec<u8> = (b'!'..=b'~').collect();
        let engine = base64::engine::general_purpose::STANDARD;
        for _ in 0..2000 {
            let mut bytes = [0; 48];
            entropy.fill(&mut bytes);
            let mut texts = vec![engine.encode(bytes), hex::encode(&bytes[..16])];
            // A base64 text begins with a slash as often as with any other character.
            texts.push(format!("/{}", engine.encode(&bytes[..33])));
            texts.push(drawn(&printable, 48, &entropy));
            texts.push(drawn(b"abcdefghijklmnopqrstuvwxyz", 48, &entropy));
            for text in texts {
                assert_eq!(unresolved_reference(&text), None, "{text}");
                assert!(
                    estimated_bits(&text) >= MIN_RANDOM_BITS,
                    "{text} {}",
                    estimated_bits(&text)
                );
            }
        }
    }

    #[test]
    fn a_drawn_phrase_of_eight_words_is_random_enough() {
        let phrase = "cinema-mural-tepid-gravel-onward-pelican-sinister-volcano";
        assert!(estimated_bits(phrase) >= MIN_RANDOM_BITS, "{}", estimated_bits(phrase));
    }

    #[test]
    fn typed_secrets_have_little_randomness() {
        for text in [
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "0123456789abcdef0123456789abcdef",
            "qwertyuiopasdfghjklyxcvbnm1234567890",
            "token-authority-production-2026-secret",
            "ThisIsTheSecretOfOurProductionService",
            "correcthorsebatterystaplecorrecthorse",
            "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbcccccccc",
            "MyCompanyName-JWT-Secret-2026-MyCompany!",
            "secret1secret2secret3secret4secret5",
            "correct horse battery staple correct horse",
            "conjur/authn/jwt-secret-of-token-authority",
            "Our Very Own Signing Secret Of Production Of Production",
        ] {
            assert!(estimated_bits(text) < MIN_RANDOM_BITS, "{text}: {}", estimated_bits(text));
        }
    }
}
