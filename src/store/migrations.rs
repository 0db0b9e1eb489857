//! The schema's migrations, embedded in the binary, and their comparison with a database's list of
//! applied migrations.
//!
//! The list is the table `_sqlx_migrations` in the format of sqlx's command line tool, so that this
//! tool can show it. sqlx's own runner is not used here: it prepares statements by name and takes
//! an advisory lock, and both fail behind a transaction pooler
//! (`docs/adr/0006-connections-and-migrations.md`). The rules for migrations are in
//! `docs/migrations.md`.

use std::borrow::Cow;
use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

use super::StoreError;
use super::rows::Schema;

/// A migration in the sources: number, name, text.
type Source = (i64, &'static str, &'static str);

const POSTGRES: [Source; 10] = [
    (1, "expand_sessions", include_str!("../../migrations/postgres/0001_expand_sessions.sql")),
    (
        2,
        "expand_signing_keys",
        include_str!("../../migrations/postgres/0002_expand_signing_keys.sql"),
    ),
    (
        3,
        "expand_revocations",
        include_str!("../../migrations/postgres/0003_expand_revocations.sql"),
    ),
    (4, "expand_rollout", include_str!("../../migrations/postgres/0004_expand_rollout.sql")),
    (
        5,
        "expand_access_ends",
        include_str!("../../migrations/postgres/0005_expand_access_ends.sql"),
    ),
    (6, "expand_lifetimes", include_str!("../../migrations/postgres/0006_expand_lifetimes.sql")),
    (
        7,
        "expand_changed_sessions",
        include_str!("../../migrations/postgres/0007_expand_changed_sessions.sql"),
    ),
    (8, "expand_set_aside", include_str!("../../migrations/postgres/0008_expand_set_aside.sql")),
    (
        9,
        "expand_session_events",
        include_str!("../../migrations/postgres/0009_expand_session_events.sql"),
    ),
    (
        10,
        "expand_device_bound_sessions",
        include_str!("../../migrations/postgres/0010_expand_device_bound_sessions.sql"),
    ),
];

const SQLITE: [Source; 10] = [
    (1, "expand_sessions", include_str!("../../migrations/sqlite/0001_expand_sessions.sql")),
    (
        2,
        "expand_signing_keys",
        include_str!("../../migrations/sqlite/0002_expand_signing_keys.sql"),
    ),
    (3, "expand_revocations", include_str!("../../migrations/sqlite/0003_expand_revocations.sql")),
    (4, "expand_rollout", include_str!("../../migrations/sqlite/0004_expand_rollout.sql")),
    (5, "expand_access_ends", include_str!("../../migrations/sqlite/0005_expand_access_ends.sql")),
    (6, "expand_lifetimes", include_str!("../../migrations/sqlite/0006_expand_lifetimes.sql")),
    (
        7,
        "expand_changed_sessions",
        include_str!("../../migrations/sqlite/0007_expand_changed_sessions.sql"),
    ),
    (8, "expand_set_aside", include_str!("../../migrations/sqlite/0008_expand_set_aside.sql")),
    (
        9,
        "expand_session_events",
        include_str!("../../migrations/sqlite/0009_expand_session_events.sql"),
    ),
    (
        10,
        "expand_device_bound_sessions",
        include_str!("../../migrations/sqlite/0010_expand_device_bound_sessions.sql"),
    ),
];

/// The prefix of migrations that leave the previous version working.
const EXPANSION: &str = "expand_";

/// Returns this version's migrations for Postgres, in order. Their checksums are computed once,
/// since each readiness probe compares them.
pub(super) fn postgres() -> &'static [Migration] {
    static EMBEDDED: LazyLock<Vec<Migration>> = LazyLock::new(|| POSTGRES.map(embed).into());
    &EMBEDDED
}

/// Returns this version's migrations for SQLite, in order. Computed once, as for Postgres.
pub(super) fn sqlite() -> &'static [Migration] {
    static EMBEDDED: LazyLock<Vec<Migration>> = LazyLock::new(|| SQLITE.map(embed).into());
    &EMBEDDED
}

fn embed((number, name, sql): Source) -> Migration {
    let sql = sql.into_sql_str();
    Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, sql, false)
}

/// A migration in a database's list.
#[derive(Debug, Clone)]
pub(super) struct Applied {
    pub(super) number: i64,
    pub(super) name: String,
    pub(super) checksum: Vec<u8>,
}

/// What to do about tables of another application, on Postgres.
pub(super) const REMEDY_POSTGRES: &str = "set DATABASE_SCHEMA to a schema of this service's own, \
    such as token_authority, which `migrate` creates; or use another database";
