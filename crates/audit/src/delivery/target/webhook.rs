//! Signed HTTPS requests by the Standard Webhooks specification: `webhook-id` is the same whenever a batch is sent, so
//! that a receiver can tell a repetition; `webhook-signature` is HMAC-SHA-256 over `id.timestamp.body`.

use countersign_crypto::{ExposeSecret, SecretString, hmac_sha256};
use countersign_outbound::{Client, Request};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use url::Url;

use super::super::config::WebhookConfig;
use super::{Batch, TargetError, client};

const PREFIX: &str = "whsec_";

/// The bytes of a secret in the specification's form.
pub(in crate::delivery) fn key(secret: &SecretString) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let text = secret.expose_secret().strip_prefix(PREFIX)?;
    let key = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

pub(in crate::delivery) struct Webhook {
    client: Client,
    url: Url,
    secrets: Vec<SecretString>,
    authorization: Option<SecretString>,
}

impl Webhook {
    pub(super) fn new(config: &WebhookConfig) -> Result<Self, TargetError> {
        let trust_root = match &config.trust_root {
            None => None,
            Some(path) => {
                let read = std::fs::read(path);
                Some(read.map_err(TargetError::io(path.display().to_string()))?)
            }
        };
        let secrets = std::iter::once(&config.secret).chain(&config.previous_secret);
        Ok(Self {
            client: client(&config.url, trust_root)?,
            url: config.url.clone(),
            secrets: secrets.cloned().collect(),
            authorization: config.authorization.clone(),
        })
    }

    /// Taken is what is answered with 2xx.
    pub(super) async fn post(&self, batch: &Batch) -> Result<(), TargetError> {
        let body = batch.text();
        // The time at which it is sent: the receiver refuses old ones, and a repetition is sent anew.
        let at = batch.sent_at.as_secs();
        let signature = self.signatures(&batch.id, at, &body);
        let mut request = Request::post(self.url.clone())
            .header(HeaderName::from_static("webhook-id"), value(&batch.id)?)
            .header(
                HeaderName::from_static("webhook-timestamp"),
                HeaderValue::from(at),
            )
            .header(HeaderName::from_static("webhook-signature"), value(&signature)?)
            .header(
                HeaderName::from_static("countersign-repeated"),
                HeaderValue::from_static(if batch.repeated { "true" } else { "false" }),
            )
            .body(HeaderValue::from_static("application/x-ndjson"), body);
        if let Some(authorization) = &self.authorization {
            let mut authorization = value(authorization.expose_secret())?;
            authorization.set_sensitive(true);
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = self.client.send(request).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(TargetError::Refused {
            place: "the webhook",
            status: answer.status.as_u16(),
            detail: String::new(),
        })
    }

    /// One for each secret, so that a receiver may change from one to the next.
    fn signatures(&self, id: &str, at: i64, body: &str) -> String {
        use base64::Engine as _;
        let signed = format!("{id}.{at}.{body}");
        let signatures = self.secrets.iter().filter_map(key).map(|key| {
            let mac = hmac_sha256(&key, signed.as_bytes());
            format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(mac))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn value(text: &str) -> Result<HeaderValue, TargetError> {
    HeaderValue::from_str(text).map_err(|_| TargetError::Unusable("a header's value is no text".to_owned()))
}
