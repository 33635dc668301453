"""The red button."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.acceptance.cockpit.office import Office


def test_a_stop_says_what_it_covers_is_typed_and_released(open_cockpit: Office) -> None:
    open_cockpit.shop.worker()
    page = open_cockpit.page("ada")
    page.goto("/inbox")
    page.get_by_role("link", name="Stop").click()
    page.get_by_label("What").select_option("agent")
    page.get_by_role("button", name="Show what it covers").click()
    page.get_by_label("Which").select_option("clerk")
    page.get_by_role("button", name="Show what it covers").click()
    page.get_by_label("Why").fill("It pays the wrong people")
    page.get_by_label("to confirm").fill("clark")
    page.get_by_role("button", name="Stop the agent clerk").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing was stopped")
    page.get_by_label("to confirm").fill("clerk")
    page.get_by_role("button", name="Stop the agent clerk").click()
    expect(page.get_by_text("Agent clerk is stopped")).to_be_visible()

    session_id = open_cockpit.shop.start({"tool": "peek"})
    found = open_cockpit.shop.wait_for(session_id, "stop")
    assert [a["status"] for a in found["actions"] if a["status"] == "succeeded"] == []
    page.goto("/inbox")
    expect(page.get_by_text("Agent clerk is stopped")).to_be_visible()
    page.goto("/stop")
    page.get_by_label("Why it can go on").fill("It was mended")
    page.get_by_role("button", name="Release").click()
    expect(page.get_by_text("Nothing is stopped.")).to_be_visible()
    open_cockpit.shop.finish(session_id)


def test_who_may_not_stop_everything_cannot(office: Office) -> None:
    given = {"scope": "all", "reason": "no", "word": "stop"}
    assert office.client("vera").post("/stop", data=given).status_code == 403
    assert office.client("bo").post("/stop", data=given).status_code == 403, "a member stops in their workspace alone"
    agent = {"scope": "agent", "target": "clerk", "reason": "odd", "word": "clerk"}
    assert office.client("otto").post("/stop", data=agent).status_code == 403
    assert office.client("bo").post("/stop", data=agent).status_code == 303
    release = {"scope": "agent", "target": "clerk", "reason": "fine"}
    assert office.client("bo").post("/release", data=release).status_code == 403
    assert office.client("rita").post("/release", data=release).status_code == 303


def test_what_is_chosen_is_shown_without_asking_for_it(open_cockpit: Office) -> None:
    page = open_cockpit.page("ada")
    page.goto("/stop")
    page.get_by_label("What").select_option("agent")
    which = page.get_by_label("Which")
    expect(which.locator("option")).to_contain_text(["choose…", "clerk"])
    which.select_option("clerk")
    expect(page.get_by_role("button", name="Stop the agent clerk")).to_be_visible()
    expect(page.get_by_label("What")).to_have_value("agent")
    page.get_by_label("What").select_option("workspace")
    expect(which.locator("option")).to_contain_text(["choose…", "shop", "vault"])
    expect(page.get_by_role("button", name="Stop the agent clerk")).to_have_count(0)
    page.get_by_label("What").select_option("all")
    expect(page.get_by_role("button", name="Stop everything")).to_be_visible()
    page.get_by_label("Why").fill("fire drill")  # to write a reason asks for nothing
    expect(page.get_by_label("Why")).to_have_value("fire drill")


def test_without_scripts_the_choice_is_shown_on_demand(open_cockpit: Office) -> None:
    page = open_cockpit.page("ada", java_script_enabled=False)
    page.goto("/stop")
    page.get_by_label("What").select_option("agent")
    page.get_by_role("button", name="Show what it covers").click()
    page.get_by_label("Which").select_option("clerk")
    page.get_by_role("button", name="Show what it covers").click()
    expect(page.get_by_role("button", name="Stop the agent clerk")).to_be_visible()


def test_one_turn_goes_on_and_several_go_on(office: Office) -> None:
    release = {"scope": "all", "reason": "fine"}
    office.services.sessions.stop("all", "", "drill", "ada")
    said = office.client("ada").post("/release", data=release).headers["set-cookie"]
    assert "0%20turns%20go%20on" in said
    office.shop.worker()
    office.services.sessions.stop("all", "", "drill", "ada")
    session_id = office.shop.start({"tool": "peek"})
    office.shop.wait_for(session_id, "stop")
    said = office.client("ada").post("/release", data=release).headers["set-cookie"]
    assert "1%20turn%20goes%20on" in said
    office.shop.finish(session_id)
