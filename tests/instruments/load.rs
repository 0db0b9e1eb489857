//! Two replicas on one Postgres, and all kinds of events.

use std::time::Duration;

use http::Method;
use test_support::device::{Device, challenge_in};
use test_support::postgres::Cluster;
use test_support::replica::{Replica, Setup};
use token_authority::token::key::Algorithm;
use token_authority::transport::proto::v1::token_authority_service_client::TokenAuthorityServiceClient;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, ListSessionsRequest, RefreshAccessTokenRequest, RevokeRefreshTokenRequest,
    RevokeSessionRequest, SetRolloutRequest, ValidateTokenRequest, ValidateTokensRequest,
    WatchRevocationsRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Streaming};

type Client = TokenAuthorityServiceClient<Channel>;

/// Longer than the window in which two refreshes count as simultaneous.
const WINDOW_IS_OVER: Duration = Duration::from_millis(1200);
/// How many calls a caller may make at once.
const BURST: usize = 150;

/// Two replicas, and a watcher of revocations.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) replicas: [Replica; 2],
    _watcher: Streaming<token_authority::transport::proto::v1::WatchRevocationsResponse>,
}

/// The tokens of a user.
struct Held {
    access: String,
    refresh: String,
    session: String,
    /// The offer to bind the session to a device.
    offer: String,
}

