"""Keep every member's balance with aiokafka, from the earliest event on.

python examples/consume_aiokafka.py 127.0.0.1:9092 balances.db
"""

from __future__ import annotations

import argparse
import asyncio

from aiokafka import AIOKafkaConsumer
from counted import Balances


async def follow(
    kafka: str, topic: str, balances: Balances, idle_seconds: float | None, program: str | None = None
) -> None:
    """Follow the topic, of one program or of all; ends when nothing came for `idle_seconds`, without them never."""
    # Without a group: the database knows how far we are, so reading from the beginning again changes nothing.
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", group_id=None)
    await consumer.start()
    try:
        while True:
            timeout_ms = 1_000 if idle_seconds is None else int(idle_seconds * 1_000)
            fetched = await consumer.getmany(timeout_ms=timeout_ms)
            if not fetched and idle_seconds is not None:
                return
            for records in fetched.values():
                for record in records:
                    if program is not None and not record.key.startswith(f"{program}:".encode()):
                        continue
                    balances.apply({name: value.decode() for name, value in record.headers}, record.value)
    finally:
        await consumer.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kafka", help="host:port of a broker")
    parser.add_argument("database", help="where the balances are kept")
    parser.add_argument("--topic", default="laurel.points.v1")
    parser.add_argument("--idle-seconds", type=float, help="end when nothing came for so long")
    asked = parser.parse_args()
    balances = Balances(asked.database)
    asyncio.run(follow(asked.kafka, asked.topic, balances, asked.idle_seconds))
    balances.close()


if __name__ == "__main__":
    main()
