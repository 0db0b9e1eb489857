//! Logins: store them together, find the earlier attempts of those that were retried, and end the
//! sessions that exceed the bound of their users.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::change::MAX_LOCKED;
use super::lineages::Lineages;
use super::rows::{Rows, SessionBound};
use super::{Ended, Open, Opened, StoreError};

/// Stores a batch of logins. `bound` is how many live sessions a user may have, and how long their
/// revocations are kept.
pub(super) async fn open(
    rows: Arc<dyn Rows>,
    lineages: Arc<Lineages>,
    bound: Option<(u32, Duration)>,
    batch: Vec<Open>,
) -> Vec<Result<Opened, StoreError>> {
    let results = open_each(&*rows, bound, &batch).await;
    for (open, opened) in batch.iter().zip(&results) {
        if matches!(opened, Ok(Opened::New | Opened::Evicting(_))) {
            lineages.keep(&open.session);
        }
    }
    results
}

async fn open_each(
    rows: &dyn Rows,
    bound: Option<(u32, Duration)>,
    batch: &[Open],
) -> Vec<Result<Opened, StoreError>> {
    let parts = match open_together(rows, bound, batch).await {
        Ok(opened) => return opened.into_iter().map(Ok).collect(),
        // The database refused the data of one login. Retry one by one, so that only that login
        // fails.
        Err(StoreError::Inconsistent(_)) if batch.len() > 1 => {
            (0..batch.len()).map(|i| vec![i]).collect()
        }
        // Another transaction holds a lock of one user. Retry user by user, so that only that user's
        // logins fail.
        Err(StoreError::Locked) if by_user(batch).len() > 1 => by_user(batch),
        Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
    };
    open_apart(rows, bound, batch, parts).await
}

/// Stores the parts of a batch one after another. `parts` are indexes of the batch.
async fn open_apart(
    rows: &dyn Rows,
    bound: Option<(u32, Duration)>,
    batch: &[Open],
    parts: Vec<Vec<usize>>,
) -> Vec<Result<Opened, StoreError>> {
    let mut results: Vec<_> = batch.iter().map(|_| Err(StoreError::Locked)).collect();
    let mut locked = 0;
    for part in parts {
        if locked == MAX_LOCKED {
            break;
        }
        let opens: Vec<Open> = part.iter().map(|&i| batch[i].clone()).collect();
        match open_together(rows, bound, &opens).await {
            Ok(opened) => {
                for (i, opened) in part.into_iter().zip(opened) {
                    results[i] = Ok(opened);
                }
            }
            Err(error) => {
                locked += usize::from(matches!(error, StoreError::Locked));
                for i in part {
                    results[i] = Err(error.clone());
                }
            }
        }
    }
    results
}

/// Groups a batch's logins by user.
fn by_user(batch: &[Open]) -> Vec<Vec<usize>> {
    let mut by_user = BTreeMap::<&str, Vec<usize>>::new();
    for (i, open) in batch.iter().enumerate() {
        by_user.entry(open.session.user_id.as_str()).or_default().push(i);
    }
    by_user.into_values().collect()
}

async fn open_together(
    rows: &dyn Rows,
    bound: Option<(u32, Duration)>,
    batch: &[Open],
) -> Result<Vec<Opened>, StoreError> {
    let (inserted, mut evicted) = insert(rows, bound, batch).await?;
    let mut new = |open: &Open| {
        let is_users = |ended: &mut Ended| ended.session.user_id == open.session.user_id;
        let users: Vec<Ended> = evicted.extract_if(.., is_users).collect();
        if users.is_empty() { Opened::New } else { Opened::Evicting(users) }
    };
    let taken = batch.iter().zip(&inserted).filter(|(_, inserted)| !**inserted);
    let keys: Vec<String> = taken
        .filter_map(|(open, _)| open.request.as_ref().map(|request| request.key.clone()))
        .collect();
    if keys.is_empty() {
        return Ok(batch.iter().map(new).collect());
    }
    let mut before = rows.find_requests(&keys).await?.into_iter();
    batch
        .iter()
        .zip(inserted)
        .map(|(open, inserted)| {
            if inserted {
                return Ok(new(open));
            }
            // A sweeper deleted the session in between. A retry will find the key free.
            before.next().flatten().map(Box::new).map(Opened::Before).ok_or_else(|| {
                StoreError::Unavailable("an earlier login has just been deleted".into())
            })
        })
        .collect()
}

/// Inserts a batch of logins. Returns which of them are new, and the sessions that exceeded the bound.
async fn insert(
    rows: &dyn Rows,
    bound: Option<(u32, Duration)>,
    batch: &[Open],
) -> Result<(Vec<bool>, Vec<Ended>), StoreError> {
    let latest = batch.iter().map(|open| open.session.created_at).max();
    match (bound, latest) {
        (Some((most, retention)), Some(now)) => {
            let bound = SessionBound { most, now, retention };
            let (inserted, evicted) = rows.insert_bounded(batch, bound).await?;
            Ok((inserted, Ended::all(evicted, retention)))
        }
        _ => Ok((rows.insert(batch).await?, Vec::new())),
    }
}
