//! Over a real socket: what is sent, what comes back, and how each failure is named.

use super::super::testing::{Does, Partner, ms, says};
use super::*;
use crate::model::postback::Method;

fn egress(allow: &[&str]) -> Egress {
    Egress { allow: allow.iter().map(|net| net.parse().unwrap()).collect(), proxy: None }
}

fn get(url: String) -> Postback {
    Postback { method: Method::Get, url: Text::from(url.as_str()), headers: Vec::new(), body: None }
}

fn loopback() -> Wire {
    Clients::new(&egress(&["127.0.0.0/8"])).wire(ms(2000)).unwrap()
}

async fn send(wire: &Wire, postback: &Postback, total: Duration) -> Met {
    let secrets = Secrets::new(["s3cr3t-token".to_owned()]);
    wire.prepare(postback, total).unwrap().send(&secrets).await
}

fn reply(met: Met) -> Reply {
    match met {
        Met::Reply(reply) => reply,
        Met::Failure { .. } => panic!("no reply: {met:?}"),
    }
}

fn failure(met: Met) -> (FailureKind, String) {
    match met {
        Met::Failure { kind, detail } => (kind, detail),
        Met::Reply(_) => panic!("a reply: {met:?}"),
    }
}

#[tokio::test]
async fn a_request_goes_out_as_rendered_and_a_redirect_is_not_followed() {
    let partner = Partner::new(|_, _| Does::Says(302, "location: /elsewhere\r\n", "moved".into())).await;
    let postback = Postback {
        method: Method::Post,
        url: Text::from(format!("http://127.0.0.1:{}/a%2Fb?x=1&y=%20#f", partner.port).as_str()),
        headers: vec![("content-type".into(), Text::from("application/json")), ("X-Key".into(), Text::from("käse"))],
        body: Some(Text::from("{\"a\":1}")),
    };
    let reply = reply(send(&loopback(), &postback, ms(5000)).await);
    assert_eq!((reply.status, &*reply.body, reply.complete), (302, &b"moved"[..], true));
    let asked = partner.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, "POST /a%2Fb?x=1&y=%20 HTTP/1.1");
    assert_eq!(asked[0].body, b"{\"a\":1}");
    assert_eq!(asked[0].header("content-type"), "application/json");
    assert_eq!(asked[0].header("x-key"), "käse");
    assert_eq!(asked[0].header("user-agent"), concat!("postbackd/", env!("CARGO_PKG_VERSION")));
    assert_eq!(asked[0].header("referer"), "");
    assert_eq!(asked[0].header("accept-encoding"), "");
}

#[tokio::test]
async fn userinfo_of_the_url_becomes_basic_authorization() {
    let partner = Partner::new(|_, _| says(200)).await;
    let postback = get(format!("http://me:pass@127.0.0.1:{}/", partner.port));
    assert_eq!(reply(send(&loopback(), &postback, ms(5000)).await).status, 200);
    assert_eq!(partner.asked.lock().unwrap()[0].header("authorization"), "Basic bWU6cGFzcw==");
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_a_broken_one_keeps_the_status() {
    let long = "x".repeat(BODY_MAX + 10);
    for (does, status, length, complete) in [
        (Does::Says(200, "", "x".repeat(BODY_MAX)), 200, BODY_MAX, true),
        (Does::Says(200, "", long), 200, BODY_MAX, false),
        (Does::Writes(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec()), 200, 4, false),
        (Does::Writes(b"HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzz".to_vec()), 503, 4, false),
        (Does::Writes(b"HTTP/1.1 204 OK\r\n\r\n".to_vec()), 204, 0, true),
    ] {
        let partner = Partner::new(move |_, _| does.clone()).await;
        let reply = reply(send(&loopback(), &get(format!("http://127.0.0.1:{}/", partner.port)), ms(5000)).await);
        assert_eq!((reply.status, reply.body.len(), reply.complete), (status, length, complete));
    }
}

#[tokio::test]
async fn a_body_that_never_ends_ends_with_the_total_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let reply = reply(send(&loopback(), &get(format!("http://127.0.0.1:{port}/")), ms(200)).await);
    assert_eq!((reply.status, &*reply.body, reply.complete), (200, &b"half"[..], false));
    server.abort();
}

