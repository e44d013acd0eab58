"""What a shop would write by hand in Python: aio-pika in, httpx out, tried again in the process, acknowledged at the end.

python worker.py AMQP QUEUE SINK_HOST_PORT CONCURRENCY [mixed]

Prints `ready` once it consumes; SIGTERM ends it. With `mixed`, every transaction id that ends in 0 goes to a path that
is expected never to answer.

Refuses: everything that a dispatcher adds. What it lacks is listed in README.md.
"""

import asyncio
import json
import signal
import ssl
import sys
from urllib.parse import urlencode

import aio_pika
import httpx

try:
    from uvloop import run
except ImportError:
    from asyncio import run

ATTEMPTS = 5
# Seconds; doubled after each attempt.
BACKOFF_FIRST = 0.5
TIMEOUT_S = 10
# How long SIGTERM waits for what was begun.
GRACE_S = 5
# Messages held per request in flight: the next ones are at hand, and an event that sleeps between two attempts keeps no slot
# from the others. Of 1, 4 and 16 none was faster while nothing failed.
PREFETCH = 4


def target(sink: str, mixed: bool, body: bytes) -> str:
    # As text, 99.00 stays 99.00. As the float that json makes of it by itself, it would be sent as 99.0.
    event = json.loads(body, parse_float=str)
    transaction = event["transactionId"]
    path = "/hang/p" if mixed and transaction.endswith("0") else "/p"
    query = {
        "transaction_id": transaction,
        "click_id": event["gclid"],
        "value": event["value"],
        "currency": event["currency"],
        "event": event["track"],
        "ts": event["ts"],
    }
    return f"http://{sink}{path}?{urlencode(query)}"


# Made once: each client would read the certificates of all authorities anew.
TLS = ssl.create_default_context()


def client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    return httpx.AsyncClient(limits=limits, timeout=TIMEOUT_S, verify=TLS, trust_env=False)


class Worker:
    def __init__(self, sink: str, concurrency: int, mixed: bool):
        self.sink = sink
        self.mixed = mixed
        # One kept connection a client, one client a request in flight. A single client with so many connections is what its
        # documentation advises, but it looks through all of them at every request: at 64, twice the CPU of this.
        self.clients = [client() for _ in range(concurrency)]
        self.free: asyncio.Queue[httpx.AsyncClient] = asyncio.Queue()
        for one in self.clients:
            self.free.put_nowait(one)
        self.begun: set[asyncio.Task] = set()
        self.stopping = False

    async def handle(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        task = asyncio.current_task()
        self.begun.add(task)
        try:
            await self.send(message)
        finally:
            self.begun.discard(task)

    async def send(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        try:
            url = target(self.sink, self.mixed, message.body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            print(f"not a purchase: {error!r}", file=sys.stderr)
            return await message.nack(requeue=False)
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(BACKOFF_FIRST * 2 ** (attempt - 1))
            if await self.accepted(url):
                return await message.ack()
            if self.stopping:
                # Not acknowledged: the broker gives it to the next worker.
                return
        print(f"given up: {url}", file=sys.stderr)
        await message.nack(requeue=False)

    async def accepted(self, url: str) -> bool:
        client = await self.free.get()
        try:
            return not self.stopping and (await client.get(url)).is_success
        except httpx.HTTPError:
            return False
        finally:
            self.free.put_nowait(client)

    async def drain(self) -> None:
        self.stopping = True
        if self.begun:
            await asyncio.wait(self.begun, timeout=GRACE_S)
        for client in self.clients:
            await client.aclose()


async def main(amqp: str, queue_name: str, sink: str, concurrency: str, mode: str = "") -> None:
    worker = Worker(sink, int(concurrency), mode == "mixed")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await aio_pika.connect_robust(amqp) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH * int(concurrency))
        queue = await channel.get_queue(queue_name)
        tag = await queue.consume(worker.handle)
        print("ready", flush=True)
        await stop.wait()
        await queue.cancel(tag)
        await worker.drain()


if __name__ == "__main__":
    if not 5 <= len(sys.argv) <= 6:
        sys.exit("python worker.py AMQP QUEUE SINK_HOST_PORT CONCURRENCY [mixed]")
    run(main(*sys.argv[1:]))
