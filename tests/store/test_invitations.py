"""Invitations: hashes only, uses that are counted across processes, revocation that stays."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palate.errors import ConflictError, InputError, NotFoundError
from palate.store import (
    EventKind,
    Invitations,
    Store,
    StudyState,
    invitation_payload,
    open_store,
    secret_hash,
)

SECRET = "s" * 43
NOON, LATER = "2026-01-01T12:00:00+00:00", "2026-01-01T12:00:01+00:00"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "study.db") as opened:
        yield opened


def session(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def invited(store: Store, **options: Any) -> str:
    payload = invitation_payload(options.pop("secret", SECRET), **options)
    store.append(EventKind.INVITED, payload)
    return str(payload["id"])


def use(store: Store, invitation: str, browser: str) -> None:
    store.append(EventKind.INVITATION_USED, {"id": invitation, "session": session(browser)})


def test_only_the_hash_of_the_secret_is_stored(store: Store, tmp_path: Path) -> None:
    invitation = invited(store, group="clinicians")
    use(store, invitation, "browser")
    state = StudyState.replay(store.events())
    kept = state.invitations.by_id[invitation]
    assert kept.secret == secret_hash(SECRET) == hashlib.sha256(SECRET.encode()).hexdigest()
    assert kept.sessions == (session("browser"),)
    assert (kept.role, kept.group, kept.uses, kept.revoked) == ("rater", "clinicians", 1, None)
    store.close()
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_pseudonyms_and_names_of_invitations_are_random() -> None:
    made = [invitation_payload(f"{n}" * 43) for n in range(50)]
    assert (
        len({str(payload["rater"]) for payload in made})
        == len({str(payload["id"]) for payload in made})
        == 50
    )
    assert all(str(payload["rater"]).startswith("rater-") for payload in made)
    assert str(invitation_payload(SECRET, role="viewer")["rater"]).startswith("viewer-")


def test_expiry_ends_the_link_and_the_browsers(store: Store) -> None:
    invitation = invited(store, expires=LATER, uses=2)
    use(store, invitation, "browser")
    kept = StudyState.replay(store.events()).invitations.by_id[invitation]
    assert (kept.is_open(NOON), kept.is_usable(NOON)) == (True, True)
    assert (kept.is_open(LATER), kept.is_usable(LATER)) == (False, False)
    assert kept.is_open("2026-01-01T13:00:00+02:00")  # the same hour told in another zone


def test_uses_are_counted_across_processes(store: Store, tmp_path: Path) -> None:
    invitation = invited(store, uses=2)
    with open_store(tmp_path / "study.db") as other:
        use(other, invitation, "one")
        use(store, invitation, "two")
        for each in (store, other):
            with pytest.raises(ConflictError, match="all its browsers"):
                use(each, invitation, "three")
    kept = StudyState.replay(store.events()).invitations.by_id[invitation]
    assert not kept.is_usable(NOON)
    assert kept.is_open(NOON)


def test_revocation_ends_everything_and_may_be_repeated(store: Store) -> None:
    invitation = invited(store, uses=5)
    use(store, invitation, "one")
    for _ in range(2):
        store.append(EventKind.INVITATION_REVOKED, {"id": invitation})
    kept = StudyState.replay(store.events()).invitations.by_id[invitation]
    assert kept.revoked
    assert not kept.is_open(NOON)
    with pytest.raises(ConflictError, match="revoked"):
        use(store, invitation, "two")
    with pytest.raises(NotFoundError, match="palate invitations"):
        store.append(EventKind.INVITATION_REVOKED, {"id": "nobody"})
    with pytest.raises(NotFoundError):
        use(store, "nobody", "three")


def test_what_nobody_could_use_is_refused(store: Store) -> None:
    good = invitation_payload(SECRET)
    for change in (
        {"role": "owner"},
        {"role": ["rater"]},
        {"secret": SECRET},
        {"uses": 0},
        {"uses": True},
        {"uses": 101},
        {"expires": "tomorrow"},
        {"expires": "2026-01-01T12:00:00"},
        {"rater": ""},
        {"rater": "palate"},
        {"rater": "<b>"},
        {"group": "a\nb"},
        {"group": "a" * 81},
        {"id": "../x"},
    ):
        with pytest.raises(InputError, match="an invitation's"):
            store.append(EventKind.INVITED, {**good, **change})
    store.append(EventKind.INVITED, good)
    for change in ({"id": "other", "rater": "rater-other"}, {"secret": "0" * 64}):
        with pytest.raises(ConflictError, match="repeats"):
            store.append(EventKind.INVITED, {**good, **change})


def test_a_server_reads_these_events_and_no_others(store: Store) -> None:
    store.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
    before = store.admissions
    invitation = invited(store)
    store.append(EventKind.STUDY_CLOSED, {"reason": "done"})
    use(store, invitation, "browser")
    store.append(EventKind.PAGE_OPENED, {"origin": "https://rate.example.org"})
    assert store.admissions == before + 3
    found = store.access_events()
    assert [event.kind.value for event in found] == ["invited", "invitation_used", "page_opened"]
    assert [event.seq for event in store.access_events(found[0].seq)] == [found[1].seq, found[2].seq]
    folded = Invitations()
    for event in found:
        folded.apply(event)
    assert folded == StudyState.replay(store.events()).invitations
    assert folded.by_secret(secret_hash(SECRET)) == folded.by_session(session("browser"))
    assert folded.origin == "https://rate.example.org"
    assert not store.verify()


def test_a_rater_who_is_removed_is_out_and_the_name_is_gone(store: Store) -> None:
    before = store.admissions
    made = store.invite("Anna", SECRET, group="nurses", expires=LATER, uses=2)
    viewer = store.invite("Ben", SECRET[::-1] + "x", role="viewer")
    assert store.admissions == before + 2
    assert store.rater_names() == {made.rater: "Anna", viewer.rater: "Ben"}
    assert "Anna" not in "".join(str(event.payload) for event in store.events())
    assert StudyState.replay(store.events()).raters == {made.rater: "nurses"}
    use(store, made.id, "browser")
    store.remove_rater(made.rater)
    assert store.admissions == before + 4
    state = StudyState.replay(store.events())
    assert state.invitations.by_id[made.id].revoked
    assert not state.invitations.by_id[made.id].is_open(NOON)
    assert store.access_events()[-1].kind is EventKind.RATER_REMOVED
    assert store.rater_names() == {viewer.rater: "Ben"}
    with pytest.raises(ConflictError, match="revoked"):
        use(store, made.id, "another")
    assert not store.verify()


def test_an_invitation_that_is_refused_leaves_nothing(store: Store) -> None:
    with pytest.raises(InputError, match="role is one of rater, viewer"):
        store.invite("Anna", SECRET, role="owner")
    with pytest.raises(InputError, match="name"):
        store.invite("  ", SECRET)
    assert store.last_seq() == 0
    assert store.rater_names() == {}
