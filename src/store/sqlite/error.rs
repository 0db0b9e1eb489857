//! Classifies the failures of SQLite.

use crate::store::StoreError;

/// The primary result codes about the statement, its values or the file's content: `ERROR` (for
/// example a missing table), `CORRUPT`, `TOOBIG`, `CONSTRAINT`, `MISMATCH`, `RANGE` and `NOTADB`.
/// All others are about the state of the file: `BUSY`, `FULL`, `READONLY`, `IOERR` …
const OF_DATA: [i32; 7] = [1, 11, 18, 19, 20, 25, 26];

/// The codes for a database that another connection uses: `BUSY` and `LOCKED`.
const BUSY: [i32; 2] = [5, 6];

/// Converts a failure to the store's error.
pub(super) fn judge(error: &sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    match error {
        E::Database(_) => {
            let code = code(error);
            let why = format!("SQLite result code {code}");
            if OF_DATA.contains(&(code & 0xFF)) {
                StoreError::Inconsistent(why)
            } else {
                StoreError::Unavailable(why)
            }
        }
        E::Encode(_)
        | E::Decode(_)
        | E::ColumnDecode { .. }
        | E::ColumnNotFound(_)
        | E::ColumnIndexOutOfBounds { .. }
        | E::InvalidArgument(_) => {
            StoreError::Inconsistent("a column has an unexpected type".into())
        }
        E::PoolTimedOut => StoreError::Unavailable("no connection came free in time".into()),
        E::PoolClosed => StoreError::Unavailable("the connections are closed".into()),
        E::Io(error) => StoreError::Unavailable(format!("the file failed: {}", error.kind())),
        _ => StoreError::Unavailable("the connection failed".into()),
    }
}

/// Returns whether another connection is writing to the database.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    BUSY.contains(&(code(error) & 0xFF))
}

/// Returns the extended result code, or 0 if there is none.
fn code(error: &sqlx::Error) -> i32 {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}