/// What to do about tables of another application, on SQLite.
pub(super) const REMEDY_SQLITE: &str = "name another file in DATABASE_URL";

/// Returns the names of the tables and indexes that a migration creates.
pub(super) fn created_names(migration: &Migration) -> Vec<String> {
    let words: Vec<&str> = migration.sql.as_str().split_whitespace().collect();
    let names = (0..words.len()).filter_map(|i| match words[i..] {
        // With `IF NOT EXISTS`, an operator may have created the object by hand.
        ["CREATE", "TABLE" | "INDEX", name, ..] | ["CREATE", "UNIQUE", "INDEX", name, ..]
            if name != "IF" =>
        {
            Some(name)
        }
        _ => None,
    });
    names.map(|name| name.trim_end_matches('(').to_owned()).collect()
}

/// Returns the error for tables or indexes of our names that this service did not create.
pub(super) fn foreign(names: &[String], remedy: &str) -> StoreError {
    let names = names.join(", ");
    StoreError::Inconsistent(format!(
        "the database has tables or indexes that this service did not create: {names}. Nothing \
         was changed; {remedy}"
    ))
}

/// Returns the names that the missing migrations would create.
pub(super) fn names_to_create(known: &[Migration], applied: &[Applied]) -> Vec<String> {
    let is_applied = |one: &Migration| applied.iter().any(|applied| applied.number == one.version);
    known.iter().filter(|one| !is_applied(one)).flat_map(created_names).collect()
}

/// Returns the migrations of `known` that are not `applied` yet.
///
/// # Errors
/// Returns [`StoreError::Inconsistent`] if a migration was applied with another text.
pub(super) fn missing<'a>(
    known: &'a [Migration],
    applied: &[Applied],
) -> Result<Vec<&'a Migration>, StoreError> {
    let mut missing = Vec::new();
    for migration in known {
        match applied.iter().find(|applied| applied.number == migration.version) {
            None => missing.push(migration),
            Some(applied) if applied.checksum == *migration.checksum => {}
            Some(applied) if applied.name != *migration.description => {
                return Err(another_applications_list());
            }
            Some(applied) => {
                let number = applied.number;
                return Err(StoreError::Inconsistent(format!(
                    "migration {number} was applied with another text than this version has: use a binary of the version that migrated this database, or restore the original file"
                )));
            }
        }
    }
    let ours = |one: &Applied| one.name.starts_with(EXPANSION) || one.name.starts_with("contract_");
    let known_number = |one: &Applied| known.iter().any(|known| known.version == one.number);
    if !missing.is_empty() && applied.iter().any(|one| !known_number(one) && !ours(one)) {
        return Err(another_applications_list());
    }
    Ok(missing)
}

fn another_applications_list() -> StoreError {
    StoreError::Inconsistent(format!(
        "the table _sqlx_migrations lists the migrations of another application. Nothing was \
         changed; {REMEDY_POSTGRES}"
    ))
}

