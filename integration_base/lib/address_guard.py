"""Which addresses may be called: public ones, and what a person in charge listed besides.

Whoever can type an address could otherwise make this server call what only this server reaches: the
metadata of its cloud, its own ports, the machines beside it. The text of a URL does not tell where
it leads: ``127.1``, ``0x7f000001`` and a name of any DNS zone can mean this machine, and a name can
mean another one the next time it is looked up. So of the text only the form is checked. What is
judged are the addresses a name has at the moment of connecting, and the connection is made to
exactly these.
"""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from .errors import AddressError

_HTTPS_PORT = 443
#: Lower ports belong to other protocols (mail, SSH, DNS ...), none of which expects us.
_FIRST_FREE_PORT = 1024

_ODD_CHARACTER = re.compile(r"[\x00-\x20\x7f\\]|\s")
_AUTHORITY = re.compile(r"(?i)https?://([^/?#]+)(/[^?#]*)?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
#: What system resolvers take for an IPv4 address: a last part that is a number in any spelling.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

_PRIVATE = tuple(
    map(
        ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)
#: Private addresses that tell whoever asks from a machine its set-up and its passwords. The others
#: that do are link-local (169.254.169.254) and public ones.
_METADATA = tuple(
    map(
        ip_network,
        (
            "100.100.100.200/32",  # Alibaba Cloud
            "fd00:ec2::/32",  # AWS
            "fd00:42::42/128",  # Scaleway
            "fd20:ce::254/128",  # Google Cloud
        ),
    )
)
#: Of the address space of IPv6 only this part is handed out to the public; see IANA's registry
#: "Internet Protocol Version 6 Address Space".
_PUBLIC_IPV6 = ip_network("2000::/3")
#: An IPv4 address as it looks from a network that only has IPv6 (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")
#: Special purposes that ``is_global`` takes for public, at least in some Python versions; see the
#: registries of special-purpose addresses that IANA keeps.
_SPECIAL = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # metadata of Azure, a public address otherwise
            "192.0.0.0/24",  # protocol assignments, metadata of Oracle Cloud
            "192.88.99.0/24",  # relays of 6to4
            "224.0.0.0/4",  # multicast
            "2001::/23",  # protocol assignments, Teredo among them
            "2002::/16",  # 6to4: any IPv4 address, also a private one
            "3fff::/20",  # documentation
        ),
    )
)

Ip = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Origin:
    """Where a URL points, in one spelling.

    :param host: a lower-case name (other alphabets as ``xn--``) without a last dot, or an IP
        address without brackets.
    """

    scheme: str
    host: str
    port: int


@dataclass(frozen=True)
class Target:
    """An address that may be connected to, as ``socket`` takes it."""

    family: int
    address: tuple


def origin_of(url: str) -> Origin:
    """Read where a URL points.

    :raises AddressError: for what different programs understand differently, or that contains
        credentials.
    """
    parts = None
    match = _AUTHORITY.match(url)
    if match and not _ODD_CHARACTER.search(url):
        if "@" in match[1]:
            raise AddressError(
                "The address of the backend must not contain a user or a password. Enter "
                "credentials in their own fields."
            )
        try:
            # The parser that also finds out for the connection where it goes.
            parts = parse_url(url)
        except (LocationParseError, UnicodeError):
            parts = None
    if parts is None or not parts.host:
        raise AddressError(
            "The address of the backend is not complete or has characters that do not belong "
            "there: it must look like https://shop.example."
        )
    port = parts.port
    if port is None:
        port = _HTTPS_PORT if parts.scheme == "https" else 80
    return Origin(parts.scheme, _checked_host(parts.host), port)


def read_private_hosts(text: str) -> tuple[frozenset[str], tuple]:
    """Read the setting that says what may be called although it is not public.

    :param text: names, addresses and networks (``10.1.2.0/24``), separated by commas or spaces.
    :returns: ``(names, networks)``.
    :raises AddressError: for an entry that is none of these, or that is not private.
    """
    names, networks = set(), []
    for entry in re.split(r"[\s,;]+", text.strip()):
        if not entry:
            continue
        try:
            network = ip_network(entry)
        except ValueError:
            network = None
        if network is not None:
            if not _within(network, _PRIVATE):
                raise AddressError(
                    f"{entry} cannot be listed: private hosts are in one of the networks "
                    f"{', '.join(map(str, _PRIVATE))}. Public addresses, and this machine for a "
                    f"sandbox, need not be listed."
                )
            networks.append(network)
        elif _NAME.fullmatch(entry.lower()) and not _NUMERIC.fullmatch(entry.lower()):
            names.add(entry.lower())
        else:
            raise AddressError(
                f"{entry[:80]} is neither a host name nor an address or network such as 10.1.2.3 "
                f"or 10.1.2.0/24. Type the name alone, without https:// and port."
            )
    return frozenset(names), tuple(networks)


