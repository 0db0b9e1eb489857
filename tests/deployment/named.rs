//! Further users of the product, so that a percentage of them is close to that percentage. For a
//! few hundred users it is not: 25 % of 200 is 50 ± 12.

use futures::{StreamExt as _, stream};
use test_support::replica::Replica;
use token_authority::transport::proto::v1::{AuthMethod, IssueTokensRequest};

use crate::user::{Client, bucket, looks};

/// The number of these users. With this number, chance changes a percentage by one point.
pub(crate) const NAMED: usize = 2_000;
/// How many log in at once.
const AT_ONCE: usize = 32;

/// Logs all of them in, at all replicas. Returns how many received a JWT. Their buckets predict
/// which ones.
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
