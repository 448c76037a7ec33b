//! Tags of resources: found by ARN, for the tag operations and for `aws:ResourceTag` in policies.

use std::collections::BTreeMap;

use countersign_api::Arn;
use countersign_db::DbError;

use crate::state::Shared;
use crate::store::tag::{self, Taggable};

/// What `arn` names, if it is in `account` and `region` and of a kind that has tags. Only the exact form is read:
/// what is left of an ARN that was encoded twice names nothing.
pub(crate) fn taggable(arn: &Arn, region: &str, account: &str) -> Option<Taggable> {
    let ours = arn.partition == "aws"
        && arn.service == "bedrock-agentcore"
        && arn.region == region
        && arn.account == account;
    if !ours {
        return None;
    }
    let segments: Vec<&str> = arn.resource.split('/').collect();
    let name = |name: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        (!name.is_empty() && name.bytes().all(plain)).then(|| (*name).to_owned())
    };
    match segments.as_slice() {
        ["workload-identity-directory", "default"] => Some(Taggable::Directory),
        ["token-vault", "default"] => Some(Taggable::TokenVault),
        [
            "workload-identity-directory",
            "default",
            "workload-identity",
            workload,
        ] => name(workload).map(Taggable::WorkloadIdentity),
        ["token-vault", "default", "oauth2credentialprovider", provider] => {
            name(provider).map(Taggable::Oauth2Provider)
        }
        ["token-vault", "default", "apikeycredentialprovider", provider] => {
            name(provider).map(Taggable::ApiKeyProvider)
        }
        _ => None,
    }
}

/// The tags of a resource for a policy's conditions; none for what has none or does not exist.
pub(crate) async fn of(
    state: &Shared,
    account: &str,
    arn: &Arn,
) -> Result<BTreeMap<String, String>, DbError> {
    let Some(subject) = taggable(arn, &state.config.region, account) else {
        return Ok(BTreeMap::new());
    };
    // What is read at every call for tokens is in the cache already.
    let cached = match &subject {
        Taggable::WorkloadIdentity(name) => {
            let workload = state.cache.workload_identity(account, name).await?;
            workload.map(|workload| workload.tags.clone())
        }
        Taggable::Oauth2Provider(name) => {
            let provider = state.cache.provider(account, name).await?;
            provider.map(|provider| provider.tags.clone())
        }
        Taggable::Directory | Taggable::TokenVault | Taggable::ApiKeyProvider(_) => {
            let found = tag::find(&state.pool, account, &subject).await?;
            found.map(|found| found.tags)
        }
    };
    Ok(cached.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_arns_of_the_account_and_region() {
        let of = |text: &str| {
            let arn: Arn = text.parse().ok()?;
            taggable(&arn, "us-east-1", "123456789012")
        };
        let arn = |resource: &str| format!("arn:aws:bedrock-agentcore:us-east-1:123456789012:{resource}");
        let directory = "workload-identity-directory/default";
        assert_eq!(of(&arn(directory)), Some(Taggable::Directory));
        assert_eq!(of(&arn("token-vault/default")), Some(Taggable::TokenVault));
        assert_eq!(
            of(&arn(&format!("{directory}/workload-identity/agent.1"))),
            Some(Taggable::WorkloadIdentity("agent.1".to_owned()))
        );
        for resource in [
            "token-vault/other",
            "token-vault/default/",
            "token-vault/default/oauth2credentialprovider/",
            "token-vault/default/oauth2credentialprovider/a/b",
            "token-vault/default/oauth2credentialprovider/a%2Fb",
            "token-vault/default/oauth2credentialprovider/a%252Fb",
            "workload-identity-directory/default/workload-identity/*",
            "runtime/x",
        ] {
            assert_eq!(of(&arn(resource)), None, "{resource}");
        }
        for other in [
            "arn:aws:bedrock-agentcore:us-east-1:999999999999:token-vault/default",
            "arn:aws:bedrock-agentcore:eu-west-1:123456789012:token-vault/default",
            "arn:aws-cn:bedrock-agentcore:us-east-1:123456789012:token-vault/default",
            "arn:aws:iam:us-east-1:123456789012:token-vault/default",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
