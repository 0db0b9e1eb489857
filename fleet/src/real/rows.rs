//! The adapter's interface: it passes every operation on to the real database.

use std::time::Duration;

use async_trait::async_trait;
use token_authority::clock::Timestamp;
use token_authority::store::figures::{Census, ConnectionFigures};
use token_authority::store::rollouts::LiveSessions;
use token_authority::store::rows::{
    CompareAndSwap, FeedPage, OptimisticRotation, Position, Purged, Row, Schema, SessionBound,
};
use token_authority::store::{
    Audit, EventPosition, EventRows, EventsOf, Figures, KeyRows, Open, OpenedBefore, Receipt,
    RolloutChange, Rollouts, Rows, StoreError, System,
};
use token_authority::token::event::SessionEvent;
use token_authority::token::id::{SessionId, UserId};
use token_authority::token::key::{KeyUse, StoredKey};
use token_authority::token::session::{RevocationReason, Session};

use super::database::Database;
use crate::plant::Plant;

impl Database {
    async fn try_record_receipts(&self, receipts: &[Receipt]) -> Result<u64, StoreError> {
        self.reach()?;
        if self.plant == Plant::NoReceipts {
            return Ok(0);
        }
        let ids: Vec<SessionId> = receipts.iter().map(|receipt| receipt.session_id).collect();
        self.note(&ids).await?;
        self.committed(self.inner.record_receipts(receipts).await?)
    }
}

#[async_trait]
impl Rows for Database {
    fn system(&self) -> System {
        self.inner.system()
    }

    async fn insert(&self, opens: &[Open]) -> Result<Vec<bool>, StoreError> {
        self.reach()?;
        self.committed(self.inner.insert(opens).await?)
    }

    async fn insert_bounded(
        &self,
        opens: &[Open],
        bound: SessionBound,
    ) -> Result<(Vec<bool>, Vec<Session>), StoreError> {
        self.reach()?;
        self.committed(self.inner.insert_bounded(opens, bound).await?)
    }

    async fn find_requests(
        &self,
        keys: &[String],
    ) -> Result<Vec<Option<OpenedBefore>>, StoreError> {
        self.reach()?;
        self.inner.find_requests(keys).await
    }

    async fn load(&self, ids: &[SessionId]) -> Result<Vec<Option<Row>>, StoreError> {
        self.reach()?;
        let mut rows = self.inner.load(ids).await?;
        rows.iter_mut().flatten().for_each(|row| self.break_loaded(row));
        Ok(rows)
    }

    async fn swap(&self, swaps: &[CompareAndSwap]) -> Result<Vec<bool>, StoreError> {
        self.reach()?;
        let ids: Vec<SessionId> = swaps.iter().map(|swap| swap.session.id).collect();
        self.note(&ids).await?;
        if self.plant == Plant::Nothing {
            return self.committed(self.inner.swap(swaps).await?);
        }
        let mut swaps = swaps.to_vec();
        for swap in &mut swaps {
            self.break_swap(swap);
        }
        self.committed(self.inner.swap(&swaps).await?)
    }

    async fn rotate(
        &self,
        rotations: &[OptimisticRotation],
    ) -> Result<Vec<Option<Session>>, StoreError> {
        self.reach()?;
        let ids: Vec<SessionId> = rotations.iter().map(OptimisticRotation::session_id).collect();
        self.note(&ids).await?;
        let mut rotated = self.inner.rotate(rotations).await?;
        rotated.iter_mut().flatten().for_each(|session| self.keep_first_hand_out(session));
        self.committed(rotated)
    }

    async fn record_receipts(&self, receipts: &[Receipt]) -> Result<u64, StoreError> {
        let recorded = self.try_record_receipts(receipts).await;
        self.count_receipts(receipts.len());
        recorded
    }

