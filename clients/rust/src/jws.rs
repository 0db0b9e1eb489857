//! Taking a signed token apart and reading it, exactly as the service does: the same order, the same
//! bounds, the same verdicts. The signature is the [`crate::keys`]' part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::error::Reason;

/// The longest token that is looked at.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// A token taken apart. Nothing in it is to be trusted until its signature was verified.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    /// What the signature covers.
    pub(crate) covered: &'a str,
    pub(crate) signature: &'a str,
    pub(crate) header: Header,
    payload: &'a str,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    pub(crate) fn parse(token: &'a str) -> Result<Self, Reason> {
        if token.len() > MAX_BYTES {
            return Err(Reason::Malformed);
        }
        let (covered, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, payload) = covered.split_once('.').ok_or(Reason::Malformed)?;
        if payload.contains('.') {
            return Err(Reason::Malformed);
        }
        let header: Header = read(header)?;
        if header.is_critical {
            return Err(Reason::Malformed);
        }
        Ok(Self { covered, signature, header, payload })
    }

    /// Reads the claims, once the signature was verified.
    pub(crate) fn claims(&self) -> Result<Claims, Reason> {
        read(self.payload)
    }
}

fn read<T: de::DeserializeOwned>(part: &str) -> Result<T, Reason> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Malformed)?;
    // Ignored values are not decoded, so the text is checked as a whole.
    let json = std::str::from_utf8(&json).map_err(|_| Reason::Malformed)?;
    serde_json::from_str(json).map_err(|_| Reason::Malformed)
}

/// The part of a header that decides anything.
#[derive(Debug, Default)]
pub(crate) struct Header {
    pub(crate) alg: Option<String>,
    pub(crate) kid: Option<String>,
    typ: Option<String>,
    is_critical: bool,
}

impl Header {
    /// Whether `typ` allows an access token (RFC 9068 section 4). Backends that share a secret also
    /// sign tokens of their own, with `JWT` or none.
    pub(crate) fn may_be_access_token(&self) -> bool {
        let is_shared = self.alg.as_deref() == Some("HS256");
        let Some(typ) = &self.typ else { return is_shared };
        let is = |names: [&str; 2]| names.iter().any(|name| typ.eq_ignore_ascii_case(name));
        is(["at+jwt", "application/at+jwt"]) || (is_shared && is(["jwt", "application/jwt"]))
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JOSE header")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "alg" => header.alg = Some(map.next_value()?),
                "kid" => header.kid = Some(map.next_value()?),
                "typ" => header.typ = Some(map.next_value()?),
                "crit" => {
                    header.is_critical = true;
                    map.next_value::<IgnoredAny>()?;
                }
                // Also a key that the token brings along: nobody looks at it.
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(header)
    }
}

/// The claims of a token whose signature was verified.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) subject: String,
    pub(crate) expires_at: i64,
    /// The later one of `nbf` and `iat`.
    pub(crate) not_before: Option<i64>,
    pub(crate) is_access: bool,
    pub(crate) session_id: Option<String>,
    /// How often the session's access tokens had been declared stale when it was minted.
    pub(crate) epoch: u32,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) further: Map<String, Value>,
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JWT claims set")
    }

    // The last one of a claim that comes twice counts, as in the service.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let (mut subject, mut expires_at, mut issued_at, mut not_before) = (None, None, None, None);
        let (mut kind, mut session_id, mut issuer) = (None, None, None);
        let (mut audience, mut scopes, mut epoch) = (Vec::new(), Vec::new(), 0);
        let mut further = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "sub" => subject = Some(map.next_value()?),
                "exp" => expires_at = Some(map.next_value::<NumericDate>()?.0),
                "iat" => issued_at = Some(map.next_value::<NumericDate>()?.0),
                "nbf" => not_before = Some(map.next_value::<NumericDate>()?.0),
                "type" => kind = Some(map.next_value::<String>()?),
                "jti" => epoch = epoch_of(&map.next_value::<String>()?),
                "sid" => session_id = text(map.next_value()?),
                "iss" => issuer = text(map.next_value()?),
                "aud" => {
                    let one_or_many = map.next_value::<Option<OneOrMany>>()?;
                    audience = one_or_many.map(Into::into).unwrap_or_default();
                }
                "scope" => scopes = texts(map.next_value()?),
                _ => {
                    let claim = map.next_value()?;
                    if is_deeper(&claim, MAX_CLAIM_DEPTH) {
                        return Err(de::Error::custom("claims are nested too deep"));
                    }
                    further.insert(name, claim);
                }
            }
        }
        Ok(Claims {
            subject: subject.ok_or_else(|| de::Error::missing_field("sub"))?,
            expires_at: expires_at.ok_or_else(|| de::Error::missing_field("exp"))?,
            not_before: issued_at.max(not_before),
            is_access: kind.as_deref() == Some("access"),
            session_id,
            epoch,
            issuer,
            audience,
            scopes,
            further,
        })
    }
}

/// Reads a token's epoch from its `jti`: 0 unless that is a UUID of version 4, whose 10th to 12th byte
/// are the epoch.
fn epoch_of(jti: &str) -> u32 {
    const VERSION: usize = 14;
    let parts: Vec<&str> = jti.split('-').collect();
    let is_uuid = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
    if !is_uuid || jti.as_bytes().get(VERSION) != Some(&b'4') {
        return 0;
    }
    let digits = parts[3].get(2..).into_iter().chain(parts[4].get(..4)).collect::<String>();
    u32::from_str_radix(&digits, 16).unwrap_or(0)
}

/// Deeper claims are refused, as by the service, whose answers a gRPC client could not decode.
const MAX_CLAIM_DEPTH: usize = 32;

/// A claim that no library checks, as text. Another type is no reason to refuse a token.
fn text(claim: Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// The values of `scope`: a text, or a list of texts.
fn texts(scope: Value) -> Vec<String> {
    let all = if let Value::Array(all) = scope { all } else { vec![scope] };
    let split = |text: &str| -> Vec<String> {
        text.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect()
    };
    all.iter().filter_map(Value::as_str).flat_map(split).collect()
}

fn is_deeper(claim: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    match claim {
        Value::Array(values) => values.iter().any(|one| is_deeper(one, below)),
        Value::Object(fields) => fields.values().any(|one| is_deeper(one, below)),
        _ => false,
    }
}

/// Seconds since the Unix epoch, of which a fraction is cut off.
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
