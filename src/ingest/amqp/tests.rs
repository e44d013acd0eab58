//! The source against a real RabbitMQ on 127.0.0.1:5672, each test with queues of its own, deleted afterwards.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::FutureExt as _;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::config::QueueType;
use crate::ingest::{Settled, samples};
use crate::model::event::EventId;

const BROKER: &str = "127.0.0.1:5672";

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// A broker with queues of one test.
struct Broker {
    connection: Connection,
    channel: Channel,
    source: AmqpSource,
    counted: Arc<Mutex<Vec<&'static str>>>,
}

/// Runs one test and deletes its queues, however it ends.
async fn with_broker(test: impl AsyncFnOnce(Arc<Broker>)) {
    let url = format!("amqp://guest:guest@{BROKER}/%2f");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let name = format!("postbackd-test-{}", uuid::Uuid::now_v7());
    let source = AmqpSource {
        url: url.into(),
        queue: name.as_str().into(),
        exchange: name.as_str().into(),
        rejected: format!("{name}.rejected").into(),
        queue_type: QueueType::Classic,
        prefetch: 100,
        declare: true,
        container: Some("shop".into()),
    };
    let broker = Broker { connection, channel, source, counted: Arc::default() };
    let broker = Arc::new(broker);
    let given = broker.clone();
    let ended = AssertUnwindSafe(tokio::time::timeout(2 * DEADLINE, test(given))).catch_unwind().await;
    let (queue, rejected) = (&*broker.source.queue, &*broker.source.rejected);
    for queue in [queue, rejected, &format!("{queue}.dead")] {
        broker.delete(queue).await;
    }
    broker.channel.exchange_delete(queue.into(), ExchangeDeleteOptions::default()).await.unwrap();
    match ended {
        Ok(in_time) => in_time.expect("the test came to its end"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

impl Broker {
    fn start(&self, room: usize) -> (AmqpHandle, mpsc::Receiver<Arrival>) {
        self.start_with(self.source.clone(), room)
    }

    fn start_with(&self, source: AmqpSource, room: usize) -> (AmqpHandle, mpsc::Receiver<Arrival>) {
        let (arrivals, arrived) = mpsc::channel(room);
        let counted = self.counted.clone();
        let counts = Counts { rejected: Box::new(move |_, reason| counted.lock().unwrap().push(reason)) };
        let state = AmqpState { arrivals, config: samples::shared(samples::config()), counts: Arc::new(counts) };
        (start(source, state), arrived)
    }

    /// Publishes and waits until a queue has it.
    async fn publish_with(&self, body: &str, properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let exchange = (*self.source.exchange).into();
        let sent = self.channel.basic_publish(exchange, "any.key".into(), options, body.as_bytes(), properties);
        assert_eq!(sent.await.unwrap().await.unwrap(), Confirmation::Ack(None));
    }

    async fn publish(&self, body: &str) {
        self.publish_with(body, BasicProperties::default()).await;
    }

    /// Messages that are ready: neither delivered nor gone. `None` where there is no such queue.
    async fn ready(&self, queue: &str) -> Option<u32> {
        self.look_at(queue).await.map(|queue| queue.message_count())
    }

    async fn look_at(&self, queue: &str) -> Option<lapin::Queue> {
        let channel = self.connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), options, FieldTable::default()).await.ok()
    }

    async fn declare(&self, queue: &str, arguments: FieldTable) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    }

    async fn delete(&self, queue: &str) {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    async fn eventually_ready(&self, queue: &str, count: u32) {
        eventually(async || self.ready(queue).await == Some(count)).await;
    }
}

async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, polled).await.expect("it came about in time");
}

async fn connected(handle: &AmqpHandle) {
    let mut status = handle.status();
    tokio::time::timeout(DEADLINE, status.wait_for(|s| s.connected)).await.unwrap().unwrap();
}

async fn next(arrived: &mut mpsc::Receiver<Arrival>) -> Arrival {
    tokio::time::timeout(DEADLINE, arrived.recv()).await.unwrap().unwrap()
}

fn id(arrival: &Arrival) -> String {
    arrival.events[0].id.to_string()
}

