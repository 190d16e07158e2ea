"""`python -m laurel.embedded.kafka HOST PORT CLUSTER`: serve until told to stop."""

from __future__ import annotations

import gc
import sys

import uvloop

from laurel.embedded.kafka.broker import Broker
from laurel.embedded.kafka.serving import serve


async def run(host: str, port: int, cluster_id: str) -> None:
    """Serve for ever."""
    server = await serve(Broker(cluster_id, host, port), host, port)
    async with server:
        await server.serve_forever()


def main(arguments: list[str]) -> None:
    host, port, cluster_id = arguments
    # Batches are kept for good and refer to nothing: to look at all of them again and again would find no garbage.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    uvloop.run(run(host, int(port), cluster_id))


if __name__ == "__main__":
    main(sys.argv[1:])
