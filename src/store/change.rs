//! Changes to stored sessions: load them together, judge them one after another, write them
//! together.
//!
//! Most changes are refreshes that rotate the current token of a live session. They are written
//! first, with that assumption in the `WHERE` clause. Rows that do not match are loaded and judged.
//! The reasons are in `docs/adr/0002-two-stores.md`.
//!
//! Changes of one session in one batch are applied in the order of their arrival, so fifty
//! simultaneous refreshes of one token cost one read and one write. Each write is a
//! compare-and-swap by revision. A change that loses the swap is loaded and judged again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lineages::Lineages;
use super::rows::{CompareAndSwap, OptimisticRotation, Row, Rows};
use super::{Bind, Bound, Ended, Refresh, Refreshed, StoreError, Update, Updated, bind};
use crate::clock::Timestamp;
use crate::token::device::Registration;
use crate::token::device_verdict;
use crate::token::event::{Happened, SessionEvent};
use crate::token::id::SessionId;
use crate::token::refresh::RefreshToken;
use crate::token::rotation::{self, Policy, Verdict};
use crate::token::session::{Revocation, RevocationReason, Session};

/// The number of times a change is judged again after another replica changed its row in between.
/// Each failed attempt means that another change succeeded.
const ATTEMPTS: usize = 16;

/// The number of sessions, or of users who log in, in a batch that may turn out to be locked by other
/// transactions. Each one makes the whole batch wait until the database gives up on its lock.
pub(super) const MAX_LOCKED: usize = 2;

/// The rules that decide about changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// How refresh tokens are rotated, and how long sessions live.
    pub(super) policy: Policy,
    /// The time after a revocation during which an access token of the session can still be in use.
    pub(super) revocation_retention: Duration,
}

impl Rules {
    /// Returns until when an access token can be accepted that is issued with a refresh token handed
    /// out at `now`. Within the concurrency window, the refresh token is returned unchanged with
    /// further access tokens. The window is included, so that these need no write.
    fn access_ends_at(&self, now: Timestamp) -> Timestamp {
        now + self.revocation_retention + self.policy.window
    }

    /// Records that the session gets an access token at `now`. The answer to a young token writes
    /// nothing unless the token can be accepted for longer than is recorded, for example after a
    /// restart with a longer lifetime.
    fn record_access_token(&self, verdict: Verdict, session: &mut Session, now: Timestamp) {
        let is_recorded = now + self.revocation_retention <= session.access_ends_at;
        if verdict != Verdict::Young || !is_recorded {
            session.access_ends_at = session.access_ends_at.max(self.access_ends_at(now));
        }
    }

    /// Returns the feed entry that refuses the session's access tokens of earlier epochs. It expires with
    /// the last of them.
    fn stale_tokens(&self, session: &Session) -> Revocation {
        session.stale_tokens(session.last_used_at, self.revocation_retention)
    }
}

/// A change to one session.
#[derive(Debug)]
pub(super) enum SessionChange {
    /// A client presented a refresh token.
    Refresh(Refresh),
    /// A caller ends a session.
    Revoke(Ending),
    /// A caller changes what a session's access tokens carry.
    Update(Update),
    /// A client registers its device.
    Bind(Bind),
}

/// A request to end a session.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) session_id: SessionId,
    /// If set, the session ends only if this token's MAC is correct.
    pub(super) token: Option<RefreshToken>,
    pub(super) now: Timestamp,
    pub(super) reason: RevocationReason,
    /// The caller's name.
    pub(super) actor: String,
}

/// The result of a change.
#[derive(Debug)]
pub(super) enum Changed {
    Refreshed(Refreshed),
    /// The session, if this change ended it. `None` if it had ended before or does not exist.
    Revoked(Option<Ended>),
    /// The session after the change. `None` if it is not live.
    Updated(Option<Updated>),
    Bound(Bound),
}

