//! The whole table of verdicts (`src/token/rotation.rs`), through a store and its database.

use std::sync::Arc;
use std::time::Duration;

use token_authority::clock::Timestamp;
use token_authority::store::{Open, Receipt, Refreshed, Revoke, Store, StoreError};
use token_authority::token::id::{Generation, SessionId, UserId};
use token_authority::token::refresh::{LineageKey, RefreshToken};
use token_authority::token::rotation::{Policy, Verdict};
use token_authority::token::session::{RevocationReason, Revoked, Session};

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, REACH, START, WINDOW};

/// One session, and a store over it.
struct Scene<'a> {
    database: &'a Database,
    store: Store,
    policy: Policy,
    memory: Memory,
    logins: Logins,
    opened: Session,
    first: RefreshToken,
}

/// What the store has cached of the session when a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// The session's key, as in a replica that has seen the session before.
    Kept,
    /// Nothing, as in a replica that has just started.
    Lost,
}

const MEMORIES: [Memory; 2] = [Memory::Kept, Memory::Lost];

impl<'a> Scene<'a> {
    async fn new(database: &'a Database, policy: Policy, memory: Memory) -> Self {
        Self::numbered(database, policy, memory, 0).await
    }

    /// Creates one of several scenes on one database.
    async fn numbered(database: &'a Database, policy: Policy, memory: Memory, number: u64) -> Self {
        let logins = Logins::new(number + if memory == Memory::Kept { 11 } else { 21 });
        let store = database.store(policy).await;
        let (open, first) = logins.login("u", START);
        let opened = open.session.clone();
        store.open(open).await.unwrap();
        Self { database, store, policy, memory, logins, opened, first }
    }

    async fn present(&self, token: &RefreshToken, now: Timestamp) -> Refreshed {
        let refresh = self.logins.refresh(token, now);
        match self.memory {
            Memory::Kept => self.store.refresh(refresh).await.unwrap(),
            Memory::Lost => {
                let rows = Arc::clone(&self.database.rows);
                Store::new(rows, self.policy, REACH).refresh(refresh).await.unwrap()
            }
        }
    }

    /// Presents a token, expects a verdict, and checks that the stored session equals the answered
    /// one.
    async fn expect(&self, token: &RefreshToken, now: Timestamp, verdict: Verdict) -> Refreshed {
        let refreshed = self.present(token, now).await;
        assert_eq!(refreshed.verdict, verdict);
        assert_eq!(self.session().await, refreshed.session);
        if let Some(token) = &refreshed.token {
            assert_eq!(token.hash(), refreshed.session.as_ref().unwrap().lineage.current);
        }
        refreshed
    }

    /// Does the same as [`Self::expect`], and returns the token of the answer.
    async fn expect_token(
        &self,
        token: &RefreshToken,
        now: Timestamp,
        verdict: Verdict,
    ) -> RefreshToken {
        self.expect(token, now, verdict).await.token.unwrap()
    }

    /// Presents a token that is not the current one and expects it back, unchanged.
    async fn expect_own(
        &self,
        token: &RefreshToken,
        now: Timestamp,
        verdict: Verdict,
    ) -> Refreshed {
        let refreshed = self.present(token, now).await;
        assert_eq!(refreshed.verdict, verdict);
        assert_eq!(self.session().await, refreshed.session);
        assert!(refreshed.token.as_ref() == Some(token));
        refreshed
    }

    /// Records the receipt of a generation.
    async fn record_receipt(&self, generation: u32, seen_at: Timestamp) {
        let generation = Generation::new(generation);
        let receipt = Receipt { session_id: self.opened.id, generation, seen_at };
        assert_eq!(self.database.rows.record_receipts(&[receipt]).await.unwrap(), 1);
    }

    async fn expect_theft(&self, token: &RefreshToken, now: Timestamp) {
        let stolen = self.expect(token, now, Verdict::Theft).await;
        let revoked = Revoked { at: now, reason: RevocationReason::Reuse };
        assert_eq!(stolen.session.unwrap().revoked, Some(revoked));
        assert!(stolen.token.is_none());
        assert!(self.expect(token, now, Verdict::Revoked).await.token.is_none());
    }

    async fn session(&self) -> Option<Session> {
        self.database.session(self.opened.id).await
    }

    async fn proven_at(&self) -> Option<Timestamp> {
        self.session().await.unwrap().lineage.proven_at
    }
}

const MOMENT: Duration = Duration::from_micros(1);

