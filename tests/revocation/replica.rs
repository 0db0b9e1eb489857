//! One replica: the real binary, its ports, and its callers' requests.

use std::process::Command;
use std::time::{Duration, Instant};

use test_support::replica::{self, Setup};
use token_authority::transport::proto::v1;
use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tonic::transport::{Channel, Endpoint};

pub(crate) const SECRET: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";

/// A running replica, and a client of it.
pub(crate) struct Replica {
    process: replica::Replica,
    pub(crate) http: u16,
    pub(crate) grpc: u16,
    pub(crate) tokens: TokenAuthorityServiceClient<Channel>,
    pub(crate) sessions: SessionServiceClient<Channel>,
}

impl Replica {
    /// Starts a replica on that database, and waits until it is ready.
    pub(crate) async fn start(database: &str, settings: &[(&str, &str)]) -> Self {
        let replica = Self::start_unready(database, settings).await;
        replica.until_ready(true).await;
        replica
    }

    /// Starts a replica on that database, and waits until it serves.
    pub(crate) async fn start_unready(database: &str, settings: &[(&str, &str)]) -> Self {
        let replica = Setup::on(database)
            .set("JWT_SECRET", SECRET)
            .set(
                "LOG_LEVEL",
                "warn,token_authority::cli=info,token_authority::authority::revocations=info",
            )
            .set_all(settings.iter().copied())
            .start()
            .await;
        let (http, grpc) = (replica.http_addr().port(), replica.grpc().port());
        Self {
            http,
            grpc,
            tokens: replica.tokens(),
            sessions: replica.sessions(),
            process: replica,
        }
    }

    /// Returns its log.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the answer of `/readyz`.
    pub(crate) fn readiness(&self) -> String {
        let url = format!("http://127.0.0.1:{}/readyz", self.http);
        curl(&["-w", " %{http_code}", &url])
    }

    pub(crate) async fn until_ready(&self, ready: bool) {
        let begun = Instant::now();
        while self.readiness().ends_with("200") != ready {
            let waited = begun.elapsed() < Duration::from_secs(30);
            assert!(waited, "never ready {ready}: {} {}", self.readiness(), self.log());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    pub(crate) async fn issue(&self, user: &str) -> v1::IssueTokensResponse {
        let ask = v1::IssueTokensRequest { user_id: user.into(), ..Default::default() };
        self.tokens.clone().issue_tokens(ask).await.unwrap().into_inner()
    }

    /// Logs in `many` users.
    pub(crate) async fn issue_many(&self, many: usize) -> Vec<v1::IssueTokensResponse> {
        let mut all = Vec::with_capacity(many);
        while all.len() < many {
            let batch = (many - all.len()).min(100);
            let logins = (0..batch).map(|i| self.issue(["a", "b", "c"][i % 3]));
            all.extend(futures::future::join_all(logins).await);
        }
        all
    }

    pub(crate) async fn validate(
        &self,
        token: &str,
    ) -> Result<v1::ValidateTokenResponse, tonic::Status> {
        let ask = v1::ValidateTokenRequest { token: token.into(), audience: String::new() };
        Ok(self.tokens.clone().validate_token(ask).await?.into_inner())
    }

    /// Returns whether it refuses an access token because its session was revoked.
    pub(crate) async fn refuses(&self, token: &str) -> bool {
        let answer = self.validate(token).await.unwrap();
        let revoked = answer.inactive_reason() == v1::InactiveReason::Revoked;
        assert!(answer.active != revoked, "{answer:?}");
        revoked
    }

    pub(crate) async fn until_refused(&self, token: &str) -> Duration {
        let begun = Instant::now();
        while !self.refuses(token).await {
            assert!(begun.elapsed() < Duration::from_secs(15), "a revocation was missed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    pub(crate) async fn revoke(&self, session_id: &str) {
        let ask = v1::RevokeSessionRequest { session_id: session_id.into() };
        self.sessions.clone().revoke_session(ask).await.unwrap();
    }

    pub(crate) async fn watch(
        &self,
        cursor: &str,
    ) -> Result<tonic::Streaming<v1::WatchRevocationsResponse>, tonic::Status> {
        let ask = v1::WatchRevocationsRequest { cursor: cursor.into() };
        Ok(self.sessions.clone().watch_revocations(ask).await?.into_inner())
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.process.signal("TERM");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Duration {
        let begun = Instant::now();
        self.process.ended().await;
        begun.elapsed()
    }
}

/// Connects to a replica, or to a proxy in front of it.
pub(crate) fn channel(port: u16) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy()
}

pub(crate) fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-s", "-m", "10"]).args(arguments).output();
    String::from_utf8(output.expect("curl is installed").stdout).unwrap()
}
