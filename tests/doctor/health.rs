//! `token-authority health` tells a process that serves from one that does not.

use std::time::{Duration, Instant};

use crate::installation::Installation;
use crate::support::supervised::free_port;

#[test]
fn it_says_whether_the_process_serves() {
    let (grpc, http, metrics) = (free_port(), free_port(), free_port());
    let installation = Installation::healthy()
        .with("GRPC_ADDR", &format!("0.0.0.0:{grpc}"))
        .with("HTTP_ADDR", &format!("127.0.0.1:{http}"))
        .with("METRICS_ADDR", &format!("127.0.0.1:{metrics}"))
        .with("LOG_LEVEL", "error");
    let callers = installation.path("callers.json");
    let installation = installation.with("CALLERS_FILE", callers.to_str().unwrap());
    let added = installation.run(&["callers", "add", "operator", "--role", "admin"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let answer = || installation.run(&["health"]);
    let before = answer();
    assert_eq!(before.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&before.stderr).contains("nothing answers"));

    let mut server = installation.command(&["serve"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !answer().status.success() {
        assert!(Instant::now() < deadline, "never healthy");
        assert!(server.try_wait().unwrap().is_none(), "the service ended");
    }
    // A doctor may look in while the service has its database open, and after it has crashed.
    let report = installation.examine();
    report.assert_healthy();
    assert!(report.message("replica.version").ends_with(" runs"));
    assert!(report.message("revocations.fresh").contains("known"));
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(answer().status.code(), Some(1));
    assert!(installation.path("token-authority.db-wal").exists(), "it was no crash");
    installation.examine().assert_healthy();
}
