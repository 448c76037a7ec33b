//! A root key in AWS KMS: keys are encrypted there (`Encrypt`, `Decrypt`), with the encryption context in KMS's own log.
//! Credentials, and an endpoint in `AWS_ENDPOINT_URL_KMS`, come from the AWS SDK's default chain.
//!
//! It refuses aliases, since they can be pointed elsewhere, and keys that are not symmetric or not of one region.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyState};
use countersign_crypto::{BoxFuture, EncryptionContext, KeyProvider, KeyProviderError, SecretBytes};

/// How long a call may take with all its attempts.
const PATIENCE: Duration = Duration::from_secs(10);
/// What `AgentCore` Identity names the token vault's ARN by, so that key policies written for it hold here too.
const TOKEN_VAULT_ARN: &str = "aws-crypto-ec:aws:bedrock-agentcore-identity:token-vault-arn";

/// Encrypts keys under a KMS key.
#[derive(Debug)]
pub struct KmsKeyProvider {
    client: Client,
    key_arn: String,
}

impl KmsKeyProvider {
    /// Looks the key up, so that a wrong one is found at the start. The caller needs `kms:DescribeKey`, `kms:Encrypt` and
    /// `kms:Decrypt` for it.
    ///
    /// # Errors
    /// [`KeyProviderError::Refused`] when `key_arn` is not `arn:PARTITION:kms:REGION:ACCOUNT:key/ID` or the key is not
    /// an enabled symmetric one of a single region; [`KeyProviderError::Unavailable`] when KMS does not answer.
    pub async fn open(key_arn: &str) -> Result<Self, KeyProviderError> {
        let region = region_of(key_arn).ok_or_else(|| {
            refused("key_arn is arn:PARTITION:kms:REGION:ACCOUNT:key/ID; aliases are refused")
        })?;
        let timeouts = TimeoutConfig::builder().operation_timeout(PATIENCE).build();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .timeout_config(timeouts)
            .load()
            .await;
        let provider = Self {
            client: Client::new(&config),
            key_arn: key_arn.to_owned(),
        };
        provider.check().await?;
        Ok(provider)
    }

    /// Whether KMS knows the key, and it is one that can be used now.
    pub(crate) async fn check(&self) -> Result<(), KeyProviderError> {
        let described = self.client.describe_key().key_id(&self.key_arn).send().await;
        let described = described.map_err(|error| classified(&error))?;
        let key = described
            .key_metadata
            .ok_or_else(|| refused("KMS describes no key"))?;
        if key.arn.as_deref() != Some(&self.key_arn) {
            return Err(refused("KMS describes another key"));
        }
        // A key of this specification has no other use than encryption.
        if key.key_spec != Some(KeySpec::SymmetricDefault) || key.multi_region == Some(true) {
            return Err(refused("the KMS key is not a symmetric key of a single region"));
        }
        match key.key_state {
            Some(KeyState::Enabled) => Ok(()),
            state => Err(refused(format!("the KMS key is not enabled: {state:?}"))),
        }
    }
}

impl KeyProvider for KmsKeyProvider {
    fn key_id(&self) -> String {
        self.key_arn.clone()
    }

