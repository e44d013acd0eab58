//! Child processes and what they cost, from /proc.
//!
//! Refuses: systems without /proc; there it says so. And waiting for ever: whatever a child is asked has its time.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

/// How long a process may take to end once it is asked to.
const ENDING: Duration = Duration::from_secs(45);

/// A process that is killed when it is no longer needed, whatever happens.
pub struct Process {
    child: Child,
    /// What it prints, if that comes to us. A thread reads it, so that nobody waits longer than he wants to.
    lines: Option<Receiver<String>>,
}

impl Process {
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let told = format!("{command:?}");
        let mut child = command.spawn().with_context(|| told)?;
        let lines = child.stdout.take().map(|output| {
            let (sender, lines) = channel();
            std::thread::spawn(move || {
                BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
            lines
        });
        Ok(Self { child, lines })
    }

    /// This very program in another mode, which ends when its stdin does: it never outlives us.
    pub fn own(
        mode: &str,
        settings: &impl Serialize,
        environment: impl Fn(&mut Command) -> &mut Command,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(mode).arg(serde_json::to_string(settings)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(environment(&mut command))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints.
    pub fn line(&self, within: Duration) -> anyhow::Result<String> {
        let lines = self.lines.as_ref().context("its output is not ours")?;
        lines.recv_timeout(within).with_context(|| format!("process {} printed nothing more", self.pid()))
    }

    /// SIGTERM; how it ended, if it did in time.
    pub fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        // Without unsafe code there is no kill(2) in std.
        Command::new("kill").arg(self.pid().to_string()).status()?;
        let end = Instant::now() + ENDING;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(Instant::now() < end, "process {} does not end", self.pid());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Books {
    /// User and system time, in seconds, of the process, its threads and its children.
    pub cpu_s: f64,
    /// The most memory it ever held.
    pub peak_mib: f64,
}

impl Books {
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        Ok(Self { cpu_s: cpu_s(pid)?, peak_mib: status_of(pid, "VmHWM")? / 1024.0 })
    }
}

/// User and system time, in seconds, of a process, its threads and its living and awaited children.
pub fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let per_s = clock_ticks_per_s()?;
    let family = family(pid)?;
    let ticks: u64 = family.iter().filter_map(|pid| ticks(*pid)).sum();
    Ok(ticks as f64 / per_s)
}

/// A number of /proc/PID/status: `VmRSS` and its like in KiB, `Threads`.
pub fn status_of(pid: u32, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    let line = line.with_context(|| format!("no {name} in /proc/{pid}/status"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
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
