//! The contents of the rendered objects.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::helm::{Objects, SETS, containers, template};

#[test]
fn no_pod_may_more_than_it_needs() {
    for set in SETS {
        let objects = Objects::of(set, &[]);
        assert!(objects.pods().len() >= 2, "{set}");
        for (owner, pod) in objects.pods() {
            assert_eq!(pod["automountServiceAccountToken"], false, "{set} {owner}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{set} {owner}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            for container in containers(pod) {
                let context = &container["securityContext"];
                assert_eq!(context["readOnlyRootFilesystem"], true, "{set} {owner}");
                assert_eq!(context["allowPrivilegeEscalation"], false, "{set} {owner}");
                assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{set} {owner}");
                assert!(container["resources"]["requests"]["cpu"].is_string(), "{set} {owner}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{set} {owner}");
            }
        }
        assert_eq!(objects.get("ServiceAccount")["automountServiceAccountToken"], false);
    }
}

#[test]
fn no_user_is_fixed_unless_asked_for() {
    // OpenShift refuses pods that choose a user or group outside their namespace's range.
    for (_, pod) in Objects::on_openshift("postgres").pods() {
        for name in ["runAsUser", "runAsGroup", "fsGroup", "fsGroupChangePolicy"] {
            assert!(pod["securityContext"][name].is_null(), "{name}");
        }
        // The service's user does not own the files and, without fsGroup, is not in their group.
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            assert_eq!(volume["secret"]["defaultMode"], 0o444, "{volume}");
        }
    }
    for (owner, pod) in Objects::of("everything", &[]).pods() {
        assert_eq!(pod["securityContext"]["runAsUser"], 65532, "{owner}");
    }
    // Elsewhere the kubelet must be told that the test's image does not run as root.
    let user = |more: &[&str]| {
        let objects = Objects::of("postgres", more);
        objects.get("Pod")["spec"]["securityContext"]["runAsUser"].clone()
    };
    assert_eq!(user(&[]), 65532);
    assert_eq!(user(&["test.podSecurityContext.runAsUser=1000"]), 1000);
    let asked = Objects::of("everything", &[]);
    let pod = &asked.get("Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["fsGroup"], 65532);
    assert_eq!(pod["volumes"][0]["secret"]["defaultMode"], 0o440);
}

#[test]
fn the_ports_listen_on_ipv4_and_ipv6() {
    let objects = Objects::of("postgres", &[]);
    let environment = names(server(&objects));
    for (name, port) in [("GRPC_ADDR", 50051), ("HTTP_ADDR", 8080), ("METRICS_ADDR", 9464)] {
        assert!(
            environment.contains(&(name.to_owned(), format!("[::]:{port}"))),
            "{environment:?}"
        );
    }
    let services: Vec<_> = objects.0.iter().filter(|one| one["kind"] == "Service").collect();
    assert_eq!(services.len(), 3);
    for service in services {
        assert_eq!(service["spec"]["ipFamilyPolicy"], "PreferDualStack");
        assert!(service["spec"]["ipFamilies"].is_null(), "the cluster's");
    }
    let ordered = Objects::of("postgres", &["ipFamilies={IPv6,IPv4}"]);
    for service in ordered.0.iter().filter(|one| one["kind"] == "Service") {
        assert_eq!(service["spec"]["ipFamilies"], json!(["IPv6", "IPv4"]));
    }
    let older = Objects::of("postgres", &["bindAddress=0.0.0.0"]);
    let expected = ("HTTP_ADDR".to_owned(), "0.0.0.0:8080".to_owned());
    assert!(names(server(&older)).contains(&expected));
}

#[test]
fn the_database_s_certificate_is_mounted_and_named() {
    for (source, kind, field) in
        [("configMap", "configMap", "name"), ("secret", "secret", "secretName")]
    {
        let objects = Objects::of("postgres", &[&format!("database.ca.{source}=database-ca")]);
        let job = &objects.get("Job")["spec"]["template"]["spec"];
        let deployment = &objects.get("Deployment")["spec"]["template"]["spec"];
        for pod in [job, deployment] {
            let path = "/etc/token-authority/database-ca/ca.crt";
            let named = ("PGSSLROOTCERT".to_owned(), path.to_owned());
            assert!(names(&pod["containers"][0]).contains(&named), "{pod}");
            let volumes = pod["volumes"].as_array().unwrap();
            let volume = volumes.iter().find(|volume| volume["name"] == "database-ca").unwrap();
            assert_eq!(volume[kind][field], "database-ca");
            assert_eq!(volume[kind]["items"], json!([{ "key": "ca.crt", "path": "ca.crt" }]));
        }
    }
    assert!(!template("sqlite", &["database.ca.secret=x"]).contains("database-ca"));
}