impl Loaded {
    /// Starts them.
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::shared();
        let url = cluster.url(&cluster.make_database().await);
        let deployment = Setup::on(&url)
            .quiet()
            .set("JWT_ALGORITHM", "EdDSA")
            .set("AUTHORITY_SECRET", "instruments-9fQ2vX7mLr4Tz1Kc8Wb5Ny3Hd6Js0PgE")
            .set("JWT_ROLLOUT_PERCENTAGE", "50")
            .set("REFRESH_CONCURRENCY_WINDOW_SECONDS", "1")
            .set("DEVICE_BOUND_SESSIONS", "offer")
            .set("RATE_LIMIT_PER_CALLER", &format!("{BURST}/{BURST}"));
        let replicas = [deployment.start().await, deployment.start().await];
        let mut sessions = replicas[0].sessions();
        let watch = sessions.watch_revocations(WatchRevocationsRequest::default());
        let watcher = watch.await.unwrap().into_inner();
        Self { replicas, _watcher: watcher }
    }

    /// Plays all events in the life of ten users once. `round` makes their names unique.
    pub(crate) async fn live_through(&self, round: usize) {
        let [one, other] = self.replicas.each_ref().map(Replica::tokens);
        let mut held = Vec::new();
        for user in 0..10 {
            held.push(log_in(&one, &format!("somebody-{round}-{user}")).await);
        }
        for held in &held {
            assert!(is_active(&one, &held.access).await && is_active(&other, &held.access).await);
        }
        let tokens = held.iter().map(|held| held.access.clone()).collect();
        let batch = ValidateTokensRequest { tokens, audience: String::new() };
        assert_eq!(
            one.clone().validate_tokens(batch).await.unwrap().into_inner().results.len(),
            10
        );
        assert!(!is_active(&one, "no token").await);
        self.be_stolen_from(&held[0]).await;
        self.end_in_all_ways(&held[1..5]).await;
        self.come_by_browser(&held[5..7]).await;
        self.come_without_device(&held[7]).await;
        self.ask_wrongly().await;
        self.flood().await;
    }

    /// A thief and its victim both refresh, and a reply is lost.
    async fn be_stolen_from(&self, held: &Held) {
        let one = self.replicas[0].tokens();
        let renewed = refresh(&one, &held.refresh).await.unwrap();
        assert_eq!(refresh(&one, &held.refresh).await.unwrap().refresh, renewed.refresh);
        // Its use is a receipt only after two windows.
        tokio::time::sleep(WINDOW_IS_OVER * 2).await;
        assert!(is_active(&one, &renewed.access).await);
        tokio::time::sleep(WINDOW_IS_OVER).await;
        assert_eq!(refresh(&one, &held.refresh).await.err(), Some(Code::Unauthenticated));
        assert_eq!(refresh(&one, &renewed.refresh).await.err(), Some(Code::Unauthenticated));
    }

    async fn end_in_all_ways(&self, held: &[Held]) {
        let one = &self.replicas[0];
        let by_id = RevokeSessionRequest { session_id: held[0].session.clone() };
        one.sessions().revoke_session(by_id).await.unwrap();
        let by_token = RevokeRefreshTokenRequest { refresh_token: held[1].refresh.clone() };
        one.tokens().revoke_refresh_token(by_token).await.unwrap();
        for held in &held[..2] {
            assert!(!is_active(&one.tokens(), &held.access).await);
        }
        let list = ListSessionsRequest { user_id: "somebody".into(), ..Default::default() };
        one.sessions().list_sessions(list).await.unwrap();
        let rollout = SetRolloutRequest { percentage: Some(50), jwt_enabled: None };
        one.rollout().set_rollout(rollout).await.unwrap();
    }

    async fn come_by_browser(&self, held: &[Held]) {
        let http = self.replicas[0].http();
        assert_eq!(http.refresh(&held[0].refresh).await.status, 200);
        assert_eq!(http.refresh("nonsense").await.status, 401);
        assert_eq!(http.logout(&held[1].refresh).await.status, 204);
        for path in ["/healthz", "/readyz", "/.well-known/jwks.json"] {
            assert_eq!(http.get(path).await.status, 200, "{path}");
        }
        // Unknown paths and methods get no label of their own.
        for path in ["/somebody", "/wp-login.php", "/%7Broot%7D"] {
            assert_eq!(http.get(path).await.status, 404);
        }
        let brew = Method::from_bytes(b"BREW").unwrap();
        http.send(brew, "/healthz", &[]).await;
    }

    /// A browser binds its session, and somebody else has a copy of its refresh token.
    async fn come_without_device(&self, held: &Held) {
        let http = self.replicas[0].http();
        let proof = Device::new(Algorithm::Es256).registration(&challenge_in(&held.offer));
        let cookie = format!("refreshToken={}", held.refresh);
        let headers = [("cookie", cookie.as_str()), ("secure-session-response", &proof)];
        let registered = http.send(Method::POST, "/api/auth/device/registration", &headers).await;
        assert_eq!(registered.status, 200, "{registered:?}");
        let refused = http.refresh(&held.refresh).await;
        assert_eq!((refused.status, refused.json()["reason"].as_str()), (401, Some("unbound")));
    }

    async fn ask_wrongly(&self) {
        let nobody = self.replicas[0].tokens().issue_tokens(IssueTokensRequest::default()).await;
        assert_eq!(nobody.err().map(|status| status.code()), Some(Code::InvalidArgument));
    }

    /// Makes more calls at once than a caller may, and waits until it may call again.
    async fn flood(&self) {
        let one = self.replicas[0].tokens();
        let calls = (0..2 * BURST).map(|_| {
            let mut one = one.clone();
            async move { one.validate_token(check("no token")).await.err() }
        });
        let refused = futures::future::join_all(calls).await;
        let codes: Vec<_> = refused.into_iter().flatten().map(|status| status.code()).collect();
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == Code::ResourceExhausted));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn check(token: &str) -> ValidateTokenRequest {
    ValidateTokenRequest { token: token.into(), audience: String::new() }
}

async fn is_active(client: &Client, token: &str) -> bool {
    client.clone().validate_token(check(token)).await.unwrap().into_inner().active
}

async fn log_in(client: &Client, user: &str) -> Held {
    let ask = IssueTokensRequest { user_id: user.into(), ..Default::default() };
    let given = client.clone().issue_tokens(ask).await.unwrap().into_inner();
    Held {
        access: given.access_token,
        refresh: given.refresh_token,
        session: given.session_id,
        offer: given.device_registration,
    }
}

async fn refresh(client: &Client, token: &str) -> Result<Held, Code> {
    let ask = RefreshAccessTokenRequest { refresh_token: token.into(), ..Default::default() };
    let given = client.clone().refresh_access_token(ask).await;
    let given = given.map_err(|status| status.code())?.into_inner();
    Ok(Held {
        access: given.access_token,
        refresh: given.refresh_token,
        session: given.session_id,
        offer: given.device_registration,
    })
}