impl Changed {
    /// Returns whether this certainly wrote a row.
    pub(super) fn is_written(&self) -> bool {
        match self {
            Self::Refreshed(refreshed) => refreshed.verdict == Verdict::Rotate,
            Self::Revoked(ended) => ended.is_some(),
            Self::Updated(updated) => updated.is_some(),
            Self::Bound(bound) => bound.outcome == Registration::New,
        }
    }

    fn rotated(session: Session, rotation: OptimisticRotation) -> Self {
        let token = Some(rotation.optimistic.successor);
        let (verdict, session) = (Verdict::Rotate, Some(session));
        Self::Refreshed(Refreshed { verdict, session, token, revocation: None })
    }
}

impl SessionChange {
    pub(super) fn session_id(&self) -> SessionId {
        match self {
            Self::Refresh(refresh) => refresh.presented.session_id(),
            Self::Revoke(ending) => ending.session_id,
            Self::Update(update) => update.session_id,
            Self::Bind(bind) => bind.presented.session_id(),
        }
    }

    /// Returns the rotation that this change most likely is, if everything that it needs is known.
    fn try_optimistic(&self, rules: &Rules, lineages: &Lineages) -> Option<OptimisticRotation> {
        let Self::Refresh(Refresh { presented, seed, now, rollout, shown }) = self else {
            return None;
        };
        let auth_method = rollout.method_for_all()?;
        let key = lineages.find(presented.session_id())?;
        let optimistic = rotation::try_optimistic(&key, presented, seed, *now, &rules.policy)?;
        let access_ends_at = rules.access_ends_at(*now);
        Some(OptimisticRotation { optimistic, auth_method, access_ends_at, shown: *shown })
    }

    /// Returns the event that this change adds to the history. A refresh adds none: the history reads it
    /// from the session's row.
    fn event(&self, changed: &Changed) -> Option<SessionEvent> {
        let (session, at, what, actor) = match (self, changed) {
            (Self::Refresh(refresh), Changed::Refreshed(Refreshed { verdict, session, .. })) => {
                let session = session.as_ref().filter(|_| *verdict == Verdict::Theft)?;
                (session, refresh.now, Happened::Revoked(RevocationReason::Reuse), "")
            }
            (Self::Revoke(ending), Changed::Revoked(Some(Ended { session, .. }))) => {
                (session, ending.now, Happened::Revoked(ending.reason), ending.actor.as_str())
            }
            (Self::Update(update), Changed::Updated(Some(Updated { session, .. }))) => {
                let (fields, refresh_now) = (update.change.fields(), update.refresh_now);
                let what = Happened::Updated { fields, refresh_now };
                (session, update.now, what, update.actor.as_str())
            }
            (Self::Bind(bind), Changed::Bound(Bound { verdict, session, outcome, .. })) => {
                let (what, actor) = match (verdict, outcome) {
                    (Verdict::Theft, _) => (Happened::Revoked(RevocationReason::Reuse), ""),
                    (_, Registration::New) => (Happened::Bound, bind.actor.as_str()),
                    _ => return None,
                };
                (session.as_ref()?, bind.now, what, actor)
            }
            _ => return None,
        };
        let user_id = session.owner().cloned();
        Some(SessionEvent { session_id: session.id, user_id, at, what, actor: actor.to_owned() })
    }

    fn apply(&self, session: Option<&mut Session>, rules: &Rules) -> Changed {
        match self {
            Self::Refresh(refresh) => Changed::Refreshed(apply_refresh(refresh, session, rules)),
            Self::Revoke(ending) => Changed::Revoked(apply_ending(ending, session, rules)),
            Self::Update(update) => Changed::Updated(apply_update(update, session, rules)),
            Self::Bind(bind) => {
                let (policy, retention) = (&rules.policy, rules.revocation_retention);
                Changed::Bound(bind::apply(bind, session, policy, retention))
            }
        }
    }
}

