//! Where conversations lie: a directory, or a bucket of S3 or of what speaks its protocol.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::ExposeSecret as _;
use countersign_outbound::HostPort;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::StoreError;
use crate::config::{Conversations, S3};

/// Of one request to S3.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of one request with its repetitions.
const PATIENCE: Duration = Duration::from_secs(15);

/// Opens it. `allow` are the exceptions of the outbound guard: the only endpoints without TLS.
pub(crate) fn open(storage: &Conversations, allow: &[HostPort]) -> Result<Arc<dyn ObjectStore>, StoreError> {
    match storage {
        Conversations::Directory(path) => directory(path),
        Conversations::S3(s3) => bucket(s3, allow),
    }
}

/// Makes the directory when missing. Only the owner may look into it: what people ask an agent is nobody else's business on
/// a shared machine, though it is sealed.
fn directory(path: &Path) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path).map_err(StoreError::Directory)?;
    let objects = LocalFileSystem::new_with_prefix(path)?.with_automatic_cleanup(true);
    Ok(Arc::new(objects))
}

fn bucket(s3: &S3, allow: &[HostPort]) -> Result<Arc<dyn ObjectStore>, StoreError> {
    // Credentials come from the AWS variables, a web identity, the container's or the instance's role, in that order.
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&s3.bucket)
        .with_region(&s3.region)
        .with_retry(RetryConfig {
            max_retries: 3,
            retry_timeout: PATIENCE,
            ..RetryConfig::default()
        });
    let mut options = ClientOptions::new()
        .with_timeout(TIMEOUT)
        .with_connect_timeout(Duration::from_secs(5));
    if let Some(endpoint) = &s3.endpoint {
        if endpoint.scheme() == "http" {
            let excepted = HostPort::of(endpoint).is_some_and(|to| allow.contains(&to));
            if !excepted {
                return Err(StoreError::Plaintext);
            }
            options = options.with_allow_http(true);
        }
        builder = builder
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(false);
    }
    if let (Some(id), Some(secret)) = (&s3.access_key_id, &s3.secret_access_key) {
        builder = builder
            .with_access_key_id(id)
            .with_secret_access_key(secret.expose_secret());
    }
    let objects = builder.with_client_options(options).build()?;
    let prefix = ObjectPath::parse(s3.prefix.trim_matches('/')).map_err(|_| StoreError::Prefix)?;
    Ok(Arc::new(PrefixStore::new(objects, prefix)))
}
