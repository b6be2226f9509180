"""What may be called, and that nothing else is: no socket is opened for what is refused."""

import ipaddress
import socket
import struct
from dataclasses import FrozenInstanceError
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from wire import Wire, answer

from odoo.addons.integration_base.lib import address_guard
from odoo.addons.integration_base.lib.address_guard import (
    AddressGuard,
    Origin,
    is_public,
    origin_of,
    read_private_hosts,
)
from odoo.addons.integration_base.lib.errors import AddressError, RequestRefused, RetryableError
from odoo.addons.integration_base.lib.http import HttpClient

PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"

#: What the names of these tests lead to.
ZONE = {
    "shop.example": [PUBLIC],
    "six.example": [PUBLIC_6],
    "both.example": [PUBLIC_6, PUBLIC],
    "nat64.example": ["64:ff9b::5db8:d822"],
    "xn--mller-kva.example": [PUBLIC],
    "loopback.example": ["127.0.0.1"],
    "loopback6.example": ["::1"],
    "localhost.loopback.example": ["127.0.0.1"],
    "private.example": ["10.1.2.3"],
    "first.example": ["10.1.2.3", PUBLIC],
    "last.example": [PUBLIC, "10.1.2.3"],
    "mixed.example": [PUBLIC, "::1"],
    "mapped.example": ["::ffff:10.1.2.3"],
    "mapped-public.example": [f"::ffff:{PUBLIC}"],
    "compatible.example": ["::10.1.2.3"],
    "6to4.example": ["2002:0a01:0203::1"],
    "teredo.example": ["2001:0:4136:e378:8000:63bf:f5fe:fdfc"],
    "nat64-private.example": ["64:ff9b::a01:203"],
    "nat64-metadata.example": ["64:ff9b::a9fe:a9fe"],
    "nat64-local.example": ["64:ff9b:1::5db8:d822"],
    "metadata.example": ["169.254.169.254"],
    "metadata-aws6.example": ["fd00:ec2::254"],
    "metadata-azure.example": ["168.63.129.16"],
    "metadata-oracle.example": ["192.0.0.192"],
    "metadata-alibaba.example": ["100.100.100.200"],
    "zero.example": ["0.0.0.0"],
    "zero6.example": ["::"],
    "cgnat.example": ["100.64.0.1"],
    "linklocal6.example": ["fe80::1"],
    "sitelocal.example": ["fec0::1"],
    "unique.example": ["fd12:3456::1"],
    "multicast.example": ["224.0.0.251"],
    "multicast6.example": ["ff0e::1"],
    "broadcast.example": ["255.255.255.255"],
    "reserved.example": ["240.0.0.1"],
    "documentation.example": ["203.0.113.1"],
    "documentation6.example": ["3fff::1"],
    "benchmark.example": ["198.18.0.1"],
    "relay.example": ["192.88.99.1"],
    "unassigned.example": ["4000::1"],
    "simulator": ["10.1.2.3"],
    "stranger": ["10.1.2.4"],
    "listed.example": ["127.0.0.1"],
    "localhost": ["::1", "127.0.0.1"],
    "shop.localhost": ["127.0.0.1"],
}


@pytest.fixture
def lookups(monkeypatch) -> list[str]:
    """Answers from :data:`ZONE`; an address in any spelling as the system reads it."""
    system, names = socket.getaddrinfo, []

    def lookup(host, port, *args, **kwargs):
        names.append(host)
        found = []
        for each in ZONE.get(host.rstrip(".").lower(), [host]):
            # a name that is not in the zone is none
            kwargs["flags"] = socket.AI_NUMERICHOST
            found += system(each, port, *args, **kwargs)
        return found

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return names


@pytest.fixture
def sockets(monkeypatch) -> list[tuple]:
    """Where connections were tried; none of them is made."""
    tried = []

    class Unconnectable:
        def __init__(self, *args, **_kwargs):
            self.family = args[0]
            tried.append(None)

        def setsockopt(self, *_args):
            pass

        settimeout = setsockopt

        def connect(self, address):
            tried[-1] = address[:2]
            raise ConnectionRefusedError

        def close(self):
            pass

    monkeypatch.setattr(socket, "socket", Unconnectable)
    return tried


