//! Claims whose type is no reason to refuse a token.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A claim that the usual verifiers in backends do not check. A value of the wrong type is
/// therefore no reason to refuse the token.
pub(super) enum Lenient<'a> {
    Text(Cow<'a, str>),
    List(Vec<Value>),
    Ignored,
}

impl Lenient<'_> {
    /// The claim as text. `None`: it has another type, or is null.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.into_owned()),
            Self::List(_) | Self::Ignored => None,
        }
    }

    /// The values of `scope`: a text (RFC 8693 section 4.2), or a list of texts.
    pub(super) fn scopes(self) -> Vec<String> {
        let split = |scope: &str| -> Vec<String> {
            scope.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect()
        };
        match self {
            Self::Text(text) => split(&text),
            Self::List(values) => values.iter().filter_map(Value::as_str).flat_map(split).collect(),
            Self::Ignored => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for Lenient<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor)
    }
}

struct LenientVisitor;

impl<'de> Visitor<'de> for LenientVisitor {
    type Value = Lenient<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Lenient<'de>, E> {
        Ok(Lenient::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Lenient<'de>, E> {
        Ok(Lenient::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Lenient<'de>, E> {
        Ok(Lenient::Text(Cow::Owned(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Lenient<'de>, E> {
        Ok(Lenient::Text(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Lenient<'de>, E> {
        Ok(Lenient::Ignored)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Lenient<'de>, E> {
        Ok(Lenient::Ignored)
    }

    fn visit_unit<E>(self) -> Result<Lenient<'de>, E> {
        Ok(Lenient::Ignored)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lenient<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Lenient::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lenient<'de>, A::Error> {
        // Decode the members, so that what is not JSON is still malformed.
        while map.next_entry::<String, Value>()?.is_some() {}
        Ok(Lenient::Ignored)
    }
}
