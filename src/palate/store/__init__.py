"""What is remembered: events, in one SQLite file or on a PostgreSQL server, and what follows from them.

:func:`open_store` opens a study, :class:`StudyState` is what its events add up to.
``docs/ideas/store.md`` tells why it is built this way.
"""

from palate.store._backend import StoreInfo
from palate.store._beliefs import BeliefPoint, belief_json, belief_of
from palate.store._columns import VERDICTS, VoteColumns
from palate.store._comparisons import comparisons
from palate.store._events import (
    EventKind,
    GoldDuel,
    StoredEvent,
    candidate_json,
    candidate_of,
    candidates_payload,
    gold_payload,
    inputs_payload,
    pairing_payload,
    utc_now,
)
from palate.store._export import EXPORT_FORMATS, ExportReport, export
from palate.store._invitations import Invitation, Invitations, invitation_payload, secret_hash
from palate.store._meetings import Meetings
from palate.store._outline import StudyOutline
from palate.store._postgres_url import check_address, is_postgres
from palate.store._raters import Progress, RaterRules
from palate.store._state import (
    GrowthRound,
    ShownDuel,
    Stage,
    StudyState,
    guideline_version,
    seed_of,
)
from palate.store._store import Store, check_server, open_store

__all__ = [
    "EXPORT_FORMATS",
    "VERDICTS",
    "BeliefPoint",
    "EventKind",
    "ExportReport",
    "GoldDuel",
    "GrowthRound",
    "Invitation",
    "Invitations",
    "Meetings",
    "Progress",
    "RaterRules",
    "ShownDuel",
    "Stage",
    "Store",
    "StoreInfo",
    "StoredEvent",
    "StudyOutline",
    "StudyState",
    "VoteColumns",
    "belief_json",
    "belief_of",
    "candidate_json",
    "candidate_of",
    "candidates_payload",
    "check_address",
    "check_server",
    "comparisons",
    "export",
    "gold_payload",
    "guideline_version",
    "inputs_payload",
    "invitation_payload",
    "is_postgres",
    "open_store",
    "pairing_payload",
    "secret_hash",
    "seed_of",
    "utc_now",
]
