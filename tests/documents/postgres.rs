//! Backup and restore of Postgres, as the operator's page says it.

use std::process::Command;

use test_support::postgres::Cluster;
use test_support::replica::{Setup, binary};
use test_support::tools::text;
use token_authority::transport::proto::v1::{IssueTokensRequest, RefreshAccessTokenRequest};

use crate::page::snippet;

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_restores_every_session() {
    let cluster = Cluster::shared();
    let old = cluster.url(&cluster.make_database().await);
    let new = cluster.url(&cluster.make_database().await);
    let secret = "restore-7fK2mQ9xV4bN8sT1wY6zC3pL5hJ0gD";
    let setup = Setup::on(&old).set("JWT_SECRET", secret);
    let replica = setup.start().await;
    replica.ready().await;
    let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    let tokens = replica.tokens().issue_tokens(ask).await.unwrap().into_inner();

    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("token-authority");
    std::os::unix::fs::symlink(binary(), &program).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let commands = snippet("docs/operations.md", "pg_dump");
    let mut shell = Command::new("bash");
    shell.args(["-eu", "-o", "pipefail", "-c", &commands]).current_dir(folder.path());
    shell.env("PATH", path).env("JWT_SECRET", secret);
    let output = shell.env("DATABASE_URL", &old).env("NEW_DATABASE_URL", &new).output().unwrap();
    // The doctor warns of a database without TLS.
    assert!(output.status.code() <= Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    drop(replica);

    let restored = Setup::on(&new).set("JWT_SECRET", secret).start().await;
    restored.ready().await;
    let ask =
        RefreshAccessTokenRequest { refresh_token: tokens.refresh_token, ..Default::default() };
    let renewed = restored.tokens().refresh_access_token(ask).await.unwrap().into_inner();
    assert_eq!(renewed.session_id, tokens.session_id);
}
