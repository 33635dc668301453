"""Frames, messages, answers and scrubbing: whatever comes in, what goes on is bounded and without secrets."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_MODERN_VERSION

from remit.domain import canonical
from remit.runtime.connections import messages, peer
from remit.runtime.connections.answers import bounded, from_reply
from remit.runtime.connections.frames import Collector, Frame, Lines
from remit.runtime.connections.http import _header_value
from remit.runtime.connections.scrub import Scrubber
from remit.runtime.connections.wire import Attempt, Inbox, MisbehavedError, NotSentError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(-1e9, 1e9).map(lambda x: round(x, 6))
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def frame(data):
    return Frame(data, len(data))


def flood(inbox, times, data):
    for _ in range(times):
        inbox.receive(frame(data))


def test_the_protocol_is_the_one_of_the_library():
    assert set(HANDSHAKE_PROTOCOL_VERSIONS).symmetric_difference(peer.HANDSHAKE_VERSIONS) == set()
    assert LATEST_MODERN_VERSION == peer.MODERN_VERSION
    assert UNSUPPORTED_PROTOCOL_VERSION == peer.UNSUPPORTED_VERSION
    names = (PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY)
    assert names == (peer.META_VERSION, peer.META_CLIENT, peer.META_CAPABILITIES)


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_come_out_however_the_bytes_arrive(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    reader, found, start = Lines(1000), [], 0
    while start < len(stream):
        end = start + data.draw(st.integers(1, 12))
        found += [f.data for f in reader.feed(stream[start:end])]
        start = end
    assert found == lines
    assert reader.rest() is None


@given(st.lists(st.binary(min_size=1, max_size=9000), min_size=1, max_size=30), st.integers(10, 20_000))
def test_a_collector_keeps_the_beginning_and_the_end(chunks, limit):
    collector = Collector(limit)
    for chunk in chunks:
        collector.add(chunk)
    whole = b"".join(chunks)
    got = collector.take()
    assert got.size == len(whole)
    assert whole.startswith(got.data)
    assert got.whole == (len(whole) <= limit)
    assert len(got.data) <= max(limit, 65_536)
    if not got.whole:
        assert whole.endswith(got.tail)
        assert len(got.tail) == min(4096, len(whole))
    assert collector.size == 0


def test_of_an_oversized_frame_little_is_kept():
    collector = Collector(1_000_000)
    for _ in range(30):
        collector.add(b"x" * 100_000)
    got = collector.take()
    assert (got.size, len(got.data), len(got.tail)) == (3_000_000, 65_536, 4096)


@given(st.binary(max_size=400))
def test_reading_never_raises(data):
    assert messages.read(frame(data)).kind in ("answer", "request", "notification", "garbage")


@given(JSON, JSON)
def test_reading_valid_json_of_any_shape_never_raises(ident, value):
    for message in (value, {"id": ident, "result": value}, {"id": 1, "error": value}, {"id": ident, "method": value}):
        read = messages.read(frame(json.dumps(message).encode()))
        assert read.kind in ("answer", "request", "notification", "garbage")
        if read.kind == "request":
            messages.answer_to(read)


@given(JSON)
def test_any_result_becomes_a_bounded_answer(result):
    reply = messages.read(frame(json.dumps({"id": 1, "result": result}).encode())).reply
    assert reply is not None
    answer = from_reply(reply, 1000, Scrubber(["secret"]))
    assert answer.status in ("succeeded", "failed")
    assert len(canonical.dumps(answer.result)) <= 1000
    assert canonical.parse(canonical.dumps(answer.result)) == answer.result


@given(JSON, st.integers(1000, 3000))
def test_what_fits_is_not_touched_and_what_does_not_is_cut(value, limit):
    value = canonical.normalise({"text": value, "more": ["\x01" * 200] * 3})
    kept, truncated = bounded(value, limit)
    size = len(canonical.dumps(value))
    assert truncated == (size > limit)
    assert kept == value or (kept["bytes"] == size and len(canonical.dumps(kept)) <= limit)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_request_is_one_line_that_reads_back_exactly(params):
    params = canonical.normalise(params)
    data = messages.request(7, "tools/call", params)
    assert b"\n" not in data
    read = json.loads(data, parse_float=Decimal)
    assert canonical.normalise(read["params"]) == params


def test_the_head_or_the_tail_tells_whose_oversized_answer_it_is():
    for head, tail, ident in (
        (b'{"jsonrpc":"2.0","id":12,"result":{"content":[{"text":"', b"xx", 12),
        (b'{"result":{"content":[{"text":"', b'"}]},"id":13,"jsonrpc":"2.0"}', 13),
        (b'{"result":{"content":[{"id":5,"text":"', b'"}]}, "id": 14}\r', 14),
    ):
        read = messages.read(Frame(head, 10**7, tail))
        assert (read.kind, read.id) == ("answer", ident)
        assert read.reply.kind == "unreadable"
    nobody = messages.read(Frame(b'{"result":{"id":5,"text":"', 10**7, b'"}}'))
    assert nobody.kind == "garbage"


def test_a_quoted_flag_is_not_a_failure():
    data = rb'{"id":1,"result":{"content":[{"type":"text","text":"\"isError\": true"}],"x":nope}}'
    assert messages.read(frame(data)).reply == messages.Reply("unreadable", message="the answer is not valid JSON")


@pytest.mark.parametrize(
    "secret", ["plain-token", 'quo"te\\and\nnewline', "Bearer abc.def.ghi", "p@ss w/ord+=&", "ключ-секрет", "12345678"]
)
def test_every_usual_form_of_a_secret_is_taken_out(secret):
    import base64
    from urllib.parse import quote, quote_plus

    scrub = Scrubber([secret])
    bare = secret.removeprefix("Bearer ")
    forms = [secret, quote(secret), quote_plus(secret), quote(secret, safe=""), repr(secret.encode())[2:-1]]
    forms += [base64.b64encode(s.encode()).decode() for s in (secret, bare)] + [json.dumps(secret)[1:-1], bare]
    for form in forms:
        text = scrub.text(f"<{form}>")
        assert form not in text, form
        assert bare not in text
    nested = scrub.value({secret: [bare, {"a": f"x{secret}y"}], "n": 12345678, "d": Decimal("0.12345678"), "b": True})
    assert secret not in json.dumps(nested, default=str, ensure_ascii=False)
    assert nested["b"] is True
    if secret == "12345678":
        assert (nested["n"], nested["d"]) == ("[secret]", "[secret]")
    assert secret not in repr(scrub)


def test_nothing_is_taken_out_where_there_is_no_secret():
    assert Scrubber().value({"a": ["b", 1]}) == {"a": ["b", 1]}
    assert Scrubber(["", "abc"]).text("abc") == "abc"  # too short to be told from ordinary text


def test_an_attempt_leaves_only_in_time():
    free = Attempt()
    free.release()
    assert free.sent
    with pytest.raises(NotSentError) as late:
        Attempt(deadline=0.0).release()
    assert late.value.reason == "clearance_expired"
    with pytest.raises(NotSentError):
        Attempt(given_up=True).release()
    Attempt(given_up=True, sent=True).release()  # half of it is out: the rest may follow within the deadline


def test_an_inbox_takes_only_so_much_unasked():
    refused, changed = [], []
    inbox = Inbox(refused.append, lambda: changed.append(1))
    inbox.receive(frame(b'{"id":"a","method":"sampling/createMessage"}'))
    inbox.receive(frame(b'{"method":"notifications/tools/list_changed"}'))
    inbox.receive(frame(b'{"id":{"a":1},"method":"roots/list"}'))
    assert len(refused) == 1
    assert changed == [1]
    with pytest.raises(MisbehavedError):
        flood(inbox, 10_000, b"x")
    with pytest.raises(MisbehavedError):
        flood(Inbox(refused.append, lambda: None), 40, b"x" * 1_000_000)


@pytest.mark.parametrize("text", ["echo", "a b", " padded ", "é", "=?base64?x?=", "a\nb", ""])
def test_names_in_headers_are_those_of_the_library(text):
    from mcp.shared.inbound import encode_header_value

    assert _header_value(text) == encode_header_value(text)
