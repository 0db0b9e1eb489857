//! Access tokens, good and bad, and the verdict on each.
//!
//! They are made for a secret and a time, because many verdicts depend on the time: for the secret
//! of the running service and the time of the test, or for those of `clients/vectors` (see
//! `verdicts.rs`). Every difference between a library and `ValidateToken` is listed with its vector
//! and explained in `docs/verifying-locally.md`. Any other difference fails the test.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use token_authority::transport::proto::v1::InactiveReason as Reason;

/// A token and the verdict on it.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) token: String,
    /// The answer of `ValidateToken`. `Unspecified`: the token is active.
    pub(crate) expected: Reason,
    /// The libraries with the opposite verdict.
    pub(crate) differs: &'static [&'static str],
}

impl Vector {
    /// Returns whether a library accepts the token.
    pub(crate) fn is_good_for(&self, library: &str) -> bool {
        (self.expected == Reason::Unspecified) != self.differs.contains(&library)
    }
}

const GOOD: Reason = Reason::Unspecified;
/// The libraries ignore this unless they are configured to check it.
const ALL: &[&str] = &["PyJWT", "jose", "jsonwebtoken", "fast-jwt"];
const JAVASCRIPT: &[&str] = &["jose", "jsonwebtoken", "fast-jwt"];
const NONE: &[&str] = &[];

/// The header that the service itself writes, without its `kid`.
const HEADER: &str = r#"{"alg":"HS256","typ":"at+jwt"}"#;

/// Signs vectors.
struct Signer<'a> {
    secret: &'a str,
    /// The time at which the vectors are judged, in seconds.
    now: i64,
    vectors: Vec<Vector>,
}

impl<'a> Signer<'a> {
    fn new(secret: &'a str, now: i64) -> Self {
        Self { secret, now, vectors: Vec::new() }
    }

    /// Returns that time plus `more` seconds.
    fn at(&self, more: i64) -> i64 {
        self.now + more
    }

    /// Returns claims that are valid for an hour, and further claims.
    fn with(&self, further: &str) -> String {
        let (iat, exp) = (self.at(-1), self.at(3600));
        format!(r#"{{"sub":"alice","iat":{iat},"exp":{exp},"type":"access"{further}}}"#)
    }

    fn good(&self) -> String {
        self.with("")
    }

    fn add(
        &mut self,
        name: &'static str,
        token: String,
        expected: Reason,
        differs: &'static [&'static str],
    ) {
        self.vectors.push(Vector { name, token, expected, differs });
    }

    /// Adds claims with the usual header.
    fn claims(
        &mut self,
        name: &'static str,
        payload: &str,
        expected: Reason,
        differs: &'static [&'static str],
    ) {
        let token = sign(hmac::HMAC_SHA256, self.secret, HEADER, payload.as_bytes());
        self.add(name, token, expected, differs);
    }

    /// Adds valid claims with another header.
    fn header(
        &mut self,
        name: &'static str,
        header: &str,
        expected: Reason,
        differs: &'static [&'static str],
    ) {
        let token = sign(hmac::HMAC_SHA256, self.secret, header, self.good().as_bytes());
        self.add(name, token, expected, differs);
    }
}

fn sign(algorithm: hmac::Algorithm, secret: &str, header: &str, payload: &[u8]) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The current time in seconds.
#[expect(clippy::disallowed_methods, reason = "the verifiers' clock is the real one, too")]
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap()
}

/// Returns every vector, made with that secret and for the current time. `minted` is a token of the
/// service.
pub(crate) fn all(secret: &str, minted: &str) -> Vec<Vector> {
    all_at(secret, minted, now())
}

/// Does the same as [`all`] for that time.
pub(crate) fn all_at(secret: &str, minted: &str, now: i64) -> Vec<Vector> {
    let mut signer = Signer::new(secret, now);
    signer.add("minted", minted.into(), GOOD, NONE);
    times(&mut signer);
    claims(&mut signer);
    headers(&mut signer);
    signatures(&mut signer, minted);
    shapes(&mut signer);
    signer.vectors
}

