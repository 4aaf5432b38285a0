"""SIP addresses and headers: what real trunks send, and what hostile ones could."""

from __future__ import annotations

import doctest
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime_sip.errors import InvalidRequestError
from realtime_sip.sip import address as _address
from realtime_sip.sip import headers as _headers
from realtime_sip.sip.address import NameAddr, SipUri, e164
from realtime_sip.sip.headers import Diversion, SipHeaders, UserToUser

NUMBER = "+14155550100"


def headers(*items: tuple[str, str]) -> SipHeaders:
    return SipHeaders(items)


@pytest.mark.parametrize("module", [_headers, _address])
def test_docstring_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


# --- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+14155550100", NUMBER),
        ("+1 (415) 555-01.00", NUMBER),
        ("+12345678", "+12345678"),
        ("+123456789012345", "+123456789012345"),
        ("+1234567", None),
        ("+1234567890123456", None),
        ("+04155550100", None),
        ("14155550100", None),
        ("0014155550100", None),
        ("++14155550100", None),
        ("+14155550100\n", None),
        ("+١٤١٥٥٥٥٠١٠٠", None),
        ("+1415555010O", None),
        ("", None),
        ("+" + "-" * 100 + "14155550100", None),
    ],
)
def test_only_what_is_e164_beyond_doubt_is_a_number(text: str, number: str | None) -> None:
    assert e164(text) == number


