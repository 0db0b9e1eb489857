//! Invalid or contradictory values are refused before anything is rendered.

use crate::helm::{chart, text, tool, try_template};

/// The set, the changed values, and a word that the error must contain.
type Refusal = (&'static str, &'static [&'static str], &'static str);

const REFUSALS: &[Refusal] = &[
    ("sqlite", &["replicas=2"], "/replicas"),
    ("sqlite", &["autoscaling.enabled=true"], "/autoscaling/enabled"),
    ("postgres", &["database.mode=mysql"], "/database/mode"),
    ("postgres", &["secrets.keys.databaseUrl="], "/secrets/keys/databaseUrl"),
    ("postgres", &["secrets.keys.jwtSecret="], "/secrets/keys/jwtSecret"),
    ("postgres", &["secrets.existingSecret="], "/secrets/existingSecret"),
    ("postgres", &["secrets.externalSecret.enabled=true"], "/secrets/existingSecret"),
    ("everything", &["secrets.externalSecret.remoteKey="], "/secrets/externalSecret/remoteKey"),
    ("everything", &["secrets.keys.authoritySecret="], "/secrets/keys/authoritySecret"),
    ("postgres", &["settings.JWT_ALGORITHM=none"], "/settings/JWT_ALGORITHM"),
    ("postgres", &["callers.existingSecret="], "/callers/existingSecret"),
    ("everything", &["tls.existingSecret="], "/tls/existingSecret"),
    ("postgres", &["tls.clientCa=true"], "/tls/enabled"),
    (
        "everything",
        &["ingress.enabled=true", "ingress.hosts={a.example.com}"],
        "/httpRoute/enabled",
    ),
    ("postgres", &["ingress.hosts=null"], "/ingress"),
    ("everything", &["httpRoute.hostnames=null"], "/httpRoute"),
    (
        "everything",
        &["podDisruptionBudget.maxUnavailable=1"],
        "/podDisruptionBudget/maxUnavailable",
    ),
    ("postgres", &["podDisruptionBudget.maxUnavailable="], "/podDisruptionBudget"),
    ("everything", &["metrics.enabled=false"], "/metrics/enabled"),
    ("everything", &["autoscaling.maxReplicas=2"], "autoscaling.minReplicas"),
    ("everything", &["settings.SESSION_MAX_LIFETIME_DAYS=10"], "SESSION_MAX_LIFETIME_DAYS"),
    ("postgres", &["http.port=50051"], "must differ"),
    ("postgres", &["grpc.port=443"], "/grpc/port"),
    ("postgres", &["settings.JWT_ISUER=https://a.example.com"], "JWT_ISUER"),
    ("postgres", &["settings.DATABASE_URL=postgres://a:b@c/d"], "DATABASE_URL"),
    ("postgres", &["settings.JWT_SECRET=in-the-clear"], "JWT_SECRET"),
    ("postgres", &["settings.COOKIE_SECURE=false"], "COOKIE_SECURE"),
    ("postgres", &["settings.ALLOWED_ORIGINS=http://app.example.com"], "/settings/ALLOWED_ORIGINS"),
    ("postgres", &["settings.JWT_ROLLOUT_PERCENTAGE=101"], "/settings/JWT_ROLLOUT_PERCENTAGE"),
    ("postgres", &["replicaCount=3"], "replicaCount"),
    ("postgres", &["replicas=0"], "/replicas"),
    ("postgres", &["bindAddress=::"], "/bindAddress"),
    ("postgres", &["ipFamilyPolicy=Dual"], "/ipFamilyPolicy"),
    ("postgres", &["ipFamilies={IPv6,IPv6}"], "/ipFamilies"),
    ("postgres", &["ipFamilies={ipv6}"], "/ipFamilies"),
    ("postgres", &["settings.OTEL_TRACES_SAMPLER_ARG=1.5"], "OTEL_TRACES_SAMPLER_ARG"),
    ("postgres", &["settings.OTEL_TRACES_SAMPLER_ARG=2"], "OTEL_TRACES_SAMPLER_ARG"),
    (
        "postgres",
        &["metrics.prometheusRule.runbookUrl=https://a.example/runbook.md#"],
        "/metrics/prometheusRule/runbookUrl",
    ),
    ("everything", &["database.ca.secret=another"], "/database/ca/secret"),
    ("postgres", &["metrics.prometheusRule.runbookUrl=docs"], "/metrics/prometheusRule/runbookUrl"),
    (
        "postgres",
        &["settings.OTEL_EXPORTER_OTLP_PROTOCOL=http/json"],
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ),
    ("postgres", &["probes.readiness=always"], "/probes/readiness"),
];

#[test]
fn each_is_refused_by_name() {
    for (set, changes, word) in REFUSALS {
        let output = try_template(set, changes);
        assert!(!output.status.success(), "{set} {changes:?} was rendered");
        let told = text(&output.stderr);
        let named = told.contains(word) || told.contains(&word[1..].replace('/', "."));
        assert!(named, "{set} {changes:?} is refused, but not for {word}: {told}");
    }
}

#[test]
fn the_defaults_alone_are_refused_since_secrets_cannot_have_any() {
    let output = tool("helm/helm").args(["template", "prod"]).arg(chart()).output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("existingSecret"));
}
