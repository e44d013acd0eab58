//! Child processes and what they cost, from /proc.
//!
//! Refuses: systems without /proc; there it says so.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// A process that is killed when it is no longer needed, whatever happens.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let told = format!("{command:?}");
        Ok(Self(command.spawn().with_context(|| told)?))
    }

    /// This very program, as something else.
    pub fn own(args: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// The next line it prints.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let output = self.0.stdout.as_mut().context("its output is not ours")?;
        BufReader::new(output).read_line(&mut line)?;
        anyhow::ensure!(!line.is_empty(), "process {} ended without a word", self.pid());
        Ok(line.trim_end().to_owned())
    }

    /// SIGTERM, and the exit code must be 0.
    pub fn terminate(mut self) -> anyhow::Result<()> {
        // Without unsafe code there is no kill(2) in std.
        Command::new("kill").arg(self.pid().to_string()).status()?;
        let status = self.0.wait()?;
        anyhow::ensure!(status.success(), "SIGTERM: {status}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// User and system time, in seconds, of a process, its threads and its living and awaited children.
pub fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let per_s = clock_ticks_per_s()?;
    let family = family(pid)?;
    let ticks: u64 = family.iter().filter_map(|pid| ticks(*pid)).sum();
    Ok(ticks as f64 / per_s)
}

/// The most memory it ever held, in MiB.
pub fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

/// The Erlang machines on this computer; the broker is one, unless it runs elsewhere.
pub fn broker_cpu_s() -> anyhow::Result<Option<f64>> {
    let mut found = None;
    for pid in pids()? {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim_end() == "beam.smp" {
            *found.get_or_insert(0.0) += ticks(pid).unwrap_or(0) as f64 / clock_ticks_per_s()?;
        }
    }
    Ok(found)
}

/// In the unit that /proc counts time in.
fn clock_ticks_per_s() -> anyhow::Result<f64> {
    let said = Command::new("getconf").arg("CLK_TCK").output().context("getconf CLK_TCK")?;
    Ok(String::from_utf8(said.stdout)?.trim().parse()?)
}

fn pids() -> anyhow::Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc").context("this benchmark reads /proc, which only Linux has")?;
    Ok(entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
}

/// The fields of /proc/PID/stat after the name, which may hold spaces.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// utime, stime, cutime, cstime: fields 14 to 17 of proc(5), of which the first two are cut off here.
fn ticks(pid: u32) -> Option<u64> {
    stat(pid)?.get(11..15)?.iter().map(|f| f.parse::<u64>().ok()).sum()
}

fn family(pid: u32) -> anyhow::Result<Vec<u32>> {
    let parents: HashMap<u32, u32> =
        pids()?.into_iter().filter_map(|p| Some((p, stat(p)?.get(1)?.parse().ok()?))).collect();
    let mut family = vec![pid];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        family.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(child, _)| *child));
        at += 1;
    }
    Ok(family)
}
