//! The access token's claims (RFC 7519, RFC 9068).

use std::fmt;
use std::time::Duration;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

use super::grant::{Grant, is_too_deep};
use super::id::{AccessTokenId, SessionId, UserId};
use super::jws::Text;
use super::lenient::Lenient;

/// The `type` claim of an access token. It tells an access token from any other token that is
/// signed with the same key.
pub const TYPE: &str = "access";

/// The claims of an access token to be minted.
#[derive(Debug)]
pub struct NewClaims<'a> {
    /// `sub`.
    pub user_id: &'a UserId,
    /// `sid`.
    pub session_id: SessionId,
    /// `jti`.
    pub id: AccessTokenId,
    /// `iat`, in seconds.
    pub issued_at: i64,
    /// `exp`, in seconds.
    pub expires_at: i64,
    /// `iss`. `None`: the token has no such claim.
    pub issuer: Option<&'a str>,
    /// `aud`, `scope` and further claims.
    pub grant: &'a Grant,
}

impl Serialize for NewClaims<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sub", self.user_id.as_str())?;
        map.serialize_entry("iat", &self.issued_at)?;
        map.serialize_entry("exp", &self.expires_at)?;
        map.serialize_entry("type", TYPE)?;
        map.serialize_entry("jti", &format_args!("{}", self.id))?;
        map.serialize_entry("sid", &format_args!("{}", self.session_id))?;
        if let Some(issuer) = self.issuer {
            map.serialize_entry("iss", issuer)?;
        }
        match self.grant.audience() {
            [] => {}
            [one] => map.serialize_entry("aud", one)?,
            several => map.serialize_entry("aud", several)?,
        }
        if !self.grant.scopes().is_empty() {
            map.serialize_entry("scope", &self.grant.scopes().join(" "))?;
        }
        for (name, value) in self.grant.claims() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The claims of a token whose signature was verified.
#[derive(Debug, Default, PartialEq)]
pub struct Claims {
    /// `sub`. A token without it is malformed.
    pub subject: String,
    /// `exp`, in seconds. A token without it is malformed.
    pub expires_at: i64,
    /// `iat`, in seconds.
    pub issued_at: Option<i64>,
    /// `nbf`, in seconds.
    pub not_before: Option<i64>,
    /// `type`.
    pub kind: Option<String>,
    /// `jti`.
    pub id: Option<String>,
    /// `sid`.
    pub session_id: Option<String>,
    /// `iss`.
    pub issuer: Option<String>,
    /// `aud`, as a list.
    pub audience: Vec<String>,
    /// `scope`, split at the spaces.
    pub scopes: Vec<String>,
    /// All other claims.
    pub further: Map<String, Value>,
}

/// The position of a moment relative to a token's validity period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The token is valid at that moment.
    Open,
    /// The validity period begins later.
    NotYet,
    /// The validity period has ended.
    Over,
}

impl Claims {
    /// Reads the payload of a token whose signature was verified.
    ///
    /// # Errors
    /// Returns [`Malformed`](super::jws::Malformed) if the payload is not a JSON object, `sub` or
    /// `exp` is missing, or a claim that we read has a type that its RFC does not allow.
    pub fn parse(payload: &[u8]) -> Result<Self, super::jws::Malformed> {
        serde_json::from_slice(payload).map_err(|_| super::jws::Malformed)
    }

    /// Compares the token's validity period with `now`, in seconds, exactly as PyJWT, jose and
    /// jsonwebtoken do: the token has expired *at* `exp`, and `nbf` and `iat` must not lie in the
    /// future.
    #[must_use]
    pub fn window(&self, now: i64, leeway: Duration) -> Window {
        let leeway = i64::try_from(leeway.as_secs()).unwrap_or(i64::MAX);
        if now.saturating_sub(leeway) >= self.expires_at {
            return Window::Over;
        }
        let latest = now.saturating_add(leeway);
        let not_yet = |from: Option<i64>| from.is_some_and(|from| from > latest);
        if not_yet(self.not_before) || not_yet(self.issued_at) {
            return Window::NotYet;
        }
        Window::Open
    }