fn event(id: u32) -> String {
    format!(r#"{{"track":"P","eventId":"{id}"}}"#)
}

const STORED: Settled = Settled::Stored { duplicates: 0 };

#[tokio::test]
async fn an_open_message_holds_back_the_acknowledgement_of_later_ones() {
    with_broker(async |broker: Arc<Broker>| {
        let (handle, mut arrived) = broker.start(100);
        connected(&handle).await;
        for id in 1..=20 {
            broker.publish(&event(id)).await;
        }
        let mut arrivals = Vec::new();
        for n in 1..=20 {
            let arrival = next(&mut arrived).await;
            assert_eq!(id(&arrival), n.to_string(), "in the order received");
            arrivals.push(arrival);
        }
        let first = arrivals.remove(0);
        arrivals.into_iter().rev().for_each(|a| a.receipt.settle(STORED));
        drop(handle);
        broker.eventually_ready(&broker.source.queue, 20).await;
        first.receipt.settle(STORED);

        let (handle, mut arrived) = broker.start(100);
        let mut arrivals = Vec::new();
        for _ in 0..20 {
            arrivals.push(next(&mut arrived).await);
        }
        let last = arrivals.pop().unwrap();
        arrivals.into_iter().for_each(|a| a.receipt.settle(STORED));
        // The stop waits for the last one, and leaves nothing behind.
        let stopping = tokio::spawn(handle.stop());
        eventually(async || broker.look_at(&broker.source.queue).await.unwrap().consumer_count() == 0).await;
        broker.publish(&event(21)).await;
        broker.eventually_ready(&broker.source.queue, 1).await;
        assert!(!stopping.is_finished());
        last.receipt.settle(STORED);
        tokio::time::timeout(DEADLINE, stopping).await.unwrap().unwrap();
        assert_eq!(broker.ready(&broker.source.queue).await, Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_full_channel_stops_the_reading_and_keeps_the_order() {
    with_broker(async |broker: Arc<Broker>| {
        let source = AmqpSource { prefetch: 3, ..broker.source.clone() };
        let (handle, mut arrived) = broker.start_with(source, 1);
        connected(&handle).await;
        for id in 1..=20 {
            broker.publish(&event(id)).await;
        }
        broker.eventually_ready(&broker.source.queue, 17).await;
        for n in 1..=20 {
            let arrival = next(&mut arrived).await;
            assert_eq!(id(&arrival), n.to_string());
            arrival.receipt.settle(STORED);
        }
        handle.stop().await;
        assert_eq!(broker.ready(&broker.source.queue).await, Some(0));
    })
    .await;
}

fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

#[tokio::test]
async fn what_is_rejected_is_kept_unchanged_with_the_reason() {
    with_broker(async |broker: Arc<Broker>| {
        let (handle, mut arrived) = broker.start(100);
        connected(&handle).await;
        let large = "x".repeat(300_001);
        let rejected = [
            ("this is not json", "malformed", ""),
            (r#"{"k":"shop","track":"Purchase","value":5}"#, "invalid", "currency"),
            (r#"{"k":"nobody","track":"Purchase"}"#, "unknown_container", "k"),
            (r#"[{"track":"P"},{"track":"P","timestamp":"yesterday-ish"}]"#, "invalid", "[1].timestamp"),
            (&large, "too_large", ""),
        ];
        let mut headers = FieldTable::default();
        headers.insert("mine".into(), AMQPValue::LongString("kept".into()));
        headers.insert("CC".into(), AMQPValue::FieldArray(vec![AMQPValue::LongString("elsewhere".into())].into()));
        let properties = BasicProperties::default()
            .with_message_id("m1".into())
            .with_content_type("application/json".into())
            .with_user_id("guest".into())
            .with_expiration("600000".into())
            .with_timestamp(1_768_046_400)
            .with_headers(headers);
        for (body, ..) in &rejected {
            broker.publish_with(body, properties.clone()).await;
        }
        broker.publish(&event(1)).await;
        broker.eventually_ready(&broker.source.rejected, 5).await;
        // So is what turns out to be at fault only when it is admitted.
        let fault = next(&mut arrived).await;
        fault.receipt.settle(Settled::Rejected { reason: "internal_error", field: "track".to_owned() });
        broker.eventually_ready(&broker.source.rejected, 6).await;
        for (body, reason, field) in rejected {
            let queue = (*broker.source.rejected).into();
            let got = broker.channel.basic_get(queue, BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
            let kept = &got.delivery.properties;
            assert!(got.delivery.data == body.as_bytes(), "unchanged");
            assert_eq!(header(kept, "x-postbackd-reason").as_deref(), Some(reason));
            assert_eq!(header(kept, "x-postbackd-field").as_deref(), Some(field));
            assert_eq!(header(kept, "mine").as_deref(), Some("kept"));
            assert_eq!(header(kept, "x-postbackd-user_id").as_deref(), Some("guest"));
            assert_eq!(header(kept, "x-postbackd-expiration").as_deref(), Some("600000"));
            assert!(!kept.headers().as_ref().unwrap().contains_key("CC"));
            assert_eq!((kept.expiration(), kept.delivery_mode()), (&None, &Some(2)));
            assert_eq!(kept.message_id().as_ref().unwrap().as_str(), "m1");
            assert_eq!(*kept.timestamp(), Some(1_768_046_400));
        }
        handle.stop().await;
        assert_eq!(broker.ready(&broker.source.queue).await, Some(0), "all acknowledged");
        let expect = ["malformed", "invalid", "unknown_container", "invalid", "too_large", "internal_error"];
        assert_eq!(*broker.counted.lock().unwrap(), expect);
    })
    .await;
}

#[tokio::test]
async fn a_rejected_message_that_is_not_confirmed_is_not_acknowledged() {
    with_broker(async |broker: Arc<Broker>| {
        // A queue that takes nothing. It exists with other arguments, so it is used as it is.
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(0));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        broker.declare(&broker.source.rejected, arguments).await;
        let (handle, mut arrived) = broker.start(100);
        connected(&handle).await;
        broker.publish("bad").await;
        broker.publish(&event(1)).await;
        next(&mut arrived).await.receipt.settle(STORED);
        eventually(async || !broker.counted.lock().unwrap().is_empty()).await;
        drop(handle);
        broker.eventually_ready(&broker.source.queue, 2).await;

        // Deleted under way, it is made again, and the message goes through.
        let (handle, mut arrived) = broker.start(100);
        next(&mut arrived).await.receipt.settle(STORED);
        broker.delete(&broker.source.rejected).await;
        broker.eventually_ready(&broker.source.rejected, 1).await;
        handle.stop().await;
        assert_eq!(broker.ready(&broker.source.queue).await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_queue_is_made_again() {
    with_broker(async |broker: Arc<Broker>| {
        let (handle, mut arrived) = broker.start(100);
        connected(&handle).await;
        let mut status = handle.status();
        status.mark_unchanged();
        broker.delete(&broker.source.queue).await;
        tokio::time::timeout(DEADLINE, status.wait_for(|s| !s.connected && s.ever_connected)).await.unwrap().unwrap();
        connected(&handle).await;
        broker.publish(&event(1)).await;
        assert_eq!(id(&next(&mut arrived).await), "1");
    })
    .await;
}

/// Forwards connections to the broker until they are cut.
struct Proxy {
    address: String,
    cut: watch::Sender<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, mut cuts) = watch::channel(());
        tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((mut near, _)) = listener.accept() => {
                        open.spawn(async move {
                            let mut far = TcpStream::connect(BROKER).await.unwrap();
                            drop(copy_bidirectional(&mut near, &mut far).await);
                        });
                    }
                    cut = cuts.changed() => match cut {
                        Ok(()) => open.abort_all(),
                        Err(_) => return,
                    },
                }
            }
        });
        Self { address, cut }
    }
}

#[tokio::test]
async fn a_cut_connection_is_built_anew_and_open_messages_come_again() {
    with_broker(async |broker: Arc<Broker>| {
        let proxy = Proxy::start().await;
        let url = format!("amqp://guest:guest@{}/%2f", proxy.address);
        let (handle, mut arrived) = broker.start_with(AmqpSource { url: url.into(), ..broker.source.clone() }, 100);
        connected(&handle).await;
        broker.publish(r#"{"track":"P"}"#).await;
        broker.publish("bad").await;
        let stale = next(&mut arrived).await;
        broker.eventually_ready(&broker.source.rejected, 1).await;
        let mut status = handle.status();
        proxy.cut.send(()).unwrap();
        tokio::time::timeout(DEADLINE, status.wait_for(|s| !s.connected)).await.unwrap().unwrap();
        stale.receipt.settle(STORED);
        let again = next(&mut arrived).await;
        assert!(matches!(again.events[0].id, EventId::Assigned { redelivered: true, .. }));
        again.receipt.settle(STORED);
        // The rejected one comes again too, since the open one before it held back its acknowledgement.
        broker.eventually_ready(&broker.source.rejected, 2).await;
        handle.stop().await;
        assert_eq!(broker.ready(&broker.source.queue).await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn a_pause_and_a_failing_store_let_go_of_open_messages() {
    with_broker(async |broker: Arc<Broker>| {
        let (handle, mut arrived) = broker.start(100);
        connected(&handle).await;
        broker.publish(&event(1)).await;
        let held = next(&mut arrived).await;
        handle.switch().pause();
        broker.eventually_ready(&broker.source.queue, 1).await;
        held.receipt.settle(STORED);
        let mut status = handle.status();
        tokio::time::timeout(DEADLINE, status.wait_for(|s| !s.connected)).await.unwrap().unwrap();
        handle.switch().resume();
        next(&mut arrived).await.receipt.settle(Settled::Unavailable);
        next(&mut arrived).await.receipt.settle(STORED);
        handle.stop().await;
        assert_eq!(broker.ready(&broker.source.queue).await, Some(0));
    })
    .await;
}

#[tokio::test]
async fn without_declare_missing_queues_are_named_and_waited_for() {
    with_broker(async |broker: Arc<Broker>| {
        let source = AmqpSource { declare: false, ..broker.source.clone() };
        let (handle, _arrived) = broker.start_with(source, 100);
        let mut status = handle.status();
        let named = status.wait_for(|s| s.detail.contains(&*broker.source.queue) && !s.ever_connected);
        tokio::time::timeout(DEADLINE, named).await.unwrap().unwrap();
        broker.declare(&broker.source.queue, FieldTable::default()).await;
        broker.declare(&broker.source.rejected, FieldTable::default()).await;
        connected(&handle).await;
        handle.stop().await;
        assert_eq!(broker.ready(&format!("{}.dead", broker.source.queue)).await, None);
    })
    .await;
}

#[tokio::test]
async fn a_quorum_queue_serves_as_well_and_a_different_queue_as_it_is() {
    with_broker(async |broker: Arc<Broker>| {
        let quorum = AmqpSource { queue_type: QueueType::Quorum, ..broker.source.clone() };
        // Twice as a quorum queue, then as a classic one, which it is not.
        for source in [quorum.clone(), quorum, broker.source.clone()] {
            let (handle, mut arrived) = broker.start_with(source, 100);
            connected(&handle).await;
            broker.publish("bad").await;
            broker.publish(&event(1)).await;
            next(&mut arrived).await.receipt.settle(STORED);
            // The stop waits for the rejected one, too.
            handle.stop().await;
            broker.eventually_ready(&broker.source.queue, 0).await;
        }
        broker.eventually_ready(&broker.source.rejected, 3).await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_ends_a_source_that_never_connected() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://guest:secret@{}/%2f", nobody.local_addr().unwrap());
    let source = AmqpSource {
        url: url.into(),
        queue: "q".into(),
        exchange: "e".into(),
        rejected: "r".into(),
        queue_type: QueueType::Classic,
        prefetch: 1,
        declare: true,
        container: None,
    };
    let (arrivals, _arrived) = mpsc::channel(1);
    let state = AmqpState { arrivals, config: samples::shared(samples::config()), counts: Arc::new(Counts::none()) };
    let handle = start(source, state);
    let status = handle.status();
    tokio::time::timeout(DEADLINE, handle.stop()).await.unwrap();
    assert!(!status.borrow().ever_connected && !status.borrow().detail.contains("secret"));
}
