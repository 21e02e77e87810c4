# SPDX-License-Identifier: Apache-2.0
"""What an operator gets wrong: each is refused in words, with the right exit code, and changes nothing."""
import json
import os
import socket
import subprocess

import bed as testbed
from harness import Lbd, expect, serving, test, wait_for

DOWN = 10  # seconds within which a start that must fail has failed


def refused(lbd, *argv, status=1, naming=()):
    """Runs lbctl, which must refuse, name what is wrong, and leave the services as they were."""
    before = json.dumps(desired(lbd))
    done = lbd.ctl(*argv, check=False)
    said = done.stdout + done.stderr
    expect(done.returncode == status, argv, "ended with", done.returncode, "not", status, ":", said)
    for word in naming:
        expect(word in said, argv, "should name", word, ":", said)
    expect(said.strip() and "Traceback" not in said, argv, "says something")
    expect(json.dumps(desired(lbd)) == before, argv, "changed something")


def desired(lbd):
    return [(s["address"], s["scheduler"], [(r["address"], r["weight"]) for r in s["real_servers"]])
            for s in lbd.services()]


@test()
def wrong_commands_are_refused_and_change_nothing(bed):
    web, rs = bed.service(80), bed.rs
    with serving(bed) as lbd:
        refused(lbd, "add-vip", web, naming=[web])
        refused(lbd, "add-rs", web, rs[0], naming=[rs[0]])
        refused(lbd, "add-rs", web, "203.0.113.7", naming=["203.0.113.7"])
        refused(lbd, "add-rs", web, bed.vip, naming=[bed.vip])
        refused(lbd, "add-rs", web, "2001:db8::1", naming=["2001:db8::1"])
        refused(lbd, "add-rs", "192.168.1.223:80/tcp", rs[0], naming=["192.168.1.223:80/tcp"])
        refused(lbd, "del-vip", "192.168.1.223:80/tcp", naming=["192.168.1.223:80/tcp"])
        refused(lbd, "del-rs", web, "192.168.1.99", naming=["192.168.1.99"])
        refused(lbd, "drain-rs", web, "192.168.1.99", naming=["192.168.1.99"])
        for wrong in ("192.168.1.300:80/tcp", "192.168.1.222:80", "192.168.1.222:0/tcp", "x"):
            wrong_word(lbd, "add-vip", wrong)
        wrong_word(lbd, "add-vip", bed.service(81), "--scheduler", "best")
        wrong_word(lbd, "add-rs", web, "not-an-address")
        wrong_word(lbd, "set-rs", web, rs[0], "--weight", "65536")
        wrong_word(lbd, "set-rs", web, rs[0], "--weight", "-1")
        wrong_word(lbd, "set-rs", web, rs[0], "--mac", "zz")


def wrong_word(lbd, *argv):
    """A value that is wrong in itself: refused by lbctl (2) or by lbd (1)."""
    before = json.dumps(desired(lbd))
    done = lbd.ctl(*argv, check=False)
    expect(done.returncode in (1, 2), argv, "ended with", done.returncode)
    expect(argv[-1] in done.stdout + done.stderr, argv, "should name", argv[-1], ":", done.stdout, done.stderr)
    expect(json.dumps(desired(lbd)) == before, argv, "changed something")


@test()
def a_full_table_is_refused(bed):
    with serving(bed, config=bed.config(bed.web(), dataplane="services_max = 2\nrs_max = 4\n")) as lbd:
        lbd.ctl("add-vip", bed.service(81), "--health", "none")
        refused(lbd, "add-vip", bed.service(82), naming=["2"])
        lbd.ctl("add-rs", bed.service(81), bed.rs[0])
        refused(lbd, "add-rs", bed.service(81), bed.rs[1], naming=["4"])


@test()
def without_lbd_lbctl_says_what_to_do(bed):
    done = subprocess.run([testbed.BUILD / "control/lbctl", "--socket", bed.run / "nothing.sock", "show", "vips"],
                          capture_output=True, text=True, timeout=20, check=False)
    expect(done.returncode == 1 and "nothing.sock" in done.stderr, done)


def start_fails(bed, config, *naming, arguments=(), name="bad"):
    """lbd must end with 1 and one message naming these words."""
    lbd = Lbd(bed, config, *arguments, name=name)
    lbd.spawn()
    wait_for("lbd to refuse to start", DOWN, lambda: lbd.process.poll() is not None)
    expect(lbd.process.returncode == 1, "status", lbd.process.returncode, lbd.log())
    for word in naming:
        expect(word in lbd.log(), "the message names", word, ":", lbd.log())


@test()
def bad_configs_are_refused_at_the_start(bed):
    good = bed.config(bed.web())
    for config, *naming in (
            ("[control", "1"),
            (good.replace("flows_max =", "flows_maxi ="), "flows_maxi", "flows_max"),
            (good.replace('scheduler = "wrr"', 'scheduler = "best"'), "best"),
            (good.replace('scheduler = "wrr"', "scheduler = 7"), "scheduler"),
            (good.replace("weight = 1", "weight = 65536"), "weight"),
            (good.replace(bed.rs[1], bed.rs[0]), bed.rs[0]),
            (good.replace(bed.rs[1], bed.vip), bed.vip),
            (good + bed.web(), bed.vip),
            (good.replace('interface = "eth0"', 'interface = "nope0"'), "nope0"),
            (good.replace("flows_max = 65536", "flows_max = 1"), "flows_max"),
            (good.replace(bed.vip + ":80/tcp", "192.168.1.222:80/icmp"), "icmp"),
            ("", "port")):
        start_fails(bed, config, *naming)


@test()
def interface_that_cannot_is_refused(bed):
    start_fails(bed, bed.config(bed.web(), ports=["lo"], dataplane='xdp_mode = "native"\n'), "lo")


