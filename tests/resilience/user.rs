//! A user whose tokens are in use, through the generated client, as in a product.

use std::time::{Duration, Instant};

use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, RefreshAccessTokenRequest, ValidateTokenRequest,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// How long a user keeps trying.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) type Client = TokenAuthorityServiceClient<Channel>;

/// Returns a client of a server on a loopback port.
pub(crate) fn client(port: u16) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    TokenAuthorityServiceClient::new(endpoint.connect_lazy())
}

/// A user with a session.
#[derive(Debug, Clone)]
pub(crate) struct User {
    client: Client,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
}

impl User {
    pub(crate) async fn log_in(client: &Client, name: &str) -> Result<Self, Status> {
        let request = IssueTokensRequest { user_id: name.into(), ..Default::default() };
        let mut client = client.clone();
        let issued = client.issue_tokens(request).await?.into_inner();
        Ok(Self { client, access_token: issued.access_token, refresh_token: issued.refresh_token })
    }

    /// Returns the same user, connected to another replica.
    pub(crate) fn at(&self, client: &Client) -> Self {
        Self { client: client.clone(), ..self.clone() }
    }

    /// Refreshes the tokens. Returns whether the refresh token changed.
    pub(crate) async fn refresh(&mut self) -> Result<bool, Status> {
        let request = RefreshAccessTokenRequest {
            refresh_token: self.refresh_token.clone(),
            ..Default::default()
        };
        let renewed = self.client.refresh_access_token(request).await?.into_inner();
        let changed = self.refresh_token != renewed.refresh_token;
        self.access_token = renewed.access_token;
        self.refresh_token = renewed.refresh_token;
        Ok(changed)
    }

    /// Refreshes the tokens, and repeats with the same one while the service cannot reach its
    /// database. Any other refusal means a lost session.
    pub(crate) async fn refresh_patiently(&mut self) {
        let deadline = Instant::now() + STATEMENT_TIMEOUT;
        while let Err(status) = self.refresh().await {
            assert_eq!(status.code(), Code::Unavailable, "a session was lost: {status:?}");
            assert!(Instant::now() < deadline, "the service did not recover: {status:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Validates the access token.
    pub(crate) async fn validate(&mut self) -> Result<bool, Status> {
        let request =
            ValidateTokenRequest { token: self.access_token.clone(), ..Default::default() };
        Ok(self.client.validate_token(request).await?.into_inner().active)
    }

    /// Validates the access token every 20 ms until `stop`. Returns how often. No validation may
    /// fail.
    pub(crate) async fn check_until(mut self, stop: CancellationToken) -> u64 {
        let mut count = 0;
        while !stop.is_cancelled() {
            assert!(self.validate().await.unwrap(), "a good access token was refused");
            count += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        count
    }
}
