"""Properties over arbitrary arguments and policies: no surprise permit, no exception, slicing changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Context, Decimal

import cedarpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.domain import canonical
from remit.governance.policy import resources, shapes
from remit.governance.policy.actors import entities
from remit.governance.policy.statements import cut, quote

EXACT = Context(prec=120)
SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

numbers = st.one_of(
    st.integers(-(10**39), 10**39),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-1000, max_value=1000),
    st.sampled_from([Decimal("100.0001"), Decimal("99.9999"), Decimal("500.00001"), Decimal("1E+20"), 0.1 + 0.2]),
    st.floats(allow_nan=True),
)
surrogates = st.text(st.characters(categories=["Cs", "Cc", "Lu", "Zs"]), max_size=8)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20), surrogates),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
arguments = st.dictionaries(
    st.one_of(st.sampled_from(["charge_id", "amount", "currency", "score", "__entity", "__extn"]), st.text(max_size=5)),
    values,
    max_size=6,
)


def reference(args):
    """What the refund policies say, in plain Python; None where they cannot be asked."""
    amount, charge, currency = args.get("amount"), args.get("charge_id"), args.get("currency")
    if isinstance(amount, bool) or not isinstance(amount, int | Decimal | float) or currency != "USD":
        return "forbid"
    number = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
    if isinstance(charge, bool) or not isinstance(charge, str | int) or not number.is_finite():
        return "forbid"
    if number > 500 or number < -shapes.DECIMAL_MAX or number != number.quantize(Decimal("0.0001"), context=EXACT):
        return "forbid"
    if isinstance(charge, str) and (".." in charge.replace("\\", "/").split("/") or not charge.isprintable()):
        return "unsure"
    return "permit" if number <= 100 else "needs_approval"


@SETTINGS
@given(args=arguments)
def test_arbitrary_arguments_never_raise_and_never_permit_too_much(desk_engine, desk, args):
    verdict = desk_engine.judge(replace(desk.question(), args=args))
    expected = reference(args)
    if expected == "unsure":
        assert verdict.kind in {"permit", "needs_approval", "forbid"}
    else:
        assert verdict.kind == expected, verdict
    assert verdict.kind == "permit" or verdict.reasons


@SETTINGS
@given(amount=numbers, charge=st.text(max_size=6))
def test_usual_arguments_with_any_amount(desk_engine, desk, amount, charge):
    args = {"charge_id": "c" + charge.replace("/", "").replace("\\", ""), "amount": amount, "currency": "USD"}
    if not str(args["charge_id"]).isprintable():
        args["charge_id"] = "c"
    assert desk_engine.judge(replace(desk.question(), args=args)).kind == reference(args)


HEADS = ["action", 'action == Action::"payments.refund"', 'action == Action::"files.write"']
HEADS += [
    'action in Action::"write"',
    'action in Action::"any"',
    'action in [Action::"files.move", Action::"money-out"]',
]
CONDITIONS = ["", 'when { context.labels.contains("private") }', "when { context.session.calls > 3 }"]
CONDITIONS += ['when { principal in Role::"finance" }', 'when { principal in Workspace::"support" }']
CONDITIONS += ['when { action in Action::"money-out" }', 'unless { context.autonomy == "autonomous" }']
CONDITIONS += ['when { context has money && context.money.amount.greaterThan(decimal("100.0")) }']


@st.composite
def policy_texts(draw):
    texts = []
    for n in range(draw(st.integers(1, 8))):
        effect = draw(st.sampled_from(["permit", "permit", "forbid"]))
        head = draw(st.sampled_from(HEADS))
        roles = draw(st.sampled_from([(), (), ("risk",), ("risk", "finance")])) if effect == "forbid" else ()
        asks = " && ".join(f'context.approved_by.contains("{r}")' for r in roles)
        annotation = f'@approval("{", ".join(roles)}") ' if roles else ""
        unless = f" unless {{ {asks} }}" if roles else ""
        condition = draw(st.sampled_from(CONDITIONS))
        texts.append(f'@id("p{n}") {annotation}{effect} (principal, {head}, resource) {condition}{unless};')
    return "\n".join(texts)


@settings(SETTINGS, max_examples=60)
@given(
    text=policy_texts(),
    action=st.sampled_from(["payments.refund", "files.write", "files.move", "helpdesk.read"]),
    amount=st.sampled_from([50, 120]),
    labels=st.sets(st.sampled_from(["private", "untrusted"])),
    calls=st.sampled_from([0, 9]),
    autonomy=st.sampled_from(["supervised", "autonomous"]),
    person=st.sampled_from([None, "mara.lind", "ines.roy"]),
    approved=st.sets(st.sampled_from(["risk", "finance", "accountable"])),
)
def test_the_slice_judges_as_all_policies_together_would(
    desk, text, action, amount, labels, calls, autonomy, person, approved
):
    """The reference evaluates every policy of the project, with the whole schema, twice as the rules say."""
    engine = desk.engine(text)
    question = desk.question(
        action,
        amount=amount if action == "payments.refund" else ...,
        facts={
            "labels": frozenset(labels),
            "calls": calls,
            "autonomy": autonomy,
            "person": person,
            "assisted": person is not None,
        },
    )
    requests = engine.explain(question).requests
    assert len(requests) == (1 if person is None else 2)
    found = desk.directory.person(person) if person else None
    world = json.dumps(entities("desk", desk.agent, found))
    kinds = [whole(engine, request, world) for request in requests]
    roles = {role for _, asked in kinds for role in asked}
    if any(kind == "forbid" for kind, _ in kinds):
        expected = "forbid"
    else:
        expected = "needs_approval" if roles - approved else "permit"
    verdict = engine.judge(question, frozenset(approved))
    assert verdict.kind == expected
    assert set(verdict.roles) == (roles if expected != "forbid" else set())


def whole(engine, request, world):
    """Design's rule, word for word: with nobody's approval, then with the roles of those that decided."""
    text = "\n".join(p.statement.text for p in engine.policies.values())
    numbered = list(engine.policies.values())

    def ask(roles):
        context = {**request["context"], **({"approved_by": roles} if "approved_by" in request["context"] else {})}
        result = cedarpy.is_authorized({**request, "context": context}, text, world, engine.schema_text)
        assert not result.diagnostics.errors
        return result.allowed, [numbered[int(r.removeprefix("policy"))] for r in result.diagnostics.reasons]

    allowed, spoke = ask([])
    if allowed:
        return "permit", set()
    roles = {role for p in spoke for role in p.roles}
    if roles and ask(sorted(roles))[0]:
        return "needs_approval", roles
    return "forbid", set()


@SETTINGS
@given(text=st.text(max_size=200))
def test_any_text_is_a_problem_or_a_policy(desk, text):
    for problem in desk.check(text):
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.message


@SETTINGS
@given(data=st.data())
def test_a_damaged_policy_file_is_a_problem_or_a_policy(desk, data):
    text = desk.refunds
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(st.sampled_from(["", '"', ";", "}", "(", "\\", "//", "context", " unless ", "é", "\x00"]))
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 3)) :]
    assert all(p.message for p in desk.check(text))


@given(st.text())
def test_cutting_loses_no_policy(text):
    statement = f"permit (principal, action, resource) when {{ {quote(text)} == {quote(text)} }};"
    statements, problems = cut("f", f"// {text.splitlines()[0] if text.splitlines() else ''}\n{statement}\n{statement}")
    if not problems and "\x0b" not in text:
        assert [s.text for s in statements][-1] == statement


@given(st.text())
def test_quoted_text_is_one_literal(text):
    if any("\ud800" <= c <= "\udfff" for c in text):
        return
    policy = json.loads(cedarpy.policies_to_json_str(f"permit(principal, action, resource) when {{ {quote(text)} }};"))
    assert policy["staticPolicies"]["policy0"]["conditions"][0]["body"] == {"Value": text}


@given(st.lists(st.sampled_from(["a", "B", ".", "..", "", "\u0065\u0301", "x y", "c\\..\\d"]), max_size=5))
def test_one_thing_has_one_id(segments):
    text = "/".join(segments)
    try:
        made = resources.canonical_id(text)
    except shapes.UnfitError:
        assert ".." in text
        return
    assert resources.canonical_id(made) == made
    assert ".." not in made.split("/")


@given(st.one_of(st.integers(-(10**12), 10**12), st.decimals(places=4, min_value=-(10**9), max_value=10**9)))
def test_decimals_keep_their_value(number):
    text = shapes.decimal_text(canonical.normalise(number), "x")
    assert Decimal(text) == number
    assert len(text.partition(".")[2]) in range(1, 5)
