"""A client that a generator makes of the OpenAPI document: it compiles, and a till can be built on it."""

from __future__ import annotations

import asyncio
import compileall
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.flow.stage import BOUGHT_AT, JOINED_AT, Town, grocery, points_of, voucher

pytestmark = [pytest.mark.anyio]

PROGRAM = "generated"
NAME = "laurel_client"
AMOUNT = 50_000
# What it does not know is sent and read as it is; of programs it knows the JSON and leaves out the YAML.
CONFIG = """
content_type_overrides:
  application/x-ndjson: application/octet-stream
  text/csv: application/octet-stream
  text/event-stream: text/plain
post_hooks: []
"""


@pytest.fixture(scope="module")
async def generated(town: Town, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the client, made of what the gateway serves."""
    place = tmp_path_factory.mktemp("client")
    document = place / "openapi.json"
    document.write_text((await town.door().http.get("/openapi.json")).text, encoding="utf-8")
    config = place / "config.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    command = [
        sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), "--config", str(config),
        "--meta", "none", "--output-path", str(place / NAME),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    left_out = re.findall(r"^WARNING.*\n\n(.*)$", said.decode(), re.MULTILINE)
    assert set(left_out) <= {"Unsupported content type application/yaml"}, said.decode()
    return place


@pytest.fixture
def client(generated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The client, as a program imports it."""
    monkeypatch.syspath_prepend(str(generated))
    yield importlib.import_module(NAME)
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


async def test_it_compiles_with_an_operation_for_each_of_the_document(
    town: Town, generated: Path, client: ModuleType
) -> None:
    assert compileall.compile_dir(str(generated / NAME), quiet=2)
    names = {each.name for each in pkgutil.walk_packages(client.__path__, f"{NAME}.")}
    for name in names:
        importlib.import_module(name)
    document = (await town.door().http.get("/openapi.json")).json()
    wanted = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    assert {name.rpartition(".")[2] for name in names if ".api." in name} >= wanted


async def test_a_till_is_built_on_it(town: Town, client: Any) -> None:
    door = town.door()
    await door.publish(grocery(PROGRAM))
    await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(100), 201)

    models = importlib.import_module(f"{NAME}.models")

    def operation(tag: str, name: str) -> Any:
        return importlib.import_module(f"{NAME}.api.{tag}.{name}").asyncio

    token = door.http.headers["authorization"].removeprefix("Bearer ")
    address = str(door.http.base_url)
    till = client.AuthenticatedClient(base_url=address, token=token, raise_on_unexpected_status=True, timeout=60)
    async with till:
        card = models.Identifier(scheme="card", value="6340001")
        new = models.EnrolMember(member="m-1", identifiers=[card], enrolled_at=datetime.fromisoformat(JOINED_AT))
        member = await operation("members", "enrol_member")(PROGRAM, client=till, body=new)
        assert (member.member, member.status) == ("m-1", "active")

        bought = models.Activity(
            id="b-1", type_="purchase", member=card, occurred_at=datetime.fromisoformat(BOUGHT_AT), currency="USD",
            amount=AMOUNT,
        )  # fmt: skip
        activity = await operation("earning", "report_activity")(PROGRAM, client=till, body=bought, prefer="wait=30")
        assert [award.amount for award in activity.awards] == [points_of(AMOUNT)]

        shown = await operation("members", "get_member")(PROGRAM, "m-1", client=till)
        assert shown.balances[0].available == points_of(AMOUNT)

        wanted = models.RequestRedemption(member="m-1", reward="off")
        redeem = operation("redeeming", "redeem")
        redeemed = await redeem(PROGRAM, client=till, body=wanted, idempotency_key='"r-1"', prefer="wait=30")
        assert redeemed.state == "fulfilled"
        (issued,) = redeemed.vouchers
        code = issued.code if hasattr(issued, "code") else issued["code"]

        use = models.RedeemVoucher(reference="b-2", basket=models.Money(amount=5_000, currency="USD"))
        spend = operation("redeeming", "redeem_voucher")
        spent = await spend(PROGRAM, code, client=till, body=use, prefer="wait=30")
        assert spent.state == "spent"

        refused = await spend(PROGRAM, code, client=till, body=models.RedeemVoucher(reference="b-3"), prefer="wait=30")
        assert (refused.status, refused.code) == (409, "voucher_spent")
        unknown = await operation("members", "get_member")(PROGRAM, "nobody", client=till)
        assert (unknown.status, unknown.code) == (404, "member_unknown")
    await town.prove()
