//! The schema: no schema, this version's, a newer one, and several migrations at once.

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
    let Schema::Behind { applied: 0, known } = empty.rows.check().await.unwrap() else {
        panic!("an empty database is not behind");
    };
    let refused = empty.rows.load(&[Logins::new(20).login("u", START).0.session.id]).await;
    assert!(matches!(refused, Err(StoreError::Inconsistent(_))), "{refused:?}");

    assert_eq!(database.rows.check().await.unwrap(), Schema::Current);
    assert_eq!(database.rows.migrate().await.unwrap(), Schema::Current);

    database.execute(&enter(known + 1, "expand_more")).await;
    let ahead = |more, expanded_only| Schema::Ahead { applied: known + more, known, expanded_only };
    assert_eq!(database.rows.check().await.unwrap(), ahead(1, true));
    assert_eq!(database.rows.migrate().await.unwrap(), ahead(1, true));
    database.execute(&enter(known + 2, "contract_less")).await;
    assert_eq!(database.rows.check().await.unwrap(), ahead(2, false));

    let edit = "UPDATE _sqlx_migrations SET description = 'other' WHERE version = 1";
    database.execute(edit).await;
    assert_eq!(database.rows.check().await.unwrap(), ahead(2, false));
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
        let twice = "SELECT version FROM _sqlx_migrations GROUP BY version HAVING count(*) > 1";
        assert_eq!(empty.query(twice).await, Vec::<Vec<_>>::new());
        let listed = "SELECT version FROM _sqlx_migrations ORDER BY version";
        assert_eq!(empty.query(listed).await, database.query(listed).await);
    }
}

pub(crate) async fn a_column_that_this_version_does_not_know_is_left_alone(database: Database) {
    let logins = Logins::new(21);
    let old = logins.login("u", START).0;
    database.rows.insert(std::slice::from_ref(&old)).await.unwrap();
    // Statements that were prepared before the change still work after it.
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
