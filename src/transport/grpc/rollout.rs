//! `RolloutService`: read and change the roll-out.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert;
use crate::authority::rollout::{RolloutControl, RolloutOrder};
use crate::token::rollout::Percentage;
use crate::transport::callers::Caller;
use crate::transport::fault;
use crate::transport::proto::v1::rollout_service_server::RolloutService;
use crate::transport::proto::v1::{
    GetRolloutRequest, GetRolloutResponse, SetRolloutRequest, SetRolloutResponse,
};

/// The implementation of `RolloutService`.
#[derive(Debug, Clone)]
pub struct Rollouts {
    control: Arc<RolloutControl>,
}

impl Rollouts {
    /// Makes the service for this roll-out.
    #[must_use]
    pub const fn new(control: Arc<RolloutControl>) -> Self {
        Self { control }
    }
}

#[tonic::async_trait]
impl RolloutService for Rollouts {
    async fn get_rollout(
        &self,
        _: Request<GetRolloutRequest>,
    ) -> Result<Response<GetRolloutResponse>, Status> {
        let status = self.control.read().await.map_err(|error| fault::store(&error))?;
        let change = status.change.as_ref();
        Ok(Response::new(GetRolloutResponse {
            percentage: status.rollout.percentage.number().into(),
            jwt_enabled: status.rollout.jwt_enabled,
            updated_at: change.map(|change| convert::timestamp(change.at)),
            updated_by: change.map_or_else(String::new, |change| change.by.clone()),
        }))
    }

    async fn set_rollout(
        &self,
        request: Request<SetRolloutRequest>,
    ) -> Result<Response<SetRolloutResponse>, Status> {
        let by = Caller::name_of(request.extensions());
        let SetRolloutRequest { percentage, jwt_enabled } = request.into_inner();
        let percentage = percentage.map(|number| Percentage::new(number.into())).transpose()?;
        let status = self.control.set(RolloutOrder { percentage, jwt_enabled }, &by).await?;
        let change = status.change.as_ref();
        Ok(Response::new(SetRolloutResponse {
            percentage: status.rollout.percentage.number().into(),
            jwt_enabled: status.rollout.jwt_enabled,
            updated_at: change.map(|change| convert::timestamp(change.at)),
            updated_by: change.map_or_else(String::new, |change| change.by.clone()),
        }))
    }
}
