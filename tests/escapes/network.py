"""Attempts on sockets: the network, services on loopback, other programs on the same machine."""

from __future__ import annotations

from tests.escapes.vocabulary import Attempt, attempt

ATTEMPTS: list[Attempt] = [
    attempt(
        "loopback",
        "connect to a service on the host's loopback",
        "seccomp: socket",
        "EPERM",
        """
import socket
tried("TCP", lambda: socket.create_connection(tuple(host["tcp"]), 2).close())
tried("TCP over IPv6", lambda: socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.1", host["tcp"][1])))
""",
    ),
    attempt(
        "the network",
        "connect to the outer network, over TCP and UDP",
        "seccomp: socket",
        "EPERM",
        """
import socket
for address in (("192.0.2.1", 80), ("1.1.1.1", 443), ("169.254.169.254", 80)):
    tried(f"TCP {address}", lambda: socket.create_connection(address, 2).close())
    tried(f"UDP {address}", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address))
""",
    ),
    attempt(
        "datagrams to loopback",
        "send a datagram to a service on the host's loopback",
        "seccomp: socket",
        "EPERM",
        """
import socket
tried("UDP", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", tuple(host["udp"])))
""",
    ),
    attempt(
        "names",
        "look up a name, and so tell the server of that name something",
        "seccomp: socket",
        "gaierror herror EPERM ENOENT",
        """
import socket
tried("getaddrinfo", lambda: socket.getaddrinfo("a-secret.example.com", 80))
tried("gethostbyname", lambda: socket.gethostbyname("example.com"))
tried("gethostbyaddr", lambda: socket.gethostbyaddr("192.0.2.1"))
""",
    ),
    attempt(
        "unix sockets with a path",
        "connect to sockets of the host, also to one that it left in the inputs",
        "seccomp: socket",
        "EPERM",
        """
import socket
for path in (host["path"], host["inputs"] + "/stream", "/run/docker.sock", "/var/run/dbus/system_bus_socket"):
    tried(path, lambda: socket.socket(socket.AF_UNIX).connect(path))
for path in (host["path_datagrams"], host["inputs"] + "/datagrams", "/dev/log"):
    tried(path, lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", path))
""",
    ),
    attempt(
        "abstract unix sockets",
        "connect to sockets of the host that have a name but no path",
        "seccomp: socket",
        "EPERM",
        """
import socket
tried("stream", lambda: socket.socket(socket.AF_UNIX).connect(host["abstract"]))
tried("datagram", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", host["abstract_datagrams"]))
""",
    ),
    attempt(
        "a socket pair",
        "send a datagram to a socket of the host from one end of a pair, for which no socket() is called",
        "seccomp: socketpair",
        "EPERM EISCONN EOPNOTSUPP EINVAL ESOCKTNOSUPPORT",
        """
import socket
def send(kind, address):
    left, right = socket.socketpair(socket.AF_UNIX, kind)
    with left, right: return left.sendto(b"x", address)
for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_STREAM):
    for address in (host["inputs"] + "/datagrams", host["path_datagrams"], host["abstract_datagrams"]):
        tried(f"{kind.name} to {address!r}", lambda: send(kind, address))
""",
    ),
    attempt(
        "other families",
        "open netlink, raw, packet, virtual machine and cryptography sockets",
        "seccomp: socket",
        "EPERM",
        """
import socket
families = {"netlink": (16, 3, 0), "netlink netfilter": (16, 3, 12), "packet": (17, 3, 0x300), "raw": (2, 3, 1),
            "ping": (2, 2, 1), "vsock": (40, 1, 0), "algorithm": (38, 5, 0), "bluetooth": (31, 3, 1),
            "xdp": (44, 3, 0), "tipc": (30, 1, 0)}
for name, (family, kind, protocol) in families.items():
    tried(name, lambda: socket.socket(family, kind, protocol).close())
""",
    ),
    attempt(
        "another run's kernel",
        "read another run's connection file and connect to its kernel's sockets as if it were the host",
        "mount namespace, seccomp: socket",
        "EPERM ENOENT",
        """
import socket
assert host["other_sockets"]
tried("its folder", lambda: os.listdir(host["other_folder"]))
tried("its key", lambda: read(host["other_folder"] + "/connection.json"))
for path in host["other_sockets"]:
    tried(path, lambda: socket.socket(socket.AF_UNIX).connect(path))
""",
    ),
    attempt(
        "serving",
        "listen where the host, or another run, would connect",
        "seccomp: socket",
        "EPERM",
        """
import socket
def listen(family, address):
    with socket.socket(family) as sock:
        sock.bind(address)
        sock.listen()
        return sock.getsockname()
places = ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "\\0escaped"), (socket.AF_UNIX, "serving"))
for family, address in places:
    tried(repr(address), lambda: listen(family, address))
""",
    ),
]
