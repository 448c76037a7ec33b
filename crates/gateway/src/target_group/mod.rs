//! A target group at work: which target a request goes to, and how the targets are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::config::{self, ConfigError, ForwardLimits, LoadBalancingAlgorithm, ProtocolVersion};

pub(crate) use self::connector::ConnectError;
use self::connector::Connector;
pub(crate) use self::deadline::Deadline;
pub(crate) use self::pool::{Lease, Sender};
pub(crate) use self::target::Target;

mod connector;
mod deadline;
mod health_check;
mod pool;
mod target;

/// How often connections that were idle for too long are closed.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Where requests go, and what they carry there.
#[derive(Debug)]
pub(crate) struct TargetGroup {
    pub(crate) name: Arc<str>,
    pub(crate) protocol_version: ProtocolVersion,
    pub(crate) preserve_host_header: bool,
    pub(crate) claims_header: bool,
    pub(crate) user_token_audience: Option<String>,
    pub(crate) user_token_groups: bool,
    /// Kinds of our cookies that belong to the target.
    pub(crate) cookies: Vec<String>,
    pub(crate) max_request_body_bytes: u64,
    targets: Vec<Arc<Target>>,
    algorithm: LoadBalancingAlgorithm,
    slow_start: Duration,
    next: AtomicUsize,
    offered: AtomicU64,
    connector: Connector,
}

impl TargetGroup {
    /// A group whose targets are watched from now on. Needs a running runtime.
    pub(crate) fn start(
        name: &str,
        config: &config::TargetGroup,
        limits: &ForwardLimits,
    ) -> Result<Arc<Self>, ConfigError> {
        let group = Arc::new(Self::new(name, config, limits)?);
        tokio::spawn(sweep(Arc::downgrade(&group)));
        if let Some(check) = &config.health_check {
            health_check::start(&group, check)?;
        }
        Ok(group)
    }

    fn new(name: &str, config: &config::TargetGroup, limits: &ForwardLimits) -> Result<Self, ConfigError> {
        let place = || format!("target_groups.{name}");
        let targets = config
            .urls()
            .map(|url| Target::new(url, config.health_check.is_some()).map(Arc::new))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| ConfigError::new(place(), "no host to connect to"))?;
        let connector = Connector::new(config, limits)
            .map_err(|fault| ConfigError::new(format!("{}.certificate_authority", place()), fault))?;
        Ok(Self {
            name: name.into(),
            protocol_version: config.protocol_version,
            preserve_host_header: config.preserve_host_header,
            claims_header: config.claims_header,
            user_token_audience: config.user_token_audience.clone(),
            user_token_groups: config.user_token_groups,
            cookies: config.cookies.clone(),
            max_request_body_bytes: config.max_request_body_bytes,
            targets,
            algorithm: config.load_balancing_algorithm,
            slow_start: Duration::from_secs(config.slow_start_seconds.into()),
            next: AtomicUsize::new(0),
            offered: AtomicU64::new(0),
            connector,
        })
    }

    /// The target for the next request, other than those already `tried`. Where none is healthy all are
    /// used: a check that fails everywhere more likely says something about the check (an ALB does so too).
    pub(crate) fn choose(&self, tried: &[Arc<Target>]) -> Option<Arc<Target>> {
        if let ([only], []) = (&self.targets[..], tried) {
            return Some(only.clone());
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let untried = || {
            let tried = |target: &Arc<Target>| tried.iter().any(|other| Arc::ptr_eq(other, target));
            self.targets.iter().filter(move |&target| !tried(target))
        };
        let healthy = || untried().filter(|target| target.is_healthy());
        // Turns are taken among those that can be chosen: skipping the others would send their share to the
        // next in the list.
        let (healthy_count, untried_count) = (healthy().count(), untried().count());
        if healthy_count == 0 {
            return untried().nth(turn % untried_count.max(1)).cloned();
        }
        let rotated = || healthy().cycle().skip(turn % healthy_count).take(healthy_count);
        let chosen = match self.algorithm {
            LoadBalancingAlgorithm::LeastOutstandingRequests => {
                rotated().min_by_key(|target| target.outstanding())
            }
            LoadBalancingAlgorithm::RoundRobin => rotated()
                .find(|target| self.has_warmed_up(target))
                .or_else(|| rotated().next()),
        };
        chosen.cloned()
    }

    /// During slow start a target takes a share of its turns that grows from a tenth to all.
    fn has_warmed_up(&self, target: &Target) -> bool {
        let Some(healthy_for) = target.healthy_for().filter(|_| !self.slow_start.is_zero()) else {
            return true;
        };
        if healthy_for >= self.slow_start {
            return true;
        }
        let percent = (healthy_for.as_millis() * 100 / self.slow_start.as_millis()).max(10);
        // Spread evenly, without drawing lots: a turn is taken where the sum of shares passes a whole number.
        let turn = u128::from(self.offered.fetch_add(1, Ordering::Relaxed));
        (turn + 1) * percent / 100 > turn * percent / 100
    }

    /// A connection to a target over which a request can be sent: an idle one or a new one; a newer one where
    /// the connection of this number has just failed.
    pub(crate) async fn lease(
        &self,
        target: &Arc<Target>,
        after: Option<u64>,
    ) -> Result<Lease, ConnectError> {
        pool::lease(&self.connector, target, after).await
    }
}

