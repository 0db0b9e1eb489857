//! A backend that lets users in by their access tokens.

use axum::{Extension, Router, routing::get};
use token_authority_client::{Identity, Verifier, VerifierLayer};

async fn me(Extension(user): Extension<Identity>) -> String {
    user.user_id
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = VerifierLayer::new(Verifier::from_env()?);
    let app = Router::new().route("/me", get(me)).layer(layer);
    let listener = tokio::net::TcpListener::bind(std::env::var("LISTEN")?).await?;
    Ok(axum::serve(listener, app).await?)
}
