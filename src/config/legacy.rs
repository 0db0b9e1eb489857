//! Settings of the legacy sessions, which another service created.

use std::path::PathBuf;

use super::reader::Reader;
use crate::store::legacy::{Identifier, LegacyTable};
use crate::store::url::DatabaseUrl;

/// Which legacy sessions are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacySettings {
    /// The table that holds them.
    pub table: LegacyTable,
    /// The database of the table. `None`: `DATABASE_URL`.
    pub database: Option<DatabaseUrl>,
    /// The file that its URL came from, if it came from one.
    pub database_url_file: Option<PathBuf>,
}

/// Settings that need `LEGACY_SESSIONS`.
const DEPENDENT: [&str; 5] = [
    "LEGACY_SESSIONS_TABLE",
    "LEGACY_SESSIONS_TOKEN_COLUMN",
    "LEGACY_SESSIONS_USER_COLUMN",
    "LEGACY_SESSIONS_EXPIRES_COLUMN",
    "LEGACY_DATABASE_URL",
];

/// Better Auth's names, in the order of [`DEPENDENT`].
const BETTER_AUTH: [&str; 4] = ["session", "token", "userId", "expiresAt"];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<LegacySettings> {
    let kinds = [("better-auth", Some(BETTER_AUTH)), ("table", None)];
    if reader.text("LEGACY_SESSIONS").is_none() {
        for name in DEPENDENT {
            if reader.text(name).is_some() {
                reader.problem(name, format!("{name} has no effect without LEGACY_SESSIONS"));
            }
        }
    }
    let defaults = reader.choice("LEGACY_SESSIONS", &kinds)?;
    let mut name = |at: usize| identifier(reader, DEPENDENT[at], defaults.map(|names| names[at]));
    let (table, token, user, expires) = (name(0), name(1), name(2), name(3));
    let database = reader.url("LEGACY_DATABASE_URL").map(DatabaseUrl::parse);
    if let Some(Err(invalid)) = &database {
        reader.problem("LEGACY_DATABASE_URL", format!("LEGACY_DATABASE_URL {invalid}"));
    }
    let table = LegacyTable { table: table?, token: token?, user: user?, expires: expires? };
    let database_url_file = reader.file("LEGACY_DATABASE_URL");
    Some(LegacySettings { table, database: database.transpose().ok()?, database_url_file })
}

fn identifier(
    reader: &mut Reader<'_>,
    setting: &'static str,
    default: Option<&str>,
) -> Option<Identifier> {
    let Some(text) = reader.text(setting).or(default) else {
        reader.problem(setting, format!("{setting} is required with LEGACY_SESSIONS=table"));
        return None;
    };
    let name: Identifier = reader.parsed(setting, text)?;
    if name.has_schema() && setting != DEPENDENT[0] {
        reader.problem(setting, format!("{setting}: a column's name must not contain a dot"));
        return None;
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Given;
    use crate::config::{Config, Problem};

    fn read(pairs: &[(&'static str, &str)]) -> Result<Option<LegacySettings>, Vec<Problem>> {
        Config::read(&Given::of(pairs)).map(|config| config.legacy)
    }

    fn names(settings: &LegacySettings) -> [String; 4] {
        let LegacyTable { table, token, user, expires } = &settings.table;
        [table, token, user, expires].map(Identifier::quoted)
    }

    #[test]
    fn better_auth_has_default_names() {
        assert_eq!(read(&[]).unwrap(), None);
        let plain = read(&[("LEGACY_SESSIONS", "better-auth")]).unwrap().unwrap();
        assert_eq!(names(&plain), [r#""session""#, r#""token""#, r#""userId""#, r#""expiresAt""#]);
        assert_eq!(plain.database, None);
        let renamed = read(&[
            ("LEGACY_SESSIONS", "better-auth"),
            ("LEGACY_SESSIONS_TABLE", "auth.sessions"),
            ("LEGACY_SESSIONS_USER_COLUMN", "user_id"),
            ("LEGACY_DATABASE_URL", "sqlite://auth.db"),
        ]);
        let renamed = renamed.unwrap().unwrap();
        assert_eq!(
            names(&renamed),
            [r#""auth"."sessions""#, r#""token""#, r#""user_id""#, r#""expiresAt""#]
        );
        assert_eq!(renamed.database, Some(DatabaseUrl::Sqlite("auth.db".into())));
    }

    #[test]
    fn missing_and_invalid_names_are_reported() {
        let problems = read(&[
            ("LEGACY_SESSIONS", "table"),
            ("LEGACY_SESSIONS_TABLE", "x; DROP TABLE user_sessions"),
            ("LEGACY_SESSIONS_TOKEN_COLUMN", "a.b"),
            ("LEGACY_DATABASE_URL", "mysql://u:hunter2@h/d"),
        ])
        .unwrap_err();
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for part in [
            "LEGACY_SESSIONS_TABLE: `x; DROP TABLE user_sessions` must be letters",
            "LEGACY_SESSIONS_TOKEN_COLUMN: a column's name must not contain a dot",
            "LEGACY_SESSIONS_USER_COLUMN is required",
            "LEGACY_SESSIONS_EXPIRES_COLUMN is required",
            "LEGACY_DATABASE_URL must begin",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(problems.len(), 5);
        assert!(!text.contains("hunter2"));
        let unknown = read(&[("LEGACY_SESSIONS", "next-auth")]).unwrap_err();
        assert!(unknown[0].to_string().contains("better-auth"));
        let alone = read(&[("LEGACY_SESSIONS_TABLE", "session")]).unwrap_err();
        assert!(alone[0].to_string().contains("has no effect"), "{alone:?}");
    }
}