#[tokio::test]
async fn each_failure_has_its_name() {
    let wire = loopback();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let hangs = Partner::new(|_, _| Does::Hangs).await.port;
    let closes = Partner::new(|_, _| Does::Closes).await.port;
    let babbles = Partner::new(|_, _| Does::Writes(b"garbage\r\n\r\n".to_vec())).await.port;
    let plain = Partner::new(|_, _| Does::Writes(b"HTTP/1.1 400 Bad\r\n\r\n".to_vec())).await.port;
    for (url, expect) in [
        (format!("http://127.0.0.1:{closed}/?k=s3cr3t-token"), FailureKind::Refused),
        (format!("https://127.0.0.1:{closed}/?k=s3cr3t-token"), FailureKind::Refused),
        (format!("http://127.0.0.1:{hangs}/?k=s3cr3t-token"), FailureKind::Timeout),
        (format!("http://127.0.0.1:{closes}/?k=s3cr3t-token"), FailureKind::Reset),
        (format!("http://127.0.0.1:{babbles}/?k=s3cr3t-token"), FailureKind::Other),
        (format!("https://127.0.0.1:{plain}/?k=s3cr3t-token"), FailureKind::Tls),
        ("http://no-such-name.invalid/?k=s3cr3t-token".into(), FailureKind::Dns),
        ("http://10.0.0.1/?k=s3cr3t-token".into(), FailureKind::EgressDenied),
        ("http://[::1]/?k=s3cr3t-token".into(), FailureKind::EgressDenied),
    ] {
        let (kind, detail) = failure(send(&wire, &get(url.clone()), ms(700)).await);
        assert_eq!(kind, expect, "{url}: {detail}");
        assert!(!detail.is_empty() && !detail.contains("k=") && !detail.contains("s3cr3t"), "{url}: {detail}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_denied_where_it_is_dialled() {
    let partner = Partner::new(|_, _| says(200)).await;
    let url = format!("http://localhost:{}/", partner.port);
    let strict = Clients::new(&egress(&[])).wire(ms(2000)).unwrap();
    assert_eq!(failure(send(&strict, &get(url.clone()), ms(5000)).await).0, FailureKind::EgressDenied);
    assert_eq!(partner.count(), 0);
    assert_eq!(reply(send(&loopback(), &get(url), ms(5000)).await).status, 200);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let partner = Partner::new(|_, _| says(200)).await;
    let wire = loopback();
    let url = format!("http://127.0.0.1:{}/", partner.port);
    for _ in 0..20 {
        assert_eq!(reply(send(&wire, &get(url.clone()), ms(5000)).await).status, 200);
    }
    assert!(*partner.connections.lock().unwrap() < 3);
}

#[tokio::test]
async fn a_proxy_is_used_if_the_configuration_names_one() {
    let proxy = Partner::new(|_, _| says(202)).await;
    let url = format!("http://localhost:{}", proxy.port).parse().unwrap();
    let wire = Clients::new(&Egress { allow: Vec::new(), proxy: Some(url) }).wire(ms(2000)).unwrap();
    let met = send(&wire, &get("http://network.example/postback?a=1".into()), ms(5000)).await;
    assert_eq!(reply(met).status, 202);
    assert_eq!(proxy.asked.lock().unwrap()[0].line, "GET http://network.example/postback?a=1 HTTP/1.1");
    let met = send(&wire, &get("http://10.1.2.3/".into()), ms(5000)).await;
    assert_eq!(failure(met).0, FailureKind::EgressDenied, "an address is checked, proxy or not");
}

#[test]
fn what_cannot_be_sent_is_said_without_its_value() {
    let _runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = _runtime.enter();
    let wire = loopback();
    let with = |name: &str, value: &str| Postback {
        headers: vec![(name.into(), Text::from(value))],
        ..get("http://network.example/".into())
    };
    for (postback, expect) in [
        (get("not a url".into()), Unsendable::Url),
        (get("ftp://network.example/".into()), Unsendable::Url),
        (with("bad name", "x"), Unsendable::HeaderName("bad name".into())),
        (with("x-a", "line\nbreak"), Unsendable::HeaderValue("x-a".into())),
    ] {
        assert_eq!(wire.prepare(&postback, ms(1)).err(), Some(expect));
    }
}

#[test]
fn retry_after_is_read_in_every_form() {
    let noon = Some(RetryAfter::At(Time::from_ms(784_111_777_000)));
    let seconds = |n| Some(RetryAfter::In(Duration::from_secs(n)));
    for (text, expect) in [
        ("120", seconds(120)),
        (" 0 ", seconds(0)),
        ("99999999999999999999999", seconds(u64::MAX)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", noon),
        ("Sunday, 06-Nov-94 08:49:37 GMT", noon),
        ("Sun Nov  6 08:49:37 1994", noon),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(retry_after(&HeaderValue::from_str(text).unwrap()), expect, "{text:?}");
    }
}

#[test]
fn connectors_of_one_connect_timeout_share_a_client() {
    let mut clients = Clients::new(&egress(&[]));
    for connect in [1, 1, 2, 1, 2] {
        clients.wire(ms(connect)).unwrap();
    }
    assert_eq!(clients.by_timeout.len(), 2);
    assert!(clients.fits(&egress(&[])));
    assert!(!clients.fits(&egress(&["10.0.0.0/8"])));
}
