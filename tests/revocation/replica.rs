//! One replica: the real binary, its ports, and what a caller does with it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use token_authority::transport::proto::v1;
use token_authority::transport::proto::v1::session_service_client::SessionServiceClient;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::support::supervised::free_port;

const SECRET: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";

/// A running replica.
pub(crate) struct Replica {
    child: Child,
    folder: TempDir,
    pub(crate) http: u16,
    pub(crate) grpc: u16,
    pub(crate) tokens: TokenAuthorityServiceClient<Channel>,
    pub(crate) sessions: SessionServiceClient<Channel>,
}

impl Replica {
    /// Starts one on that database, and waits until it is ready.
    pub(crate) async fn start(database: &str, settings: &[(&str, &str)]) -> Self {
        let replica = Self::start_unready(database, settings);
        replica.until_ready(true).await;
        replica
    }

    /// Starts one on that database.
    pub(crate) fn start_unready(database: &str, settings: &[(&str, &str)]) -> Self {
        let (grpc, http) = (free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_token-authority"))
            .env_clear()
            .env("DATABASE_URL", database)
            .env("JWT_SECRET", SECRET)
            .env("GRPC_ADDR", format!("127.0.0.1:{grpc}"))
            .env("HTTP_ADDR", format!("127.0.0.1:{http}"))
            .env("METRICS_ADDR", "127.0.0.1:0")
            .env("LOG_LEVEL", "warn,token_authority::authority::revocations=info")
            .envs(settings.iter().copied())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let channel = channel(grpc);
        Self {
            child,
            folder,
            http,
            grpc,
            tokens: TokenAuthorityServiceClient::new(channel.clone()),
            sessions: SessionServiceClient::new(channel),
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What `/readyz` answers.
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

    /// Logs in `many` times.
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

    /// Whether it refuses an access token because of its session's revocation.
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

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Duration {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_mins(1), "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to a replica, or to a proxy before it.
pub(crate) fn channel(port: u16) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect_lazy()
}

pub(crate) fn curl(arguments: &[&str]) -> String {
    let output = Command::new("curl").args(["-s", "-m", "10"]).args(arguments).output();
    String::from_utf8(output.expect("curl is installed").stdout).unwrap()
}
