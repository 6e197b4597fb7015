//! What the system says of a process: its processor time and its memory.

use std::{fs, time::Duration};

/// As many open files as the system lets this process and its children have: nine thousand listen.
pub(crate) fn open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// The kernel's unit of processor time towards programs (`USER_HZ`): the same wherever Linux runs this.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process.
pub(crate) fn processor_time(pid: i32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in brackets may have anything in it.
    let rest = text.rsplit_once(')').unwrap().1;
    let ticks: u32 =
        rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().unwrap()).sum();
    TICK * ticks
}

/// A line of `/proc/PID/status` in megabytes: `VmRSS`, `VmHWM`.
pub(crate) fn memory(pid: i32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1_024.0 / 1e6
}
