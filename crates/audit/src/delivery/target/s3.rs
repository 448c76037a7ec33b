//! A bucket of S3: an object a checkpoint or batch, none ever overwritten, with Object Lock where that is wanted.
//!
//! `object_store` finds credentials as AWS's SDKs do and signs; requests go through the one HTTP client. The lock's
//! headers are part of the signed request, and the checksum is what S3 demands of requests with a lock (Amazon S3 User
//! Guide, "Managing Object Lock").

use std::sync::Arc;

use bytes::Bytes;
use countersign_crypto::{ExposeSecret, Timestamp, sha256};
use countersign_outbound::{Client, Request, Response};
use http::header::{HeaderName, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredentialProvider};
use object_store::client::HttpRequestBody;
use url::Url;

use super::super::config::{LockConfig, S3Config};
use super::{Batch, TargetError, client};

/// What is retained is text; the largest complete checkpoint is far below it.
const MAX_OBJECT: usize = 64 << 20;

pub(in crate::delivery) struct Bucket {
    client: Client,
    /// Of the bucket, with a slash at its end.
    url: Url,
    prefix: String,
    region: String,
    credentials: AwsCredentialProvider,
    lock: Option<LockConfig>,
}

impl Bucket {
    pub(in crate::delivery) fn new(config: &S3Config) -> Result<Self, TargetError> {
        let url = bucket_url(config)?;
        let unusable = |error: object_store::Error| TargetError::Unusable(format!("S3: {error}"));
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region);
        if let (Some(id), Some(secret)) = (&config.access_key_id, &config.secret_access_key) {
            builder = builder
                .with_access_key_id(id)
                .with_secret_access_key(secret.expose_secret());
        }
        let store = builder.build().map_err(unusable)?;
        Ok(Self {
            client: client(&url, None)?,
            url,
            prefix: config.prefix.clone(),
            region: config.region.clone(),
            credentials: Arc::clone(store.credentials()),
            lock: config.lock,
        })
    }

    /// Puts a checkpoint where no other is. One that is there already must be the same.
    pub(super) async fn anchor(&self, batch: &Batch) -> Result<(), TargetError> {
        let key = self.key(batch, batch.number);
        let text = batch.text();
        if self.put(&key, &text, batch).await? {
            return Ok(());
        }
        let found = self.get(&key).await?;
        if found == text.as_bytes() {
            Ok(())
        } else {
            Err(TargetError::Forked(format!("s3 object {key}")))
        }
    }

    /// Puts a batch; one of the same name is the same batch.
    pub(super) async fn export(&self, batch: &Batch) -> Result<(), TargetError> {
        let key = format!("{}{}", self.prefix, batch.name());
        self.put(&key, &batch.text(), batch).await.map(drop)
    }

    /// Whether the bucket has Object Lock.
    pub(in crate::delivery) async fn has_object_lock(&self) -> Result<bool, TargetError> {
        let mut url = self.url.clone();
        url.set_query(Some("object-lock="));
        let answer = self
            .send(Method::GET, url, HeaderMap::new(), Bytes::new())
            .await?;
        match answer.status {
            StatusCode::OK => {
                Ok(String::from_utf8_lossy(&answer.body).contains("<ObjectLockEnabled>Enabled<"))
            }
            // ObjectLockConfigurationNotFoundError
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    fn key(&self, batch: &Batch, number: i64) -> String {
        format!(
            "{}{}/{}-{number:012}.json",
            self.prefix,
            batch.place(),
            batch.role
        )
    }

    /// `false`: there is such an object.
    async fn put(&self, key: &str, text: &str, batch: &Batch) -> Result<bool, TargetError> {
        use base64::Engine as _;
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        let checksum = base64::engine::general_purpose::STANDARD.encode(sha256(text.as_bytes()));
        insert(&mut headers, "x-amz-checksum-sha256", &checksum)?;
        insert(&mut headers, "x-amz-sdk-checksum-algorithm", "SHA256")?;
        insert(&mut headers, "content-type", "application/x-ndjson")?;
        if let Some(lock) = self.lock {
            let until = batch
                .sent_at
                .plus(std::time::Duration::from_secs(u64::from(lock.days) * 86_400));
            insert(&mut headers, "x-amz-object-lock-mode", lock.mode.as_str())?;
            let until = Timestamp::from_secs(until.as_secs()).to_rfc3339();
            insert(&mut headers, "x-amz-object-lock-retain-until-date", &until)?;
        }
        let body = Bytes::from(text.to_owned());
        let answer = self.send(Method::PUT, self.object(key)?, headers, body).await?;
        match answer.status {
            status if status.is_success() => Ok(true),
            StatusCode::PRECONDITION_FAILED => Ok(false),
            _ => Err(refused(&answer)),
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, TargetError> {
        let answer = self
            .send(Method::GET, self.object(key)?, HeaderMap::new(), Bytes::new())
            .await?;
        if answer.status == StatusCode::OK {
            Ok(answer.body)
        } else {
            Err(refused(&answer))
        }
    }

    fn object(&self, key: &str) -> Result<Url, TargetError> {
        self.url
            .join(key)
            .map_err(|error| TargetError::Unusable(format!("S3: {error}")))
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, TargetError> {
        let unusable = |error: &dyn std::fmt::Display| TargetError::Unusable(format!("S3: {error}"));
        let credential = self
            .credentials
            .get_credential()
            .await
            .map_err(|error| unusable(&error))?;
        let mut signed = http::Request::builder()
            .method(method.clone())
            .uri(url.as_str())
            .body(HttpRequestBody::from(body.clone()))
            .map_err(|error| unusable(&error))?;
        *signed.headers_mut() = headers;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut signed, Some(&sha256(&body)))
            .map_err(|error| unusable(&error))?;
        let mut request = Request::new(method, url);
        request.headers = std::mem::take(signed.headers_mut());
        request.max_response_bytes = Some(MAX_OBJECT);
        request.body = body;
        Ok(self.client.send(request).await?)
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, text: &str) -> Result<(), TargetError> {
    let value = HeaderValue::from_str(text)
        .map_err(|_| TargetError::Unusable("a header's value is no text".to_owned()))?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// At AWS the bucket is part of the host, unless a dot in its name would not fit the certificate.
fn bucket_url(config: &S3Config) -> Result<Url, TargetError> {
    let (bucket, region) = (&config.bucket, &config.region);
    let suffix = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    let text = match &config.endpoint {
        Some(endpoint) => format!("{endpoint}{bucket}/"),
        None if bucket.contains('.') => format!("https://s3.{region}.{suffix}/{bucket}/"),
        None => format!("https://{bucket}.s3.{region}.{suffix}/"),
    };
    Url::parse(&text).map_err(|error| TargetError::Unusable(format!("S3: {error}")))
}

/// With S3's own word for it.
fn refused(answer: &Response) -> TargetError {
    let body = String::from_utf8_lossy(&answer.body);
    let code = body
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code)
        .filter(|code| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_alphanumeric()));
    TargetError::Refused {
        place: "S3",
        status: answer.status.as_u16(),
        detail: code.map(|code| format!(": {code}")).unwrap_or_default(),
    }
}
