//! Standard variables of OpenTelemetry that have no effect, in whole or with the given value.

/// Standard variables that this service does not support, with the values that have no effect
/// anyway, and the alternative.
const UNSUPPORTED: [(&str, &[&str], &str); 13] = [
    ("OTEL_METRICS_EXPORTER", &["none", "prometheus"], "metrics are served at METRICS_ADDR"),
    ("OTEL_LOGS_EXPORTER", &["none", "console"], "logs are written to standard error"),
    (
        "OTEL_PROPAGATORS",
        &["tracecontext", "tracecontext,baggage", "baggage,tracecontext"],
        "only tracecontext is read",
    ),
    ("OTEL_CONFIG_FILE", &[], "use the OTEL_* variables"),
    ("OTEL_EXPERIMENTAL_CONFIG_FILE", &[], "use the OTEL_* variables"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &[], "send a header with OTEL_EXPORTER_OTLP_HEADERS"),
    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", &[], "send a header with OTEL_EXPORTER_OTLP_HEADERS"),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &[], "send a header with OTEL_EXPORTER_OTLP_HEADERS"),
    (
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
        &[],
        "send a header with OTEL_EXPORTER_OTLP_HEADERS",
    ),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", &["none"], "traces are sent uncompressed"),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", &["none"], "traces are sent uncompressed"),
    (
        "OTEL_EXPORTER_OTLP_INSECURE",
        &["true", "false"],
        "the scheme of the endpoint decides: http or https",
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
        &["true", "false"],
        "the scheme of the endpoint decides: http or https",
    ),
];

/// Variables that the SDK itself reads. It ignores a value that is not a whole number.
const NUMBERS: [&str; 8] = [
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_CONCURRENT_EXPORTS",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
];

/// Returns a sentence for each standard variable in the environment that has no effect here.
#[must_use]
pub fn unsupported(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let given = |name| variable(name).filter(|value| !value.is_empty());
    let unsupported = UNSUPPORTED.iter().filter_map(|(name, harmless, instead)| {
        let value = given(name)?.to_ascii_lowercase().replace(' ', "");
        let is_harmless = harmless.contains(&value.as_str());
        (!is_harmless).then(|| format!("{name} is set, but not supported: {instead}"))
    });
    let malformed = NUMBERS.iter().filter_map(|name| {
        let is_number = given(name)?.parse::<u32>().is_ok();
        (!is_number).then(|| format!("{name} is not a whole number, so its default applies"))
    });
    unsupported.chain(malformed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_is_reported() {
        let of = |name: &'static str, value: &'static str| {
            unsupported(|asked| (asked == name).then(|| value.to_owned()))
        };
        assert_eq!(of("OTEL_METRICS_EXPORTER", "none"), [""; 0]);
        assert_eq!(of("OTEL_METRICS_EXPORTER", ""), [""; 0]);
        assert_eq!(of("OTEL_METRICS_EXPORTER", "otlp").len(), 1);
        assert_eq!(of("OTEL_PROPAGATORS", "tracecontext, baggage"), [""; 0]);
        assert!(of("OTEL_BSP_SCHEDULE_DELAY", "5s")[0].starts_with("OTEL_BSP_SCHEDULE_DELAY"));
        assert_eq!(of("OTEL_BSP_SCHEDULE_DELAY", "5000"), [""; 0]);
        assert_eq!(of("OTEL_BSP_MAX_QUEUE_SIZE", ""), [""; 0]);
        assert!(of("OTEL_PROPAGATORS", "b3")[0].starts_with("OTEL_PROPAGATORS"));
    }
}
