//! Memory holds keys and tokens, and a secret that was named `env:` stands in the process's environment.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From here on the kernel writes no core file of this process, and lets no other process of the same user read its memory
/// or its environment, or trace it.
pub(crate) fn forbid() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // The limit alone does not hold where a program collects core dumps; the other alone could be lifted by a debugger.
    let forbidden =
        setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = forbidden {
        tracing::warn!(%error, "core dumps cannot be forbidden");
    }
}