pub(crate) async fn the_current_token_rotates_unless_it_is_young(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        // The login's own token rotates at once.
        let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        assert!(second != scene.first && second.generation() == Generation::new(1));
        assert_eq!(scene.proven_at().await, None);

        let young = START + WINDOW;
        assert!(scene.expect_token(&second, young, Verdict::Young).await == second);
        // That is no receipt: the browser may die before it has written its cookies to disk.
        assert_eq!(scene.proven_at().await, None);

        let old = START + WINDOW + MOMENT;
        let third = scene.expect_token(&second, old, Verdict::Rotate).await;
        assert_eq!(third.generation(), Generation::new(2));
        let session = scene.session().await.unwrap();
        assert_eq!((session.lineage.handed_out_at, session.lineage.proven_at), (old, None));
        assert_eq!(session.last_used_at, old);
    }
}

pub(crate) async fn an_unproven_predecessor_gets_the_same_successor_again(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        // Each replay begins the window again.
        for nth in 1..=3 {
            let replayed =
                scene.expect_token(&scene.first, START + WINDOW * nth, Verdict::Replay).await;
            assert!(replayed == second);
        }
        let last = START + WINDOW * 3;
        scene.expect(&second, last + WINDOW, Verdict::Young).await;
    }
}

pub(crate) async fn a_predecessor_is_good_within_the_window_after_the_proof(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        let proven_at = START + WINDOW * 2 + MOMENT;
        scene.record_receipt(1, proven_at).await;
        let replayed = scene.expect_token(&scene.first, proven_at + WINDOW, Verdict::Replay).await;
        assert!(replayed == second);
        scene.expect_theft(&scene.first, proven_at + WINDOW + MOMENT).await;
    }
}

pub(crate) async fn a_lost_reply_is_made_good_a_day_later(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let lost = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        let second = scene.expect_token(&scene.first, START + DAY, Verdict::Remint).await;
        assert!(second != lost && second.generation() > lost.generation());
        // Once more: that reply was lost, too.
        let third = scene.expect_token(&scene.first, START + 2 * DAY, Verdict::Remint).await;
        scene.expect(&third, START + 2 * DAY, Verdict::Young).await;
        // A displaced token can only have been stolen.
        scene.expect_theft(&lost, START + 2 * DAY).await;
        scene.expect(&third, START + 2 * DAY, Verdict::Revoked).await;
    }
}

/// The re-mint may answer a late copy of a request, while the client holds the displaced token.
pub(crate) async fn a_displaced_token_is_good_beside_the_new_one_until_one_is_rotated(
    database: Database,
) {
    let remint = START + WINDOW * 2;
    for memory in MEMORIES {
        for the_displaced_one in [true, false] {
            let number = 100 + u64::from(the_displaced_one);
            let scene = Scene::numbered(&database, POLICY, memory, number).await;
            let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
            let third = scene.expect_token(&scene.first, remint, Verdict::Remint).await;
            for token in [&second, &third] {
                let answered = scene.expect_own(token, remint + WINDOW, Verdict::Young).await;
                assert_eq!(answered.session.unwrap().lineage.current, third.hash());
            }
            let (held, other) =
                if the_displaced_one { (&second, &third) } else { (&third, &second) };
            let now = remint + WINDOW + MOMENT;
            let fourth = scene.expect_token(held, now, Verdict::Rotate).await;
            assert_eq!(fourth.generation(), Generation::new(3));
            assert!(scene.expect_token(held, now, Verdict::Replay).await == fourth);
            scene.expect_theft(other, now).await;
        }
        // A moment later, the reply to the first request can no longer arrive.
        let scene = Scene::new(&database, POLICY, memory).await;
        let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        scene.expect(&scene.first, remint + MOMENT, Verdict::Remint).await;
        scene.expect_theft(&second, remint + MOMENT).await;
    }
}

/// A copy of the first request arrives after the page was reloaded, which rotated the token again.
pub(crate) async fn a_late_copy_after_a_rotation_changes_nothing(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        let reload = START + WINDOW + MOMENT;
        let third = scene.expect_token(&second, reload, Verdict::Rotate).await;
        let before = scene.session().await;
        scene.expect_own(&scene.first, START + WINDOW * 2, Verdict::Young).await;
        assert_eq!(scene.session().await, before);
        assert!(scene.expect_token(&second, START + WINDOW * 2, Verdict::Replay).await == third);
        scene.expect_theft(&scene.first, START + WINDOW * 3 + MOMENT).await;
    }
}

