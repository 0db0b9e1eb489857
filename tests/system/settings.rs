//! Settings: every way to give one, and the report of all problems at once before any port opens.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Output;

use serde_json::Value;
use test_support::replica::Setup;
use test_support::tools;
use token_authority::config::settings::SETTINGS;

const ONE: &str = "kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=";
const COPIED: &str = "your-super-secret-jwt-key-min-32-characters";
const TWO: &str = "Zx3LqW8nB1vK6yTe0RmUo5JpGh7dSc2fAi9XwNbQkEs=";

/// Ports that another socket listens on. A service that opens one reports that it cannot.
pub(crate) struct TakenPorts([TcpListener; 3]);

impl TakenPorts {
    pub(crate) fn new() -> Self {
        Self([(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap()))
    }

    /// Returns the setup with these ports.
    pub(crate) fn given_to(&self, setup: Setup) -> Setup {
        let names = ["GRPC_ADDR", "HTTP_ADDR", "METRICS_ADDR"].iter().zip(&self.0);
        names.fold(setup, |setup, (name, port)| {
            setup.set(name, &port.local_addr().unwrap().to_string())
        })
    }
}

/// Returns the reported problems, and checks that nothing else was printed.
fn problems(output: &Output) -> Vec<String> {
    let told = tools::text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(output.stdout.is_empty() && !told.contains("cannot listen"), "{told}");
    let (head, problems) = told.split_once('\n').unwrap();
    assert_eq!(head, "token-authority: invalid settings:");
    problems.lines().map(|line| line.strip_prefix("  - ").expect(line).to_owned()).collect()
}

/// Invalid settings with the expected problem of each, and no second problem as a consequence.
const PLANTED: &[(&str, &str, &str)] = &[
    ("ENVIRONMENT", "production", ""),
    ("JWT_SECRET_FILE", "/nowhere/secret", "JWT_SECRET_FILE: /nowhere/secret: No such file"),
    ("JWT_SECRET_PREVIOUS", ONE, ""),
    (
        "JWT_SECRET_PREVIOUS_FILE",
        "short",
        "JWT_SECRET_PREVIOUS and JWT_SECRET_PREVIOUS_FILE are both",
    ),
    ("AUTHORITY_SECRET", COPIED, "AUTHORITY_SECRET is a placeholder"),
    ("DATABASE_URL_FILE", "latin", "latin: stream did not contain valid UTF-8"),
    ("REDIS_URL", "localhost:6379", "REDIS_URL has another scheme than expected"),
    ("JWT_ALGORITHM", "none", "JWT_ALGORITHM must be one of HS256, EdDSA"),
    ("KEY_ROTATION_DAYS", "-1", "KEY_ROTATION_DAYS must be a whole number from 0 to 3650"),
    ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "soon", "JWT_ACCESS_TOKEN_EXPIRE_MINUTES must be"),
    ("SESSION_MAX_LIFETIME_DAYS", "6", "SESSION_MAX_LIFETIME_DAYS must not be less than JWT_REF"),
    ("MAX_SESSIONS_PER_USER", "-1", "MAX_SESSIONS_PER_USER must be a whole number from 0 to"),
    ("SESSION_EVENTS_DAYS", "0", "SESSION_EVENTS_DAYS must be a whole number from 1 to 3650"),
    ("DEVICE_BOUND_SESSIONS", "on", "DEVICE_BOUND_SESSIONS must be one of off, offer"),
    ("DEVICE_BOUND_COOKIE_SECONDS", "5", "DEVICE_BOUND_COOKIE_SECONDS must be a whole number from"),
    ("REFRESH_TOKEN_ROTATION", "maybe", "REFRESH_TOKEN_ROTATION must be true or false"),
    ("JWT_ROLLOUT_PERCENTAGE", "101", "JWT_ROLLOUT_PERCENTAGE must be"),
    ("REVOCATION_STALE_POLICY", "hope", "REVOCATION_STALE_POLICY must be one of serve, refuse"),
    ("CALLERS_FILE", "callers", "CALLERS_FILE: "),
    ("TLS_CERT", "empty.pem", "TLS: empty.pem"),
    ("TLS_KEY", "empty.pem", ""),
    ("TRUSTED_PROXIES", "the-lb", "TRUSTED_PROXIES: `the-lb` is neither an IP"),
    ("RATE_LIMIT_PER_CLIENT", "5/0", "RATE_LIMIT_PER_CLIENT must be"),
    ("MAX_CONCURRENT_STREAMS", "0", "MAX_CONCURRENT_STREAMS must be"),
    ("MAX_CONNECTIONS", "0", "MAX_CONNECTIONS must be"),
    ("MAX_CONNECTIONS_PER_CLIENT", "many", "MAX_CONNECTIONS_PER_CLIENT must be"),
    ("GRPC_MAX_CONNECTION_AGE_SECONDS", "86401", "GRPC_MAX_CONNECTION_AGE_SECONDS must be"),
    ("MEMORY_LIMIT_MIB", "63", "MEMORY_LIMIT_MIB must be 0 or 64 to 1048576"),
    ("ALLOWED_ORIGINS", "*, https://ok.example", "ALLOWED_ORIGINS: `*` is not an origin"),
    ("REFRESH_COOKIE_NAME", "a cookie", "REFRESH_COOKIE_NAME must be a cookie name"),
    ("COOKIE_SECURE", "false", "COOKIE_SECURE may be false only in development"),
    ("COOKIE_DOMAIN", "localhost", "COOKIE_DOMAIN: `localhost` is not a domain"),
    ("COOKIE_SAME_SITE", "any", "COOKIE_SAME_SITE must be one of lax, strict, none"),
    ("COOKIE_PARTITIONED", "maybe", "COOKIE_PARTITIONED must be true or false"),
    ("PAGES_NAME", "Line\nbreak", "PAGES_NAME must have at most 60 characters"),
    (
        "PAGES_BACK_URL",
        "javascript:alert(1)",
        "PAGES_BACK_URL: `javascript:alert(1)` is not a page",
    ),
    ("PAGES_ACCENT_COLOR", "red", "PAGES_ACCENT_COLOR: `red` is not a colour such as #1f5fbf"),
    ("SHUTDOWN_GRACE_SECONDS", "0", "SHUTDOWN_GRACE_SECONDS must be"),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "collector:4317",
        "OTEL_EXPORTER_OTLP_ENDPOINT has another scheme than expected",
    ),
    ("OTEL_TRACES_EXPORTER", "zipkin", "OTEL_TRACES_EXPORTER must be one of otlp, none"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL must be one of grpc"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "OTEL_EXPORTER_OTLP_HEADERS must be pairs"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_TIMEOUT must be a whole number"),
    (
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "empty.pem",
        "OTEL_EXPORTER_OTLP_CERTIFICATE: empty.pem: contains no certificate",
    ),
    ("LOG_LEVEL", "a=b=c", "LOG_LEVEL must be"),
    ("LOG_FORMAT", "xml", "LOG_FORMAT must be one of json, text"),
];

