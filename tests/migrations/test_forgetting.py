"""What migrations forget of what was kept too long."""

from __future__ import annotations

import asyncio

from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.migrating import bootstrap, migrate
from tests.migrations.conftest import connected, migrate_up_to

GIVEN = """
insert into redemption.pool_codes (program, digest, reward, expires_at, sealed, suffix, member, voucher)
values ('grocery', 'free', 'cinema', 'infinity', 'sealed', '0001', null, null),
       ('grocery', 'taken', 'cinema', 'infinity', 'sealed', '0002', 'm-1', 'v-1')"""


def test_the_pool_forgets_what_it_has_handed_out(postgres: EmbeddedPostgres, name: str) -> None:
    async def in_two_steps() -> list[tuple[bytes, bytes | None]]:
        urls = await bootstrap(postgres.url("admin", "postgres"), postgres.secrets.passwords, name)
        await migrate_up_to(urls, {"redemption": "redemption_0025"})
        async with connected(urls.owner) as owner:
            await owner.execute(GIVEN)
        await migrate(urls.owner)
        async with connected(urls.owner) as owner:
            kept = await owner.fetch("select digest, sealed from redemption.pool_codes order by digest")
            return [(digest, sealed) for digest, sealed in kept]

    assert asyncio.run(in_two_steps()) == [(b"free", b"sealed"), (b"taken", None)]