# --- URIs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written", "number"),
    [
        ("sip:+14155550100@pstn.twilio.com:5060", "sip:+14155550100@pstn.twilio.com:5060", NUMBER),
        ("SIPS:+1-415-555-0100@EXAMPLE.com", "sips:+1-415-555-0100@example.com", NUMBER),
        (
            "sip:+14155550100;phone-context=+1@h.com;user=phone",
            "sip:+14155550100;phone-context=+1@h.com;user=phone",
            NUMBER,
        ),
        ("sip:%2B14155550100@h.com", "sip:+14155550100@h.com", NUMBER),
        ("sip:whatsapp%3A+14155550100@h.com", "sip:whatsapp%3A+14155550100@h.com", NUMBER),
        ("sip:WhatsApp:+14155550100@h.com", "sip:WhatsApp%3A+14155550100@h.com", NUMBER),
        ("sip:proj_a@sip.api.openai.com;transport=tls", "sip:proj_a@sip.api.openai.com;transport=tls", None),
        ("sip:4155550100@h.com", "sip:4155550100@h.com", None),
        ("sip:alice:secret@h.com;lr?Subject=a%20b&X-A=", "sip:alice:secret@h.com;lr?Subject=a%20b&X-A=", None),
        ("sip:h.com", "sip:h.com", None),
        ("sip:[2001:DB8::1]:5061;transport=tls", "sip:[2001:db8::1]:5061;transport=tls", None),
        ("sip:a@192.0.2.1", "sip:a@192.0.2.1", None),
        ("sip:%C3%A9@h.com", "sip:%C3%A9@h.com", None),
        ("tel:+1-415-555-0100", "tel:+1-415-555-0100", NUMBER),
        ("TEL:+1(415)555.0100;ext=12", "tel:+1(415)555.0100;ext=12", NUMBER),
        # RFC 3966 5.1.5: a context is no prefix to be put before the number.
        ("tel:555-0100;phone-context=+1-415", "tel:555-0100;phone-context=+1-415", None),
        ("tel:7042;phone-context=example.com", "tel:7042;phone-context=example.com", None),
        ("tel:*67#", "tel:*67#", None),
    ],
)
def test_uris_are_read_and_written(text: str, written: str, number: str | None) -> None:
    uri = SipUri.parse(text)
    assert str(uri) == written
    assert uri.number == number
    assert SipUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "sip", "sip:", "sip:@h.com", "sip:a@", "sip:a@b@c", "http://h.com", "whatsapp:+14155550100"),
        *("sip:a b@h.com", "sip:a@h.com\r\nX: y", "sip:a%0d%0aX@h.com", "sip:a@h.com;x=%0A", "sip:a@h.com?X=%00"),
        *("sip:a%zz@h.com", "sip:a%ff@h.com", "sip:é@h.com", "sip:a@h.com:", "sip:a@h.com:0", "sip:a@h.com:65536"),
        *("sip:a@h.com:٣", "sip:a@h_.com-", "sip:a@b..c", "sip:a@12345", "sip:a@1.2.3.456", "sip:a@h.com;;x"),
        *("sip:a@[::1", "sip:a@[::1]x", "sip:a@[::g]", "sip:a@[fe80::1%25eth0]", "sip:a@[h.com]", "sip:<a@h.com>"),
        *("tel:", "tel:alice", "tel:+", "tel:1+1", "tel:+1415@h.com", "tel:+1415?x=y", "tel:;ext=1", "tel:+1 415"),
        "sip:" + "a" * 3000 + "@h.com",
        "sip:" + "#" * 1500 + "@h.com",
        "sip:a@" + "b" * 64 + ".com",
        "sip:a@b-.com",
    ],
)
def test_nonsense_is_no_uri(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        SipUri.parse(text)


@pytest.mark.parametrize(
    "parts",
    [
        {"scheme": "sip", "user": "a\r\nVia: x", "host": "h.com"},
        {"scheme": "sip", "user": "a", "host": "h.com\r\nVia: x"},
        {"scheme": "sip", "user": "a", "host": "h.com", "params": (("x\n", "y"),)},
        {"scheme": "sip", "user": "a", "host": "h.com", "params": (("", "y"),)},
        {"scheme": "sip", "user": "a", "host": "h.com", "headers": (("X-A", "b\x00"),)},
        {"scheme": "sip", "password": "p", "host": "h.com"},
        {"scheme": "sip", "user": "a", "host": "h.com;transport=udp"},
        {"scheme": "sip", "user": "\ud800", "host": "h.com"},
        {"scheme": "http", "host": "h.com"},
        {"scheme": "tel", "user": "+14155550100", "host": "h.com"},
        {"scheme": "tel"},
    ],
)
def test_control_characters_never_get_into_a_uri(parts: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        SipUri(**parts)  # type: ignore[arg-type]


def test_what_would_separate_is_escaped() -> None:
    uri = SipUri(
        "sip", user="a@b:c", password="p;q@", host="h.com", params=(("x", "1;y=2"),), headers=(("X-A", "1&X-B=2"),)
    )
    assert str(uri) == "sip:a%40b%3Ac:p%3Bq%40@h.com;x=1%3By%3D2?X-A=1%26X-B%3D2"
    assert SipUri.parse(str(uri)) == uri


def test_parameters_are_found_in_any_case() -> None:
    uri = SipUri.parse("sip:h.com;Transport=TLS;lr")
    assert (uri.param("transport"), uri.param("LR"), uri.param("ttl")) == ("TLS", "", None)


@pytest.mark.parametrize(
    "text",
    [
        "sip:+14155550100:s3cret@h.com;phone-context=+14155550100?X-A=14155550100",
        "sip:14155550100:s3cret@h.com",
        "sip:whatsapp:+14155550100@h.com",
        "tel:+1-415-555-0100;ext=14155550100",
    ],
)
def test_repr_shows_no_number_and_no_password(text: str) -> None:
    for shown in (repr(SipUri.parse(text)), repr(NameAddr.parse(f'"+14155550100" <{text}>;tag=+14155550100'))):
        assert "0100" not in shown
        assert "s3cret" not in shown
    assert "h.com" in repr(SipUri.parse("sip:alice@h.com"))
    assert "alice" in repr(SipUri.parse("sip:alice@h.com"))


plain = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=12)
names = st.text(st.sampled_from(string.ascii_letters + "-_.;=&?@ é"), min_size=1, max_size=8)
pairs = st.lists(st.tuples(names, plain), max_size=3).map(tuple)
hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,5}(\.[a-z][a-z0-9]{0,5}){0,2}", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)


@given(
    scheme=st.sampled_from(["sip", "sips"]),
    user=st.none() | plain.filter(bool),
    password=st.none() | plain,
    host=hosts,
    port=st.none() | st.integers(1, 65535),
    params=pairs,
    uri_headers=pairs,
)
def test_a_written_uri_reads_as_the_same_uri(
    scheme: str,
    user: str | None,
    password: str | None,
    host: str,
    port: int | None,
    params: tuple[tuple[str, str], ...],
    uri_headers: tuple[tuple[str, str], ...],
) -> None:
    uri = SipUri(
        scheme,
        user=user,
        password=password if user else None,
        host=host,
        port=port,
        params=params,
        headers=uri_headers,
    )
    assert SipUri.parse(str(uri)) == uri


