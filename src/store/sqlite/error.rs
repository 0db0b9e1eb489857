//! Classifies the failures of SQLite, and explains them.
//!
//! Errors hold the result code and its meaning. SQLite's own message is not passed on, because it
//! may quote values.

use crate::store::StoreError;
use crate::store::connections::Unavailable;

/// The primary result codes about the statement, its values or the file's content: `ERROR` (for
/// example a missing table), `CORRUPT`, `TOOBIG`, `CONSTRAINT`, `MISMATCH`, `RANGE` and `NOTADB`.
/// All others are about the state of the file: `BUSY`, `FULL`, `READONLY`, `IOERR` …
const OF_DATA: [i32; 7] = [1, 11, 18, 19, 20, 25, 26];

/// The codes for a database that another connection uses: `BUSY` and `LOCKED`.
const BUSY: [i32; 2] = [5, 6];

/// Converts a failure to the store's error.
pub(super) fn store_error(error: &sqlx::Error) -> StoreError {
    use sqlx::Error as E;
    match error {
        E::Database(_) => {
            let code = code(error);
            let why = explain(code);
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
        E::PoolTimedOut => {
            StoreError::Unavailable("all connections were in use for the whole time limit".into())
        }
        E::PoolClosed => StoreError::Unavailable("the connections are being closed".into()),
        E::Io(error) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Unavailable("the connection failed".into()),
    }
}

/// Says what a result code means, and what to do.
fn explain(code: i32) -> String {
    let (cause, remedy) = match code & 0xFF {
        1 => ("a statement failed", "run `token-authority migrate`; is the schema complete?"),
        3 => ("permission denied", "let this user read and write the file and its folder"),
        5 | 6 => ("another process is writing", "look for one that holds a transaction open"),
        8 => ("the file is read-only", "let this user write the file and its folder"),
        10 => ("reading or writing failed", "look at the disk, its quota and the kernel's log"),
        11 => ("the file is damaged", "restore a backup"),
        13 => ("the disk is full", "free space, or raise the quota"),
        14 => ("cannot open the file", "let this user open the file and write to its folder"),
        18..=20 | 25 => ("a value was refused", "report this as a fault"),
        22 => ("the file is too large for its file system", "move it to another one"),
        26 => ("the file is not an SQLite database", "name another file in DATABASE_URL"),
        _ => ("the operation failed", "look up the code at sqlite.org/rescode.html"),
    };
    format!("{cause} (SQLite result code {code}); {remedy}")
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

impl From<Unavailable> for sqlx::Error {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::AllInUse => Self::PoolTimedOut,
            Unavailable::Closed => Self::PoolClosed,
        }
    }
}
