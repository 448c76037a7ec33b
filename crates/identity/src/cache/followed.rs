//! A bounded map of what was read from the store, which never holds what was read before a change to it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

/// A map in two generations: what has been used since the younger one began is in it, the rest is in the older one.
/// When the younger is full it becomes the older, and the older is dropped. So the most used half stays, and neither
/// a look-up nor an insertion ever takes longer because the map is full.
#[derive(Debug)]
pub(super) struct Followed<K, V> {
    entries: RwLock<Entries<K, V>>,
    /// Of one generation, in the unit of `weigh`.
    capacity: usize,
    weigh: fn(&V) -> usize,
}

#[derive(Debug)]
struct Entries<K, V> {
    /// Counts changes: a value read under an older count is given out once and not kept.
    changes: u64,
    young: HashMap<K, Arc<V>>,
    old: HashMap<K, Arc<V>>,
    /// Of `young`.
    weight: usize,
}

impl<K: Eq + Hash, V> Followed<K, V> {
    /// Up to `capacity` entries in each generation.
    pub(super) fn entries(capacity: usize) -> Self {
        Self::weighed(capacity, |_| 1)
    }

    /// Entries of up to `capacity` together in each generation.
    pub(super) fn weighed(capacity: usize, weigh: fn(&V) -> usize) -> Self {
        let entries = RwLock::new(Entries {
            changes: 0,
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
        });
        Self {
            entries,
            capacity,
            weigh,
        }
    }

    /// The value of `key`: from memory if `fresh` says that memory may be believed, else by `load`. Absence is never
    /// kept: what was just made can be used at once.
    pub(super) async fn get<Q, E, L>(
        &self,
        key: &Q,
        fresh: bool,
        load: impl FnOnce() -> L,
    ) -> Result<Option<Arc<V>>, E>
    where
        L: Future<Output = Result<Option<V>, E>>,
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let changes = {
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            if fresh && let Some(value) = entries.young.get(key) {
                return Ok(Some(Arc::clone(value)));
            }
            entries.changes
        };
        if fresh && let Some(value) = self.rejuvenate(key) {
            return Ok(Some(value));
        }
        // Boxed, and not made before: who finds what they look for does not carry a query's future along.
        let Some(value) = Box::pin(load()).await?.map(Arc::new) else {
            return Ok(None);
        };
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if entries.changes == changes {
            entries.old.remove(key);
            self.keep(&mut entries, key.to_owned(), Arc::clone(&value));
        }
        Ok(Some(value))
    }

    /// Whether `key` is in memory.
    pub(super) fn has<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.young.contains_key(key) || entries.old.contains_key(key)
    }

    /// Moves an entry of the older generation into the younger one.
    fn rejuvenate<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let (key, value) = entries.old.remove_entry(key)?;
        self.keep(&mut entries, key, Arc::clone(&value));
        Some(value)
    }

    fn keep(&self, entries: &mut Entries<K, V>, key: K, value: Arc<V>) {
        let weight = (self.weigh)(&value);
        if entries.weight.saturating_add(weight) > self.capacity {
            entries.old = std::mem::take(&mut entries.young);
            entries.weight = 0;
        }
        // What is heavier than a whole generation is read each time.
        if weight <= self.capacity {
            entries.weight += weight;
            entries.young.insert(key, value);
        }
    }

    /// Drops one entry.
    pub(super) fn forget<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.changes += 1;
        entries.old.remove(key);
        if let Some(value) = entries.young.remove(key) {
            entries.weight = entries.weight.saturating_sub((self.weigh)(&value));
        }
    }

    /// Drops the entries that match.
    pub(super) fn forget_where(&self, matches: impl Fn(&V) -> bool) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.changes += 1;
        entries.old.retain(|_, value| !matches(value));
        entries.young.retain(|_, value| !matches(value));
        entries.weight = entries.young.values().map(|value| (self.weigh)(value)).sum();
    }

    /// Drops everything.
    pub(super) fn clear(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.changes += 1;
        entries.old.clear();
        entries.young.clear();
        entries.weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(followed: &Followed<String, u8>, key: &str, fresh: bool, stored: Option<u8>) -> Option<u8> {
        let load = || async { Ok::<_, ()>(stored) };
        let value = followed.get(key, fresh, load).await.expect("it loads");
        value.map(|value| *value)
    }

    #[tokio::test]
    async fn a_value_read_before_a_change_is_not_kept() {
        let followed = Followed::entries(10);
        let read_then_changed = || async {
            followed.forget("a");
            Ok::<_, ()>(Some(1))
        };
        assert_eq!(
            followed.get("a", true, read_then_changed).await,
            Ok(Some(Arc::new(1)))
        );
        assert_eq!(read(&followed, "a", true, Some(2)).await, Some(2));
        assert_eq!(read(&followed, "a", true, Some(3)).await, Some(2), "kept");
        followed.forget_where(|value| *value == 2);
        assert_eq!(read(&followed, "a", true, Some(4)).await, Some(4));
        followed.clear();
        assert_eq!(read(&followed, "a", true, Some(5)).await, Some(5));
    }

    #[tokio::test]
    async fn a_stale_feed_reads_through_and_absence_is_not_kept() {
        let followed = Followed::entries(10);
        assert_eq!(read(&followed, "a", true, None).await, None);
        assert_eq!(read(&followed, "a", true, Some(1)).await, Some(1));
        assert_eq!(read(&followed, "a", false, Some(2)).await, Some(2));
        assert_eq!(
            read(&followed, "a", true, Some(3)).await,
            Some(2),
            "the newer one is kept"
        );
    }

    #[tokio::test]
    async fn it_is_bounded_and_keeps_what_is_used() {
        let followed = Followed::entries(10);
        for round in 0..100_u8 {
            let used = read(&followed, "used", true, Some(round)).await;
            assert_eq!(used, Some(0), "read once, used in every round");
            read(&followed, &round.to_string(), true, Some(round)).await;
        }
        let entries = followed.entries.read().expect("not poisoned");
        assert!(entries.young.len() <= 10 && entries.old.len() <= 10);
        assert_eq!(entries.weight, entries.young.len());
    }

    #[tokio::test]
    async fn what_is_too_heavy_is_not_kept() {
        let followed = Followed::weighed(100, |value: &u8| usize::from(*value));
        assert_eq!(read(&followed, "a", true, Some(101)).await, Some(101));
        assert_eq!(read(&followed, "a", true, Some(60)).await, Some(60));
        assert_eq!(read(&followed, "b", true, Some(60)).await, Some(60));
        assert_eq!(
            read(&followed, "a", true, Some(9)).await,
            Some(60),
            "in the older generation"
        );
    }
}