    fn wrap<'a>(
        &'a self,
        key: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Vec<u8>, KeyProviderError>> {
        Box::pin(async move {
            let call = self.client.encrypt().key_id(&self.key_arn);
            let call = call.set_encryption_context(Some(kms_context(context)));
            let encrypted = call.plaintext(Blob::new(key)).send().await;
            let encrypted = encrypted.map_err(|error| classified(&error))?;
            let blob = encrypted.ciphertext_blob;
            Ok(blob
                .ok_or_else(|| refused("KMS gave no ciphertext"))?
                .into_inner())
        })
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<SecretBytes, KeyProviderError>> {
        Box::pin(async move {
            // With its id, so that KMS refuses what any other key encrypted.
            let call = self.client.decrypt().key_id(&self.key_arn);
            let call = call.set_encryption_context(Some(kms_context(context)));
            let decrypted = call.ciphertext_blob(Blob::new(wrapped)).send().await;
            let decrypted = decrypted.map_err(|error| classified(&error))?;
            let blob = decrypted.plaintext;
            Ok(blob
                .ok_or_else(|| refused("KMS gave no plaintext"))?
                .into_inner()
                .into())
        })
    }
}

fn kms_context(context: &EncryptionContext) -> std::collections::HashMap<String, String> {
    let mut entries: std::collections::HashMap<_, _> = context
        .entries()
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if context.entries().get("countersign:purpose").map(String::as_str) == Some("vault")
        && let Some(vault) = context.entries().get("countersign:resource")
    {
        entries.insert(TOKEN_VAULT_ARN.to_owned(), vault.clone());
    }
    entries
}

/// The region of a KMS key's ARN.
fn region_of(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "kms", region, account, key] = parts[..] else {
        return None;
    };
    let id = key.strip_prefix("key/")?;
    let account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let id = !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (partition.starts_with("aws") && !region.is_empty() && account && id).then_some(region)
}

/// What may pass by itself, told apart from what an operator has to mend. SDK errors hold neither plaintext nor
/// credentials.
fn classified<E, R>(error: &SdkError<E, R>) -> KeyProviderError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    const PASSING: [&str; 6] = [
        "ThrottlingException",
        "KMSInternalException",
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestLimitExceeded",
    ];
    let text = DisplayErrorContext(error).to_string();
    match error {
        SdkError::ServiceError(service) => match service.err().code() {
            Some(code @ "NotFoundException") => KeyProviderError::Gone(answer(code, service.err())),
            Some(code) if !PASSING.contains(&code) => KeyProviderError::Refused(answer(code, service.err())),
            Some(code) => KeyProviderError::Unavailable(answer(code, service.err())),
            None => KeyProviderError::Unavailable(text),
        },
        SdkError::ConstructionFailure(_) => KeyProviderError::Refused(text),
        _ => KeyProviderError::Unavailable(text),
    }
}

/// What KMS answered, in one line: the SDK's own words have the whole answer in them.
fn answer(code: &str, error: &impl ProvideErrorMetadata) -> String {
    let message = error.message().unwrap_or("no further word");
    let mend = match code {
        "AccessDeniedException" => {
            "; the role or user that calls needs kms:DescribeKey, kms:Encrypt and kms:Decrypt for this key, and the key's \
             policy may not deny them"
        }
        "NotFoundException" => "; is the account right, and the region?",
        "DisabledException" | "KMSInvalidStateException" => {
            "; is the key enabled, and not waiting to be deleted?"
        }
        _ => "",
    };
    format!("AWS KMS answers {code}: {message}{mend}")
}

fn refused(text: impl Into<String>) -> KeyProviderError {
    KeyProviderError::Refused(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_keys_own_arn_is_taken() {
        let good = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        assert_eq!(region_of(good), Some("eu-west-1"));
        assert_eq!(
            region_of("arn:aws-cn:kms:cn-north-1:111122223333:key/mrk"),
            Some("cn-north-1")
        );
        for bad in [
            "",
            "alias/countersign",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:eu-west-1:111122223333:alias/countersign",
            "arn:aws:kms:eu-west-1:11112222333:key/1",
            "arn:aws:kms::111122223333:key/1",
            "arn:aws:s3:eu-west-1:111122223333:key/1",
            "arn:aws:kms:eu-west-1:111122223333:key/",
            "arn:aws:kms:eu-west-1:111122223333:key/1:2",
        ] {
            assert_eq!(region_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_vaults_arn_has_the_name_that_key_policies_know() {
        let vault = "arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/default";
        let context = EncryptionContext::default()
            .with("countersign:purpose", "vault")
            .with("countersign:resource", vault);
        assert_eq!(kms_context(&context)[TOKEN_VAULT_ARN], vault);
        let context = context.with("countersign:purpose", "session");
        assert!(!kms_context(&context).contains_key(TOKEN_VAULT_ARN));
    }
}
