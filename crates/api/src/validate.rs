//! The rules of the service model, enforced where the SDKs do not: patterns, enums and maxima reach the
//! server unchecked.
//!
//! Patterns are written out as predicates over characters. A regular expression engine would be one more
//! thing to trust with hostile input, and the model's patterns are all this simple.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::error::{ApiError, FieldError};

/// An input that can check itself against the model.
pub trait Validate {
    /// Reports every broken rule to `check`.
    fn validate(&self, check: &mut Checker);
}

/// Collects broken rules; at most [`Checker::MAX_ERRORS`] of them.
#[derive(Debug, Default)]
pub struct Checker {
    path: Vec<String>,
    errors: Vec<FieldError>,
}

impl Checker {
    /// More errors than this help nobody and make the answer long.
    pub const MAX_ERRORS: usize = 20;

    /// No errors yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails if a rule was broken.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::fields(self.errors))
        }
    }

    /// Records that `member` breaks the rule that `message` states. The message must not quote the value.
    pub fn fail(&mut self, member: &str, message: impl Into<String>) {
        if self.errors.len() < Self::MAX_ERRORS {
            let mut name = self.path.join(".");
            if !name.is_empty() && !member.is_empty() && !member.starts_with('[') {
                name.push('.');
            }
            name.push_str(member);
            self.errors.push(FieldError {
                name,
                message: message.into(),
            });
        }
    }

    /// Records `message` about `member` unless `holds`.
    pub fn require(&mut self, holds: bool, member: &str, message: &str) {
        if !holds {
            self.fail(member, message);
        }
    }

    /// Checks what `member` contains, with its name before every name reported meanwhile.
    pub fn nested(&mut self, member: &str, validate: impl FnOnce(&mut Self)) {
        self.path.push(member.to_owned());
        validate(self);
        self.path.pop();
    }

    /// The number of characters.
    pub fn length(&mut self, member: &str, value: &str, length: RangeInclusive<usize>) {
        if !length.contains(&value.chars().count()) {
            self.out_of_range(member, &length, "characters");
        }
    }

    /// Length, then pattern; one error at most.
    pub fn text(&mut self, member: &str, value: &str, length: RangeInclusive<usize>, pattern: &Pattern) {
        if !length.contains(&value.chars().count()) {
            self.out_of_range(member, &length, "characters");
        } else if !(pattern.matches)(value) {
            self.fail(member, format!("must match {}", pattern.text));
        }
    }

    /// A number's bounds.
    pub fn range(&mut self, member: &str, value: i64, range: RangeInclusive<i64>) {
        if !range.contains(&value) {
            self.fail(
                member,
                format!("must be between {} and {}", range.start(), range.end()),
            );
        }
    }

    /// The number of items.
    pub fn count(&mut self, member: &str, count: usize, range: RangeInclusive<usize>) {
        if !range.contains(&count) {
            self.out_of_range(member, &range, "items");
        }
    }

    /// Each item of a list.
    pub fn each<T>(&mut self, member: &str, items: &[T], mut validate: impl FnMut(&mut Self, &str, &T)) {
        for (index, item) in items.iter().enumerate() {
            validate(self, &format!("{member}[{index}]"), item);
        }
    }

    fn out_of_range<T: Display>(&mut self, member: &str, range: &RangeInclusive<T>, unit: &str) {
        self.fail(
            member,
            format!("must have {} to {} {unit}", range.start(), range.end()),
        );
    }
}

/// A pattern of the model: its text for the error message, and what it means.
pub struct Pattern {
    /// As the model writes it.
    pub text: &'static str,
    /// Whether the whole of a text matches.
    pub matches: fn(&str) -> bool,
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text)
    }
}

/// The patterns of the service model that our operations use.
pub mod pattern {
    use super::Pattern;

    fn all(text: &str, allowed: fn(u8) -> bool) -> bool {
        !text.is_empty() && text.bytes().all(allowed)
    }

