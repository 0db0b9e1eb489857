//! A running service: signals, probes in the log, and a start that fails.

use std::net::SocketAddr;
use std::time::Instant;

use test_support::process::free_port;
use test_support::replica::{Replica, Setup};
use test_support::tools;
use test_support::until::TIMEOUT;

use crate::collector::{Collector, Rotel, telling};
use crate::wire;

async fn get(service: &Replica, path: &str) -> u16 {
    service.http().get(path).await.status
}

/// Waits until the log has a line with a text.
async fn until_logged(service: &Replica, text: &str) {
    let deadline = Instant::now() + TIMEOUT;
    while !service.log().contains(text) {
        assert!(Instant::now() < deadline, "no {text} in {}", service.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_end_other_programs_do_not_end_the_service() {
    let service = Setup::new().start().await;
    for signal in ["USR1", "USR2", "HUP"] {
        service.signal(signal);
    }
    until_logged(&service, "SIGHUP: the callers file").await;
    assert_eq!(get(&service, "/healthz").await, 200);
    assert!(wire::issue(&service.tokens(), "alice").await.access_token.starts_with("eyJ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn successful_probes_are_not_logged() {
    let service = Setup::new().start().await;
    service.ready().await;
    assert_eq!(get(&service, "/healthz").await, 200);
    assert_eq!(get(&service, "/.well-known/jwks.json").await, 200);
    until_logged(&service, "/.well-known/jwks.json").await;
    assert!(!service.log().contains("/healthz"), "{}", service.log());
    let ready = service.log().lines().filter(|line| line.contains("/readyz")).count();
    let refused = service.log().lines().filter(|line| line.contains("\"status\":503")).count();
    assert_eq!(ready, refused, "only failed probes are logged: {}", service.log());
    let verbose = Setup::new().set("LOG_LEVEL", "debug").start().await;
    assert_eq!(get(&verbose, "/healthz").await, 200);
    until_logged(&verbose, "/healthz").await;
}

#[test]
fn a_taken_port_is_named_with_its_flag_and_nothing_is_left_behind() {
    for (name, flag) in [("GRPC_ADDR", "--grpc-addr"), ("HTTP_ADDR", "--http-addr")] {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let setup = Setup::new().set(name, &address);
        let output = setup.run(&[]);
        let text = tools::text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for part in [name, flag, address.as_str(), "another process uses this port"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let left: Vec<_> = std::fs::read_dir(setup.folder()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_over_http_too() {
    let collector = Collector::start().await;
    let rotel = Rotel::before(&collector);
    let setup = rotel.told_over_http_by(Setup::new());
    let setup = setup.set("OTEL_RESOURCE_ATTRIBUTES", "service.name=by%20attribute");
    let service = setup.start().await;
    wire::issue(&service.tokens(), "alice").await;
    collector.until(|spans| spans.iter().any(|span| span.name.ends_with("IssueTokens"))).await;
    let names: Vec<_> =
        collector.senders().into_iter().filter(|one| one.key == "service.name").collect();
    assert!(
        !names.is_empty() && names.iter().all(|one| format!("{one:?}").contains("by attribute"))
    );
}

/// Standard variables for which an empty value must change nothing.
const EMPTY: [&str; 15] = [
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_PROPAGATORS",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_of_opentelemetry_counts_as_unset() {
    for (service_name, attributes, expected) in [
        ("", "", "token-authority"),
        ("", "service.name=by-attribute", "by-attribute"),
        ("by-name", "service.name=by-attribute", "by-name"),
    ] {
        let collector = Collector::start().await;
        let setup = EMPTY.iter().fold(Setup::new(), |setup, name| setup.set(name, ""));
        let setup = collector.told_by(setup);
        // The empty variable of traces must not hide the general one.
        let setup = setup.set("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2");
        let setup = setup.set("OTEL_SERVICE_NAME", service_name);
        let service = setup.set("OTEL_RESOURCE_ATTRIBUTES", attributes).start().await;
        wire::issue(&service.tokens(), "alice").await;
        collector.until(|spans| spans.iter().any(|span| span.name.ends_with("IssueTokens"))).await;
        assert!(!service.log().contains("OTEL_"), "{}", service.log());
        let headers = collector.header("authorization");
        assert!(!headers.is_empty() && headers.iter().all(|value| value == "Bearer hunter2"));
        let senders = collector.senders();
        let name = senders.iter().find(|one| one.key == "service.name").unwrap();
        assert!(format!("{name:?}").contains(&format!("\"{expected}\"")), "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_of_opentelemetry_without_effect_is_named_at_the_start() {
    let setup = Setup::new().set("OTEL_BSP_SCHEDULE_DELAY", "5s");
    let service = setup.set("OTEL_PROPAGATORS", "b3").start().await;
    for name in ["OTEL_BSP_SCHEDULE_DELAY is not a whole number", "OTEL_PROPAGATORS is set"] {
        until_logged(&service, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_traces_go_nowhere() {
    let collector = Collector::start().await;
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let service = collector.told_by(Setup::new()).set(name, value).start().await;
        wire::issue(&service.tokens(), "alice").await;
        service.signal("TERM");
        until_logged(&service, "shut down").await;
    }
    // A service exports its remaining spans when it ends, so none can be under way.
    assert_eq!(collector.spans().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_exports_are_counted_and_logged_once_a_minute() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    for protocol in ["grpc", "http/protobuf"] {
        let setup = telling(Setup::new(), nobody).set("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let service = setup.start().await;
        let deadline = Instant::now() + TIMEOUT;
        let failures = |page: &str| {
            let line =
                page.lines().find_map(|line| line.strip_prefix("trace_export_failures_total "));
            line.unwrap().parse::<u64>().unwrap()
        };
        while failures(&service.metrics()) < 2 {
            assert!(Instant::now() < deadline, "{}", service.log());
            wire::issue(&service.tokens(), "alice").await;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let lines = service.log().matches("cannot export traces").count();
        assert_eq!(lines, 1, "{}", service.log());
    }
}
