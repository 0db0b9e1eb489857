//! Detects what a Postgres connection supports, and sets it up.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
};

use super::sql;

/// The time that a statement waits for a row lock of another transaction. All requests of a batch
/// wait along. Our own transactions hold row locks for the time of a commit, so a shorter limit
/// would fail requests needlessly.
const ROW_LOCK_TIMEOUT: Duration = Duration::from_millis(300);

/// The limits of a statement and of a transaction. The server itself cancels a statement that no caller
/// waits for. It also ends a transaction whose client is silent: the locks of a replica that lost its
/// network between two statements would otherwise stay until the server notices the dead connection,
/// hours later.
pub(super) fn limits(timeout: Duration) -> [String; 3] {
    let timeout = timeout.as_millis();
    [
        format!("statement_timeout = {timeout}"),
        format!("lock_timeout = {}", ROW_LOCK_TIMEOUT.as_millis()),
        format!("idle_in_transaction_session_timeout = {timeout}"),
    ]
}

/// Tests whether a setting from the start of a connection is in effect in it. Transaction poolers
/// refuse or drop such a setting, because they share server connections among clients. A
/// connection without the setting must have succeeded before.
///
/// Comparing the backends of two connections is no substitute: while other clients use the pool,
/// both may get the same backend every time.
pub(super) async fn keeps_settings(connect: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let asking = connect.clone().options([("token_authority.probe", "kept")]);
    let mut connection = match asking.connect().await {
        Err(sqlx::Error::Database(refusal)) if is_of_setting(refusal.code().as_deref()) => {
            return Ok(false);
        }
        connected => connected?,
    };
    let row = connection.fetch_one(sqlx::raw_sql(sql::PROBE)).await?;
    let setting: Option<String> = row.try_get(0)?;
    connection.close().await?;
    Ok(setting.as_deref() == Some("kept"))
}

/// Tests whether the server accepts the settings with which a transaction begins.
pub(super) async fn accepts(
    connect: &PgConnectOptions,
    statement: String,
) -> Result<bool, sqlx::Error> {
    let mut connection = connect.connect().await?;
    let begun = connection.begin_with(AssertSqlSafe(statement)).await.map(drop);
    match begun {
        Err(sqlx::Error::Database(refusal)) if is_of_value(refusal.code().as_deref()) => {
            return Ok(false);
        }
        begun => begun?,
    }
    connection.close().await?;
    Ok(true)
}

/// Returns whether the server refused a connection because of a start-up setting: a protocol
/// violation (PgBouncer's answer), or an error about the setting itself.
fn is_of_setting(code: Option<&str>) -> bool {
    is_of_value(code) || code.is_some_and(|code| code.starts_with("08"))
}

/// Returns whether an SQLSTATE means that the server does not know a setting: a feature, a value
/// or a name that it does not support.
fn is_of_value(code: Option<&str>) -> bool {
    code.is_some_and(|code| ["0A", "22", "42"].iter().any(|class| code.starts_with(class)))
}

/// Sets up a connection that is not shared through a pooler. Behind a pooler, the settings would
/// leak to other clients of the server connection.
pub(super) async fn set_up(
    connection: &mut PgConnection,
    limit: Duration,
    search_path: Option<String>,
) -> Result<(), sqlx::Error> {
    if let Some(search_path) = search_path {
        // Without it our statements would use the tables of another schema.
        connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("SET {search_path}")))).await?;
    }
    let [statement, lock, idle] = limits(limit);
    let settings = [
        statement,
        lock,
        idle,
        // Planning each time would cost a lone refresh half of its time, and a batched one a
        // tenth. But a cached plan from when the table was small would scan the whole table, even
        // after it has grown. All frequent statements here find their rows by an index, so the
        // other plans are disabled. `survey` enables them again.
        "plan_cache_mode = force_generic_plan".to_owned(),
        "enable_seqscan = off".to_owned(),
        "enable_hashjoin = off".to_owned(),
        "enable_mergejoin = off".to_owned(),
    ];
    for setting in settings {
        let set = AssertSqlSafe(format!("SET {setting}"));
        match connection.execute(sqlx::raw_sql(set)).await {
            // These settings only save work. A server that does not know one works without it.
            Ok(_) | Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
