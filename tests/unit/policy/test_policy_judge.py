"""Verdicts: permit, forbid, needs approval, and that everything doubtful is a refusal."""

from __future__ import annotations

from decimal import Decimal

import pytest

from remit.domain.actions import MODEL_REQUEST, ActionType, Effect
from remit.domain.budgets import Usage
from remit.errors import ProjectInvalid

ANYTHING = '@id("anything") permit (principal, action, resource);\n'


def test_small_refund_is_permitted(desk, codes):
    verdict = desk.engine().judge(desk.question(amount=50))
    assert verdict.kind == "permit"
    assert verdict.policy_ids == ("refunds",)
    assert verdict.roles == ()


def test_larger_refund_needs_the_accountable_human(desk):
    verdict = desk.engine().judge(desk.question(amount=120))
    assert verdict.kind == "needs_approval"
    assert verdict.roles == ("accountable",)
    assert verdict.policy_ids == ("refund_over_100",)
    (reason,) = verdict.reasons
    assert reason.code == "needs_human_approval_over_100"
    assert reason.text == "Refunds over 100 USD are decided by a person."
    assert reason.policy_id == "refund_over_100"


def test_approval_turns_it_into_a_permit_that_says_on_what_it_rests(desk):
    engine = desk.engine()
    asked = engine.judge(desk.question(amount=120))
    verdict = engine.judge(desk.question(amount=120), frozenset({"accountable"}))
    assert verdict.kind == "permit"
    assert verdict.roles == asked.roles
    assert verdict.determining_digest == asked.determining_digest
    assert set(verdict.policy_ids) == {"refunds", "refund_over_100"}


def test_somebody_elses_approval_does_not_count(desk):
    assert desk.engine().judge(desk.question(amount=120), frozenset({"risk"})).kind == "needs_approval"


def test_cap_stays_forbidden_whoever_approves(desk, codes):
    engine = desk.engine()
    for approved in (frozenset(), frozenset({"accountable"}), frozenset({"accountable", "risk", "finance"})):
        verdict = engine.judge(desk.question(amount=600), approved)
        assert verdict.kind == "forbid"
        assert verdict.policy_ids == ("refund_cap",)
        assert codes(verdict) == ("over_policy_cap",)


def test_another_currency_is_permitted_by_nothing(desk, codes):
    verdict = desk.engine().judge(desk.question(currency="EUR"))
    assert verdict.kind == "forbid"
    assert codes(verdict) == ("no_policy_permits",)
    assert verdict.policy_ids == ()


def test_an_approval_cannot_make_up_for_a_missing_permit(desk, codes):
    verdict = desk.engine().judge(desk.question(amount=120, currency="EUR"))
    assert verdict.kind == "forbid"
    assert codes(verdict) == ("no_policy_permits",)


@pytest.mark.parametrize(
    "amount", [Decimal("50.12345"), Decimal("0.00001"), 10**15, -(10**15), 0.1 + 0.2, "50", True, [50]]
)
def test_an_amount_that_policy_cannot_judge_is_refused(desk, codes, amount):
    verdict = desk.engine().judge(desk.question(amount=amount))
    assert verdict.kind == "forbid"
    assert codes(verdict) == ("policy_error",)


@pytest.mark.parametrize("amount", [None, ...])
def test_an_amount_that_is_absent_or_null_is_refused(desk, codes, amount):
    verdict = desk.engine().judge(desk.question(amount=amount))
    assert verdict.kind == "forbid"
    assert codes(verdict) == ("argument_required",)


@pytest.mark.parametrize(
    ("amount", "kind"),
    [
        (Decimal("100.0000"), "permit"),
        (Decimal("100.0001"), "needs_approval"),
        (100, "permit"),
        (Decimal("5E+1"), "permit"),
        (Decimal("1E+3"), "forbid"),
        (Decimal("0.3"), "permit"),
        (Decimal("50.10000000"), "permit"),
        (0, "permit"),
        (-1, "permit"),
    ],
)
def test_amounts_are_exact(desk, amount, kind):
    assert desk.engine().judge(desk.question(amount=amount)).kind == kind