    /// Returns whether `aud` names `audience`.
    #[must_use]
    pub fn is_meant_for(&self, audience: &str) -> bool {
        self.audience.iter().any(|one| one == audience)
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JWT claims set")
    }

    // If a claim occurs twice, the last one counts (RFC 7519 section 4 allows it), because PyJWT
    // and JavaScript's JSON.parse do the same.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Claims::default();
        let (mut subject, mut expires_at) = (None, None);
        while let Some(Text(name)) = map.next_key()? {
            match &*name {
                "sub" => subject = Some(map.next_value()?),
                "exp" => expires_at = Some(map.next_value::<NumericDate>()?.0),
                "iat" => claims.issued_at = Some(map.next_value::<NumericDate>()?.0),
                "nbf" => claims.not_before = Some(map.next_value::<NumericDate>()?.0),
                "type" => claims.kind = Some(map.next_value()?),
                "jti" => claims.id = Some(map.next_value()?),
                "sid" => claims.session_id = map.next_value::<Lenient<'de>>()?.text(),
                "iss" => claims.issuer = map.next_value::<Lenient<'de>>()?.text(),
                "aud" => {
                    let audience = map.next_value::<Option<OneOrMany>>()?;
                    claims.audience = audience.map(Into::into).unwrap_or_default();
                }
                "scope" => claims.scopes = map.next_value::<Lenient<'de>>()?.scopes(),
                _ => {
                    let claim = map.next_value()?;
                    if is_too_deep(&claim) {
                        return Err(de::Error::custom("claims are nested too deep"));
                    }
                    claims.further.insert(name.into_owned(), claim);
                }
            }
        }
        claims.subject = subject.ok_or_else(|| de::Error::missing_field("sub"))?;
        claims.expires_at = expires_at.ok_or_else(|| de::Error::missing_field("exp"))?;
        Ok(claims)
    }
}

/// Seconds since the Unix epoch (RFC 7519 section 2). A fraction is cut off.
struct NumericDate(i64);

