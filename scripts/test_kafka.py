"""Run the tests that are worth running against a real Apache Kafka, or say why that is not possible here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from laurel.testing.real_kafka import KafkaUnavailableError, fetch_jars, missing_tool

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".laurel-cache"


def main(arguments: list[str]) -> int:
    reason = missing_tool()
    if reason is not None:
        print(f"Not run against a real Kafka: {reason}.")
        return 0
    try:
        jars = fetch_jars(CACHE)
    except KafkaUnavailableError as error:
        print(f"Not run against a real Kafka: {error}")
        return 0
    print(f"Apache Kafka from {jars.name}")
    command = [sys.executable, "-m", "pytest", "-m", "kafka", "--kafka-real", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
