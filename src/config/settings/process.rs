//! Settings of shutdown, telemetry and logs.

use crate::config::setting::{Setting, optional, plain, secret};

/// These settings, in the order of `docs/configuration.md`.
pub(super) const PROCESS: &[Setting] = &[
    plain(
        "SHUTDOWN_GRACE_SECONDS",
        "25",
        "How many seconds requests in flight may take to finish after SIGTERM: 1 to 600.",
    ),
    optional(
        "SHUTDOWN_DELAY_SECONDS",
        "How many seconds the service continues to serve after SIGTERM while it reports \
         NOT_SERVING, so that load balancers notice: 0 to 120. Unset: 5 in production, 0 in \
         development.",
    ),
    plain(
        "OTEL_SDK_DISABLED",
        "false",
        "`true`: traces are not exported, whatever the other variables say.",
    ),
    plain(
        "OTEL_TRACES_EXPORTER",
        "otlp",
        "`otlp`, or `none` to export no traces. Other exporters are refused.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "The collector to which traces are exported, such as `http://127.0.0.1:4317`. With \
         `http/protobuf`, the path `/v1/traces` is added. A user name and password in it are \
         percent-encoded and sent as Basic authentication. Unset: traces are not exported.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "The same for traces only; it takes precedence, and no path is added.",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "grpc",
        "The transport of OTLP: `grpc` or `http/protobuf`.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "The same for traces only; it takes precedence.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "The root certificates of the collector, a PEM file. Unset: the system's.",
    ),
    optional(
        "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        "The same for traces only; it takes precedence.",
    ),
    secret(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Headers for the collector: `key=value` pairs, separated by commas, with percent-encoded \
         values, such as `authorization=Bearer%20…`. Unset: none.",
    ),
    secret("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "The same for traces only; it takes precedence."),
    plain(
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10000",
        "How many milliseconds an export may take: 1 to 600000.",
    ),
    optional("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "The same for traces only; it takes precedence."),
    optional(
        "OTEL_SERVICE_NAME",
        "The resource attribute `service.name`. Unset: `service.name` of \
         OTEL_RESOURCE_ATTRIBUTES, or `token-authority`.",
    ),
    optional(
        "OTEL_RESOURCE_ATTRIBUTES",
        "Resource attributes of traces: `key=value` pairs, separated by commas, with \
         percent-encoded values.",
    ),
    plain(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Which requests are traced: `always_on`, `always_off`, `traceidratio`, or one of these \
         with the prefix `parentbased_`, which follows the caller's `traceparent` if there is \
         one.",
    ),
    plain(
        "OTEL_TRACES_SAMPLER_ARG",
        "1.0",
        "The share of requests that `traceidratio` traces: 0 to 1.",
    ),
    plain(
        "LOG_LEVEL",
        "info",
        "The log level: `error`, `warn`, `info`, `debug`, or directives as in RUST_LOG.",
    ),
    optional("LOG_FORMAT", "`json` or `text`. Unset: `json` in production, `text` in development."),
];
