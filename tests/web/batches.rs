//! A batch of tokens with an answer that is too large for clients is refused before the work. The
//! error states how many tokens fit.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use token_authority::transport::proto::v1::{IssueTokensRequest, ValidateTokensRequest};
use tonic::Code;
use tonic_types::StatusExt as _;

use test_support::replica::{Replica, Setup};

/// Claims that are small as JSON and large as protobuf.
fn wide_claims() -> Struct {
    let zero = Value { kind: Some(Kind::NumberValue(0.0)) };
    let list = Value { kind: Some(Kind::ListValue(ListValue { values: vec![zero; 1900] })) };
    Struct { fields: [("c".to_owned(), list)].into_iter().collect() }
}

async fn token(service: &Replica) -> String {
    let ask = IssueTokensRequest {
        user_id: "alice".into(),
        claims: Some(wide_claims()),
        ..Default::default()
    };
    service.tokens().issue_tokens(ask).await.unwrap().into_inner().access_token
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_that_fits_is_told_and_fits() {
    for jwt_enabled in ["true", "false"] {
        let service = Setup::new().set("JWT_AUTH_ENABLED", jwt_enabled).start().await;
        let token = token(&service).await;
        let batch = |count: usize| ValidateTokensRequest {
            tokens: vec![token.clone(); count],
            ..Default::default()
        };
        let refused = service.tokens().validate_tokens(batch(400)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let details = refused.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "INVALID_FIELD");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "tokens");
        let words = refused.message().split(' ').filter_map(|word| word.parse::<usize>().ok());
        let fits = words.max().unwrap();
        assert!((100..400).contains(&fits), "{}", refused.message());
        let answer = service.tokens().validate_tokens(batch(fits)).await.unwrap().into_inner();
        assert!(answer.results.len() == fits && answer.results.iter().all(|one| one.active));
        assert!(answer.encoded_len() <= 4 * 1024 * 1024);
    }
}
