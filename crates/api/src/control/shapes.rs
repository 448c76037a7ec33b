//! Shapes that several operations of the control plane share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::validate::{Checker, pattern};

/// Whose authorization server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum CredentialProviderVendor {
    /// `GoogleOauth2`.
    GoogleOauth2,
    /// `GithubOauth2`.
    GithubOauth2,
    /// `SlackOauth2`.
    SlackOauth2,
    /// `SalesforceOauth2`.
    SalesforceOauth2,
    /// `MicrosoftOauth2`.
    MicrosoftOauth2,
    /// `CustomOauth2`.
    #[default]
    CustomOauth2,
    /// `AtlassianOauth2`.
    AtlassianOauth2,
    /// `LinkedinOauth2`.
    LinkedinOauth2,
    /// `XOauth2`.
    XOauth2,
    /// `OktaOauth2`.
    OktaOauth2,
    /// `OneLoginOauth2`.
    OneLoginOauth2,
    /// `PingOneOauth2`.
    PingOneOauth2,
    /// `FacebookOauth2`.
    FacebookOauth2,
    /// `YandexOauth2`.
    YandexOauth2,
    /// `RedditOauth2`.
    RedditOauth2,
    /// `ZoomOauth2`.
    ZoomOauth2,
    /// `TwitchOauth2`.
    TwitchOauth2,
    /// `SpotifyOauth2`.
    SpotifyOauth2,
    /// `DropboxOauth2`.
    DropboxOauth2,
    /// `NotionOauth2`.
    NotionOauth2,
    /// `HubspotOauth2`.
    HubspotOauth2,
    /// `CyberArkOauth2`.
    CyberArkOauth2,
    /// `FusionAuthOauth2`.
    FusionAuthOauth2,
    /// `Auth0Oauth2`.
    Auth0Oauth2,
    /// `CognitoOauth2`.
    CognitoOauth2,
}

impl CredentialProviderVendor {
    /// The member of `oauth2ProviderConfigInput` and `…Output` that goes with the vendor.
    #[must_use]
    pub fn config_member(self) -> &'static str {
        match self {
            Self::GoogleOauth2 => "googleOauth2ProviderConfig",
            Self::GithubOauth2 => "githubOauth2ProviderConfig",
            Self::SlackOauth2 => "slackOauth2ProviderConfig",
            Self::SalesforceOauth2 => "salesforceOauth2ProviderConfig",
            Self::MicrosoftOauth2 => "microsoftOauth2ProviderConfig",
            Self::CustomOauth2 => "customOauth2ProviderConfig",
            Self::AtlassianOauth2 => "atlassianOauth2ProviderConfig",
            Self::LinkedinOauth2 => "linkedinOauth2ProviderConfig",
            _ => "includedOauth2ProviderConfig",
        }
    }
}

/// Who keeps a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SecretSource {
    /// The token vault.
    #[default]
    Managed,
    /// The caller's own Secrets Manager.
    External,
}

/// Where an external secret is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name or ARN, 1 to 2048 characters.
    pub secret_id: String,
    /// The key within the secret's JSON, 1 to 128 characters.
    pub json_key: String,
}

/// A secret's ARN, an object of its own in the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// The ARN; outputs have one even when there is no secret.
    pub secret_arn: String,
}

/// A provider's life. Anything but `Ready` matters only with private endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProviderStatus {
    /// Being made.
    Creating,
    /// Could not be made.
    CreateFailed,
    /// Being changed.
    Updating,
    /// Could not be changed.
    UpdateFailed,
    /// In service.
    Ready,
    /// Being removed.
    Deleting,
    /// Could not be removed.
    DeleteFailed,
}

/// `TagsMap`: at most 50.
pub type Tags = BTreeMap<String, String>;

/// Checks `TagsMap`.
pub(crate) fn tags(check: &mut Checker, tags: Option<&Tags>) {
    let Some(tags) = tags else { return };
    check.count("tags", tags.len(), 0..=50);
    check.nested("tags", |check| {
        for (key, value) in tags {
            check.text(key, key, 1..=128, &pattern::TAG);
            check.text(key, value, 0..=256, &pattern::TAG);
        }
    });
}

/// Checks `TaggableResourcesArn`.
pub(crate) fn taggable(check: &mut Checker, arn: &str) {
    check.text("resourceArn", arn, 20..=1011, &pattern::TAGGABLE_ARN);
}

/// Checks the three members by which a secret comes in, each with its name: the secret itself, who keeps it, and
/// where an external one is. An external secret needs its place and nothing else; any other has none.
pub(crate) fn secret(
    check: &mut Checker,
    (secret_member, secret): (&str, Option<&str>),
    (source_member, source): (&str, Option<SecretSource>),
    (reference_member, reference): (&str, Option<&SecretReference>),
) {
    if let Some(reference) = reference {
        check.nested(reference_member, |check| {
            check.text("secretId", &reference.secret_id, 1..=2048, &pattern::PRINTABLE);
            check.text("jsonKey", &reference.json_key, 1..=128, &pattern::PRINTABLE);
        });
    }
    if source == Some(SecretSource::External) {
        let rule = format!("must be set when {source_member} is EXTERNAL");
        check.require(reference.is_some(), reference_member, &rule);
        let rule = format!("must not be set when {source_member} is EXTERNAL");
        check.require(secret.is_none_or(str::is_empty), secret_member, &rule);
    } else {
        let rule = format!("must not be set unless {source_member} is EXTERNAL");
        check.require(reference.is_none(), reference_member, &rule);
    }
}

/// Checks the members of every list operation; `most` is the operation's largest page.
pub(crate) fn page(check: &mut Checker, next_token: Option<&str>, max_results: Option<i64>, most: i64) {
    if let Some(token) = next_token {
        check.length("nextToken", token, 1..=2048);
    }
    if let Some(count) = max_results {
        check.range("maxResults", count, 1..=most);
    }
}

/// Checks `ResourceOauth2ReturnUrlListType` by our registration rule.
pub(crate) fn return_urls(check: &mut Checker, urls: Option<&[String]>) {
    let urls = urls.unwrap_or_default();
    let member = "allowedResourceOauth2ReturnUrls";
    check.count(member, urls.len(), 0..=MAX_RETURN_URLS);
    check.each(member, urls, |check, member, url| {
        if let Err(rule) = crate::return_url::check_registration(url) {
            check.fail(member, rule.to_string());
        }
    });
}

/// The model leaves the list unbounded; a limit of ours.
const MAX_RETURN_URLS: usize = 100;