async fn sweep(group: std::sync::Weak<TargetGroup>) {
    loop {
        let Some(held) = group.upgrade() else { return };
        for target in &held.targets {
            target.idle.sweep();
        }
        // Where nothing is checked every target counts, as at a load balancer.
        let healthy = held.targets.iter().filter(|target| target.is_healthy()).count();
        #[expect(clippy::cast_precision_loss, reason = "a group has at most 1000 targets")]
        metrics::gauge!("countersign_gateway_healthy_targets", "target_group" => held.name.to_string())
            .set(healthy as f64);
        drop(held);
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn group(change: impl FnOnce(&mut config::TargetGroup)) -> TargetGroup {
        let url = |port| format!("http://127.0.0.1:{port}").parse().expect("a URL");
        let mut config = config::TargetGroup {
            url: None,
            targets: (1..=3).map(url).collect(),
            health_check: Some(config::HealthCheck::default()),
            ..config::TargetGroup::of(url(1))
        };
        change(&mut config);
        TargetGroup::new("test", &config, &ForwardLimits::default()).expect("a group")
    }

    fn counts(group: &TargetGroup, requests: usize) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let target = group.choose(&[]).expect("a target");
            *counts.entry(target.name.to_string()).or_default() += 1;
        }
        counts
    }

    #[tokio::test(start_paused = true)]
    async fn round_robin_uses_the_healthy_and_all_when_none_is() {
        let group = group(|_| ());
        assert_eq!(counts(&group, 9).len(), 3, "all are new: fail open");
        group.targets[0].set_healthy(true);
        assert_eq!(counts(&group, 9), [("127.0.0.1:1".to_owned(), 9)].into());
        group.targets[2].set_healthy(true);
        assert_eq!(
            counts(&group, 10),
            [("127.0.0.1:1".to_owned(), 5), ("127.0.0.1:3".to_owned(), 5)].into()
        );
        let tried = [group.targets[0].clone(), group.targets[2].clone()];
        let last = group.choose(&tried).expect("better an unhealthy one than none");
        assert_eq!(&*last.name, "127.0.0.1:2");
        assert!(group.choose(&group.targets).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_least_busy_target_is_chosen() {
        let group = group(|config| {
            config.load_balancing_algorithm = LoadBalancingAlgorithm::LeastOutstandingRequests;
            config.health_check = None;
        });
        let busy: Vec<_> = (0..6)
            .map(|_| group.choose(&[]).expect("a target").begin())
            .collect();
        assert!(group.targets.iter().all(|target| target.outstanding() == 2));
        drop(busy);
        let _two = (group.targets[0].begin(), group.targets[2].begin());
        assert_eq!(counts(&group, 3), [("127.0.0.1:2".to_owned(), 3)].into());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_start_grows() {
        let group = group(|config| config.slow_start_seconds = 100);
        group.targets[0].set_healthy(true);
        tokio::time::advance(Duration::from_secs(200)).await;
        group.targets[1].set_healthy(true);
        let share = |group: &TargetGroup| counts(group, 1_000).get("127.0.0.1:2").copied().unwrap_or(0);
        let mut shares = vec![share(&group)];
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(50)).await;
            shares.push(share(&group));
        }
        assert!(
            shares[0] < 150 && (200..400).contains(&shares[1]) && shares[2] == 500,
            "{shares:?}"
        );
    }
}
