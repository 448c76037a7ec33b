//! ACME's requests through the one HTTP client of the product.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use countersign_outbound::{Client, HostPort, Policy, Request};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::config::{AcmeConfig, ConfigError};

/// A client that may reach the ACME server, wherever it is: the operator named it.
pub(super) fn client(config: &AcmeConfig, allow: &[HostPort]) -> Result<Client, ConfigError> {
    let trust_root = config
        .trust_root
        .as_ref()
        .map(std::fs::read)
        .transpose()
        .map_err(|error| ConfigError::new("acme.trust_root", error.to_string()))?;
    let own = HostPort::of(&config.directory_url);
    let policy = Policy {
        allow: allow.iter().cloned().chain(own).collect(),
        trust_root,
        ..Policy::default()
    };
    Client::new(policy).map_err(|error| ConfigError::new("acme.trust_root", error.to_string()))
}

/// See the module.
pub(super) struct Guarded(pub(super) Client);

impl HttpClient for Guarded {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let url = head
                .uri
                .to_string()
                .parse()
                .map_err(|_| Error::Str("the ACME server named an address that is no URL"))?;
            let mut sent = Request::new(head.method, url);
            sent.headers = head.headers;
            let Ok(body) = body.collect().await;
            sent.body = body.to_bytes();
            let answer = client
                .send(sent)
                .await
                .map_err(|error| Error::Other(Box::new(error)))?;
            let mut response = http::Response::new(Full::new(answer.body));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(BytesResponse::from(response))
        })
    }
}
