//! When the service refuses to start, and how callers are stored.

use crate::authority::House;
use crate::rpc;

const SECRET: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";

fn refused(house: &House, settings: &[(&str, &str)]) -> String {
    let output = house.run(&[], settings);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{settings:?}: {told}");
    told
}

#[test]
fn a_port_for_strangers_needs_callers_and_tls() {
    let house = House::new();
    for settings in [
        vec![("ENVIRONMENT", "production"), ("JWT_SECRET", SECRET)],
        vec![("GRPC_ADDR", "0.0.0.0:0")],
        vec![("HTTP_ADDR", "[::]:0")],
    ] {
        let told = refused(&house, &settings);
        assert!(told.contains("CALLERS_FILE is required"), "{told}");
        assert!(told.contains("TLS_CERT and TLS_KEY are required"), "{told}");
        let mesh: Vec<_> = settings.iter().copied().chain([("TLS", "off")]).collect();
        let told = refused(&house, &mesh);
        assert!(told.contains("CALLERS_FILE is required") && !told.contains("TLS_CERT"), "{told}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let house = House::new();
    std::fs::write(house.path("callers.json"), r#"{"callers":[{"name":"a","role":"x"}]}"#).unwrap();
    std::fs::write(house.path("empty.pem"), "").unwrap();
    let (file, empty) = (house.text("callers.json"), house.text("empty.pem"));
    let told = refused(
        &house,
        &[
            ("ENVIRONMENT", "production"),
            ("CALLERS_FILE", &file),
            ("TLS_CERT", &empty),
            ("TLS_KEY", &empty),
            ("TRUSTED_PROXIES", "the-lb"),
            ("RATE_LIMIT_PER_CALLER", "much"),
            ("MAX_CONCURRENT_REQUESTS", "0"),
        ],
    );
    for problem in [
        "unknown field `role`",
        "empty.pem",
        "the-lb",
        "RATE_LIMIT_PER_CALLER",
        "MAX_CONCURRENT_REQUESTS",
        "JWT_SECRET is required",
    ] {
        assert!(told.contains(problem), "{problem}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_mesh_production_serves_in_plain_text() {
    let house = House::new();
    let key = house.add("auth", "issuer");
    let settings = [("ENVIRONMENT", "production"), ("JWT_SECRET", SECRET), ("TLS", "off")];
    // A migration opens no port, so it needs no callers.
    std::fs::create_dir(house.path("data")).unwrap();
    let migrated = house.run(&["migrate"], &settings);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let authority = house.start(&settings);
    let channel = rpc::connect(authority.grpc).await;
    rpc::issue(&channel, Some(&key), "").await.unwrap();
    assert!(rpc::issue(&channel, None, "").await.is_err());
}

#[test]
fn a_key_is_shown_once_and_only_its_hash_is_kept() {
    let house = House::new();
    let key = house.add("api", "verifier");
    assert!(key.starts_with("tak_") && key.len() == 47, "{key}");
    let kept = std::fs::read_to_string(house.path("callers.json")).unwrap();
    assert!(!kept.contains(&key) && !kept.contains(&key[4..]));
    let second = house.callers(&["add", "api"]);
    assert_ne!(second.trim(), key, "each call creates another key");
    house.callers(&[
        "add",
        "web",
        "--role",
        "issuer",
        "adapter",
        "--san",
        "web.internal",
        "--no-key",
    ]);
    let list = house.callers(&["list"]);
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0][..2], ["api", "roles=verifier"]);
    assert_eq!(lines[1], ["web", "roles=issuer,adapter", "keys=", "sans=web.internal"]);
    let ids: Vec<_> = lines[0][2].trim_start_matches("keys=").split(',').collect();
    assert_eq!(ids.len(), 2);
    house.callers(&["remove", "api", "--key", ids[0]]);
    house.callers(&["remove", "web"]);
    let list = house.callers(&["list"]);
    assert!(list.contains(ids[1]) && !list.contains(ids[0]) && !list.contains("web"), "{list}");

    let file = house.text("callers.json");
    for (arguments, code) in [
        (vec!["callers", "set", "api"], 64),
        (vec!["callers", "set", "nobody", "--role", "verifier"], 1),
        (vec!["callers", "set", "api", "--preset", "root"], 64),
        (vec!["callers", "add", "new", "--preset", "backend", "--role", "admin"], 64),
        (vec!["callers", "add", "api", "--role", "admin"], 1),
        (vec!["callers", "add", "new"], 1),
        (vec!["callers", "add", "new", "--role", "root"], 64),
        (vec!["callers", "add", "an onym", "--role", "admin"], 1),
        (vec!["callers", "remove", "nobody"], 1),
        (vec!["callers", "remove", "api", "--key", ids[1]], 1),
    ] {
        let output = house.run(&arguments, &[("CALLERS_FILE", &file)]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?} printed a key that was not stored");
        assert_eq!(house.callers(&["list"]), list, "{arguments:?}");
    }
    assert_eq!(house.run(&["callers", "list"], &[]).status.code(), Some(64));
}

#[test]
fn roles_are_set_and_presets_name_the_usual_ones() {
    let house = House::new();
    house.add("api", "verifier");
    let before = house.callers(&["list"]);
    let keys = |list: &str| list.split('\t').nth(2).unwrap().to_owned();
    house.callers(&["set", "api", "--role", "verifier,sessions"]);
    let set = house.callers(&["list"]);
    assert!(set.contains("roles=verifier,sessions"), "{set}");
    assert_eq!(keys(&set), keys(&before), "only the roles change");
    house.callers(&["set", "api", "--preset", "backend"]);
    assert_eq!(house.callers(&["list"]), before);
    for (preset, roles) in [
        ("auth-server", "roles=issuer,adapter,sessions"),
        ("backend", "roles=verifier"),
        ("support", "roles=sessions"),
    ] {
        house.callers(&["add", preset, "--preset", preset]);
        let list = house.callers(&["list"]);
        let line = list.lines().find(|line| line.starts_with(preset)).unwrap();
        assert_eq!(line.split('\t').nth(1), Some(roles));
        house.callers(&["remove", preset]);
    }
}
