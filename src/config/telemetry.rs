//! Settings of logs and traces. The `OTEL_*` variables follow the OpenTelemetry specification
//! ("Environment Variable Specification", "OpenTelemetry Protocol Exporter").

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use super::reader::Reader;
use crate::keys::Secret;
use crate::store::strict_url::{StrictUrl, UrlError};
use crate::transport::observe::span::Sampling;

/// The settings of logs and traces.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// The log level, or directives as in `RUST_LOG`.
    pub level: String,
    /// Whether log lines are JSON.
    pub json: bool,
    /// Where traces are exported. `None`: nowhere.
    pub export: Option<TraceExport>,
    /// The sampler.
    pub sampling: Sampling,
}

/// Where and how traces are exported.
#[derive(Debug, Clone)]
pub struct TraceExport {
    /// The URL, without credentials. For HTTP it includes the path.
    pub endpoint: String,
    /// The headers of each export, which authenticate it. Their names are in lower case.
    pub headers: Vec<(String, Secret)>,
    /// How long an export may take.
    pub timeout: Duration,
    /// The transport.
    pub protocol: OtlpProtocol,
    /// The root certificates of the collector, a PEM file. `None`: the system's.
    pub certificate: Option<PathBuf>,
    /// The attributes of the resource, with `service.name`.
    pub resource: Vec<(String, String)>,
}

/// The transport of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// HTTP with protobuf bodies.
    HttpProtobuf,
}

/// The default of the resource attribute `service.name`.
const SERVICE_NAME: &str = "token-authority";

pub(super) fn read(reader: &mut Reader<'_>, production: bool) -> TelemetrySettings {
    let level = reader.text("LOG_LEVEL").unwrap_or("info").to_owned();
    if tracing_subscriber::EnvFilter::try_new(&level).is_err() {
        reader.problem("LOG_LEVEL", "LOG_LEVEL must be a level or directives as in RUST_LOG");
    }
    let json = reader.choice("LOG_FORMAT", &[("json", true), ("text", false)]);
    let export = export(reader);
    let disabled = reader.truth("OTEL_SDK_DISABLED");
    TelemetrySettings {
        level,
        json: json.unwrap_or(production),
        export: export.filter(|_| !disabled),
        sampling: sampling(reader),
    }
}

fn export(reader: &mut Reader<'_>) -> Option<TraceExport> {
    let exporter = reader.choice("OTEL_TRACES_EXPORTER", &[("otlp", true), ("none", false)]);
    let resource = resource(reader);
    let protocols = [("grpc", OtlpProtocol::Grpc), ("http/protobuf", OtlpProtocol::HttpProtobuf)];
    // The variables of the signal take precedence over the general ones.
    let general = reader.choice("OTEL_EXPORTER_OTLP_PROTOCOL", &protocols);
    let own = reader.choice("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", &protocols);
    let protocol = own.or(general).unwrap_or(OtlpProtocol::Grpc);
    let certificate = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"]
        .into_iter()
        .find_map(|name| reader.text(name).map(|path| (name, PathBuf::from(path))));
    if let Some((name, path)) = &certificate
        && let Err(error) = certificates(path)
    {
        reader.problem(name, format!("{name}: {}: {error}", path.display()));
    }
    let general = headers(reader, "OTEL_EXPORTER_OTLP_HEADERS");
    let own = headers(reader, "OTEL_EXPORTER_OTLP_TRACES_HEADERS");
    let given = own.or(general).unwrap_or_default();
    let general = timeout(reader, "OTEL_EXPORTER_OTLP_TIMEOUT");
    let name = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
    let timeout = if reader.is_given(name) { timeout(reader, name) } else { general };
    let base = endpoint(reader, "OTEL_EXPORTER_OTLP_ENDPOINT").map(|mut base| {
        // Over HTTP, the general endpoint is a base to which the signal's path is added.
        if protocol == OtlpProtocol::HttpProtobuf {
            let path = format!("{}/v1/traces", base.url.path().trim_end_matches('/'));
            base.url.set_path(&path);
        }
        base
    });
    let own = endpoint(reader, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let Endpoint { url, authorization } = own.or(base)?;
    let endpoint = url.to_string();
    let certificate = certificate.map(|(_, path)| path);
    // A header that is named takes precedence over the credentials of the URL.
    let authorization = authorization.map(|value| (AUTHORIZATION.as_str().to_owned(), value));
    let named = |name: &str| given.iter().any(|(known, _)| known == name);
    let authorization = authorization.filter(|(name, _)| !named(name));
    let headers = authorization.into_iter().chain(given).collect();
    let export = TraceExport { endpoint, headers, timeout, protocol, certificate, resource };
    exporter.unwrap_or(false).then_some(export)
}

/// Checks that a PEM file contains certificates and nothing damaged.
fn certificates(path: &Path) -> Result<(), String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("contains no certificate".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads headers: `key=value` pairs, separated by commas, with percent-encoded values.
fn headers(reader: &mut Reader<'_>, name: &'static str) -> Option<Vec<(String, Secret)>> {
    reader.text(name)?;
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let key = HeaderName::from_bytes(key.trim().as_bytes()).ok()?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        HeaderValue::from_str(&value).ok()?;
        Some((key.as_str().to_owned(), Secret::new(value.as_ref())))
    };
    let headers: Option<Vec<_>> = reader.list(name).into_iter().map(pair).collect();
    if headers.is_none() {
        let form = "must be pairs such as authorization=Bearer%20TOKEN, separated by commas";
        reader.problem(name, format!("{name} {form}"));
    }
    headers
}

/// Reads a time in milliseconds.
fn timeout(reader: &mut Reader<'_>, name: &'static str) -> Duration {
    Duration::from_millis(reader.number(name, 1..=600_000))
}

/// The URL of a collector.
struct Endpoint {
    /// Without credentials.
    url: Url,
    /// The credentials, as the value of an `Authorization` header.
    authorization: Option<Secret>,
}

/// Reads the URL of a collector.
fn endpoint(reader: &mut Reader<'_>, name: &'static str) -> Option<Endpoint> {
    let text = reader.url(name)?;
    let strict = StrictUrl::parse(text, &["http", "https"]);
    let endpoint = strict.and_then(|strict| without_credentials(text, &strict));
    if let Err(invalid) = &endpoint {
        let form = "it must be a URL such as http://127.0.0.1:4317";
        reader.problem(name, format!("{name} {invalid}; {form}"));
    }
    endpoint.ok()
}

/// Moves the credentials of a URL to an `Authorization` header (RFC 7617).
fn without_credentials(text: &str, strict: &StrictUrl) -> Result<Endpoint, UrlError> {
    use base64::Engine as _;
    let mut url = Url::parse(text).map_err(|_| UrlError::Malformed)?;
    if strict.hosts.len() != 1 {
        return Err(UrlError::Malformed);
    }
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| UrlError::Malformed)?;
    let (user, password) = (&strict.username, &strict.password);
    let authorization = (user.is_some() || password.is_some()).then(|| {
        let [user, password] = [user, password].map(|text| text.as_deref().unwrap_or_default());
        let pair = format!("{user}:{password}");
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        Secret::new(format!("Basic {encoded}"))
    });
    Ok(Endpoint { url, authorization })
}

