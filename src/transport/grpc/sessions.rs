//! `SessionService`: list, change, end and erase sessions, tell their history, and watch revocations.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tonic::{Request, Response, Status};

use super::{convert, history, watch};
use crate::authority::Authority;
use crate::token::field::InvalidField;
use crate::token::id::{SessionId, UserId};
use crate::transport::callers::Caller;
use crate::transport::proto::v1::session_service_server::SessionService;
use crate::transport::proto::v1::{
    EraseUserRequest, EraseUserResponse, ListSessionEventsRequest, ListSessionEventsResponse,
    ListSessionsRequest, ListSessionsResponse, RevokeSessionRequest, RevokeSessionResponse,
    RevokeUserSessionsRequest, RevokeUserSessionsResponse, UpdateSessionsRequest,
    UpdateSessionsResponse, WatchRevocationsRequest,
};

const DEFAULT_PAGE: u32 = 50;
const MOST_A_PAGE: u32 = 1000;

/// The implementation of `SessionService`.
#[derive(Debug, Clone)]
pub struct Sessions {
    authority: Arc<Authority>,
}

impl Sessions {
    /// Makes the service for this authority.
    #[must_use]
    pub const fn new(authority: Arc<Authority>) -> Self {
        Self { authority }
    }
}

/// Returns the size of a page: 0 means the default, and a larger size than allowed is reduced
/// (AIP-158).
fn page_size(asked: i32) -> Result<u32, InvalidField> {
    match u32::try_from(asked) {
        Ok(0) => Ok(DEFAULT_PAGE),
        Ok(asked) => Ok(asked.min(MOST_A_PAGE)),
        Err(_) => Err(InvalidField::new("page_size", "must not be negative")),
    }
}

/// Makes a page token. It names the last session of the previous page.
fn page_token(last: SessionId) -> String {
    URL_SAFE_NO_PAD.encode(last.as_uuid().as_bytes())
}

fn read_page_token(token: &str) -> Result<Option<SessionId>, InvalidField> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    let id = bytes.and_then(|bytes| uuid::Uuid::from_slice(&bytes).ok()).map(SessionId::from);
    id.map(Some)
        .ok_or(InvalidField::new("page_token", "must be a next_page_token from this service"))
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let ListSessionsRequest { user_id, page_size: asked, page_token: token } =
            request.into_inner();
        let user_id = UserId::new(user_id)?;
        let size = page_size(asked)?;
        let before = read_page_token(&token)?;
        // One row more than the page holds tells whether there is a next page.
        let mut found = self.authority.list_sessions(&user_id, before, size + 1).await?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let last = found.last().filter(|_| more);
        Ok(Response::new(ListSessionsResponse {
            next_page_token: last.map_or_else(String::new, |session| page_token(session.id)),
            sessions: found.iter().map(convert::session).collect(),
        }))
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        let actor = Caller::name_of(request.extensions());
        let id = request.into_inner().session_id.parse::<SessionId>()?;
        self.authority.revoke_session(id, &actor).await?;
        Ok(Response::new(RevokeSessionResponse {}))
    }

    async fn revoke_user_sessions(
        &self,
        request: Request<RevokeUserSessionsRequest>,
    ) -> Result<Response<RevokeUserSessionsResponse>, Status> {
        let actor = Caller::name_of(request.extensions());
        let RevokeUserSessionsRequest { user_id, except_session_id } = request.into_inner();
        let user_id = UserId::new(user_id)?;
        let except = except_session_id.filter(|id| !id.is_empty()).map(|id| {
            id.parse().map_err(|_| InvalidField::new("except_session_id", "must be a UUID"))
        });
        let except = except.transpose()?;
        let revoked = self.authority.revoke_user_sessions(user_id, except, &actor).await?;
        let revoked_count = i32::try_from(revoked).unwrap_or(i32::MAX);
        Ok(Response::new(RevokeUserSessionsResponse { revoked_count }))
    }

    async fn update_sessions(
        &self,
        request: Request<UpdateSessionsRequest>,
    ) -> Result<Response<UpdateSessionsResponse>, Status> {
        let actor = Caller::name_of(request.extensions());
        let (target, change, refresh_now) = convert::update(request.into_inner())?;
        let updated = self.authority.update_sessions(target, change, refresh_now, &actor).await?;
        let updated_count = i32::try_from(updated).unwrap_or(i32::MAX);
        Ok(Response::new(UpdateSessionsResponse { updated_count }))
    }

    async fn erase_user(
        &self,
        request: Request<EraseUserRequest>,
    ) -> Result<Response<EraseUserResponse>, Status> {
        let actor = Caller::name_of(request.extensions());
        let user_id = UserId::new(request.into_inner().user_id)?;
        let erased = self.authority.erase_user(&user_id, &actor).await?;
        let erased_count = i32::try_from(erased).unwrap_or(i32::MAX);
        Ok(Response::new(EraseUserResponse { erased_count }))
    }

    async fn list_session_events(
        &self,
        request: Request<ListSessionEventsRequest>,
    ) -> Result<Response<ListSessionEventsResponse>, Status> {
        let ListSessionEventsRequest { target, page_size: asked, page_token: token } =
            request.into_inner();
        let of = history::target(target)?;
        let size = page_size(asked)?;
        let before = history::read_page_token(&token)?;
        // One event more than the page holds tells whether there is a next page.
        let mut found = self.authority.session_events(&of, before, size + 1).await?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let last = found.last().filter(|_| more);
        Ok(Response::new(ListSessionEventsResponse {
            next_page_token: last.map_or_else(String::new, history::page_token),
            events: found.into_iter().map(history::event).collect(),
        }))
    }

    type WatchRevocationsStream = watch::Stream;

    async fn watch_revocations(
        &self,
        request: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let cursor = request.into_inner().cursor;
        let watch = self.authority.revocations().watch(&cursor)??;
        Ok(Response::new(watch::stream(watch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn pages_are_bounded_and_continue_where_they_ended() {
        assert_eq!(page_size(0), Ok(DEFAULT_PAGE));
        assert_eq!(page_size(7), Ok(7));
        assert_eq!(page_size(i32::MAX), Ok(MOST_A_PAGE));
        assert!(page_size(-1).is_err());
        let id = SessionId::new(Timestamp::from_seconds(9), [4; 10]);
        assert_eq!(read_page_token(&page_token(id)), Ok(Some(id)));
        assert_eq!(read_page_token(""), Ok(None));
        assert!(read_page_token("x").is_err());
    }
}