/// The version before does not write the column, so it keeps what an earlier change set aside.
pub(crate) async fn a_row_that_the_version_before_changed_holds_no_token_set_aside(
    database: Database,
) {
    let remint = START + WINDOW * 2;
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        let third = scene.expect_token(&scene.first, remint, Verdict::Remint).await;
        let stale = second.hash().to_hex();
        let fourth = scene.expect_token(&third, remint + DAY, Verdict::Rotate).await;
        let left = format!(
            "UPDATE user_sessions SET set_aside = '{stale}' WHERE token = '{}'",
            fourth.hash().to_hex()
        );
        database.execute(&left).await;
        // It is not acceptable beside the current token, and a thief cannot use it for long.
        let answered = scene.expect_own(&second, remint + DAY, Verdict::Young).await;
        assert!(!answered.session.unwrap().lineage.is_beside(&second));
        scene.expect_theft(&second, remint + DAY + WINDOW + MOMENT).await;
    }
}

pub(crate) async fn an_ancestor_fifty_generations_old_is_a_theft(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let (other, others_token) = scene.logins.login("u", START);
        let (foreign, _) = scene.logins.login("v", START);
        for open in [&other, &foreign] {
            scene.store.open(open.clone()).await.unwrap();
        }
        let (mut token, mut now) = (scene.first.clone(), START);
        for _ in 0..50 {
            now = now + WINDOW * 2;
            token = scene.expect_token(&token, now, Verdict::Rotate).await;
        }
        assert_eq!(token.generation(), Generation::new(50));
        scene.expect_theft(&scene.first, now + WINDOW * 2).await;
        // Only this session is revoked.
        scene.expect(&token, now + WINDOW * 2, Verdict::Revoked).await;
        for open in [&other, &foreign] {
            assert_eq!(scene.database.session(open.session.id).await.unwrap(), open.session);
        }
        let refreshed = scene.present(&others_token, now).await;
        assert_eq!(refreshed.verdict, Verdict::Rotate);
    }
}

pub(crate) async fn a_forgery_changes_nothing(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let second = scene.expect_token(&scene.first, START, Verdict::Rotate).await;
        let (before, revision) =
            (scene.session().await, scene.database.revision(scene.opened.id).await);
        let mut forgeries: Vec<RefreshToken> = Vec::new();
        // An attacker who knows the session's id, but not its key.
        let guess = LineageKey::new([0; 32]);
        for number in 0..3 {
            let generation = Generation::new(number);
            forgeries.push(RefreshToken::mint(&guess, scene.opened.id, generation, [7; 32]));
        }
        // One character is changed, in each part of the token.
        for place in [4, 20, 28, 40, 60, 90, 115] {
            let mut text = second.expose().into_bytes();
            text[place] = if text[place] == b'A' { b'B' } else { b'A' };
            forgeries.extend(RefreshToken::parse(&String::from_utf8(text).unwrap()));
        }
        // The MAC is right, but the token was not minted yet.
        let key = &scene.opened.lineage.key;
        forgeries.push(RefreshToken::mint(key, scene.opened.id, Generation::new(2), [7; 32]));
        assert!(forgeries.len() >= 10);
        for forgery in &forgeries {
            for now in [START, START + DAY] {
                let refreshed = scene.present(forgery, now).await;
                assert_eq!(refreshed.verdict, Verdict::Invalid);
                assert!(refreshed.token.is_none());
            }
        }
        assert_eq!(scene.session().await, before);
        assert_eq!(scene.database.revision(scene.opened.id).await, revision);
        scene.expect(&second, START, Verdict::Young).await;
    }
}

pub(crate) async fn rotation_can_be_switched_off(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, Policy { rotation: false, ..POLICY }, memory).await;
        for days in 0..3 {
            let now = START + DAY * days;
            let kept = scene.expect(&scene.first, now, Verdict::Keep).await;
            assert!(kept.token.unwrap() == scene.first);
            let session = kept.session.unwrap();
            assert_eq!(session.expires_at, now + POLICY.refresh_lifetime);
            assert_eq!(session.last_used_at, now);
        }
    }
}

