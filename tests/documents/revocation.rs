//! The snippets of `docs/revocation.md`: the loop that follows revocations, with the generated client,
//! and the epoch of an access token.

use serde_json::json;
use test_support::replica::{Replica, Setup};
use test_support::script::Script;
use test_support::tools::root;
use token_authority::transport::proto::v1::update_sessions_request::Target;
use token_authority::transport::proto::v1::{
    IssueTokensRequest, RefreshAccessTokenRequest, RevokeSessionRequest, UpdateSessionsRequest,
};

use crate::page::snippet;

/// What the page's loop presumes, and how to look at what it knows.
const AROUND: &str = r#"
import math, sys, threading, time
import grpc
from token_authority.v1 import session_service_pb2_grpc as rpc
from token_authority.v1.session_service_pb2 import WatchRevocationsRequest

sessions = rpc.SessionServiceStub(grpc.insecure_channel(sys.argv[1]))
known = {"pause": lambda: 0.1, "sessions": sessions, "math": math, "time": time, "grpc": grpc,
         "WatchRevocationsRequest": WatchRevocationsRequest}
threading.Thread(target=exec, args=(sys.argv[2], known), daemon=True).start()
for line in sys.stdin:
    if line.strip() == "fresh":
        print("yes" if "fresh_as_of" in known else "no", flush=True)
    else:
        # A session that is not refused is refused below epoch 0: never.
        print(known.get("refused", {}).get(line.strip(), (0,))[0], flush=True)
"#;

/// The loop of the page, which answers up to which epoch it refuses a session's tokens.
fn follow(replica: &Replica) -> Script {
    let path = root().join("clients/python/src");
    let around = format!("import sys; sys.path.insert(0, {})\n{AROUND}", json!(path));
    let loop_of_page = snippet("docs/revocation.md", "refused, arriving");
    Script::python(&["-c", &around, &replica.grpc().to_string(), &loop_of_page])
}

async fn wait_for(script: &mut Script, question: &str, answer: &str) {
    test_support::until::until(question, async || {
        (script.ask(question).trim_end() == answer).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_of_the_page_learns_of_revocations_and_of_stale_tokens() {
    let replica = Setup::new().start().await;
    replica.ready().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
        sessions.push(replica.tokens().issue_tokens(ask).await.unwrap().into_inner().session_id);
    }
    let [over, changed, both] = sessions.try_into().unwrap();
    let mut early = follow(&replica);
    wait_for(&mut early, "fresh", "yes").await;
    assert_eq!(early.ask(&over), "0\n");
    for session in [&changed, &both] {
        let target = Some(Target::SessionId(session.clone()));
        let ask = UpdateSessionsRequest { target, refresh_now: true, ..Default::default() };
        replica.sessions().update_sessions(ask).await.unwrap();
    }
    wait_for(&mut early, &both, "1").await;
    for session_id in [over.clone(), both.clone()] {
        replica.sessions().revoke_session(RevokeSessionRequest { session_id }).await.unwrap();
    }
    // One hears of them one by one, the other in a snapshot.
    let mut late = follow(&replica);
    for script in [&mut early, &mut late] {
        wait_for(script, &over, "inf").await;
        wait_for(script, &changed, "1").await;
        wait_for(script, &both, "inf").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_epoch_of_the_page_is_the_service_s() {
    let replica = Setup::new().start().await;
    replica.ready().await;
    let program = format!(
        "{}\nimport base64, json, sys\nfor line in sys.stdin:\n    part = line.split('.')[1]\n    \
         claims = json.loads(base64.urlsafe_b64decode(part + '=='))\n    \
         print(epoch(claims['jti']), epoch('of another service'), flush=True)\n",
        snippet("docs/revocation.md", "import uuid\n\ndef epoch")
    );
    let mut script = Script::python(&["-c", &program]);
    let ask = IssueTokensRequest { user_id: "alice".into(), ..Default::default() };
    let mut tokens = replica.tokens();
    let issued = tokens.issue_tokens(ask).await.unwrap().into_inner();
    assert_eq!(script.ask(&issued.access_token), "0 0\n");
    let target = Some(Target::SessionId(issued.session_id));
    let ask = UpdateSessionsRequest { target, refresh_now: true, ..Default::default() };
    replica.sessions().update_sessions(ask).await.unwrap();
    let ask =
        RefreshAccessTokenRequest { refresh_token: issued.refresh_token, ..Default::default() };
    let refreshed = tokens.refresh_access_token(ask).await.unwrap().into_inner();
    assert_eq!(script.ask(&refreshed.access_token), "1 0\n");
}
