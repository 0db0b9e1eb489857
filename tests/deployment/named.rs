//! The rest of the product's users: enough of them for a percentage of them to be that percentage.
//! Of a few hundred it is not: of 200, 25 % is 50 give or take 12.

use futures::{StreamExt as _, stream};
use test_support::replica::Replica;
use token_authority::transport::proto::v1::{AuthMethod, IssueTokensRequest};

use crate::user::{Client, bucket, looks};

/// How many there are. Chance moves a percentage of them by a point.
pub(crate) const NAMED: usize = 2_000;
/// How many log in at once.
const AT_ONCE: usize = 32;

/// Has them all log in, at all replicas. How many were given a JWT; who was is told by their
/// buckets.
pub(crate) async fn log_in(replicas: &[Replica], percentage: u8) -> usize {
    let clients: Vec<_> = replicas.iter().map(Replica::tokens).collect();
    let logins = (0..NAMED).map(|n| {
        let client = clients[n % clients.len()].clone();
        async move {
            let user_id = format!("named-{n}");
            let method = issue(client, &user_id).await;
            let is_in = bucket(&user_id) < percentage;
            assert_eq!(method == AuthMethod::Jwt, is_in, "{percentage} %: {user_id}");
            usize::from(is_in)
        }
    });
    stream::iter(logins).buffer_unordered(AT_ONCE).fold(0, async |sum, one| sum + one).await
}

async fn issue(mut client: Client, user_id: &str) -> AuthMethod {
    let ask = IssueTokensRequest { user_id: user_id.into(), ..Default::default() };
    let given = client.issue_tokens(ask).await.unwrap().into_inner();
    assert_eq!(looks(&given.access_token), Some(given.auth_method()));
    given.auth_method()
}
