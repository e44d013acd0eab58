//! Whom a command speaks to: the running daemon, or where none runs the store itself.
//!
//! Refuses: making a store for a question. Where there is none, nothing has been logged.

use super::admin::Admin;
use super::{Exit, Failure};
use crate::config::{Config, StoreChoice};
use crate::store::{Store, StoreError};

/// What was found.
pub enum Reached {
    Daemon(Admin),
    Store(Store),
}

/// What to do where there is no store yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Without {
    Fail,
    Create,
}

/// Finds the daemon of this configuration, else opens its store.
///
/// # Errors
/// Neither can be had.
pub async fn reach(config: &Config, without: Without) -> Result<Reached, Failure> {
    let admin = Admin::new(config)?;
    if admin.is_there().await? {
        return Ok(Reached::Daemon(admin));
    }
    match &config.store {
        StoreChoice::Embedded { path } => {
            if !path.exists() && without == Without::Fail {
                let place = path.display();
                return Err(Failure::new(
                    Exit::No,
                    format_args!("no daemon answers at {} and there is no store at {place}", admin.address()),
                ));
            }
            Store::open(path, |_| ()).map(Reached::Store).map_err(|error| match error {
                StoreError::Locked(_) => Failure::new(
                    Exit::Unreachable,
                    format_args!("a daemon runs, but nothing answers at {} (`admin.listen`): {error}", admin.address()),
                ),
                other => Failure::new(Exit::Unreachable, other),
            })
        }
    }
}

/// What the store says when it can't.
pub fn failed(error: &StoreError) -> Failure {
    Failure::new(Exit::Unreachable, error)
}