def call(url, sandbox=False, private_hosts=""):
    with HttpClient(url, allow_insecure=sandbox, private_hosts=private_hosts) as http:
        http.post("x", json={"secret": 1})


LISTED = "simulator, listed.example, 10.9.0.0/16 192.168.7.7;fd12:3456::/32\n100.64.0.0/10"


# === PRODUCTION === #

#: Refused by what the text says, before any name is looked up.
FORM = [
    "http://shop.example",  # not encrypted
    "http://shop.example:8080",
    f"http://{PUBLIC}",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "https://127.0.0.1:8443/x",
    "https://127.1",
    "https://127.0.1",
    "https://2130706433",  # decimal
    "https://0x7f000001",  # hexadecimal
    "https://0x7f.0.0.1",
    "https://0177.0.0.1",  # octal
    "https://017700000001",
    "https://00127.0.0.1",
    "https://0",
    "https://0x",
    "https://127.0.0.1.",
    "https://1.2.3.4.5",
    "https://shop.example.0x7f",
    "https://0.0.0.0",
    "https://10.0.0.1",
    "https://172.16.0.1",
    "https://172.31.255.255",
    "https://192.168.1.1",
    "https://100.64.0.1",
    "https://169.254.169.254/latest/meta-data",
    "https://168.63.129.16",
    "https://192.0.0.192",
    "https://224.0.0.1",
    "https://255.255.255.255",
    "https://[::]",
    "https://[::1]",
    "https://[0:0:0:0:0:0:0:1]",
    "https://[::ffff:127.0.0.1]",
    "https://[::ffff:7f00:1]",
    f"https://[::ffff:{PUBLIC}]",
    "https://[::127.0.0.1]",
    "https://[64:ff9b::127.0.0.1]",
    "https://[64:ff9b:1::1]",
    "https://[2002:7f00:1::]",
    "https://[2001::1]",
    "https://[fd00::1]",
    "https://[fd00:ec2::254]",
    "https://[fe80::1]",
    "https://[fe80::1%25eth0]",
    "https://[fe80::1%eth0]",
    f"https://[{PUBLIC_6}%25eth0]",
    "https://[ff02::1]",
    "https://[1.2.3.4]",
    "https://[::1",
    "https://[::1]evil.example",
    "https://localhost",
    "https://LOCALHOST",
    "https://localhost.",
    "https://shop.localhost",
    "https://user@shop.example",
    "https://user:canary@shop.example",
    "https://:canary@shop.example",
    "https://@shop.example",
    "https://shop.example\\@127.0.0.1",
    "https://shop.example\\.evil.example",
    "https:\\\\shop.example",
    "https://shop.example%2f@127.0.0.1",
    "https://%31%32%37.0.0.1",
    "https://shop.example%00.evil.example",
    "https://shop.example\x00.evil.example",
    "https://shop.example\t/x",
    "https://shop.example\r\nHost: evil.example",
    "https://shop\u3000.example",
    "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",  # 127.0.0.1 in circled digits
    "https://\uff11\uff12\uff17.0.0.1",  # in full-width digits
    "https://shop\uff0eexample",  # full-width dot
    "https://shop\u3002example",  # ideographic full stop
    "https://sh\u200bop.example",  # zero-width space
    "https://shop..example",
    "https://.shop.example",
    "https://shop.example..",
    "https://-shop.example",
    "https://shop-.example",
    "https://shop!.example",
    "https://*.example",
    f"https://{'a' * 64}.example",
    f"https://{'a.' * 130}example",
    "https://shop.example:22",
    "https://shop.example:80",
    "https://shop.example:0",
    "https://shop.example:1023",
    "https://shop.example:99999",
    "https://shop.example:x",
    "https://shop.example:443:80",
    "https://shop.example:-1",
    "https://shop.example?@127.0.0.1",
    "https://shop.example#@127.0.0.1",
    "https://",
    "https:///x",
    "https:shop.example",
    "//shop.example",
    "shop.example",
    "",
    "ftp://shop.example",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "xhttps://shop.example",
]


