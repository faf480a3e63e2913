"""Sends one packet for each flow it is given, on the peer, and says which of them were answered.

The first argument is a JSON list of [protocol, source port, destination port]; the second whom it
goes to. A program of its own: it is read by the machine's python3 from standard input.
"""

import json
import sys

from scapy.config import conf
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.sendrecv import sr

conf.verb = 0
flows, destination = json.loads(sys.argv[1]), sys.argv[2]
packets = []
for protocol, source_port, destination_port in flows:
    layer = (
        TCP(sport=source_port, dport=destination_port, flags="S")
        if protocol == "tcp"
        else UDP(sport=source_port, dport=destination_port) / b"?"
    )
    packets.append(IP(dst=destination) / layer)
answered = {
    (type(sent[1]).__name__.lower(), sent.sport, sent.dport)
    for sent, answer in sr(packets, timeout=4, retry=0)[0]
    if ICMP not in answer
}
print(json.dumps([tuple(flow) in answered for flow in flows]))
