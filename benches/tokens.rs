//! The cost of token operations, each beside its raw cryptographic primitive: `cargo bench`.
#![expect(clippy::unwrap_used, reason = "a benchmark may fail by a panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
    RsaKeyPair, VerificationAlgorithm,
};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures::{StreamExt as _, stream};
use test_support::device::Device;
use token_authority::authority::revocations::follow::follow;
use token_authority::authority::{
    Authority, Issue, RevocationSettings, Revocations, TokenPolicy, Tokens, Validation,
};
use token_authority::clock::{Clock as _, SeededEntropy, SystemClock, Timestamp, draw};
use token_authority::keys::key::NewPair;
use token_authority::keys::life::Due;
use token_authority::keys::{DeviceKeys, KeyRing, Secret};
use token_authority::store::{Bind, Open, Refresh, Rows as _, Store, sqlite};
use token_authority::token::access::{Claims, NewClaims};
use token_authority::token::client::ClientInfo;
use token_authority::token::device::{DeviceKey, Shown, Thumbprint};
use token_authority::token::grant::Grant;
use token_authority::token::id::{AccessTokenId, Epoch, Generation, SessionId, UserId};
use token_authority::token::jws::Unverified;
use token_authority::token::key::Algorithm;
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::method::AuthMethod;
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::token::rollout::Rollout;
use token_authority::token::rotation::{Policy, SuccessorSeed, judge};
use token_authority::token::session::{Lineage, Session};

const LIFE: Duration = Duration::from_mins(30);
const POLICY: Policy = Policy {
    rotation: true,
    window: Duration::from_secs(30),
    refresh_lifetime: Duration::from_hours(7 * 24),
    session_max_lifetime: Duration::from_hours(30 * 24),
};
/// Tokens in circulation.
const TOKENS: usize = 10_000;

fn now() -> Timestamp {
    SystemClock.now()
}

/// A ring that signs with that algorithm.
fn ring(algorithm: Algorithm) -> KeyRing {
    if algorithm == Algorithm::Hs256 {
        return KeyRing::hs256(&Secret::new([1; 32]), &[]);
    }
    let sealing_secret = Secret::new([9; 32]);
    let due = Due { number: 1, activates_at: now() };
    let pair = NewPair::make(algorithm, &sealing_secret, [7; 12]).unwrap().stored(due, now(), LIFE);
    let ring = KeyRing::new(&[], Some(sealing_secret));
    ring.load(&[pair]);
    ring
}

/// Signs a token as the authority does: the claims that it always has.
fn mint(ring: &KeyRing, entropy: &SeededEntropy, user_id: &UserId, grant: &Grant) -> String {
    let now = now();
    let claims = NewClaims {
        user_id,
        session_id: SessionId::new(now, draw(entropy)),
        id: AccessTokenId::new(Generation::FIRST, Epoch::FIRST, draw(entropy)),
        issued_at: now.as_seconds(),
        expires_at: now.as_seconds() + 1800,
        issuer: None,
        grant,
    };
    ring.signer(now).unwrap().sign(&serde_json::to_vec(&claims).unwrap()).unwrap()
}

/// Verifies and reads a token as a backend that embeds the library.
fn verify(ring: &KeyRing, token: &str) -> Claims {
    let unverified = Unverified::parse(token).unwrap();
    ring.verify(&unverified, now()).unwrap();
    Claims::parse(&unverified.payload().unwrap()).unwrap()
}

/// Signing and verifying with the cryptographic library only.
struct Raw {
    sign: Sign,
    verify: Verify,
}

/// Returns the signature of a message.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;
/// Verifies the signature of a message.
type Verify = Box<dyn Fn(&[u8], &[u8])>;

impl Raw {
    fn of(algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
                let of_key = key.clone();
                Self {
                    sign: Box::new(move |message| hmac::sign(&key, message).as_ref().to_vec()),
                    verify: Box::new(move |message, signature| {
                        hmac::verify(&of_key, message, signature).unwrap();
                    }),
                }
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let verify = Self::verifier(&ED25519, pair.public_key().as_ref());
                Self { sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()), verify }
            }
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                let verify = Self::verifier(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref());
                let sign =
                    move |message: &[u8]| pair.sign(&random, message).unwrap().as_ref().to_vec();
                Self { sign: Box::new(sign), verify }
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
                let verify =
                    Self::verifier(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
                let sign = move |message: &[u8]| {
                    let mut signature = vec![0; pair.public_modulus_len()];
                    pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                    signature
                };
                Self { sign: Box::new(sign), verify }
            }
        }
    }

    fn verifier(algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) -> Verify {
        let key = ParsedPublicKey::new(algorithm, public).unwrap();
        Box::new(move |message, signature| key.verify_sig(message, signature).unwrap())
    }
}

