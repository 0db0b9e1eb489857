//! Checks whether the answer to a batch of tokens fits into the message size that clients accept,
//! before any token is judged.
//!
//! A JWT's answer repeats its claims, so its size follows from the token. A session token's claims
//! are in the database. The answer is therefore measured again after it was built.

use prost::Message as _;
use prost::encoding::key_len;
use tonic::Status;

use super::convert;
use crate::token::access::Claims;
use crate::token::jws::Unverified;
use crate::token::method::AuthMethod;
use crate::transport::fault;
use crate::transport::proto::v1::ValidateTokensResponse;

/// The largest message that clients accept by default. A larger answer would fail the whole batch
/// at the client, after the work was done.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// The maximum number of bytes that one byte of a token's text can become. The shortest JSON of a
/// number is two bytes (`0,`), which are three in base64url. As a protobuf value it takes eleven.
const MAX_GROWTH: usize = 5;

/// The number of the field `results` in `ValidateTokensResponse`.
const RESULTS_FIELD: u32 = 1;

/// The size of an answer without the claims of a JWT.
const FIXED_BYTES: usize = 128;

/// The maximum size of a session token's answer: its grant at its limits, as protobuf.
const SESSION_BYTES: usize = 48 * 1024;

/// Returns whether the answer surely fits, without a look into the tokens. Most batches are far below
/// the limit, and neither [`check`] nor [`check_made`] is needed for them.
pub(super) fn surely_fits(tokens: &[String], methods: &[AuthMethod]) -> bool {
    let bounds = tokens.iter().zip(methods).map(|(token, method)| upper_bound(token, *method));
    bounds.sum::<usize>() <= MAX_ANSWER_BYTES
}

/// Checks that the answer to these tokens fits.
///
/// # Errors
/// Returns `INVALID_ARGUMENT` with the number of tokens that fits if the answer would be too large.
pub(super) fn check(tokens: &[String], methods: &[AuthMethod]) -> Result<(), Status> {
    let sizes = tokens.iter().zip(methods).map(|(token, method)| size_of(token, *method));
    verdict(sizes.map(in_batch))
}

/// Checks that a finished answer fits.
///
/// # Errors
/// Returns the same as [`check`].
pub(super) fn check_made(answer: &ValidateTokensResponse) -> Result<(), Status> {
    verdict(answer.results.iter().map(|result| in_batch(result.encoded_len())))
}

fn verdict(sizes: impl Iterator<Item = usize>) -> Result<(), Status> {
    let (total, largest) =
        sizes.fold((0, 1), |(total, largest), size| (total + size, usize::max(largest, size)));
    if total <= MAX_ANSWER_BYTES {
        return Ok(());
    }
    // At least this number fits, however the caller splits the batch.
    Err(fault::answer_too_large(usize::max(1, MAX_ANSWER_BYTES / largest)))
}

const fn upper_bound(token: &str, method: AuthMethod) -> usize {
    match method {
        AuthMethod::Jwt => FIXED_BYTES + MAX_GROWTH * token.len(),
        AuthMethod::Session => SESSION_BYTES,
    }
}

/// Computes the size of a token's answer if the token is active. The token is not verified: an
/// inactive token gets a smaller answer.
fn size_of(token: &str, method: AuthMethod) -> usize {
    if method == AuthMethod::Session {
        return FIXED_BYTES;
    }
    let payload = Unverified::parse(token).and_then(|token| token.payload());
    let claims = payload.and_then(|payload| Claims::parse(&payload));
    claims.map_or(FIXED_BYTES, |claims| convert::good(&claims, method).encoded_len())
}

/// Returns an answer's size with the tag and the length before it.
fn in_batch(size: usize) -> usize {
    key_len(RESULTS_FIELD) + prost::length_delimiter_len(size) + size
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use tonic::Code;

    use crate::transport::proto::v1::ValidateTokenResponse;

    fn token(claim: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let payload = format!(r#"{{"sub":"u","exp":4000000000,"c":{claim}}}"#);
        format!("{}.{}.c2ln", part(r#"{"alg":"HS256"}"#), part(&payload))
    }

    #[test]
    fn no_claims_grow_beyond_the_bound() {
        let many = |one: &str| format!("[{}]", vec![one; 3000].join(","));
        for claim in [
            many("0"),
            many("1.5"),
            many("null"),
            many("[]"),
            many("{}"),
            many("\"\""),
            many("true"),
            many("[0]"),
            many("{\"\":0}"),
            many("{\"a\":[]}"),
            format!("\"{}\"", "x".repeat(9000)),
        ] {
            let token = token(&claim);
            let (size, most) =
                (size_of(&token, AuthMethod::Jwt), upper_bound(&token, AuthMethod::Jwt));
            assert!(size > FIXED_BYTES && size <= most, "{size} of {most}: {}", &claim[..20]);
        }
    }

    #[test]
    fn a_batch_that_fits_passes_and_a_refusal_names_the_number_that_fits() {
        let jwts = [AuthMethod::Jwt; 1000];
        let small = vec![token("1"); 1000];
        assert!(surely_fits(&small, &jwts) && check(&small, &jwts).is_ok());
        let large = token(&format!("[{}]", vec!["0"; 2000].join(",")));
        let fits = MAX_ANSWER_BYTES / in_batch(size_of(&large, AuthMethod::Jwt));
        assert!(fits > 100 && fits < 1000, "{fits}");
        let many = vec![large; fits + 1];
        assert!(check(&many[1..], &jwts).is_ok());
        assert!(!surely_fits(&many, &jwts));
        let refused = check(&many, &jwts).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(&format!("at most {fits} ")), "{}", refused.message());
    }

    #[test]
    fn the_size_is_that_of_the_message() {
        let answers =
            vec![ValidateTokenResponse { user_id: "u".repeat(300), ..Default::default() }; 7];
        let sizes: usize = answers.iter().map(|one| in_batch(one.encoded_len())).sum();
        let answer = ValidateTokensResponse { results: answers };
        assert_eq!(sizes, answer.encoded_len());
        assert!(check_made(&answer).is_ok());
        let large = ValidateTokenResponse { user_id: "u".repeat(5000), ..Default::default() };
        assert!(check_made(&ValidateTokensResponse { results: vec![large; 1000] }).is_err());
    }
}
