//! Names to addresses, of which only those that the guard permits are dialled. Since the connection is made to what is
//! answered here, a name cannot be looked up twice with two answers.
//!
//! Refuses: caching. The pool keeps connections, and a partner that moves is found at once.
//!
//! One name is looked up at most once at a time, whoever waits for it: the system's resolver blocks a thread for each
//! question, and a name that hangs must not take the threads of all others.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{Denied, Guard};

/// The name could not be looked up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LookupFailed(Arc<str>);

type Found = Result<Arc<[SocketAddr]>, LookupFailed>;
type Lookup = Shared<BoxFuture<'static, Found>>;

/// The resolver of every client.
#[derive(Clone)]
pub(crate) struct Resolver {
    guard: Arc<Guard>,
    /// The host of `egress.proxy`, which may be private: the operator named it.
    proxy: Option<Arc<str>>,
    under_way: Arc<Mutex<HashMap<Box<str>, Lookup>>>,
}

impl Resolver {
    pub(crate) fn new(guard: Arc<Guard>, proxy: Option<Arc<str>>) -> Self {
        Self { guard, proxy, under_way: Arc::default() }
    }

    fn lookup(&self, host: &str) -> Lookup {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = under_way.get(host) {
            return lookup.clone();
        }
        let (name, done) = (host.to_owned(), self.under_way.clone());
        // A task of its own, so that it ends and is forgotten even if all who asked have given up.
        let task = tokio::spawn(async move {
            let found = ask(&name).await;
            done.lock().unwrap_or_else(PoisonError::into_inner).remove(name.as_str());
            found
        });
        let lookup = async { task.await.unwrap_or_else(|gone| Err(LookupFailed(gone.to_string().into()))) };
        let lookup = lookup.boxed().shared();
        under_way.insert(host.into(), lookup.clone());
        lookup
    }
}

async fn ask(name: &str) -> Found {
    // The port is the connector's to fill in; 0 says so.
    match tokio::net::lookup_host((name, 0)).await {
        Ok(found) => Ok(found.collect()),
        Err(e) => Err(LookupFailed(e.to_string().into())),
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxy.as_deref().is_some_and(|proxy| proxy.eq_ignore_ascii_case(name.as_str()));
        let (lookup, guard) = (self.lookup(name.as_str()), self.guard.clone());
        Box::pin(async move {
            let found = lookup.await?;
            let usable: Vec<_> = found.iter().copied().filter(|a| is_proxy || guard.permits(a.ip())).collect();
            if usable.is_empty() {
                return Err(if found.is_empty() {
                    LookupFailed("the name has no address".into()).into()
                } else {
                    Denied.into()
                });
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolved(resolver: &Resolver, name: &str) -> Result<usize, String> {
        match resolver.resolve(name.parse().unwrap()).await {
            Ok(found) => Ok(found.count()),
            Err(e) if e.is::<Denied>() => Err("denied".into()),
            Err(e) if e.is::<LookupFailed>() => Err("failed".into()),
            Err(e) => Err(format!("unexpected: {e}")),
        }
    }

    #[tokio::test]
    async fn a_name_for_a_private_address_is_denied_unless_allowed() {
        let strict = Resolver::new(Arc::new(Guard::default()), None);
        assert_eq!(resolved(&strict, "localhost").await, Err("denied".into()));
        let allow = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let allowing = Resolver::new(Arc::new(Guard::new(allow)), None);
        assert!(resolved(&allowing, "localhost").await.is_ok());
        let proxied = Resolver::new(Arc::new(Guard::default()), Some("LOCALHOST".into()));
        assert!(resolved(&proxied, "localhost").await.is_ok());
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_failed_and_leaves_nothing_behind() {
        let resolver = Resolver::new(Arc::new(Guard::default()), None);
        let both =
            futures_util::future::join(resolved(&resolver, "no.invalid"), resolved(&resolver, "no.invalid")).await;
        assert_eq!(both, (Err("failed".into()), Err("failed".into())));
        assert!(resolver.under_way.lock().unwrap().is_empty());
    }
}