/// Reads the resource attributes: `key=value` pairs, separated by commas, with percent-encoded values.
/// `service.name` comes from `OTEL_SERVICE_NAME`, then from the attributes, then from the default.
fn resource(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
    };
    let parts = reader.list("OTEL_RESOURCE_ATTRIBUTES");
    let mut attributes: Vec<_> = parts.iter().filter_map(|part| pair(part)).collect();
    if attributes.len() < parts.len() {
        let text = "OTEL_RESOURCE_ATTRIBUTES must be pairs such as \
                    deployment.environment.name=production,team=identity";
        reader.problem("OTEL_RESOURCE_ATTRIBUTES", text);
    }
    let key = "service.name";
    attributes.retain(|(known, value)| known != key || !value.is_empty());
    if let Some(name) = reader.text("OTEL_SERVICE_NAME") {
        attributes.retain(|(known, _)| known != key);
        attributes.push((key.to_owned(), name.to_owned()));
    } else if !attributes.iter().any(|(known, _)| known == key) {
        attributes.push((key.to_owned(), SERVICE_NAME.to_owned()));
    }
    attributes
}

/// Reads the sampler: those of the specification that need no vendor's service.
fn sampling(reader: &mut Reader<'_>) -> Sampling {
    let share = reader.text("OTEL_TRACES_SAMPLER_ARG").and_then(|text| text.parse::<f64>().ok());
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    if share.is_none() {
        let text = "OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1, such as 0.01";
        reader.problem("OTEL_TRACES_SAMPLER_ARG", text);
    }
    let share = share.unwrap_or(0.0);
    let of = |follows_parent, share| Sampling { follows_parent, share };
    let choices = [
        ("always_on", of(false, 1.0)),
        ("always_off", of(false, 0.0)),
        ("traceidratio", of(false, share)),
        ("parentbased_always_on", of(true, 1.0)),
        ("parentbased_always_off", of(true, 0.0)),
        ("parentbased_traceidratio", of(true, share)),
    ];
    reader.choice("OTEL_TRACES_SAMPLER", &choices).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::Given;
    use crate::config::{Config, Problem};

    fn read(pairs: &[(&'static str, &str)]) -> Result<Option<TraceExport>, Vec<Problem>> {
        Config::read(&Given::of(pairs)).map(|config| config.telemetry.export)
    }

    fn export(pairs: &[(&'static str, &str)]) -> TraceExport {
        read(pairs).unwrap().unwrap()
    }

    const BASE: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn traces_are_exported_only_if_asked_for() {
        assert!(read(&[]).unwrap().is_none());
        for off in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert!(read(&[BASE, off]).unwrap().is_none(), "{off:?}");
        }
        assert_eq!(export(&[BASE]).endpoint, "http://collector:4317/");
        for (name, value) in [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_EXPORTER", "console,otlp"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "thrift"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/dev/null"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization Bearer x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a key=value"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x=line%0Abreak"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
            ("OTEL_RESOURCE_ATTRIBUTES", "production"),
            ("OTEL_SDK_DISABLED", "perhaps"),
        ] {
            let problems = read(&[BASE, (name, value)]).unwrap_err();
            assert!(
                problems.len() == 1 && problems[0].to_string().starts_with(name),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn the_variables_of_traces_take_precedence() {
        let both = export(&[
            BASE,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ]);
        assert_eq!(both.protocol, OtlpProtocol::HttpProtobuf);
        assert_eq!(both.endpoint, "http://collector:4317/v1/traces");
        let own = export(&[
            BASE,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example.com/in"),
        ]);
        assert_eq!(own.endpoint, "https://traces.example.com/in");
        let general = [
            BASE,
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=general"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
        ];
        let of_traces = [
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-scope=traces"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "3000"),
        ];
        for (given, scope, seconds) in
            [(general.to_vec(), "general", 2), ([&general[..], &of_traces].concat(), "traces", 3)]
        {
            let export = export(&given);
            assert_eq!(header(&export, "x-scope"), [scope]);
            assert_eq!(export.timeout, Duration::from_secs(seconds));
        }
        assert_eq!(export(&[BASE]).timeout, Duration::from_secs(10));
    }

    /// Returns the values of a header.
    fn header<'a>(export: &'a TraceExport, name: &str) -> Vec<&'a str> {
        let values = export.headers.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| std::str::from_utf8(value.expose()).unwrap()).collect()
    }

    #[test]
    fn headers_are_decoded_and_precede_the_credentials_of_the_url() {
        let url = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://app:pass@collector:4317");
        let headers = "Authorization=Bearer%20a%2Cb==, x-team = identity ,";
        let both = export(&[url, ("OTEL_EXPORTER_OTLP_HEADERS", headers)]);
        assert_eq!(header(&both, "authorization"), ["Bearer a,b=="]);
        assert_eq!(header(&both, "x-team"), ["identity"]);
        let other = export(&[url, ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=identity")]);
        // printf 'app:pass' | base64
        assert_eq!(header(&other, "authorization"), ["Basic YXBwOnBhc3M="]);
        assert!(!format!("{both:?}").contains("Bearer"), "{both:?}");
    }

    #[test]
    fn the_service_name_follows_the_specification() {
        let name = |pairs: &[(&'static str, &str)]| {
            let pairs: Vec<_> = pairs.iter().copied().chain([BASE]).collect();
            let resource = export(&pairs).resource;
            let mut names = resource.into_iter().filter(|(key, _)| key == "service.name");
            let name = names.next().unwrap().1;
            assert_eq!(names.next(), None);
            name
        };
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=by%20attribute,team=x");
        assert_eq!(name(&[]), "token-authority");
        assert_eq!(name(&[attributes]), "by attribute");
        assert_eq!(name(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=")]), "token-authority");
        assert_eq!(name(&[attributes, ("OTEL_SERVICE_NAME", "by-name")]), "by-name");
    }

    #[test]
    fn an_ambiguous_url_is_refused_and_never_quoted() {
        let refusal =
            |url: &str| read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url)]).unwrap_err()[0].to_string();
        for url in [
            "http://app:p@ss@collector:4317",
            "http://app:pa/ss@collector:4317",
            "http://app:pa#ss@collector:4317",
            "http://app:pa?ss@collector:4317",
            "http://app:pa\\ss@collector:4317",
            "http://app:pa ss@collector:4317",
            "http://app:pa%ss@collector:4317",
            "http://app:12/ss@collector:4317",
        ] {
            let text = refusal(url);
            assert!(text.contains("percent-encode"), "{url}: {text}");
            for piece in ["ss@", "pa/", "12/", "app", "collector"] {
                assert!(!text.contains(piece), "{piece}: {text}");
            }
        }
        for url in
            ["app:pass@collector:4317", "collector:4317", "http://", "http://a,b:1", "ftp://a"]
        {
            let text = refusal(url);
            assert!(text.contains("http://127.0.0.1:4317"), "{url}: {text}");
            assert!(!text.contains("pass") && !text.contains("collector"), "{text}");
        }
        assert!(refusal("http://collector:4317\n").contains("a line break"));
        for (password, header) in [
            // printf 'app:p@ss' | base64, and so on.
            ("p%40ss", "Basic YXBwOnBAc3M="),
            ("pa:ss", "Basic YXBwOnBhOnNz"),
            ("p\u{e4}ss", "Basic YXBwOnDDpHNz"),
            ("pa[ss", "Basic YXBwOnBhW3Nz"),
        ] {
            let url = format!("https://app:{password}@collector:4317");
            let encoded = export(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
            assert_eq!(encoded.endpoint, "https://collector:4317/");
            assert_eq!(self::header(&encoded, "authorization"), [header]);
        }
    }
}