@pytest.mark.parametrize("url", FORM)
def test_refused_by_its_form(lookups, sockets, url):
    with pytest.raises(AddressError) as caught:
        call(url)
    assert (lookups, sockets) == ([], [])
    assert "canary" not in f"{caught.value.message}{caught.value.detail}"


#: Refused because of where the name leads.
LEADS_INSIDE = [
    name
    for name in ZONE
    if name.endswith(".example")
    and name.partition(".")[0] not in ("shop", "six", "both", "nat64", "xn--mller-kva")
] + ["simulator", "stranger"]


@pytest.mark.parametrize("name", LEADS_INSIDE)
@pytest.mark.parametrize("url", ["https://{}", "https://{}.:8443/x"])
def test_refused_by_where_it_leads(lookups, sockets, name, url):
    with pytest.raises(AddressError) as caught:
        call(url.format(name), private_hosts="10.9.0.0/16, other")
    assert len(lookups) == 1
    assert sockets == []
    assert caught.value.message.startswith(f"{name}, which leads to ")
    assert "A production backend only calls public addresses, and" in caught.value.message


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://shop.example", [(PUBLIC, 443)]),
        ("HTTPS://SHOP.example.:/api/", [(PUBLIC, 443)]),
        ("https://shop.example:1024", [(PUBLIC, 1024)]),
        ("https://shop.example:8443", [(PUBLIC, 8443)]),
        ("https://six.example", [(PUBLIC_6, 443)]),
        ("https://both.example", [(PUBLIC_6, 443), (PUBLIC, 443)]),
        ("https://nat64.example", [("64:ff9b::5db8:d822", 443)]),
        (f"https://{PUBLIC}", [(PUBLIC, 443)]),
        (f"https://[{PUBLIC_6}]", [(PUBLIC_6, 443)]),
        (f"https://[{PUBLIC_6.upper()}]:9443", [(PUBLIC_6, 9443)]),
        ("https://m\u00fcller.example", [(PUBLIC, 443)]),
        ("https://xn--mller-kva.example", [(PUBLIC, 443)]),
    ],
)
def test_public_addresses_are_called(lookups, sockets, url, addresses):
    with pytest.raises(RetryableError) as caught:
        call(url)
    assert caught.value.outcome == "not_sent"
    assert sockets == addresses
    assert len(lookups) == 1, "a second lookup may give another answer"


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("https://simulator", [("10.1.2.3", 443)]),
        ("https://10.9.1.1:8443", [("10.9.1.1", 8443)]),
        ("https://[fd12:3456::1]", [("fd12:3456::1", 443)]),
        ("https://private.example", None),
        ("http://simulator", None),
        ("http://10.9.1.1", None),
        ("https://simulator:22", None),
        ("https://localhost", None),
        ("https://loopback.example", None),
        ("https://listed.example", None),
        ("https://127.0.0.1", None),
        ("https://metadata.example", None),
        ("https://metadata-alibaba.example", None),
    ],
)
def test_private_hosts_that_production_may_call(lookups, sockets, url, addresses):
    with pytest.raises(RetryableError if addresses else AddressError):
        call(url, private_hosts=LISTED)
    assert sockets == (addresses or [])


def test_unknown_name_may_appear_later(lookups, sockets):
    with pytest.raises(RetryableError, match="cannot be found") as caught:
        call("https://unknown.example")
    assert caught.value.outcome == "not_sent"
    assert sockets == []


