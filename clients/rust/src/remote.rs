//! Asks the service about tokens that cannot be judged here, many in one call.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::error::{Reason, TokenError};
use crate::identity::{Identity, Method, moment};
use crate::target::{Credential, Target};
use crate::unsent::was_never_sent;
use crate::v1::token_authority_service_client::TokenAuthorityServiceClient;
use crate::v1::{AuthMethod, ValidateTokenResponse, ValidateTokensRequest};

/// The most tokens that `ValidateTokens` takes.
const MAX_TOKENS: usize = 1000;
const TIMEOUT: Duration = Duration::from_secs(5);

/// A token that somebody waits for.
#[derive(Debug)]
struct Question {
    token: String,
    audience: String,
    answer: oneshot::Sender<Result<Identity, TokenError>>,
}

/// Where questions are put.
#[derive(Debug, Clone)]
pub(crate) struct Remote(mpsc::UnboundedSender<Question>);

type Client = TokenAuthorityServiceClient<InterceptedService<Channel, Credential>>;

impl Remote {
    /// Questions that come while a call is under way are asked together in the next one. The task ends
    /// when nobody can ask any more.
    pub(crate) fn spawn(target: &Target) -> Self {
        let (sender, mut questions) = mpsc::unbounded_channel::<Question>();
        let (channel, credential) = (target.connect(), target.credential());
        let client = TokenAuthorityServiceClient::with_interceptor(channel, credential);
        tokio::spawn(async move {
            let mut gathered = Vec::new();
            while questions.recv_many(&mut gathered, MAX_TOKENS).await > 0 {
                let mut by_audience: HashMap<String, Vec<Question>> = HashMap::new();
                for question in gathered.drain(..) {
                    by_audience.entry(question.audience.clone()).or_default().push(question);
                }
                for (audience, questions) in by_audience {
                    ask_all(client.clone(), audience, questions).await;
                }
            }
        });
        Self(sender)
    }

    /// Asks about a token.
    pub(crate) async fn ask(&self, token: &str, audience: &str) -> Result<Identity, TokenError> {
        let (answer, answered) = oneshot::channel();
        let question = Question { token: token.to_owned(), audience: audience.to_owned(), answer };
        let unavailable = || TokenError::from(Reason::Unavailable);
        self.0.send(question).map_err(|_| unavailable())?;
        let answered = tokio::time::timeout(TIMEOUT, answered).await;
        answered.map_err(|_| unavailable())?.map_err(|_| unavailable())?
    }
}

async fn ask_all(client: Client, audience: String, questions: Vec<Question>) {
    // Those who have given up need no answer.
    let waiting = questions.into_iter().filter(|question| !question.answer.is_closed());
    let (tokens, answers): (Vec<_>, Vec<_>) =
        waiting.map(|question| (question.token, question.answer)).unzip();
    if tokens.is_empty() {
        return;
    }
    match validate(client, ValidateTokensRequest { tokens, audience }).await {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                // The caller may have given up meanwhile.
                let _ = answer.send(judged(result));
            }
        }
        Err(status) => {
            tracing::warn!(code = ?status.code(), "tokens cannot be validated");
            for answer in answers {
                let _ = answer.send(Err(Reason::Unavailable.into()));
            }
        }
    }
}

/// Asks, and once more if the replica that was asked went away or the call was never sent.
async fn validate(
    mut client: Client,
    request: ValidateTokensRequest,
) -> Result<Vec<ValidateTokenResponse>, Status> {
    let ask = || {
        let mut asked = Request::new(request.clone());
        asked.set_timeout(TIMEOUT);
        asked
    };
    let answered = match client.validate_tokens(ask()).await {
        Err(status) if status.code() == Code::Unavailable || was_never_sent(&status) => {
            client.validate_tokens(ask()).await
        }
        answered => answered,
    };
    Ok(answered?.into_inner().results)
}

/// Reads an answer.
pub(crate) fn judged(result: ValidateTokenResponse) -> Result<Identity, TokenError> {
    if !result.active {
        return Err(Reason::of(result.inactive_reason).into());
    }
    let is_session = result.auth_method == AuthMethod::Session as i32;
    Ok(Identity {
        user_id: result.user_id,
        session_id: Some(result.session_id).filter(|id| !id.is_empty()),
        scopes: result.scopes,
        audience: result.audience,
        claims: result.claims.map(object).unwrap_or_default(),
        expires_at: moment(result.expires_at.unwrap_or_default().seconds),
        method: if is_session { Method::Session } else { Method::Jwt },
    })
}

fn object(object: prost_types::Struct) -> Map<String, Value> {
    object.fields.into_iter().map(|(name, member)| (name, value(member))).collect()
}

fn value(value: prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => value.into(),
        Some(Kind::NumberValue(value)) => value.into(),
        Some(Kind::StringValue(value)) => value.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(self::value).collect(),
        Some(Kind::StructValue(members)) => Value::Object(object(members)),
    }
}

/// The other way round, for the claims of a login.
pub(crate) fn to_struct(object: Map<String, Value>) -> prost_types::Struct {
    let fields = object.into_iter().map(|(name, member)| (name, to_value(member)));
    prost_types::Struct { fields: fields.collect() }
}

fn to_value(value: Value) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => {
            let values = values.into_iter().map(to_value).collect();
            Kind::ListValue(prost_types::ListValue { values })
        }
        Value::Object(members) => Kind::StructValue(to_struct(members)),
    };
    prost_types::Value { kind: Some(kind) }
}
