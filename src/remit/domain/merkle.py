"""The Merkle tree of RFC 6962, section 2.1, as pure functions over hashes.

A leaf is `SHA-256(0x00 || data)`, a node `SHA-256(0x01 || left || right)`, and a tree of n leaves splits at the
largest power of two below n. A *perfect subtree* is written `(level, index)`: it covers the `2**level` leaves from
`index * 2**level`, and level 0 is a leaf. A perfect subtree never changes once it is full, so that a log which keeps
their hashes can grow by n leaves with O(n + log N) work, and prove anything from O(log N) of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Node = tuple[int, int]
"""A perfect subtree: (level, index)."""

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of the tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks(size: int) -> list[Node]:
    """The perfect subtrees that make up a tree of `size` leaves, largest first."""
    return covering(0, size)


def covering(start: int, end: int) -> list[Node]:
    """The perfect subtrees of the leaves from `start` to before `end`, as RFC 6962 splits them.

    `start` must be a multiple of the smallest power of two that is not below `end - start`; the ranges of
    `inclusion_ranges` and `consistency_ranges` are.
    """
    nodes: list[Node] = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of adjoining perfect subtrees, given largest first."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


@dataclass(slots=True)
class Frontier:
    """The right edge of a growing tree: its size and the hashes of its peaks, largest first."""

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.hashes) != self.size.bit_count():
            raise ValueError(f"a tree of {self.size} leaves has {self.size.bit_count()} peaks, not {len(self.hashes)}")

    def append(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Add one leaf hash. Returns the perfect subtrees above leaf level that it completed, lowest first."""
        completed: list[tuple[Node, bytes]] = []
        level, index, top = 0, self.size, leaf
        while index & 1:
            level, index, top = level + 1, index >> 1, node_hash(self.hashes.pop(), top)
            completed.append(((level, index), top))
        self.hashes.append(top)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """Root of the tree as it stands."""
        return fold(self.hashes)


def root(leaves: Iterable[bytes]) -> bytes:
    """Root of the tree over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_ranges(index: int, size: int) -> list[tuple[int, int]]:
    """The leaf ranges whose roots prove the leaf at `index` in a tree of `size`, nearest to the leaf first.

    Raises ValueError if there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    start, end, ranges = 0, size, list[tuple[int, int]]()
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(old: int, new: int) -> list[tuple[int, int]]:
    """The leaf ranges whose roots prove that the tree of `new` leaves continues the tree of `old` leaves.

    In the order of RFC 6962, section 2.1.2; empty where `old` is 0 or equals `new`. Raises ValueError if `old` is
    larger.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves cannot continue one of {old}")
    if old in {0, new}:
        return []
    start, end, whole, ranges = 0, new, True, list[tuple[int, int]]()
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def nodes_of(ranges: Iterable[tuple[int, int]]) -> list[Node]:
    """Every perfect subtree that the roots of these ranges are made of."""
    return [node for start, end in ranges for node in covering(start, end)]


def proof_of(ranges: Iterable[tuple[int, int]], hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The proof: the root of each range, from the hashes of its perfect subtrees."""
    return [fold([hashes[node] for node in covering(start, end)]) for start, end in ranges]


def all_nodes(leaves: Sequence[bytes]) -> dict[Node, bytes]:
    """Every perfect subtree of a tree in memory, leaves included; for proofs over short logs."""
    frontier, nodes = Frontier(), dict[Node, bytes]()
    for index, leaf in enumerate(leaves):
        nodes[0, index] = leaf
        nodes.update(frontier.append(leaf))
    return nodes


def root_by_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """The root that a proof leads to from a leaf hash, or None if the proof has the wrong shape for its place."""
    if not 0 <= index < size:
        return None
    ranges = inclusion_ranges(index, size)
    if len(proof) != len(ranges) or any(len(h) != HASH_BYTES for h in (leaf, *proof)):
        return None
    result = leaf
    for (start, _), sibling in zip(ranges, proof, strict=True):
        result = node_hash(sibling, result) if start < index else node_hash(result, sibling)
    return result


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], tree_root: bytes) -> bool:
    """True if the proof shows that the leaf hash stands at `index` in the tree of `size` leaves with this root."""
    return root_by_inclusion(leaf, index, size, proof) == tree_root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """True if the proof shows that the tree of `new` leaves begins with exactly the tree of `old` leaves."""
    if not 0 <= old <= new or any(len(h) != HASH_BYTES for h in proof):
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    ranges = consistency_ranges(old, new)
    if len(proof) != len(ranges):
        return False
    steps = list(zip(ranges, proof, strict=True))
    # Where the old tree is itself a perfect subtree of the new one, its root is known and not part of the proof.
    start, known = (0, old_root) if ranges[0][0] >= old else (ranges[0][0], proof[0])
    before = after = known
    for (begin, _), sibling in steps if start == 0 and known is old_root else steps[1:]:
        if begin < start:
            start, before, after = begin, node_hash(sibling, before), node_hash(sibling, after)
        else:
            after = node_hash(after, sibling)
    return before == old_root and after == new_root


def _split(width: int) -> int:
    """The largest power of two below `width`, which is at least 2."""
    return 1 << ((width - 1).bit_length() - 1)
