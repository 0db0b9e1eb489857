//! An inspection changes nothing, whatever it finds.

use test_support::postgres::Cluster;

use crate::installation::Installation;

#[tokio::test]
async fn a_database_with_everything_in_it_is_the_same_afterwards() {
    let cluster = Cluster::shared();
    let database = cluster.make_database().await;
    let installation = Installation::on(&cluster.url(&database)).with("JWT_ALGORITHM", "EdDSA");
    for made in [&["keys", "rotate"][..], &["rollout", "set", "25"]] {
        assert!(installation.run(made).status.success());
    }
    // Sessions that the sweeper should have deleted, keys that have ended, and an outdated
    // revocation: everything that a careless inspection could clean up.
    let untidy = "
        INSERT INTO user_sessions
            (id, user_id, token, expires_at, generation, lineage_key, handed_out_at, created_at,
             last_used_at, granted, user_agent, ip_address, device_name, revision, sweep_at)
        SELECT gen_random_uuid(), 'alice', repeat('0', 64), ended, 0,
               decode(repeat('00', 32), 'hex'), ended, ended, ended, '{}', '', '', '', 0, ended
        FROM (SELECT now() - interval '9 days' AS ended) AS past;
        INSERT INTO revocations (session_id, user_id, revoked_at, expires_at, reason, recorded_at)
        SELECT id, user_id, expires_at, expires_at, 'admin', expires_at FROM user_sessions;
        UPDATE signing_keys SET activates_at = now() - interval '99 days',
                                ends_at = now() - interval '9 days';";
    cluster.execute(&database, untidy).await;
    let (before, files) = (cluster.dump(&database), installation.files());
    assert!(before.contains("alice") && before.contains("EdDSA"), "{before}");
    let report = installation.examine();
    assert_eq!(report.code, 2, "{:?}", report.all);
    assert_eq!(cluster.dump(&database), before);
    assert_eq!(installation.files(), files);
}
