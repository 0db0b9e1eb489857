//! The RPCs that the console calls.

use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::cli::authority::Authority;
use crate::cli::problem::Problem;
use crate::transport::callers::api_key::ApiKey;
use crate::transport::proto::v1::list_session_events_request::Target;
use crate::transport::proto::v1::operator_service_client::OperatorServiceClient;
use crate::transport::proto::v1::rollout_service_client::RolloutServiceClient;
use crate::transport::proto::v1::session_service_client::SessionServiceClient;
use crate::transport::proto::v1::{
    GetRolloutRequest, GetRolloutResponse, GetStatusRequest, GetStatusResponse,
    ListSessionEventsRequest, ListSessionEventsResponse, ListSessionsRequest, ListSessionsResponse,
    RevokeSessionRequest, RevokeUserSessionsRequest, SetRolloutRequest,
};

/// The most live sessions that a page shows.
pub(super) const MAX_SESSIONS: i32 = 1000;
/// How many events a page shows.
const EVENTS: i32 = 200;

type Keyed = InterceptedService<Channel, ApiKey>;

/// The RPCs of one authority, in the name of one caller.
#[derive(Debug)]
pub(super) struct Calls {
    operator: OperatorServiceClient<Keyed>,
    sessions: SessionServiceClient<Keyed>,
    rollout: RolloutServiceClient<Keyed>,
    address: String,
}

impl Calls {
    pub(super) fn new(authority: Authority) -> Self {
        let Authority { channel, key, address } = authority;
        let keyed = || InterceptedService::new(channel.clone(), key.clone());
        Self {
            operator: OperatorServiceClient::new(keyed()),
            sessions: SessionServiceClient::new(keyed()),
            rollout: RolloutServiceClient::new(keyed()),
            address,
        }
    }

    /// Returns the authority's address.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn read<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Problem> {
        answer.map(Response::into_inner).map_err(|status| Problem::of(&self.address, &status))
    }

    pub(super) async fn status(&self, count_sessions: bool) -> Result<GetStatusResponse, Problem> {
        let request = GetStatusRequest { count_sessions };
        self.read(self.operator.clone().get_status(request).await)
    }

    pub(super) async fn rollout(&self) -> Result<GetRolloutResponse, Problem> {
        self.read(self.rollout.clone().get_rollout(GetRolloutRequest {}).await)
    }

    pub(super) async fn set_rollout(&self, percentage: i32, jwt: bool) -> Result<(), Problem> {
        let request = SetRolloutRequest { percentage: Some(percentage), jwt_enabled: Some(jwt) };
        self.read(self.rollout.clone().set_rollout(request).await).map(drop)
    }

    /// Lists the live sessions of a user.
    pub(super) async fn live(&self, user_id: &str) -> Result<ListSessionsResponse, Problem> {
        let request = ListSessionsRequest {
            user_id: user_id.to_owned(),
            page_size: MAX_SESSIONS,
            page_token: String::new(),
        };
        self.read(self.sessions.clone().list_sessions(request).await)
    }

    pub(super) async fn events(
        &self,
        target: Target,
        page_token: &str,
    ) -> Result<ListSessionEventsResponse, Problem> {
        let request = ListSessionEventsRequest {
            target: Some(target),
            page_size: EVENTS,
            page_token: page_token.to_owned(),
        };
        self.read(self.sessions.clone().list_session_events(request).await)
    }

    pub(super) async fn end_session(&self, id: &str) -> Result<(), Problem> {
        let request = RevokeSessionRequest { session_id: id.to_owned() };
        self.read(self.sessions.clone().revoke_session(request).await).map(drop)
    }

    pub(super) async fn end_user(&self, user_id: &str) -> Result<(), Problem> {
        let request =
            RevokeUserSessionsRequest { user_id: user_id.to_owned(), except_session_id: None };
        self.read(self.sessions.clone().revoke_user_sessions(request).await).map(drop)
    }
}
