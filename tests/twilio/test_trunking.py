"""Trunks on the wire: planned, applied, verified, deleted. Blocking and async, against the emulated account."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

pytest.importorskip("twilio")

from provisioning import HOW, NUMBER, OTHER, PASSWORD, WHOLE, prepared, provisioning, state

from emulated import virtual
from realtime_sip.errors import DomainTakenError, InvalidRequestError, LimitReachedError
from realtime_sip.testing import TwilioEmulator
from realtime_sip.twilio import AsyncTwilioAccount
from realtime_sip.twilio.trunking import (
    CredentialList,
    OriginationUrl,
    Termination,
    Trunk,
    TrunkPlan,
    for_openai,
)

MAIN = for_openai("proj_abc", friendly_name="Shop", numbers=[NUMBER])


@HOW
@virtual
async def test_the_trunk_to_openai_is_made_with_what_brings_calls_last_and_then_nothing_is_to_be_done(how: str) -> None:
    async with provisioning(how) as here:
        prepared(here.twilio)
        plan = await here.got(here.account.trunks.plan(MAIN))
        assert here.wire.changes == []
        settings = "secure true, transfer_mode enable-all, transfer_caller_id from-transferee"
        assert str(plan).splitlines() == [
            "trunk Shop (new)",
            f"  + trunk                  Shop: {settings}",
            f"  + origination URL        {MAIN.origination[0].sip_url}: priority 10, weight 10, enabled true",
            f"  + number                 {NUMBER}: was voice URL https://demo.twilio.com/welcome/voice/",
        ]
        done: list[Any] = []
        applied = await here.got(here.account.trunks.apply(MAIN, on_step=done.append))
        assert [step.what for step in applied.done] == [step.what for step in plan.steps]
        assert list(applied.done) == done
        posts = [request for request in here.wire.seen if request.method == "POST"]
        assert [str(each.url).replace(applied.sid, "TK") for each in posts] == [
            "https://trunking.twilio.com/v1/Trunks",
            "https://trunking.twilio.com/v1/Trunks/TK/OriginationUrls",
            "https://trunking.twilio.com/v1/Trunks/TK/PhoneNumbers",
        ]
        assert [dict(parse_qsl(each.content.decode())) for each in posts] == [
            {
                "FriendlyName": "Shop",
                "Secure": "true",
                "TransferMode": "enable-all",
                "TransferCallerId": "from-transferee",
            },
            {
                "FriendlyName": "sip.api.openai.com",
                "SipUrl": "sip:proj_abc@sip.api.openai.com;transport=tls",
                "Priority": "10",
                "Weight": "10",
                "Enabled": "true",
            },
            {"PhoneNumberSid": next(iter(here.twilio.account.numbers))},
        ]
        before = list(here.wire.changes)
        again = await here.got(here.account.trunks.apply(MAIN))
        assert (again.sid, again.done) == (applied.sid, ())
        assert here.wire.changes == before
        report = await here.got(here.account.trunks.verify(MAIN))
        assert report.ok
        assert str(report) == f"trunk Shop ({applied.sid}): ok"


@HOW
@virtual
async def test_everything_that_can_be_declared_is_applied_and_verified(how: str) -> None:
    async with provisioning(how) as here:
        prepared(here.twilio)
        await here.got(here.account.trunks.apply(WHOLE))
        (trunk,) = here.twilio.account.trunks.values()
        shown = {name: trunk[name] for name in trunk if not isinstance(trunk[name], dict) and "sid" not in name}
        assert shown == {
            "friendly_name": "Shop",
            "domain_name": "shop.pstn.twilio.com",
            "disaster_recovery_url": "https://voice.example.com/twilio/disaster",
            "disaster_recovery_method": "GET",
            "transfer_mode": "sip-only",
            "transfer_caller_id": "from-transferor",
            "secure": True,
            "cnam_lookup_enabled": True,
            "symmetric_rtp_enabled": False,
        }
        assert state(here.twilio)["numbers"] == {NUMBER: "Shop", OTHER: "Shop"}
        assert state(here.twilio)["lists"] == [("pbx", ["pbx", "spare"]), ("sbc", ["8.8.4.0", "8.8.8.8"])]
        assert state(here.twilio)["trunks"][0]["lists"] == ["pbx", "sbc"]
        assert trunk["recording"] == {"mode": "record-from-answer-dual", "trim": "trim-silence"}
        report = await here.got(here.account.trunks.verify(WHOLE))
        assert report.ok, str(report)
        assert [finding.level for finding in report.findings] == ["warning"]  # sip-only


@virtual
async def test_what_differs_is_changed_and_nothing_else_and_what_is_none_is_left_as_it_is() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        await here.account.trunks.apply(WHOLE)
        del here.wire.seen[:]
        first, second = WHOLE.origination
        changed = Trunk(
            "Shop",
            origination=(dataclasses.replace(first, weight=61), second),
            cnam_lookup_enabled=False,
            disaster_recovery_url="",
            numbers=(NUMBER,),
        )
        plan = await here.account.trunks.plan(changed)
        disaster = WHOLE.disaster_recovery_url
        assert [" ".join(str(step).split()) for step in plan.steps] == [
            f"~ origination URL {first.sip_url}: weight 61 (was 60)",
            f'~ trunk Shop: cnam_lookup_enabled false (was true), disaster_recovery_url "" (was {disaster})',
        ]
        assert plan.kept == (f"number {OTHER} is not declared, and stays: its calls come here",)
        await here.account.trunks.apply(changed)
        (url, trunk) = [
            parse_qsl(each.content.decode(), keep_blank_values=True) for each in here.wire.seen if each.content
        ]
        assert dict(url) == {
            "FriendlyName": "sip.api.openai.com",
            "SipUrl": first.sip_url,
            "Priority": "1",
            "Weight": "61",
            "Enabled": "true",
        }
        assert dict(trunk) == {"CnamLookupEnabled": "false", "DisasterRecoveryUrl": ""}
        (now,) = here.twilio.account.trunks.values()
        assert (now["secure"], now["transfer_mode"], now["domain_name"]) == (True, "sip-only", "shop.pstn.twilio.com")


@virtual
async def test_law_nothing_is_deleted_unless_asked_for() -> None:
    bare = Trunk(
        "Shop",
        termination=Termination("shop.pstn.twilio.com", credential_lists=(CredentialList("pbx", {"pbx": PASSWORD}),)),
    )
    async with provisioning() as here:
        prepared(here.twilio)
        await here.account.trunks.apply(WHOLE)
        before = state(here.twilio)
        plan = await here.account.trunks.plan(bare)
        assert plan.steps == ()
        assert len(plan.kept) == 6
        assert (await here.account.trunks.apply(bare)).kept == plan.kept
        assert state(here.twilio) == before
        pruned = await here.account.trunks.apply(bare, prune=True)
        assert [(step.action, step.kind) for step in pruned.done] == [
            ("detach", "number"),
            ("detach", "number"),
            ("delete", "origination URL"),
            ("delete", "origination URL"),
            ("delete", "credential"),
            ("detach", "IP access control list"),
        ]
        after = state(here.twilio)
        assert after["numbers"] == {NUMBER: None, OTHER: None}
        assert after["lists"] == [("pbx", ["pbx"]), ("sbc", ["8.8.4.0", "8.8.8.8"])], "the list itself is the account's"
        assert after["trunks"][0]["urls"] == []


@virtual
async def test_ten_urls_and_an_eleventh_make_room_by_pruning_and_say_so_without() -> None:
    ten = [OriginationUrl(f"sip:a{number}.example;transport=tls", enabled=number > 0) for number in range(10)]
    eleventh = OriginationUrl("sip:new.example;transport=tls")
    async with provisioning() as here:
        prepared(here.twilio)
        await here.account.trunks.apply(dataclasses.replace(MAIN, origination=ten))
        trunk = dataclasses.replace(MAIN, origination=[eleventh, *ten[2:]])
        with pytest.raises(InvalidRequestError, match="10 origination URLs"):
            await here.account.trunks.apply(trunk)
        applied = await here.account.trunks.apply(trunk, prune=True)
        assert [(step.action, step.name) for step in applied.done] == [
            ("delete", ten[0].sip_url),  # it gets no calls
            ("create", eleventh.sip_url),
            ("delete", ten[1].sip_url),
        ]


@virtual
async def test_the_last_url_that_takes_calls_is_not_taken_from_the_numbers_that_stay() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        await here.account.trunks.apply(MAIN)
        (url,) = MAIN.origination
        off = dataclasses.replace(MAIN, origination=[dataclasses.replace(url, enabled=False)], numbers=())
        with pytest.raises(InvalidRequestError, match="32010"):
            await here.account.trunks.apply(off)
        applied = await here.account.trunks.apply(off, prune=True)
        assert [(step.action, step.kind) for step in applied.done] == [
            ("detach", "number"),
            ("update", "origination URL"),
        ]


@virtual
async def test_two_trunks_or_lists_of_one_name_are_not_guessed_between() -> None:
    async with provisioning() as here:
        for _ in range(2):
            await here.account.run(_post("https://trunking.twilio.com/v1/Trunks", FriendlyName="Shop"))
        for do in ("plan", "apply", "verify", "delete", "deletion"):
            with pytest.raises(InvalidRequestError, match="2 trunks have it"):
                await getattr(here.account.trunks, do)(MAIN)
        here.twilio.account.trunks.popitem()
        from realtime_sip.twilio.operations import API

        for _ in range(2):
            await here.account.run(_post(f"{API}/SIP/CredentialLists.json", FriendlyName="pbx"))
        with pytest.raises(InvalidRequestError, match="2 lists of the account"):
            await here.account.trunks.plan(WHOLE)


def _post(path: str, **fields: str) -> Any:
    from realtime_sip.twilio.operations import ask, form
    from realtime_sip.twilio.records import Made

    return ask(form("a", path, fields, Made))


@virtual
async def test_law_before_the_first_change_everything_is_looked_at() -> None:
    async with provisioning() as here:
        here.twilio.account.own(NUMBER, voice=False)
        trunk = dataclasses.replace(MAIN, numbers=(NUMBER, OTHER))
        plan = await here.account.trunks.plan(trunk)
        assert [str(finding) for finding in plan.findings] == [
            f"error: numbers.0, {NUMBER}, takes no calls: it has no voice capability",
            f"error: numbers.1, {OTHER}, is not a number of this account: buy it first",
        ]
        assert NUMBER not in repr(plan.findings)
        with pytest.raises(InvalidRequestError, match=r"numbers\.1, .number., is not a number") as raised:
            await here.account.trunks.apply(trunk)
        assert NUMBER not in str(raised.value)
        assert here.wire.changes == []


@virtual
async def test_a_trial_account_has_one_trunk_and_one_number() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        here.twilio.account.is_trial = True
        plan = await here.account.trunks.plan(WHOLE)
        assert "one number" in str(plan)
        assert "4 calls at a time" in str(plan)
        await here.account.trunks.apply(Trunk("Other"))
        with pytest.raises(InvalidRequestError, match="one trunk"):
            await here.account.trunks.apply(MAIN)
        with pytest.raises(LimitReachedError):
            await here.account.run(_post("https://trunking.twilio.com/v1/Trunks", FriendlyName="Shop"))


@pytest.mark.parametrize("status", ["401", "403"])
@virtual
async def test_a_standard_api_key_does_not_read_the_account_and_does_everything_else(status: str) -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        here.wire.fault = lambda _number, request: status if request.url.path.endswith("1.json") else None
        await here.account.trunks.apply(MAIN)
        assert (await here.account.trunks.verify(MAIN)).ok


@virtual
async def test_a_number_that_comes_as_text_is_the_number() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        await here.account.trunks.apply(WHOLE)
        (trunk,) = here.twilio.account.trunks.values()
        for url in trunk["origination_urls"].values():
            url["priority"], url["weight"] = str(url["priority"]), str(url["weight"])
        for entries in here.twilio.account.lists["IpAccessControlLists"].values():
            for entry in entries["entries"].values():
                entry["cidr_prefix_length"] = str(entry["cidr_prefix_length"])
        assert (await here.account.trunks.verify(WHOLE)).ok


@virtual
async def test_a_domain_of_somebody_elses_leaves_nothing_behind() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        await here.account.trunks.apply(dataclasses.replace(WHOLE, friendly_name="Other", numbers=()))
        with pytest.raises(DomainTakenError):
            await here.account.trunks.apply(WHOLE)
        assert [each["friendly_name"] for each in here.twilio.account.trunks.values()] == ["Other"]


@virtual
async def test_verify_says_what_would_let_calls_fail() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        report = await here.account.trunks.verify(MAIN)
        assert not report.ok
        assert "the trunk is not there" in str(report)
        await here.account.trunks.apply(WHOLE)
        (trunk,) = here.twilio.account.trunks.values()
        trunk["symmetric_rtp_enabled"] = True
        trunk["ip_access_control_lists"], trunk["credential_lists"] = {}, {}
        for url in trunk["origination_urls"].values():
            url["enabled"] = False
        here.twilio.account.caller_ids.clear()
        report = await here.account.trunks.verify(WHOLE)
        said = str(report)
        for part in ("32010", "symmetric RTP", "neither an access control", "the caller id +4930123456"):
            assert part in said
        assert [step.action for step in report.plan.steps] == ["update", "attach", "attach"]
        json.dumps(report.to_json())


@virtual
async def test_verify_sees_urls_that_get_calls_and_trunks_without_numbers() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        await here.account.trunks.apply(MAIN)
        other = dataclasses.replace(MAIN, origination=(OriginationUrl("sip:a.example;transport=tls"),), numbers=())
        await here.account.trunks.apply(other)
        report = await here.account.trunks.verify(MAIN)
        assert report.ok
        assert "an origination URL that is not declared gets calls, too" in str(report)
        await here.account.numbers.detach(NUMBER)
        assert "nobody can call it" in str(await here.account.trunks.verify(other))


@HOW
@virtual
async def test_a_deletion_names_the_numbers_that_stay_and_what_they_go_on_costing(how: str) -> None:
    async with provisioning(how) as here:
        prepared(here.twilio)
        await here.got(here.account.trunks.apply(dataclasses.replace(WHOLE, numbers=(NUMBER, OTHER))))
        before = list(here.wire.changes)
        deletion = await here.got(here.account.trunks.deletion(WHOLE))
        assert here.wire.changes == before
        assert [str(kept) for kept in deletion.numbers] == [
            f"{number} stays, and goes on costing 1.15 USD a month; release it to end that"
            for number in (NUMBER, OTHER)
        ]
        deleted = await here.got(here.account.trunks.delete(WHOLE))
        assert deleted == deletion
        assert here.wire.changes[len(before) :] == [("DELETE", f"/v1/Trunks/{deleted.sid}")]
        assert state(here.twilio)["numbers"] == {NUMBER: None, OTHER: None}
        assert [name for name, _ in state(here.twilio)["lists"]] == ["pbx", "sbc"]
        again = await here.got(here.account.trunks.delete(WHOLE))
        assert (again.sid, str(again)) == (None, "trunk Shop is not there")
        assert json.loads(json.dumps(deleted.to_json()))["numbers"][0]["monthly_price"] == "1.15 USD"


@virtual
async def test_a_price_that_is_not_known_is_not_guessed() -> None:
    async with provisioning() as here:
        here.twilio.account.own(NUMBER, type="mobile")
        await here.account.trunks.apply(MAIN)
        (kept,) = (await here.account.trunks.deletion(MAIN)).numbers
        assert (kept.monthly_price, "its monthly price" in str(kept)) == (None, True)
        here.wire.fault = lambda _number, request: "503" if "Countries" in request.url.path else None
        assert (await here.account.trunks.deletion(MAIN)).numbers[0].monthly_price is None


RULE = {"id": "webhooks_rule_1", "settings": [{"settingId": "webhooks_setting_1", "percentage": 100}]}
SHARED = {"type": "SHARED_KEY", "sharedKeyId": "webhooks_key_1", "algorithm": "HMAC_SHA256"}


@virtual
async def test_twilios_webhook_configuration_stands_over_the_url() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        account = here.twilio.account
        account.settings["webhooks_setting_1"] = {"signature": SHARED, "connection": {}, "auth": {}}
        trunk = dataclasses.replace(MAIN, disaster_recovery_url="https://voice.example.com/twilio/disaster#rt=1000")
        assert "shared key" not in str(await here.account.trunks.plan(trunk))
        account.rules = [
            {**RULE, "matchType": "PREFIX_MATCH", "prefix": "https://voice.example.com/", "settings": []},
            {**RULE, "matchType": "PREFIX_MATCH", "prefix": "https://voice.example.com/twilio/"},
            {**RULE, "matchType": "DEFAULT", "settings": []},
        ]
        for said in (str(await here.account.trunks.plan(trunk)), str(await here.account.trunks.verify(trunk))):
            assert "signs it with the shared key webhooks_key_1 by HMAC_SHA256" in said
        account.settings["webhooks_setting_1"] = {"connection": {"readTimeoutMs": 1}, "auth": {"source": "INLINE"}}
        said = str(await here.account.trunks.plan(trunk))
        assert "those behind the # of the URL do not count" in said
        assert "authenticate itself" in said
        account.rules.insert(
            0, {**RULE, "matchType": "EXACT_MATCH", "value": "https://voice.example.com/twilio/disaster"}
        )
        account.rules[0]["settings"] = []
        assert "webhook rule" not in str(await here.account.trunks.plan(trunk))
        here.wire.fault = lambda _number, request: "503" if "Rules" in request.url.path else None
        assert "cannot be read (503)" in str(await here.account.trunks.plan(trunk))
        assert not [request for request in here.wire.seen if "Webhooks" in request.url.path and request.method != "GET"]


@pytest.mark.parametrize("wrong", [None, "Shop", {"friendly_name": "Shop"}])
@virtual
async def test_what_is_no_trunk_is_refused_at_once(wrong: Any) -> None:
    async with provisioning() as here:
        for do in ("plan", "apply", "verify", "delete", "deletion"):
            with pytest.raises(InvalidRequestError, match="must be a Trunk"):
                getattr(here.account.trunks, do)(wrong)


@virtual
async def test_a_plan_is_json_for_programs_and_shows_no_number_in_a_repr() -> None:
    async with provisioning() as here:
        prepared(here.twilio)
        plan: TrunkPlan = await here.account.trunks.plan(MAIN)
        shown = json.loads(json.dumps(plan.to_json()))
        assert [step["kind"] for step in shown["steps"]] == ["trunk", "origination URL", "number"]
        assert shown["steps"][2] == {
            "action": "attach",
            "kind": "number",
            "name": NUMBER,
            "changes": [],
            "note": "was voice URL https://demo.twilio.com/welcome/voice/",
        }
        applied = await here.account.trunks.apply(MAIN)
        assert [step["kind"] for step in applied.to_json()["done"]] == ["trunk", "origination URL", "number"]
        assert "415555" not in f"{plan!r} {plan.steps!r} {applied!r}"


@virtual
async def test_over_a_real_socket() -> None:
    async with TwilioEmulator() as twilio:
        twilio.account.own(NUMBER)
        async with AsyncTwilioAccount(twilio.account_sid, twilio.auth_token, base_url=twilio.base_url) as account:
            await account.trunks.apply(MAIN)
            assert (await account.trunks.verify(MAIN)).ok
            twilio.fail("Trunks", method="GET", how="reset")
            assert (await account.trunks.verify(MAIN)).ok
            twilio.fail("Trunks", method="DELETE", acted=True, status=503)
            assert (await account.trunks.delete(MAIN)).sid is not None
            assert twilio.account.trunks == {}
