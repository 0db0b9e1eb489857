//! Client certificates, and the replacement of certificates, keys and callers while the service
//! runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use test_support::until::{until, until_blocking};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::Code;

use crate::authority::{Authority, House};
use crate::certificates::{self, Leaf, Root};
use crate::rpc::{self, VALIDATE};

const UNAUTHENTICATED: &str = "CALLER_UNAUTHENTICATED";

/// A folder with TLS files, to which a link points, as Kubernetes mounts them.
struct Secured {
    house: House,
    servers: Root,
    clients: Root,
}

impl Secured {
    fn new() -> Self {
        let secured = Self { house: House::new(), servers: Root::new(), clients: Root::new() };
        std::fs::write(secured.house.path("clients.pem"), &secured.clients.pem).unwrap();
        secured.mount("one", &secured.servers.sign(&["authority.internal"]));
        secured
    }

    /// Replaces the certificate by swapping the link.
    fn mount(&self, version: &str, leaf: &Leaf) {
        leaf.write(&self.house.path(version));
        let link = self.house.path("link.new");
        std::os::unix::fs::symlink(version, &link).unwrap();
        std::fs::rename(&link, self.house.path("live")).unwrap();
    }

    fn start(&self) -> Authority {
        let (certificate, key) = (self.house.text("live/tls.crt"), self.house.text("live/tls.key"));
        let clients = self.house.text("clients.pem");
        self.house.start(&[
            ("TLS_CERT", &certificate),
            ("TLS_KEY", &key),
            ("TLS_CLIENT_CA", &clients),
        ])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_names_its_caller() {
    let secured = Secured::new();
    let (house, root) = (&secured.house, &secured.servers.pem);
    let key = house.add("by-key", "verifier");
    house.callers(&["add", "by-dns", "--role", "verifier", "--san", "API.internal", "--no-key"]);
    house.callers(&["add", "by-uri", "--role", "admin", "--san", "spiffe://p/ops", "--no-key"]);
    let authority = secured.start();
    let sign = |names: &[&str]| secured.clients.sign(names);
    let dns = sign(&["other.internal", "api.internal"]);
    let (uri, unknown) = (sign(&["spiffe://p/ops"]), sign(&["unknown.internal"]));
    let ok = (Code::Ok, String::new());
    let stranger = (Code::Unauthenticated, UNAUTHENTICATED.to_owned());
    for (leaf, key, expected) in [
        (Some(&dns), None, ok.clone()),
        (Some(&uri), None, (Code::PermissionDenied, "CALLER_FORBIDDEN".to_owned())),
        (Some(&unknown), None, stranger.clone()),
        (Some(&unknown), Some(key.as_str()), ok.clone()),
        (Some(&dns), Some("tak_wrong"), stranger.clone()),
        (None, Some(key.as_str()), ok),
        (None, None, stranger),
    ] {
        let channel = certificates::connect(authority.grpc, root, leaf).await.unwrap();
        let answer = rpc::unary(&channel, VALIDATE, key, Bytes::new()).await;
        assert_eq!(rpc::reason(&answer), expected, "{leaf:?}");
    }

    // With another issuer, the handshake fails.
    let forged = Root::new().sign(&["api.internal"]);
    let refused = match certificates::connect(authority.grpc, root, Some(&forged)).await {
        Err(_) => true,
        Ok(channel) => rpc::unary(&channel, VALIDATE, None, Bytes::new()).await.is_err(),
    };
    assert!(refused);
    // Plain text is refused as well.
    let plain = tonic::transport::Endpoint::from_shared(format!("http://{}", authority.grpc));
    let plain = plain.unwrap().connect_lazy();
    assert!(rpc::unary(&plain, VALIDATE, Some(&key), Bytes::new()).await.is_err());

    for protocol in ["http/1.1", "h2"] {
        let stream = certificates::handshake(authority.http, root, protocol.as_bytes()).await;
        assert_eq!(stream.unwrap().get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    }
    let (grpc, certificate) = (authority.grpc.to_string(), house.text("live/tls.crt"));
    let key = house.text("live/tls.key");
    let settings = [("GRPC_ADDR", grpc.as_str()), ("TLS_CERT", &certificate), ("TLS_KEY", &key)];
    let health = house.run(&["health"], &settings);
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));

    let mut stream = certificates::handshake(authority.http, root, b"http/1.1").await.unwrap();
    let ask = b"GET /healthz HTTP/1.1\r\nHost: authority.internal\r\nConnection: close\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_over_http2_is_at_home_and_the_metadata_says_https() {
    let secured = Secured::new();
    secured.house.callers(&["add", "x", "--role", "issuer"]);
    let authority = secured.start();
    let stream = certificates::handshake(authority.http, &secured.servers.pem, b"h2").await;
    let io = TokioIo::new(stream.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |method: &str, path: &str, origin: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://authority.internal{path}"))
            .header("origin", origin)
            .body(Body::empty())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(Body::new(answer.into_body()), 65_536).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    };
    let logout = "/api/auth/logout";
    assert_eq!(ask("POST", logout, "https://authority.internal").await.0, 204);
    assert_eq!(ask("POST", logout, "https://evil.example").await.0, 403);
    let metadata = ask("GET", "/.well-known/oauth-authorization-server", "").await.1;
    assert!(metadata.contains("\"https://authority.internal/oauth2/introspect\""), "{metadata}");
}

/// Makes calls until `stop`, on one old connection and on new ones. Returns the number of calls,
/// and the first failure.
struct Load {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<Result<(), tonic::Status>>,
}

impl Load {
    async fn begin(authority: &Authority, root: &str, key: &str) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (address, root, key) = (authority.grpc, root.to_owned(), key.to_owned());
        let old = certificates::connect(address, &root, None).await.unwrap();
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&made));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let new = certificates::connect(address, &root, None).await;
                let new = new.map_err(|error| tonic::Status::unavailable(format!("{error:?}")))?;
                for channel in [&old, &new] {
                    rpc::unary(channel, VALIDATE, Some(&key), Bytes::new()).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        Self { stop, made, task }
    }

    /// Waits until a few more calls were made.
    async fn go_on(&self) {
        let before = self.made.load(Ordering::Relaxed);
        while self.made.load(Ordering::Relaxed) < before + 20 && !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    async fn end(self) {
        self.go_on().await;
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.task.await.unwrap();
        assert!(failed.is_ok(), "a call failed: {failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_certificate_is_shown_and_no_call_fails() {
    let secured = Secured::new();
    let key = secured.house.add("api", "verifier");
    let authority = secured.start();
    let load = Load::begin(&authority, &secured.servers.pem, &key).await;
    load.go_on().await;

    // A pair that does not match is ignored, and the problem is logged.
    let next = secured.servers.sign(&["authority.internal"]);
    let other = secured.servers.sign(&["authority.internal"]);
    secured.mount("broken", &Leaf { key: other.key, ..next.clone() });
    until_blocking("the broken pair is logged", || {
        told(&authority, "cannot load changed files").then_some(())
    });
    load.go_on().await;

    secured.mount("two", &next);
    eventually("the new certificate is shown", async || {
        let stream = certificates::handshake(authority.grpc, &secured.servers.pem, b"h2").await;
        stream.unwrap().get_ref().1.peer_certificates().unwrap()[0] == next.der()
    })
    .await;
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_of_client_certificates_are_replaced() {
    let secured = Secured::new();
    let root = &secured.servers.pem;
    let name = ["add", "api", "--role", "verifier", "--san", "api.internal", "--no-key"];
    secured.house.callers(&name);
    let authority = secured.start();
    let (old, new) = (secured.clients.sign(&["api.internal"]), Root::new());
    let later = new.sign(&["api.internal"]);
    let may =
        async |leaf: &Leaf| match certificates::connect(authority.grpc, root, Some(leaf)).await {
            Ok(channel) => rpc::unary(&channel, VALIDATE, None, Bytes::new()).await.is_ok(),
            Err(_) => false,
        };
    assert!(may(&old).await && !may(&later).await);
    std::fs::write(secured.house.path("clients.pem"), &new.pem).unwrap();
    eventually("the new root is trusted", async || may(&later).await).await;
    assert!(!may(&old).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_come_and_go_without_a_restart() {
    let secured = Secured::new();
    let (house, root) = (&secured.house, &secured.servers.pem);
    let steady = house.add("steady", "verifier");
    let authority = secured.start();
    let load = Load::begin(&authority, root, &steady).await;
    let channel = certificates::connect(authority.grpc, root, None).await.unwrap();
    let answer = async |key: &str| {
        rpc::reason(&rpc::unary(&channel, VALIDATE, Some(key), Bytes::new()).await).1
    };

    let key = house.add("newcomer", "verifier");
    eventually("the new caller may call", async || answer(&key).await.is_empty()).await;
    let kept = std::fs::read(house.path("callers.json")).unwrap();
    replace(&house.path("callers.json"), b"{ not JSON");
    until_blocking("the broken file is logged", || {
        told(&authority, "cannot load changed files").then_some(())
    });
    assert_eq!(answer(&key).await, "", "the old file stays in effect");
    replace(&house.path("callers.json"), &kept);
    house.callers(&["remove", "newcomer"]);
    eventually("the new caller is removed", async || !answer(&key).await.is_empty()).await;
    assert_eq!(answer(&key).await, UNAUTHENTICATED);
    load.end().await;
}

async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    until(what, async || ask().await.then_some(())).await;
}

fn replace(path: &Path, bytes: &[u8]) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, bytes).unwrap();
    std::fs::rename(draft, path).unwrap();
}

fn told(authority: &Authority, what: &str) -> bool {
    let is_it = |line: &serde_json::Value| {
        line["level"] == "ERROR" && line["message"].as_str().is_some_and(|m| m.contains(what))
    };
    authority.log().iter().any(is_it)
}
