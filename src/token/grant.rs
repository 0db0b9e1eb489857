//! The audience, scopes and claims that a login asked for, which its access tokens carry.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::field::{InvalidField, bounded};

/// The claims that a caller may not set. This service sets them or gives them a meaning (RFC 7519
/// section 4.1, RFC 9068 section 2.2), or they bind a token to a key or let it act for another
/// user (RFC 7800 section 3, RFC 8693 section 4).
pub const REGISTERED_CLAIMS: [&str; 13] = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "scope", "type", "cnf", "act",
    "may_act",
];

const MAX_AUDIENCES: usize = 16;
const MAX_SCOPES: usize = 64;
/// How deep claims may be nested. Protobuf decoders stop at 100 nested messages, and each level takes
/// three. With a higher value, clients could not read the answer to a validation.
pub const MAX_CLAIM_DEPTH: usize = 32;
const MAX_CLAIM_BYTES: usize = 4096;

/// The audience, scopes and further claims of a session's access tokens.
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
    /// Checks the values that a login asks for.
    ///
    /// # Errors
    /// Returns [`InvalidField`] if there are more than 16 audiences or 64 scopes, one of them is
    /// not 1 to 255 bytes (scopes: RFC 6749 section 3.3), a claim's name is registered, or the
    /// claims' JSON is longer than 4,096 bytes.
    pub fn new(
        audience: Vec<String>,
        scopes: Vec<String>,
        claims: Map<String, Value>,
    ) -> Result<Self, InvalidField> {
        let rule = "must be at most 16 values of 1 to 255 bytes without control characters";
        if audience.len() > MAX_AUDIENCES {
            return Err(InvalidField::new("audience", rule));
        }
        for one in &audience {
            bounded("audience", one, 255, rule)?;
        }
        if scopes.len() > MAX_SCOPES || !scopes.iter().all(|scope| is_scope_token(scope)) {
            return Err(InvalidField::new(
                "scopes",
                "must be at most 64 scope tokens (RFC 6749 section 3.3) of 1 to 255 bytes",
            ));
        }
        check_claims(&claims)?;
        Ok(Self { audience, scopes, claims })
    }

    /// The access token's `aud`. Empty: no such claim.
    #[must_use]
    pub fn audience(&self) -> &[String] {
        &self.audience
    }

    /// The access token's `scope`. Empty: no such claim.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The further claims.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// A part of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantField {
    /// The audience (`aud`).
    Audience,
    /// The scopes (`scope`).
    Scopes,
    /// The further claims.
    Claims,
}

impl GrantField {
    /// All parts.
    pub const ALL: [Self; 3] = [Self::Audience, Self::Scopes, Self::Claims];

    /// Its name in the contract and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::Scopes => "scopes",
            Self::Claims => "claims",
        }
    }
}

/// A change of a grant. `None` leaves a part as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GrantChange {
    /// The new audience.
    pub audience: Option<Vec<String>>,
    /// The new scopes.
    pub scopes: Option<Vec<String>>,
    /// The new claims, in place of all earlier ones.
    pub claims: Option<Map<String, Value>>,
}

impl GrantChange {
    /// Checks the new values by the rules for a login.
    ///
    /// # Errors
    /// Returns [`InvalidField`] if [`Grant::new`] would refuse one of them.
    pub fn checked(self) -> Result<Self, InvalidField> {
        let new = self.clone();
        let (audience, scopes) = (new.audience.unwrap_or_default(), new.scopes.unwrap_or_default());
        Grant::new(audience, scopes, new.claims.unwrap_or_default()).map(|_| self)
    }

    /// Returns the parts that change.
    #[must_use]
    pub fn fields(&self) -> Vec<GrantField> {
        let is_changed = |field: &GrantField| match field {
            GrantField::Audience => self.audience.is_some(),
            GrantField::Scopes => self.scopes.is_some(),
            GrantField::Claims => self.claims.is_some(),
        };
        GrantField::ALL.into_iter().filter(is_changed).collect()
    }

    /// Returns whether nothing changes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.audience.is_none() && self.scopes.is_none() && self.claims.is_none()
    }

    /// Applies the change.
    pub fn apply(&self, grant: &mut Grant) {
        if let Some(audience) = &self.audience {
            grant.audience.clone_from(audience);
        }
        if let Some(scopes) = &self.scopes {
            grant.scopes.clone_from(scopes);
        }
        if let Some(claims) = &self.claims {
            grant.claims.clone_from(claims);
        }
    }
}

fn is_scope_token(scope: &str) -> bool {
    (1..=255).contains(&scope.len())
        && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

/// Returns whether a claim is nested deeper than [`MAX_CLAIM_DEPTH`].
#[must_use]
pub fn is_too_deep(claim: &Value) -> bool {
    exceeds(claim, MAX_CLAIM_DEPTH)
}

fn exceeds(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(values) => values.iter().any(|one| exceeds(one, below)),
        Value::Object(fields) => fields.values().any(|one| exceeds(one, below)),
        _ => false,
    }
}

fn check_claims(claims: &Map<String, Value>) -> Result<(), InvalidField> {
    if claims.keys().any(|name| REGISTERED_CLAIMS.contains(&name.as_str())) {
        return Err(InvalidField::new("claims", "may not name a registered claim"));
    }
    if claims.keys().any(String::is_empty) {
        return Err(InvalidField::new("claims", "may not have an empty name"));
    }
    if claims.values().any(is_too_deep) {
        return Err(InvalidField::new("claims", "must be at most 32 levels deep"));
    }
    let size = serde_json::to_vec(claims).map_or(usize::MAX, |json| json.len());
    if size > MAX_CLAIM_BYTES {
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
    fn depth_is_bounded() {
        let nested = |open: &str, close: &str, levels: usize| {
            let json = format!(r#"{{"x":{}1{}}}"#, open.repeat(levels), close.repeat(levels));
            Grant::new(vec![], vec![], claims(&json))
        };
        for (open, close) in [("[", "]"), (r#"{"y":"#, "}")] {
            assert!(nested(open, close, MAX_CLAIM_DEPTH - 1).is_ok(), "{open}");
            assert!(nested(open, close, MAX_CLAIM_DEPTH).is_err(), "{open}");
        }
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
