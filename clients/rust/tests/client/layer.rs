//! The layer behind axum and tonic.

use axum::body::Body;
use axum::routing::get;
use axum::{Extension, Router};
use http::{Request, StatusCode};
use token_authority_client::{Identity, Issue, Verifier, VerifierLayer};
use tonic::service::Routes;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::ServiceExt as _;

use crate::service::{Service, until};

async fn me(Extension(identity): Extension<Identity>) -> String {
    identity.user_id
}

async fn greet(identity: Option<Extension<Identity>>) -> String {
    identity.map_or("stranger".into(), |Extension(identity)| identity.user_id)
}

fn app(verifier: &Verifier) -> Router {
    let layer = VerifierLayer::new(verifier.clone());
    Router::new()
        .route("/me", get(me).layer(layer.clone()))
        .route("/reports", get(me).layer(layer.clone().scopes(["reports"])))
        .route("/mail", get(me).layer(layer.clone().audience("mail")))
        .route("/greeting", get(greet).layer(layer.optional()))
}

/// The status, the challenge and the body of an answer.
async fn ask(app: &Router, path: &str, token: Option<&str>) -> (StatusCode, String, String) {
    let mut request = Request::get(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap());
    let challenge = header("www-authenticate").or(header("retry-after")).unwrap_or_default();
    let (status, challenge) = (response.status(), challenge.to_owned());
    let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
    (status, challenge, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn axum_finds_the_identity() {
    let mut service = Service::start(&[]).await;
    let verifier = service.verifier().max_staleness(std::time::Duration::from_secs(4)).build();
    let app = app(&verifier.unwrap());
    let client = service.client();
    let issue = Issue { scopes: vec!["reports".into()], ..Issue::for_user("alice") };
    let issued = client.issue_tokens(issue).await.unwrap();
    let good = Some(&*issued.access_token);
    let plain = client.issue_tokens(Issue::for_user("bob")).await.unwrap().access_token;
    let answer = |status, challenge: &str, body: &str| (status, challenge.into(), body.into());
    let invalid = answer(StatusCode::UNAUTHORIZED, r#"Bearer error="invalid_token""#, "");

    assert_eq!(ask(&app, "/me", good).await, answer(StatusCode::OK, "", "alice"));
    assert_eq!(ask(&app, "/me", None).await, answer(StatusCode::UNAUTHORIZED, "Bearer", ""));
    assert_eq!(ask(&app, "/me", Some("garbage")).await, invalid);
    assert_eq!(ask(&app, "/me", Some("")).await, invalid);
    assert_eq!(ask(&app, "/reports", good).await, answer(StatusCode::OK, "", "alice"));
    let challenge = r#"Bearer error="insufficient_scope", scope="reports""#;
    let forbidden = answer(StatusCode::FORBIDDEN, challenge, "");
    assert_eq!(ask(&app, "/reports", Some(&plain)).await, forbidden);
    assert_eq!(ask(&app, "/mail", good).await, invalid);
    assert_eq!(ask(&app, "/greeting", None).await, answer(StatusCode::OK, "", "stranger"));
    assert_eq!(ask(&app, "/greeting", good).await, answer(StatusCode::OK, "", "alice"));
    assert_eq!(ask(&app, "/greeting", Some("garbage")).await, invalid);

    client.revoke(&issued.refresh_token).await.unwrap();
    until("it is revoked", async || ask(&app, "/me", good).await == invalid).await;
    service.kill();
    let unavailable = answer(StatusCode::SERVICE_UNAVAILABLE, "1", "");
    until("it is unavailable", async || ask(&app, "/me", Some(&plain)).await == unavailable).await;
}

/// Answers only if the layer has put an identity into the request's extensions.
struct Probe;

#[tonic::async_trait]
impl Health for Probe {
    type WatchStream = tonic::codegen::BoxStream<HealthCheckResponse>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, tonic::Status> {
        let identity = request.extensions().get::<Identity>();
        assert_eq!(identity.unwrap().user_id, "alice");
        let status = ServingStatus::Serving.into();
        Ok(tonic::Response::new(HealthCheckResponse { status }))
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, tonic::Status> {
        Err(tonic::Status::unimplemented("not here"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tonic_finds_the_identity() {
    let service = Service::start(&[]).await;
    let layer = VerifierLayer::new(service.verifier().build().unwrap());
    let issued = service.client().issue_tokens(Issue::for_user("alice")).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let routes = Routes::new(HealthServer::new(Probe));
    let server = axum::serve(listener, routes.into_axum_router().layer(layer));
    let serving = tokio::spawn(async move { server.await });

    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let client = HealthClient::new(channel.connect().await.unwrap());
    let check = async |token: Option<&str>| {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        client.clone().check(request).await.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(check(Some(&issued.access_token)).await, Ok(()));
    assert_eq!(check(None).await, Err(tonic::Code::Unauthenticated));
    assert_eq!(check(Some("garbage")).await, Err(tonic::Code::Unauthenticated));
    serving.abort();
}
