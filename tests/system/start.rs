//! Start: the secret that it generates, and the schema that it finds.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use futures::future::join;
use test_support::replica::Setup;
use test_support::tools;

use crate::database::Database;
use crate::production::in_production;
use crate::settings::TakenPorts;
use crate::wire;

on_both! {
    the_kept_secret_is_made_once_and_a_restart_logs_nobody_out
    production_wants_the_schema_migrated
    production_refuses_a_newer_schema
    a_newer_schema_that_only_expanded_will_do
    two_may_migrate_at_once
}

async fn the_kept_secret_is_made_once_and_a_restart_logs_nobody_out(
    database: Database,
    setup: Setup,
) {
    let mut service = setup.start().await;
    let path = setup.folder().join("data/jwt_secret");
    let secret = std::fs::read(&path).unwrap();
    assert!(secret.len() >= 32);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let other = wire::issue(&service.tokens(), "bob").await;
    let issued = wire::issue(&service.tokens(), "alice").await;
    service.kill();

    // Two services at once, for example one that a developer forgot. An SQLite file allows one
    // only.
    let services = match database {
        Database::Sqlite(_) => vec![setup.start().await],
        Database::Postgres(_) => <[_; 2]>::from(join(setup.start(), setup.start()).await).into(),
    };
    assert_eq!(std::fs::read(&path).unwrap(), secret);
    for (service, issued) in services.iter().zip([&issued, &other]) {
        assert!(wire::validate(&service.tokens(), &issued.access_token).await.active);
        let renewed = service.http().refresh(&issued.refresh_token).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        let renewed = renewed.json()["accessToken"].as_str().unwrap().to_owned();
        assert!(wire::validate(&service.tokens(), &renewed).await.active);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_start_at_once_make_one_secret() {
    for _ in 0..3 {
        let (_, setup) = Database::postgres().await;
        let (one, other) = join(setup.start(), setup.start()).await;
        let token = wire::issue(&one.tokens(), "alice").await.access_token;
        assert!(wire::validate(&other.tokens(), &token).await.active);
    }
}

#[test]
fn a_kept_secret_that_is_damaged_is_left_alone() {
    let ports = TakenPorts::new();
    let setup = ports.given_to(Setup::new());
    let path = setup.folder().join("data/jwt_secret");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    for damaged in ["", "\n", "short\n", "0123456789abcdefghijklmnopqrstu", &" ".repeat(64)] {
        std::fs::write(&path, damaged).unwrap();
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        // A further problem, to see that both are reported.
        let served = setup.run(&["serve", "--log-format", "xml"]);
        let told = tools::text(&served.stderr);
        assert_eq!(served.status.code(), Some(64), "{damaged:?}: {told}");
        assert!(
            told.contains("data/jwt_secret: the generated JWT_SECRET must be at least 32"),
            "{told}"
        );
        assert!(told.contains("LOG_FORMAT") && !told.contains("cannot listen"), "{told}");
        for arguments in [["keys", "list"], ["doctor", "--json"]] {
            let output = setup.run(&arguments);
            let told = tools::text(&[output.stdout, output.stderr].concat());
            assert!(!output.status.success() && told.contains("data/jwt_secret: "), "{told}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before);
    }
    // A file that cannot be read is not replaced, either.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let served = setup.run(&[]);
    assert_eq!(served.status.code(), Some(64));
    assert!(tools::text(&served.stderr).contains("data/jwt_secret: "));
    // If a secret is given, the file is not read: the ports are the next problem.
    let served = setup.clone().set("JWT_SECRET", crate::production::SECRET).run(&[]);
    assert!(tools::text(&served.stderr).contains("cannot listen"), "{served:?}");
}

/// Checks that the service does not start, reports the cause, and opens no port.
fn is_refused(served: &Output, why: &str) {
    let told = tools::text(&served.stderr);
    assert_eq!(served.status.code(), Some(1), "{told}");
    assert!(served.stdout.is_empty() && told.contains(why), "{told}");
    assert!(!told.contains("cannot listen") && !told.contains("panicked"), "{told}");
}

async fn production_wants_the_schema_migrated(database: Database, setup: Setup) {
    let setup = in_production(&setup);
    is_refused(&setup.run(&[]), "run `token-authority migrate`");
    assert!(!database.has_schema().await, "it migrated nevertheless");

    let migrated = setup.run(&["migrate"]);
    assert!(migrated.status.success(), "{}", tools::text(&migrated.stderr));
    setup.start().await.ready().await;
}

async fn production_refuses_a_newer_schema(database: Database, setup: Setup) {
    let setup = in_production(&setup);
    assert!(setup.run(&["migrate"]).status.success());
    database.enter_migration(998, "expand_more").await;
    database.enter_migration(999, "contract_less").await;
    let newer = "migrated by a newer version";
    is_refused(&setup.run(&[]), newer);
    // A service in development cannot use it, either.
    let own = setup.clone().set("ENVIRONMENT", "development");
    is_refused(&own.run(&[]), newer);
    let migrated = setup.run(&["migrate"]);
    let told = tools::text(&migrated.stderr);
    assert!(!migrated.status.success() && told.contains(newer), "{told}");
}

async fn a_newer_schema_that_only_expanded_will_do(database: Database, setup: Setup) {
    let setup = in_production(&setup);
    assert!(setup.run(&["migrate"]).status.success());
    database.enter_migration(998, "expand_more").await;
    let migrated = setup.run(&["migrate"]);
    assert!(migrated.status.success(), "{}", tools::text(&migrated.stderr));
    setup.start().await.ready().await;
}

async fn two_may_migrate_at_once(database: Database, setup: Setup) {
    let begin = |setup: Setup| std::thread::spawn(move || setup.run(&["migrate"]));
    let both = [begin(setup.clone()), begin(setup.clone())];
    for migrating in both {
        let output = migrating.join().unwrap();
        assert!(output.status.success(), "{}", tools::text(&output.stderr));
        assert!(tools::text(&output.stdout).contains("up to date"));
    }
    assert!(database.has_schema().await);
    in_production(&setup).start().await.ready().await;
}