    async fn revoke_user(
        &self,
        user_id: &UserId,
        except: Option<SessionId>,
        audit: Audit<'_>,
        reason: RevocationReason,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError> {
        self.reach()?;
        let revoked = self.inner.revoke_user(user_id, except, audit, reason, retention).await?;
        self.committed(revoked)
    }

    async fn erase_user(
        &self,
        user_id: &UserId,
        audit: Audit<'_>,
        retention: Duration,
    ) -> Result<Vec<Session>, StoreError> {
        self.reach()?;
        self.committed(self.inner.erase_user(user_id, audit, retention).await?)
    }

    async fn feed(
        &self,
        after: Position,
        now: Timestamp,
        limit: u32,
    ) -> Result<FeedPage, StoreError> {
        self.reach()?;
        self.inner.feed(after, now, limit).await
    }

    async fn purge_revocations(
        &self,
        ended_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.reach()?;
        self.inner.purge_revocations(ended_before, limit).await
    }

    async fn list(
        &self,
        user_id: &UserId,
        before: Option<SessionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<Session>, StoreError> {
        self.reach()?;
        self.inner.list(user_id, before, limit, now).await
    }

    async fn purge(&self, ended_before: Timestamp, limit: u32) -> Result<Purged, StoreError> {
        self.reach()?;
        self.inner.purge(ended_before, limit).await
    }

    async fn forget_first_tokens(
        &self,
        opened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.reach()?;
        self.inner.forget_first_tokens(opened_before, limit).await
    }

    async fn check(&self) -> Result<Schema, StoreError> {
        self.inner.check().await
    }

    async fn probe_write(&self) -> Result<(), StoreError> {
        self.inner.probe_write().await
    }

    async fn migrate(&self) -> Result<Schema, StoreError> {
        self.inner.migrate().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl KeyRows for Database {
    async fn insert_key(&self, key: &StoredKey) -> Result<bool, StoreError> {
        self.inner.insert_key(key).await
    }

    async fn load_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.inner.load_keys().await
    }

    async fn raise_token_life(&self, number: i64, life: Duration) -> Result<(), StoreError> {
        self.inner.raise_token_life(number, life).await
    }

    async fn end_keys(&self, up_to: i64, at: Timestamp) -> Result<u64, StoreError> {
        self.inner.end_keys(up_to, at).await
    }

    async fn delete_keys(&self, kids: &[String]) -> Result<u64, StoreError> {
        self.inner.delete_keys(kids).await
    }

    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.inner.note_key_uses(uses).await
    }

    async fn key_uses(&self) -> Result<Vec<KeyUse>, StoreError> {
        self.inner.key_uses().await
    }
}

#[async_trait]
impl Rollouts for Database {
    async fn last_change(&self) -> Result<Option<RolloutChange>, StoreError> {
        self.inner.last_change().await
    }

    async fn append_change(&self, change: &RolloutChange) -> Result<bool, StoreError> {
        self.inner.append_change(change).await
    }

    async fn changes(&self, limit: u32) -> Result<Vec<RolloutChange>, StoreError> {
        self.inner.changes(limit).await
    }

    async fn live_sessions(
        &self,
        after: Option<&UserId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<LiveSessions>, StoreError> {
        self.inner.live_sessions(after, limit, now).await
    }
}

#[async_trait]
impl Figures for Database {
    async fn size(&self) -> Result<u64, StoreError> {
        self.inner.size().await
    }

    async fn first_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.first_due().await
    }

    async fn census(&self, now: Timestamp) -> Result<Vec<Census>, StoreError> {
        self.inner.census(now).await
    }

    fn connections(&self) -> ConnectionFigures {
        self.inner.connections()
    }
}

#[async_trait]
impl EventRows for Database {
    async fn events(
        &self,
        of: &EventsOf,
        before: Option<EventPosition>,
        limit: u32,
    ) -> Result<Vec<SessionEvent>, StoreError> {
        self.inner.events(of, before, limit).await
    }

    async fn purge_events(
        &self,
        happened_before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.inner.purge_events(happened_before, limit).await
    }
}
