//! What /proc says of a server.

use std::fs;

use anyhow::Context as _;

/// User and system time of a process so far, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; fields are counted after it (proc(5)): utime is the 14th of all.
    let rest = text.rsplit_once(") ").context("a stat line")?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // USER_HZ is 100 on every Linux architecture we run on.
    Ok(ticks * 10_000)
}

/// Resident memory in kilobytes.
pub(crate) fn rss_kb(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("a status line")?;
    Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
}
