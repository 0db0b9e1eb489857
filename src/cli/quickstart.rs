//! What a developer pastes in their first minute: the whole life of a token.

use std::io::Write as _;
use std::net::SocketAddr;

/// Prints it. Nobody listening is no reason to stop.
pub(super) fn print(grpc: SocketAddr, http: SocketAddr, cookie: &str) {
    let text = format!(
        r#"
token-authority serves gRPC on {grpc} and HTTP on {http}. Paste this into another shell:

  # Log in: a first access token and refresh token.
  T=token_authority.v1.TokenAuthorityService
  grpcurl -plaintext -d '{{"user_id": "alice"}}' {grpc} $T/IssueTokens | tee tokens.json
  ACCESS=$(sed -n 's/.*"accessToken": "\(.*\)".*/\1/p' tokens.json)
  REFRESH=$(sed -n 's/.*"refreshToken": "\(.*\)".*/\1/p' tokens.json)

  # Check the access token, as a backend does.
  grpcurl -plaintext -d "{{\"token\": \"$ACCESS\"}}" {grpc} $T/ValidateToken

  # Renew it with the cookie, as a browser does.
  curl -si -X POST -H "Cookie: {cookie}=$REFRESH" http://{http}/api/auth/refresh | tee renewed.txt
  REFRESH=$(sed -n 's/.*{cookie}=\([^;]*\);.*/\1/p' renewed.txt)

  # Renew it over gRPC, then log out: from then on a refresh is refused.
  grpcurl -plaintext -d "{{\"refresh_token\": \"$REFRESH\"}}" {grpc} $T/RefreshAccessToken
  grpcurl -plaintext -d "{{\"refresh_token\": \"$REFRESH\"}}" {grpc} $T/RevokeRefreshToken
  grpcurl -plaintext -d "{{\"refresh_token\": \"$REFRESH\"}}" {grpc} $T/RefreshAccessToken

"#
    );
    let _ = std::io::stdout().write_all(text.as_bytes());
}
