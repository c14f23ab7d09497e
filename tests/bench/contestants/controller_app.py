# SPDX-License-Identifier: Apache-2.0
"""Runs in osken-manager: balances in turn, one packet-in per connection.

The first packet of a connection to the VIP comes here.  The next server in
turn gets it: one flow for each direction, matching the whole connection, and
the packet goes on.  More of its packets come here until the datapath has
followed the flows, so connections are remembered: each of these goes on as the
flows would have it.  The controller answers ARP for the VIP; anything else is
switched as by a learning switch.
"""

import itertools
import json
import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import (CONFIG_DISPATCHER, MAIN_DISPATCHER,
                                       set_ev_cls)
from os_ken.lib.packet import arp, ethernet, ipv4, packet, tcp
from os_ken.ofproto import ofproto_v1_3

CONFIG = json.loads(os.environ["BENCH_CONTROLLER"])
IDLE = 10           # Seconds, of the flows of a connection.


def connection(ip, segment):
    """What a connection is known by, in the direction of a packet."""
    return ip.src, segment.src_port, ip.dst, segment.dst_port


class Balancer(app_manager.OSKenApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.turn = itertools.cycle(CONFIG["servers"])
        self.ports = {}         # MAC address -> port, as learned.
        self.known = {}         # Addresses and ports -> actions.

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        """What no flow matches comes here."""
        datapath = event.msg.datapath
        parser, ofp = datapath.ofproto_parser, datapath.ofproto
        self.add_flow(datapath, 0, parser.OFPMatch(), [
            parser.OFPActionOutput(ofp.OFPP_CONTROLLER,
                                   ofp.OFPCML_NO_BUFFER)], 0)

    @staticmethod
    def add_flow(datapath, priority, match, actions, idle=IDLE):
        parser, ofp = datapath.ofproto_parser, datapath.ofproto
        datapath.send_msg(parser.OFPFlowMod(
            datapath=datapath, priority=priority, match=match,
            idle_timeout=idle, instructions=[parser.OFPInstructionActions(
                ofp.OFPIT_APPLY_ACTIONS, actions)]))

    @staticmethod
    def send(datapath, in_port, actions, data):
        parser, ofp = datapath.ofproto_parser, datapath.ofproto
        datapath.send_msg(parser.OFPPacketOut(
            datapath=datapath, buffer_id=ofp.OFP_NO_BUFFER, in_port=in_port,
            actions=actions, data=data))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        message = event.msg
        in_port = message.match["in_port"]
        pkt = packet.Packet(message.data)
        eth = pkt.get_protocol(ethernet.ethernet)
        self.ports[eth.src] = in_port
        ip, segment = pkt.get_protocol(ipv4.ipv4), pkt.get_protocol(tcp.tcp)
        question = pkt.get_protocol(arp.arp)
        if (question and question.opcode == arp.ARP_REQUEST
                and question.dst_ip == CONFIG["vip"]):
            self.answer(message.datapath, in_port, question)
        elif ip and segment and connection(ip, segment) in self.known:
            self.send(message.datapath, in_port,
                      self.known[connection(ip, segment)], message.data)
        elif (ip and segment and ip.dst == CONFIG["vip"]
                and segment.dst_port == CONFIG["port"]):
            self.balance(message, in_port, eth, ip, segment)
        else:
            self.switch(message, in_port, eth)

    def answer(self, datapath, in_port, question):
        parser, ofp = datapath.ofproto_parser, datapath.ofproto
        reply = packet.Packet()
        reply.add_protocol(ethernet.ethernet(
            ethertype=0x0806, dst=question.src_mac, src=CONFIG["vip_mac"]))
        reply.add_protocol(arp.arp(
            opcode=arp.ARP_REPLY, src_mac=CONFIG["vip_mac"],
            src_ip=CONFIG["vip"], dst_mac=question.src_mac,
            dst_ip=question.src_ip))
        reply.serialize()
        self.send(datapath, ofp.OFPP_CONTROLLER,
                  [parser.OFPActionOutput(in_port)], reply.data)

    def balance(self, message, in_port, eth, ip, segment):
        datapath = message.datapath
        parser = datapath.ofproto_parser
        server = next(self.turn)
        back = [parser.OFPActionSetField(eth_src=CONFIG["vip_mac"]),
                parser.OFPActionSetField(ipv4_src=CONFIG["vip"]),
                parser.OFPActionSetField(tcp_src=CONFIG["port"]),
                parser.OFPActionSetField(eth_dst=eth.src),
                parser.OFPActionOutput(in_port)]
        there = [parser.OFPActionSetField(eth_dst=server["mac"]),
                 parser.OFPActionSetField(ipv4_dst=server["ip"]),
                 parser.OFPActionSetField(tcp_dst=server["port"]),
                 parser.OFPActionOutput(server["ofport"])]
        self.add_flow(datapath, 10, parser.OFPMatch(
            eth_type=0x0800, ip_proto=6, ipv4_src=server["ip"],
            ipv4_dst=ip.src, tcp_src=server["port"],
            tcp_dst=segment.src_port), back)
        self.add_flow(datapath, 10, parser.OFPMatch(
            eth_type=0x0800, ip_proto=6, ipv4_src=ip.src, ipv4_dst=ip.dst,
            tcp_src=segment.src_port, tcp_dst=segment.dst_port), there)
        self.known[connection(ip, segment)] = there
        self.known[server["ip"], server["port"],
                   ip.src, segment.src_port] = back
        self.send(datapath, in_port, there, message.data)

    def switch(self, message, in_port, eth):
        parser, ofp = (message.datapath.ofproto_parser,
                       message.datapath.ofproto)
        port = self.ports.get(eth.dst, ofp.OFPP_FLOOD)
        self.send(message.datapath, in_port,
                  [parser.OFPActionOutput(port)], message.data)
