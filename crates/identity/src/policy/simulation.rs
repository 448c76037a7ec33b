//! A request that nobody makes, for `SimulatePolicy`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use countersign_api::Arn;
use countersign_crypto::Timestamp;

use super::condition;
use super::context::{Context, Facts, Principal, Tags, asked_scopes};
use super::key::Key;

/// The facts of a supposed request.
#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) context: Context,
    pub(crate) now: Timestamp,
    pub(crate) principal_tags: Tags,
    /// Supposed for every resource in place of its own.
    pub(crate) resource_tags: Option<Tags>,
    claims: BTreeMap<String, Vec<String>>,
}

impl Simulation {
    pub(crate) fn new(now: Timestamp, principal_tags: Tags) -> Self {
        Self {
            context: Context::default(),
            now,
            principal_tags,
            resource_tags: None,
            claims: BTreeMap::new(),
        }
    }

    /// Supposes that the request has `values` for `key`; else the rule that they break.
    pub(crate) fn suppose(&mut self, key: &str, values: Vec<String>) -> Result<(), &'static str> {
        let key = Key::parse(key).ok_or("is not a condition key of this server")?;
        let first = values.first().cloned().unwrap_or_default();
        if values.len() != 1 && !key.is_multivalued() {
            return Err("has exactly one value");
        }
        match key {
            Key::UserId => self.context.user_id = Some(first),
            Key::InboundJwtClaim(claim) => {
                self.claims.insert(claim, values);
                self.context.claims = OnceLock::from(self.claims.clone());
            }
            Key::Scopes => self.context.scopes = Some(asked_scopes(&values, std::iter::empty())),
            Key::SourceIp => {
                self.context.source_ip = Some(first.parse().map_err(|_| "must be an IP address")?);
            }
            Key::SecureTransport => {
                self.context.secure_transport = condition::flag(&first).ok_or("must be true or false")?;
            }
            Key::CurrentTime | Key::EpochTime => {
                self.now = condition::date(&first)
                    .ok_or("must be a date as in 2026-01-31T00:00:00Z, or epoch seconds")?;
            }
            Key::ResourceTag(tag) => {
                self.resource_tags.get_or_insert_default().insert(tag, first);
            }
            Key::RequestTag(tag) => {
                self.context
                    .request_tags
                    .get_or_insert_default()
                    .insert(tag, first);
            }
            Key::PrincipalTag(tag) => {
                self.principal_tags.insert(tag, first);
            }
            Key::TagKeys => self.context.tag_keys = Some(values),
            Key::PrincipalArn | Key::PrincipalAccount | Key::Username | Key::RequestedRegion => {
                return Err("follows from the principal and the server");
            }
        }
        Ok(())
    }

    /// The facts as they would be for `name`.
    pub(crate) fn facts<'a>(
        &'a self,
        arn: &'a Arn,
        name: &'a str,
        region: &'a str,
        resource_tags: Option<&'a Tags>,
    ) -> Facts<'a> {
        Facts {
            principal: Principal {
                arn,
                name,
                tags: &self.principal_tags,
            },
            region,
            now: self.now,
            context: &self.context,
            resource_tags: self.resource_tags.as_ref().or(resource_tags),
        }
    }
}
