//! Callers that may no longer call, and their open streams.

use std::time::Duration;

use token_authority::transport::proto::v1::WatchRevocationsRequest;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::target::{Target, add};

/// Opens a stream with that key, and waits for its end after `change`.
async fn ends(target: &Target, key: &str, change: &[&str]) -> Status {
    let mut sessions = target.sessions(key).await;
    let watched = sessions.watch_revocations(WatchRevocationsRequest::default()).await;
    let mut stream = watched.unwrap().into_inner();
    stream.message().await.unwrap();
    let changed = target.setup.run(&[&["callers"], change].concat());
    assert!(changed.status.success(), "{}", String::from_utf8_lossy(&changed.stderr));
    let ending = async {
        loop {
            if let Err(status) = stream.message().await {
                return status;
            }
        }
    };
    // Two seconds, and one for a busy machine.
    tokio::time::timeout(Duration::from_secs(3), ending).await.expect("the stream goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_removed_caller_end_with_the_error_of_a_new_call() {
    let target = Target::start(&[]).await;
    let key = add(&target.setup, "leaver", &["verifier"]);
    let mut sessions = target.sessions(&target.key).await;
    let steady = sessions.watch_revocations(WatchRevocationsRequest::default());
    let mut steady = steady.await.unwrap().into_inner();
    wait_for(&target, &key).await;
    let status = ends(&target, &key, &["remove", "leaver"]).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "CALLER_UNAUTHENTICATED");
    let again =
        target.sessions(&key).await.watch_revocations(WatchRevocationsRequest::default()).await;
    assert_eq!(again.unwrap_err().code(), status.code());
    for _ in 0..2 {
        steady.message().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_caller_without_its_role_end_with_the_error_of_a_new_call() {
    let target = Target::start(&[]).await;
    let key = add(&target.setup, "changed", &["verifier"]);
    wait_for(&target, &key).await;
    let path = target.setup.folder().join("callers.json");
    let file = std::fs::read_to_string(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&file).unwrap();
    let callers = file["callers"].as_array_mut().unwrap();
    let own = callers.iter_mut().find(|caller| caller["name"] == "changed").unwrap();
    own["roles"] = serde_json::json!(["issuer"]);
    let mut sessions = target.sessions(&key).await;
    let watched = sessions.watch_revocations(WatchRevocationsRequest::default()).await;
    let mut stream = watched.unwrap().into_inner();
    std::fs::write(&path, file.to_string()).unwrap();
    let ending = async {
        loop {
            if let Err(status) = stream.message().await {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(3), ending).await.unwrap();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
}

/// Waits until the service has read the callers' file.
async fn wait_for(target: &Target, key: &str) {
    let mut sessions = target.sessions(key).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while sessions.watch_revocations(WatchRevocationsRequest::default()).await.is_err() {
        assert!(std::time::Instant::now() < deadline, "the caller is not known");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