#[test]
fn all_that_is_wrong_is_told_at_once_and_nothing_secret_with_it() {
    let ports = TakenPorts::new();
    let setup = ports.given_to(Setup::new());
    let path = |name: &str| setup.folder().join(name);
    std::fs::write(path("latin"), b"postgres://u:hunt\xe9r2@h/d").unwrap();
    std::fs::write(path("short"), "a short one\n").unwrap();
    std::fs::write(path("callers"), r#"{"callers":[{"name":"a","role":"x"}]}"#).unwrap();
    std::fs::write(path("empty.pem"), "").unwrap();
    let setup = PLANTED.iter().fold(setup, |setup, (name, value, _)| setup.set(name, value));
    let mut command = setup.command(&["serve", "--http-addr", "localhost"]);
    command.env("JWT_ISSUER", OsStr::from_bytes(b"https://\xff"));
    let told = problems(&command.output().unwrap());

    let by_flag = ["HTTP_ADDR must be an IP address and a port", "JWT_ISSUER is not UTF-8"];
    let expected: Vec<&str> = PLANTED.iter().map(|(_, _, expected)| *expected).collect();
    let expected: Vec<&str> =
        expected.into_iter().chain(by_flag).filter(|expected| !expected.is_empty()).collect();
    for problem in &expected {
        let times = told.iter().filter(|line| line.contains(problem)).count();
        assert_eq!(times, 1, "{problem}: {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for secret in [ONE, COPIED, "hunt", "a short one"] {
        assert!(!told.join("\n").contains(secret), "{secret}: {told:#?}");
    }
}

#[test]
fn combinations_that_make_no_sense_are_refused() {
    let ports = TakenPorts::new();
    let setup = ports.given_to(Setup::new());
    for (settings, problem) in [
        (vec![("TLS", "off"), ("TLS_CERT", "c"), ("TLS_KEY", "k")], "TLS=off contradicts"),
        (vec![("TLS_KEY", "k")], "TLS_CERT and TLS_KEY go together"),
        (vec![("TLS_CLIENT_CA", "c")], "TLS_CLIENT_CA with both"),
        (vec![("JWT_SECRET", ONE), ("AUTHORITY_SECRET", ONE)], "must not equal JWT_SECRET"),
        (vec![("JWT_SECRET_PREVIOUS", ONE), ("AUTHORITY_SECRET", ONE)], "must not equal"),
        (vec![("JWT_SECRET", ONE), ("JWT_SECRET_PREVIOUS", ONE)], "must not equal JWT_SECRET"),
        (vec![("JWT_ALGORITHM", "EdDSA")], "AUTHORITY_SECRET is required with"),
        (vec![("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "31")], "must not be less than"),
        (
            vec![("DATABASE_URL", "postgres://u:p@h:port/d")],
            "DATABASE_URL is not a well-formed URL",
        ),
        (vec![("DATABASE_URL", "postgres://u:hunt@er2/@h/d")], "percent-encode"),
        (vec![("DATABASE_URL", "postgres://u:hunt#er2@h/d")], "percent-encode"),
        (vec![("REDIS_URL", "redis://:hunt/er2@h:6379")], "percent-encode"),
        (
            vec![
                ("LEGACY_SESSIONS", "better-auth"),
                ("LEGACY_DATABASE_URL", "postgres://u:hunt?er2@h/d"),
            ],
            "LEGACY_DATABASE_URL is ambiguous: percent-encode",
        ),
        (vec![("DATABASE_SCHEMA", "own")], "DATABASE_SCHEMA has no effect without a Postgres"),
        (
            vec![("DATABASE_URL", "postgres://u@h/d"), ("DATABASE_SCHEMA", "a.b")],
            "DATABASE_SCHEMA must be one name",
        ),
        (vec![("DATABASE_URL", "sqlite::memory:")], "names a database in memory"),
        (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "httpx://h:1")], "must be a URL"),
        (
            vec![("REFRESH_COOKIE_NAME", "__Host-r"), ("COOKIE_DOMAIN", "example.com")],
            "COOKIE_DOMAIN is set",
        ),
        (vec![("COOKIE_SAME_SITE", "none"), ("COOKIE_SECURE", "false")], "needs COOKIE_SECURE"),
        (vec![("COOKIE_PARTITIONED", "true"), ("COOKIE_SECURE", "false")], "needs COOKIE_SECURE"),
        (
            vec![("DEVICE_BOUND_SESSIONS", "offer"), ("COOKIE_SECURE", "false")],
            "needs COOKIE_SECURE",
        ),
        (
            vec![("REFRESH_COOKIE_NAME", "__secure-r"), ("COOKIE_SECURE", "false")],
            "drop the cookie",
        ),
    ] {
        let setup =
            settings.iter().fold(setup.clone(), |setup, (name, text)| setup.set(name, text));
        let told = problems(&setup.run(&[]));
        assert!(told.len() == 1 && told[0].contains(problem), "{settings:?}: {told:?}");
    }
}

#[test]
fn in_production_nothing_starts_on_development_s_terms() {
    let ports = TakenPorts::new();
    let told = problems(&ports.given_to(Setup::new()).set("ENVIRONMENT", "production").run(&[]));
    let required =
        ["CALLERS_FILE is required", "TLS_CERT and TLS_KEY are", "JWT_SECRET is required"];
    for problem in required {
        assert!(told.iter().any(|line| line.starts_with(problem)), "{problem}: {told:?}");
    }
    assert_eq!(told.len(), required.len(), "{told:?}");
}

type Pairs = &'static [(&'static str, &'static str)];

const LEGACY: Pairs = &[("LEGACY_SESSIONS", "better-auth")];

/// A value of each setting that differs from its default, and the settings that it needs.
const VALUES: &[(&str, &str, Pairs)] = &[
    ("ENVIRONMENT", "production", &[("JWT_SECRET", ONE)]),
    ("DATABASE_URL", "sqlite://elsewhere/sessions.db", &[]),
    ("DATABASE_SCHEMA", "own", &[("DATABASE_URL", "postgres://u@127.0.0.1:1/d")]),
    ("DATA_DIR", "elsewhere", &[]),
    ("JWT_SECRET", ONE, &[]),
    ("JWT_SECRET_PREVIOUS", ONE, &[]),
    ("AUTHORITY_SECRET", ONE, &[]),
    ("JWT_ALGORITHM", "ES256", &[("AUTHORITY_SECRET", TWO)]),
    ("KEY_ROTATION_DAYS", "10", &[]),
    ("KEY_PUBLISH_SECONDS", "60", &[]),
    ("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "5", &[]),
    ("JWT_REFRESH_TOKEN_EXPIRE_DAYS", "3", &[]),
    ("SESSION_MAX_LIFETIME_DAYS", "60", &[]),
    ("MAX_SESSIONS_PER_USER", "20", &[]),
    ("SESSION_EVENTS_DAYS", "90", &[]),
    ("DEVICE_BOUND_SESSIONS", "offer", &[]),
    ("DEVICE_BOUND_COOKIE_SECONDS", "120", &[("DEVICE_BOUND_SESSIONS", "offer")]),
    ("REFRESH_TOKEN_ROTATION", "false", &[]),
    ("REFRESH_CONCURRENCY_WINDOW_SECONDS", "20", &[]),
    ("JWT_ISSUER", "https://id.example", &[]),
    ("JWT_LEEWAY_SECONDS", "2", &[]),
    ("VALIDATION_CACHE_MIB", "8", &[]),
    ("LEGACY_SESSIONS", "better-auth", &[]),
    ("LEGACY_SESSIONS_TABLE", "logins", LEGACY),
    ("LEGACY_SESSIONS_TOKEN_COLUMN", "secret", LEGACY),
    ("LEGACY_SESSIONS_USER_COLUMN", "who", LEGACY),
    ("LEGACY_SESSIONS_EXPIRES_COLUMN", "until", LEGACY),
    ("LEGACY_DATABASE_URL", "sqlite://theirs.db", LEGACY),
    ("BETTER_AUTH_SECRET", ONE, LEGACY),
    ("JWT_SHADOW", "true", &[]),
    ("REVOCATION_STALE_POLICY", "refuse", &[]),
    ("REVOCATION_MAX_STALENESS_SECONDS", "20", &[]),
    ("REVOCATION_MAX_ENTRIES", "1000", &[]),
    ("REDIS_URL", "redis://:hunter2@127.0.0.1:1", &[]),
    ("JWT_AUTH_ENABLED", "false", &[]),
    ("JWT_ROLLOUT_PERCENTAGE", "10", &[]),
    ("GRPC_ADDR", "127.0.0.1:1", &[]),
    ("HTTP_ADDR", "127.0.0.1:2", &[]),
    ("METRICS_ADDR", "127.0.0.1:3", &[]),
    ("CALLERS_FILE", "callers.json", &[]),
    ("TLS", "off", &[]),
    ("TLS_CERT", "cert.pem", &[("TLS_KEY", "key.pem")]),
    ("TLS_KEY", "key.pem", &[("TLS_CERT", "cert.pem")]),
    ("TLS_CLIENT_CA", "ca.pem", &[("TLS_CERT", "cert.pem"), ("TLS_KEY", "key.pem")]),
    ("REFLECTION", "false", &[]),
    ("TRUSTED_PROXIES", "10.0.0.0/8", &[]),
    ("RATE_LIMIT_PER_CALLER", "10/20", &[]),
    ("RATE_LIMIT_PER_CLIENT", "10/20", &[]),
    ("REQUEST_TIMEOUT_SECONDS", "5", &[]),
    ("IDLE_TIMEOUT_SECONDS", "5", &[]),
    ("MAX_CONCURRENT_REQUESTS", "5", &[]),
    ("MAX_CONCURRENT_STREAMS", "5", &[]),
    ("MAX_CONNECTIONS", "5", &[]),
    ("MAX_CONNECTIONS_PER_CLIENT", "5", &[]),
    ("GRPC_MAX_CONNECTION_AGE_SECONDS", "5", &[]),
    ("MEMORY_LIMIT_MIB", "500", &[]),
    ("ALLOWED_ORIGINS", "https://app.example", &[]),
    ("REFRESH_COOKIE_NAME", "r", &[]),
    ("COOKIE_SECURE", "false", &[]),
    ("COOKIE_DOMAIN", "example.com", &[]),
    ("COOKIE_SAME_SITE", "strict", &[]),
    ("COOKIE_PARTITIONED", "true", &[]),
    ("PAGES_NAME", "Example", &[]),
    ("PAGES_BACK_URL", "/account", &[]),
    ("PAGES_ACCENT_COLOR", "#8a2be2", &[]),
    ("SHUTDOWN_GRACE_SECONDS", "5", &[]),
    ("SHUTDOWN_DELAY_SECONDS", "5", &[]),
    ("OTEL_SDK_DISABLED", "true", &[]),
    ("OTEL_TRACES_EXPORTER", "none", &[]),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4", &[]),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:5", &[]),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", &[]),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", &[]),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ssl/certs/ca-certificates.crt", &[]),
    ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/etc/ssl/certs/ca-certificates.crt", &[]),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x", &[]),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20y", &[]),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000", &[]),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "6000", &[]),
    ("OTEL_SERVICE_NAME", "tokens", &[]),
    ("OTEL_RESOURCE_ATTRIBUTES", "team=identity", &[]),
    ("OTEL_TRACES_SAMPLER", "always_off", &[]),
    ("OTEL_TRACES_SAMPLER_ARG", "0.5", &[]),
    ("LOG_LEVEL", "debug", &[]),
    ("LOG_FORMAT", "text", &[]),
];

