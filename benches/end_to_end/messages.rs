//! The messages of the benchmark.
//!
//! Refuses: chance. The n-th message of a run is always the same, so that all parties get the same ones.

/// The container that all of them name.
pub const CONTAINER: &str = "bench-key";

/// One purchase of about 520 bytes: another visitor, session, order and click each time, unless told otherwise.
pub struct Purchase<'a> {
    pub n: usize,
    /// Tells runs on one queue apart.
    pub run: &'a str,
    pub event: &'a str,
    /// Microseconds since the epoch, sent along as an attribute.
    pub ts: u64,
    /// The session of a visitor who is known already, in place of one of its own.
    pub session: Option<String>,
    /// Whether it brings clicks of its own, on its URL and in a field.
    pub lands: bool,
    /// Articles bought, and the bytes of what each is described with.
    pub items: usize,
    pub description: usize,
}

impl<'a> Purchase<'a> {
    pub fn new(n: usize, run: &'a str) -> Self {
        let ts = 1_700_000_000_000_000 + n as u64;
        Self { n, run, event: "Purchase", ts, session: None, lands: true, items: 1, description: 0 }
    }

    pub fn json(&self) -> String {
        let Self { n, run, event, ts, .. } = self;
        let hash = hash(*n);
        let session = self.session.clone().unwrap_or_else(|| format!("s-{hash}"));
        let (click, gclid) = if self.lands {
            (format!("&aff_click_id=c{hash}"), format!(r#""gclid":"Cj0KCQiA{hash}EALw_wcB","#))
        } else {
            Default::default()
        };
        let euros = 5 + n % 995;
        let description = "x".repeat(self.description);
        let item =
            format!(r#"{{"id":"SKU-{n}","name":"Example article{description}","quantity":1,"price":{euros}.49}}"#);
        let items = vec![item; self.items].join(",");
        format!(
            concat!(
                r#"{{"k":"{k}","track":"{event}","eventId":"ev-{run}-{n:08}","sessionId":"{session}","#,
                r#"{gclid}"email":"buyer-{session}@example.com","country":"DE","#,
                r#""transactionId":"tx-{n:08}","value":{euros}.49,"currency":"EUR","items":[{items}],"#,
                r#""url":"https://shop.example.com/checkout/thanks?order={n:08}{click}","#,
                r#""userAgent":"{agent}","ip":"203.0.113.7","ts":{ts}}}"#,
            ),
            k = CONTAINER,
            event = event,
            run = run,
            n = n,
            session = session,
            gclid = gclid,
            euros = euros,
            items = items,
            click = click,
            agent = AGENT,
            ts = ts,
        )
    }
}

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36";

/// Visitors who are on the site at the same time, and pages that each looks at.
const VISITORS_AT_ONCE: usize = 1000;
const VIEWS_PER_VISITOR: usize = 10;

/// One page view, of about 330 bytes. A visitor's views lie apart, as on a site that has others; every third visitor came by
/// an affiliate's link, every sixth by an advertisement.
pub fn view(n: usize, run: &str) -> String {
    let crowd = VISITORS_AT_ONCE * VIEWS_PER_VISITOR;
    let visitor = n / crowd * VISITORS_AT_ONCE + n % VISITORS_AT_ONCE;
    let page = n % crowd / VISITORS_AT_ONCE;
    let hash = hash(visitor);
    let click = match (page, visitor % 6) {
        (0, 0 | 3) => format!("?aff_click_id=c{hash}&utm_source=network"),
        (0, 1) => format!("?gclid=Cj0KCQiA{hash}EALw_wcB"),
        _ => String::new(),
    };
    format!(
        concat!(
            r#"{{"k":"{k}","track":"PageView","eventId":"pv-{run}-{n:08}","sessionId":"s-{hash}","clientId":"c-{hash}","#,
            r#""url":"https://shop.example.com/category/{page}/article-{n}{click}","#,
            r#""userAgent":"{agent}","ip":"203.0.113.{ip}"}}"#,
        ),
        k = CONTAINER,
        run = run,
        n = n,
        hash = hash,
        page = page,
        click = click,
        agent = AGENT,
        ip = visitor % 250 + 1,
    )
}

/// Spreads neighbours far apart, as random ids are: an index meets them in no order.
pub fn hash(n: usize) -> String {
    format!("{:016x}", (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
