//! The text that the service prints at the start in development: the address of the start page, and
//! commands for the whole life of a token.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Prints the commands. A closed standard output does not stop the service.
pub(super) fn print(grpc: SocketAddr, http: SocketAddr, cookie: &str, has_start_page: bool) {
    let program = std::env::current_exe()
        .map_or_else(|_| "token-authority".to_owned(), |path| format!("'{}'", path.display()));
    let start_page = if has_start_page { start_page(http) } else { String::new() };
    let text = format!(
        r#"
token-authority serves gRPC on {grpc} and HTTP on http://{http}.
{start_page}Paste these lines into another shell.

  # Run the whole life of a token and see what happens at each step.
  authority() {{ {program} --grpc-addr {grpc} --http-addr {http} "$@"; }}
  authority try

  # The same by hand. Log in, as your auth-server does over gRPC.
  TOKENS=$(authority try --login --user alice); echo "$TOKENS"
  ACCESS=$(echo "$TOKENS" | sed -n 's/.*"accessToken": "\([^"]*\)".*/\1/p')
  REFRESH=$(echo "$TOKENS" | sed -n 's/.*"refreshToken": "\([^"]*\)".*/\1/p')

  # Check the access token, as a gateway does.
  curl -s -d "token=$ACCESS" http://{http}/oauth2/introspect; echo

  # Refresh it with the cookie, as a browser does.
  RENEWED=$(curl -si -X POST -H "Cookie: {cookie}=$REFRESH" http://{http}/api/auth/refresh); echo "$RENEWED"
  REFRESH=$(echo "$RENEWED" | sed -n 's/.*{cookie}=\([^;]*\);.*/\1/p')

  # Log out: from then on, the access token is inactive and a refresh is refused.
  curl -si -X POST -H "Cookie: {cookie}=$REFRESH" http://{http}/api/auth/logout
  curl -s -d "token=$ACCESS" http://{http}/oauth2/introspect; echo
  curl -s -X POST -H "Cookie: {cookie}=$REFRESH" http://{http}/api/auth/refresh; echo

  # The same over gRPC, with grpcurl (https://github.com/fullstorydev/grpcurl/releases).
  T=token_authority.v1.TokenAuthorityService
  TOKENS=$(grpcurl -plaintext -d '{{"user_id": "alice"}}' {grpc} $T/IssueTokens); echo "$TOKENS"
  ACCESS=$(echo "$TOKENS" | sed -n 's/.*"accessToken": "\(.*\)".*/\1/p')
  REFRESH=$(echo "$TOKENS" | sed -n 's/.*"refreshToken": "\(.*\)".*/\1/p')
  grpcurl -plaintext -d "{{\"token\": \"$ACCESS\"}}" {grpc} $T/ValidateToken
  grpcurl -plaintext -d "{{\"refresh_token\": \"$REFRESH\"}}" {grpc} $T/RefreshAccessToken
  grpcurl -plaintext -d "{{\"refresh_token\": \"$REFRESH\"}}" {grpc} $T/RevokeRefreshToken
  grpcurl -plaintext -d "{{\"refresh_token\": \"$REFRESH\"}}" {grpc} $T/RefreshAccessToken

"#
    );
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Returns the line about the start page. Browsers store `Secure` cookies of plain HTTP for the name
/// `localhost`.
fn start_page(http: SocketAddr) -> String {
    let name = match http.ip() {
        IpAddr::V4(Ipv4Addr::LOCALHOST) | IpAddr::V6(Ipv6Addr::LOCALHOST) => "localhost".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let port = http.port();
    format!("\nStart page: http://{name}:{port}/ shows the life of a token in your browser.\n\n")
}
