//! Conversions between the contract's messages and the domain's types.

use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtoValue};
use serde_json::{Map, Number, Value};

use crate::authority::{AuthMethod, InactiveReason, Issue, UpdateTarget, Validation};
use crate::clock::Timestamp;
use crate::token::access::Claims;
use crate::token::client::ClientInfo;
use crate::token::field::InvalidField;
use crate::token::grant::{Grant, GrantChange, MAX_CLAIM_DEPTH};
use crate::token::id::{AccessTokenId, UserId};
use crate::token::lifetimes::Lifetimes;
use crate::token::session::Session;
use crate::transport::proto::v1;
use crate::transport::proto::v1::update_sessions_request::Target;

pub(in crate::transport) fn issue(
    ask: v1::IssueTokensRequest,
    caller: String,
) -> Result<Issue, InvalidField> {
    let claims = match ask.claims {
        Some(claims) => object(claims, Place::Claims)?,
        None => Map::new(),
    };
    let client = ask.client.unwrap_or_default();
    let request_id = (!ask.request_id.is_empty()).then(|| ask.request_id.parse()).transpose()?;
    Ok(Issue {
        user_id: UserId::new(ask.user_id)?,
        grant: Grant::new(ask.audience, ask.scopes, claims)?,
        client: ClientInfo::new(&client.user_agent, &client.ip_address, &client.device_name),
        lifetimes: Lifetimes {
            refresh: lifetime("refresh_lifetime", ask.refresh_lifetime)?,
            max: lifetime("max_lifetime", ask.max_lifetime)?,
        },
        persistent: ask.persistent.unwrap_or(true),
        request_id,
        caller,
    })
}

/// Converts a change of sessions. The mask names the fields that change; without one, those that are
/// not empty do.
pub(super) fn update(
    ask: v1::UpdateSessionsRequest,
) -> Result<(UpdateTarget, GrantChange, bool), InvalidField> {
    let v1::UpdateSessionsRequest { target, claims, scopes, audience, refresh_now, update_mask } =
        ask;
    let target = match target {
        Some(Target::SessionId(id)) => UpdateTarget::Session(id.parse()?),
        Some(Target::UserId(id)) => UpdateTarget::User(UserId::new(id)?),
        None => return Err(InvalidField::new("session_id", "is required, unless user_id is set")),
    };
    let mask = update_mask.unwrap_or_default().paths;
    if mask.iter().any(|path| !["claims", "scopes", "audience"].contains(&path.as_str())) {
        let rule = "may name only claims, scopes and audience";
        return Err(InvalidField::new("update_mask", rule));
    }
    let changes = |field: &str, is_set: bool| {
        if mask.is_empty() { is_set } else { mask.iter().any(|path| path == field) }
    };
    let (with_scopes, with_audience) =
        (changes("scopes", !scopes.is_empty()), changes("audience", !audience.is_empty()));
    let change = GrantChange {
        audience: with_audience.then_some(audience),
        scopes: with_scopes.then_some(scopes),
        claims: changes("claims", claims.is_some())
            .then(|| object(claims.unwrap_or_default(), Place::Claims))
            .transpose()?,
    };
    Ok((target, change, refresh_now))
}

/// Converts a lifetime. The authority checks its bounds.
fn lifetime(
    field: &'static str,
    asked: Option<prost_types::Duration>,
) -> Result<Option<Duration>, InvalidField> {
    let negative = |_| InvalidField::new(field, "must not be negative");
    asked.map(Duration::try_from).transpose().map_err(negative)
}

pub(super) fn validation(validation: &Validation) -> v1::ValidateTokenResponse {
    match validation {
        Validation::Active(active) => good(active.claims(), active.auth_method),
        Validation::Inactive { reason, .. } => v1::ValidateTokenResponse {
            inactive_reason: inactive_reason(*reason).into(),
            ..Default::default()
        },
    }
}

pub(super) fn good(claims: &Claims, method: AuthMethod) -> v1::ValidateTokenResponse {
    let seconds = |seconds| timestamp(Timestamp::from_seconds(seconds));
    v1::ValidateTokenResponse {
        active: true,
        inactive_reason: v1::InactiveReason::Unspecified.into(),
        user_id: claims.subject.clone(),
        session_id: claims.session_id.clone().unwrap_or_default(),
        token_id: claims.id.clone().unwrap_or_default(),
        issued_at: claims.issued_at.map(seconds),
        expires_at: Some(seconds(claims.expires_at)),
        audience: claims.audience.clone(),
        scopes: claims.scopes.clone(),
        claims: (!claims.further.is_empty()).then(|| structure(&claims.further)),
        auth_method: auth_method(method).into(),
        device_bound: claims.id.as_deref().is_some_and(AccessTokenId::device_bound_of),
    }
}

