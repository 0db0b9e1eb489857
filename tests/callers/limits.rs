//! The limits of a request, a connection and a client address.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use http::uri::PathAndQuery;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::Channel;

use crate::authority::House;
use crate::rpc::{self, Raw, VALIDATE};
use crate::web;

#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_message_is_refused_and_the_next_is_served() {
    let house = House::new();
    let key = house.add("api", "verifier");
    let authority = house.start(&[]);
    let channel = rpc::connect(authority.grpc).await;
    for path in [VALIDATE, "/grpc.health.v1.Health/Check"] {
        let oversize = Bytes::from(vec![0; 4 * 1024 * 1024 + 1]);
        let refused = rpc::unary(&channel, path, Some(&key), oversize).await;
        assert_eq!(rpc::reason(&refused).0, Code::OutOfRange, "{refused:?}");
    }
    // Clients without a caller may send much less.
    let health = "/grpc.health.v1.Health/Check";
    let refused = rpc::unary(&channel, health, None, vec![0; 65 * 1024].into()).await;
    assert_eq!(rpc::reason(&refused).0, Code::OutOfRange, "{refused:?}");
    assert!(rpc::unary(&channel, VALIDATE, Some(&key), Bytes::new()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn overlong_heads_are_refused() {
    let house = House::new();
    let key = house.add("api", "verifier");
    let authority = house.start(&[]);
    let fits = "x".repeat(20 * 1024);
    assert_eq!(web::send(authority.http, "GET", "/healthz", &[("x-big", &fits)]).status, 200);
    let long = "x".repeat(40 * 1024);
    assert_eq!(web::send(authority.http, "GET", "/healthz", &[("x-big", &long)]).status, 431);

    let channel = rpc::connect(authority.grpc).await;
    let mut request = rpc::signed(Bytes::new(), Some(&key));
    request.metadata_mut().insert("x-big", long.parse().unwrap());
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let path = PathAndQuery::from_static(VALIDATE);
    assert!(grpc.unary(request, path, Raw).await.is_err());
    let channel = rpc::connect(authority.grpc).await;
    assert!(rpc::unary(&channel, VALIDATE, Some(&key), Bytes::new()).await.is_ok());
}

#[test]
fn who_dawdles_over_a_head_is_cut_off() {
    let house = House::new();
    let authority = house.start_with(&[("IDLE_TIMEOUT_SECONDS", "1")]);
    let mut slow = web::open(authority.http);
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    let mut all = Vec::new();
    // This ends only if the server closes the connection. It may send a reason first.
    slow.read_to_end(&mut all).unwrap();
    assert!(!String::from_utf8_lossy(&all).contains(" 200 "));
    assert_eq!(web::send(authority.http, "GET", "/healthz", &[]).status, 200);
}

/// Sends a request whose message never comes. Returns how it ended.
async fn hold_a_place(channel: Channel, key: String) -> (Code, String) {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let request = rpc::signed(futures::stream::pending::<Bytes>(), Some(&key));
    let path = PathAndQuery::from_static(VALIDATE);
    rpc::reason(&grpc.streaming(request, path, Raw).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_too_many_is_refused_at_once_and_a_slow_one_in_time() {
    let house = House::new();
    let key = house.add("api", "verifier");
    let limits = [("MAX_CONCURRENT_REQUESTS", "1"), ("REQUEST_TIMEOUT_SECONDS", "2")];
    let authority = house.start(&limits);
    let channel = rpc::connect(authority.grpc).await;
    assert!(rpc::unary(&channel, VALIDATE, Some(&key), Bytes::new()).await.is_ok());

    let refused = (Code::ResourceExhausted, "RATE_LIMITED".to_owned());
    let (held, shed) = loop {
        let held = tokio::spawn(hold_a_place(channel.clone(), key.clone()));
        let mut shed = rpc::unary(&channel, VALIDATE, Some(&key), Bytes::new()).await;
        while shed.is_ok() && !held.is_finished() {
            tokio::task::yield_now().await;
            shed = rpc::unary(&channel, VALIDATE, Some(&key), Bytes::new()).await;
        }
        if shed.is_err() {
            break (held, shed);
        }
        // It arrived while another request held the only slot.
        assert_eq!(held.await.unwrap(), refused);
    };
    assert_eq!(rpc::reason(&shed), refused);
    let health = "/grpc.health.v1.Health/Check";
    assert!(rpc::unary(&channel, health, None, Bytes::new()).await.is_ok(), "a probe is not load");
    assert_eq!(web::send(authority.http, "GET", "/readyz", &[]).status, 200);

    assert_eq!(held.await.unwrap().0, Code::DeadlineExceeded);
    assert!(rpc::unary(&channel, VALIDATE, Some(&key), Bytes::new()).await.is_ok(), "room again");
}

fn refresh_for(authority: &crate::authority::Authority, client: &str) -> web::Answer {
    let headers = [("X-Forwarded-For", client)];
    web::send(authority.http, "POST", "/api/auth/refresh", &headers)
}

#[test]
fn a_forwarding_header_counts_only_from_a_trusted_proxy() {
    let house = House::new();
    let limit = ("RATE_LIMIT_PER_CLIENT", "1/3");
    let authority = house.start_with(&[limit]);
    let statuses: Vec<_> =
        (0..10).map(|n| refresh_for(&authority, &format!("192.0.2.{n}")).status).collect();
    assert_eq!(statuses[..3], [401; 3]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
    let limited = (0..10).map(|_| refresh_for(&authority, "192.0.2.1"));
    let limited = limited.into_iter().find(|answer| answer.status == 429).unwrap();
    assert!(limited.head.contains("\r\nretry-after: 1"), "{}", limited.head);
    assert_eq!(web::send(authority.http, "GET", "/healthz", &[]).status, 200, "a probe");
    drop(authority);

    let house = House::new();
    let authority = house.start_with(&[limit, ("TRUSTED_PROXIES", "127.0.0.0/8")]);
    for n in 0..10 {
        assert_eq!(refresh_for(&authority, &format!("192.0.2.{n}")).status, 401);
    }
    let statuses: Vec<_> = (0..10).map(|_| refresh_for(&authority, "192.0.2.77").status).collect();
    assert!(statuses.contains(&429), "{statuses:?}");
}
