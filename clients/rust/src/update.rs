//! The client: change and erase sessions.

use serde_json::{Map, Value};

use crate::client::{Client, retrying};
use crate::error::ClientError;
use crate::remote::to_struct;
use crate::v1;
use crate::v1::update_sessions_request::Target;

/// A change of what the access tokens of live sessions carry. `None` leaves a part as it is, and an empty
/// value removes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// Whom the access tokens are meant for.
    pub audience: Option<Vec<String>>,
    /// What they may be used for.
    pub scopes: Option<Vec<String>>,
    /// The further claims, in place of all earlier ones.
    pub claims: Option<Map<String, Value>>,
    /// Whether access tokens that were issued before are refused from now on. The sessions live on, and
    /// their clients refresh. `false`: they stay good until they expire.
    pub refresh_now: bool,
}

impl Client {
    /// Changes a live session. Returns whether there is one.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn update_session(
        &self,
        session_id: &str,
        update: Update,
    ) -> Result<bool, ClientError> {
        let updated = self.update(Target::SessionId(session_id.to_owned()), update).await?;
        Ok(updated > 0)
    }

    /// Changes all live sessions of a user. Returns how many there are.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn update_user_sessions(
        &self,
        user_id: &str,
        update: Update,
    ) -> Result<u32, ClientError> {
        self.update(Target::UserId(user_id.to_owned()), update).await
    }

    /// Ends all sessions of a user and has the service remove everything about the user from its database.
    /// Returns how many sessions there were, ended ones included.
    ///
    /// # Errors
    /// Returns [`ClientError`] if the service refuses the call or cannot answer.
    pub async fn erase_user(&self, user_id: &str) -> Result<u32, ClientError> {
        let request = v1::EraseUserRequest { user_id: user_id.to_owned() };
        let call = async |request| self.sessions.clone().erase_user(request).await;
        let count = retrying(request, call).await?.erased_count;
        Ok(u32::try_from(count).unwrap_or_default())
    }

    async fn update(&self, target: Target, update: Update) -> Result<u32, ClientError> {
        let Update { audience, scopes, claims, refresh_now } = update;
        let changed = [
            ("audience", audience.is_some()),
            ("scopes", scopes.is_some()),
            ("claims", claims.is_some()),
        ];
        let paths = changed.iter().filter(|(_, is_set)| *is_set);
        let paths = paths.map(|(field, _)| (*field).to_owned()).collect();
        let request = v1::UpdateSessionsRequest {
            target: Some(target),
            claims: claims.map(to_struct),
            scopes: scopes.unwrap_or_default(),
            audience: audience.unwrap_or_default(),
            refresh_now,
            update_mask: Some(prost_types::FieldMask { paths }),
        };
        let call = async |request| self.sessions.clone().update_sessions(request).await;
        let count = retrying(request, call).await?.updated_count;
        Ok(u32::try_from(count).unwrap_or_default())
    }
}
