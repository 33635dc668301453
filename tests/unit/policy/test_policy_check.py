"""What `remit check` finds in policies: the right place, the right words, all at once."""

from __future__ import annotations

import pytest

from remit.domain.actions import Caps, Money
from remit.governance.policy.statements import MAX_NESTING

HEAD = 'forbid (principal, action == Action::"payments.refund", resource)'
EITHER_CLAUSE = (
    'unless { context.approved_by.contains("risk") } unless { context.approved_by.contains("accountable") };'
)
EITHER_ROLE = 'unless { context.approved_by.contains("risk") || context.approved_by.contains("accountable") };'
ASKS = 'unless { context.approved_by.contains("accountable") };'


def only(problems):
    assert len(problems) == 1, [str(p) for p in problems]
    return problems[0]


def test_good_policies_have_no_problems(desk):
    assert desk.check() == []


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("permit (principal, action, resource);", 1, 1, "no `@id`"),
        ('\n  @id("") permit (principal, action, resource);', 2, 3, "no `@id`"),
        ('@id("a b") permit (principal, action, resource);', 1, 5, "cannot be used"),
        ('@id("a") @reason("Too much!") permit (principal, action, resource);', 1, 11, "code for machines"),
        ('@id("a")\npermit (principal, action,\n resource) when { 1 ++ 2 };', 3, 22, "unexpected token"),
        ('@id("a") permit (principal, action = Action::"x", resource);', 1, 36, "operator"),
        ('@id("a") permit (principal, action, resource)\nwhen { principle == 1 };', 2, 8, "principle"),
        ('@id("a") permit (principal, action, resource)', 1, 46, "not finished"),
        ('@id("a") permit (principal, action, resource) when { "open };', 1, 54, "not Cedar"),
        ('@id("a") permit (principal, action, resource);\n;', 2, 1, "not Cedar"),
        ('@id("a") permit (principal == ?principal, action, resource);', 1, 1, "template"),
        ('@id("a") permit (principal, action == Action::"payments.refnd", resource);', 1, 47, "no action type"),
        ('@id("a") permit (principal, action in Action::"money-outt", resource);', 1, 47, "no action type or group"),
        ('@id("a") permit (principal, action == Action::"write", resource);', 1, 47, "is a group"),
        ('@id("a") permit (principal, action == Foo::"write", resource);', 1, 39, "got `Foo"),
        (f'@id("a")\n{HEAD}\nwhen {{ context.args.amoun == decimal("1.0") }};', 3, 21, "no argument `amoun`"),
        (f'@id("a")\n{HEAD}\nwhen {{ context["args"]["amoun"] == 1 }};', 3, 24, "no argument `amoun`"),
        (f'@id("a")\n{HEAD}\nwhen {{ context.args.note == "x" }};', 3, 21, "`note` may be left out"),
        (f'@id("a")\n{HEAD}\nwhen {{ context.args has note && context.args.note == "x" }};', 3, 25, "may be left out"),
        (f'@id("a")\n{HEAD}\nwhen {{ context.args.amount > 3 }};', 1, 1, "expected Long but saw decimal"),
        (f'@id("a")\n{HEAD}\nwhen {{ context.args.amount == decimal("1") }};', 3, 39, "not a decimal"),
        (f'@id("a")\n{HEAD}\nwhen {{ context.autonmy == "x" }};', 3, 16, "autonmy"),
        (f'@id("a")\n{HEAD}\nwhen {{ resource == Chrge::"x" }};', 3, 20, "Chrge"),
        (f'@id("a")\n{HEAD}\nwhen {{ principal.nm == "x" }};', 3, 18, "`nm`"),
        (f'@id("a")\n{HEAD}\nwhen {{ context == context }};', 1, 1, "as a whole"),
        (f'@id("a")\n{HEAD}\nwhen {{ context.args == {{}} }};', 3, 16, "as a whole"),
        ('@id("a") permit (principal, action == Action::"payments.refund", resource is Agent);', 1, 1, "never apply"),
    ],
)
def test_place_and_words(desk, text, line, column, words):
    problems = desk.check(text)
    assert problems, "nothing was found"
    first = problems[0]
    assert (first.file, first.line, first.column) == ("policies/main.cedar", line, column), [str(p) for p in problems]
    assert words in first.message
    assert first.mend
    assert first.severity == "error"


def test_hints_say_what_to_write(desk):
    assert "did you mean" in desk.check('@id("a") permit (principal, action in Action::"money-uot", resource);')[0].mend
    optional = only(desk.check(f'@id("a") {HEAD} when {{ context.args.note == "x" }};'))
    assert "require: [note]" in optional.mend
    assert "did you mean `autonomy`" in only(desk.check(f'@id("a") {HEAD} when {{ context.autonmy == "x" }};')).mend


