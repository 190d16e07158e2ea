"""Send a file of activities, one JSON a line, and say what became of it. The same file twice changes nothing.

LAUREL_KEY=lk_... python examples/send_file.py http://127.0.0.1:8080 grocery stays.ndjson
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx


def packed(file: Path) -> Iterator[bytes]:
    """Pack the file as it is read: however large, it never stands in memory."""
    from zlib import compressobj

    packing = compressobj(wbits=31)
    with (gzip.open if file.suffix == ".gz" else open)(file, "rb") as source:
        while part := source.read(65_536):
            yield packing.compress(part)
    yield packing.flush()


def main() -> int:
    address, program, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    headers = {"Authorization": f"Bearer {os.environ['LAUREL_KEY']}"}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as http:
        sent = http.post(
            f"/v1/programs/{program}/batches",
            content=packed(file),
            headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
        )
        sent.raise_for_status()
        place = sent.headers["location"]
        while (batch := http.get(place).raise_for_status().json())["state"] in {"receiving", "running"}:
            time.sleep(0.2)
        print(f"{batch['state']}: {batch['posted']} posted, {batch['duplicate']} known, {batch['awarded']}")
        wrong = batch["rejected"] + batch["refused"]
        if wrong:
            print(http.get(f"{place}/errors").raise_for_status().text, end="")
    return 1 if wrong or batch["state"] != "done" else 0


if __name__ == "__main__":
    sys.exit(main())