@pytest.mark.parametrize(
    ("action", "args", "words"),
    [
        ("payments.refund", {"amount": Decimal("50.12345")}, "amount has more than four decimal places: 50.12345"),
        ("payments.refund", {"amount": 10**15}, "amount is out of the range"),
        ("payments.refund", {"amount": "50"}, "amount is not of the type decimal"),
        ("helpdesk.read", {"count": 2**63}, "count is out of the range"),
    ],
)
def test_a_refusal_says_which_argument_and_why(desk, action, args, words):
    engine = desk.engine(
        '@id("a") permit (principal, action == Action::"payments.refund", resource)\n'
        'when { context.args.amount.lessThan(decimal("9.0")) };\n'
        '@id("b") permit (principal, action == Action::"helpdesk.read", resource) when { context.args.count < 9 };'
    )
    assert words in engine.judge(desk.question(action, **args)).reasons[0].text


def test_what_no_policy_reads_is_not_looked_at(desk):
    verdict = desk.engine().judge(desk.question(score=0.1 + 0.2, note="\ud800", other={"deep": [[[1]]]}))
    assert verdict.kind == "permit"


HOSTILE = [
    'ch"1',
    "ch\\",
    "ch\n1",
    'x" || true || resource == Charge::"y',
    "\u202e\u0000é",
    "名前",
    "a" * 10_000,
    "{charge_id}",
]


@pytest.mark.parametrize("charge", HOSTILE)
def test_ids_are_never_read_as_policy(desk, charge):
    engine = desk.engine(REFUNDS_OF_ONE)
    assert engine.judge(desk.question(charge_id=charge)).kind == "forbid"
    assert engine.judge(desk.question(charge_id="ch_7")).kind == "permit"


REFUNDS_OF_ONE = '@id("one") permit (principal, action == Action::"payments.refund", resource == Charge::"ch_7");'


@pytest.mark.parametrize("currency", [*HOSTILE, 'USD"', "usd"])
def test_text_arguments_are_never_read_as_policy(desk, currency):
    verdict = desk.engine().judge(desk.question(currency=currency))
    assert verdict.kind == "forbid"


def test_a_lone_surrogate_that_is_judged_is_refused(desk, codes):
    for args in ({"currency": "\ud800"}, {"charge_id": "ch\udfff"}):
        assert codes(desk.engine().judge(desk.question(**args))) == ("policy_error",)


def test_an_action_that_no_file_classifies_is_forbidden(desk, codes):
    verdict = desk.engine(ANYTHING).judge(desk.question("payments.payout"))
    assert verdict.kind == "forbid"
    assert codes(verdict) == ("action_unclassified",)


def test_an_agent_that_is_not_deployed_is_forbidden(desk, codes):
    verdict = desk.engine(ANYTHING).judge(desk.question(facts={"agent": "ghost"}))
    assert codes(verdict) == ("agent_unknown",)


def test_two_roles_are_both_asked(desk):
    engine = desk.engine(
        ANYTHING + '@id("both") @approval("risk, accountable") forbid (principal, action, resource)\n'
        'unless { context.approved_by.contains("accountable") && context.approved_by.contains("risk") };'
    )
    question = desk.question()
    asked = engine.judge(question)
    assert asked.kind == "needs_approval"
    assert asked.roles == ("accountable", "risk")
    assert asked.reasons[0].code == "needs_approval"
    assert engine.judge(question, frozenset({"risk"})).kind == "needs_approval"
    assert engine.judge(question, frozenset({"risk", "accountable"})).kind == "permit"


def over(amount, role):
    return f"""@id("over_{amount}") @approval("{role}")
forbid (principal, action == Action::"payments.refund", resource)
when {{ context.args.amount.greaterThan(decimal("{amount}.0")) }}
unless {{ context.approved_by.contains("{role}") }};
"""


def test_roles_of_several_policies_are_asked_together(desk):
    engine = desk.engine(ANYTHING + over(100, "accountable") + over(200, "risk") + over(400, "finance"))
    assert engine.judge(desk.question(amount=150)).roles == ("accountable",)
    asked = engine.judge(desk.question(amount=300))
    assert asked.roles == ("accountable", "risk")
    assert asked.policy_ids == ("over_100", "over_200")
    assert engine.judge(desk.question(amount=300), frozenset(asked.roles)).kind == "permit"


