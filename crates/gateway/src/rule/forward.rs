//! The `forward` action: which of several target groups a request goes to.

use std::time::Duration;

use countersign_crypto::{Random, hmac_sha256};
use countersign_web::cookie::{self, CookieOptions, SameSite};
use http::{HeaderMap, HeaderValue};

use crate::config;

/// The cookie of group stickiness, under the name that an ALB gives it.
pub(crate) const STICKINESS_COOKIE: &str = "AWSALBTG";

const MAX_GROUPS: usize = 5;
const MAX_WEIGHT: u16 = 999;
const MAX_STICKINESS: u32 = 604_800;

/// Target groups with their weights.
#[derive(Debug)]
pub(crate) struct Forward {
    groups: Vec<(String, u32)>,
    stickiness: Option<Duration>,
}

/// The target group of one request.
pub(crate) struct Chosen<'a> {
    pub(crate) group: &'a str,
    /// Keeps the browser with it.
    pub(crate) cookie: Option<HeaderValue>,
}

impl Forward {
    /// The error says what cannot be; `known` are the names of target groups.
    pub(super) fn compile(config: &config::Forward, known: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        if config.target_group.is_some() != config.target_groups.is_empty() {
            return Err("forward names target_group or target_groups".to_owned());
        }
        if config.target_groups.len() > MAX_GROUPS {
            return Err(format!("forward has at most {MAX_GROUPS} target groups"));
        }
        if let Some((unknown, _)) = config.weighted().find(|(name, _)| !known(name)) {
            return Err(format!("target group {unknown:?} is not configured"));
        }
        if config.weighted().any(|(_, weight)| weight > MAX_WEIGHT) {
            return Err(format!("a weight is 0 to {MAX_WEIGHT}"));
        }
        if config.weighted().all(|(_, weight)| weight == 0) {
            return Err("all target groups have the weight 0".to_owned());
        }
        let stickiness = config.target_group_stickiness_seconds;
        if stickiness.is_some_and(|seconds| !(1..=MAX_STICKINESS).contains(&seconds)) {
            return Err(format!(
                "target_group_stickiness_seconds is 1 to {MAX_STICKINESS}"
            ));
        }
        let groups = config.weighted();
        Ok(Self {
            groups: groups
                .map(|(name, weight)| (name.to_owned(), weight.into()))
                .collect(),
            stickiness: stickiness.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    /// The names of all its groups, for tests.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<&str> {
        self.groups.iter().map(|(group, _)| group.as_str()).collect()
    }

    /// Deals a request by weight, or to the group that its cookie names. `key` makes the cookie's value,
    /// which says nothing about the group to others.
    pub(crate) fn choose(
        &self,
        headers: &HeaderMap,
        key: &[u8; 32],
        secure: bool,
        random: &dyn Random,
    ) -> Chosen<'_> {
        if let [(group, _)] = self.groups.as_slice() {
            return Chosen { group, cookie: None };
        }
        let Some(stickiness) = self.stickiness else {
            return Chosen {
                group: self.deal(random),
                cookie: None,
            };
        };
        let sent = cookie::read_single(headers, STICKINESS_COOKIE).ok().flatten();
        // A group of weight 0 is being emptied: who is there stays.
        let kept = sent.and_then(|sent| self.groups.iter().find(|(group, _)| ticket(key, group) == sent));
        let group = kept.map_or_else(|| self.deal(random), |(group, _)| group.as_str());
        let options = CookieOptions {
            secure,
            same_site: SameSite::Lax,
            max_age: Some(stickiness),
        };
        Chosen {
            group,
            cookie: Some(cookie::build(STICKINESS_COOKIE, &ticket(key, group), options)),
        }
    }

    fn deal(&self, random: &dyn Random) -> &str {
        let total: u32 = self.groups.iter().map(|(_, weight)| weight).sum();
        let mut bytes = [0; 4];
        random.fill(&mut bytes);
        let mut at = u32::from_be_bytes(bytes) % total.max(1);
        for (group, weight) in &self.groups {
            if at < *weight {
                return group;
            }
            at -= weight;
        }
        &self.groups[0].0
    }
}

fn ticket(key: &[u8; 32], group: &str) -> String {
    hex::encode(&hmac_sha256(key, group.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use countersign_crypto::testing::SeededRandom;
    use http::header;

    use super::*;

    fn forward(weights: &[(&str, u16)], stickiness: Option<u32>) -> Forward {
        let config = config::Forward {
            target_group: None,
            target_groups: weights
                .iter()
                .map(|&(name, weight)| config::WeightedTargetGroup {
                    name: name.to_owned(),
                    weight,
                })
                .collect(),
            target_group_stickiness_seconds: stickiness,
        };
        Forward::compile(&config, &|_| true).expect("an action")
    }

    #[test]
    fn requests_are_dealt_by_weight() {
        let forward = forward(&[("blue", 90), ("green", 10), ("off", 0)], None);
        let random = SeededRandom::new(7);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..2_000 {
            let chosen = forward.choose(&HeaderMap::new(), &[1; 32], true, &random);
            assert!(chosen.cookie.is_none());
            *counts.entry(chosen.group.to_owned()).or_insert(0) += 1;
        }
        assert_eq!(counts.get("off"), None);
        assert!((120..=280).contains(&counts["green"]), "{counts:?}");
    }

    #[test]
    fn a_browser_stays_with_its_group() {
        let forward = forward(&[("blue", 1), ("green", 1)], Some(600));
        let random = SeededRandom::new(7);
        let first = forward.choose(&HeaderMap::new(), &[1; 32], true, &random);
        let cookie = first.cookie.expect("a cookie");
        let cookie = cookie.to_str().expect("a text");
        assert!(
            cookie.contains("Max-Age=600") && cookie.contains("Secure") && !cookie.contains("blue"),
            "{cookie}"
        );
        let mut headers = HeaderMap::new();
        let pair = cookie.split(';').next().expect("a pair");
        headers.insert(header::COOKIE, pair.parse().expect("a value"));
        for _ in 0..50 {
            let again = forward.choose(&headers, &[1; 32], true, &random);
            assert_eq!(again.group, first.group);
            assert!(again.cookie.is_some(), "it is renewed");
        }
        // Another installation's cookie, or a made-up one, is no vote.
        let other: Vec<bool> = (0..50)
            .map(|_| forward.choose(&headers, &[2; 32], true, &random).group == first.group)
            .collect();
        assert!(other.contains(&true) && other.contains(&false));
    }
}