/// Returns what the doctor reports of settings and secrets, or the problems.
fn seen(setup: &Setup, arguments: &[&str]) -> Vec<String> {
    let output = setup.run(&[&["doctor", "--json"], arguments].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| {
            ["settings", "secrets.fingerprints"].contains(&finding["name"].as_str().unwrap())
        })
        .map(|finding| finding["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn each_setting_is_a_flag_too_and_each_secret_a_file() {
    for setting in SETTINGS.iter() {
        let (name, secret) = (setting.name, setting.secret);
        let value = VALUES.iter().find(|(named, _, _)| *named == name);
        let Some((_, value, more)) = value else { panic!("no value for {name}") };
        let bare = Setup::new().bare();
        let bare = more.iter().fold(bare, |setup, (name, text)| setup.set(name, text));
        let by_environment = seen(&bare.clone().set(name, value), &[]);
        let told = if secret { format!("{name} (a secret)") } else { format!("{name}={value}") };
        let listed = &by_environment[0];
        assert!(listed.starts_with("not the default: ") && listed.contains(&told), "{listed}");

        let flag = format!("--{}", name.to_lowercase().replace('_', "-"));
        // A flag takes precedence over the environment.
        let overruled = bare.clone().set(name, "\u{1}");
        assert_eq!(seen(&overruled, &[&flag, value]), by_environment, "{flag}");
        if secret {
            std::fs::write(bare.folder().join("secret"), format!("{value}\r\n")).unwrap();
            let by_file = bare.clone().set(&format!("{name}_FILE"), "secret");
            assert_eq!(seen(&by_file, &[]), by_environment, "{name}_FILE");
            assert_eq!(seen(&bare, &[&format!("{flag}-file"), "secret"]), by_environment);
        }
    }
    assert_eq!(VALUES.len(), SETTINGS.len());
}

#[test]
fn what_is_no_flag_is_said_to_be_none() {
    let ports = TakenPorts::new();
    for arguments in [&["--jwt-isuer", "x"][..], &["server"], &["keys"], &["--jwt-issuer"]] {
        let output = ports.given_to(Setup::new()).run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let help = Setup::new().run(&["--help-settings"]);
    assert!(help.status.success());
    let help = tools::text(&help.stdout);
    for setting in SETTINGS.iter() {
        let flag = format!("--{}", setting.name.to_lowercase().replace('_', "-"));
        assert!(help.contains(&format!("{flag} ")), "{flag}");
        assert_eq!(help.contains(&format!("{flag}-file ")), setting.secret, "{flag}-file");
    }
}

/// Values that no secret may have, with the expected problem of each. No value is ever quoted.
const SPOILED: &[(&str, &str)] = &[
    ("\u{feff}kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=", "a byte order mark"),
    ("kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=\n", "a line break at its end"),
    ("kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=\r", "a line break at its end"),
    (" kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=", "a blank at its beginning"),
    ("kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr= ", "a blank at its end"),
    ("\"kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr=\"", "quotes around it"),
    ("'kJ8xv1Qn3mZ0tYb7RfW5sLc2HdPg9uEa4iTo6NwXyVr='", "quotes around it"),
    ("kJ8xv1Qn3mZ0tYb7\u{200b}RfW5sLc2HdPg9uEa4iTo6NwXyVr=", "an invisible character"),
    ("<path:kv/data/production/authority#jwt-secret>", "a reference that nothing has resolved"),
    ("${JWT_SECRET_OF_THE_PRODUCTION_CLUSTER}", "a reference that nothing has resolved"),
    ("{{ .Values.secrets.jwtSecretOfProduction }}", "a reference that nothing has resolved"),
    ("vault:secret/data/production/authority#jwt", "a reference that nothing has resolved"),
    ("op://production/token-authority/jwt-secret", "a URL"),
    ("/run/secrets/jwt", "set JWT_SECRET_FILE"),
    ("abcdefghijklmnopqrstuvwxyz0123456789abcd", "is not random enough"),
];

#[test]
fn a_spoiled_secret_is_refused_at_the_start_and_named_by_the_doctor() {
    let ports = TakenPorts::new();
    let setup = ports.given_to(Setup::new()).set("ENVIRONMENT", "production").set("TLS", "off");
    let setup = setup.set("CALLERS_FILE", "callers.json");
    let added = setup.run(&["callers", "add", "a", "--role", "issuer"]);
    assert!(added.status.success(), "{}", tools::text(&added.stderr));
    for (value, problem) in SPOILED {
        let setup = setup.clone().set("JWT_SECRET", value);
        let told = problems(&setup.run(&[]));
        assert!(told.len() == 1 && told[0].contains(problem), "{value:?}: {told:?}");
        assert!(told[0].starts_with("JWT_SECRET ") && !told[0].contains(value.trim()), "{told:?}");
        let report = seen(&setup, &[]);
        assert!(report.len() == 1 && report[0].contains(problem), "{value:?}: {report:?}");
    }
    // In a file, line breaks at the end are not part of the secret. Any other extra is.
    for (content, problem) in [
        (format!("{ONE}\r\n\n"), None),
        (format!("{ONE} \n"), Some("a blank at its end")),
        (format!("\u{feff}{ONE}\n"), Some("a byte order mark")),
        (format!("{ONE}\n{TWO}\n"), Some("a line break")),
    ] {
        std::fs::write(setup.folder().join("secret"), content).unwrap();
        let output = setup.clone().set("JWT_SECRET_FILE", "secret").run(&[]);
        let text = tools::text(&output.stderr);
        match problem {
            None => assert!(text.contains("cannot listen"), "{text}"),
            Some(problem) => assert!(problems(&output)[0].contains(problem), "{text}"),
        }
    }
}

#[test]
fn the_auth_servers_secret_may_have_blanks_and_is_warned_of() {
    let setup = Setup::new().bare().set("BETTER_AUTH_SECRET", &format!("{ONE} "));
    let setup = setup.set("LEGACY_SESSIONS", "better-auth");
    let output = setup.run(&["doctor", "--json"]);
    let report = tools::text(&output.stdout);
    assert!(
        report.contains("secrets.invisible") && report.contains("a blank at its end"),
        "{report}"
    );
}

#[test]
fn a_url_with_a_reference_or_a_raw_password_is_refused_and_not_quoted() {
    let ports = TakenPorts::new();
    for (name, url, problem) in [
        ("DATABASE_URL", "postgres://app:${DB_PASSWORD}@db/app", "nothing has resolved"),
        ("DATABASE_URL", "postgres://app:pw@db/app\n", "a line break"),
        ("REDIS_URL", "redis://:$(REDIS_PASSWORD)@cache:6379", "nothing has resolved"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://app:hunt#er2@collector:4317", "percent-encode"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://app:hunt@er2@collector", "percent-encode"),
    ] {
        let output = ports.given_to(Setup::new()).set(name, url).run(&[]);
        let told = problems(&output);
        assert!(told.len() == 1 && told[0].contains(problem), "{url}: {told:?}");
        for piece in ["hunt", "er2", "collector", "PASSWORD", "pw"] {
            assert!(!told[0].contains(piece), "{piece}: {told:?}");
        }
    }
}
