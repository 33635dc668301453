"""Where checkpoints are left outside the database, and the key that signs them."""

import stat
import subprocess
import threading
import time
from datetime import timedelta

import pytest

from remit.domain.checkpoints import Checkpoint, SigningKey, VerifierKey
from remit.errors import ConfigurationError, InvalidInput
from remit.governance.places import FolderPlace, GitPlace, parse_place
from remit.governance.sealer import LogForked, ensure_sealer_key


def test_a_folder_holds_every_checkpoint_and_the_newest(book, database, db, tmp_path):
    place = parse_place("file:outside", tmp_path)
    log = book.sealer(database, places=[place])
    for _ in range(3):
        book.put(db, 2)
        book.seal(log, 2)
    files = sorted(path.name for path in (tmp_path / "outside").glob("*/*.checkpoint"))
    assert files == [f"{size:020d}-{book.key.verifier.key_id.hex()}.checkpoint" for size in (2, 4, 6)]
    assert book.key.verifier.open(place.newest()).size == 6
    older = next((tmp_path / "outside").glob("*/00000000000000000002-*")).read_text()
    place.put(older)
    assert book.key.verifier.open(place.newest()).size == 6
    assert not list((tmp_path / "outside").rglob("*.new"))
    log.close()


def test_a_git_repository_holds_every_checkpoint(book, database, db, tmp_path):
    place = parse_place(f"git:{tmp_path / 'repo'}", tmp_path)
    log = book.sealer(database, places=[place])
    for _ in range(2):
        book.put(db, 2)
        book.seal(log, 2)
    (tmp_path / "repo" / "latest.checkpoint").write_text("scribbled over")
    assert book.key.verifier.open(place.newest()).size == 4
    history = subprocess.run(
        ["git", "-C", tmp_path / "repo", "log", "--format=%s"], capture_output=True, text=True, check=True
    )
    assert history.stdout.splitlines() == ["Checkpoint of 4 records", "Checkpoint of 2 records"]
    log.close()


def test_a_place_that_fails_is_reported_and_sealing_goes_on(book, database, db, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    log = book.sealer(database, places=[FolderPlace(blocked), FolderPlace(tmp_path / "good")])
    book.put(db, 2)
    until = time.monotonic() + 30
    while (done := log.seal_once()).checkpoint is None and time.monotonic() < until:
        pass
    assert len(done.troubles) == 1
    assert str(blocked) in done.troubles[0]
    assert book.key.verifier.open(FolderPlace(tmp_path / "good").newest()).size == 2
    blocked.unlink()
    assert log.seal_once().troubles == ()
    assert book.key.verifier.open(FolderPlace(blocked).newest()).size == 2
    log.close()


def test_a_place_that_hangs_holds_up_sealing_once_and_briefly(book, database, db):
    release = threading.Event()

    class Hanging:
        name = "hanging:place"

        def newest(self):
            release.wait(30)

        def put(self, note):
            release.wait(30)

    log = book.sealer(database, places=[Hanging()], patience=timedelta(milliseconds=100))
    book.put(db, 2)
    book.seal(log, 2)
    started = time.monotonic()
    book.put(db, 2)
    book.seal(log, 2)
    assert time.monotonic() - started < 20
    assert "no answer within 0.1 s" in log.seal_once().troubles[0]
    release.set()
    log.close()


@pytest.mark.parametrize("make", [FolderPlace, GitPlace])
def test_a_log_that_was_rolled_back_is_not_signed_on(book, database, db, tmp_path, make):
    place = make(tmp_path / "place")
    log = book.sealer(database, places=[place])
    book.put(db, 5)
    book.seal(log, 5)
    log.close()
    for table in ("checkpoints", "leaves", "merkle_nodes", "records"):
        db.execute(f"delete from remit.{table}")
    book.put(db, 9)
    behind = book.sealer(database, places=[place])
    for _ in range(2):
        with pytest.raises(LogForked, match="signed checkpoint of 5 records"):
            behind.seal_once()
    assert book.check(db) == (0, 9)
    behind.close()
    fresh = SigningKey.generate("remit-log")
    renewed = book.sealer(database, places=[place], key=fresh)
    book.seal(renewed, 9)
    assert fresh.verifier.open(place.newest()).size == 9
    renewed.close()


def test_a_place_that_did_not_answer_at_first_is_compared_when_it_does(book, database, db):
    held = book.key.sign(Checkpoint("remit-log", 400, bytes(32)))

    class Late:
        name = "late:place"
        asked = 0

        def newest(self):
            self.asked += 1
            if self.asked == 1:
                raise OSError("not mounted yet")
            return held

        def put(self, note):
            raise OSError("not mounted yet")

    log = book.sealer(database, places=[Late()])
    assert log.seal_once().troubles == ()  # nothing to deliver yet
    book.put(db)
    with pytest.raises(LogForked, match="400 records"):
        log.seal_once()
    log.close()


def test_places_are_read_from_their_text(tmp_path):
    assert parse_place("file:a", tmp_path).folder == tmp_path / "a"
    assert parse_place("file:/b", tmp_path).name == "file:/b"
    for wrong in ("", "file:", "a", "s3:x"):
        with pytest.raises(ConfigurationError):
            parse_place(wrong, tmp_path)


def test_a_checkpoint_of_another_origin_is_no_concern(book, database, db, tmp_path):
    place = FolderPlace(tmp_path)
    place.put(book.key.sign(Checkpoint("another-log", 77, bytes(32))))
    log = book.sealer(database, places=[place])
    book.put(db)
    book.seal(log, 1)
    assert book.check(db) == (1, 0)
    log.close()


def test_the_key_is_made_once_and_is_its_owners_only(tmp_path):
    folder = tmp_path / ".remit"
    made = []
    threads = [threading.Thread(target=lambda: made.append(ensure_sealer_key(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(key.verifier) for key in made}) == 1
    assert stat.S_IMODE((folder / "sealer.key").stat().st_mode) == 0o600
    public = (folder / "sealer.pub").read_text()
    assert VerifierKey.parse(public) == made[0].verifier
    assert public.startswith("remit-log+")
    assert sorted(path.name for path in folder.iterdir()) == ["sealer.key", "sealer.pub"]


def test_a_key_that_others_can_read_is_refused(tmp_path):
    ensure_sealer_key(tmp_path)
    (tmp_path / "sealer.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="others can read"):
        ensure_sealer_key(tmp_path)


def test_a_broken_key_is_never_replaced(tmp_path):
    ensure_sealer_key(tmp_path)
    (tmp_path / "sealer.key").write_text("nonsense")
    with pytest.raises(InvalidInput, match="not the private key"):
        ensure_sealer_key(tmp_path)
    assert (tmp_path / "sealer.key").read_text() == "nonsense"
