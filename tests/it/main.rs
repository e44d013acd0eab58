//! Black-box tests: the built binary, a real RabbitMQ, a scripted partner, and nothing but AMQP, HTTP, signals and exit codes.
//!
//! Refuses: importing the library. What a test knows of the daemon, a user can know too. `AMQP_URL` names the broker,
//! `POSTBACKD_TEST_DEADLINE_S` the patience, `POSTBACKD_TEST_KEEP=1` keeps the folders of the daemons.
#![allow(clippy::unwrap_used, reason = "in a test, and in what helps a test, a panic is the report")]
#![allow(clippy::print_stderr, reason = "what is left out must be said")]

mod broker;
mod daemon;
mod http;
mod networks;
mod partner;
mod ports;
mod proxy;
mod scenario;
mod wait;

mod broker_loss;
mod crash;
mod disk;
mod gallery;
mod isolation;
mod order;
mod samples;
mod scenarios;
mod shutdown;
mod tokens;
