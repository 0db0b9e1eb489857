//! The calls of verifiers and OAuth clients to a replica.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;
use test_support::replica::Replica;
use test_support::until::TIMEOUT;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, IssueTokensResponse, RefreshAccessTokenRequest, RefreshAccessTokenResponse,
    ValidateTokenRequest, ValidateTokenResponse,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Random secrets.
pub(crate) const SECRET: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
pub(crate) const OTHER: &str = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc2fAi9XwNbQkEs=";
pub(crate) const AUTHORITY: &str = "pV4cN7tXq9zGs2Hw6LbYk8Rm1JdFu3Ea5oTiB0WnQxM=";

/// A replica from its callers' point of view.
pub(crate) trait Keys {
    /// Returns a client with a separate connection.
    fn client(&self) -> Client;
    /// Returns an answer of its HTTP port: the head in lower case, and the body.
    fn page(&self, path: &str) -> (String, String);

    /// Returns an answer of its HTTP port: the head in lower case, and the JSON body.
    fn get(&self, path: &str) -> (String, Value) {
        let (head, body) = self.page(path);
        let json = serde_json::from_str(&body);
        (head, json.unwrap_or_else(|_| panic!("{path}: {body}")))
    }

    /// Returns the names of the keys that it publishes.
    fn published(&self) -> Vec<String> {
        let (_, set) = self.get("/.well-known/jwks.json");
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

impl Keys for Replica {
    fn client(&self) -> Client {
        Client(self.tokens())
    }

    fn page(&self, path: &str) -> (String, String) {
        let address = self.http_addr();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }
}

/// A client of the token service.
#[derive(Debug, Clone)]
pub(crate) struct Client(TokenAuthorityServiceClient<Channel>);

impl Client {
    /// Logs a user in.
    pub(crate) async fn issue(&self, user_id: &str) -> Result<IssueTokensResponse, Status> {
        let ask = IssueTokensRequest { user_id: user_id.into(), ..Default::default() };
        Ok(self.0.clone().issue_tokens(ask).await?.into_inner())
    }

    /// Refreshes.
    pub(crate) async fn refresh(
        &self,
        refresh_token: &str,
    ) -> Result<RefreshAccessTokenResponse, Status> {
        let ask =
            RefreshAccessTokenRequest { refresh_token: refresh_token.into(), ..Default::default() };
        Ok(self.0.clone().refresh_access_token(ask).await?.into_inner())
    }

    /// Validates a token.
    pub(crate) async fn validate(&self, token: &str) -> Result<ValidateTokenResponse, Status> {
        let ask = ValidateTokenRequest { token: token.into(), audience: String::new() };
        Ok(self.0.clone().validate_token(ask).await?.into_inner())
    }
}

/// Returns whether a call failed because the replica is shutting down, so that a balancer would try
/// another one.
pub(crate) fn is_away(status: &Status) -> bool {
    // An error with a source comes from the connection, not from the replica.
    status.code() == Code::Unavailable || std::error::Error::source(status).is_some()
}

/// Returns a member of a token's header.
pub(crate) fn header(token: &str, name: &str) -> String {
    use base64::Engine as _;
    let first = token.split('.').next().unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(first).unwrap();
    let header: Value = serde_json::from_slice(&bytes).unwrap();
    header[name].as_str().unwrap().to_owned()
}
