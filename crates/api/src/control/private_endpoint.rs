//! `privateEndpoint`, `privateEndpointOverrides` and `certificateConfigurations`: how AWS reaches an
//! authorization server inside a VPC. Stored and echoed; a provider that has any of them is not reached by
//! another way instead, but refused at use.

use serde::{Deserialize, Serialize};

use super::shapes::{self, Tags};
use crate::validate::{Checker, pattern};

union! {
    /// How a private network is entered.
    PrivateEndpoint {
        /// A VPC Lattice resource configuration of the caller's.
        "selfManagedLatticeResource" => SelfManaged(SelfManagedLatticeResource),
        /// A VPC in which AWS makes one.
        "managedVpcResource" => ManagedVpc(ManagedVpcResource),
    }
}

union! {
    /// A VPC Lattice resource configuration.
    SelfManagedLatticeResource {
        /// Its id or ARN.
        "resourceConfigurationIdentifier" => ResourceConfiguration(String),
    }
}

/// `ManagedVpcResource`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedVpcResource {
    /// The VPC.
    pub vpc_identifier: String,
    /// Its subnets.
    pub subnet_ids: Vec<String>,
    /// IPv4 or IPv6.
    pub endpoint_ip_address_type: EndpointIpAddressType,
    /// At most 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_ids: Option<Vec<String>>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Tags>,
    /// The domain that is routed there, 3 to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_domain: Option<String>,
}

/// `EndpointIpAddressType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EndpointIpAddressType {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// `PrivateEndpointOverride`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateEndpointOverride {
    /// A domain, 1 to 253 characters.
    pub domain: String,
    /// How it is reached.
    pub private_endpoint: PrivateEndpoint,
}

union! {
    /// Where a certificate of a private authority is.
    CertificateConfiguration {
        /// In a bucket.
        "s3" => S3(S3CertificateConfiguration),
        /// In a secret.
        "secretsManager" => SecretsManager(SecretsManagerCertificateConfiguration),
    }
}

/// `S3CertificateConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3CertificateConfiguration {
    /// `s3://bucket/key`.
    pub uri: String,
    /// Whose bucket it is, 12 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_owner_account_id: Option<String>,
}

/// `SecretsManagerCertificateConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretsManagerCertificateConfiguration {
    /// The secret's ARN.
    pub secret_arn: String,
}

impl PrivateEndpoint {
    pub(super) fn validate(&self, check: &mut Checker) {
        match self {
            Self::SelfManaged(SelfManagedLatticeResource::ResourceConfiguration(id)) => {
                check.nested(self.member(), |check| {
                    let member = "resourceConfigurationIdentifier";
                    check.text(member, id, 20..=2048, &pattern::RESOURCE_CONFIGURATION);
                });
            }
            Self::ManagedVpc(vpc) => check.nested(self.member(), |check| vpc.validate(check)),
        }
    }
}

impl ManagedVpcResource {
    fn validate(&self, check: &mut Checker) {
        check.text("vpcIdentifier", &self.vpc_identifier, 1..=64, &pattern::VPC);
        // The model leaves it unbounded; a limit of ours.
        check.count("subnetIds", self.subnet_ids.len(), 0..=100);
        check.each("subnetIds", &self.subnet_ids, |check, member, id| {
            check.text(member, id, 1..=64, &pattern::SUBNET);
        });
        let groups = self.security_group_ids.as_deref().unwrap_or_default();
        check.count("securityGroupIds", groups.len(), 0..=5);
        check.each("securityGroupIds", groups, |check, member, id| {
            check.text(member, id, 1..=64, &pattern::SECURITY_GROUP);
        });
        shapes::tags(check, self.tags.as_ref());
        if let Some(domain) = &self.routing_domain {
            check.text("routingDomain", domain, 3..=255, &pattern::PRINTABLE);
        }
    }
}

/// Checks `PrivateEndpointOverrides`.
pub(super) fn overrides(check: &mut Checker, overrides: &[PrivateEndpointOverride]) {
    check.count("privateEndpointOverrides", overrides.len(), 0..=5);
    check.each("privateEndpointOverrides", overrides, |check, member, item| {
        check.nested(member, |check| {
            check.text("domain", &item.domain, 1..=253, &pattern::PRINTABLE);
            check.nested("privateEndpoint", |check| item.private_endpoint.validate(check));
        });
    });
}

/// Checks `CertificateConfigurationList`.
pub(super) fn certificates(check: &mut Checker, certificates: &[CertificateConfiguration]) {
    check.count("certificateConfigurations", certificates.len(), 1..=1);
    check.each(
        "certificateConfigurations",
        certificates,
        |check, member, item| {
            let member = format!("{member}.{}", item.member());
            check.nested(&member, |check| match item {
                CertificateConfiguration::S3(s3) => {
                    check.text("uri", &s3.uri, 1..=2048, &pattern::S3_URI);
                    if let Some(account) = &s3.bucket_owner_account_id {
                        check.text("bucketOwnerAccountId", account, 1..=64, &pattern::ACCOUNT);
                    }
                }
                CertificateConfiguration::SecretsManager(secret) => {
                    let arn = &secret.secret_arn;
                    check.text("secretArn", arn, 1..=2048, &pattern::CERTIFICATE_SECRET_ARN);
                }
            });
        },
    );
}
