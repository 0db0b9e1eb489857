//! The schema: none, this version's, a newer one, several at it at once.

use futures::future::join_all;
use token_authority::store::StoreError;
use token_authority::store::rows::Schema;

use crate::database::Database;
use crate::logins::{Logins, START};

fn enter(number: i64, name: &str) -> String {
    format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ({number}, '{name}', true, '', 0)"
    )
}

pub(crate) async fn its_state_is_told(database: Database) {
    let empty = database.another_empty().await;
    assert_eq!(empty.rows.check().await.unwrap(), Schema::Behind { applied: 0, known: 1 });
    let refused = empty.rows.load(&[Logins::new(20).login("u", START).0.session.id]).await;
    assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");

    assert_eq!(database.rows.check().await.unwrap(), Schema::Current);
    assert_eq!(database.rows.migrate().await.unwrap(), Schema::Current);

    database.execute(&enter(2, "expand_more")).await;
    let ahead = |applied, expanded_only| Schema::Ahead { applied, known: 1, expanded_only };
    assert_eq!(database.rows.check().await.unwrap(), ahead(2, true));
    assert_eq!(database.rows.migrate().await.unwrap(), ahead(2, true));
    database.execute(&enter(3, "contract_less")).await;
    assert_eq!(database.rows.check().await.unwrap(), ahead(3, false));

    let edit = "UPDATE _sqlx_migrations SET description = 'other' WHERE version = 1";
    database.execute(edit).await;
    assert_eq!(database.rows.check().await.unwrap(), ahead(3, false));
    database.execute("UPDATE _sqlx_migrations SET checksum = '' WHERE version = 1").await;
    for refused in [database.rows.check().await, database.rows.migrate().await] {
        assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");
    }
}

pub(crate) async fn several_migrate_at_once(database: Database) {
    for _ in 0..5 {
        let empty = database.another_empty().await;
        let replicas = join_all((0..4).map(|_| empty.replica())).await;
        let migrated = join_all(replicas.iter().map(|rows| rows.migrate())).await;
        for schema in migrated {
            assert_eq!(schema.unwrap(), Schema::Current);
        }
        let listed = empty.query("SELECT version FROM _sqlx_migrations").await;
        assert_eq!(listed, [[Some("1".to_owned())]]);
    }
}

pub(crate) async fn a_column_that_this_version_does_not_know_is_left_alone(database: Database) {
    let logins = Logins::new(21);
    let old = logins.login("u", START).0;
    database.rows.insert(std::slice::from_ref(&old)).await.unwrap();
    // Statements that were prepared before the change go on working after it.
    for _ in 0..8 {
        database.session(old.session.id).await.unwrap();
    }
    database
        .execute("ALTER TABLE user_sessions ADD COLUMN added_later integer NOT NULL DEFAULT 5")
        .await;
    let new = logins.login("u", START).0;
    assert_eq!(database.rows.insert(std::slice::from_ref(&new)).await.unwrap(), [true]);
    for open in [old, new] {
        assert_eq!(database.session(open.session.id).await.unwrap(), open.session);
    }
}
