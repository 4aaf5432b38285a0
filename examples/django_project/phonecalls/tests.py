"""The shop's calls, rung by an emulator of OpenAI: no account, no network.

A call runs in threads, which do not see what a `TestCase` has not committed. `LiveServerTestCase` commits, and serves
the project's own URLs.
"""

from __future__ import annotations

from datetime import date

from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import LiveServerTestCase, TestCase, override_settings
from django.utils import timezone

from orders.models import Order
from phonecalls.agents import create_host
from phonecalls.models import PhoneCall
from realtime_sip import AsyncRealtimeSip, EndReason
from realtime_sip.testing import (
    CallerHangsUp,
    CallerSays,
    EmulatorOnThread,
    EndedBy,
    ModelCalls,
    ModelSays,
    OpenAIEmulator,
    RingingCall,
    Step,
)


class Calls(LiveServerTestCase):
    """What is said, done and kept when somebody calls."""

    def setUp(self) -> None:
        Order.objects.create(number="1042", postcode="8001", arrives=date(2026, 12, 1))
        self.openai = self.enterContext(EmulatorOnThread(OpenAIEmulator(speed=20)))
        self.calls = create_host(AsyncRealtimeSip(**self.openai.emulator.client_options))
        self.addCleanup(self.calls.close)
        self.enterContext(override_settings(REALTIME_SIP={"HOST": self.calls}))

    def ring(self, number: str, *scenario: Step) -> RingingCall:
        """Let a call come in, and return it when the webhook was answered."""
        url = f"{self.live_server_url}/openai/webhook"
        ringing = self.openai.run(self.openai.emulator.ring, url, scenario=scenario, dialed=number)
        self.openai.run(ringing.until_delivered)
        return ringing

    def kept(self, ringing: RingingCall) -> PhoneCall:
        """Return what is kept of a call when it and its handler have ended."""
        self.calls.ended(ringing.call_id)
        return PhoneCall.objects.get(call_id=ringing.call_id)

    def test_an_order_is_looked_up_and_what_was_said_is_kept(self) -> None:
        ringing = self.ring(
            settings.ORDERS_NUMBER,
            ModelSays("Which order is it about?"),
            CallerSays("1042."),
            ModelCalls("order_status", {"number": "1042"}),
            ModelSays("It comes on the first of December."),
            CallerHangsUp(),
        )
        call = self.kept(ringing)
        self.assertEqual(call.end_reason, EndReason.CALLER.value)
        self.assertEqual(
            [str(line) for line in call.lines.all()],
            ["agent: Which order is it about?", "caller: 1042.", "agent: It comes on the first of December."],
        )

    def test_an_order_is_canceled_once_the_caller_has_said_yes(self) -> None:
        cancel = ModelCalls("cancel_order", {"number": "1042", "postcode": "8001"})
        ringing = self.ring(
            settings.SERVICE_NUMBER,
            ModelSays("How can I help you?"),
            CallerSays("Cancel order 1042. The postcode is 8001."),
            cancel,
            ModelSays("Do you want me to cancel it?"),
            CallerSays("Yes."),
            cancel,
            ModelSays("It is canceled."),
            CallerHangsUp(),
        )
        self.kept(ringing)
        self.assertEqual(Order.objects.get().status, Order.Status.CANCELED)

    def test_a_call_is_kept_though_the_program_is_stopped(self) -> None:
        question, goodbye = ModelSays("Which order is it about?"), ModelSays("We have to close. Goodbye.")
        ringing = self.ring(settings.ORDERS_NUMBER, question, goodbye)
        self.openai.run(ringing.until_attached)
        self.calls.drain(5)  # as a server does that is asked to stop
        call = self.kept(ringing)
        self.assertEqual(call.end_reason, EndReason.AGENT.value)
        self.assertIn("Goodbye", str(call.lines.last()))

    def test_a_number_that_is_not_ours_is_rejected(self) -> None:
        ringing = self.ring("+14155550199")
        self.assertEqual(self.openai.run(ringing.ended).by, EndedBy.REJECTED)
        self.assertFalse(PhoneCall.objects.exists())


class AdminPages(TestCase):
    """Who may read what."""

    call: PhoneCall
    staff: User

    @classmethod
    def setUpTestData(cls) -> None:
        now = timezone.now()
        cls.call = PhoneCall.objects.create(
            call_id="rtc_1", started_at=now, ended_at=now, end_reason="caller", transcript_is_complete=True
        )
        cls.call.lines.create(by="caller", text="Where is 1042?")
        cls.staff = User.objects.create_user("ada", is_staff=True)

    def page(self, *permissions: str) -> str:
        """Return the page of the call, as somebody of the staff with these permissions sees it."""
        self.staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.client.force_login(self.staff)
        return self.client.get(f"/admin/phonecalls/phonecall/{self.call.pk}/change/").content.decode()

    def test_what_was_said_needs_a_permission_of_its_own(self) -> None:
        self.assertIn("403 Forbidden", self.page())
        calls = self.page("view_phonecall")
        self.assertIn("rtc_1", calls)
        self.assertNotIn("Where is 1042?", calls)
        self.assertIn("Where is 1042?", self.page("view_phonecall", "view_transcriptline"))

    def test_nobody_changes_what_was_said(self) -> None:
        self.client.force_login(User.objects.create_superuser("root"))
        page = f"/admin/phonecalls/phonecall/{self.call.pk}"
        self.assertNotIn("<textarea", self.client.get(f"{page}/change/").content.decode())
        for change in ("change", "delete"):
            self.assertEqual(self.client.post(f"{page}/{change}/", {"post": "yes"}).status_code, 403)
        self.assertEqual(self.call.lines.get().text, "Where is 1042?")
