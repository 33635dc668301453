"""RFC 6962: known vectors, and proofs of every shape against a second, recursive reading of the standard."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.domain import merkle

# Inputs and roots of the reference test data that implementations of RFC 6962 share.
INPUTS = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def standard_root(data):
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return hashlib.sha256(b"\x01" + standard_root(data[:k]) + standard_root(data[k:])).digest()


def standard_path(m, data):
    if len(data) == 1:
        return []
    k = 1
    while k * 2 < len(data):
        k *= 2
    if m < k:
        return [*standard_path(m, data[:k]), standard_root(data[k:])]
    return [*standard_path(m - k, data[k:]), standard_root(data[:k])]


def standard_consistency(m, data, whole=True):
    n = len(data)
    if m == n:
        return [] if whole else [standard_root(data)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*standard_consistency(m, data[:k], whole), standard_root(data[k:])]
    return [*standard_consistency(m - k, data[k:], False), standard_root(data[:k])]


def leaves(n):
    return [merkle.leaf_hash(str(i).encode()) for i in range(n)]


def texts(n):
    return [str(i).encode() for i in range(n)]


def test_the_empty_tree():
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.Frontier().root() == merkle.EMPTY_ROOT


@pytest.mark.parametrize("size", range(1, 9))
def test_known_roots(size):
    assert merkle.root(merkle.leaf_hash(data) for data in INPUTS[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize("size", range(1, 34))
def test_every_proof_of_small_trees_is_the_standards_and_verifies(size):
    hashes, data = leaves(size), texts(size)
    nodes = merkle.all_nodes(hashes)
    tree_root = merkle.root(hashes)
    assert tree_root == standard_root(data)
    for index in range(size):
        proof = merkle.proof_of(merkle.inclusion_ranges(index, size), nodes)
        assert proof == standard_path(index, data)
        assert merkle.verify_inclusion(hashes[index], index, size, proof, tree_root)
    for old in range(1, size + 1):
        proof = merkle.proof_of(merkle.consistency_ranges(old, size), nodes)
        assert proof == standard_consistency(old, data)
        assert merkle.verify_consistency(old, size, merkle.root(hashes[:old]), tree_root, proof)
    assert merkle.verify_consistency(0, size, merkle.EMPTY_ROOT, tree_root, [])


@given(st.integers(1, 300), st.data())
def test_a_proof_holds_for_its_own_place_only(size, data):
    hashes = leaves(size)
    nodes = merkle.all_nodes(hashes)
    tree_root = merkle.root(hashes)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.proof_of(merkle.inclusion_ranges(index, size), nodes)
    assert merkle.verify_inclusion(hashes[index], index, size, proof, tree_root)
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index) if size > 1 else st.just(size))
    assert not merkle.verify_inclusion(hashes[index], other, size, proof, tree_root)
    assert not merkle.verify_inclusion(merkle.leaf_hash(b"other"), index, size, proof, tree_root)
    assert not merkle.verify_inclusion(hashes[index], index, size, [*proof, bytes(32)], tree_root)
    if proof:
        assert not merkle.verify_inclusion(hashes[index], index, size, proof[:-1], tree_root)
        at = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof]
        bent[at] = bytes([bent[at][0] ^ 1]) + bent[at][1:]
        assert not merkle.verify_inclusion(hashes[index], index, size, bent, tree_root)


@given(st.integers(1, 300), st.data())
def test_consistency_holds_for_what_was_there_only(size, data):
    hashes = leaves(size)
    old = data.draw(st.integers(1, size))
    nodes = merkle.all_nodes(hashes)
    proof = merkle.proof_of(merkle.consistency_ranges(old, size), nodes)
    old_root, new_root = merkle.root(hashes[:old]), merkle.root(hashes)
    assert merkle.verify_consistency(old, size, old_root, new_root, proof)
    changed = data.draw(st.integers(0, old - 1))
    rewritten = [*hashes]
    rewritten[changed] = merkle.leaf_hash(b"rewritten")
    assert not merkle.verify_consistency(old, size, merkle.root(rewritten[:old]), new_root, proof)
    forged = merkle.proof_of(merkle.consistency_ranges(old, size), merkle.all_nodes(rewritten))
    assert not merkle.verify_consistency(old, size, old_root, merkle.root(rewritten), forged)
    assert not merkle.verify_consistency(old, size, old_root, new_root, [*proof, bytes(32)])
    if proof:
        assert not merkle.verify_consistency(old, size, old_root, new_root, proof[:-1])
    assert not merkle.verify_consistency(size, old, new_root, old_root, proof) or old == size


@given(st.integers(0, 500), st.integers(0, 500))
def test_a_frontier_taken_up_again_grows_the_same_tree(first, second):
    hashes = leaves(first + second)
    nodes = merkle.all_nodes(hashes[:first])
    taken_up = merkle.Frontier(first, [nodes[node] for node in merkle.peaks(first)])
    assert taken_up.root() == merkle.root(hashes[:first])
    for leaf in hashes[first:]:
        taken_up.append(leaf)
    assert taken_up.root() == merkle.root(hashes)


def test_appending_costs_one_node_a_leaf():
    frontier = merkle.Frontier()
    completed = sum(len(frontier.append(leaf)) for leaf in leaves(4096))
    assert completed == 4095


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="no leaf 3"):
        merkle.inclusion_ranges(3, 3)
    with pytest.raises(ValueError, match="cannot continue"):
        merkle.consistency_ranges(4, 3)
    with pytest.raises(ValueError, match="2 peaks"):
        merkle.Frontier(3, [bytes(32)])
    assert merkle.root_by_inclusion(bytes(32), 5, 3, []) is None
    assert merkle.root_by_inclusion(bytes(31), 0, 1, []) is None
