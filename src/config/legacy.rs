//! Settings of the sessions that were there before.

use super::reader::Reader;
use crate::store::legacy::{Identifier, LegacyTable};
use crate::store::url::DatabaseUrl;

/// Which sessions that were there before are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacySettings {
    /// The table that holds them.
    pub table: LegacyTable,
    /// Where it is; `None`: where our own are.
    pub database: Option<DatabaseUrl>,
}

/// The settings that mean nothing by themselves.
const OF_A_TABLE: [&str; 5] = [
    "LEGACY_SESSIONS_TABLE",
    "LEGACY_SESSIONS_TOKEN_COLUMN",
    "LEGACY_SESSIONS_USER_COLUMN",
    "LEGACY_SESSIONS_EXPIRES_COLUMN",
    "LEGACY_DATABASE_URL",
];

/// Better Auth's own names, in the order of the settings.
const BETTER_AUTH: [&str; 4] = ["session", "token", "userId", "expiresAt"];

pub(super) fn read(reader: &mut Reader<'_>) -> Option<LegacySettings> {
    let kinds = [("better-auth", Some(BETTER_AUTH)), ("table", None)];
    if reader.text("LEGACY_SESSIONS").is_none() {
        for name in OF_A_TABLE {
            if reader.text(name).is_some() {
                reader.problem(format!("{name} means nothing without LEGACY_SESSIONS"));
            }
        }
    }
    let defaults = reader.choice("LEGACY_SESSIONS", &kinds)?;
    let mut name = |at: usize| identifier(reader, OF_A_TABLE[at], defaults.map(|names| names[at]));
    let (table, token, user, expires) = (name(0), name(1), name(2), name(3));
    let database = reader.text("LEGACY_DATABASE_URL").map(DatabaseUrl::parse);
    if let Some(Err(invalid)) = &database {
        reader.problem(format!("LEGACY_DATABASE_URL {invalid}"));
    }
    let table = LegacyTable { table: table?, token: token?, user: user?, expires: expires? };
    Some(LegacySettings { table, database: database.transpose().ok()? })
}

fn identifier(reader: &mut Reader<'_>, setting: &str, default: Option<&str>) -> Option<Identifier> {
    let Some(text) = reader.text(setting).or(default) else {
        reader.problem(format!("{setting} is required with LEGACY_SESSIONS=table"));
        return None;
    };
    match text.parse::<Identifier>() {
        Err(invalid) => reader.problem(format!("{setting} {invalid}")),
        Ok(name) if name.has_schema() && setting != OF_A_TABLE[0] => {
            reader.problem(format!("{setting} is a column, which has no schema"));
        }
        Ok(name) => return Some(name),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::source::Given;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Option<LegacySettings>, Vec<String>> {
        Config::read(&Given::of(pairs)).map(|config| config.legacy)
    }

    fn names(settings: &LegacySettings) -> [String; 4] {
        let LegacyTable { table, token, user, expires } = &settings.table;
        [table, token, user, expires].map(Identifier::quoted)
    }

    #[test]
    fn better_auth_has_its_own_names_unless_told_otherwise() {
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
    fn what_is_missing_or_no_name_is_told() {
        let problems = read(&[
            ("LEGACY_SESSIONS", "table"),
            ("LEGACY_SESSIONS_TABLE", "x; DROP TABLE user_sessions"),
            ("LEGACY_SESSIONS_TOKEN_COLUMN", "a.b"),
            ("LEGACY_DATABASE_URL", "mysql://u:hunter2@h/d"),
        ])
        .unwrap_err();
        let told = problems.join("\n");
        for part in [
            "LEGACY_SESSIONS_TABLE must be letters",
            "LEGACY_SESSIONS_TOKEN_COLUMN is a column",
            "LEGACY_SESSIONS_USER_COLUMN is required",
            "LEGACY_SESSIONS_EXPIRES_COLUMN is required",
            "LEGACY_DATABASE_URL must begin",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(problems.len(), 5);
        assert!(!told.contains("hunter2"));
        assert!(read(&[("LEGACY_SESSIONS", "next-auth")]).unwrap_err()[0].contains("better-auth"));
        let alone = read(&[("LEGACY_SESSIONS_TABLE", "session")]).unwrap_err();
        assert!(alone[0].contains("means nothing"), "{alone:?}");
    }
}
