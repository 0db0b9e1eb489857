//! Compressed requests, and requests that are not gRPC.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use token_authority::transport::proto::v1::{ValidateTokenRequest, ValidateTokensRequest};
use tonic::Code;
use tonic::codec::CompressionEncoding;

use crate::target::Target;

#[tokio::test(flavor = "multi_thread")]
async fn compressed_requests_are_read_and_bombs_are_refused() {
    let target = Target::start(&[]).await;
    let mut tokens = target.tokens().await.send_compressed(CompressionEncoding::Gzip);
    let ask = ValidateTokenRequest { token: "a".repeat(1000), ..Default::default() };
    assert!(!tokens.validate_token(ask).await.unwrap().into_inner().active);
    let many = ValidateTokensRequest { tokens: vec!["a".repeat(1000); 500], ..Default::default() };
    let answer = tokens.validate_tokens(many).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 500);

    // 16 MiB of one letter are 16 KiB compressed.
    let bomb = ValidateTokenRequest { token: "a".repeat(16 << 20), ..Default::default() };
    let (grown, refused) = target.growth(tokens.validate_token(bomb)).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    assert!(grown < 20, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_types_on_the_grpc_port_are_refused() {
    let target = Target::start(&[]).await;
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let path = "token_authority.v1.TokenAuthorityService/ValidateToken";
    let send = async |kind: Option<&str>| {
        let mut request = http::Request::post(format!("http://{}/{path}", target.service.grpc()));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let request = request.body(Full::new(Bytes::from_static(&[0; 5]))).unwrap();
        client.request(request).await.unwrap().status().as_u16()
    };
    for good in ["application/grpc", "application/grpc+proto", "Application/gRPC; charset=utf-8"] {
        assert_eq!(send(Some(good)).await, 200, "{good}");
    }
    for bad in ["application/json", "text/plain", "application/grpc+json", ""] {
        assert_eq!(send(Some(bad)).await, 415, "{bad}");
    }
    assert_eq!(send(None).await, 415);
}