fn apply_refresh(ask: &Refresh, session: Option<&mut Session>, rules: &Rules) -> Refreshed {
    let Some(session) = session else {
        let verdict = Verdict::Invalid;
        return Refreshed { verdict, session: None, token: None, revocation: None };
    };
    let policy = &rules.policy;
    let verdict = device_verdict::judge_bound(session, &ask.presented, ask.shown, ask.now, policy);
    let token = rotation::take_effect(verdict, session, &ask.presented, &ask.seed, ask.now, policy);
    device_verdict::settle_device(verdict, session, ask.shown, ask.now, policy);
    if token.is_some() {
        session.auth_method = ask.rollout.method_for(&session.user_id);
        rules.record_access_token(verdict, session, ask.now);
    }
    let revocation = session.revocation(rules.revocation_retention);
    Refreshed { verdict, session: Some(session.clone()), token, revocation }
}

fn apply_ending(ending: &Ending, session: Option<&mut Session>, rules: &Rules) -> Option<Ended> {
    let session = session.filter(|session| {
        let live = session.revoked.is_none() && session.is_revocable(ending.now);
        let named = ending.token.as_ref();
        live && named.is_none_or(|token| token.is_authentic(&session.lineage.key))
    })?;
    session.revoke(ending.now, ending.reason);
    Ended::of(session.clone(), rules.revocation_retention)
}

fn apply_update(update: &Update, session: Option<&mut Session>, rules: &Rules) -> Option<Updated> {
    let is_live =
        |session: &&mut Session| session.revoked.is_none() && update.now < session.expires_at;
    let session = session.filter(is_live)?;
    update.change.apply(&mut session.grant);
    if update.refresh_now {
        session.epoch = session.epoch.next();
    }
    let stale = update.refresh_now.then(|| rules.stale_tokens(session));
    Some(Updated { session: session.clone(), stale })
}

/// Applies a batch of changes and returns one result for each, in order.
pub(super) async fn make(
    rows: &dyn Rows,
    rules: &Rules,
    lineages: &Lineages,
    changes: Vec<SessionChange>,
) -> Vec<Result<Changed, StoreError>> {
    let mut results = try_optimistic(rows, rules, lineages, &changes).await;
    let mut locked = 0;
    for _ in 0..ATTEMPTS {
        let unsettled: Vec<usize> = (0..changes.len()).filter(|&i| results[i].is_none()).collect();
        if unsettled.is_empty() {
            break;
        }
        let mut batches = vec![unsettled];
        while let Some(batch) = batches.pop() {
            let attempted = if locked < MAX_LOCKED {
                attempt(rows, rules, lineages, &changes, &batch).await
            } else {
                Err(StoreError::Locked)
            };
            match attempted {
                Ok(settled) => {
                    for (i, changed) in settled {
                        results[i] = Some(Ok(changed));
                    }
                }
                // One session's row causes this error. Retry session by session, so that only that
                // session fails.
                Err(StoreError::Inconsistent(_) | StoreError::Locked)
                    if locked < MAX_LOCKED && by_session(&changes, &batch).len() > 1 =>
                {
                    batches.extend(by_session(&changes, &batch).into_values());
                }
                Err(error) => {
                    locked += usize::from(matches!(error, StoreError::Locked));
                    for i in batch {
                        results[i] = Some(Err(error.clone()));
                    }
                }
            }
        }
    }
    let contended =
        || Err(StoreError::Unavailable("the session was changed by others too often".into()));
    results.into_iter().map(|result| result.unwrap_or_else(contended)).collect()
}