def test_an_approval_is_bound_to_the_policies_that_asked(desk):
    before = desk.engine()
    asked = before.judge(desk.question(amount=120))
    same = desk.engine(other='@id("unrelated") permit (principal, action == Action::"files.write", resource);')
    changed = desk.engine(desk.refunds.replace("100.00", "110.00"))
    roles = frozenset(asked.roles)
    assert same.version != before.version
    assert same.judge(desk.question(amount=120), roles, bound_to=asked.determining_digest).kind == "permit"
    again = changed.judge(desk.question(amount=120), roles, bound_to=asked.determining_digest)
    assert again.kind == "needs_approval"
    assert again.determining_digest != asked.determining_digest


def test_an_approval_is_not_needed_where_nobody_asks(desk):
    verdict = desk.engine().judge(desk.question(amount=50), frozenset({"accountable"}), bound_to="something else")
    assert verdict.kind == "permit"
    assert verdict.roles == ()


def test_assisted_needs_a_permit_for_agent_and_person(desk, codes):
    facts = {"assisted": True, "person": "mara.lind"}
    only_agent = desk.engine('@id("agents") permit (principal is Agent, action, resource);')
    assert only_agent.judge(desk.question()).kind == "permit"
    refused = only_agent.judge(desk.question(facts=facts))
    assert refused.kind == "forbid"
    assert codes(refused) == ("no_policy_permits",)
    both = desk.engine(
        '@id("agents") permit (principal is Agent, action, resource);\n'
        '@id("finance") permit (principal in Role::"finance", action, resource);'
    )
    assert both.judge(desk.question(facts=facts)).policy_ids == ("agents", "finance")
    assert both.judge(desk.question(facts={"assisted": True, "person": "ines.roy"})).kind == "forbid"


EITHER_ASKS = """
@id("agent_asks") @approval("risk")
forbid (principal is Agent, action, resource) unless { context.approved_by.contains("risk") };
@id("person_asks") @approval("finance")
forbid (principal is Person, action, resource) unless { context.approved_by.contains("finance") };
"""


def test_assisted_asks_for_what_either_needs(desk):
    engine = desk.engine(ANYTHING + EITHER_ASKS)
    question = desk.question(facts={"assisted": True, "person": "mara.lind"})
    verdict = engine.judge(question)
    assert verdict.roles == ("finance", "risk")
    assert {r.policy_id for r in verdict.reasons} == {"agent_asks", "person_asks"}
    assert engine.judge(question, frozenset({"risk"})).kind == "needs_approval"
    assert engine.judge(question, frozenset({"risk", "finance"})).kind == "permit"


@pytest.mark.parametrize("facts", [{"assisted": True}, {"assisted": True, "person": "nobody"}, {"person": "nobody"}])
def test_a_person_who_is_not_there_is_refused(desk, codes, facts):
    assert codes(desk.engine(ANYTHING).judge(desk.question(facts=facts))) == ("person_unknown",)


FACTS = """
@id("labels") forbid (principal, action, resource)
when { context.sends.contains("external") && context.labels.containsAll(["private", "untrusted"]) };
@id("spent") forbid (principal, action, resource)
when { context.session.usd.greaterThan(decimal("1.00")) };
@id("calls") forbid (principal, action, resource)
when { context.session.calls > 9 || context.session.tokens > 99 };
@id("level") forbid (principal, action in Action::"write", resource)
when { context.autonomy == "observe" };
@id("place") forbid (principal, action, resource)
when { context.workspace != "support" || context.trigger == "mail" };
@id("risk") forbid (principal, action, resource)
when { context.risk == "high" && context has on_behalf_of };
@id("flow") forbid (principal, action, resource)
unless { context has workflow && context.workflow == "refunds" };
"""


