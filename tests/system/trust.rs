//! The database's certificate is checked against the operating system's authorities, or a file's.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use test_support::postgres::Cluster;
use test_support::replica::Setup;
use test_support::tools;

/// Makes an authority. Its certificate, and a certificate for `localhost` with its key.
fn certificates() -> [String; 3] {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    [authority, certificate, key.serialize_pem()]
}

/// Lets the cluster speak TLS.
async fn encrypt(cluster: &Cluster, certificate: &str, key: &str) {
    let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    for (file, text) in [("server.crt", certificate), ("server.key", key)] {
        // The server's own user has to own the key. It runs programs in the data directory.
        let lines = text.lines().map(|line| format!("('{line}')")).collect::<Vec<_>>().join(",");
        let write = format!("umask 077; cat > {file}");
        let copy = format!("COPY (VALUES {lines}) TO PROGRAM '{write}'");
        admin.execute(sqlx::raw_sql(AssertSqlSafe(copy))).await.unwrap();
    }
    admin.execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    admin.execute("SELECT pg_reload_conf()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_s_certificate_is_checked_against_the_system_s_authorities_or_a_file_s() {
    let cluster = Cluster::start();
    let [authority, certificate, key] = certificates();
    let [other, ..] = certificates();
    encrypt(&cluster, &certificate, &key).await;
    let setup = Setup::new();
    for (name, text) in [("ours.pem", authority), ("other.pem", other)] {
        std::fs::write(setup.path(name), text).unwrap();
    }
    let place = format!("localhost:{}", cluster.port());
    // What `migrate` exits with, and says, if the system trusts that authority alone.
    let migrate = |trusted: &str, place: &str, parameters: &str| {
        let url = format!("postgres://postgres:hunter2@{place}/postgres?{parameters}");
        let environment = [("DATABASE_URL", url.as_str()), ("SSL_CERT_FILE", trusted)];
        let output = setup.clone().set_all(environment).run(&["migrate"]);
        let told = tools::text(&output.stderr);
        assert!(!told.contains("hunter2"), "{told}");
        (output.status.code(), told)
    };
    for parameters in ["sslrootcert=system", "sslmode=verify-full", "sslmode=verify-ca"] {
        let (code, told) = migrate("ours.pem", &place, parameters);
        assert_eq!(code, Some(0), "{parameters}: {told}");
        let (code, told) = migrate("other.pem", &place, parameters);
        assert_ne!(code, Some(0), "{parameters}");
        assert!(told.contains("certificate") && told.contains("sslrootcert"), "{told}");
    }
    let by_file = format!("sslrootcert={}", setup.path("ours.pem"));
    assert_eq!(migrate("other.pem", &place, &format!("{by_file}&sslmode=require")).0, Some(0));

    // The certificate is the host's.
    let elsewhere = format!("127.0.0.1:{}", cluster.port());
    let (code, told) = migrate("ours.pem", &elsewhere, "sslrootcert=system");
    assert_ne!(code, Some(0));
    assert!(told.contains("certificate") && told.contains("127.0.0.1"), "{told}");
    assert_eq!(migrate("ours.pem", &elsewhere, "sslmode=verify-ca").0, Some(0));

    let (code, told) = migrate("ours.pem", &place, "sslrootcert=system&sslmode=require");
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("verify-full"), "{told}");
}
