# SPDX-License-Identifier: Apache-2.0
"""Odd packets, one by one: TTL, ICMP, what no service takes, wrong flags. IPv4 on seed-dr."""
import socket
import struct

from harness import expect, seed_dr, serving, sniff, test, wait_for

ETH = 14


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(source, destination, protocol, payload, ttl=64, identification=1):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification, 0, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def tcp(source, destination, sport, dport, flags, sequence=1):
    segment = struct.pack("!HHIIBBHHH", sport, dport, sequence, 0, 5 << 4, flags, 64240, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def raw(bed):
    """A socket of the client that sends whole IPv4 packets."""
    with bed.inside("client"):
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def is_udp_to(vip, port):
    address = socket.inet_aton(vip)
    return lambda f: (f[12:14] == b"\x08\0" and f[ETH + 9] == 17 and f[ETH + 16:ETH + 20] == address
                      and struct.unpack("!H", f[ETH + 22:ETH + 24])[0] == port)


def udp_client(bed, ttl=None):
    with bed.inside("client"):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(3)
    if ttl:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    return client


@test()
def ttl_is_one_less_and_one_is_answered_by_time_exceeded(bed):
    with serving(bed, port=5353, protocol="udp", weights=(1, )) as lbd, sniff(bed, "rs1") as rs1, \
            sniff(bed, "client") as client:
        udp_client(bed, ttl=9).sendto(b"x", (bed.vip, 5353))
        frame = rs1.await_frame("the packet at the RS", is_udp_to(bed.vip, 5353))
        expect(frame[ETH + 8] == 8, "TTL at the RS:", frame[ETH + 8])
        expect(checksum(frame[ETH:ETH + 20]) == 0, "the header checksum is right")
        udp_client(bed, ttl=1).sendto(b"x", (bed.vip, 5353))
        frame = client.await_frame("time exceeded", lambda f: f[ETH + 9] == 1 and f[ETH + 20] == 11)
        expect(checksum(frame[ETH + 20:]) == 0, "its checksum is right")
        expect(lbd.total_drops("ttl_expired") == 1, "counted")


@test()
def ttl_stays_when_the_config_says_so(bed):
    config = bed.config(bed.web(port=5353, protocol="udp", weights=(1, )), dataplane="decrement_ttl = false\n")
    with serving(bed, config=config), sniff(bed, "rs1") as rs1:
        udp_client(bed, ttl=9).sendto(b"x", (bed.vip, 5353))
        frame = rs1.await_frame("the packet at the RS", is_udp_to(bed.vip, 5353))
        expect(frame[ETH + 8] == 9, "TTL at the RS:", frame[ETH + 8])


@test(seed_dr(1), seed_dr(2), ("ipv6", (), 1))
def ping_to_the_vip_is_answered(bed):
    with serving(bed) as lbd:
        bed.sh("client", "ping", "-c", "3", "-i", "0.2", "-W", "2", bed.vip)
        replies = sum(w["icmp_echo_replies"] for w in lbd.api("GET", "/v1/stats")[1]["workers"])
        expect(replies == 3, "by lbd:", replies)
        lbd.ctl("set-vip", bed.service(80), "--icmp-echo", "pass")
        bed.sh("client", "ping", "-c", "3", "-i", "0.2", "-W", "2", bed.vip)
        again = sum(w["icmp_echo_replies"] for w in lbd.api("GET", "/v1/stats")[1]["workers"])
        expect(again == replies, "and with pass by the director's own stack")


def connect_error(bed, port):
    try:
        bed.connect(port, seconds=1).close()
        return None
    except OSError as error:
        return error


@test(seed_dr(1), ("ipv6", (), 1))
def port_without_service_is_dropped_or_passed(bed):
    with serving(bed) as lbd:
        expect(isinstance(connect_error(bed, 81), TimeoutError), "drop: silence")
        expect(lbd.total_drops("vip_unmatched") >= 1, "counted")
        lbd.ctl("set-vip", bed.service(80), "--vip-unmatched", "pass")
        expect(isinstance(connect_error(bed, 81), ConnectionRefusedError), "pass: the director refuses it itself")
        with bed.inside("dir"):
            server = socket.create_server((bed.vip, 81), family=socket.AF_INET6 if bed.v6 else socket.AF_INET)
        expect(connect_error(bed, 81) is None, "what listens there is reached")
        server.close()


@test()
def tcp_flags_that_no_stack_sends_are_dropped(bed):
    with serving(bed, weights=(1, )) as lbd, sniff(bed, "rs1") as rs1:
        out, me = raw(bed), bed.vars["TB_CLIENT_IP"]
        for flags in (0x00, 0x03, 0x06):
            out.sendto(ipv4(me, bed.vip, 6, tcp(me, bed.vip, 40000, 80, flags)), (bed.vip, 0))
        wait_for("three drops", 5, lambda: lbd.total_drops("bad_flags") == 3)
        expect(not [f for f in rs1.frames if f[ETH + 9] == 6 and f[ETH + 20:ETH + 22] == b"\x9c\x40"], "none got through")


@test()
def hostile_headers_are_counted_and_harm_nothing(bed):
    with serving(bed) as lbd:
        with bed.inside("client"):
            out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            out.bind(("eth0", 0))
        mac = bytes.fromhex(lbd.api("GET", "/v1/ports")[1]["ports"][0]["mac"].replace(":", ""))
        head = mac + out.getsockname()[4] + b"\x08\0"
        me = bed.vars["TB_CLIENT_IP"]
        good = ipv4(me, bed.vip, 6, tcp(me, bed.vip, 40000, 80, 2))
        drops = sum(d["total"] for d in lbd.api("GET", "/v1/drops")[1]["drops"])
        for cut in range(1, len(good)):
            out.send(head + good[:cut])
        for position in (0, 2, 3, 6, 7, 9, 20 + 12):
            for value in (0x00, 0x4F, 0x41, 0xFF):
                out.send(head + good[:position] + bytes([value]) + good[position + 1:])
        wait_for("drops", 5, lambda: sum(d["total"] for d in lbd.api("GET", "/v1/drops")[1]["drops"]) > drops)
        expect({bed.get() for _ in range(9)} == {"rs1", "rs2", "rs3"}, "it serves on")


def arrives_only_at(name, servers, is_error):
    servers[name].await_frame(f"the ICMP error at {name}", is_error)
    others = [n for n, s in servers.items() if n != name and any(map(is_error, s.frames))]
    expect(not others, "only there, but also at", others)


@test(seed_dr(1), seed_dr(2))
def icmp_error_reaches_the_rs_of_the_flow_it_quotes(bed):
    with serving(bed), sniff(bed, "rs1") as rs1, sniff(bed, "rs2") as rs2, sniff(bed, "rs3") as rs3:
        connection = bed.connect(80)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        name = connection.recv(4096).rpartition(b"\r\n")[2].decode().strip()
        me, port = bed.vars["TB_CLIENT_IP"], connection.getsockname()[1]
        quoted = ipv4(bed.vip, me, 6, tcp(bed.vip, me, 80, port, 0x10))[:28]  # 8 bytes of TCP suffice
        body = struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + quoted
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        raw(bed).sendto(ipv4(me, bed.vip, 1, body), (bed.vip, 0))

        def is_error(frame):
            return frame[12:14] == b"\x08\0" and frame[ETH + 9] == 1 and frame[ETH + 20:ETH + 22] == b"\x03\x04"
        arrives_only_at(name, {"rs1": rs1, "rs2": rs2, "rs3": rs3}, is_error)


@test(("ipv6", (), 1), ("ipv6", (), 2))
def packet_too_big_reaches_the_rs_of_the_flow_it_quotes(bed):
    with serving(bed), sniff(bed, "rs1") as rs1, sniff(bed, "rs2") as rs2, sniff(bed, "rs3") as rs3:
        connection = bed.connect(80)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        name = connection.recv(4096).rpartition(b"\r\n")[2].decode().strip()
        me, port = bed.vars["TB_CLIENT_IP"], connection.getsockname()[1]
        quoted = struct.pack("!IHBB", 6 << 28, 1400, 6, 63) + socket.inet_pton(socket.AF_INET6, bed.vip)
        quoted += socket.inet_pton(socket.AF_INET6, me) + struct.pack("!HHI", 80, port, 1)
        with bed.inside("client"):
            out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        out.sendto(struct.pack("!BBHI", 2, 0, 0, 1280) + quoted, (bed.vip, 0))  # the kernel fills in the checksum

        def is_error(frame):
            return frame[12:14] == b"\x86\xdd" and frame[ETH + 6] == 58 and frame[ETH + 40] == 2
        arrives_only_at(name, {"rs1": rs1, "rs2": rs2, "rs3": rs3}, is_error)


@test()
def icmp_error_that_quotes_nothing_of_ours_is_dropped(bed):
    with serving(bed) as lbd:
        me = bed.vars["TB_CLIENT_IP"]
        quoted = ipv4("192.0.2.1", me, 6, tcp("192.0.2.1", me, 80, 1, 0x10))[:28]
        body = struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + quoted
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        raw(bed).sendto(ipv4(me, bed.vip, 1, body), (bed.vip, 0))
        wait_for("the drop", 5, lambda: lbd.total_drops("icmp_unknown") >= 1)


@test()
def no_real_server_up_is_dropped_and_counted(bed):
    with serving(bed) as lbd:
        for address in bed.rs:
            lbd.ctl("set-rs", bed.service(80), address, "--state", "down")
        expect(isinstance(connect_error(bed, 80), TimeoutError), "silence")
        expect(lbd.total_drops("no_backend") >= 1, "counted")
        done = lbd.ctl("check-health", check=False)
        expect(done.returncode == 4, "check-health says so:", done.returncode)


@test()
def panic_passes_every_packet_to_the_kernel_and_back(bed):
    with serving(bed) as lbd:
        lbd.ctl("panic", "on")
        error = connect_error(bed, 80)
        expect(isinstance(error, ConnectionRefusedError), "the director's own stack refuses:", error)
        expect(bed.sh("client", "ping", "-c", "1", "-W", "2", bed.vip).returncode == 0, "and answers ping")
        lbd.ctl("panic", "off")
        expect(bed.get().startswith("rs"), "balanced again")


@test()
def what_is_not_ours_passes(bed):
    with bed.inside("dir"):
        server = socket.create_server((bed.vars["TB_DIR_IP"], 22))
    with serving(bed):
        bed.connect(22, host=bed.vars["TB_DIR_IP"]).close()
        bed.sh("client", "ping", "-c", "1", "-W", "2", bed.vars["TB_DIR_IP"])
    server.close()