const fn inactive_reason(reason: InactiveReason) -> v1::InactiveReason {
    match reason {
        InactiveReason::Malformed => v1::InactiveReason::Malformed,
        InactiveReason::UnknownKey => v1::InactiveReason::UnknownKey,
        InactiveReason::BadSignature => v1::InactiveReason::BadSignature,
        InactiveReason::Expired => v1::InactiveReason::Expired,
        InactiveReason::NotYetValid => v1::InactiveReason::NotYetValid,
        InactiveReason::WrongType => v1::InactiveReason::WrongType,
        InactiveReason::WrongAudience => v1::InactiveReason::WrongAudience,
        InactiveReason::Revoked => v1::InactiveReason::Revoked,
        InactiveReason::NotFound => v1::InactiveReason::NotFound,
        InactiveReason::Stale => v1::InactiveReason::Stale,
    }
}

pub(super) const fn auth_method(method: AuthMethod) -> v1::AuthMethod {
    match method {
        AuthMethod::Jwt => v1::AuthMethod::Jwt,
        AuthMethod::Session => v1::AuthMethod::Session,
    }
}

pub(super) fn session(session: &Session) -> v1::Session {
    let client = &session.client;
    v1::Session {
        session_id: session.id.to_string(),
        user_id: session.user_id.as_str().to_owned(),
        created_at: Some(timestamp(session.created_at)),
        last_used_at: Some(timestamp(session.last_used_at)),
        expires_at: Some(timestamp(session.expires_at)),
        client: Some(v1::ClientInfo {
            user_agent: client.user_agent().to_owned(),
            ip_address: client.ip_address().to_owned(),
            device_name: client.device_name().to_owned(),
        }),
        auth_method: auth_method(session.auth_method).into(),
        device_bound: session.is_device_bound(),
    }
}

pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    // `subsec_nanos` is always below 1,000,000,000, so the conversion cannot fail.
    let nanos = i32::try_from(duration.subsec_nanos()).unwrap_or(0);
    prost_types::Duration { seconds, nanos }
}

/// Converts a moment, clamped to the years 1 to 9999 that `google.protobuf.Timestamp` allows.
pub(super) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    const LAST_SECOND_OF_9999: i64 = 253_402_300_799;
    const FIRST_SECOND_OF_1: i64 = -62_135_596_800;
    let seconds = at.as_seconds().clamp(FIRST_SECOND_OF_1, LAST_SECOND_OF_9999);
    let nanos = i32::try_from(at.as_micros().rem_euclid(1_000_000) * 1000).unwrap_or(0);
    prost_types::Timestamp { seconds, nanos }
}

/// Converts claims to JSON. Returns none if JSON cannot represent them, which never happens to
/// claims of this service.
pub(in crate::transport) fn claims(fields: Struct) -> Map<String, Value> {
    object(fields, Place::Claims).unwrap_or_default()
}

/// The place of a value inside `claims`. Each place links to the outer one, so that the path is
/// written only for an error.
#[derive(Clone, Copy)]
enum Place<'a> {
    Claims,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn depth(&self) -> usize {
        match self {
            Self::Claims => 0,
            Self::Member(outer, _) | Self::Item(outer, _) => outer.depth() + 1,
        }
    }

    /// Returns the error for the value at this place. Names are escaped, and a path that is too long for
    /// a message is shortened to the field.
    fn breaks(&self, rule: &'static str) -> InvalidField {
        const MAX_PATH: usize = 100;
        let path = self.path();
        if path.len() > MAX_PATH {
            return InvalidField::new("claims", rule);
        }
        InvalidField::at(path, rule)
    }

    fn path(&self) -> String {
        match self {
            Self::Claims => "claims".to_owned(),
            Self::Member(outer, name) => format!("{}.{}", outer.path(), name.escape_default()),
            Self::Item(outer, index) => format!("{}[{index}]", outer.path()),
        }
    }
}

fn object(fields: Struct, place: Place<'_>) -> Result<Map<String, Value>, InvalidField> {
    let member = |(name, value): (String, ProtoValue)| {
        let value = json(value, Place::Member(&place, &name))?;
        Ok((name, value))
    };
    fields.fields.into_iter().map(member).collect()
}

