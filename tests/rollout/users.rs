//! Users whose buckets are spread evenly, so that a percentage of a few hundred users is exact.
//! With random ids, chance alone would change it by more than the tests allow.

use token_authority::token::id::UserId;
use token_authority::token::rollout::bucket;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    AuthMethod, IssueTokensRequest, RefreshAccessTokenRequest, ValidateTokenRequest,
    ValidateTokenResponse,
};
use tonic::transport::Channel;

/// Returns that many users for each of the hundred buckets.
pub(crate) fn spread(of_each: usize) -> Vec<String> {
    let mut left = [of_each; 100];
    (0_u32..)
        .map(|n| format!("user-{n}"))
        .filter(|id| {
            let left = &mut left[usize::from(bucket(&UserId::new(id).unwrap()))];
            let wanted = *left > 0;
            *left = left.saturating_sub(1);
            wanted
        })
        .take(of_each * 100)
        .collect()
}

/// The tokens of a user.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) user: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) session: String,
    pub(crate) method: AuthMethod,
}

pub(crate) type Client = TokenAuthorityServiceClient<Channel>;

pub(crate) async fn log_in(client: &mut Client, user: &str) -> Held {
    let ask = IssueTokensRequest { user_id: user.into(), ..Default::default() };
    issue(client, ask).await
}

pub(crate) async fn issue(client: &mut Client, ask: IssueTokensRequest) -> Held {
    let user = ask.user_id.clone();
    let given = client.issue_tokens(ask).await.unwrap().into_inner();
    let method = given.auth_method();
    assert_eq!(is_jwt(&given.access_token), method == AuthMethod::Jwt);
    Held {
        user,
        access: given.access_token,
        refresh: given.refresh_token,
        session: given.session_id,
        method,
    }
}

impl Held {
    /// Refreshes. Returns the lifetime of the new access token in seconds.
    pub(crate) async fn renew(&mut self, client: &mut Client) -> i64 {
        let ask =
            RefreshAccessTokenRequest { refresh_token: self.refresh.clone(), ..Default::default() };
        let given = client.refresh_access_token(ask).await.unwrap().into_inner();
        self.method = given.auth_method();
        assert_eq!(is_jwt(&given.access_token), self.method == AuthMethod::Jwt);
        (self.access, self.refresh) = (given.access_token, given.refresh_token);
        given.expires_in.unwrap().seconds
    }

    /// Validates its access token.
    pub(crate) async fn check(&self, client: &mut Client) -> ValidateTokenResponse {
        check(client, &self.access).await.unwrap()
    }
}

pub(crate) async fn check(
    client: &mut Client,
    token: &str,
) -> Result<ValidateTokenResponse, tonic::Status> {
    let ask = ValidateTokenRequest { token: token.into(), audience: String::new() };
    Ok(client.validate_token(ask).await?.into_inner())
}

fn is_jwt(token: &str) -> bool {
    token.starts_with("eyJ") && token.split('.').count() == 3
}
