//! `token-authority status`, against replicas with callers and without, and against none.

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use test_support::postgres::Cluster;
use test_support::process::free_port;
use test_support::replica::{Replica, Setup};
use test_support::until::until;
use token_authority::transport::proto::v1::{GetStatusRequest, IssueTokensRequest};

fn url(replica: &Replica) -> String {
    format!("http://{}", replica.grpc())
}

/// Runs the command, which must fail, and returns what it says.
fn refusal(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.run(&[&["status"], arguments].concat());
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn json_of(setup: &Setup, replica: &Replica, more: &[&str]) -> Value {
    let url = url(replica);
    let arguments = [&["status", "--authority", &url, "--json"], more].concat();
    serde_json::from_str(&setup.succeed(&arguments)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_tells_its_state() {
    let cluster = Cluster::shared();
    let database = cluster.url(&cluster.make_database().await);
    let secret = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
    let setup =
        Setup::on(&database).set_all([("JWT_ALGORITHM", "EdDSA"), ("AUTHORITY_SECRET", secret)]);
    let replica = setup.start().await;
    replica.ready().await;
    for user in ["alice", "alice", "bob"] {
        let ask = IssueTokensRequest { user_id: user.into(), ..Default::default() };
        replica.tokens().issue_tokens(ask).await.unwrap();
    }
    // The sweeper's first pass begins at the start.
    until("a pass of the sweeper", async || {
        let told = json_of(&setup, &replica, &[]);
        told["sweeper"]["completed_at"].is_string().then_some(())
    })
    .await;
    let told = json_of(&setup, &replica, &["--count"]);
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["not_ready_reason"], "");
    assert_eq!(
        (&told["database"]["system"], &told["database"]["reachable"]),
        (&json!("postgresql"), &json!(true))
    );
    assert!(told["database"]["size_bytes"].as_i64().unwrap() > 0, "{told}");
    assert!(told["revocations"]["confirmed_at"].is_string(), "{told}");
    assert_eq!(told["revocations"]["stale"], false);
    assert_eq!(told["sweeper"]["overdue_seconds"], 0);
    let active: Vec<_> = told["keys"].as_array().unwrap().iter().collect();
    assert!(
        active.iter().any(|key| key["algorithm"] == "EdDSA" && key["state"] == "active"),
        "{told}"
    );
    let live = told["live_sessions"].as_array().unwrap();
    let jwt = live.iter().find(|live| live["auth_method"] == "jwt").unwrap();
    assert_eq!((&jwt["user_count"], &jwt["session_count"]), (&json!(2), &json!(3)));
    assert_eq!(told["rollout"]["percentage"], 100);

    let words = setup.succeed(&["status", "--authority", &url(&replica)]);
    for part in ["ready        yes", "postgresql", "100 %, JWTs on, by the settings", "EdDSA"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!words.contains("sessions of"), "counting is not the default: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_its_database_still_tells_its_state() {
    let cluster = Cluster::start();
    let setup = Setup::on(&cluster.url(&cluster.make_database().await));
    let replica = setup.start().await;
    replica.ready().await;
    drop(cluster);
    until("the outage is noticed", async || (!replica.is_ready()).then_some(())).await;
    let told = json_of(&setup, &replica, &["--count"]);
    assert_eq!(told["database"]["reachable"], false, "{told}");
    assert_ne!(told["not_ready_reason"], "");
    for unknown in ["keys", "live_sessions"] {
        assert_eq!(told[unknown], json!([]), "{told}");
    }
    assert_eq!(told["rollout"], Value::Null);
    let words = setup.succeed(&["status", "--authority", &url(&replica)]);
    assert!(words.contains("does not answer") && words.contains("ready        no: "), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_is_told() {
    let setup = Setup::new().set("CALLERS_FILE", "callers.json");
    let add = |name: &str, role: &str| {
        let told = setup.succeed(&["callers", "add", name, "--role", role]);
        let key = told.split_whitespace().find(|word| word.starts_with("tak_")).unwrap();
        std::fs::write(setup.path(name), key).unwrap();
        setup.path(name)
    };
    let (admin, support) = (add("admin", "admin"), add("support", "sessions,verifier"));
    let replica = setup.start().await;
    let url = url(&replica);
    let with = |key: &str| ["--authority", &url, "--api-key-file", key].map(str::to_owned);
    let run =
        |words: &[String]| refusal(&setup, &words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(run(&with(&support)).contains("lacks the role admin"));
    assert!(run(&with(&admin)[..2]).contains("does not know this caller"));
    let status = replica.operator().get_status(GetStatusRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), tonic::Code::Unauthenticated);
    let told = setup.succeed(&["status", "--authority", &url, "--api-key-file", &admin]);
    assert!(told.contains("ready        yes"), "{told}");
    let key = std::fs::read_to_string(&admin).unwrap();
    assert!(!told.contains(&key) && !replica.log().contains(&key));
    // The same from the environment, and on the machine's own address.
    let own = setup
        .clone()
        .set("TOKEN_AUTHORITY_API_KEY", &key)
        .set("GRPC_ADDR", &replica.grpc().to_string());
    assert!(own.succeed(&["status"]).contains("ready        yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_verified_unless_the_service_is_on_this_machine() {
    let setup = Setup::new();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["authority.test".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    let (certificate_path, key_path) = (setup.path("tls.pem"), setup.path("tls.key"));
    std::fs::write(&certificate_path, certificate.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    let tls = [("TLS_CERT", certificate_path.as_str()), ("TLS_KEY", &key_path)];
    let replica = setup.clone().set_all(tls).start().await;
    let url = format!("https://{}", replica.grpc());
    let whole = [
        "--authority",
        &url,
        "--authority-ca",
        &certificate_path,
        "--authority-name",
        "authority.test",
    ];
    let told = setup.succeed(&[&["status"], &whole[..]].concat());
    assert!(told.contains(&url), "{told}");
    for (why, wrong) in [
        (
            "the system does not trust it",
            vec!["--authority", &url, "--authority-name", "authority.test"],
        ),
        ("it has another name", whole[..4].to_vec()),
    ] {
        assert!(refusal(&setup, &wrong).contains("certificate"), "{why}");
    }
    let without = refusal(&setup, &["--authority", &url, "--authority-ca", &key_path]);
    assert!(without.contains("no certificate"), "{without}");
    let own = setup.clone().set_all(tls).set("GRPC_ADDR", &replica.grpc().to_string());
    assert!(own.succeed(&["status"]).contains(&url));
}

#[test]
fn an_authority_that_cannot_be_called_is_named() {
    let setup = Setup::new();
    let nobody = format!("http://127.0.0.1:{}", free_port());
    assert!(refusal(&setup, &["--authority", &nobody]).contains("cannot be reached"));
    let plain = refusal(&setup, &["--authority", "http://192.0.2.1:50051"]);
    assert!(plain.contains("clear text"), "{plain}");
    let elsewhere = setup.clone().set("GRPC_ADDR", "192.0.2.1:50051");
    assert!(refusal(&elsewhere, &[]).contains("not a loopback address"));
    let missing = refusal(&setup, &["--authority", &nobody, "--api-key-file", "no-such-file"]);
    assert!(missing.contains("no-such-file"), "{missing}");
}