def test_facts_are_what_the_gate_says(desk):
    engine = desk.engine(ANYTHING + FACTS)

    def forbidding(**facts):
        return engine.judge(desk.question(facts=facts)).policy_ids

    assert forbidding() == ("anything",)
    assert forbidding(labels=frozenset({"private"})) == ("anything",)
    assert forbidding(labels=frozenset({"private", "untrusted"})) == ("labels",)
    assert forbidding(usd_micros=1_000_000) == ("anything",)
    assert forbidding(usd_micros=1_000_001) == ("spent",)
    assert forbidding(calls=10) == ("calls",)
    assert forbidding(tokens=100) == ("calls",)
    assert forbidding(autonomy="observe") == ("level",)
    assert forbidding(workspace="finance") == ("place",)
    assert forbidding(trigger="mail") == ("place",)
    assert forbidding(person="mara.lind") == ("risk",)
    assert forbidding(workflow="") == ("flow",)


def test_totals_that_the_gate_cannot_tell_refuse(desk, codes):
    engine = desk.engine(
        ANYTHING + '@id("day") forbid (principal, action, resource) when { context.today.calls > 3 };\n'
        '@id("moved") forbid (principal, action in Action::"money-out", resource)\n'
        'when { context.money.moved_today.greaterThan(decimal("900.0")) };'
    )
    assert codes(engine.judge(desk.question())) == ("policy_error",)
    known = {"today": Usage(calls=3), "moved_today": Decimal(900)}
    assert engine.judge(desk.question(facts=known)).kind == "permit"
    assert engine.judge(desk.question(facts={**known, "moved_today": Decimal("900.00001")})).policy_ids == ("moved",)
    assert engine.judge(desk.question(facts={**known, "today": Usage(calls=4)})).policy_ids == ("day",)


CAPPED = """
@id("capped") forbid (principal, action, resource)
when { context has money && context.money has cap_each }
when { context.money.amount.greaterThan(context.money.cap_each) };
"""


def test_caps_in_the_currency_of_the_call_are_readable(desk):
    engine = desk.engine(ANYTHING + CAPPED)
    assert engine.judge(desk.question(amount=800)).kind == "permit"
    assert engine.judge(desk.question(amount=801)).policy_ids == ("capped",)
    assert engine.judge(desk.question(amount=801, currency="EUR")).kind == "permit"
    assert engine.judge(desk.question("files.write")).kind == "permit"


def test_nested_arguments_sets_and_enums(desk, codes):
    engine = desk.engine(
        '@id("r") permit (principal, action == Action::"helpdesk.read", resource == Ticket::"7")\n'
        'when { context.args.ticket.queue == "billing" && context.args.tags.contains("a") && context.args.count < 5\n'
        '       && !context.args.urgent && context.args.price.lessThan(decimal("2.0")) };'
    )

    def judge(**args):
        return engine.judge(desk.question("helpdesk.read", **args))

    assert judge().kind == "permit"
    assert judge(ticket={"id": 8, "queue": "billing"}).kind == "forbid"
    assert judge(ticket={"id": 7, "queue": "other"}).kind == "forbid"
    assert judge(price="1.50").kind == "permit"
    assert judge(price="2.50").kind == "forbid"
    for bad in (
        {"price": "1e0"},
        {"price": " 1"},
        {"price": "\u0661"},
        {"count": 2**63},
        {"count": Decimal("1.5")},
        {"count": True},
    ):
        assert codes(judge(**bad)) == ("policy_error",), bad
    for bad in ({"tags": "a"}, {"tags": ["a", 1]}, {"tags": [None]}, {"ticket": [1]}, {"ticket": "x"}, {"urgent": 0}):
        assert judge(**bad).kind == "forbid", bad
    for missing in ({"urgent": None}, {"ticket": {"id": 7}}, {"ticket": {"id": None, "queue": "billing"}}):
        assert codes(judge(**missing)) == ("argument_required",), missing


SECRET = """
@id("x") forbid (principal, action, resource)
when { context.args has path && context.args.path == "secret" };
"""


def test_an_undescribed_argument_that_a_policy_asks_for_is_refused_when_given(desk, codes):
    engine = desk.engine(ANYTHING + SECRET)
    assert engine.judge(desk.question()).kind == "permit"
    assert codes(engine.judge(desk.question(path="x"))) == ("policy_error",)
    assert engine.judge(desk.question("files.write", path="secret")).policy_ids == ("x",)


def test_the_idempotency_key_is_not_an_argument(desk):
    (problem,) = desk.check(
        ANYTHING + '@id("k") forbid (principal, action == Action::"payments.refund", resource)\n'
        'when { context.args.idempotency_key == "x" };'
    )
    assert "no argument `idempotency_key`" in problem.message


