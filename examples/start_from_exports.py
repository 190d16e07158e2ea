"""Start from nothing: take all balances from an export, then follow the topic, without a gap and without a repeat.

    LAUREL_KEY=lk_... python examples/start_from_exports.py http://127.0.0.1:8080 grocery 127.0.0.1:9092 balances.db

Each row says up to which event of the topic it goes. The topic is read from its beginning, and what a row contains
already is left out; it need not hold the events from before the export.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os

import httpx
from consume_aiokafka import follow
from counted import Balances

TOPIC = "laurel.points.v1"


def take(http: httpx.Client, program: str, topic: str, balances: Balances) -> int:
    """Take every member's row; an export that breaks off begins again where it was."""
    cursor, rows = "", 0
    while True:
        try:
            with http.stream("GET", f"/v1/programs/{program}/exports/members", params={"cursor": cursor}) as answer:
                answer.raise_for_status()
                for line in answer.iter_lines():
                    row = json.loads(line)
                    contains = row["contains"][topic]
                    balances.put(
                        contains["source"], f"{program}:{row['member']}", contains["sequence"], row["balances"]
                    )
                    cursor = row["cursor"]
                    rows += 1
        except httpx.RemoteProtocolError:
            continue
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="the gateway")
    parser.add_argument("program")
    parser.add_argument("kafka", help="host:port of a broker")
    parser.add_argument("database", help="where the balances are kept")
    parser.add_argument("--topic", default=TOPIC)
    parser.add_argument("--idle-seconds", type=float, help="end when nothing came for so long")
    asked = parser.parse_args()
    balances = Balances(asked.database)
    headers = {"Authorization": f"Bearer {os.environ['LAUREL_KEY']}"}
    with httpx.Client(base_url=asked.address, headers=headers, timeout=60) as http:
        print(f"{take(http, asked.program, asked.topic, balances)} members", flush=True)
    asyncio.run(follow(asked.kafka, asked.topic, balances, asked.idle_seconds, asked.program))
    balances.close()


if __name__ == "__main__":
    main()
