//! Many operations at once, through one replica and through two.

use futures::future::join_all;
use token_authority::clock::Timestamp;
use token_authority::store::{Open, Opened, Revoke, Store};
use token_authority::token::id::Generation;
use token_authority::token::refresh::RefreshToken;
use token_authority::token::rotation::Verdict;
use token_authority::token::session::RevocationReason;

use crate::database::Database;
use crate::logins::{DAY, Logins, POLICY, START, request_key};

pub(crate) async fn fifty_refreshes_of_one_token_have_one_successor(database: Database) {
    let logins = Logins::new(13);
    let store = database.store(POLICY).await;
    let (open, first) = logins.login("u", START);
    let id = open.session.id;
    store.open(open).await.unwrap();
    // First through one replica, then through two with separate connections and shards.
    let second = present_fifty_times(&[&store], &first, START).await;
    assert_eq!(second.generation(), Generation::new(1));
    let other = database.store(POLICY).await;
    let third = present_fifty_times(&[&store, &other], &second, START + DAY).await;
    assert_eq!(third.generation(), Generation::new(2));
    assert_eq!(database.session(id).await.unwrap().lineage.current, third.hash());
    assert_eq!(database.query("SELECT id FROM user_sessions").await.len(), 1);
}

/// Returns the one token that all callers receive in exchange.
async fn present_fifty_times(
    replicas: &[&Store],
    token: &RefreshToken,
    now: Timestamp,
) -> RefreshToken {
    let logins = Logins::new(60 + u64::from(token.generation().number()));
    let present = |i: usize| replicas[i % replicas.len()].refresh(logins.refresh(token, now));
    let mut answers = Vec::new();
    for answer in join_all((0..50).map(present)).await {
        answers.push(answer.unwrap());
    }
    let count = |verdict| answers.iter().filter(|answer| answer.verdict == verdict).count();
    assert_eq!((count(Verdict::Rotate), count(Verdict::Replay)), (1, 49));
    let successor = answers[0].token.clone().unwrap();
    assert!(answers.iter().all(|answer| answer.token.as_ref() == Some(&successor)));
    successor
}

pub(crate) async fn many_sessions_through_two_replicas_lose_nothing(database: Database) {
    let logins = Logins::new(14);
    let stores = [database.store(POLICY).await, database.store(POLICY).await];
    let logged_in: Vec<_> = (0..100).map(|_| logins.login("u", START)).collect();
    let opened =
        logged_in.iter().enumerate().map(|(i, (open, _))| stores[i % 2].open(open.clone()));
    assert!(join_all(opened).await.iter().all(|opened| matches!(opened, Ok(Opened::New))));
    // Both replicas use each session at once, in opposite orders, so their batches overlap.
    let there = logged_in.iter().map(|(_, token)| stores[0].refresh(logins.refresh(token, START)));
    let back =
        logged_in.iter().rev().map(|(_, token)| stores[1].refresh(logins.refresh(token, START)));
    let (there, mut back) = tokio::join!(join_all(there), join_all(back));
    back.reverse();
    for (a, b) in there.into_iter().zip(back) {
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.token.is_some() && a.token == b.token);
    }
}

pub(crate) async fn a_retried_login_is_one_session(database: Database) {
    let logins = Logins::new(15);
    let stores = [database.store(POLICY).await, database.store(POLICY).await];
    let tries: Vec<Open> = (0..20).map(|_| logins.retriable("u", "key", START)).collect();
    let opened = tries.iter().enumerate().map(|(i, open)| stores[i % 2].open(open.clone()));
    let opened = join_all(opened).await;
    let mut new = Vec::new();
    let mut before = Vec::new();
    for (open, opened) in tries.iter().zip(opened) {
        match opened.unwrap() {
            Opened::New | Opened::Evicting(_) => new.push(open),
            Opened::Before(earlier) => before.push(earlier),
        }
    }
    let [new] = new[..] else { panic!("{} sessions", new.len()) };
    assert_eq!(before.len(), 19);
    for earlier in before {
        assert_eq!(earlier.session, new.session);
        assert!(earlier.sealed.as_ref() == Some(&new.request.as_ref().unwrap().sealed));
    }
    assert_eq!(database.query("SELECT id FROM user_sessions").await.len(), 1);
    let found = database.rows.find_requests(&[request_key("key")]).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().session, new.session);
}

pub(crate) async fn batches_with_the_same_keys_do_not_block_each_other(database: Database) {
    let logins = Logins::new(16);
    let replica = database.replica().await;
    let batch = |keys: &mut dyn Iterator<Item = u32>| -> Vec<Open> {
        keys.map(|key| logins.retriable("u", &format!("{key}"), START)).collect()
    };
    for round in 0..5 {
        let keys = round * 100..round * 100 + 100;
        let (up, down) = (batch(&mut keys.clone()), batch(&mut keys.rev()));
        let (up, down) = tokio::join!(database.rows.insert(&up), replica.insert(&down));
        let (up, mut down) = (up.unwrap(), down.unwrap());
        down.reverse();
        assert!(up.iter().zip(&down).all(|(up, down)| up != down));
    }
}

pub(crate) async fn a_revocation_wins_against_refreshes(database: Database) {
    let logins = Logins::new(17);
    let stores = [database.store(POLICY).await, database.store(POLICY).await];
    for round in 0..10 {
        let (open, first) = logins.login("u", START);
        let id = open.session.id;
        stores[0].open(open).await.unwrap();
        let present = |i: usize| stores[(i + round) % 2].refresh(logins.refresh(&first, START));
        let revocation = stores[round % 2].revoke(Revoke::Session(id), START);
        let (answers, revoked) = tokio::join!(join_all((0..10).map(present)), revocation);
        assert_eq!(revoked.unwrap().len(), 1);
        for answer in answers {
            let verdict = answer.unwrap().verdict;
            let expected = [Verdict::Rotate, Verdict::Replay, Verdict::Revoked];
            assert!(expected.contains(&verdict), "{verdict:?}");
        }
        let session = database.session(id).await.unwrap();
        assert_eq!(session.revoked.unwrap().reason, RevocationReason::Admin);
    }
}