#[test]
fn the_test_of_the_release_has_a_caller_s_key_or_is_not_there() {
    let objects = Objects::of("postgres", &[]);
    let environment = objects.get("Pod")["spec"]["containers"][0]["env"].as_array().unwrap();
    let key = environment.iter().find(|pair| pair["name"] == "API_KEY").unwrap();
    assert_eq!(key["valueFrom"]["secretKeyRef"]["name"], "authority-test-caller");
    assert!(Objects::of("postgres", &["test.existingSecret="]).find("Pod").is_none());
}

fn names(container: &Value) -> Vec<(String, String)> {
    let pairs = container["env"].as_array().unwrap().iter();
    pairs
        .map(|pair| {
            let value = pair["value"].as_str().unwrap_or("(from elsewhere)");
            (pair["name"].as_str().unwrap().to_owned(), value.to_owned())
        })
        .collect()
}

fn server(objects: &Objects) -> &Value {
    &objects.get("Deployment")["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn secrets_are_files_and_never_variables() {
    let objects = Objects::of("everything", &[]);
    let environment = names(server(&objects));
    let files: BTreeSet<_> = environment
        .iter()
        .filter(|(_, value)| value.starts_with("/etc/token-authority/secrets/"))
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = [
        "AUTHORITY_SECRET_FILE",
        "BETTER_AUTH_SECRET_FILE",
        "DATABASE_URL_FILE",
        "JWT_SECRET_FILE",
        "JWT_SECRET_PREVIOUS_FILE",
        "LEGACY_DATABASE_URL_FILE",
        "OTEL_EXPORTER_OTLP_HEADERS_FILE",
        "REDIS_URL_FILE",
    ];
    assert_eq!(files, BTreeSet::from(expected));
    for secret in expected.map(|name| name.strip_suffix("_FILE").unwrap()) {
        assert!(!environment.iter().any(|(name, _)| name == secret), "{secret}");
    }
    assert!(objects.find("Secret").is_none(), "the chart holds no secret of its own");
}

#[test]
fn no_variable_is_given_twice() {
    for set in SETS {
        for (_, pod) in Objects::of(set, &[]).pods() {
            for container in containers(pod).into_iter().filter(|one| one["env"].is_array()) {
                let all = names(container);
                let distinct: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
                assert_eq!(distinct.len(), all.len(), "{set}: {all:?}");
            }
        }
    }
}

#[test]
fn numbers_are_written_out() {
    let environment = names(server(&Objects::of("everything", &[])));
    let written = ("MAX_CONCURRENT_REQUESTS".to_owned(), "1000000".to_owned());
    assert!(environment.contains(&written), "{environment:?}");
    let share = |share: &str| ("OTEL_TRACES_SAMPLER_ARG".to_owned(), share.to_owned());
    assert!(environment.contains(&share("0.01")), "{environment:?}");
    // `--set` makes a number of a whole one, and text of a fraction.
    for given in ["1", "0", "0.1", "0.00001", "1.0"] {
        let setting = format!("settings.OTEL_TRACES_SAMPLER_ARG={given}");
        let environment = names(server(&Objects::of("postgres", &[&setting])));
        assert!(environment.contains(&share(given)), "{environment:?}");
    }
}

#[test]
fn the_kubelet_waits_as_long_as_the_process_takes() {
    let wait = |set, more: &[&str]| {
        let objects = Objects::of(set, more);
        let pod = &objects.get("Deployment")["spec"]["template"]["spec"];
        let environment = names(&pod["containers"][0]);
        let seconds = |name: &str| {
            let found = environment.iter().find(|(known, _)| known == name);
            found.unwrap().1.parse::<u64>().unwrap()
        };
        let takes = seconds("SHUTDOWN_DELAY_SECONDS") + seconds("SHUTDOWN_GRACE_SECONDS");
        (pod["terminationGracePeriodSeconds"].as_u64().unwrap(), takes)
    };
    assert_eq!(wait("postgres", &[]), (40, 30));
    assert_eq!(wait("postgres", &["settings.SHUTDOWN_DELAY_SECONDS=0"]), (35, 25));
    assert_eq!(wait("everything", &[]), (80, 70));
}

#[test]
fn a_probe_restarts_no_replica_for_the_database_s_sake() {
    for set in SETS {
        let objects = Objects::of(set, &[]);
        let container = server(&objects);
        assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
        assert_eq!(container["startupProbe"]["httpGet"]["path"], "/readyz");
    }
    let plain = Objects::of("postgres", &[]);
    assert_eq!(server(&plain)["readinessProbe"]["grpc"]["port"], 50051);
    let everything = Objects::of("everything", &[]);
    assert_eq!(server(&everything)["readinessProbe"]["httpGet"]["path"], "/readyz");
    assert_eq!(server(&everything)["livenessProbe"]["httpGet"]["scheme"], "HTTPS");
    let over_tls = Objects::of("everything", &["probes.readiness=process"]);
    assert!(server(&over_tls)["readinessProbe"]["grpc"].is_null(), "a gRPC probe cannot use TLS");
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap()
}

#[test]
fn browsers_reach_their_paths_alone() {
    let exact = [
        "/api/auth/refresh",
        "/api/auth/logout",
        "/api/auth/device/registration",
        "/api/auth/device/renewal",
        "/oauth2/token",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ];
    let expected = |folder| -> Vec<_> {
        let exact = exact.map(|path| (path, "Exact"));
        exact.into_iter().chain([("/api/auth/sessions", folder)]).collect()
    };
    let ingress = Objects::of("postgres", &[]);
    let paths = &ingress.get("Ingress")["spec"]["rules"][0]["http"]["paths"];
    let found = paths.as_array().unwrap().iter();
    let found: Vec<_> = found.map(|path| (text(path, "path"), text(path, "pathType"))).collect();
    assert_eq!(found, expected("Prefix"));
    let route = Objects::of("everything", &[]);
    let matches = &route.get("HTTPRoute")["spec"]["rules"][0]["matches"];
    let found = matches.as_array().unwrap().iter().map(|one| &one["path"]);
    let found: Vec<_> = found.map(|path| (text(path, "value"), text(path, "type"))).collect();
    assert_eq!(found, expected("PathPrefix"));
}

#[test]
fn sqlite_has_one_owner_at_a_time() {
    let objects = Objects::of("sqlite", &[]);
    let deployment = &objects.get("Deployment")["spec"];
    assert_eq!(deployment["replicas"], 1);
    assert_eq!(deployment["strategy"]["type"], "Recreate");
    let claim = objects.get("PersistentVolumeClaim");
    assert_eq!(claim["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert!(objects.find("PodDisruptionBudget").is_none(), "it would block every drain");
    assert!(objects.find("Job").is_none(), "a hook has no volume yet");
    assert_eq!(deployment["template"]["spec"]["initContainers"][0]["args"], json!(["migrate"]));
}

#[test]
fn migrations_run_before_the_new_version() {
    let objects = Objects::of("postgres", &[]);
    let job = objects.get("Job");
    assert_eq!(job["metadata"]["annotations"]["helm.sh/hook"], "pre-install,pre-upgrade");
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["migrate"]));
    assert!(objects.get("Deployment")["spec"]["template"]["spec"]["initContainers"].is_null());
    // A Secret that the release creates does not exist yet when hooks run.
    let external = Objects::of("everything", &[]);
    assert!(external.find("Job").is_none());
    let pod = &external.get("Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["initContainers"][0]["args"], json!(["migrate"]));
}

#[test]
fn clients_can_balance() {
    let objects = Objects::of("postgres", &[]);
    let services: Vec<_> = objects.0.iter().filter(|one| one["kind"] == "Service").collect();
    let grpc = services.iter().find(|one| one["metadata"]["name"] == "prod-grpc").unwrap();
    assert_eq!(grpc["spec"]["clusterIP"], "None");
    // Every Service selects the server's pods, but not the migration's.
    let labels = &objects.get("Deployment")["spec"]["template"]["metadata"]["labels"];
    for service in services {
        for (name, value) in service["spec"]["selector"].as_object().unwrap() {
            assert_eq!(&labels[name], value);
        }
        let selector = &service["spec"]["selector"]["app.kubernetes.io/component"];
        assert_ne!(
            selector,
            &objects.get("Job")["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        );
    }
}

#[test]
fn alerts_and_dashboard_are_the_repository_s_own() {
    let objects = Objects::of("everything", &[]);
    let read = |path: &str| std::fs::read_to_string(crate::helm::root().join(path)).unwrap();
    let rules = read("ops/prometheus/rules.yaml");
    let url = "runbook_url: https://docs.example.com/token-authority/runbook.md#";
    let linked = rules.replace("runbook_url: docs/runbook.md#", url);
    let linked: Value = serde_saphyr::from_str(&linked).unwrap();
    assert_eq!(objects.get("PrometheusRule")["spec"], linked);
    // Without a URL, there must be no link instead of a dead one.
    let plain = Objects::of("postgres", &[]).get("PrometheusRule")["spec"].to_string();
    assert!(plain.contains("\"summary\"") && !plain.contains("runbook_url"), "{plain}");
    let dashboard = objects.get("ConfigMap")["data"]["token-authority.json"].as_str().unwrap();
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let own: Value = serde_json::from_str(&read("ops/grafana/dashboard.json")).unwrap();
    assert_eq!(dashboard, own);
}

#[test]
fn one_set_of_values_always_renders_the_same() {
    assert_eq!(template("everything", &[]), template("everything", &[]));
}