def is_public(ip: Ip) -> bool:
    """Whether an address belongs to the public internet, for every program that looks at it."""
    if ip.version == 4:
        return ip.is_global and not _within(ip, _SPECIAL)
    if ip in _NAT64:
        return is_public(IPv4Address(int(ip) & 0xFFFFFFFF))
    return ip in _PUBLIC_IPV6 and ip.is_global and not _within(ip, _SPECIAL)


class AddressGuard:
    """Lets a client connect to the host of one URL, wherever it may be called.

    :param url: the base URL of the service.
    :param private_hosts: what may be called besides public addresses, see
        :func:`read_private_hosts`.
    :param sandbox: this machine may be called as well, as ``localhost`` or by its address, and both
        with ``http``. Any other name that leads to it has to be listed: the zone it is in may be
        anybody's.
    :raises AddressError: for a URL that cannot be called wherever its name leads. No name is looked
        up for that.
    """

    def __init__(self, url: str, *, sandbox: bool = False, private_hosts: str = ""):
        self.origin = origin_of(url)
        self._sandbox = sandbox
        self._names, self._networks = read_private_hosts(private_hosts)
        self._check_form()

    def _check_form(self) -> None:
        host, port = self.origin.host, self.origin.port
        ip = _as_ip(host)
        if self.origin.scheme == "http" and not self._is_own(host, ip):
            raise AddressError(
                f"The address of the backend is not secure: use https:// for {host}. Plain http:// "
                f"is only possible for a sandbox on this machine, or on one that its Private Hosts "
                f"list."
            )
        if not self._sandbox and port < _FIRST_FREE_PORT and port != _HTTPS_PORT:
            raise AddressError(
                f"The address of the backend names port {port} of {host}, which belongs to "
                f"another protocol. Use the usual port, or one from {_FIRST_FREE_PORT} on."
            )
        if ip is not None:
            self._judge(ip)
        elif _is_localhost(host) and not self._sandbox:
            raise self._refused(host)

    def _is_own(self, host: str, ip: Ip | None) -> bool:
        if not self._sandbox:
            return False
        if ip is not None:
            return ip.is_loopback or _within(ip, self._networks)
        return _is_localhost(host) or host in self._names

    def targets(self, host: str, port: int) -> list[Target]:
        """Look up where to connect to now, once.

        :param host: as the connection knows it; it has to be the guarded one.
        :returns: at least one target. All of them may be connected to, in this order.
        :raises AddressError: when only one of the addresses must not be called: who can add an
            address to a name shall not be able to wait for it to be chosen.
        :raises socket.gaierror: when the name has no address.
        """
        if (_spelled(host), port) != (self.origin.host, self.origin.port):
            raise AddressError(
                f"A request for {self.origin.host} would have gone to another server. Nothing was "
                f"sent. Tell your integrator."
            )
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for _family, _type, _protocol, _name, address in found:
            self._judge(ip_address(address[0]))
        return [Target(family, address) for family, _type, _protocol, _name, address in found]

    def _judge(self, ip: Ip) -> None:
        secure = self.origin.scheme == "https"
        if not ((secure and is_public(ip)) or self._is_listed(ip)):
            raise self._refused(ip)

    def _is_listed(self, ip: Ip) -> bool:
        if ip.is_loopback:
            return self._is_own(self.origin.host, _as_ip(self.origin.host))
        if _within(ip, _METADATA):
            return False
        listed = self.origin.host in self._names or _within(ip, self._networks)
        return listed and _within(ip, _PRIVATE)

    def _refused(self, ip: Ip | str) -> AddressError:
        host = self.origin.host
        where = host if str(ip) == host else f"{host}, which leads to {ip},"
        if self._sandbox:
            advice = (
                "A sandbox calls public addresses with https://, this machine as localhost, and "
                "what its Private Hosts list; never an address that serves the set-up of machines."
            )
        else:
            advice = (
                "A production backend only calls public addresses, and the private hosts that the "
                "administrator of this server allows in its configuration."
            )
        return AddressError(
            f"{where} was not called: that address is not public. {advice} Correct the address of "
            f"the backend, or the entry of that name in the DNS."
        )


def _checked_host(host: str) -> str:
    bare = _spelled(host)
    if host.startswith("["):
        if "%" not in bare:
            return bare
    elif _NUMERIC.fullmatch(bare):
        # Other spellings of an IPv4 address exist (127.1, 0177.0.0.1); programs do not agree on
        # what they mean.
        if _as_ip(bare) is not None:
            return bare
    elif _NAME.fullmatch(bare) and len(bare) <= 253:
        return bare
    raise AddressError(
        f"{bare[:80]} in the address of the backend is no name of a server. Type it as the service "
        f"states it, e.g. https://shop.example, or an IP address in its usual form."
    )


def _spelled(host: str) -> str:
    bare = host.strip("[]").removesuffix(".").lower()
    ip = _as_ip(bare)
    return bare if ip is None else str(ip)


def _as_ip(host: str) -> Ip | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _within(ip, networks) -> bool:
    if hasattr(ip, "prefixlen"):
        return any(ip.version == net.version and ip.subnet_of(net) for net in networks)
    return any(ip in net for net in networks)