/// Rotates the tokens that match the optimistic assumption, and returns their results. A change
/// that shares its session with another one, or that does not match, gets no result here.
async fn try_optimistic(
    rows: &dyn Rows,
    rules: &Rules,
    lineages: &Lineages,
    changes: &[SessionChange],
) -> Vec<Option<Result<Changed, StoreError>>> {
    let mut results: Vec<_> = changes.iter().map(|_| None).collect();
    let all: Vec<usize> = (0..changes.len()).collect();
    let (alone, rotations): (Vec<usize>, Vec<OptimisticRotation>) = by_session(changes, &all)
        .into_values()
        .filter_map(|indexes| <[usize; 1]>::try_from(indexes).ok())
        .filter_map(|[i]| Some((i, changes[i].try_optimistic(rules, lineages)?)))
        .unzip();
    if rotations.is_empty() {
        return results;
    }
    match rows.rotate(&rotations).await {
        Ok(rotated) => {
            for ((i, rotation), session) in alone.into_iter().zip(rotations).zip(rotated) {
                results[i] = session.map(|session| Ok(Changed::rotated(session, rotation)));
            }
        }
        // One session's row causes this error. All changes are judged one by one below, and only
        // that session fails.
        Err(StoreError::Inconsistent(_) | StoreError::Locked) => {}
        Err(error) => {
            for i in alone {
                results[i] = Some(Err(error.clone()));
            }
        }
    }
    results
}

/// Loads, judges and writes once. Returns the results of the changes that are settled.
async fn attempt(
    rows: &dyn Rows,
    rules: &Rules,
    lineages: &Lineages,
    changes: &[SessionChange],
    batch: &[usize],
) -> Result<Vec<(usize, Changed)>, StoreError> {
    let by_session = by_session(changes, batch);
    let ids: Vec<SessionId> = by_session.keys().copied().collect();
    let loaded = rows.load(&ids).await?;
    loaded.iter().flatten().for_each(|row| lineages.keep(&row.session));

    let (mut settled, mut tentative, mut swaps) = (Vec::new(), Vec::new(), Vec::new());
    for (indexes, row) in by_session.into_values().zip(loaded) {
        let (applied, swap) = fold_session(rules, changes, indexes, row);
        match swap {
            None => settled.extend(applied),
            Some(swap) => {
                swaps.push(swap);
                tentative.push(applied);
            }
        }
    }
    if !swaps.is_empty() {
        let swapped = rows.swap(&swaps).await?;
        let written = tentative.into_iter().zip(swapped).filter(|(_, swapped)| *swapped);
        settled.extend(written.flat_map(|(applied, _)| applied));
    }
    Ok(settled)
}

/// Groups a batch's changes by session. The order of the ids keeps two batches from waiting for
/// each other in a circle.
fn by_session(changes: &[SessionChange], batch: &[usize]) -> BTreeMap<SessionId, Vec<usize>> {
    let mut by_session = BTreeMap::<SessionId, Vec<usize>>::new();
    for &i in batch {
        by_session.entry(changes[i].session_id()).or_default().push(i);
    }
    by_session
}

type Folded = Vec<(usize, Changed)>;

fn fold_session(
    rules: &Rules,
    changes: &[SessionChange],
    indexes: Vec<usize>,
    row: Option<Row>,
) -> (Folded, Option<CompareAndSwap>) {
    let Some(Row { mut session, revision }) = row else {
        let unknown = |i: usize| (i, changes[i].apply(None, rules));
        return (indexes.into_iter().map(unknown).collect(), None);
    };
    let before = session.clone();
    let apply = |i: usize| (i, changes[i].apply(Some(&mut session), rules));
    let applied: Folded = indexes.into_iter().map(apply).collect();
    let swap = (session != before).then(|| {
        let revocation = new_revocation(&before, &session, rules);
        let grant_changed = session.grant != before.grant;
        let events = applied.iter().filter_map(|(i, changed)| changes[*i].event(changed)).collect();
        CompareAndSwap { session, revision, grant_changed, revocation, events }
    });
    (applied, swap)
}

/// Returns what a change of a session adds to the revocation feed.
fn new_revocation(before: &Session, after: &Session, rules: &Rules) -> Option<Revocation> {
    match after.revoked {
        Some(_) if before.revoked.is_some() => None,
        Some(_) => after.revocation(rules.revocation_retention),
        None if after.epoch > before.epoch => Some(rules.stale_tokens(after)),
        None => None,
    }
}