def test_models_are_judged_as_actions(desk, codes):
    engine = desk.engine(
        '@id("models") permit (principal, action == Action::"model.request", resource == Model::"test:scripted");\n'
        '@id("reads") permit (principal, action in Action::"read", resource);'
    )
    assert engine.judge(desk.question(MODEL_REQUEST)).policy_ids == ("models",)
    assert engine.judge(desk.question(MODEL_REQUEST, model="other")).kind == "forbid"
    assert codes(engine.judge(desk.question(MODEL_REQUEST, model=...))) == ("argument_required",)


def test_built_in_and_declared_groups(desk):
    engine = desk.engine(
        '@id("reads") permit (principal, action in Action::"read", resource);\n'
        '@id("writes") permit (principal, action in Action::"write", resource);\n'
        '@id("all") permit (principal, action in Action::"any", resource);\n'
        '@id("money") permit (principal, action in [Action::"money-out", Action::"files.move"], resource);'
    )
    expected = {
        "payments.refund": ("all", "money", "writes"),
        "files.move": ("all", "money", "writes"),
        "files.write": ("all", "writes"),
        "helpdesk.read": ("all", "reads"),
        MODEL_REQUEST: ("all",),
    }
    for action, ids in expected.items():
        assert engine.judge(desk.question(action)).policy_ids == ids


def test_an_action_type_without_template_is_its_own_resource(desk):
    desk.actions["files.scan"] = ActionType(title="Scan", effect=Effect.READ)
    desk.tools["files.scan"] = desk.tools["files.write"]
    engine = desk.engine('@id("s") permit (principal, action, resource == ActionType::"files.scan");')
    assert engine.judge(desk.question("files.scan")).kind == "permit"


def test_a_policy_that_errors_refuses_and_is_not_skipped(desk, codes):
    engine = desk.engine(
        '@id("p") permit (principal, action, resource);\n'
        '@id("overflow") forbid (principal, action == Action::"helpdesk.read", resource)\n'
        "when { context.args.count * 4611686018427387904 > 3 };"
    )
    assert engine.judge(desk.question("helpdesk.read", count=0)).kind == "permit"
    verdict = engine.judge(desk.question("helpdesk.read", count=9))
    assert verdict.kind == "forbid"
    assert codes(verdict) == ("policy_error",)
    assert "overflow" in verdict.reasons[0].text


def test_an_engine_is_never_made_of_policies_with_errors(desk):
    with pytest.raises(ProjectInvalid) as caught:
        desk.engine("permit (principal, action, resource);")
    assert "no `@id`" in str(caught.value)


def test_no_policies_at_all_forbid_everything(desk, codes):
    assert codes(desk.engine("").judge(desk.question())) == ("no_policy_permits",)


def test_version_names_policies_and_schema(desk):
    one, again = desk.engine(), desk.engine()
    assert one.version == again.version
    desk.actions["payments.refund"] = desk.actions["payments.refund"].model_copy(
        update={"groups": ("money-out", "new")}
    )
    assert desk.engine().version != one.version


def test_explanation_names_every_policy_that_spoke(desk):
    engine = desk.engine()
    explanation = engine.explain(desk.question(amount=120))
    spoken = {s.policy.id: s for s in explanation.spoken}
    assert set(spoken) == {"refunds", "refund_over_100"}
    assert spoken["refund_over_100"].determining
    assert not spoken["refunds"].determining
    statement = spoken["refund_over_100"].policy.statement
    assert (statement.file, statement.line, statement.column) == ("policies/main.cedar", 6, 1)
    assert statement.text.startswith('@id("refund_over_100")')
    assert spoken["refund_over_100"].policy.effect == "forbid"
    assert explanation.considered == ("refunds", "refund_over_100", "refund_cap")
    (request,) = explanation.requests
    assert request["context"]["args"] == {"amount": "120.0", "currency": "USD"}


def test_explanation_of_what_could_not_be_asked(desk):
    explanation = desk.engine().explain(desk.question(amount=None))
    assert explanation.verdict.kind == "forbid"
    assert explanation.spoken == ()
    assert desk.engine().explain(desk.question("no.such")).considered == ()
