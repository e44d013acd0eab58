//! Figures as a person reads them.
//!
//! Refuses: averages. Minimum, median and maximum say what one lucky or unlucky round did.

use crate::measure::{Consumer, Figures};

/// One run.
pub fn line(queue_type: &str, round: usize, consumer: Consumer, f: &Figures) -> String {
    let name = match consumer {
        Consumer::Bare => "bare loop",
        Consumer::Daemon => "postbackd",
    };
    let broker = f.broker_cpu.map_or_else(|| "    -".to_owned(), |cpu| format!("{cpu:5.3}"));
    format!(
        "{queue_type:8} round {} {name:10} {:8.0} events/s  CPU s per 10k: {:5.3} (broker {broker}, sink {:5.3})  peak {:6.1} MiB  \
         lost 0  repeated {}",
        round + 1,
        f.events_per_s,
        f.cpu,
        f.sink_cpu,
        f.peak_mib,
        f.repeats,
    )
}

/// All rounds of a queue type, each a pair of bare loop and daemon.
pub fn summary(queue_type: &str, rounds: &[(Figures, Figures)]) -> String {
    let spread = |of: &dyn Fn(&(Figures, Figures)) -> f64, digits: usize| {
        let mut values: Vec<f64> = rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        let ends = (values[0], values[values.len() - 1]);
        format!("{:.digits$} / {median:.digits$} / {:.digits$}", ends.0, ends.1)
    };
    let with_broker = |f: &Figures| f.cpu + f.broker_cpu.unwrap_or(0.0);
    let rows = [
        ("bare loop, events/s", spread(&|r| r.0.events_per_s, 0)),
        ("postbackd, events/s", spread(&|r| r.1.events_per_s, 0)),
        ("ratio of events/s, postbackd to bare loop", spread(&|r| r.1.events_per_s / r.0.events_per_s, 3)),
        ("bare loop, CPU s per 10k events", spread(&|r| r.0.cpu, 3)),
        ("postbackd, CPU s per 10k events", spread(&|r| r.1.cpu, 3)),
        ("ratio of CPU, postbackd to bare loop", spread(&|r| r.1.cpu / r.0.cpu, 2)),
        ("the same with the broker's CPU on both sides", spread(&|r| with_broker(&r.1) / with_broker(&r.0), 2)),
        ("bare loop, peak MiB", spread(&|r| r.0.peak_mib, 1)),
        ("postbackd, peak MiB", spread(&|r| r.1.peak_mib, 1)),
    ];
    let rows: Vec<String> = rows.iter().map(|(name, value)| format!("  {name:46} {value}")).collect();
    format!("{queue_type}: min / median / max of {} rounds\n{}", rounds.len(), rows.join("\n"))
}