pub(crate) async fn use_prolongs_a_session_up_to_its_longest_life(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        let end = START + POLICY.session_max_lifetime;
        let (mut token, mut now) = (scene.first.clone(), START);
        while now < end {
            let refreshed = scene.expect(&token, now, Verdict::Rotate).await;
            let expires_at = refreshed.session.unwrap().expires_at;
            assert_eq!(expires_at, (now + POLICY.refresh_lifetime).min(end));
            token = refreshed.token.unwrap();
            now = now + 6 * DAY;
        }
        scene.expect(&token, end, Verdict::Expired).await;

        // Without use, the session ends earlier.
        let (open, unused) = scene.logins.login("u", START);
        scene.store.open(open).await.unwrap();
        let last = START + POLICY.refresh_lifetime;
        assert_eq!(scene.present(&unused, last).await.verdict, Verdict::Expired);
        assert_eq!(scene.present(&unused, last - MOMENT).await.verdict, Verdict::Rotate);
    }
}

pub(crate) async fn a_validated_access_token_proves_its_generation(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        scene.expect(&scene.first, START, Verdict::Rotate).await;
        let receipt = |number| Receipt {
            session_id: scene.opened.id,
            generation: Generation::new(number),
            seen_at: START + MOMENT,
        };
        // An access token of the generation before proves no receipt of this one.
        scene.store.record_receipts(receipt(0));
        scene.store.record_receipts(receipt(1));
        while scene.proven_at().await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(scene.proven_at().await, Some(START + MOMENT));
        // The first token is no longer needed by any client, so presenting it is a theft.
        scene.expect_theft(&scene.first, START + WINDOW * 2).await;
    }
}

pub(crate) async fn sessions_are_revoked_by_token_by_id_and_by_user(database: Database) {
    let logins = Logins::new(12);
    let store = database.store(POLICY).await;
    let logged_in: Vec<(Open, RefreshToken)> = (0..5).map(|_| logins.login("u", START)).collect();
    for (open, _) in &logged_in {
        store.open(open.clone()).await.unwrap();
    }
    let id = |i: usize| logged_in[i].0.session.id;
    let now = START + DAY;
    let revoke = async |revoke| -> Result<Vec<SessionId>, StoreError> {
        let reason = Revoke::reason(&revoke);
        let revoked = store.revoke(revoke, now).await?;
        for session in revoked.iter().map(|ended| &ended.session) {
            assert_eq!(session.revoked, Some(Revoked { at: now, reason }));
            assert_eq!(database.session(session.id).await.as_ref(), Some(session));
        }
        Ok(revoked.iter().map(|ended| ended.session.id).collect())
    };

    let by_token = || Revoke::ByToken(logged_in[0].1.clone());
    assert_eq!(revoke(by_token()).await.unwrap(), [id(0)]);
    assert_eq!(revoke(by_token()).await.unwrap(), []);
    // A token of that session that this service never minted ends nothing.
    let forged = RefreshToken::mint(&LineageKey::new([0; 32]), id(1), Generation::FIRST, [7; 32]);
    assert_eq!(revoke(Revoke::ByToken(forged)).await.unwrap(), []);
    assert_eq!(revoke(Revoke::Session(id(1))).await.unwrap(), [id(1)]);
    assert_eq!(revoke(Revoke::Session(logins.login("u", START).0.session.id)).await.unwrap(), []);

    let user = UserId::new("u").unwrap();
    let of_user = |except| Revoke::User { user_id: user.clone(), except };
    let mut revoked = revoke(of_user(Some(id(2)))).await.unwrap();
    revoked.sort();
    let mut expected = [id(3), id(4)];
    expected.sort();
    assert_eq!(revoked, expected);
    assert_eq!(revoke(of_user(None)).await.unwrap(), [id(2)]);
    for (_, token) in &logged_in {
        let refreshed = store.refresh(logins.refresh(token, now)).await.unwrap();
        assert_eq!(refreshed.verdict, Verdict::Revoked);
    }
}

pub(crate) async fn a_session_that_is_gone_is_unknown(database: Database) {
    for memory in MEMORIES {
        let scene = Scene::new(&database, POLICY, memory).await;
        assert_eq!(scene.store.find(scene.opened.id).await.unwrap(), Some(scene.opened.clone()));
        let after = scene.opened.expires_at + MOMENT;
        assert_eq!(scene.store.purge(after, 10).await.unwrap().deleted, 1);
        let refreshed = scene.present(&scene.first, after).await;
        assert_eq!((refreshed.verdict, refreshed.session), (Verdict::Invalid, None));
        assert_eq!(scene.store.find(scene.opened.id).await.unwrap(), None);
    }
}
