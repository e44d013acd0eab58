//! A wire that can be cut: a TCP proxy between the daemon and the broker.
//!
//! Refuses: understanding what it carries.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    whole: watch::Sender<bool>,
    server: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Carries everything between a port of its own and `target` (`host:port`).
    pub async fn start(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().unwrap();
        let (whole, seen) = watch::channel(true);
        let server = tokio::spawn(async move {
            let mut wires = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                // While cut, a caller is turned away at once.
                if *seen.borrow() {
                    wires.spawn(carry(stream, target.clone(), seen.clone()));
                }
                while wires.try_join_next().is_some() {}
            }
        });
        Self { address, whole, server }
    }

    /// Breaks every connection and refuses the next ones.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn carry(mut near: TcpStream, target: String, mut whole: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(&target).await else { return };
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

#[tokio::test]
async fn a_cut_wire_carries_nothing_until_it_is_mended() {
    use crate::{http::Http, partner::Partner};
    let partner = Partner::start().await;
    let proxy = Proxy::start(partner.url.trim_start_matches("http://").to_owned()).await;
    let (http, url) = (Http::new(), format!("http://{}/", proxy.address));
    assert_eq!(http.get(&url).await.unwrap().status, 200);
    proxy.cut();
    assert!(http.get(&url).await.is_err());
    proxy.mend();
    assert_eq!(http.get(&url).await.unwrap().status, 200);
}
