//! Models on Amazon Bedrock, by the Converse API with its event stream.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>
//!
//! Credentials come from the AWS SDK's default chain, or are a Bedrock API key, which goes as a bearer token.

mod answer;
mod request;

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Token;
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::{
    ConverseStreamOutput, InferenceConfiguration, SystemContentBlock, Tool, ToolConfiguration,
};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use countersign_crypto::{ExposeSecret as _, SecretString};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use url::Url;

use super::{Ask, Delta, GRACE, INSTRUCTIONS, InvalidModel, ModelError};
use crate::config::Limits;
use answer::Answer;
use request::{messages, tool, unbuilt};

/// To connect; the answer has the limits' time.
const CONNECT: Duration = Duration::from_secs(10);

/// A model on Amazon Bedrock.
#[derive(Debug)]
pub(crate) struct BedrockModel {
    client: Client,
    /// A model's id, an inference profile's, or the ARN of either.
    id: String,
}

/// An answer that is arriving.
struct Arriving {
    events: EventReceiver,
    answer: Answer,
    ended: bool,
}

type EventReceiver = aws_sdk_bedrockruntime::primitives::event_stream::EventReceiver<
    ConverseStreamOutput,
    aws_sdk_bedrockruntime::types::error::ConverseStreamOutputError,
>;

impl BedrockModel {
    pub(crate) async fn of(
        id: &str,
        url: Option<String>,
        region: Option<&str>,
        api_key: Option<SecretString>,
        limits: &Limits,
    ) -> Result<Self, InvalidModel> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(limits.model_timeout() + GRACE)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            // A turn asks again by itself, and knows whether it may.
            .retry_config(RetryConfig::disabled());
        if let Some(region) = region.or_else(|| region_of(id)) {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if api_key.is_some() {
            loader = loader.no_credentials();
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(InvalidModel::Region);
        }
        let mut config = aws_sdk_bedrockruntime::config::Builder::from(&shared);
        if let Some(url) = url {
            let parsed = Url::parse(&url).map_err(|_| InvalidModel::Form)?;
            if !matches!(parsed.scheme(), "http" | "https") || !parsed.username().is_empty() {
                return Err(InvalidModel::Form);
            }
            config = config.endpoint_url(url.trim_end_matches('/'));
        }
        if let Some(key) = api_key {
            config = config
                .bearer_token(Token::new(key.expose_secret(), None))
                .auth_scheme_preference([AuthSchemeId::from("httpBearerAuth")]);
        }
        Ok(Self {
            client: Client::from_conf(config.build()),
            id: id.to_owned(),
        })
    }

    pub(crate) fn label(&self) -> String {
        // Of an ARN the model or profile at its end; the account is nobody's business.
        let name = self.id.rsplit('/').next().unwrap_or(&self.id);
        format!("{name} (bedrock)")
    }

    pub(crate) fn answer<'a>(&'a self, ask: Ask<'a>) -> BoxStream<'a, Result<Delta, ModelError>> {
        let begun = async move {
            let events = self.begin(ask).await?;
            let arriving = Arriving {
                events,
                answer: Answer::default(),
                ended: false,
            };
            Ok(stream::unfold(arriving, next))
        };
        stream::once(begun)
            .flat_map(|begun: Result<_, ModelError>| match begun {
                Ok(deltas) => deltas.boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }

    async fn begin(&self, ask: Ask<'_>) -> Result<EventReceiver, ModelError> {
        let limit = i32::try_from(ask.output_tokens).unwrap_or(i32::MAX);
        let mut call = self
            .client
            .converse_stream()
            .model_id(&self.id)
            .system(SystemContentBlock::Text(INSTRUCTIONS.to_owned()))
            .set_messages(Some(messages(ask.entries)?))
            .inference_config(InferenceConfiguration::builder().max_tokens(limit).build());
        // An empty list of tools is refused.
        if !ask.tools.is_empty() {
            let tools: Result<Vec<Tool>, ModelError> = ask.tools.iter().map(tool).collect();
            let tools = ToolConfiguration::builder().set_tools(Some(tools?));
            call = call.tool_config(tools.build().map_err(|_| unbuilt("tools"))?);
        }
        let sent = call.send().await.map_err(|error| classified(&error))?;
        Ok(sent.stream)
    }
}

/// `us-east-1` of `arn:aws:bedrock:us-east-1:…`.
fn region_of(id: &str) -> Option<&str> {
    id.strip_prefix("arn:")?
        .split(':')
        .nth(2)
        .filter(|region| !region.is_empty())
}

/// The next piece of an answer; `None` at its end.
async fn next(mut arriving: Arriving) -> Option<(Result<Delta, ModelError>, Arriving)> {
    loop {
        if let Some(delta) = arriving.answer.ready.pop_front() {
            return Some((Ok(delta), arriving));
        }
        if arriving.ended {
            return None;
        }
        let outcome = match arriving.events.recv().await {
            Ok(Some(event)) => arriving.answer.take(event),
            Ok(None) => {
                arriving.ended = true;
                arriving.answer.finish()
            }
            Err(error) => Err(classified(&error)),
        };
        if let Err(error) = outcome {
            arriving.ended = true;
            arriving.answer.ready.clear();
            return Some((Err(error), arriving));
        }
    }
}

/// The kind of failure, by the names of the API's errors. Their messages may quote what was sent.
fn classified<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> ModelError {
    let SdkError::ServiceError(service) = error else {
        return match error {
            SdkError::ResponseError(_) => ModelError::CutShort,
            SdkError::ConstructionFailure(_) => ModelError::Refused("no usable credentials".to_owned()),
            _ => ModelError::Unavailable("no answer".to_owned()),
        };
    };
    let name = service
        .err()
        .code()
        .unwrap_or("an error without a name")
        .to_owned();
    match name.as_str() {
        "ThrottlingException" | "ServiceQuotaExceededException" => ModelError::Busy {
            status: 429,
            after: None,
        },
        "ServiceUnavailableException"
        | "InternalServerException"
        | "ModelNotReadyException"
        | "ModelTimeoutException" => ModelError::Unavailable(name),
        "ModelStreamErrorException" => ModelError::CutShort,
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "ResourceNotFoundException" => ModelError::Refused(name),
        _ => ModelError::Invalid(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_may_stand_in_the_name() {
        let arn = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.vendor.model-v1:0";
        assert_eq!(region_of(arn), Some("eu-west-1"));
        assert_eq!(region_of("vendor.model-v1:0"), None);
    }
}