@test()
def second_lbd_on_the_interface_is_refused(bed):
    with serving(bed) as lbd:
        other = bed.config(bed.web()).replace("lbd.sock", "other.sock").replace("state.json", "other.json")
        start_fails(bed, other, "eth0", name="other")
        start_fails(bed, bed.config(bed.web()), "another lbd", str(lbd.process.pid), name="same")
        expect(bed.get().startswith("rs"), "the first one serves on")
        expect(lbd.process.poll() is None)


@test()
def foreign_xdp_program_is_refused_by_name_and_replaced_on_demand(bed):
    bed.sh("dir", "ip", "link", "set", "dev", "eth0", "xdpdrv", "obj",
           testbed.BUILD / "generated/bpf/testbed_pass.bpf.o", "program", "pass")
    link = json.loads(bed.sh("dir", "ip", "-j", "-d", "link", "show", "dev", "eth0").stdout)[0]
    start_fails(bed, bed.config(bed.web()), "pass", str(link["xdp"]["prog"]["id"]), "--replace")
    expect(not (bed.run / "lbd.sock").exists(), "the socket of a failed start is gone")
    with Lbd(bed, bed.config(bed.web()), "--replace") as lbd:
        lbd.wait_serving()
        expect(bed.get().startswith("rs"), "it serves")


@test()
def socket_path_that_is_taken_is_refused(bed):
    (bed.run / "lbd.sock").write_text("a file of somebody")
    start_fails(bed, bed.config(bed.web()), "lbd.sock")
    expect((bed.run / "lbd.sock").read_text() == "a file of somebody", "it is left alone")


@test()
def garbage_on_the_api_socket_harms_nothing(bed):
    with serving(bed) as lbd:
        def send(data):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(10)
            client.connect(str(lbd.socket))
            try:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: client.recv(65536), b""))
            except (ConnectionError, TimeoutError):
                return b""
            finally:
                client.close()
        for data in (b"", b"\0" * 100, os.urandom(4000), b"GET", b"GET / HTTP/1.1\r\n", b"POST /v1/services HTTP/1.1\r\n"
                     b"Content-Length: 999\r\n\r\n{", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n"):
            send(data)
        for path, body, status in (("/v1/services", "{", 400), ("/v1/services", "[]", 400), ("/v1/services", "{}", 400),
                                   ("/v1/services", '{"address": 7}', 400), ("/v1/nothing", "{}", 404),
                                   ("/v1/services", '{"address": "192.168.1.222:81/tcp", "colour": "red"}', 400),
                                   ("/v1/services", "[" * 100000, 400), ("/v1/services", '{"address": "' + "x" * 900000 + '"}', 400)):
            got, answer = lbd.api("POST", path, body)
            expect(got == status and answer["error"]["message"], body[:60], "answered", got, str(answer)[:300])
        expect(lbd.api("PUT", "/v1/services", "{}")[0] == 405, "a method that is not there")
        try:
            expect(lbd.api("POST", "/v1/services", " " * ((1 << 20) + 1))[0] == 413, "too large")
        except BrokenPipeError:
            pass  # the answer came before all was sent
        idle = [socket.socket(socket.AF_UNIX) for _ in range(50)]
        for client in idle:
            client.connect(str(lbd.socket))
        expect(len(lbd.services()) == 1, "it answers beside idle clients, and nothing changed")
        expect(bed.get().startswith("rs"), "it serves")


@test()
def socket_is_for_root_and_group_only(bed):
    with serving(bed) as lbd:
        expect(lbd.socket.stat().st_mode & 0o7777 == 0o660, oct(lbd.socket.stat().st_mode))


@test()
def without_privileges_lbd_says_so(bed):
    file = bed.run / "lbd.toml"
    file.write_text(bed.config(bed.web()))
    done = bed.sh("dir", "setpriv", "--bounding-set=-all", "--inh-caps=-all", testbed.BUILD / "control/lbd", "--config", file,
                  check=False, seconds=DOWN)
    expect(done.returncode == 1 and "CAP_NET_ADMIN" in done.stderr, done.returncode, done.stdout, done.stderr)


@test()
def usage_errors_end_with_2(bed):
    for program, *argv in (("lbd", "--colour"), ("lbd", "--config"), ("lbctl",), ("lbctl", "frobnicate"), ("lbctl", "add-vip"),
                           ("lbctl", "show", "nothing")):
        done = subprocess.run([testbed.BUILD / "control" / program, *argv], capture_output=True, text=True, timeout=20,
                              check=False, cwd=bed.run)
        expect(done.returncode == 2, program, argv, "ended with", done.returncode, done.stdout, done.stderr)


@test()
def check_tells_memory_and_touches_nothing(bed):
    file = bed.run / "lbd.toml"
    file.write_text(bed.config(bed.web()))
    done = subprocess.run([testbed.BUILD / "control/lbd", "--check", "--config", file], capture_output=True, text=True,
                          timeout=20, check=False)
    expect(done.returncode == 0 and "MiB with 1 worker" in done.stdout, done)
    expect(not (bed.run / "state.json").exists() and not (bed.run / "lbd.sock").exists(), "no file is made")


@test()
def every_show_command_prints_a_table_and_json(bed):
    with serving(bed) as lbd:
        bed.get()
        for words in (("show", "vips"), ("show", "rs"), ("show", "flows"), ("show", "ports"), ("show", "workers"),
                      ("show", "neighbours"), ("show", "drops"), ("show", "bpf"), ("show", "memory"), ("show", "version"),
                      ("stats",)):
            text = lbd.ctl(*words).stdout
            expect(text.strip() and "\033" not in text, words, "prints text without colours:", text)
            expect(lbd.show(*words), words, "--json")