    /// `WorkloadIdentityNameType`.
    pub const WORKLOAD_NAME: Pattern = Pattern {
        text: "[A-Za-z0-9_.-]+",
        matches: |text| all(text, |b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)),
    };

    /// `CredentialProviderName`.
    pub const PROVIDER_NAME: Pattern = Pattern {
        text: r"[a-zA-Z0-9\-_]+",
        matches: |text| all(text, |b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
    };

    /// `CustomRequestKeyType`.
    pub const CUSTOM_PARAMETER_NAME: Pattern = Pattern {
        text: r"[a-zA-Z0-9\-_\.]+",
        matches: |text| all(text, |b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
    };

    /// `RequestUri`.
    pub const REQUEST_URI: Pattern = Pattern {
        text: "urn:ietf:params:oauth:request_uri:[a-zA-Z0-9-._~]+",
        matches: |text| {
            text.strip_prefix("urn:ietf:params:oauth:request_uri:")
                .is_some_and(|rest| all(rest, |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)))
        },
    };

    /// `ResourceOauth2ReturnUrlType`. `\w` and `\s` are taken as Unicode, as the service model's engines do.
    pub const RETURN_URL: Pattern = Pattern {
        text: r"\w+:(\/?\/?)[^\s]+",
        matches: |text| {
            text.split_once(':').is_some_and(|(scheme, rest)| {
                !scheme.is_empty()
                    && scheme.chars().all(|c| c.is_alphanumeric() || c == '_')
                    && !rest.is_empty()
                    && !rest.contains(char::is_whitespace)
            })
        },
    };

    /// `UserTokenType`. The model does not escape the dots, so any character separates.
    pub const USER_TOKEN: Pattern = Pattern {
        text: "[A-Za-z0-9-_=]+.[A-Za-z0-9-_=]+.[A-Za-z0-9-_=]+",
        matches: user_token,
    };

    /// At most two separators can be outside the class; where there are fewer, characters of the class
    /// serve as separators and only the length counts.
    fn user_token(text: &str) -> bool {
        let inside = |c: char| c.is_ascii_alphanumeric() || "-_=".contains(c);
        let chars: Vec<char> = text.chars().collect();
        let outside: Vec<usize> = (0..chars.len()).filter(|i| !inside(chars[*i])).collect();
        let long_enough = chars.len() >= 5;
        // `.` does not match a line feed.
        let separators = outside.iter().all(|i| chars[*i] != '\n');
        let last = chars.len().saturating_sub(1);
        separators
            && long_enough
            && match outside.as_slice() {
                [] => true,
                // One real separator: the other one is any character of the class with a neighbour on each side.
                [one] => (1..last).contains(one) && (*one >= 3 || last - one >= 3),
                [one, two] => *one >= 1 && two - one >= 2 && *two < last,
                _ => false,
            }
    }

    /// `DiscoveryUrlType`.
    pub const DISCOVERY_URL: Pattern = Pattern {
        text: r"[^\s?#]+/\.well-known/(openid-configuration|oauth-authorization-server)(/[^\s?#]+)?",
        matches: |text| {
            let clean = |part: &str| {
                !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '?' || c == '#')
            };
            clean(text)
                && text.match_indices("/.well-known/").any(|(at, marker)| {
                    let rest = &text[at + marker.len()..];
                    at > 0
                        && ["openid-configuration", "oauth-authorization-server"]
                            .iter()
                            .any(|document| {
                                rest.strip_prefix(document).is_some_and(|path| {
                                    path.is_empty()
                                        || path.strip_prefix('/').is_some_and(|path| !path.is_empty())
                                })
                            })
                })
        },
    };

    /// `TokenAuthMethod`.
    pub const TOKEN_AUTH_METHOD: Pattern = Pattern {
        text: "(client_secret_post|client_secret_basic)",
        matches: |text| matches!(text, "client_secret_post" | "client_secret_basic"),
    };

    /// `AdditionalClaimName`.
    pub const CLAIM_NAME: Pattern = Pattern {
        text: "[A-Za-z0-9_.:#-]+",
        matches: |text| all(text, |b| b.is_ascii_alphanumeric() || b"_.:#-".contains(&b)),
    };

    /// `KmsKeyArn`.
    pub const KMS_KEY_ARN: Pattern = Pattern {
        text: "arn:aws(|-cn|-us-gov):kms:[a-zA-Z0-9-]*:[0-9]{12}:key/[a-zA-Z0-9-]{36}",
        matches: |text| {
            let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let parts: Vec<&str> = text.split(':').collect();
            let &["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
                return false;
            };
            matches!(partition, "aws" | "aws-cn" | "aws-us-gov")
                && word(region)
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && resource
                    .strip_prefix("key/")
                    .is_some_and(|id| id.len() == 36 && word(id))
        },
    };

    /// `TagKey` and `TagValue`, either of which may be empty as far as the pattern goes.
    pub const TAG: Pattern = Pattern {
        text: r"[a-zA-Z0-9\s._:/=+@-]*",
        matches: |text| {
            text.chars()
                .all(|c| c.is_ascii_alphanumeric() || c.is_whitespace() || "._:/=+@-".contains(c))
        },
    };

    /// `TaggableResourcesArn`, with digits in a resource type: as it is written, the model's would refuse every
    /// `oauth2credentialprovider`, which can be tagged.
    pub const TAGGABLE_ARN: Pattern = Pattern {
        text: "arn:(?:[^:]+)?:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:([a-z-]+/[^/]+)(?:/[a-z-]+/[^/]+)*",
        matches: |text| {
            let parts: Vec<&str> = text.splitn(6, ':').collect();
            let kind = lower_case;
            matches!(parts.as_slice(), ["arn", _, "bedrock-agentcore", region, account, resource]
            if lower_case(region) && digits(account) && {
                let segments: Vec<&str> = resource.split('/').collect();
                segments.len().is_multiple_of(2)
                    && segments.chunks(2).all(|pair| kind(pair[0]) && !pair[1].is_empty())
            })
        },
    };

    /// `ResourceConfigurationIdentifier`.
    pub const RESOURCE_CONFIGURATION: Pattern = Pattern {
        text: r"((rcfg-[0-9a-z]{17})|(arn:[a-z0-9\-]+:vpc-lattice:[a-zA-Z0-9\-]+:\d{12}:resourceconfiguration/rcfg-[0-9a-z]{17}))",
        matches: |text| {
            let id = |text: &str| suffixed(text, "rcfg-", &[17]);
            let parts: Vec<&str> = text.split(':').collect();
            id(text)
                || matches!(parts.as_slice(), ["arn", partition, "vpc-lattice", region, account, resource]
                    if lower_case(partition)
                        && all(region, |b| b.is_ascii_alphanumeric() || b == b'-')
                        && digits(account)
                        && resource.strip_prefix("resourceconfiguration/").is_some_and(id))
        },
    };

    /// `VpcIdentifier`.
    pub const VPC: Pattern = Pattern {
        text: "vpc-(([0-9a-z]{8})|([0-9a-z]{17}))",
        matches: |text| suffixed(text, "vpc-", &[8, 17]),
    };

    /// `SecurityGroupIdentifier`.
    pub const SECURITY_GROUP: Pattern = Pattern {
        text: "sg-(([0-9a-z]{8})|([0-9a-z]{17}))",
        matches: |text| suffixed(text, "sg-", &[8, 17]),
    };

    /// `SubnetId`.
    pub const SUBNET: Pattern = Pattern {
        text: "subnet-[0-9a-zA-Z]{8,17}",
        matches: |text| {
            text.strip_prefix("subnet-").is_some_and(|id| {
                (8..=17).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        },
    };

    /// `CertificateSecretArn`.
    pub const CERTIFICATE_SECRET_ARN: Pattern = Pattern {
        text: "arn:aws(-[^:]+)?:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+",
        matches: |text| {
            let parts: Vec<&str> = text.splitn(7, ':').collect();
            matches!(parts.as_slice(), ["arn", partition, "secretsmanager", region, account, "secret", name]
                if (*partition == "aws" || partition.strip_prefix("aws-").is_some_and(|rest| !rest.is_empty()))
                    && lower_case(region)
                    && digits(account)
                    && !name.is_empty()
                    && !name.contains(char::is_control))
        },
    };

    /// `CertificateS3Uri`.
    pub const S3_URI: Pattern = Pattern {
        text: "s3://.{1,2043}",
        matches: |text| {
            text.strip_prefix("s3://").is_some_and(|rest| {
                (1..=2043).contains(&rest.chars().count()) && !rest.contains(char::is_control)
            })
        },
    };

    /// `CertificateBucketOwnerAccountId`.
    pub const ACCOUNT: Pattern = Pattern {
        text: "[0-9]{12}",
        matches: digits,
    };

    fn digits(text: &str) -> bool {
        text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
    }

    /// Lower-case letters, digits and hyphens.
    fn lower_case(text: &str) -> bool {
        all(text, |b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
        })
    }

    fn suffixed(text: &str, prefix: &str, lengths: &[usize]) -> bool {
        text.strip_prefix(prefix).is_some_and(|id| {
            lengths.contains(&id.len()) && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
    }

    /// An IAM user's name.
    pub const PRINCIPAL_NAME: Pattern = Pattern {
        text: r"[\w+=,.@-]+",
        matches: |text| all(text, |b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b)),
    };

    /// An identifier of ours: grant, access key, audit record.
    pub const ID: Pattern = Pattern {
        text: "[A-Za-z0-9_-]+",
        matches: |text| all(text, |b| b.is_ascii_alphanumeric() || b"_-".contains(&b)),
    };

    /// Printable text without control characters.
    pub const PRINTABLE: Pattern = Pattern {
        text: r"[^\x00-\x1F\x7F-\x9F]*",
        matches: |text| !text.contains(char::is_control),
    };
}
