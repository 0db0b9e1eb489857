//! A roll-out that differs from the settings.

use test_support::postgres::Cluster;

use crate::installation::Installation;

fn set(installation: &Installation, percentage: &str) {
    let output = installation.run(&["rollout", "set", percentage]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn settings_that_do_not_hold() {
    let cluster = Cluster::shared();
    let on_postgres = Installation::on(&cluster.url(&cluster.make_database().await));
    for installation in [Installation::healthy(), on_postgres] {
        set(&installation, "25");
        // If neither setting is given, the finding is only information.
        let report = installation.examine();
        report.assert_healthy();
        assert!(report.message("rollout.stored").contains("25 %"), "{:?}", report.all);
        let report = installation.with("JWT_ROLLOUT_PERCENTAGE", "50").examine();
        report.assert_only("warn", "rollout.stored");
        let told = report.message("rollout.stored");
        assert!(told.contains("50 %") && told.contains("25 %"), "{told}");
    }
}

#[test]
fn settings_that_hold() {
    let installation = Installation::healthy().with("JWT_ROLLOUT_PERCENTAGE", "25");
    installation.examine().assert_healthy();
    set(&installation, "25");
    installation.examine().assert_healthy();
}
