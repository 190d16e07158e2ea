"""Keep every member's balance with confluent-kafka, from the earliest event on (`pip install laurel[examples]`).

python examples/consume_confluent.py 127.0.0.1:9092 balances.db
"""

from __future__ import annotations

import argparse

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from counted import Balances


def follow(kafka: str, topic: str, balances: Balances, idle_seconds: float | None) -> None:
    """Follow the topic; ends when nothing came for `idle_seconds`, without them never."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "balances", "enable.auto.commit": False})
    try:
        # No group is joined: the database knows how far we are, so reading from the beginning changes nothing.
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        while True:
            record = consumer.poll(1.0 if idle_seconds is None else idle_seconds)
            if record is None:
                if idle_seconds is not None:
                    return
                continue
            if record.error() is not None:
                raise KafkaException(record.error())
            headers = {name: value.decode() for name, value in record.headers() or () if value is not None}
            balances.apply(headers, record.value() or b"{}")
    finally:
        consumer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kafka", help="host:port of a broker")
    parser.add_argument("database", help="where the balances are kept")
    parser.add_argument("--topic", default="laurel.points.v1")
    parser.add_argument("--idle-seconds", type=float, help="end when nothing came for so long")
    asked = parser.parse_args()
    balances = Balances(asked.database)
    follow(asked.kafka, asked.topic, balances, asked.idle_seconds)
    balances.close()


if __name__ == "__main__":
    main()
