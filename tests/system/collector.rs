//! The destination of spans: an OTLP receiver that keeps every span, and a real collector (Rotel)
//! in front of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use test_support::process::{Supervised, await_port, free_port};
use test_support::replica::Setup;
use test_support::tools;
use test_support::until::TIMEOUT;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A running collector. It runs as long as the test's async runtime.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    kept: Kept,
}

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<ExportTraceServiceRequest>>>, Arc<Mutex<Vec<MetadataMap>>>);

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.1.lock().unwrap().push(request.metadata().clone());
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let service = TraceServiceServer::new(kept.clone());
        let service = service.accept_compressed(CompressionEncoding::Gzip);
        let serve =
            Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serve);
        Self { address, kept }
    }

    /// Returns the setup of a service that exports its traces here, shortly after they end.
    pub(crate) fn told_by(&self, setup: Setup) -> Setup {
        telling(setup, self.address)
    }

    /// Returns everything that it received, as raw bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.0.lock().unwrap().iter().flat_map(prost::Message::encode_to_vec).collect()
    }

    /// Returns the values of a header, of all exports.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        let kept = self.kept.1.lock().unwrap();
        let values = kept.iter().flat_map(|metadata| metadata.get_all(name));
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    /// Returns the spans that it received.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let kept = self.kept.0.lock().unwrap();
        let resources = kept.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Returns the resource attributes of the senders.
    pub(crate) fn senders(&self) -> Vec<KeyValue> {
        let kept = self.kept.0.lock().unwrap();
        let resources = kept.iter().flat_map(|request| &request.resource_spans);
        resources.filter_map(|sent| sent.resource.clone()).flat_map(|one| one.attributes).collect()
    }

    /// Waits until the received spans satisfy the condition.
    pub(crate) async fn until(&self, will_do: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let spans = self.spans();
            if will_do(&spans) {
                return spans;
            }
            assert!(Instant::now() < deadline, "the expected spans did not arrive: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A widely used collector, which forwards everything that it understood to a [`Collector`].
#[derive(Debug)]
pub(crate) struct Rotel {
    address: SocketAddr,
    http: SocketAddr,
    _running: Supervised,
}

impl Rotel {
    /// Starts one in front of a collector.
    pub(crate) fn before(collector: &Collector) -> Self {
        let [grpc, http] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let onwards = format!("http://{}", collector.address);
        let agent = tools::path("rotel-agent");
        let folder = Supervised::folder();
        let running = Supervised::start(
            &folder,
            "TERM",
            &[
                agent.to_str().unwrap(),
                "start",
                "--otlp-grpc-endpoint",
                &grpc,
                "--otlp-http-endpoint",
                &http,
                "--batch-timeout",
                "50ms",
                "--exporter",
                "otlp",
                "--otlp-exporter-endpoint",
                &onwards,
                "--otlp-exporter-protocol",
                "grpc",
            ],
        );
        let address: SocketAddr = grpc.parse().unwrap();
        await_port(address.port(), &running);
        Self { address, http: http.parse().unwrap(), _running: running }
    }

    /// Does the same as [`Collector::told_by`], over HTTP.
    pub(crate) fn told_over_http_by(&self, setup: Setup) -> Setup {
        telling(setup, self.http).set("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    }

    /// Does the same as [`Collector::told_by`].
    pub(crate) fn told_by(&self, setup: Setup) -> Setup {
        telling(setup, self.address)
    }
}

/// Returns the setup of a service that exports its traces to an address, shortly after they end.
pub(crate) fn telling(setup: Setup, address: SocketAddr) -> Setup {
    setup
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
        .set("OTEL_BSP_SCHEDULE_DELAY", "50")
}
