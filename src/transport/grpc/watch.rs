//! `WatchRevocations`: produces a message when the watcher takes it, without a queue in between.

use std::pin::Pin;
use std::sync::Arc;

use tonic::Status;

use super::convert::timestamp;
use crate::authority::revocations::watch::{Message, Update, Watch};
use crate::clock::Timestamp;
use crate::token::session::{Refused, Revocation, RevocationReason};
use crate::transport::proto::v1;
use crate::transport::proto::v1::watch_revocations_response::Event;

/// The response stream of the RPC.
pub(super) type Stream =
    Pin<Box<dyn futures::Stream<Item = Result<v1::WatchRevocationsResponse, Status>> + Send>>;

/// Streams the messages of `watch` until it ends. A message is made only when the transport asks for
/// it: HTTP/2 flow control slows a watcher down, and the watch ends a watcher that is too slow.
pub(super) fn stream(watch: Watch) -> Stream {
    Box::pin(futures::stream::unfold(Some(watch), async |watch| {
        let mut watch = watch?;
        Some(match watch.next().await {
            Ok(message) => (Ok(convert(message)), Some(watch)),
            Err(ended) => (Err(ended.into()), None),
        })
    }))
}

fn convert(Message { cursor, update }: Message) -> v1::WatchRevocationsResponse {
    let event = match update {
        Update::Snapshot { revocations, continued } => {
            Event::Snapshot(snapshot(&revocations, continued))
        }
        Update::Revocation(one) => Event::Revocation(revocation(&one)),
        Update::StaleTokens { stale, as_of } => heartbeat(as_of, vec![stale_tokens(&stale)]),
        Update::Heartbeat { as_of } => heartbeat(as_of, Vec::new()),
    };
    v1::WatchRevocationsResponse { cursor, event: Some(event) }
}

fn heartbeat(as_of: Timestamp, stale_tokens: Vec<v1::StaleTokens>) -> Event {
    Event::Heartbeat(v1::Heartbeat { as_of: Some(timestamp(as_of)), stale_tokens })
}

fn snapshot(all: &[Arc<Revocation>], continued: bool) -> v1::RevocationSnapshot {
    let (over, stale): (Vec<_>, Vec<_>) =
        all.iter().partition(|one| matches!(one.refused, Refused::All(_)));
    v1::RevocationSnapshot {
        revocations: over.into_iter().map(|one| revocation(one)).collect(),
        continued,
        stale_tokens: stale.into_iter().map(|one| stale_tokens(one)).collect(),
    }
}

fn stale_tokens(one: &Revocation) -> v1::StaleTokens {
    v1::StaleTokens {
        session_id: one.session_id.to_string(),
        epoch: match one.refused {
            Refused::Before(epoch) => epoch.number(),
            Refused::All(_) => u32::MAX,
        },
        expires_at: Some(timestamp(one.expires_at)),
    }
}

fn revocation(one: &Revocation) -> v1::Revocation {
    let user_id = one.user_id.as_ref().map(|user_id| user_id.as_str().to_owned());
    v1::Revocation {
        session_id: one.session_id.to_string(),
        user_id: user_id.unwrap_or_default(),
        revoked_at: Some(timestamp(one.revoked_at)),
        expires_at: Some(timestamp(one.expires_at)),
        reason: match one.refused {
            Refused::All(why) => reason(why),
            Refused::Before(_) => v1::RevocationReason::Unspecified,
        }
        .into(),
    }
}

pub(super) const fn reason(reason: RevocationReason) -> v1::RevocationReason {
    match reason {
        RevocationReason::Logout => v1::RevocationReason::Logout,
        RevocationReason::Admin => v1::RevocationReason::Admin,
        RevocationReason::User => v1::RevocationReason::User,
        RevocationReason::Reuse => v1::RevocationReason::Reuse,
        RevocationReason::Evicted => v1::RevocationReason::Evicted,
    }
}
