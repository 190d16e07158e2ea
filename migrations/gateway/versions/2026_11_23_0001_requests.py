"""Partners, keys, programs, requests and their outcomes, batches, and what the other services' events tell.

Why: the first schema of the gateway. Tables that grow are hash-partitioned by the key they are asked by. A request's
row starts small and grows by its outcome, so its pages are filled thinly: the outcome then lands beside the
row it belongs to and no index moves.
"""

from alembic import op

from migrations.messaging import create_messaging_tables
from migrations.partitions import partitions_of

revision = "gateway_0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
MEMBER = f"program {KEY}, member {KEY}"

PLAIN = {
    "partners": f"""(partner {KEY} PRIMARY KEY, name text, created_by {KEY},
        created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)""",
    "api_keys": f"""(key {KEY} PRIMARY KEY, prefix {KEY} UNIQUE, hash bytea NOT NULL, partner {KEY},
        scopes text[] NOT NULL, programs text[] NOT NULL, adjust_limit bigint, expires_at timestamptz,
        created_at timestamptz NOT NULL, created_by text, revoked_at timestamptz)""",
    "programs": f"""(program {KEY} PRIMARY KEY, version integer NOT NULL, clock text NOT NULL,
        as_of timestamptz, changed_at timestamptz NOT NULL)""",
    "program_versions": f"""(program {KEY}, version integer NOT NULL, hash text NOT NULL, document bytea NOT NULL,
        effective_from timestamptz NOT NULL, published_at timestamptz NOT NULL, PRIMARY KEY (program, version))""",
    "rewards": f"""(program {KEY}, reward {KEY}, document bytea NOT NULL, epoch integer NOT NULL,
        sequence bigint NOT NULL, published_at timestamptz NOT NULL, PRIMARY KEY (program, reward))""",
    "batches": f"""(program {KEY}, batch {KEY}, partner {KEY}, state text NOT NULL,
        received bigint NOT NULL DEFAULT 0, read_through bigint NOT NULL DEFAULT 0, asked bigint NOT NULL DEFAULT 0,
        unearned bigint NOT NULL DEFAULT 0, rejected bigint NOT NULL DEFAULT 0,
        duplicate bigint NOT NULL DEFAULT 0, following bigint NOT NULL DEFAULT 0, body_offset bigint NOT NULL DEFAULT 0, broken boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL, touched_at timestamptz NOT NULL, finished_at timestamptz,
        PRIMARY KEY (program, batch)) WITH (fillfactor = 40)""",
    "batch_outcomes": f"""(program {KEY}, batch {KEY}, posted bigint NOT NULL DEFAULT 0,
        refused bigint NOT NULL DEFAULT 0, PRIMARY KEY (program, batch)) WITH (fillfactor = 40)""",
    "batch_awarded": f"""(program {KEY}, batch {KEY}, unit {KEY}, amount numeric(30, 0) NOT NULL,
        PRIMARY KEY (program, batch, unit)) WITH (fillfactor = 40)""",
    "batch_turn": '("only" boolean PRIMARY KEY DEFAULT true, CONSTRAINT batch_turn_only CHECK ("only"))',
}

PARTITIONED = {
    "members": (
        f"""({MEMBER}, status text NOT NULL, enrolled_at timestamptz NOT NULL, person text, referred_by text,
        attributes bytea NOT NULL, tier bytea, balances bytea, version bigint NOT NULL DEFAULT 0,
        epoch integer NOT NULL DEFAULT 0, sequence bigint NOT NULL DEFAULT 0, created_at timestamptz NOT NULL,
        PRIMARY KEY (program, member)) PARTITION BY HASH (program, member)""",
        60,
    ),
    "identifiers": (
        f"""(program {KEY}, scheme {KEY}, hash bytea NOT NULL, member {KEY}, created_at timestamptz NOT NULL,
        PRIMARY KEY (program, scheme, hash)) PARTITION BY HASH (program, scheme, hash)""",
        100,
    ),
    "requests": (
        f"""(program {KEY}, kind {KEY}, partner {KEY}, id {KEY}, attempt integer NOT NULL, hash text NOT NULL,
        state text NOT NULL, member text, subject text, code text, outcome bytea, body bytea, batch text, line bigint,
        delayed boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL, answered_at timestamptz,
        PRIMARY KEY (program, kind, partner, id)) PARTITION BY HASH (program, id)""",
        20,
    ),
    "redemptions": (
        f"""(program {KEY}, redemption {KEY}, partner {KEY}, member {KEY}, reward {KEY}, request {KEY},
        state text NOT NULL, body bytea, epoch integer NOT NULL DEFAULT 0, sequence bigint NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (program, redemption)) PARTITION BY HASH (program, redemption)""",
        40,
    ),
    "batch_lines": (
        f"""(program {KEY}, batch {KEY}, line bigint NOT NULL, partner {KEY}, id {KEY}, member text, hash text NOT NULL,
        occurred_at timestamptz NOT NULL, of_id text, body bytea NOT NULL,
        PRIMARY KEY (program, batch, line)) PARTITION BY HASH (program, batch)""",
        100,
    ),
    "batch_faults": (
        f"""(program {KEY}, batch {KEY}, line bigint NOT NULL, id text, state text NOT NULL,
        status smallint NOT NULL, code text NOT NULL, detail text NOT NULL, errors bytea NOT NULL,
        PRIMARY KEY (program, batch, line)) PARTITION BY HASH (program, batch)""",
        100,
    ),
    "batch_following": (
        f"""(program {KEY}, batch {KEY}, line bigint NOT NULL, partner {KEY}, id {KEY},
        PRIMARY KEY (program, batch, line)) PARTITION BY HASH (program, batch)""",
        100,
    ),
}


def upgrade() -> None:
    """Create the gateway's tables."""
    partitions = partitions_of("gateway")
    create_messaging_tables(op, "gateway", partitions)
    for name, columns in PLAIN.items():
        op.execute(f"CREATE TABLE gateway.{name} {columns}")
    for name, (columns, fillfactor) in PARTITIONED.items():
        op.execute(f"CREATE TABLE gateway.{name} {columns}")
        storage = f" WITH (fillfactor = {fillfactor})" if fillfactor < 100 else ""
        for part in range(partitions):
            op.execute(
                f"CREATE TABLE gateway.{name}_p{part} PARTITION OF gateway.{name} "
                f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part}){storage}"
            )
    op.execute("INSERT INTO gateway.batch_turn DEFAULT VALUES")
    op.execute("CREATE INDEX batches_open ON gateway.batches (created_at) WHERE finished_at IS NULL")
    op.execute("CREATE INDEX identifiers_member ON gateway.identifiers (program, member)")


def downgrade() -> None:
    """Drop nothing: what callers asked is never taken back."""