fn access_tokens(criterion: &mut Criterion) {
    let (entropy, grant) = (SeededEntropy::new(1), Grant::default());
    let user_id = UserId::new("7b1f6f0c-52f5-4c6e-9d57-5e0f6b7f4a11").unwrap();
    for algorithm in Algorithm::ALL {
        let (ring, raw) = (ring(algorithm), Raw::of(algorithm));
        let token = mint(&ring, &entropy, &user_id, &grant);
        let (signed, _) = token.rsplit_once('.').unwrap();
        let signature = (raw.sign)(signed.as_bytes());
        let mut group = criterion.benchmark_group(format!("access token, {algorithm}"));
        group.bench_function("mint", |b| b.iter(|| mint(&ring, &entropy, &user_id, &grant)));
        group.bench_function("mint: raw signature", |b| {
            b.iter(|| (raw.sign)(black_box(signed.as_bytes())));
        });
        group.bench_function("verify", |b| b.iter(|| verify(&ring, black_box(&token))));
        group.bench_function("verify: raw verification", |b| {
            b.iter(|| (raw.verify)(black_box(signed.as_bytes()), black_box(&signature)));
        });
        group.finish();
    }
}

fn session(id: SessionId, lineage: Lineage, at: Timestamp) -> Session {
    Session {
        id,
        user_id: UserId::new("user").unwrap(),
        grant: Grant::default(),
        client: ClientInfo::default(),
        created_at: at,
        last_used_at: at,
        expires_at: POLICY.expiry(&Lifetimes::default(), at, at),
        access_ends_at: at,
        revoked: None,
        lineage,
        auth_method: AuthMethod::Jwt,
        lifetimes: Lifetimes::default(),
        persistent: true,
        epoch: Epoch::FIRST,
        device: None,
    }
}

fn refresh_tokens(criterion: &mut Criterion) {
    let at = Timestamp::from_seconds(1_750_000_000);
    let (id, key) = (SessionId::new(at, [1; 10]), LineageKey::new([2; 32]));
    let token = RefreshToken::mint(&key, id, Generation::FIRST, [3; 32]);
    let text = token.expose();
    let raw = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
    let session = session(id, Lineage::begin(key, &token, at), at);
    let mut group = criterion.benchmark_group("refresh token");
    group.bench_function("parse", |b| b.iter(|| RefreshToken::parse(black_box(&text)).unwrap()));
    group.bench_function("verdict", |b| {
        b.iter(|| judge(black_box(&session), black_box(&token), at, &POLICY));
    });
    group.bench_function("verdict: raw HMAC and SHA-256", |b| {
        b.iter(|| {
            let mac = hmac::sign(&raw, black_box(&text.as_bytes()[..52]));
            (mac, aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
        });
    });
    group.finish();
}

/// Creates an authority with a database that no validation uses.
async fn authority(algorithm: Algorithm, memory: u64) -> (Authority, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let rows = sqlite::open(&folder.path().join("tokens.db")).await.unwrap();
    rows.migrate().await.unwrap();
    let policy = TokenPolicy {
        rotation: POLICY,
        access_lifetime: LIFE,
        issuer: None,
        leeway: Duration::ZERO,
    };
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SeededEntropy::new(7)));
    let revocations = Revocations::new(RevocationSettings::default(), clock.clone(), &*entropy);
    let revocations = Arc::new(revocations);
    let store = Arc::new(Store::new(rows, POLICY, policy.revocation_retention()));
    let following =
        tokio::spawn(follow(Arc::clone(&store), Arc::clone(&revocations), Arc::default()));
    revocations.loaded().await;
    following.abort();
    let keys = Arc::new(ring(algorithm));
    let authority = Authority::new(store, keys, clock, entropy, policy, revocations);
    (authority.with_verification_cache(memory), folder)
}