@given(st.text(max_size=60) | st.text('sipstel:+@;?%=&[].0a/<>" ', max_size=40).map("sip:".__add__))
@example("sip:a@h.com")
def test_any_text_is_a_uri_or_refused(text: str) -> None:
    try:
        uri = SipUri.parse(text)
    except InvalidRequestError:
        return
    assert str(uri).isascii()
    assert str(uri).isprintable()
    assert SipUri.parse(str(uri)) == uri


# --- addresses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "display_name", "uri", "params"),
    [
        ("sip:a@h.com", "", "sip:a@h.com", ()),
        ("sip:a@h.com;tag=1", "", "sip:a@h.com", (("tag", "1"),)),
        ("<sip:a@h.com;lr>;tag=1", "", "sip:a@h.com;lr", (("tag", "1"),)),
        ("Alice B <sip:a@h.com>", "Alice B", "sip:a@h.com", ()),
        ('"A \\"q\\" \\\\ <x>; y" <sip:a@h.com>', 'A "q" \\ <x>; y', "sip:a@h.com", ()),
        ('""<tel:+14155550100>', "", "tel:+14155550100", ()),
        (' "A"\t<sip:a@h.com> ; x = "b;c" ; y ', "A", "sip:a@h.com", (("x", "b;c"), ("y", ""))),
    ],
)
def test_addresses_are_read(text: str, display_name: str, uri: str, params: tuple[tuple[str, str], ...]) -> None:
    address = NameAddr.parse(text)
    assert (address.display_name, str(address.uri), address.params) == (display_name, uri, params)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "<>", "<sip:a@h.com", "sip:a@h.com>", '"A <sip:a@h.com>', '"A" sip:a@h.com', "<sip:a@h.com> x"),
        *("<sip:a@h.com>, <sip:b@h.com>", "<whatsapp:+14155550100>", "A\r\nB <sip:a@h.com>", '"\x00"<sip:a@h.com>'),
        *('<sip:a@h.com>;tag="x', "<sip:a@h.com>;t g=1", "<sip:a@h.com>;=1"),
        '"' + "a" * 9000 + '" <sip:a@h.com>',
    ],
)
def test_nonsense_is_no_address(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        NameAddr.parse(text)


@given(display_name=plain, value=plain)
def test_a_written_address_reads_as_the_same_address(display_name: str, value: str) -> None:
    address = NameAddr(SipUri("sip", user="a", host="h.com"), display_name=display_name, params=(("x", value),))
    assert NameAddr.parse(str(address)) == address


# --- headers -----------------------------------------------------------------------------------------------------

# Two letters at least: one letter is a compact form.
header_names = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_"), min_size=2, max_size=12)


@given(st.lists(st.tuples(header_names, plain), max_size=20))
def test_order_and_repeats_survive(items: list[tuple[str, str]]) -> None:
    found = SipHeaders.from_wire([{"name": name, "value": value} for name, value in items])
    assert list(found) == items
    assert len(found) == len(items)
    for name, _ in items:
        same = [value for other, value in items if other.lower() == name.lower()]
        assert list(found.get_all(name.swapcase())) == same
        assert found.get(name) == same[0]
        assert name in found


def test_compact_and_long_forms_are_the_same_header() -> None:
    found = headers(("v", "1"), ("Via", "2"), ("VIA", "3"), ("i", "x"))
    assert found.get_all("via") == found.get_all("V") == ("1", "2", "3")
    assert found.get("Call-ID") == "x"
    assert "call-id" in found
    assert "From" not in found
    assert 7 not in found


def test_entries_that_are_no_header_are_skipped() -> None:
    entries: list[object] = [
        *(None, 7, "From", [], {}, {"name": "A"}, {"name": "A", "value": 1}, {"name": None, "value": "x"}),
        *({"name": "", "value": "x"}, {"name": "A B", "value": "x"}, {"name": "A", "value": "x\r\nB: y"}),
        {"name": "From", "value": "sip:a@h.com", "more": 1},
    ]
    assert list(SipHeaders.from_wire(entries)) == [("From", "sip:a@h.com")]
    assert len(SipHeaders.from_wire(None)) == 0


def test_law_bounded__a_uri_and_a_value_are_read_to_a_length() -> None:
    assert SipUri.parse("sip:" + "a" * 2000 + "@h.com").host == "h.com"
    with pytest.raises(InvalidRequestError, match="2048"):
        SipUri.parse("sip:" + "a" * 3000 + "@h.com")
    with pytest.raises(InvalidRequestError, match="2048"):
        SipUri("sip", user="a" * 3000, host="h.com")
    with pytest.raises(InvalidRequestError, match="8192"):
        NameAddr.parse("x" * 9000 + " <sip:a@h.com>")


@pytest.mark.parametrize("item", [("A B", "x"), ("", "x"), ("A:", "x"), ("A", "x\r\nB: y"), ("A", "\x00")])
def test_control_characters_never_get_into_a_header(item: tuple[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        SipHeaders([item])


def test_headers_show_names_alone() -> None:
    found = headers(("From", "sip:+14155550100@h.com"), ("X-Key-14155550100", "s3cret"), *[("A", "b")] * 50)
    assert "From" in repr(found)
    assert "0100" not in repr(found)
    assert "s3cret" not in repr(found)
    assert len(repr(found)) < 400


def test_headers_are_values() -> None:
    one, same, other = headers(("A", "b")), headers(("A", "b")), headers(("A", "c"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != [("A", "b")]


CALLERS = [
    # From as trunks send it
    (
        [("From", '"+48123123123" <sip:+48123123123@pstn.twilio.com:5060>;tag=82568196_c3356d0b')],
        "+48123123123",
        "phone",
    ),
    ([("From", "sip:+16722020602@sip.twilio.com")], "+16722020602", "phone"),
    ([("From", "sip:+142555512112@sip.example.com")], "+142555512112", "phone"),
    ([("f", "<TEL:+1-415-555-0100>;tag=1")], NUMBER, "phone"),
    ([("FROM", "<SIP:+14155550100@H.COM;user=phone>")], NUMBER, "phone"),
    ([("From", '"Doe, J <x>" <sips:+14155550100@[2001:db8::1]:5061>')], NUMBER, "phone"),
    ([("From", "+14155550100")], NUMBER, "phone"),
    # numbers that say nothing without knowing the country
    ([("From", "<sip:4155550100@h.com>")], None, "phone"),
    ([("From", "<sip:0014155550100@h.com>")], None, "phone"),
    ([("From", "<tel:555-0100;phone-context=+1415>")], None, "phone"),
    ([("From", "4155550100")], None, "phone"),
    # withheld
    ([("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1')], None, "phone"),
    ([("From", "<sip:+14155550100@anonymous.invalid>")], None, "phone"),
    ([("From", "<sip:Restricted@h.com>")], None, "phone"),
    ([("From", "<sip:+266696687@pstn.twilio.com>")], None, "phone"),
    ([("From", "<sip:+86282452253@pstn.twilio.com>")], None, "phone"),
    ([("From", "anonymous")], None, "phone"),
    ([("From", "<sip:anonymous@anonymous.invalid>"), ("P-Asserted-Identity", f"<tel:{NUMBER}>")], None, "phone"),
    ([("From", "<sip:x@h.com>"), ("Privacy", "header;id"), ("P-Asserted-Identity", f"<tel:{NUMBER}>")], None, "sip"),
    ([("From", "<sip:x@h.com>"), ("Remote-Party-ID", f"<sip:{NUMBER}@h.com>;privacy=full")], None, "sip"),
    # asserted by the network
    ([("From", "<sip:x@h.com>"), ("P-Asserted-Identity", f'"A, B" <sip:x@h.com>, <tel:{NUMBER}>')], NUMBER, "phone"),
    ([("P-Asserted-Identity", f"<sip:{NUMBER}@h.com>"), ("Privacy", "none")], NUMBER, "phone"),
    ([("From", "<sip:+48123123123@h.com>"), ("P-Asserted-Identity", f"<tel:{NUMBER}>")], "+48123123123", "phone"),
    ([("From", "<sip:x@h.com>"), ("Remote-Party-ID", f"<sip:{NUMBER}@h.com>;party=calling")], NUMBER, "phone"),
    ([("From", "<sip:x@h.com>"), ("Remote-Party-ID", f"<sip:{NUMBER}@h.com>;party=called")], None, "sip"),
    # WhatsApp
    ([("From", "whatsapp:+5511999999999")], "+5511999999999", "whatsapp"),
    ([("From", "<whatsapp:+5511999999999>;tag=1")], "+5511999999999", "whatsapp"),
    ([("From", "whatsapp:+5511999999999@sip.twilio.com")], "+5511999999999", "whatsapp"),
    ([("From", "whatsapp%3A%2B5511999999999")], "+5511999999999", "whatsapp"),
    ([("From", "<sip:whatsapp:+5511999999999@sip.twilio.com>")], "+5511999999999", "whatsapp"),
    ([("From", "<sip:whatsapp%3A%2B5511999999999@sip.twilio.com>")], "+5511999999999", "whatsapp"),
    ([("From", f"<sip:{NUMBER}@h.com>"), ("x-channel", " WhatsApp ")], NUMBER, "whatsapp"),
    ([("From", "whatsapp:+5511999999999"), ("X-Channel", "phone")], "+5511999999999", "phone"),
    ([("From", f"<sip:{NUMBER}@h.com>"), ("X-Channel", "fax")], NUMBER, "phone"),
    # others
    ([("From", "<sip:alice@example.com>")], None, "sip"),
    ([("From", "garbage <<")], None, "sip"),
    ([("From", "")], None, "sip"),
    ([], None, "sip"),
]


@pytest.mark.parametrize(("items", "caller", "channel"), CALLERS)
def test_the_caller_is_found(items: list[tuple[str, str]], caller: str | None, channel: str) -> None:
    found = headers(*items)
    assert found.caller == caller
    assert found.channel == channel


DIALED = [
    ([("To", "sip:+18005551212@sip.example.com")], "+18005551212"),
    # A trunk that points at OpenAI
    ([("To", "<sip:proj_a@sip.api.openai.com>"), ("Diversion", "<sip:+18005551212@twilio.com>")], "+18005551212"),
    ([("To", "sip:proj_a@h.com"), ("Diversion", '"A, B" <tel:+18005551212>;reason=unconditional')], "+18005551212"),
    # RFC 5806: the latest diversion comes first
    ([("Diversion", "<sip:+18005551212@h.com>, <sip:+18005550000@h.com>")], "+18005551212"),
    ([("Diversion", "<sip:+18005551212@h.com>"), ("Diversion", "<sip:+18005550000@h.com>")], "+18005551212"),
    ([("Diversion", "<sip:x@h.com>, <sip:+18005550000@h.com>")], "+18005550000"),
    # A number in To is nearer than a diversion of somebody else
    ([("Diversion", "<sip:+18005550000@h.com>"), ("t", "<sip:+18005551212@h.com>")], "+18005551212"),
    ([("To", "sip:proj_a@h.com"), ("P-Called-Party-ID", "<sip:+18005551212@h.com>")], "+18005551212"),
    # What our own TwiML says comes first
    ([("To", "sip:+18005550000@h.com"), ("x-dialed-number", "+1 800 555 1212")], "+18005551212"),
    ([("To", "sip:proj_a@h.com"), ("X-Dialed-Number", "whatsapp:+18005551212")], "+18005551212"),
    ([("To", "sip:proj_a@h.com"), ("X-Dialed-Number", "%2B18005551212")], "+18005551212"),
    ([("To", "sip:proj_a@h.com"), ("X-Dialed-Number", "8005551212")], None),
    ([("To", "sip:proj_a@h.com")], None),
    ([], None),
]


@pytest.mark.parametrize(("items", "dialed"), DIALED)
def test_the_dialed_number_is_found(items: list[tuple[str, str]], dialed: str | None) -> None:
    assert headers(*items).dialed == dialed


def test_the_raw_text_is_at_hand() -> None:
    found = headers(("From", "<sip:x@h.com>"), ("P-Asserted-Identity", f"<sip:y@h.com>, <tel:{NUMBER}>"), ("To", "??"))
    assert found.caller_raw == f"<tel:{NUMBER}>"
    assert found.dialed_raw == "??"
    assert headers(("From", "??")).caller_raw == "??"
    assert headers(("Remote-Party-ID", f"X <tel:{NUMBER}>;a=1")).caller_raw == f"X <tel:{NUMBER}>;a=1"
    assert headers().caller_raw is None
    assert headers().dialed_raw is None


def test_diversions_are_read_across_lists_and_repeats() -> None:
    found = headers(
        ("Diversion", '"Desk, left" <sip:+18005551212@h.com>;reason=no-answer;counter=2;privacy=off, broken <'),
        ("diversion", "<tel:+1-800-555-0000>;reason=user-busy;screen=yes;counter=x"),
    )
    latest, first = found.diversions
    assert (latest.number, latest.reason, latest.counter, latest.privacy) == ("+18005551212", "no-answer", 2, "off")
    assert (first.number, first.reason, first.counter, first.screen) == ("+18005550000", "user-busy", None, "yes")
    assert isinstance(latest, Diversion)
    assert "1212" not in repr(latest)


def test_identities_of_the_network_are_at_hand_also_where_privacy_is_asked() -> None:
    found = headers(
        ("From", "<sip:anonymous@anonymous.invalid>"),
        ("P-Asserted-Identity", f"<sip:{NUMBER}@h.com>, <<"),
        ("Remote-Party-ID", f'"A" <sip:{NUMBER}@h.com>;privacy=full'),
    )
    assert [address.uri.number for address in found.asserted_identities] == [NUMBER]
    assert [address.param("privacy") for address in found.remote_party_ids] == ["full"]
    assert found.caller is None


def test_user_to_user_is_read() -> None:
    found = headers(
        ("User-to-User", "48656c6c6f;encoding=hex;purpose=isdn-uui;content=isdn-uui, 00"),
        ("User-to-User", '"a,b;c";encoding=text'),
        ("User-to-User", ";encoding=hex"),
    )
    hello, zero, text = found.user_to_user
    assert (hello.octets, hello.encoding, hello.purpose, hello.content) == (b"Hello", "hex", "isdn-uui", "isdn-uui")
    assert zero.octets == b"\0"
    assert (text.data, text.octets) == ("a,b;c", None)
    assert UserToUser("xyz").octets is None
    assert "48656c" not in repr(hello)


def test_extension_headers_are_listed_in_order() -> None:
    found = headers(("X-B", "1"), ("From", "x"), ("x-a", "2"), ("X-B", "3"))
    assert found.extensions == (("X-B", "1"), ("x-a", "2"), ("X-B", "3"))


IDENTITY_NAMES = [
    *("From", "To", "Diversion", "P-Asserted-Identity", "Remote-Party-ID", "User-to-User", "Privacy"),
    *("X-Channel", "X-Dialed-Number", "P-Called-Party-ID"),
]
header_values = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            ["sip:", "tel:", "whatsapp:", "+14155550100", "@", "h.com", "<", ">", '"', "\\", ";", ",", "%"]
        ),
        max_size=12,
    ).map("".join),
)


@given(st.lists(st.tuples(st.sampled_from(IDENTITY_NAMES), header_values), max_size=8))
def test_garbage_yields_none_and_never_an_exception(items: list[tuple[str, str]]) -> None:
    found = SipHeaders.from_wire([{"name": name, "value": value} for name, value in items])
    for number in (found.caller, found.dialed, *(diversion.number for diversion in found.diversions)):
        assert number is None or e164(number) == number
    assert found.channel in {"phone", "whatsapp", "sip"}
    values = {value for _, value in found}
    if "From" in found:
        assert found.caller_raw is not None
        assert any(found.caller_raw in value for value in values)
    for part in (*found.asserted_identities, *found.remote_party_ids, *found.user_to_user, *found.diversions):
        assert NUMBER not in repr(part)


def test_a_flood_of_entries_is_cut() -> None:
    entry = "<sip:+18005551212@h.com>"
    assert 0 < len(headers(("Diversion", ",".join([entry] * 300))).diversions) < 100
    assert 0 < len(headers(*[("Diversion", entry)] * 300).diversions) < 100
    assert headers(("Diversion", ",".join([entry] * 3000))).diversions == ()


def test_a_caller_with_a_trunk_prefix_in_parentheses_is_no_second_caller() -> None:
    assert e164("+44 (0)20 7946 0101") is None


def test_parameters_behind_a_whatsapp_address_hide_no_number() -> None:
    assert SipHeaders([("From", f"<whatsapp:{NUMBER};x=y>")]).caller == NUMBER