# === SANDBOX === #


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://localhost:1", [("::1", 1), ("127.0.0.1", 1)]),
        ("http://shop.localhost", [("127.0.0.1", 80)]),
        ("http://127.0.0.1:8069", [("127.0.0.1", 8069)]),
        ("http://127.9.9.9", [("127.9.9.9", 80)]),
        ("http://[::1]:80", [("::1", 80)]),
        ("https://localhost", [("::1", 443), ("127.0.0.1", 443)]),
        ("https://listed.example", [("127.0.0.1", 443)]),
        ("http://listed.example:8069", [("127.0.0.1", 8069)]),
        ("http://simulator:8080", [("10.1.2.3", 8080)]),
        ("http://SIMULATOR.", [("10.1.2.3", 80)]),
        ("https://simulator:22", [("10.1.2.3", 22)]),
        ("http://10.9.1.1", [("10.9.1.1", 80)]),
        ("https://192.168.7.7", [("192.168.7.7", 443)]),
        ("http://[fd12:3456::1]", [("fd12:3456::1", 80)]),
        ("https://unique.example", [("fd12:3456::1", 443)]),
        ("https://cgnat.example", [("100.64.0.1", 443)]),
        ("https://shop.example", [(PUBLIC, 443)]),
    ],
)
def test_sandbox_calls_this_machine_and_what_is_listed(lookups, sockets, url, addresses):
    with pytest.raises(RetryableError):
        call(url, sandbox=True, private_hosts=LISTED)
    assert sockets == addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example",
        f"http://{PUBLIC}",
        # anybody can make a name that leads here, and what is here trusts whoever calls from here
        "http://loopback.example",
        "https://loopback.example",
        "https://loopback.example:6379",
        "https://loopback6.example",
        "https://mixed.example",
        "https://localhost.loopback.example",
        "http://unique.example",
        "http://stranger",
        "https://stranger",
        "https://private.example",
        "https://last.example",
        "https://10.8.255.255",
        "https://10.10.0.0",
        "http://192.168.7.8",
        "http://127.1",
        "http://0.0.0.0",
        "https://zero.example",
        "https://zero6.example",
        "http://localhost.evil.example",
        "http://simulator.evil.example",
        "http://evil.simulator",
        "http://localhostx",
        "https://mapped.example",
        "https://6to4.example",
        "https://linklocal6.example",
        "https://multicast.example",
        "https://metadata.example",
        "https://metadata-aws6.example",
        "https://metadata-azure.example",
        "https://metadata-oracle.example",
        "https://metadata-alibaba.example",
        "http://169.254.169.254",
        "http://100.100.100.200",
        "http://user@localhost",
    ],
)
def test_sandbox_calls_nothing_else(lookups, sockets, url):
    with pytest.raises(AddressError):
        call(url, sandbox=True, private_hosts=LISTED)
    assert sockets == []


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.170.2", "fe80::a9fe:a9fe", "fd00:ec2::254", "fd00:ec2::23",
     "fd00:42::42", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"],
)  # fmt: skip
def test_metadata_is_never_called(lookups, sockets, monkeypatch, address):
    """Not even where a person has listed the name, or everything that is private."""
    monkeypatch.setitem(ZONE, "simulator", [address])
    everything = f"simulator, {', '.join(map(str, address_guard._PRIVATE))}"
    literal = f"[{address}]" if ":" in address else address
    for url in ("https://simulator", "http://simulator", f"https://{literal}", f"http://{literal}"):
        with pytest.raises(AddressError) as caught:
            call(url, sandbox=True, private_hosts=everything)
        assert "Private Hosts" in caught.value.message
    assert sockets == []


def test_plain_http_does_not_leave_the_private_network(lookups, sockets, monkeypatch):
    monkeypatch.setitem(ZONE, "simulator", [PUBLIC])
    with pytest.raises(AddressError):
        call("http://simulator", sandbox=True, private_hosts="simulator")
    with pytest.raises(RetryableError):
        call("https://simulator", sandbox=True, private_hosts="simulator")
    assert sockets == [(PUBLIC, 443)]


def test_nothing_is_listed_by_default(lookups, sockets):
    for url in ("https://simulator", "http://10.9.1.1"):
        with pytest.raises(AddressError):
            call(url, sandbox=True)
    assert sockets == []


def test_list_of_private_hosts():
    names, networks = read_private_hosts(LISTED)
    assert (names, type(names)) == ({"simulator", "listed.example"}, frozenset)
    assert list(map(str, networks)) == [
        "10.9.0.0/16", "192.168.7.7/32", "fd12:3456::/32", "100.64.0.0/10",
    ]  # fmt: skip
    assert read_private_hosts(" ") == (frozenset(), ())
    assert read_private_hosts("My-Host_1.Lan")[0] == {"my-host_1.lan"}


