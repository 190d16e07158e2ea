"""A real Apache Kafka without Docker: its jars by Maven coordinates, one KRaft node on free ports.

It has the same handles as `laurel.embedded.broker.EmbeddedBroker`, so a test takes either.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

from laurel.embedded.broker import comes_to_answer
from laurel.embedded.children import Child
from laurel.embedded.ports import LOCALHOST, free_port
from laurel.errors import LaurelError

VERSIONS = ("4.3.0", "4.1.1", "4.0.0")
"""Tried in this order; the first that can be fetched is taken."""

JAVA_VERSION_MIN = 17
FETCH_SECONDS_MAX = 600
START_SECONDS_MAX = 60.0

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>laurel</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class KafkaUnavailableError(LaurelError):
    """Java, Maven or the jars are missing; the message says which."""


class RealKafka:
    """One broker process; it keeps its port through `restart_empty`, so clients find it again."""

    def __init__(self, jars: Path, work_dir: Path) -> None:
        self._jars = jars
        self._work_dir = work_dir
        self._storage: Path | None = None
        self._child: Child | None = None
        self.port = free_port()
        self.cluster_id = ""

    @property
    def bootstrap(self) -> str:
        return f"{LOCALHOST}:{self.port}"

    @property
    def child(self) -> Child | None:
        return self._child

    def start(self) -> Self:
        """Format an empty storage with a new cluster id, start, and return when it answers."""
        self._format()
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> Child:
        """Start on the storage that is there, without waiting: a broker that was killed comes back as who it was."""
        self._child = Child(
            "kafka",
            [*self._java("512m"), "kafka.Kafka", str(self._properties())],
            log=self._work_dir / "kafka.log",
        )
        return self._child

    def wait_until_ready(self) -> None:
        """Return when a request for metadata is answered; raise KafkaUnavailableError when that does not happen."""
        assert self._child is not None
        if not comes_to_answer(self._child, self.port, START_SECONDS_MAX):
            words = self._child.last_words(30)
            self.stop()
            raise KafkaUnavailableError(f"Kafka did not start. The end of its log:\n{words}")

    def _format(self) -> None:
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._work_dir.mkdir(parents=True, exist_ok=True)
        self._storage = Path(tempfile.mkdtemp(dir=self._work_dir, prefix="kraft-"))
        properties = self._properties()
        properties.write_text(
            PROPERTIES.format(host=LOCALHOST, port=self.port, controller_port=free_port(), logs=self._storage / "logs"),
            encoding="utf-8",
        )
        format_storage = ["kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(properties)]
        formatted = subprocess.run([*self._java("128m"), *format_storage], capture_output=True, text=True, check=False)
        if formatted.returncode != 0:
            words = f"{formatted.stdout}{formatted.stderr}"
            raise KafkaUnavailableError(f"Kafka's storage could not be formatted:\n{words}")

    def _properties(self) -> Path:
        assert self._storage is not None
        return self._storage / "server.properties"

    def stop(self) -> None:
        """End the process and forget its storage. Nothing is worth a slow goodbye: the data goes with it."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        if self._storage is not None:
            shutil.rmtree(self._storage, ignore_errors=True)
            self._storage = None

    def restart_empty(self) -> None:
        """Lose everything: same address, new cluster id."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _java(self, heap: str) -> list[str]:
        java = shutil.which("java")
        assert java is not None
        # A quick start matters more here than a fast steady state.
        flags = [f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=WARN"]
        return [java, *flags, "-cp", f"{self._jars}/*"]


def missing_tool() -> str | None:
    """Why a real Kafka cannot run here, or None."""
    if shutil.which("mvn") is None:
        return "Maven (mvn) is not installed"
    java = shutil.which("java")
    if java is None:
        return "Java is not installed"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found.group(1)) < JAVA_VERSION_MIN:
        return f"Java {JAVA_VERSION_MIN} or newer is needed, and this one is {found.group(1) if found else 'unknown'}"
    return None


def fetch_jars(cache: Path) -> Path:
    """The directory of Kafka's jars, fetched once into the cache."""
    for version in VERSIONS:
        done = cache / f"kafka-{version}"
        if done.is_dir():
            return done
    reason = missing_tool()
    if reason is not None:
        raise KafkaUnavailableError(reason)
    words = ""
    for version in VERSIONS:
        with tempfile.TemporaryDirectory(prefix="laurel-maven-") as place:
            pom = Path(place) / "pom.xml"
            pom.write_text(POM.format(version=version), encoding="utf-8")
            try:
                fetched = subprocess.run(
                    [
                        "mvn", "--batch-mode", "--quiet", "--file", str(pom), "dependency:copy-dependencies",
                        "-DincludeScope=runtime", f"-DoutputDirectory={place}/jars",
                    ],
                    capture_output=True, text=True, check=False, timeout=FETCH_SECONDS_MAX,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                words = f"Maven took more than {FETCH_SECONDS_MAX} s"
                continue
            if fetched.returncode == 0 and any(Path(place, "jars").glob("kafka_2.13-*.jar")):
                cache.mkdir(parents=True, exist_ok=True)
                done = cache / f"kafka-{version}"
                shutil.copytree(Path(place, "jars"), done, dirs_exist_ok=True)
                return done
            words = fetched.stdout + fetched.stderr
    raise KafkaUnavailableError(f"Kafka's jars could not be fetched:\n{words[-2000:]}")
