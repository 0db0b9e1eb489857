//! `token-authority health` distinguishes a process that serves from one that does not.

use test_support::process::free_port;
use test_support::until::until_blocking;

use crate::installation::Installation;

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

    let mut server = installation.setup().spawn(&["serve"]);
    until_blocking("the service is healthy", || {
        assert!(server.is_running(), "the service ended");
        answer().status.success().then_some(())
    });
    // The doctor may run while the service has its database open, and after it has crashed.
    let report = installation.examine();
    report.assert_healthy();
    assert!(report.message("replica.version").ends_with(" runs"));
    assert!(report.message("revocations.fresh").contains("up to date"));
    server.kill();
    assert_eq!(answer().status.code(), Some(1));
    assert!(installation.path("token-authority.db-wal").exists(), "the service did not crash");
    installation.examine().assert_healthy();
}