@pytest.mark.parametrize("text", [", simulator", "simulator,", " ;simulator\n", ",,simulator, ,"])
def test_separators_of_the_list(text):
    assert read_private_hosts(text) == (frozenset({"simulator"}), ())


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("0.0.0.0/0", "cannot be listed"),
        ("::/0", "cannot be listed"),
        ("10.0.0.0/7", "cannot be listed"),
        ("8.8.8.8", "cannot be listed"),
        ("169.254.169.254", "cannot be listed"),
        ("127.0.0.1", "need not be listed"),
        ("fe80::/10", "cannot be listed"),
        ("10.1.2.3/8", "is neither"),
        ("http://simulator", "without https:// and port"),
        ("simulator:8080", "is neither"),
        ("*", "is neither"),
        ("*.lan", "is neither"),
        (".lan", "is neither"),
        ("127.1", "is neither"),
        ("0x0a010203", "is neither"),
        ("10.1.2", "is neither"),
    ],
)
def test_list_of_private_hosts_is_checked(entry, words):
    with pytest.raises(AddressError) as caught:
        read_private_hosts(f"simulator, {entry}")
    assert entry in caught.value.message and words in caught.value.message


# === WORDS === #

NOT_COMPLETE = (
    "The address of the backend is not complete or has characters that do not belong there: it "
    "must look like https://shop.example."
)


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        (
            "https://user@shop.example",
            {},
            "The address of the backend must not contain a user or a password. Enter credentials "
            "in their own fields.",
        ),
        ("shop.example", {}, NOT_COMPLETE),
        ("https://[::1", {}, NOT_COMPLETE),
        ("https://:443", {}, NOT_COMPLETE),
        ("https://sh op.example", {}, NOT_COMPLETE),
        (
            f"https://{'1' * 79}-.example",
            {},
            f"{'1' * 79}- in the address of the backend is no name of a server. Type it as the "
            f"service states it, e.g. https://shop.example, or an IP address in its usual form.",
        ),
        (
            "http://shop.example",
            {},
            "The address of the backend is not secure: use https:// for shop.example. Plain "
            "http:// is only possible for a sandbox on this machine, or on one that its Private "
            "Hosts list.",
        ),
        (
            "https://shop.example:25",
            {},
            "The address of the backend names port 25 of shop.example, which belongs to another "
            "protocol. Use the usual port, or one from 1024 on.",
        ),
        (
            "https://private.example",
            {},
            "private.example, which leads to 10.1.2.3, was not called: that address is not "
            "public. A production backend only calls public addresses, and the private hosts that "
            "the administrator of this server allows in its configuration. Correct the address of "
            "the backend, or the entry of that name in the DNS.",
        ),
        (
            "https://10.1.2.3",
            {"sandbox": True},
            "10.1.2.3 was not called: that address is not public. A sandbox calls public addresses "
            "with https://, this machine as localhost, and what its Private Hosts list; never an "
            "address that serves the set-up of machines. Correct the address of the backend, or "
            "the entry of that name in the DNS.",
        ),
        (
            "https://shop.example",
            {"private_hosts": "8.8.8.8"},
            "8.8.8.8 cannot be listed: private hosts are in one of the networks 10.0.0.0/8, "
            "172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7. Public addresses, and this "
            "machine for a sandbox, need not be listed.",
        ),
        (
            "https://shop.example",
            {"private_hosts": f"{'1' * 79}*.example"},
            f"{'1' * 79}* is neither a host name nor an address or network such as 10.1.2.3 or "
            f"10.1.2.0/24. Type the name alone, without https:// and port.",
        ),
    ],
)
def test_texts_say_what_to_do(lookups, sockets, url, options, text):
    with pytest.raises(AddressError) as caught:
        call(url, **options)
    assert caught.value.message == text


def test_request_that_would_go_elsewhere_is_a_bug(lookups):
    with pytest.raises(AddressError) as caught:
        AddressGuard("https://shop.example").targets("six.example", 443)
    assert caught.value.message == (
        "A request for shop.example would have gone to another server. Nothing was sent. Tell your "
        "integrator."
    )


# === ADDRESSES === #


