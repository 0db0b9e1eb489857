//! `WatchRevocations`: produces a message when the watcher takes it, without a queue in between.

use std::pin::Pin;

use tonic::Status;

use super::convert::timestamp;
use crate::authority::revocations::watch::{Message, Update, Watch};
use crate::token::session::{Revocation, RevocationReason};
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
            let revocations = revocations.iter().map(|one| revocation(one)).collect();
            Event::Snapshot(v1::RevocationSnapshot { revocations, continued })
        }
        Update::Revocation(one) => Event::Revocation(revocation(&one)),
        Update::Heartbeat { as_of } => {
            Event::Heartbeat(v1::Heartbeat { as_of: Some(timestamp(as_of)) })
        }
    };
    v1::WatchRevocationsResponse { cursor, event: Some(event) }
}

fn revocation(one: &Revocation) -> v1::Revocation {
    v1::Revocation {
        session_id: one.session_id.to_string(),
        user_id: one.user_id.as_str().to_owned(),
        revoked_at: Some(timestamp(one.revoked_at)),
        expires_at: Some(timestamp(one.expires_at)),
        reason: match one.reason {
            RevocationReason::Logout => v1::RevocationReason::Logout,
            RevocationReason::Admin => v1::RevocationReason::Admin,
            RevocationReason::User => v1::RevocationReason::User,
            RevocationReason::Reuse => v1::RevocationReason::Reuse,
        }
        .into(),
    }
}
