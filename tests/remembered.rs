//! Cached facts about a token never outlive anything that may change: its time, its key, its
//! session, and the required audience. The tests use the real authority with a real SQLite
//! database. Only the time is set by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use token_authority::authority::revocations::follow::follow;
use token_authority::authority::{
    Authority, AuthorityError, InactiveReason, Issue, RefreshRefusal, RevocationSettings,
    Revocations, TokenPolicy, Tokens, Validation,
};
use token_authority::clock::{Clock as _, ManualClock, SeededEntropy, Timestamp};
use token_authority::keys::key::NewPair;
use token_authority::keys::life::Due;
use token_authority::keys::{KeyRing, Secret};
use token_authority::store::{Rows as _, Store, sqlite};
use token_authority::token::client::ClientInfo;
use token_authority::token::grant::Grant;
use token_authority::token::id::{Generation, SessionId, UserId};
use token_authority::token::key::{Algorithm, StoredKey};
use token_authority::token::lifetimes::Lifetimes;
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::token::rotation::Policy;

const START: Timestamp = Timestamp::from_seconds(1_750_000_000);
const MINUTE: Duration = Duration::from_mins(1);
const LIFE: Duration = Duration::from_mins(30);
const MEMORY: u64 = 1 << 20;

/// An authority, its clock and its keys.
struct Scene {
    authority: Authority,
    clock: ManualClock,
    keys: Arc<KeyRing>,
    _folder: TempDir,
}

impl Scene {
    async fn new(memory: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = sqlite::open(&folder.path().join("tokens.db")).await.unwrap();
        rows.migrate().await.unwrap();
        let rotation = Policy {
            rotation: true,
            window: Duration::from_secs(30),
            refresh_lifetime: Duration::from_hours(7 * 24),
            session_max_lifetime: Duration::from_hours(30 * 24),
        };
        let policy =
            TokenPolicy { rotation, access_lifetime: LIFE, issuer: None, leeway: Duration::ZERO };
        let store = Arc::new(Store::new(rows, rotation, policy.revocation_retention()));
        let clock = ManualClock::at(START);
        let entropy = Arc::new(SeededEntropy::new(7));
        let revocations =
            Revocations::new(RevocationSettings::default(), Arc::new(clock.clone()), &*entropy);
        let revocations = Arc::new(revocations);
        let following =
            tokio::spawn(follow(Arc::clone(&store), Arc::clone(&revocations), Arc::default()));
        revocations.loaded().await;
        following.abort();
        let keys = Arc::new(KeyRing::new(&[], Some(sealing_secret())));
        keys.load(&[key(1, START)]);
        let authority = Authority::new(
            store,
            Arc::clone(&keys),
            Arc::new(clock.clone()),
            entropy,
            policy,
            revocations,
        )
        .with_verification_cache(memory);
        Self { authority, clock, keys, _folder: folder }
    }

    async fn issue(&self) -> Tokens {
        let issue = Issue {
            user_id: UserId::new("alice").unwrap(),
            grant: Grant::new(vec!["api".into()], Vec::new(), serde_json::Map::new()).unwrap(),
            client: ClientInfo::default(),
            lifetimes: Lifetimes::default(),
            persistent: true,
            request_id: None,
            caller: "test".into(),
        };
        self.authority.issue(issue).await.unwrap()
    }

    async fn judge(&self, token: &str, audience: Option<&str>) -> Result<(), InactiveReason> {
        verdict(self.authority.validate(token, audience).await.unwrap())
    }

    async fn judge_verified(&self, token: &str) -> Option<Result<(), InactiveReason>> {
        self.authority.validate_verified(token, None).await.unwrap().map(verdict)
    }
}

fn verdict(validation: Validation) -> Result<(), InactiveReason> {
    match validation {
        Validation::Active(active) => {
            assert_eq!(active.claims().subject, "alice");
            Ok(())
        }
        Validation::Inactive { reason, .. } => Err(reason),
    }
}

fn sealing_secret() -> Secret {
    Secret::new([9; 32])
}

fn key(number: i64, activates_at: Timestamp) -> StoredKey {
    let pair = NewPair::make(Algorithm::EdDsa, &sealing_secret(), [7; 12]).unwrap();
    pair.stored(Due { number, activates_at }, START, LIFE)
}

#[tokio::test]
async fn expiry_ends_a_remembered_token_to_the_second() {
    let scene = Scene::new(MEMORY).await;
    let token = scene.issue().await.access_token;
    assert_eq!(scene.judge(&token, None).await, Ok(()));
    scene.clock.advance(LIFE.saturating_sub(Duration::from_secs(1)));
    assert_eq!(scene.judge(&token, None).await, Ok(()));
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.judge(&token, None).await, Err(InactiveReason::Expired));
}

