//! Pages of memory.

/// Keeps this process from transparent huge pages. A proxy holds many small buffers that come and go, spread over the
/// allocator's arenas: a huge page that one of them touches counts 2 MiB as resident, and an idle event stream cost half
/// as much again (docs/performance/gateway.md).
pub(crate) fn disable_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "transparent huge pages cannot be disabled");
    }
}
