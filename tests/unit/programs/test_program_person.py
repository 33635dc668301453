"""A program knows on whose behalf it acts, if on anybody's."""

from dataclasses import replace

WHO = "async def run(session):\n    return session.person\n"


def test_a_program_is_told_the_person_and_otherwise_none(bench):
    assert bench.run(WHO).output is None
    assert bench.run(WHO, turn=replace(bench.turn, person="nora.quist")).output == "nora.quist"