fn times(signer: &mut Signer<'_>) {
    let claim = |more: &str| format!(r#"{{"sub":"alice","type":"access"{more}}}"#);
    let exp = |value: &str| claim(&format!(r#","exp":{value}"#));
    let now = signer.now;
    let number = |more: i64| (now + more).to_string();
    signer.claims("good", &signer.good(), GOOD, NONE);
    signer.claims("expired", &exp(&number(-3600)), Reason::Expired, NONE);
    signer.claims("expired a second ago", &exp(&number(-1)), Reason::Expired, NONE);
    signer.claims("exp is now", &exp(&number(0)), Reason::Expired, NONE);
    signer.claims("exp is 0", &exp("0"), Reason::Expired, NONE);
    signer.claims("exp is negative", &exp("-1"), Reason::Expired, NONE);
    signer.claims("exp has a fraction", &exp(&format!("{}.5", signer.at(3600))), GOOD, NONE);
    signer.claims("exp as an exponent", &exp("4e9"), GOOD, NONE);
    signer.claims("exp is huge", &exp("1e300"), GOOD, NONE);
    signer.claims(
        "exp is a string",
        &exp(&format!("\"{}\"", signer.at(3600))),
        Reason::Malformed,
        &["PyJWT"],
    );
    signer.claims("exp is null", &exp("null"), Reason::Malformed, NONE);
    signer.claims("exp is true", &exp("true"), Reason::Malformed, NONE);
    signer.claims("exp is missing", &claim(""), Reason::Malformed, ALL);
    signer.claims("nbf is now", &signer.with(&format!(r#","nbf":{}"#, signer.at(0))), GOOD, NONE);
    let later = signer.at(3600);
    let not_yet = Reason::NotYetValid;
    signer.claims("nbf lies ahead", &signer.with(&format!(r#","nbf":{later}"#)), not_yet, NONE);
    signer.claims("nbf is a string", &signer.with(r#","nbf":"x""#), Reason::Malformed, NONE);
    let payload =
        signer.with("").replace(&format!("\"iat\":{}", signer.at(-1)), &format!("\"iat\":{later}"));
    signer.claims("iat lies ahead", &payload, not_yet, JAVASCRIPT);
    let both = format!(r#","nbf":{later},"exp":{}"#, signer.at(-10));
    signer.claims("expired before nbf", &claim(&both), Reason::Expired, NONE);
    let twice =
        |first: i64, last: i64| claim(&format!(r#","exp":{},"exp":{}"#, now + first, now + last));
    signer.claims("exp twice, the last one good", &twice(-10, 3600), GOOD, NONE);
    signer.claims("exp twice, the last one over", &twice(3600, -10), Reason::Expired, NONE);
}

fn claims(signer: &mut Signer<'_>) {
    let exp = signer.at(3600);
    let malformed = Reason::Malformed;
    signer.claims("sub is missing", &format!(r#"{{"exp":{exp},"type":"access"}}"#), malformed, ALL);
    let number = format!(r#"{{"sub":7,"exp":{exp},"type":"access"}}"#);
    signer.claims("sub is a number", &number, malformed, JAVASCRIPT);
    signer.claims("type is refresh", &signer.with(r#","type":"refresh""#), Reason::WrongType, ALL);
    let untyped = format!(r#"{{"sub":"alice","exp":{exp}}}"#);
    signer.claims("type is missing", &untyped, Reason::WrongType, ALL);
    signer.claims("aud unasked for", &signer.with(r#","aud":"api""#), GOOD, &["PyJWT"]);
    signer.claims("jti is a number", &signer.with(r#","jti":7"#), malformed, JAVASCRIPT);
    signer.claims("aud is null", &signer.with(r#","aud":null"#), GOOD, NONE);
    signer.claims("scope is a list", &signer.with(r#","scope":["read","write"]"#), GOOD, NONE);
    signer.claims("scope is a number", &signer.with(r#","scope":7"#), GOOD, NONE);
    signer.claims("sid is a number", &signer.with(r#","sid":7"#), GOOD, NONE);
    signer.claims("sid is null", &signer.with(r#","sid":null"#), GOOD, NONE);
    signer.claims("iss is a number", &signer.with(r#","iss":7"#), GOOD, NONE);
    let deep =
        |open: &str, close: &str| format!(r#","x":{}1{}"#, open.repeat(60), close.repeat(60));
    signer.claims("60 objects deep", &signer.with(&deep(r#"{"y":"#, "}")), malformed, ALL);
    signer.claims("60 arrays deep", &signer.with(&deep("[", "]")), malformed, ALL);
    signer.claims("iss unasked for", &signer.with(r#","iss":"https://elsewhere""#), GOOD, NONE);
    signer.claims(
        "further claims",
        &signer.with(r#","role":{"a":[1,null]},"ü":"🦀\u0000""#),
        GOOD,
        NONE,
    );
    signer.claims(
        "NaN in the payload",
        &signer.with(r#","x":NaN"#),
        malformed,
        &["PyJWT", "jsonwebtoken"],
    );
    signer.claims(
        "payload cut off",
        signer.good().trim_end_matches('}'),
        malformed,
        &["jsonwebtoken"],
    );
    signer.claims("payload is an array", "[]", malformed, &["jsonwebtoken"]);
    signer.claims("payload is empty", "", malformed, NONE);
}

fn headers(signer: &mut Signer<'_>) {
    let with = |further: &str| format!(r#"{{"alg":"HS256","typ":"at+jwt"{further}}}"#);
    signer.header(
        "typ with its prefix",
        r#"{"alg":"HS256","typ":"application/at+jwt"}"#,
        GOOD,
        NONE,
    );
    signer.header("typ is JWT", r#"{"alg":"HS256","typ":"JWT"}"#, GOOD, NONE);
    signer.header("typ is missing", r#"{"alg":"HS256"}"#, GOOD, NONE);
    let other = r#"{"alg":"HS256","typ":"rt+jwt"}"#;
    signer.header("typ is another", other, Reason::WrongType, ALL);
    let refresh = signer.with(r#","type":"refresh""#);
    let token = sign(hmac::HMAC_SHA256, signer.secret, r#"{"alg":"HS256"}"#, refresh.as_bytes());
    signer.add("typ is missing, type is refresh", token, Reason::WrongType, ALL);
    signer.header("kid of nobody", &with(r#","kid":"hs-nobody""#), Reason::UnknownKey, ALL);
    let critical = with(r#","crit":["urn:x"],"urn:x":1"#);
    signer.header("crit", &critical, Reason::Malformed, &["jsonwebtoken"]);
    signer.header("a key of its own", &with(r#","jwk":{"kty":"oct","k":"eHh4"}"#), GOOD, NONE);
    signer.header("links to keys", &with(r#","jku":"https://x","x5u":"https://x""#), GOOD, NONE);
    signer.header("alg twice", r#"{"alg":"none","typ":"at+jwt","alg":"HS256"}"#, GOOD, NONE);
    let bad = Reason::BadSignature;
    signer.header("alg is lower case", r#"{"alg":"hs256","typ":"at+jwt"}"#, bad, NONE);
    signer.header("alg is RS256", r#"{"alg":"RS256","typ":"at+jwt"}"#, bad, NONE);
    signer.header("alg is missing", r#"{"typ":"at+jwt"}"#, bad, NONE);
    signer.header("header is an array", "[]", Reason::Malformed, NONE);
    signer.header("header is no JSON", "alg", Reason::Malformed, NONE);
}

fn signatures(signer: &mut Signer<'_>, minted: &str) {
    let bad = Reason::BadSignature;
    let (secret, payload) = (signer.secret, signer.good());
    let hs512 = r#"{"alg":"HS512","typ":"at+jwt"}"#;
    let token = sign(hmac::HMAC_SHA512, secret, hs512, payload.as_bytes());
    signer.add("HS512 with the same secret", token, bad, NONE);
    let other = "another secret of more than 32 bytes";
    let token = sign(hmac::HMAC_SHA256, other, HEADER, payload.as_bytes());
    signer.add("another key", token, bad, NONE);
    let own = r#"{"alg":"HS256","typ":"at+jwt","jwk":{"kty":"oct","k":"eHh4"}}"#;
    let token = sign(hmac::HMAC_SHA256, "xxx", own, payload.as_bytes());
    signer.add("signed by a key of its own", token, bad, NONE);
    let none = encode(r#"{"alg":"none","typ":"at+jwt"}"#);
    signer.add("alg none", format!("{none}.{}.", encode(&payload)), bad, NONE);
    let (_, signature) = minted.rsplit_once('.').unwrap();
    let token = format!("{none}.{}.{signature}", encode(&payload));
    signer.add("alg none, yet signed", token, bad, NONE);
    let good = sign(hmac::HMAC_SHA256, secret, HEADER, payload.as_bytes());
    let (covered, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = covered.split_once('.').unwrap();
    let changed = encode(payload.replace("alice", "admin"));
    signer.add("payload changed", format!("{header}.{changed}.{signature}"), bad, NONE);
    signer.add("signature cut off", format!("{covered}.{}", &signature[..20]), bad, NONE);
    signer.add("signature missing", format!("{covered}."), bad, NONE);
    signer.add("signature of no base64", format!("{covered}.!!!!"), bad, NONE);
    variants(signer, covered, signature);
}

/// Other texts of a good token, which any holder of it can make.
fn variants(signer: &mut Signer<'_>, covered: &str, signature: &str) {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bad = Reason::BadSignature;
    // 32 bytes leave two bits of the last character unused.
    let (most, last) = signature.split_at(signature.len() - 1);
    let other = ALPHABET.chars().nth(ALPHABET.find(last).unwrap() | 1).unwrap();
    let unused = format!("{covered}.{most}{other}");
    signer.add("signature with unused bits", unused, bad, &["jose", "fast-jwt"]);
    let padded = format!("{covered}.{signature}=");
    signer.add("signature with padding", padded, bad, &["PyJWT", "jose"]);
    signer.add("signature with white space", format!("{covered}.{signature}\n"), bad, &["jose"]);
    let (start, end) = signature.split_at(10);
    let parted = format!("{covered}.{start} {end}");
    signer.add("white space in the signature", parted, bad, &["jose"]);
}

fn shapes(signer: &mut Signer<'_>) {
    let malformed = Reason::Malformed;
    for (name, token) in [
        ("nothing", String::new()),
        ("garbage", "garbage".into()),
        ("three dots", "...".into()),
        ("two parts", "a.b".into()),
        ("four parts", "a.b.c.d".into()),
    ] {
        signer.add(name, token, malformed, NONE);
    }
    let encrypted = encode(r#"{"alg":"dir","enc":"A256GCM"}"#);
    signer.add("JWE", format!("{encrypted}..{0}.{0}.{0}", encode([7; 12])), malformed, NONE);
    let inner = sign(hmac::HMAC_SHA256, signer.secret, HEADER, signer.good().as_bytes());
    signer.claims("a token in a token", &inner, malformed, &["jsonwebtoken"]);
}

/// Does the same as [`all`], and adds tokens of an extreme size or depth.
pub(crate) fn all_and_monsters(secret: &str, minted: &str) -> Vec<Vector> {
    let mut vectors = all(secret, minted);
    vectors.extend(monsters_at(secret, now()));
    vectors
}

/// Returns tokens of an extreme size or depth, for that time.
pub(crate) fn monsters_at(secret: &str, now: i64) -> Vec<Vector> {
    let mut signer = Signer::new(secret, now);
    let (malformed, wide) = (Reason::Malformed, "x".repeat(60_000));
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    signer.claims("deep claims", &signer.with(&format!(r#","x":{deep}"#)), malformed, NONE);
    signer.claims("wide claims", &signer.with(&format!(r#","x":"{wide}""#)), malformed, NONE);
    let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","x":{deep}}}"#);
    signer.header("a deep header", &header, GOOD, NONE);
    signer.add("a mebibyte", "x".repeat(1 << 20), malformed, NONE);
    signer.add("a thousand parts", "e30.".repeat(1000), malformed, NONE);
    signer.add("no text at all", "\0\u{1}\u{7f}\u{ffff}🦀".into(), malformed, NONE);
    signer.vectors
}
