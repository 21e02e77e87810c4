# SPDX-License-Identifier: Apache-2.0
"""Real TCP and UDP through every topology: bytes unchanged, many connections, the shares of the schedulers."""
import os
import selectors
import subprocess

from harness import EVERYWHERE, Failure, LONG, expect, listen_udp, seed_dr, serving, sha256, test, wait_for

MEGABYTES = 100


def random_file(path, megabytes=MEGABYTES):
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))
    return sha256(path)


@test(*EVERYWHERE)
def download_of_100_mb_arrives_unchanged(bed):
    digest = random_file(bed.run / "www" / "big")
    with serving(bed):
        bed.sh("client", "curl", "-sgf", "-m", "60", "-o", bed.run / "got", bed.url("/files/big"), seconds=90)
        expect(sha256(bed.run / "got") == digest, "the download differs")


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 2), ("ipv6", (), 1), ("vlan", ("--client-tag",), 1), redis=True)
def upload_of_100_mb_arrives_unchanged(bed):
    # In DR it is the upload that goes through the director with full-size frames.
    random_file(bed.run / "big")
    with serving(bed, port=6379), open(bed.run / "big", "rb") as file:
        subprocess.run(bed.command("client", "redis-cli", "-h", bed.vip, "-x", "SET", "big"), stdin=file, check=True,
                       timeout=120, stdout=subprocess.DEVNULL)
        sizes = []
        for address in bed.rs:
            sizes.append(int(bed.sh("client", "redis-cli", "-h", address, "STRLEN", "big").stdout))
            if sizes[-1]:
                with open(bed.run / "got", "wb") as got:
                    subprocess.run(bed.command("client", "redis-cli", "-h", address, "GET", "big"), stdout=got,
                                   check=True, timeout=120)
        expect(sum(sizes) == MEGABYTES << 20, "one RS holds it all:", sizes)
        got = (bed.run / "got").read_bytes()[:-1]  # redis-cli ends with a newline
        expect(got == (bed.run / "big").read_bytes(), "the upload differs")


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 2), ("ipv6", (), 2), ("vlan", (), 1))
def thousand_connections_at_once(bed):
    count = 1000
    with serving(bed) as lbd:
        connections = [bed.connect(80) for _ in range(count)]
        flows = lbd.api("GET", "/v1/flows?limit=1")[1]["total"]
        expect(flows >= count, "lbd knows the flows:", flows)
        answers = talk_at_once(connections)
        expect(sum(answers.values()) == count, answers)
        expect(all(abs(n - count / 3) <= 2 for n in answers.values()), "wrr shares them evenly:", answers)


def talk_at_once(connections):
    """Sends a request on each, then reads all; answers by RS."""
    answers, replies = {}, {}
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
            replies[connection] = b""
        left = len(connections)
        while left:
            ready = selector.select(timeout=10)
            if not ready:
                raise Failure(f"{left} connections got no answer")
            for key, _ in ready:
                data = key.fileobj.recv(65536)
                replies[key.fileobj] += data
                if not data:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    left -= 1
    for reply in replies.values():
        name = reply.rpartition(b"\r\n")[2].decode().strip()
        answers[name] = answers.get(name, 0) + 1
    return answers


@test(seed_dr(1), seed_dr(2), ("two-arm", (), 1), ("ipv6", (), 1), redis=True)
def redis_benchmark_runs_clean(bed):
    with serving(bed, port=6379):
        done = bed.sh("client", "redis-benchmark", "-h", bed.vip, "-n", "50000" if LONG else "10000", "-c", "50", "-P", "4",
                      "-t", "set,get,lrange_100", "-q", seconds=120)
        expect("error" not in (done.stdout + done.stderr).lower(), done.stdout, done.stderr)


@test()
def wrk_sees_no_socket_error(bed):
    with serving(bed):
        done = bed.sh("client", "wrk", "-t", "1", "-c", "100", "-d", "3", bed.url())
        expect("Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout)


@test()
def weights_are_the_shares_of_new_connections(bed):
    with serving(bed, weights=(1, 2, 5)) as lbd:
        answers = [bed.get() for _ in range(160)]
        counts = [answers.count(f"rs{n}") for n in (1, 2, 3)]
        expect(counts == [20, 40, 100], "wrr 1:2:5 of 160:", counts)
        lbd.ctl("set-rs", bed.service(80), bed.rs[2], "--weight", "0")
        expect("rs3" not in {bed.get() for _ in range(30)}, "weight 0 gets no new connection")


@test()
def every_scheduler_serves(bed):
    with serving(bed) as lbd:
        for scheduler in ("rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "fo", "ovf", "twos"):
            lbd.ctl("set-vip", bed.service(80), "--scheduler", scheduler)
            answers = {bed.get() for _ in range(20)}
            expect(answers <= {"rs1", "rs2", "rs3"} and answers, scheduler, answers)
            if scheduler in ("rr", "wrr", "mh"):
                expect(len(answers) == 3, scheduler, "uses all of them:", answers)


@test(*EVERYWHERE)
def udp_is_answered_and_a_flow_keeps_its_rs(bed):
    listen_udp(bed, 5353)
    with serving(bed, port=5353, protocol="udp"):
        names = set()
        for _ in range(12):
            client = udp_client(bed, 5353)
            answers = {ask(client, b"x" * 100) for _ in range(5)}
            expect(len(answers) == 1, "one flow, one RS:", answers)
            names |= answers
        expect(len(names) == 3, "all RS answer:", names)


@test(*EVERYWHERE)
def fragmented_udp_arrives_whole(bed):
    listen_udp(bed, 5353)
    with serving(bed, port=5353, protocol="udp"):
        for _ in range(20):
            answer = ask(udp_client(bed, 5353), os.urandom(4000))
            expect(answer.endswith(":4000"), answer)


def udp_client(bed, port):
    import socket
    with bed.inside("client"):
        client = socket.socket(socket.AF_INET6 if bed.v6 else socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(3)
    client.connect((bed.vip, port))
    return client


def ask(client, payload):
    client.send(payload)
    return client.recv(65535).decode()


@test(seed_dr(2))
def both_queues_carry_traffic(bed):
    with serving(bed) as lbd:
        def busy():
            bed.get()
            workers = lbd.api("GET", "/v1/stats")[1]["workers"]
            return len(workers) == 2 and all(w["rx_packets"] > 0 for w in workers)
        wait_for("packets on both workers", 10, busy)


@test()
def counters_add_up(bed):
    with serving(bed) as lbd:
        for _ in range(30):
            bed.get()
        service = lbd.api("GET", "/v1/stats")[1]["services"][0]
        expect(service["new_flows"] == 30, "new flows:", service)
        expect(sum(rs["new_flows"] for rs in service["real_servers"]) == 30, service)
        expect(sum(rs["packets"] for rs in service["real_servers"]) == service["packets"], service)
        expect(service["packets"] >= 30 * 4 and service["bytes"] > service["packets"] * 40, service)