@pytest.mark.parametrize(
    "text",
    [
        '@id("a") @approval("accountable") permit (principal, action, resource);',
        '@id("a") permit (principal, action, resource) when { context.approved_by.contains("accountable") };',
        f'@id("a") {HEAD} {ASKS}',
        f'@id("a") @approval("accountable") {HEAD};',
        f'@id("a") @approval("") {HEAD} {ASKS}',
        f'@id("a") @approval {HEAD} {ASKS}',
        f'@id("a") @approval("Some One") {HEAD} {ASKS}',
        f'@id("a") @approval("risk") {HEAD} {ASKS}',
        f'@id("a") @approval("accountable, risk") {HEAD} {ASKS}',
        f'@id("a") @approval("accountable") {HEAD} unless {{ context.approved_by.containsAny(["accountable"]) }};',
        f'@id("a") @approval("accountable") {HEAD} unless {{ context.approved_by.containsAll(["accountable"]) }};',
        f'@id("a") @approval("accountable") {HEAD} unless {{ context.approved_by == ["accountable"] }};',
        f'@id("a") @approval("accountable") {HEAD} unless {{ ["accountable"].containsAll(context.approved_by) }};',
        f'@id("a") @approval("accountable") {HEAD} unless {{ !context.approved_by.contains("accountable") }};',
        f'@id("a") @approval("accountable") {HEAD} unless {{ context.approved_by.contains(context.autonomy) }};',
        f'@id("a") @approval("accountable") {HEAD} when {{ !context.approved_by.contains("accountable") }};',
        f'@id("a") @approval("accountable") {HEAD} unless {{ context.approved_by.contains("accountable") || 1 == 2 }};',
        f'@id("a") @approval("accountable") {HEAD} unless {{ 1 == 1 && context.approved_by.contains("accountable") }};',
        f'@id("a") @approval("accountable") {HEAD} when {{ context has approved_by }} {ASKS}',
        f'@id("a") @approval("accountable") {HEAD} when {{ context.approved_by.isEmpty() }} {ASKS}',
        f'@id("a") @approval("accountable, risk") {HEAD} {EITHER_CLAUSE}',
        f'@id("a") @approval("accountable, risk") {HEAD} {EITHER_ROLE}',
    ],
)
def test_approval_has_one_form_only(desk, text):
    problems = desk.check(text)
    assert [p.severity for p in problems] == ["error"], [str(p) for p in problems]
    assert "unless" in problems[0].mend or "same roles" in problems[0].mend


def test_other_conditions_may_stand_beside_an_approval(desk):
    text = (
        f'@id("a") @approval("accountable") {HEAD} when {{ context.args.amount.greaterThan(decimal("5.0")) }} '
        f'unless {{ context.autonomy == "autonomous" }} {ASKS}'
    )
    assert desk.check(text) == []


def test_a_role_that_nobody_can_hold(desk):
    problem = only(desk.check(f'@id("a") @approval("finanse") {HEAD} {ASKS.replace("accountable", "finanse")}'))
    assert "finanse" in problem.message
    assert "did you mean finance?" in problem.mend


def test_ids_are_unique_over_all_files(desk):
    text = '@id("same") permit (principal, action, resource);'
    problem = only(desk.check(text, other="\n" + text))
    assert (problem.file, problem.line) == ("policies/other.cedar", 2)
    assert "policies/main.cedar:1" in problem.message


def test_a_group_without_members_is_a_warning(desk):
    problem = only(desk.check('@id("a") permit (principal, action in Action::"pagers", resource);'))
    assert problem.severity == "warning"
    assert "no action type belongs to the group pagers" in problem.message
    del desk.actions["helpdesk.read"]
    problem = only(desk.check('@id("a") permit (principal, action in Action::"read", resource);'))
    assert problem.severity == "warning"
    assert desk.engine('@id("a") permit (principal, action in Action::"read", resource);').problems == [problem]


def test_a_group_beside_an_action_is_a_warning_and_the_policy_still_counts(desk):
    engine = desk.engine('@id("a") permit (principal, action in [Action::"pagers", Action::"files.write"], resource);')
    assert [p.severity for p in engine.problems] == ["warning"]
    assert engine.judge(desk.question("files.write")).kind == "permit"


def test_all_problems_come_at_once(desk):
    problems = desk.check(
        "permit (principal, action, resource);\n"
        '@id("b") permit (principal action, resource);\n'
        f'@id("c") {HEAD} when {{ context.args.note == "x" && context.args.typo == 1 }};\n'
        '@id("d") permit (principal, action == Action::"no.such", resource);\n',
        other=f'@id("e") @approval("risk") {HEAD} {ASKS}',
    )
    places = {(p.file, p.line) for p in problems}
    assert places == {*(("policies/main.cedar", n) for n in (1, 2, 3, 4)), ("policies/other.cedar", 1)}
    assert sum(p.line == 3 for p in problems) == 2
    assert problems == sorted(problems, key=lambda p: (p.file, p.line, p.column))


def test_one_mistake_over_many_actions_is_told_briefly(desk):
    for n in range(50):
        desk.actions[f"files.w{n}"] = desk.actions["files.write"]
        desk.tools[f"files.w{n}"] = desk.tools["files.write"]
    head = '@id("a") forbid (principal, action in Action::"write", resource) '
    problems = desk.check(head + 'when { context.args has text && context.args.text == "x" };')
    assert len(problems) == 3
    assert "and 48 more like this" in problems[-1].message


