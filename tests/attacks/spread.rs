//! A new replica gets its share of the calls, because connections end at their age.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use test_support::process::free_port;
use test_support::replica::{Replica, Setup};
use test_support::script::Script;
use test_support::until::until;

use crate::target::add;

const AGE: Duration = Duration::from_secs(2);

/// Serves a name server that answers every question for an address with these (RFC 1035 section 4).
fn serve_names(addresses: Arc<Mutex<Vec<Ipv4Addr>>>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let asked = &question[..length];
            // The name begins after the header and ends with an empty label.
            let name_end = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
            let is_a = asked[name_end..name_end + 2] == [0, 1];
            let known = if is_a { addresses.lock().unwrap().clone() } else { Vec::new() };
            let mut answer = asked[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(known.len()).unwrap(), 0, 0, 0, 0]);
            answer.extend(&asked[12..name_end + 4]);
            for address in known {
                // The name of the question, type A, class IN, no time to live, four bytes.
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
                answer.extend(address.octets());
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

/// How many calls of a caller the replica has answered.
fn answered(replica: &Replica, caller: &str) -> usize {
    let caller = format!("\"caller\":\"{caller}\"");
    replica.log().lines().filter(|line| line.contains(&caller)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_replica_gets_its_share_within_one_age_and_no_call_fails() {
    let port = free_port();
    let replica = |address: &str| {
        Setup::new()
            .set("GRPC_ADDR", &format!("{address}:{port}"))
            .set("GRPC_MAX_CONNECTION_AGE_SECONDS", &AGE.as_secs().to_string())
            .set("CALLERS_FILE", "callers.json")
    };
    let (old, new) = (replica("127.0.0.1"), replica("127.0.0.2"));
    let keys = ["grpcio", "grpc-js"].map(|name| (name, add(&old, name, &["verifier"])));
    let file = |setup: &Setup| setup.folder().join("callers.json");
    std::fs::copy(file(&old), file(&new)).unwrap();
    let old = old.start().await;
    let addresses = Arc::new(Mutex::new(vec![Ipv4Addr::LOCALHOST]));
    let names = serve_names(Arc::clone(&addresses));
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/round_robin.py");
    let node = include_str!("../tools/round_robin.mjs");
    let mut clients = [Script::python(&[python]), Script::node(node)];
    for (client, (_, key)) in clients.iter_mut().zip(&keys) {
        let target = format!("dns://127.0.0.1:{names}/authority.test:{port}");
        client.send(&json!({ "target": target, "key": key }).to_string());
    }
    for (name, _) in &keys {
        until(format_args!("{name} calls"), async || (answered(&old, name) > 20).then_some(()))
            .await;
    }

    let new = new.start().await;
    new.ready().await;
    addresses.lock().unwrap().push(Ipv4Addr::new(127, 0, 0, 2));
    // One age, a tenth more, and the time to connect.
    tokio::time::sleep(AGE * 11 / 10 + Duration::from_secs(1)).await;
    for (client, (name, _)) in clients.iter_mut().zip(&keys) {
        let before = [&old, &new].map(|replica| answered(replica, name));
        let counts = until(format_args!("{name} goes on"), async || {
            let now = [&old, &new].map(|replica| answered(replica, name));
            let since = [now[0] - before[0], now[1] - before[1]];
            (since[0] + since[1] > 100).then_some(since)
        })
        .await;
        assert!(counts.iter().all(|count| *count >= 25), "{name}: {counts:?}");
        let told: Value = serde_json::from_str(&client.ask("end")).unwrap();
        assert_eq!(told["failures"], json!([]), "{name}");
        assert!(told["calls"].as_u64().unwrap() > 100, "{name}: {told}");
    }
}