@pytest.mark.parametrize("network", address_guard._PRIVATE + address_guard._SPECIAL, ids=str)
def test_edges_of_what_is_not_public(network):
    assert not is_public(network[0])
    assert not is_public(network[-1])


@pytest.mark.parametrize(
    "address",
    ["9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
     "100.63.255.255", "100.128.0.0", "168.63.129.15", "168.63.129.17", "192.0.1.0",
     "192.88.98.255", "192.88.100.0", "223.255.255.255", "126.255.255.255", "128.0.0.0",
     "2001:200::", "2003::", "2001:ffff::", "64:ff9b::8.8.8.8", "3ffe:ffff::", "2a00::1",
     "2000::1"],
)  # fmt: skip
def test_neighbours_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["64:ff9a:ffff:ffff:ffff:ffff:808:808", "64:ff9b::1:808:808", "1fff:ffff::1", "4000::",
     "2001:db8::1", "2001:1ff:ffff::1", "198.51.100.1", "0.1.2.3", "64:ff9b::ac10:1",
     "64:ff9b::e000:1"],
)  # fmt: skip
def test_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Shop.Example/a?b#c", ("https", "shop.example", 443)),
        ("HTTP://shop.example.", ("http", "shop.example", 80)),
        ("https://shop.example:0443", ("https", "shop.example", 443)),
        ("http://shop.example:443", ("http", "shop.example", 443)),
        ("https://[2606:2800:0220::0001]:1/", ("https", "2606:2800:220::1", 1)),
        ("https://m\u00fcller.example", ("https", "xn--mller-kva.example", 443)),
        ("https://a_b.example", ("https", "a_b.example", 443)),
        ("https://1und1.example", ("https", "1und1.example", 443)),
        (f"https://{'a' * 63}", ("https", "a" * 63, 443)),
        ("https://shop.example/@x", ("https", "shop.example", 443)),
        ("https://shop.example?@x", ("https", "shop.example", 443)),
    ],
)
def test_origin(url, origin):
    assert origin_of(url) == Origin(*origin)


PIECES = st.sampled_from(
    ["https://", "http://", "//", "/", "\\", "@", ":", ":443", ":80", "#", "?", "%2f", "%40", "[",
     "]", "::1", "127.0.0.1", "127.1", "0x7f", "shop.example", "evil", ".", "..", "\t", "\n", " ",
     "\0", "\u3002", "\uff0e", "\uff0f", "\u2044", "\uff20", "\u00df", "m\u00fcller", "xn--", "-",
     "_", "%eth0"],
)  # fmt: skip


@given(st.lists(PIECES | st.characters(), max_size=8).map("".join) | st.text(max_size=20))
def test_all_parsers_see_the_same_host(rest):
    """What one program takes for the host must not be the path or the user for another one."""
    url = f"https://{rest}"
    try:
        origin = origin_of(url)
    except AddressError:
        return
    prepared = requests.Request("GET", url).prepare().url
    with urllib3.PoolManager() as manager:
        pool = manager.connection_from_url(prepared)
    assert (pool.host.removesuffix("."), pool.port) == (origin.host, origin.port)
    for seen in (urlsplit(url), urlsplit(prepared)):
        assert ((seen.port or 443), seen.username) == (origin.port, None)
        if seen.hostname.isascii():
            assert seen.hostname.removesuffix(".") == origin.host


def test_names_have_up_to_253_characters():
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert origin_of(f"https://{longest}").host == longest
    with pytest.raises(AddressError):
        origin_of(f"https://{longest}b")


# === CONNECTIONS === #


@pytest.fixture
def wire():
    server = Wire(lambda *_args: answer())
    yield server
    server.close()


def test_rebinding_does_not_help(wire, monkeypatch):
    """The name is public when it is judged and means this machine ever after."""
    answers, dialled = [PUBLIC], []

    def lookup(host, port, *_args, **_kwargs):
        address = answers.pop() if answers else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(_self, address):
        dialled.append(address)
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with HttpClient(f"https://rebind.example:{wire.port}") as http:
        with pytest.raises(RetryableError):
            http.get("x")
        assert dialled == [(PUBLIC, wire.port)]
        with pytest.raises(AddressError, match=r"rebind.example, which leads to 127.0.0.1,"):
            http.get("x")
    assert dialled == [(PUBLIC, wire.port)]
    assert wire.connections == 0


