//! Control frames without end.

use std::time::Duration;

use crate::frames::{
    CONTINUATION, Connection, DATA, End, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    begun, frame, request, unfinished,
};
use crate::target::Target;

const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_control_frames_ends_with_goaway() {
    let target = Target::start(&[]).await;
    let honest = target.honest().await;
    for (name, one) in [
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS of a window", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("an unknown frame", frame(0xfa, 0, 0, &[])),
    ] {
        for address in [target.service.grpc(), target.service.http_addr()] {
            let mut connection = Connection::open(address, 65_535).await.unwrap();
            let many = one.repeat(500);
            let mut sent = 0;
            while sent < 200 && connection.send(&many).await {
                sent += 1;
                if connection.has_goaway().await {
                    break;
                }
            }
            let end = connection.ended(Duration::from_secs(5)).await;
            assert_eq!(end, End::Goaway(ENHANCE_YOUR_CALM), "{name}");
        }
    }
    honest.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn control_frames_beside_requests_are_served() {
    let target = Target::start(&[]).await;
    let mut connection = Connection::open(target.service.http_addr(), 65_535).await.unwrap();
    let ping = frame(PING, 0, 0, &[7; 8]).repeat(3);
    for n in 0..1000 {
        assert!(connection.send(&request(2 * n + 1, "GET", "/healthz")).await);
        assert!(connection.send(&ping).await);
        connection.drain().await;
    }
    assert!(connection.drain().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_within_requests_ends_with_goaway() {
    let target = Target::start(&[]).await;
    let honest = target.honest().await;
    let cancel = [0, 0, 0, 8];
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        [request(stream, "GET", "/healthz"), frame(RST_STREAM, 0, stream, &cancel)].concat()
    };
    for (address, path) in [
        (target.service.grpc(), "/token_authority.v1.TokenAuthorityService/ValidateTokens"),
        (target.service.http_addr(), "/oauth2/introspect"),
    ] {
        let body = unfinished(1, path, &target.key);
        for (name, flood) in [
            ("resets", (0..20_000).flat_map(reset).collect()),
            (
                "header fields",
                [
                    begun(1, "GET", path),
                    frame(CONTINUATION, 0, 1, &[0, 1, 97, 1, 97]).repeat(100_000),
                ]
                .concat(),
            ),
            (
                "no fields",
                [begun(1, "GET", path), frame(CONTINUATION, 0, 1, &[]).repeat(100_000)].concat(),
            ),
            ("single bytes", [&body[..], &frame(DATA, 0, 1, &[0]).repeat(100_000)].concat()),
            ("no bytes", [&body[..], &frame(DATA, 0, 1, &[]).repeat(100_000)].concat()),
        ] {
            let mut connection = Connection::open(address, 65_535).await.unwrap();
            for part in flood.chunks(16_384) {
                if !connection.send(part).await || connection.has_goaway().await {
                    break;
                }
            }
            let end = connection.ended(Duration::from_secs(10)).await;
            assert_eq!(end, End::Goaway(ENHANCE_YOUR_CALM), "{name} at {path}");
        }
    }
    honest.end().await;
}

/// A field of the table costs one byte each time that it is named (RFC 7541 section 7.3).
#[tokio::test(flavor = "multi_thread")]
async fn a_small_head_does_not_become_a_large_one() {
    let target = Target::start(&[]).await;
    let honest = target.honest().await;
    for address in [target.service.grpc(), target.service.http_addr()] {
        let attack = async {
            let mut connection = Connection::open(address, 65_535).await.unwrap();
            let mut large = vec![0x40, 1, 97, 127];
            // 3,000 bytes, as the rest above 127 in groups of seven bits.
            large.extend([0xb9, 0x16]);
            large.extend([b'a'; 3000]);
            large.extend([0x80 | 0x3e].repeat(8000));
            connection
                .send(&[begun(1, "GET", "/healthz"), frame(CONTINUATION, 4, 1, &large)].concat())
                .await;
            for n in 1..200 {
                let named = frame(CONTINUATION, 4, 2 * n + 1, &[0x80 | 0x3e].repeat(12_000));
                if !connection.send(&[begun(2 * n + 1, "GET", "/healthz"), named].concat()).await {
                    break;
                }
            }
            connection.drain().await;
        };
        // All of them would be gigabytes.
        let (grown, ()) = target.growth(attack).await;
        assert!(grown < 20, "{grown} MiB");
    }
    honest.end().await;
}
