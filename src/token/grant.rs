//! What a login asked to be carried in its access tokens.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::field::{InvalidField, bounded};

/// The claims that this service sets or gives a meaning to; a caller may not name them
/// (RFC 7519 section 4.1, RFC 9068 section 2.2), or by which a token would be bound to a key or
/// speak for another user (RFC 7800 section 3, RFC 8693 section 4).
pub const REGISTERED_CLAIMS: [&str; 13] = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "scope", "type", "cnf", "act",
    "may_act",
];

const MOST_AUDIENCES: usize = 16;
const MOST_SCOPES: usize = 64;
const MOST_CLAIM_BYTES: usize = 4096;

/// What every access token of a session carries beside the claims that this service sets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    #[serde(default, rename = "aud", skip_serializing_if = "Vec::is_empty")]
    audience: Vec<String>,
    #[serde(default, rename = "scope", skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    claims: Map<String, Value>,
}

impl Grant {
    /// Takes what a login asks for.
    ///
    /// # Errors
    /// Where there are more than 16 audiences or 64 scopes, one of them is not 1 to 255 bytes
    /// (scopes: RFC 6749 section 3.3), a claim's name is taken, or the claims' JSON is longer
    /// than 4,096 bytes.
    pub fn new(
        audience: Vec<String>,
        scopes: Vec<String>,
        claims: Map<String, Value>,
    ) -> Result<Self, InvalidField> {
        let rule = "must be at most 16 values of 1 to 255 bytes without control characters";
        if audience.len() > MOST_AUDIENCES {
            return Err(InvalidField::new("audience", rule));
        }
        for one in &audience {
            bounded("audience", one, 255, rule)?;
        }
        if scopes.len() > MOST_SCOPES || !scopes.iter().all(|scope| is_scope_token(scope)) {
            return Err(InvalidField::new(
                "scopes",
                "must be at most 64 scope tokens (RFC 6749 section 3.3) of 1 to 255 bytes",
            ));
        }
        check_claims(&claims)?;
        Ok(Self { audience, scopes, claims })
    }

    /// The access token's `aud`; empty: none.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// The access token's `scope`; empty: none.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// Further claims.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

fn is_scope_token(scope: &str) -> bool {
    (1..=255).contains(&scope.len())
        && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

fn check_claims(claims: &Map<String, Value>) -> Result<(), InvalidField> {
    if claims.keys().any(|name| REGISTERED_CLAIMS.contains(&name.as_str())) {
        return Err(InvalidField::new("claims", "may not name a registered claim"));
    }
    if claims.keys().any(String::is_empty) {
        return Err(InvalidField::new("claims", "may not have an empty name"));
    }
    let size = serde_json::to_vec(claims).map_or(usize::MAX, |json| json.len());
    if size > MOST_CLAIM_BYTES {
        return Err(InvalidField::new("claims", "must be at most 4,096 bytes as JSON"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn registered_claims_are_refused() {
        for name in REGISTERED_CLAIMS {
            let asked = claims(&format!(r#"{{"{name}": 1}}"#));
            assert!(Grant::new(vec![], vec![], asked).is_err(), "{name}");
        }
        assert!(Grant::new(vec![], vec![], claims(r#"{"role": {"sub": 1}}"#)).is_ok());
    }

    #[test]
    fn sizes_are_bounded() {
        let long = claims(&format!(r#"{{"a": "{}"}}"#, "x".repeat(5000)));
        assert!(Grant::new(vec![], vec![], long).is_err());
        assert!(Grant::new(vec!["a".into(); 17], vec![], Map::new()).is_err());
        assert!(Grant::new(vec![String::new()], vec![], Map::new()).is_err());
        assert!(Grant::new(vec![], vec!["a b".into()], Map::new()).is_err());
        assert!(Grant::new(vec![], vec!["read:all".into()], Map::new()).is_ok());
    }

    #[test]
    fn survives_its_stored_form() {
        let grant =
            Grant::new(vec!["api".into()], vec!["read".into()], claims(r#"{"n": [1, null]}"#))
                .unwrap();
        let stored = serde_json::to_string(&grant).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&stored).unwrap(), grant);
        assert_eq!(serde_json::to_string(&Grant::default()).unwrap(), "{}");
    }
}