#[tokio::test]
async fn a_revocation_ends_a_remembered_token_at_once() {
    let scene = Scene::new(MEMORY).await;
    let tokens = scene.issue().await;
    assert_eq!(scene.judge(&tokens.access_token, None).await, Ok(()));
    scene.authority.revoke_refresh_token(&tokens.refresh_token, "test").await.unwrap();
    assert_eq!(scene.judge(&tokens.access_token, None).await, Err(InactiveReason::Revoked));
}

#[tokio::test]
async fn only_a_verified_token_is_judged_without_its_signature() {
    let scene = Scene::new(MEMORY).await;
    let tokens = scene.issue().await;
    let token = &tokens.access_token;
    assert_eq!(scene.judge_verified(token).await, None);
    assert_eq!(scene.judge(token, None).await, Ok(()));
    assert_eq!(scene.judge_verified(token).await, Some(Ok(())));
    assert_eq!(scene.judge_verified(&format!("{token}A")).await, None);
    scene.authority.revoke_refresh_token(&tokens.refresh_token, "test").await.unwrap();
    assert_eq!(scene.judge_verified(token).await, Some(Err(InactiveReason::Revoked)));
}

#[tokio::test]
async fn the_audience_that_is_asked_for_is_judged_each_time() {
    let scene = Scene::new(MEMORY).await;
    let token = scene.issue().await.access_token;
    for _ in 0..2 {
        assert_eq!(scene.judge(&token, Some("api")).await, Ok(()));
        assert_eq!(scene.judge(&token, Some("web")).await, Err(InactiveReason::WrongAudience));
        assert_eq!(scene.judge(&token, None).await, Ok(()));
    }
}

#[tokio::test]
async fn a_key_that_is_gone_takes_what_is_remembered_with_it() {
    let scene = Scene::new(MEMORY).await;
    let token = scene.issue().await.access_token;
    assert_eq!(scene.judge(&token, None).await, Ok(()));
    let successor = key(2, scene.clock.now() + MINUTE);
    scene.keys.load(&[successor]);
    assert_eq!(scene.judge(&token, None).await, Err(InactiveReason::UnknownKey));
    scene.keys.load(&[key(3, START)]);
    assert_eq!(scene.judge(&token, None).await, Err(InactiveReason::UnknownKey));
}

#[tokio::test]
async fn a_token_that_differs_in_one_character_is_another_one() {
    let scene = Scene::new(MEMORY).await;
    let token = scene.issue().await.access_token;
    assert_eq!(scene.judge(&token, None).await, Ok(()));
    for at in 0..token.len() {
        let mut other = token.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        assert!(other == token || scene.judge(&other, None).await.is_err(), "at {at}: {other}");
    }
}

#[tokio::test]
async fn without_memory_the_verdicts_are_the_same() {
    let scene = Scene::new(0).await;
    let tokens = scene.issue().await;
    for _ in 0..2 {
        assert_eq!(scene.judge(&tokens.access_token, None).await, Ok(()));
    }
    scene.authority.revoke_refresh_token(&tokens.refresh_token, "test").await.unwrap();
    assert_eq!(scene.judge(&tokens.access_token, None).await, Err(InactiveReason::Revoked));
}

/// The sweeper has deleted these sessions, so only their ids contain their age.
#[tokio::test]
async fn a_refresh_token_of_a_session_that_is_gone_has_expired_if_it_is_old_enough() {
    const DAY: Duration = Duration::from_hours(24);
    let scene = Scene::new(0).await;
    let refusal = async |id: SessionId| {
        let key = LineageKey::new([1; 32]);
        let token = RefreshToken::mint(&key, id, Generation::FIRST, [2; 32]);
        match scene.authority.refresh(&token.expose(), "").await.unwrap_err() {
            AuthorityError::Refresh(refusal) => Some(refusal),
            _ => None,
        }
    };
    for days in [31, 32, 365] {
        let id = SessionId::new(START - DAY * days, [3; 10]);
        assert_eq!(refusal(id).await, Some(RefreshRefusal::Expired), "{days} days");
    }
    for days in [0, 1, 29, 30] {
        let id = SessionId::new(START - DAY * days, [3; 10]);
        assert_eq!(refusal(id).await, Some(RefreshRefusal::Invalid), "{days} days");
    }
    for bytes in [[0; 16], [0xFF; 16], [0x40; 16]] {
        let id = SessionId::from(uuid::Uuid::from_bytes(bytes));
        assert_eq!(
            refusal(id).await,
            Some(RefreshRefusal::Invalid),
            "{bytes:?} is not an id of this service"
        );
    }
    let future = SessionId::new(START + DAY * 400, [3; 10]);
    assert_eq!(refusal(future).await, Some(RefreshRefusal::Invalid));
}
