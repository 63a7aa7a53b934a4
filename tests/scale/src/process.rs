//! What Linux tells of this process.

/// The highest resident memory so far, in bytes.
pub(crate) fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc, so Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("VmHWM");
    let kibibytes: u64 = line
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .expect("a number");
    kibibytes * 1024
}

/// Seconds of processor time so far, the kernel's included.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc, so Linux");
    // The second field is the name in parentheses, which may contain anything.
    let rest = stat.rsplit_once(')').expect("a name").1;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    // Linux counts in hundredths of a second on every platform that Rust supports.
    ticks as f64 / 100.0
}
