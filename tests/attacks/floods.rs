//! Control frames without end.

use std::time::Duration;

use crate::frames::{Connection, End, PING, PRIORITY, SETTINGS, WINDOW_UPDATE, frame, request};
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