impl<'de> Deserialize<'de> for NumericDate {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction is cut off, a huge date saturates"
    )]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let whole = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64));
        whole.map(Self).ok_or_else(|| de::Error::custom("not a NumericDate"))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Vec<String> {
    fn from(audience: OneOrMany) -> Self {
        match audience {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::token::id::{Epoch, Generation};

    fn parse(json: &str) -> Result<Claims, super::super::jws::Malformed> {
        Claims::parse(json.as_bytes())
    }

    #[test]
    fn reads_what_it_wrote() {
        let user_id = UserId::new("user-1").unwrap();
        let further = serde_json::from_str(r#"{"role":"admin"}"#).unwrap();
        let grant = Grant::new(vec!["a".into(), "b".into()], vec!["r".into(), "w".into()], further)
            .unwrap();
        let claims = NewClaims {
            user_id: &user_id,
            session_id: SessionId::new(Timestamp::from_seconds(1), [0; 10]),
            id: AccessTokenId::new(Generation::FIRST, Epoch::FIRST, [0; 12]),
            issued_at: 100,
            expires_at: 1900,
            issuer: Some("https://issuer"),
            grant: &grant,
        };
        let read = Claims::parse(&serde_json::to_vec(&claims).unwrap()).unwrap();
        assert_eq!(read.subject, "user-1");
        assert_eq!((read.issued_at, read.expires_at), (Some(100), 1900));
        assert_eq!(read.kind.as_deref(), Some("access"));
        assert_eq!(read.audience, ["a", "b"]);
        assert_eq!(read.scopes, ["r", "w"]);
        assert_eq!(read.further["role"], "admin");
    }

    #[test]
    fn optional_claims_are_left_out() {
        let claims = NewClaims {
            user_id: &UserId::new("u").unwrap(),
            session_id: SessionId::new(Timestamp::from_seconds(1), [0; 10]),
            id: AccessTokenId::new(Generation::FIRST, Epoch::FIRST, [0; 12]),
            issued_at: 1,
            expires_at: 2,
            issuer: None,
            grant: &Grant::default(),
        };
        let json: Map<String, Value> =
            serde_json::from_slice(&serde_json::to_vec(&claims).unwrap()).unwrap();
        let names: Vec<_> = json.keys().map(String::as_str).collect();
        let mut expected = ["sub", "iat", "exp", "type", "jti", "sid"];
        expected.sort_unstable();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_token_expires_at_exp_and_begins_at_nbf() {
        let claims = parse(r#"{"sub":"u","exp":200,"iat":100,"nbf":110}"#).unwrap();
        let window = |now, leeway| claims.window(now, Duration::from_secs(leeway));
        assert_eq!(window(109, 0), Window::NotYet);
        assert_eq!(window(110, 0), Window::Open);
        assert_eq!(window(199, 0), Window::Open);
        assert_eq!(window(200, 0), Window::Over);
        assert_eq!(window(200, 1), Window::Open);
        assert_eq!(window(105, 5), Window::Open);
        assert_eq!(window(50, 0), Window::NotYet);
    }

    #[test]
    fn claims_that_no_verifier_checks_may_have_any_type() {
        let parse = |claims: &str| parse(&format!(r#"{{"sub":"u","exp":1,{claims}}}"#)).unwrap();
        assert_eq!(parse(r#""aud":null"#).audience, Vec::<String>::new());
        assert_eq!(parse(r#""scope":["a","b c",7,null]"#).scopes, ["a", "b", "c"]);
        assert_eq!(parse(r#""scope":" a  b ""#).scopes, ["a", "b"]);
        for other in ["null", "true", "7", "1.5", "{}", "[]", r#"{"a":["b"]}"#] {
            let claims = parse(&format!(r#""scope":{other},"iss":{other},"sid":{other}"#));
            let number = (other == "7").then(|| "7".to_owned());
            assert_eq!(claims.issuer, number, "{other}");
            assert_eq!(claims.session_id, number, "{other}");
        }
        assert_eq!(parse(r#""sid":-3"#).session_id.as_deref(), Some("-3"));
    }

    #[test]
    fn claims_that_a_client_cannot_decode_are_malformed() {
        let nested = |open: &str, close: &str, levels: usize| {
            let x = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            parse(&format!(r#"{{"sub":"u","exp":1,"x":{x}}}"#)).is_ok()
        };
        for (open, close) in [("[", "]"), (r#"{"y":"#, "}"), (r#"[{"y":"#, "}]")] {
            let levels = open.matches(['[', '{']).count();
            assert!(nested(open, close, 31 / levels), "{open}");
            assert!(!nested(open, close, 40 / levels), "{open}");
            assert!(!nested(open, close, 60), "{open}");
        }
    }

    #[test]
    fn wrong_types_are_malformed_and_the_last_of_two_counts() {
        for bad in [
            "[]",
            "{}",
            r#"{"sub":"u"}"#,
            r#"{"exp":1}"#,
            r#"{"sub":1,"exp":1}"#,
            r#"{"sub":"u","exp":"1"}"#,
            r#"{"sub":"u","exp":null}"#,
            r#"{"sub":"u","exp":1,"nbf":"9"}"#,
            r#"{"sub":"u","exp":1,"aud":5}"#,
            r#"{"sub":"u","exp":1} x"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let deep = format!(r#"{{"sub":"u","exp":1,"x":{}{}}}"#, "[".repeat(999), "]".repeat(999));
        assert!(parse(&deep).is_err());
        assert_eq!(parse(r#"{"sub":"a","sub":"b","exp":1,"exp":2.9}"#).unwrap().subject, "b");
        assert_eq!(parse(r#"{"sub":"a","exp":1e300}"#).unwrap().expires_at, i64::MAX);
    }
}
