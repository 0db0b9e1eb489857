//! `OperatorService`: the state of this replica.

use std::sync::Arc;

use prost_types::Timestamp as ProtoTimestamp;
use tonic::{Request, Response, Status};

use super::convert;
use crate::authority::AuthMethod;
use crate::authority::key_rotator::Listed;
use crate::authority::status::{ReplicaStatus, StatusReader};
use crate::clock::Timestamp;
use crate::keys::life::State;
use crate::store::figures::Census;
use crate::transport::http::{Readiness, Ready};
use crate::transport::proto::v1;
use crate::transport::proto::v1::operator_service_server::OperatorService;

/// The implementation of `OperatorService`.
#[derive(Debug, Clone)]
pub struct Operator {
    status: Arc<StatusReader>,
    readiness: Arc<dyn Readiness>,
}

impl Operator {
    /// Makes the service for this replica.
    #[must_use]
    pub fn new(status: Arc<StatusReader>, readiness: Arc<dyn Readiness>) -> Self {
        Self { status, readiness }
    }
}

#[tonic::async_trait]
impl OperatorService for Operator {
    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let count = request.into_inner().count_sessions;
        let (status, ready) = tokio::join!(self.status.read(count), self.readiness.check());
        Ok(Response::new(response(&status, ready)))
    }
}

fn response(status: &ReplicaStatus, ready: Ready) -> v1::GetStatusResponse {
    let connections = status.connections;
    let busy = connections.open.saturating_sub(connections.idle);
    v1::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: Some(convert::timestamp(status.started_at)),
        answered_at: Some(convert::timestamp(status.now)),
        not_ready_reason: match ready {
            Ready::Yes => String::new(),
            Ready::No(why) => why.to_owned(),
        },
        database: Some(v1::DatabaseStatus {
            system: status.system.name().to_owned(),
            reachable: status.database.is_some(),
            size_bytes: status.database.map_or(0, |database| whole(database.bytes)),
            open_connections: small(connections.open),
            busy_connections: small(busy),
        }),
        revocations: Some(v1::RevocationStatus {
            confirmed_at: moment(status.confirmed_at),
            stale: status.is_stale,
            held_count: i64::try_from(status.held).unwrap_or(i64::MAX),
            watcher_count: i32::try_from(status.watchers).unwrap_or(i32::MAX),
        }),
        sweeper: Some(v1::SweeperStatus {
            completed_at: moment(status.last_sweep.map(|pass| pass.at)),
            deleted_count: status.last_sweep.map_or(0, |pass| whole(pass.deleted)),
            overdue: status.database.map(|database| convert::duration(database.overdue)),
        }),
        keys: status.keys.iter().map(key).collect(),
        live_sessions: status.live_sessions.as_deref().map(live_sessions).unwrap_or_default(),
    }
}

fn key(key: &Listed) -> v1::SigningKey {
    let state = match key.state {
        State::Prepared => v1::SigningKeyState::Prepared,
        State::Active => v1::SigningKeyState::Active,
        State::Retiring => v1::SigningKeyState::Retiring,
        State::Verifying => v1::SigningKeyState::Verifying,
        State::Gone => v1::SigningKeyState::Gone,
    };
    v1::SigningKey {
        kid: key.kid.clone(),
        algorithm: key.algorithm.clone(),
        state: state.into(),
        created_at: moment(key.created_at),
        signs_from: moment(key.signs_from),
        signs_until: moment(key.signs_until),
        verifies_until: moment(key.ends),
        last_used_at: moment(key.last_verified_at),
    }
}

/// Returns an entry for each kind of access token. The census has none for a kind without sessions.
fn live_sessions(census: &[Census]) -> Vec<v1::LiveSessions> {
    let of = |auth_method: AuthMethod| {
        let found = census.iter().find(|census| census.auth_method == auth_method);
        v1::LiveSessions {
            auth_method: convert::auth_method(auth_method).into(),
            user_count: found.map_or(0, |census| whole(census.users)),
            session_count: found.map_or(0, |census| whole(census.sessions)),
        }
    };
    AuthMethod::ALL.map(of).into()
}

fn moment(at: Option<Timestamp>) -> Option<ProtoTimestamp> {
    at.map(convert::timestamp)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn small(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