/// Compares a database's list with this version's migrations.
///
/// # Errors
/// Returns [`StoreError::Inconsistent`] if a migration was applied with another text.
pub(super) fn compare(known: &[Migration], applied: &[Applied]) -> Result<Schema, StoreError> {
    let newest_known = known.iter().map(|migration| migration.version).max().unwrap_or(0);
    let newest_applied = applied.iter().map(|applied| applied.number).max().unwrap_or(0);
    if !missing(known, applied)?.is_empty() {
        return Ok(Schema::Behind { applied: newest_applied, known: newest_known });
    }
    let is_unknown = |one: &&Applied| known.iter().all(|migration| migration.version != one.number);
    let mut unknown = applied.iter().filter(is_unknown).peekable();
    if unknown.peek().is_none() {
        return Ok(Schema::Current);
    }
    let expanded_only = unknown.all(|applied| applied.name.starts_with(EXPANSION));
    Ok(Schema::Ahead { applied: newest_applied, known: newest_known, expanded_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(number: i64, name: &str) -> Applied {
        let checksum = postgres()
            .iter()
            .find(|known| known.version == number)
            .map_or_else(Vec::new, |known| known.checksum.to_vec());
        Applied { number, name: name.into(), checksum }
    }

    fn stands(applied: &[Applied]) -> Schema {
        compare(postgres(), applied).unwrap()
    }

    #[test]
    fn both_databases_have_the_same_numbers_and_names() {
        let of = |migrations: &'static [Migration]| {
            migrations.iter().map(|one| (one.version, &*one.description)).collect::<Vec<_>>()
        };
        assert_eq!(of(postgres()), of(sqlite()));
        let numbers: Vec<i64> = of(postgres()).iter().map(|(number, _)| *number).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        for (_, name) in of(postgres()) {
            assert!(name.starts_with(EXPANSION) || name.starts_with("contract_"), "{name}");
        }
    }

    #[test]
    fn every_file_is_embedded() {
        for (folder, known) in [("postgres", postgres()), ("sqlite", sqlite())] {
            let folder = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let embedded: Vec<String> = known
                .iter()
                .map(|one| format!("{:04}_{}.sql", one.version, one.description))
                .collect();
            assert_eq!(files, embedded);
        }
    }

    /// Returns a migration's statements as words, without comments.
    fn statements(migration: &Migration) -> Vec<Vec<&str>> {
        let lines = migration.sql.as_str().lines();
        let words = lines.filter(|line| !line.trim_start().starts_with("--")).flat_map(|line| {
            let separate = |c: char| c.is_whitespace() || c == '(';
            line.split(separate).filter(|word| !word.is_empty())
        });
        let words: Vec<&str> = words.collect();
        words.split_inclusive(|word| word.ends_with(';')).map(<[&str]>::to_vec).collect()
    }

    #[test]
    fn no_migration_holds_a_lock_on_a_large_table_for_long() {
        for migration in postgres().iter().chain(sqlite()) {
            let number = migration.version;
            let (mut created, mut is_altered) = (Vec::new(), false);
            for statement in statements(migration) {
                match statement[..] {
                    ["CREATE", "TABLE", table, ..] => created.push(table),
                    ["ALTER", "TABLE", table, ..] if !created.contains(&table) => {
                        is_altered = true;
                        let checks = ["CHECK", "REFERENCES", "UNIQUE"];
                        let reads = statement.iter().any(|word| checks.contains(word));
                        assert!(!reads, "{number} reads all of {table}: {statement:?}");
                    }
                    ["CREATE", "INDEX" | "UNIQUE", ..] => {
                        let on = statement.iter().skip_while(|word| **word != "ON").nth(1);
                        let is_new = on.is_some_and(|table| created.contains(table));
                        assert!(
                            is_new || !is_altered,
                            "{number} builds {statement:?} under a lock"
                        );
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn a_newer_schema_is_bearable_if_it_only_expanded() {
        let ours: Vec<Applied> =
            postgres().iter().map(|one| applied(one.version, &one.description)).collect();
        let known = ours.last().unwrap().number;
        let with = |more: &[Applied]| [&ours[..], more].concat();
        let (more, less) = (applied(998, "expand_more"), applied(999, "contract_less"));
        assert_eq!(stands(&[]), Schema::Behind { applied: 0, known });
        assert_eq!(stands(&ours), Schema::Current);
        assert_eq!(
            stands(&with(std::slice::from_ref(&more))),
            Schema::Ahead { applied: 998, known, expanded_only: true }
        );
        assert_eq!(
            stands(&with(&[more.clone(), less])),
            Schema::Ahead { applied: 999, known, expanded_only: false }
        );
        assert_eq!(stands(&[more]), Schema::Behind { applied: 998, known });
    }

    #[test]
    fn the_names_that_migrations_create_are_found() {
        for known in [postgres(), sqlite()] {
            let names = names_to_create(known, &[]);
            for name in ["user_sessions", "user_sessions_by_user", "signing_keys", "revocations"] {
                assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
            }
            assert!(names.iter().all(|name| name.starts_with(|c: char| c.is_ascii_lowercase())));
            let first = Applied { number: 1, name: "expand_sessions".into(), checksum: vec![] };
            assert!(!names_to_create(known, &[first]).contains(&"user_sessions".to_owned()));
        }
    }

    #[test]
    fn another_applications_list_is_noticed() {
        let timestamped = applied(20_240_101_000_000, "create users");
        let same_number = Applied { checksum: vec![0], ..applied(1, "create users") };
        for list in [vec![timestamped], vec![same_number]] {
            let error = compare(postgres(), &list).unwrap_err().to_string();
            assert!(error.contains("another application"), "{error}");
        }
    }

    #[test]
    fn an_edited_migration_is_noticed() {
        let edited = Applied { checksum: vec![0], ..applied(1, "expand_sessions") };
        assert!(matches!(compare(postgres(), &[edited]), Err(StoreError::Inconsistent(_))));
    }
}
