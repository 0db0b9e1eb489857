//! A watcher's cursor: an opaque text with which it may resume at any replica.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;

/// A watcher's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cursor {
    /// No position: the watcher needs a snapshot.
    Beginning,
    /// The watcher knows every revocation with a position before `complete_to`, and every entry of
    /// that log up to `number`.
    At { complete_to: Timestamp, log: u64, number: u64 },
}

const BEGINNING: u8 = 0;
const AT: u8 = 1;

impl Cursor {
    pub(super) fn encode(self) -> String {
        match self {
            Self::Beginning => URL_SAFE_NO_PAD.encode([BEGINNING]),
            Self::At { complete_to, log, number } => {
                let mut bytes = [AT; 25];
                bytes[1..9].copy_from_slice(&complete_to.as_micros().to_be_bytes());
                bytes[9..17].copy_from_slice(&log.to_be_bytes());
                bytes[17..].copy_from_slice(&number.to_be_bytes());
                URL_SAFE_NO_PAD.encode(bytes)
            }
        }
    }

    /// Parses a cursor. The empty text is the beginning. Returns `None` for any other foreign text.
    pub(super) fn decode(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Beginning);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (kind, rest) = bytes.split_first()?;
        let (complete_to, rest) = match (*kind, rest.len()) {
            (BEGINNING, 0) => return Some(Self::Beginning),
            (AT, 24) => rest.split_first_chunk::<8>()?,
            _ => return None,
        };
        let (log, number) = rest.split_first_chunk::<8>()?;
        Some(Self::At {
            complete_to: Timestamp::from_micros(i64::from_be_bytes(*complete_to)),
            log: u64::from_be_bytes(*log),
            number: u64::from_be_bytes(number.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_parsed_from_its_text_and_other_texts_are_refused() {
        let complete_to = Timestamp::from_micros(-7);
        let at = Cursor::At { complete_to, log: u64::MAX - 1, number: 9 };
        for cursor in [at, Cursor::Beginning] {
            assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }
        assert_eq!(Cursor::decode(""), Some(Cursor::Beginning));
        for bad in ["x", "!", "AQ", "Ag", "AAA", &at.encode()[1..], &format!("{}AA", at.encode())] {
            assert_eq!(Cursor::decode(bad), None, "{bad}");
        }
    }
}
