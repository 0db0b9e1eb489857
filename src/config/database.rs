//! Settings of the databases: where sessions are kept, and how replicas notify each other.

use std::path::Path;

use super::reader::Reader;
use crate::store::legacy::Identifier;
use crate::store::redis::RedisUrl;
use crate::store::url::DatabaseUrl;

/// Reads the database's URL. Without one, it is a file in the data directory.
pub(super) fn url(reader: &mut Reader<'_>, data_dir: &Path) -> DatabaseUrl {
    let embedded = DatabaseUrl::Sqlite(data_dir.join("token-authority.db"));
    let Some(url) = reader.url("DATABASE_URL") else { return embedded };
    DatabaseUrl::parse(url).unwrap_or_else(|invalid| {
        reader.problem("DATABASE_URL", format!("DATABASE_URL {invalid}"));
        embedded
    })
}

/// Reads the schema of the tables. SQLite has no schemas.
pub(super) fn schema(reader: &mut Reader<'_>) -> Option<Identifier> {
    let text = reader.text("DATABASE_SCHEMA")?;
    if !reader.text("DATABASE_URL").is_some_and(|url| url.starts_with("postgres")) {
        reader.problem(
            "DATABASE_SCHEMA",
            "DATABASE_SCHEMA has no effect without a Postgres in DATABASE_URL",
        );
        return None;
    }
    let schema: Identifier = reader.parsed("DATABASE_SCHEMA", text)?;
    if schema.has_schema() {
        reader.problem("DATABASE_SCHEMA", "DATABASE_SCHEMA must be one name, without a dot");
        return None;
    }
    Some(schema)
}

/// Reads the Redis that carries notifications, if there is one.
pub(super) fn redis(reader: &mut Reader<'_>) -> Option<RedisUrl> {
    let url = RedisUrl::parse(reader.url("REDIS_URL")?);
    if let Err(invalid) = &url {
        reader.problem(
            "REDIS_URL",
            format!("REDIS_URL {invalid}; it must be a URL such as redis://127.0.0.1:6379"),
        );
    }
    url.ok()
}