async fn issue(authority: &Authority) -> Tokens {
    let issue = Issue {
        user_id: UserId::new("7b1f6f0c-52f5-4c6e-9d57-5e0f6b7f4a11").unwrap(),
        grant: Grant::default(),
        client: ClientInfo::default(),
        lifetimes: Lifetimes::default(),
        persistent: true,
        request_id: None,
        caller: "bench".into(),
    };
    authority.issue(issue).await.unwrap()
}

/// Measures a refresh that rotates, of a session that is bound to a device and of one that is not.
fn refreshes(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy { window: Duration::ZERO, ..POLICY };
    let devices = DeviceKeys::new(&Secret::new([4; 32]), [], Duration::from_mins(5));
    let store = runtime.block_on(async {
        let rows = sqlite::open(&folder.path().join("refreshes.db")).await.unwrap();
        rows.migrate().await.unwrap();
        Store::new(rows, policy, LIFE)
    });
    let mut group = criterion.benchmark_group("refresh");
    for name in ["unbound", "bound"] {
        let at = now();
        let (id, key) = (
            SessionId::new(at, [if name == "bound" { 1 } else { 2 }; 10]),
            LineageKey::new([2; 32]),
        );
        let mut token = RefreshToken::mint(&key, id, Generation::FIRST, [3; 32]);
        let session = session(id, Lineage::begin(key, &token, at), at);
        runtime.block_on(store.open(Open { session, request: None })).unwrap();
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{0}","y":"{0}"}}"#, "A".repeat(43));
        let (thumbprint, algorithm) = (Thumbprint::new([5; 32]), Algorithm::Es256);
        if name == "bound" {
            let key = DeviceKey { jwk, thumbprint, algorithm };
            let bind = Bind { presented: token.clone(), key, now: at, actor: String::new() };
            runtime.block_on(store.bind(bind)).unwrap();
        }
        let cookie = devices.bind(id, thumbprint, at);
        group.bench_function(name, |b| {
            b.iter(|| {
                let now = now();
                // A browser without a device sends no such cookie.
                let cookie = if name == "bound" { cookie.as_str() } else { "" };
                let shown = devices.device_of(cookie, id, now).map_or(Shown::Nothing, Shown::Key);
                let seed = SuccessorSeed { secret: [6; 32], nonce: [7; 12] };
                let (presented, rollout) = (token.clone(), Rollout::COMPLETE);
                let refresh = Refresh { presented, seed, now, rollout, shown };
                token = runtime.block_on(store.refresh(refresh)).unwrap().token.unwrap();
            });
        });
    }
    group.finish();
}

/// Measures a renewal of a session's binding: a proof is verified, a row read, nothing written.
fn renewals(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (authority, _folder) = runtime.block_on(authority(Algorithm::Hs256, 0));
    let devices = DeviceKeys::new(&Secret::new([4; 32]), [], Duration::from_mins(5));
    let authority = authority.with_devices(Some(devices));
    let device = Device::new(Algorithm::Es256);
    let (session_id, proof) = runtime.block_on(async {
        let login = issue(&authority).await;
        let proof = device.registration(&login.device_challenge.unwrap());
        let registered = authority.register_device(&login.refresh_token, &proof, "bench").await;
        (login.session_id, device.renewal(&registered.unwrap().challenge))
    });
    let mut group = criterion.benchmark_group("device");
    group.bench_function("renewal", |b| {
        b.iter(|| {
            let renewed = runtime.block_on(authority.renew_device_binding(session_id, &proof));
            assert!(renewed.unwrap().binding.is_some());
        });
    });
    group.finish();
}

/// Measures the gain of the verification cache, with many tokens in circulation.
fn remembered(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group(format!("validate, {TOKENS} tokens"));
    for algorithm in Algorithm::ALL {
        for (name, memory) in [("verified anew", 0), ("remembered", 32 << 20)] {
            let (authority, _folder) = runtime.block_on(authority(algorithm, memory));
            let logins = stream::iter((0..TOKENS).map(|_| issue(&authority))).buffered(1000);
            let tokens: Vec<Tokens> = runtime.block_on(logins.collect());
            let mut next = tokens.iter().map(|tokens| &tokens.access_token).cycle();
            group.bench_function(BenchmarkId::new(name, algorithm), |b| {
                b.iter(|| {
                    let token = next.next().unwrap();
                    let judged = runtime.block_on(authority.validate(token, None)).unwrap();
                    assert!(matches!(judged, Validation::Active(_)));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, access_tokens, refresh_tokens, refreshes, renewals, remembered);
criterion_main!(benches);