@pytest.mark.parametrize(
    ("read", "words"),
    [
        ("context.args.anything == 1", "cannot read `anything`"),
        ("context.args.rows.isEmpty()", "cannot read `rows`"),
        ("context.args.ticket == {}", "as a whole"),
        ("context.args.ticket.seen", "`ticket.seen` may be left out"),
        ("context.args.count.more == 1", "has no fields"),
        ('context.args["__entity"] == 1', "keeps to itself"),
    ],
)
def test_arguments_that_policies_cannot_read(desk, read, words):
    problems = desk.check(
        f'@id("a")\nforbid (principal, action == Action::"helpdesk.read", resource)\nwhen {{ {read} }};'
    )
    assert words in problems[0].message
    assert problems[0].line == 3


def test_arguments_of_a_tool_that_is_not_pinned(desk):
    del desk.tools["payments.refund"]
    problems = desk.check(f'@id("a")\n{HEAD}\nwhen {{ context.money.amount == decimal("1.0") }};')
    assert "not pinned" in problems[0].message
    assert (problems[0].line, problems[0].column) == (3, 22)
    assert desk.check(f'@id("a") {HEAD};') == []


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ("Charge", "is not `Type::{argument}`"),
        ("Agent::{charge_id}", "meaning of its own"),
        ("Set::{charge_id}", "meaning of its own"),
        ("Charge::{}", "name no argument"),
        ("Charge::{charge_id", "name no argument"),
        ("Charge::{charge_id}{currency}", "separator"),
        ("Charge::{nothing}", "no argument nothing"),
        ("Charge::{note}", "`note` may be left out"),
        ("Charge::{amount}", "amount is a decimal"),
    ],
)
def test_resource_templates(desk, resource, words):
    desk.actions["payments.refund"] = desk.actions["payments.refund"].model_copy(update={"resource": resource})
    problem = only(desk.check('@id("a") permit (principal, action, resource);'))
    assert problem.file == "actions.yaml"
    assert words in problem.message


def test_defaults_and_money_must_fit_what_is_judged(desk):
    refund = desk.actions["payments.refund"]
    text = f'@id("a") {HEAD} when {{ context.args.currency == "USD" }};'
    desk.actions["payments.refund"] = refund.model_copy(update={"defaults": {"currency": 3}})
    assert "default does not fit" in only(desk.check(text)).message
    desk.actions["payments.refund"] = refund.model_copy(update={"money": Money(amount="note", currency="currency")})
    problems = desk.check(f'@id("a") {HEAD} when {{ context.money.amount == decimal("1.0") }};')
    assert any("the money of payments.refund" in p.message for p in problems)


def test_a_daily_total_that_nothing_counts(desk):
    text = f'@id("a") {HEAD} when {{ context.money.moved_today.greaterThan(decimal("1.0")) }};'
    assert desk.check(text) == []
    desk.actions["payments.refund"] = desk.actions["payments.refund"].model_copy(update={"caps": Caps()})
    assert "caps.per_day" in only(desk.check(text)).mend


def test_a_group_may_not_be_called_like_an_action(desk):
    desk.actions["files.write"] = desk.actions["files.write"].model_copy(update={"groups": ("files.move",)})
    assert "is also an action type" in only(desk.check('@id("a") permit (principal, action, resource);')).message


def test_deep_and_long_policies_are_problems_and_not_crashes(desk):
    head = '@id("a") permit (principal, action, resource) when { '
    deep = head + "(" * 100_000 + "true" + ")" * 100_000 + " };"
    assert "longer than" in only(desk.check(deep)).message
    unbalanced = head + "[" * 19_000
    assert f"deeper than {MAX_NESTING}" in only(desk.check(unbalanced)).message
    for chain in ("context has a" + ".a" * 9_000, "context" + " . // no\n x" * 1_000):
        assert "chain of attributes" in only(desk.check(f"{head}{chain} }};")).message
    assert "longer than" in only(desk.check(head + "true && " * 10_000 + "true };")).message
    chain = head + "context.assisted && " * 900 + "true };"
    assert "nested too deeply" in only(desk.check(chain)).message
    allowed = head + "(" * (MAX_NESTING - 1) + "true" + ")" * (MAX_NESTING - 1) + " };"
    assert desk.check(allowed) == []


def test_semicolons_and_comments_inside_text_do_not_cut(desk):
    text = (
        '// a comment; with "quotes\n@id("a") // one more;\npermit (principal, action, resource)\n'
        'when { context.autonomy != "a;b//c\\";" };  // end\n// nothing\n'
    )
    engine = desk.engine(text)
    assert engine.judge(desk.question()).policy_ids == ("a",)
    assert engine.policies["a"].statement.line == 2


def test_the_schema_is_readable_and_whole(desk):
    import cedarpy

    engine = desk.engine()
    assert 'action "payments.refund" in ["any", "money-out", "write"]' in engine.schema_text
    assert '"args": {"amount": decimal, "currency": String}' in engine.schema_text
    assert "note" not in engine.schema_text
    texts = "\n".join(p.statement.text for p in engine.policies.values())
    assert cedarpy.validate_policies(texts, engine.schema_text)