def test_each_new_connection_is_judged_again(monkeypatch):
    """A client that lives long does not keep an old verdict, and an open connection no new one."""
    closing = Wire(lambda *_args: answer(Connection="close"))
    http = HttpClient(f"http://simulator:{closing.port}", allow_insecure=True,
                      private_hosts="simulator")  # fmt: skip
    leads_to = ["127.0.0.1"]
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _host, port, *_a, **_k: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (leads_to[0], port))
        ],
    )
    try:
        assert http.get("x").ok
        leads_to[0] = "169.254.169.254"
        with pytest.raises(AddressError):
            http.get("x")
        leads_to[0] = "127.0.0.1"
        assert http.get("x").ok
    finally:
        http.close()
        closing.close()
    assert closing.connections == 2


def test_next_address_is_tried_when_one_does_not_answer(wire, monkeypatch):
    dead = socket.create_server(("127.0.0.2", 0))
    dead.close()
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _host, port, *_a, **_k: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.2", "127.0.0.1")
        ],
    )
    with HttpClient(f"http://localhost:{wire.port}", allow_insecure=True) as http:
        assert http.get("x").ok


def test_redirects_lead_nowhere(wire):
    """Neither to another server nor to the metadata, however long the chain."""
    for location in (
        wire.url.replace("localhost", "127.0.0.1"),
        "http://169.254.169.254/latest/meta-data",
        "//127.0.0.1/x",
        "https://shop.example@127.0.0.1/",
    ):
        chain = Wire(lambda *_args, to=location: answer(302, Location=to))
        http = HttpClient(chain.url, allow_insecure=True, auth=lambda: {"X-Token": "canary-123456"})
        try:
            with pytest.raises(RequestRefused) as caught:
                http.post("x", json={})
            assert caught.value.status == 302
            assert len(chain.requests) == 1
        finally:
            http.close()
            chain.close()
    assert wire.connections == 0


def test_guard_is_strict_by_default(lookups):
    for url in ("http://shop.example", "https://localhost", "https://10.9.1.1"):
        with pytest.raises(AddressError):
            AddressGuard(url)
    with pytest.raises(AddressError):
        AddressGuard("https://simulator").targets("simulator", 443)
    guard = AddressGuard("https://shop.example")
    assert (guard._sandbox, guard._names, guard._networks) == (False, frozenset(), ())


def test_verdicts_do_not_change():
    guard = AddressGuard(f"https://{PUBLIC}")
    for thing in (guard.origin, *guard.targets(PUBLIC, 443)):
        with pytest.raises(FrozenInstanceError):
            thing.host = "10.1.2.3"


def test_request_goes_to_the_guarded_host_only(lookups):
    guard = AddressGuard("https://shop.example")
    assert [target.address for target in guard.targets("SHOP.example.", 443)] == [(PUBLIC, 443)]
    for host, port in (("six.example", 443), ("shop.example", 8443)):
        with pytest.raises(AddressError, match="would have gone to another server"):
            guard.targets(host, port)
    assert lookups == ["SHOP.example."]
    AddressGuard("https://xn--mller-kva.example").targets("XN--mller-kva.example", 443)


def test_connections_carry_the_options_of_urllib3(wire):
    """Small requests do not wait for each other's acknowledgement (Nagle)."""
    from urllib3.connection import HTTPConnection

    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in HTTPConnection.default_socket_options
    set_, system = [], socket.socket.setsockopt

    def setsockopt(self, *args):
        set_.append(args)
        return system(self, *args)

    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(socket.socket, "setsockopt", setsockopt)
        with HttpClient(wire.url, allow_insecure=True) as http:
            http.get("x")
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in set_


def test_sockets_that_did_not_connect_are_closed(wire, monkeypatch):
    opened = []
    system = socket.socket.connect

    def connect(self, address):
        opened.append(self)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        system(self, address)
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with HttpClient(wire.url, allow_insecure=True) as http, pytest.raises(RetryableError):
        http.get("x")
    assert opened and all(sock.fileno() == -1 for sock in opened)
