//! The log is no longer read: lines are dropped and counted, and no request waits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{ChildStderr, Stdio};

use serde_json::Value;
use test_support::http::Http;
use test_support::process::Supervised;
use test_support::replica::Setup;
use test_support::until::TIMEOUT;

/// How many lines may wait to be read (docs/logging.md): 8 MiB. No line here is longer than 256
/// bytes.
const WAITING: usize = 8 * 1024 * 1024 / 256;
/// Requests with one line of more than 100 bytes each: more than fit into the buffer and the pipe.
const REQUESTS: usize = 100_000;
const CONNECTIONS: usize = 8;
const AT_ONCE: usize = 100;

/// A service whose log is written to a pipe.
struct Unread {
    process: Supervised,
    log: BufReader<ChildStderr>,
    /// Keeps the folder of its data.
    _setup: Setup,
}

impl Unread {
    /// Starts it and reads its log up to the line with its addresses.
    fn start() -> (Self, Value) {
        let setup = Setup::new();
        let mut process = setup.launch(&[], Stdio::piped(), Stdio::null());
        let mut log = BufReader::new(process.child().stderr.take().unwrap());
        let serving = log.by_ref().lines().find_map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            (line["message"] == "serving").then_some(line)
        });
        (Self { process, log, _setup: setup }, serving.expect("it does not serve"))
    }
}

/// Makes that many requests on one connection, some at once, and checks that each is answered.
fn ask(address: SocketAddr, times: usize) {
    const ANSWERED: &[u8] = b"HTTP/1.1 200 OK";
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let asked = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: a\r\n\r\n".repeat(AT_ONCE);
    for _ in 0..times / AT_ONCE {
        stream.write_all(&asked).unwrap();
        let (mut answers, mut count) = (Vec::new(), 0);
        while count < AT_ONCE {
            let mut some = [0; 4096];
            let length = stream.read(&mut some).unwrap();
            assert!(length > 0, "the connection was closed");
            answers.extend_from_slice(&some[..length]);
            count = answers.windows(ANSWERED.len()).filter(|part| *part == ANSWERED).count();
        }
    }
}

async fn dropped(metrics: &Http) -> usize {
    let page = metrics.get("/metrics").await.body;
    let found = page.lines().find_map(|line| line.strip_prefix("log_lines_dropped_total "));
    found.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_loses_lines_and_no_request() {
    let (mut service, serving) = Unread::start();
    let address = |name: &str| serving[name].as_str().unwrap().parse::<SocketAddr>().unwrap();
    let metrics = Http::new(address("metrics"));
    assert_eq!(dropped(&metrics).await, 0);
    let http = address("http");
    let asked = (0..CONNECTIONS)
        .map(|_| tokio::task::spawn_blocking(move || ask(http, REQUESTS / CONNECTIONS)));
    for asked in futures::future::join_all(asked).await {
        asked.unwrap();
    }
    let lost = dropped(&metrics).await;
    assert!(lost > 0 && lost <= REQUESTS - WAITING, "{lost} lines");

    // The shutdown does not wait for a reader, either.
    service.process.signal("TERM");
    service.process.ended("the service").await;
    let read = service.log.by_ref().lines().count();
    assert!(read < REQUESTS - lost, "{read} lines were read: somebody did");
}
