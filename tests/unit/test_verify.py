"""The verifier names what was done to an export, whoever did it and however they tried to hide it."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.domain.checkpoints import Checkpoint, SigningKey, encode_base64
from remit.domain.merkle import (
    Frontier,
    all_nodes,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    proof_of,
    root,
)
from remit.errors import InvalidInput, NotFound
from remit.evidence.lines import Chain, encode, spans
from remit.evidence.verify import verify_file, verify_lines

KEY = SigningKey.generate("remit-log")
RECORDS = 30
EVERY = 8
MINE = [2, 3, 4, 9, 17]


def sign(size, tree_root, key=KEY):
    return key.sign(Checkpoint("remit-log", size, tree_root))


def contents():
    """Run and payload lines without their chain."""
    salt, body = b"s" * 16, '{"text":"grüße\\u0000"}'
    digest = hashlib.sha256(salt + body.encode()).hexdigest()
    runs = [
        {"kind": "run", "turn_id": f"turn_{i}", "cost_usd": 0.25, "inputs": {"b": 1, "a": [1.5, None]}}
        for i in range(3)
    ]
    payloads = [
        {
            "kind": "payload",
            "digest": digest,
            "state": "present",
            "salt": encode_base64(salt),
            "encoding": "utf-8",
            "body": body,
        },
        {"kind": "payload", "digest": "e" * 64, "state": "erased"},
        {"kind": "payload", "digest": "f" * 64, "state": "withheld"},
    ]
    return [*runs, *payloads], digest


def bodies(chain, *, leaves=None, digest=""):
    result = [json.dumps({"v": 1, "tag": "gate:action:cleared", "n": i, "arguments": digest}) for i in range(RECORDS)]
    erased = {"tag": "person:payload:erased", "payloads": [{"id": "pay_1", "digest": "e" * 64}]}
    result[4] = json.dumps(erased)
    said = {"export": "exp_1", "chain": chain, "runs": 3, "payloads": 3, "leaves": leaves}
    result[-3] = json.dumps({"tag": "person:audit:exported", **said})
    return result


def linked():
    chain = Chain()
    made, digest = contents()
    lines = [line | {"chain": chain.link(line)} for line in made]
    return lines, chain.hex(), digest


def log(texts, key=KEY, every=EVERY):
    frontier, lines = Frontier(), []
    for index, body in enumerate(texts):
        frontier.append(leaf_hash(body.encode()))
        lines.append(
            {
                "kind": "record",
                "index": index,
                "body": body,
                "leaf": encode_base64(leaf_hash(body.encode())),
                "root": encode_base64(frontier.root()),
            }
        )
        if frontier.size % every == 0:
            lines.append({"kind": "checkpoint", "note": sign(frontier.size, frontier.root(), key), "final": False})
    lines.append({"kind": "checkpoint", "note": sign(frontier.size, frontier.root(), key), "final": True})
    return lines


def render(lines):
    return [encode(line) + b"\n" for line in lines]


def head(export="exp_1", key=KEY):
    return {"kind": "key", "verifier": str(key.verifier), "export": export}


def whole():
    lines, chain, digest = linked()
    return render([head(), *lines, *log(bodies(chain, digest=digest))])


def excerpt(outside=None):
    lines, chain, digest = linked()
    texts = bodies(chain, leaves=spans(MINE), digest=digest)
    leaves = [leaf_hash(t.encode()) for t in texts]
    nodes = all_nodes(leaves)
    checkpoint = {"kind": "checkpoint", "note": sign(RECORDS, root(leaves)), "final": True}
    if outside is not None:
        proof = proof_of(consistency_ranges(outside, RECORDS), nodes)
        checkpoint["continues"] = {"size": outside, "proof": [encode_base64(h) for h in proof]}
    records = [
        {
            "kind": "record",
            "index": i,
            "body": texts[i],
            "leaf": encode_base64(leaves[i]),
            "proof": [encode_base64(h) for h in proof_of(inclusion_ranges(i, RECORDS), nodes)],
        }
        for i in [*MINE, RECORDS - 3]
    ]
    return render([head(), *lines, checkpoint, *records])


WHOLE = whole()
EXCERPT = excerpt()
RECORD_LINES = [i for i, raw in enumerate(WHOLE) if raw.startswith(b'{"kind":"record"')]
LINE_OF = {json.loads(WHOLE[i])["index"]: i for i in RECORD_LINES}


def verify(lines, **options):
    return verify_lines(lines, key=options.pop("key", KEY.verifier), **options)


def outside(size):
    return sign(size, root(leaf_hash(json.loads(WHOLE[LINE_OF[i]])["body"].encode()) for i in range(size)))


def test_a_whole_export_holds():
    result = verify(WHOLE, outside=[outside(11)])
    assert result.findings == []
    assert result.limits == []
    assert result.counts == {"runs": 3, "records": 30, "payloads": 3, "present": 1, "erased": 1, "withheld": 1}
    assert any("1 payloads were erased" in fact for fact in result.facts)
    assert any("continues the checkpoint of 11 records" in fact for fact in result.facts)
    assert result.to_json()["tree_size"] == 30


def test_what_cannot_be_seen_is_said():
    result = verify_lines(WHOLE)
    assert result.ok
    assert any("key came from the export itself" in text for text in result.limits)
    assert any("cut off at the end" in text and "wrote the log anew" in text for text in result.limits)
    assert any("excerpt" in text for text in verify(EXCERPT).limits)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([WHOLE, EXCERPT]), st.data())
def test_every_flipped_bit_is_found_in_its_line(lines, data):
    at = data.draw(st.integers(0, len(lines) - 1))
    bit = data.draw(st.integers(0, len(lines[at]) * 8 - 1))
    raw = bytearray(lines[at])
    raw[bit // 8] ^= 1 << (bit % 8)
    # A flipped newline or a new one shifts what follows: read the file as a file.
    changed = b"".join([*lines[:at], bytes(raw), *lines[at + 1 :]]).splitlines(keepends=True)
    changed = b"".join(changed).split(b"\n")
    changed = [part + b"\n" for part in changed[:-1]] + ([changed[-1]] if changed[-1] else [])
    result = verify(changed)
    assert not result.ok
    first = result.findings[0]
    if lines[at].startswith(b'{"kind":"record"'):
        assert first.index == json.loads(lines[at])["index"] or first.line == at + 1
    else:
        assert first.line in {at + 1, None}


@pytest.mark.parametrize("index", [0, 1, 7, 8, 15, 16, 28, 29])
def test_a_dropped_record_is_named(index):
    at = LINE_OF[index]
    first = verify([*WHOLE[:at], *WHOLE[at + 1 :]]).findings[0]
    assert first.index == index
    assert "missing" in first.text


@pytest.mark.parametrize("index", [0, 6, 7, 8, 20, 28])
def test_two_swapped_records_are_named(index):
    a, b = LINE_OF[index], LINE_OF[index + 1]
    lines = [*WHOLE]
    lines[a], lines[b] = lines[b], lines[a]
    assert verify(lines).findings[0].index == index


@pytest.mark.parametrize("index", [0, 7, 13, 29])
def test_a_record_that_stands_twice_is_named(index):
    at = LINE_OF[index]
    first = verify([*WHOLE[: at + 1], *WHOLE[at:]]).findings[0]
    assert first.index == index
    assert "twice" in first.text


@pytest.mark.parametrize("keep", range(len(WHOLE)))
def test_a_file_that_ends_early_is_found_at_every_line(keep):
    result = verify(WHOLE[:keep])
    assert not result.ok
    kept = sum(1 for i in RECORD_LINES if i < keep)
    if kept:
        assert result.findings[0].index == kept
        assert f"after record {kept - 1}" in result.findings[0].text


def test_half_a_line_at_the_end_is_found():
    at = LINE_OF[12]
    result = verify([*WHOLE[:at], WHOLE[at][:-10]])
    assert result.findings[0].index == 12
    assert not verify([*WHOLE[:-1], WHOLE[-1][:-1]]).ok


def altered(index, change, *, rehash=0):
    """A log in which one record was changed, with the hashes of `rehash` records recomputed from there on."""
    lines = [json.loads(raw) for raw in WHOLE]
    line = lines[LINE_OF[index]]
    line["body"] = change(line["body"])
    frontier = Frontier()
    for i in range(RECORDS):
        at = lines[LINE_OF[i]]
        leaf = leaf_hash(at["body"].encode())
        frontier.append(leaf)
        if index <= i < index + rehash:
            at["leaf"], at["root"] = encode_base64(leaf), encode_base64(frontier.root())
    return render(lines)


def test_an_altered_record_is_named():
    first = verify(altered(13, lambda body: body.replace('"n": 13', '"n": 14'))).findings[0]
    assert (first.index, "altered" in first.text) == (13, True)


def test_an_altered_record_with_its_own_hashes_recomputed_is_named():
    findings = verify(altered(13, lambda body: body + " ", rehash=1)).findings
    assert findings[0].index == 14
    assert "or record 13 was altered together with its hashes" in findings[0].text


def test_an_altered_record_with_all_hashes_recomputed_is_narrowed_down_by_the_signed_checkpoints():
    first = verify(altered(13, lambda body: body + " ", rehash=RECORDS)).findings[0]
    assert first.index == 8
    assert "at least one of 8 to 15" in first.text


def test_a_record_dropped_with_everything_renumbered_is_found_by_the_next_signature():
    lines, chain, digest = linked()
    texts = bodies(chain, digest=digest)
    del texts[10]
    forged = log(texts)
    real = {json.loads(raw)["note"] for raw in WHOLE if raw.startswith(b'{"kind":"checkpoint"')}
    by_size = {note.split("\n")[1]: note for note in real}
    for line in forged:
        if line["kind"] == "checkpoint":
            line["note"] = by_size.get(line["note"].split("\n")[1], by_size["30"])
    first = verify(render([head(), *lines, *forged])).findings[0]
    assert first.index == 8
    assert "at least one of 8 to 15" in first.text


def test_an_inserted_record_is_named():
    at = LINE_OF[11]
    fake = json.loads(WHOLE[at]) | {"body": '{"tag":"x"}', "leaf": encode_base64(leaf_hash(b'{"tag":"x"}'))}
    assert verify([*WHOLE[:at], *render([fake]), *WHOLE[at:]]).findings[0].index == 11


def test_a_log_cut_back_to_an_older_checkpoint_shows_through_the_exports_own_record_or_a_copy_from_outside():
    lines, chain, digest = linked()
    cut = render([head(), *lines, *log(bodies(chain, digest=digest)[:16])])
    assert "no sealed record speaks of this export" in verify(cut).findings[0].text
    bare = render([head(export=None), *log(bodies("")[:16])])
    assert verify(bare).ok
    first = verify(bare, outside=[sign(RECORDS, root(leaf_hash(b.encode()) for b in bodies("")))]).findings[0]
    assert first.index == 16
    assert "records 16 to 29 were cut off" in first.text


def test_a_log_written_anew_by_the_holder_of_the_key_shows_through_a_copy_from_outside():
    lines, chain, digest = linked()
    texts = bodies(chain, digest=digest)
    kept = [sign(n, root(leaf_hash(t.encode()) for t in texts[:n])) for n in (5, 20)]
    texts[9] = '{"tag":"gate:action:refused"}'
    anew = render([head(), *lines, *log(texts)])
    assert verify(anew).ok
    first = verify(anew, outside=kept).findings[0]
    assert first.index == 5
    assert "at least one of 5 to 19 was rewritten" in first.text


def test_another_key_is_found():
    other = SigningKey.generate("remit-log")
    lines, chain, digest = linked()
    forged = render([head(key=other), *lines, *log(bodies(chain, digest=digest), other)])
    assert verify_lines(forged).ok
    assert "another key" in verify(forged).findings[0].text
    assert "cannot be used" in verify(WHOLE, outside=[sign(3, bytes(32), other)]).findings[0].text


def test_run_and_payload_lines_are_covered_by_the_sealed_record_of_the_export():
    run = 2
    dropped = [*WHOLE[:run], *WHOLE[run + 1 :]]
    assert verify(dropped).findings[0].line == run + 1
    swapped = [WHOLE[0], WHOLE[2], WHOLE[1], *WHOLE[3:]]
    assert verify(swapped).findings[0].line == 2
    assert not verify([*WHOLE[:3], WHOLE[2], *WHOLE[3:]]).ok
    made, _ = contents()
    made[1]["cost_usd"] = 0
    chain = Chain()
    forged = render([line | {"chain": chain.link(line)} for line in made])
    findings = verify([WHOLE[0], *forged, *WHOLE[7:]]).findings
    assert "are not those that record 27 seals" in findings[0].text
    without = [WHOLE[0], *WHOLE[7:]]
    assert "3 runs were exported; here are 0" in verify(without).findings[0].text
    unnamed = [*render([head(export=None)]), *WHOLE[1:]]
    assert "names no export" in verify(unnamed).findings[0].text


def test_an_erasure_without_a_record_is_found():
    lines, _, digest = linked()
    lines = [{k: v for k, v in line.items() if k != "chain"} for line in lines]
    lines[3] = {"kind": "payload", "digest": digest, "state": "erased"}
    chain = Chain()
    lines = [line | {"chain": chain.link(line)} for line in lines]
    result = verify(render([head(), *lines, *log(bodies(chain.hex(), digest=digest))]))
    assert [f.line for f in result.findings] == [5]
    assert "no record says that it was erased" in result.findings[0].text


def test_a_record_whose_text_is_gone_is_named_and_the_rest_is_still_proved():
    lines = [json.loads(raw) for raw in WHOLE]
    lines[LINE_OF[6]]["body"] = None
    result = verify(render(lines))
    assert [(f.index, "missing" in f.text) for f in result.findings] == [(6, True)]


def test_an_excerpt_holds_and_its_holes_are_named():
    result = verify(EXCERPT)
    assert result.findings == []
    assert result.excerpt
    at = next(i for i, raw in enumerate(EXCERPT) if raw.startswith(b'{"kind":"record","index":9'))
    assert verify([*EXCERPT[:at], *EXCERPT[at + 1 :]]).findings[0].index == 9
    assert verify([*EXCERPT[:at], EXCERPT[at + 1], EXCERPT[at], *EXCERPT[at + 2 :]]).findings[0].index == 9
    changed = json.loads(EXCERPT[at])
    changed["body"] = changed["body"].replace("9", "8")
    changed["leaf"] = encode_base64(leaf_hash(changed["body"].encode()))
    first = verify([*EXCERPT[:at], *render([changed]), *EXCERPT[at + 1 :]]).findings[0]
    assert (first.index, "not proved" in first.text) == (9, True)
    assert not verify(EXCERPT[:-1]).ok


def test_an_excerpt_continues_a_checkpoint_from_outside_only_with_a_proof():
    texts = bodies(linked()[1], leaves=spans(MINE), digest=linked()[2])
    hashes = [leaf_hash(t.encode()) for t in texts]
    kept = sign(13, root(hashes[:13]))
    assert "not proved that the log continues" in verify(EXCERPT, outside=[kept]).findings[0].text
    proved = verify(excerpt(13), outside=[kept])
    assert proved.ok
    assert any("continues the checkpoint of 13" in fact for fact in proved.facts)
    assert verify(EXCERPT, outside=[sign(RECORDS, root(hashes))]).ok
    hashes[3] = bytes(32)
    assert not verify(excerpt(13), outside=[sign(13, root(hashes[:13]))]).ok


@pytest.mark.parametrize(
    "junk",
    [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b'{"kind":"record"}\n',
     b'{"kind":"x"}\n', b'{"kind":["run"]}\n', b'{"kind":"run","chain":1}\n', b'{"a":NaN}\n', b"9" * 5000 + b"\n",
     b'{"kind":"record","index":true,"body":1,"leaf":[],"root":{}}\n', b'{"kind":"checkpoint","note":1,"final":1}\n',
     b'{"kind":"record","index":1e99,"body":"","leaf":"","proof":5}\n', b'{"kind":"key","verifier":5,"export":[]}\n',
     b'{"kind":"payload","digest":[],"state":{},"chain":""}\n', b'{"kind":"run","turn_id":"\\ud800","chain":"x"}\n'],
)  # fmt: skip
def test_rubbish_is_a_finding_and_never_an_exception(junk):
    for lines in ([junk], [*WHOLE[:20], junk, *WHOLE[20:]], [*EXCERPT, junk], [WHOLE[0], junk]):
        assert not verify(lines).ok
        assert not verify_lines(lines).ok


@given(st.lists(st.binary(max_size=80), max_size=10))
def test_any_bytes_are_judged(parts):
    assert not verify(parts).ok


def test_files(tmp_path):
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(WHOLE))
    assert verify_file(path, key=KEY.verifier).ok
    with pytest.raises(NotFound):
        verify_file(tmp_path / "none")
    with pytest.raises(InvalidInput):
        verify_file(tmp_path)
