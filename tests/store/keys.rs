//! Signing keys: what is written can be read, and if many replicas create the next key, one
//! succeeds.

use std::time::Duration;

use token_authority::token::key::{KeyUse, StoredKey};
use token_authority::token::seal::Sealed;

use crate::database::Database;
use crate::logins::START;

const SECOND: Duration = Duration::from_secs(1);

fn key(number: i64, kid: &str) -> StoredKey {
    StoredKey {
        number,
        kid: kid.into(),
        algorithm: "EdDSA".into(),
        public_jwk: r#"{"crv":"Ed25519","kty":"OKP","x":"'ü"}"#.into(),
        private: Sealed::from_stored(vec![0, 255, 1, 0]),
        sealed_with: "1a2b3c4d".into(),
        created_at: START,
        activates_at: START + Duration::from_micros(1),
        token_life: 1800 * SECOND,
        ends_at: None,
    }
}

pub(crate) async fn a_key_survives_whole(database: Database) {
    let rows = &database.rows;
    assert_eq!(rows.load_keys().await.unwrap(), []);
    let ended = StoredKey { ends_at: Some(START + SECOND), ..key(2, "b") };
    assert!(rows.insert_key(&ended).await.unwrap());
    assert!(rows.insert_key(&key(1, "a")).await.unwrap());
    assert!(!rows.insert_key(&key(1, "c")).await.unwrap(), "the number is taken");
    assert_eq!(database.replica().await.load_keys().await.unwrap(), [key(1, "a"), ended]);
}

pub(crate) async fn of_many_at_once_one_makes_the_next_key(database: Database) {
    let mut replicas = Vec::new();
    for _ in 0..4 {
        let rows = database.replica().await;
        // Opens a connection, so that all inserts happen at the same time.
        rows.load_keys().await.unwrap();
        replicas.push(rows);
    }
    for number in 1..=5 {
        let mut making = Vec::new();
        for (replica, rows) in replicas.iter().cloned().enumerate() {
            making.push(tokio::spawn(async move {
                rows.insert_key(&key(number, &format!("{number}-{replica}"))).await.unwrap()
            }));
        }
        let mut made = 0;
        for one in making {
            made += u32::from(one.await.unwrap());
        }
        assert_eq!(made, 1);
        assert_eq!(
            database.rows.load_keys().await.unwrap().len(),
            usize::try_from(number).unwrap()
        );
    }
}

pub(crate) async fn a_keys_life_is_only_lengthened_and_its_end_only_hastened(database: Database) {
    let rows = &database.rows;
    for (number, kid) in [(1, "a"), (2, "b"), (3, "c")] {
        rows.insert_key(&key(number, kid)).await.unwrap();
    }
    rows.raise_token_life(1, 3600 * SECOND).await.unwrap();
    rows.raise_token_life(1, 60 * SECOND).await.unwrap();
    assert_eq!(rows.end_keys(2, START + 9 * SECOND).await.unwrap(), 2);
    assert_eq!(rows.end_keys(1, START + 5 * SECOND).await.unwrap(), 1);
    assert_eq!(rows.end_keys(1, START + 7 * SECOND).await.unwrap(), 0);
    let keys = rows.load_keys().await.unwrap();
    let lives: Vec<_> = keys.iter().map(|key| key.token_life.as_secs()).collect();
    assert_eq!(lives, [3600, 1800, 1800]);
    let ends: Vec<_> = keys.iter().map(|key| key.ends_at).collect();
    assert_eq!(ends, [Some(START + 5 * SECOND), Some(START + 9 * SECOND), None]);
}

pub(crate) async fn the_latest_use_counts_and_goes_with_its_key(database: Database) {
    let rows = &database.rows;
    let seen = |kid: &str, seconds: u32| KeyUse {
        kid: kid.into(),
        last_verified_at: START + seconds * SECOND,
    };
    rows.insert_key(&key(1, "a")).await.unwrap();
    rows.note_key_uses(&[seen("hs-1", 4), seen("a", 5)]).await.unwrap();
    rows.note_key_uses(&[seen("a", 3), seen("hs-1", 9)]).await.unwrap();
    assert_eq!(rows.key_uses().await.unwrap(), [seen("a", 5), seen("hs-1", 9)]);
    assert_eq!(rows.delete_keys(&["a".into(), "none".into()]).await.unwrap(), 1);
    assert_eq!(rows.key_uses().await.unwrap(), [seen("hs-1", 9)]);
    assert_eq!(rows.load_keys().await.unwrap(), []);
}
