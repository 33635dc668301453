"""The deploy key that a machine makes for itself."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from remit.errors import ConfigurationError
from remit.governance.signing import ensure_key, generate_key, load_key, public_text


def test_key_is_made_once_and_found_again(tmp_path):
    path = tmp_path / ".remit" / "deploy.key"
    public = ensure_key(path)
    assert public.startswith("ed25519:")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_key(path) == public == public_text(load_key(path))


def test_key_that_is_there_is_kept(tmp_path):
    public = generate_key(tmp_path / "deploy.key")
    assert ensure_key(tmp_path / "deploy.key") == public


def test_many_at_once_find_the_same_key(tmp_path):
    path = tmp_path / "deploy.key"
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: ensure_key(path), range(64)))
    assert found == {public_text(load_key(path))}
    assert [p.name for p in tmp_path.iterdir()] == ["deploy.key"]


def test_key_that_others_could_have_read_is_refused(tmp_path):
    path = tmp_path / "deploy.key"
    ensure_key(path)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="other users"):
        ensure_key(path)


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        ensure_key(tmp_path / "file" / "deploy.key")