fn json(value: ProtoValue, place: Place<'_>) -> Result<Value, InvalidField> {
    if place.depth() > MAX_CLAIM_DEPTH {
        return Err(InvalidField::new("claims", "must be at most 32 levels deep"));
    }
    Ok(match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => Value::Number(json_number(number, place)?),
        Some(Kind::StructValue(fields)) => Value::Object(object(fields, place)?),
        Some(Kind::ListValue(list)) => {
            let item = |(index, one)| json(one, Place::Item(&place, index));
            Value::Array(list.values.into_iter().enumerate().map(item).collect::<Result<_, _>>()?)
        }
    })
}

/// Converts a number. A `Struct` has only doubles, so a whole number beyond 2^53 may have been
/// rounded on its way here without any sign.
#[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
fn json_number(number: f64, place: Place<'_>) -> Result<Number, InvalidField> {
    const EXACT: f64 = 9_007_199_254_740_991.0;
    if number.is_finite() && number.fract() == 0.0 {
        return if number.abs() <= EXACT {
            Ok(Number::from(number as i64))
        } else {
            let rule = "must be at most 2^53 - 1, because JSON numbers are rounded beyond it: send \
                        it as text";
            Err(place.breaks(rule))
        };
    }
    Number::from_f64(number).ok_or_else(|| place.breaks("must be a number that JSON can represent"))
}

fn structure(fields: &Map<String, Value>) -> Struct {
    let field = |(name, value): (&String, &Value)| (name.clone(), proto_value(value));
    Struct { fields: fields.iter().map(field).collect() }
}

fn proto_value(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(*truth),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::Object(fields) => Kind::StructValue(structure(fields)),
        Value::Array(values) => {
            Kind::ListValue(ListValue { values: values.iter().map(proto_value).collect() })
        }
    };
    ProtoValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> ProtoValue {
        ProtoValue { kind: Some(Kind::NumberValue(value)) }
    }

    #[test]
    fn claims_survive_both_ways() {
        let claims: Map<String, Value> =
            serde_json::from_str(r#"{"a":[1,2.5,null,true,{"b":"ü\u0000"}],"n":-7}"#).unwrap();
        assert_eq!(object(structure(&claims), Place::Claims).unwrap(), claims);
    }

    #[test]
    fn numbers_that_json_does_not_know_and_bottomless_claims_are_refused() {
        let json = |value| json(value, Place::Claims);
        assert!(json(number(f64::NAN)).is_err());
        assert!(json(number(f64::NEG_INFINITY)).is_err());
        assert_eq!(json(number(1e-300)).unwrap(), serde_json::json!(1e-300));
        let mut deep = number(1.0);
        for _ in 0..40 {
            deep = ProtoValue { kind: Some(Kind::ListValue(ListValue { values: vec![deep] })) };
        }
        assert!(json(deep).is_err());
    }

    #[test]
    fn whole_numbers_that_may_be_rounded_are_refused_with_their_path() {
        let list = |values| ProtoValue { kind: Some(Kind::ListValue(ListValue { values })) };
        let ask = |name: &str, value| {
            let fields = [(name.to_owned(), value)].into();
            object(Struct { fields }, Place::Claims)
        };
        let exact = 9_007_199_254_740_991.0;
        for good in [exact, -exact, 0.5, 1e-7] {
            assert!(ask("n", number(good)).is_ok(), "{good}");
        }
        for bad in [exact + 1.0, -exact - 1.0, 1e300] {
            let inner = Struct { fields: [("id".to_owned(), number(bad))].into() };
            let inner = ProtoValue { kind: Some(Kind::StructValue(inner)) };
            let error = ask("accounts", list(vec![number(1.0), inner])).unwrap_err();
            assert_eq!(error.field, "claims.accounts[1].id");
            assert!(error.rule.contains("send it as text"));
        }
        let error = ask("x", list(vec![number(f64::NAN)])).unwrap_err();
        assert_eq!(error.field, "claims.x[0]");
        assert_eq!(ask("ü\n", number(1e300)).unwrap_err().field, r"claims.\u{fc}\n");
        assert_eq!(ask(&"x".repeat(200), number(1e300)).unwrap_err().field, "claims");
    }

    #[test]
    fn moments_stay_within_the_years_that_the_wire_knows() {
        assert_eq!(timestamp(Timestamp::from_seconds(i64::MAX)).seconds, 253_402_300_799);
        assert_eq!(timestamp(Timestamp::from_micros(1_500_000)).nanos, 500_000_000);
        assert_eq!(duration(Duration::from_millis(1500)).nanos, 500_000_000);
    }
}
