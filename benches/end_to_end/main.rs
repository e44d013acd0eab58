//! How fast the daemon is, as ratios: against the least that any consumer must do, and against what a shop would write
//! by hand, on the same broker, messages and sink. Beside it stands what no ratio shows: latency, isolation, growth.
//!
//! Refuses: absolute promises. Broker, consumer and sink share one machine, so only figures of one run may be compared;
//! parties are measured in turn, and ratios taken round by round. `benches/README.md` says how to run it.
#![allow(clippy::print_stdout, reason = "a benchmark's product is what it prints")]

mod ask;
mod bare;
mod consumer;
mod daemon;
mod figures;
mod fill;
mod folder;
mod messages;
mod options;
mod process;
mod queue;
mod run;
mod scenarios;
mod sink;
mod targets;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;

use figures::Table;
use options::Options;

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // This program starts itself again as the other parties, each a process of its own with books of its own.
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [sink::MODE, settings] => sink::serve(serde_json::from_str(settings)?).map(|()| ExitCode::SUCCESS),
        [bare::MODE, settings] => bare::run(&serde_json::from_str(settings)?).map(|()| ExitCode::SUCCESS),
        [fill::MODE, settings] => fill::run(&serde_json::from_str(settings)?).map(|()| ExitCode::SUCCESS),
        _ => measure(&Options::parse()),
    }
}

/// Runs the scenarios one after the other. One that fails takes no other with it, and the exit code tells.
fn measure(options: &Options) -> anyhow::Result<ExitCode> {
    options.check()?;
    let (purchase, view) = (messages::Purchase::new(0, "0").json().len(), messages::view(0, "0").len());
    println!("{}; purchases of {purchase} bytes, page views of {view}", options.told());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::default();
    for scenario in options.scenarios() {
        table.begin(scenario.title());
        let began = Instant::now();
        if let Err(error) = runtime.block_on(scenario.run(options, &mut table)) {
            table.fail(&error);
        }
        println!("took {:.0} s", began.elapsed().as_secs_f64());
    }
    println!("{table}");
    Ok(if table.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
