//! `token-authority health`: asks the process on this machine whether it serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(config: Config) -> Result<(), String> {
    let address = reachable(config.grpc_addr);
    let asked = tokio::time::timeout(PATIENCE, ask(address)).await;
    asked.unwrap_or_else(|_| Err("no answer in time".into()))
}

async fn ask(address: SocketAddr) -> Result<(), String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let channel = endpoint.map_err(|error| error.to_string())?.connect().await;
    let channel = channel.map_err(|_| format!("nothing answers on {address}"))?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| format!("{address}: {}", status.code()))?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        status => Err(format!("{address}: {}", status.as_str_name())),
    }
}

/// Where a process that listens on every interface is reached from its own machine.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn every_interface_means_this_one() {
        let of = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:50051"), "127.0.0.1:50051");
        assert_eq!(of("[::]:50051"), "[::1]:50051");
        assert_eq!(of("10.0.0.1:50051"), "10.0.0.1:50051");
    }
}
