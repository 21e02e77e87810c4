# SPDX-License-Identifier: Apache-2.0
"""What a throughput figure does not say: round-trip time, new connections, the cost of a change."""
import json
import statistics
import subprocess
import sys
import time

import cases
from lab import BenchError, CLIENT_IP, DIR_IP, VIP, prefer

CHANGES = 120


def generate(lab, tools, sink, *options):
    """What bench-load says of one measurement."""
    done = start_load(lab, tools, sink, *options).communicate(timeout=60)
    return parse_load(done)


def start_load(lab, tools, sink, *options):
    return subprocess.Popen(
        ["ip", "netns", "exec", lab.outer, tools.load, "--out", "gen0", "--sink", sink,
         "--dst-mac", lab.dir_mac, "--dst-ip", VIP, "--src-ip", CLIENT_IP, "--cpu",
         str(lab.load_cpu), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=prefer)


def parse_load(done):
    try:
        return json.loads(done[0])
    except ValueError:
        raise BenchError((done[1] or "bench-load said nothing").strip()) from None


def spread(values, digits=3):
    return {"min": round(min(values), digits), "median": round(statistics.median(values), digits),
            "max": round(max(values), digits)}


# --- round-trip time ------------------------------------------------------------------------------

def build_rtt(lab):
    """A real server behind dir1, which answers the client by a wire of its own: direct return."""
    lab.pair("rs0", lab.rs, "dir2", lab.director)
    lab.pair("ret0", lab.outer, "ret1", lab.rs)
    lab.address(lab.rs, "rs0", "203.0.113.1/24")
    lab.address(lab.director, "dir2", "203.0.113.2/24")
    lab.address(lab.outer, "ret0", f"{CLIENT_IP}/24")
    lab.address(lab.rs, "ret1", "10.1.0.2/24")
    lab.address(lab.rs, "lo", f"{VIP}/32")
    for namespace in (lab.outer, lab.rs):
        for key in ("all", "default", "rs0", "ret0", "ret1", "gen0"):
            lab.inside(namespace, "sysctl", "-qw", f"net.ipv4.conf.{key}.rp_filter=0", check=False)
    lab.inside(lab.outer, "ip", "route", "add", f"{VIP}/32", "via", DIR_IP, "src", CLIENT_IP)


def ping_pong(lab, tools, count):
    """Percentiles in microseconds of `count` round trips by one flow."""
    server = lab.start(lab.rs, tools.rtt, "--serve", f"{VIP}:80", log="rtt-server",
                       cpu=lab.load_cpu)
    try:
        lab.wait_until(server, lambda: "ready" in lab.said(server), "bench-rtt --serve")
        client = lab.start(lab.outer, tools.rtt, "--to", f"{VIP}:80", "--from", CLIENT_IP,
                           "--count", str(count), log="rtt-client", cpu=lab.load_cpu)
        client.wait(120)
        said = lab.said(client).strip()
        lab.stop(client)
    finally:
        lab.stop(server)
    if not said.startswith("{"):
        raise BenchError(said or "bench-rtt said nothing")
    return json.loads(said)


class RttSluice(cases.Sluice):
    """lbd between client and real server: in by dir0, out by dir2."""

    def config(self, lab):
        mac = lab.mac(lab.rs, "rs0")
        text = super().config(lab).replace('interface = "dir1"', 'interface = "dir2"')
        text = text[:text.index("[[service.real_server]]")]
        return f'{text}[[service.real_server]]\naddress = "203.0.113.1"\nmac = "{mac}"\n'


def rtt(lab, tools, chosen):
    build_rtt(lab)
    forward = cases.Kernel(
        "ip-forward", "", [["ip", "route", "add", f"{VIP}/32", "via", "203.0.113.1", "dev", "dir2"]],
        [["ip", "route", "del", f"{VIP}/32"]])
    sluice = RttSluice("sluice-afxdp", "", "afxdp", two_arm=True)
    reason = sluice.missing(tools)
    if reason:
        print(f"SKIPPED rtt of sluice-afxdp: {reason}", file=sys.stderr)
    wanted = [forward] if reason else [sluice, forward]
    found = {case.name: [] for case in wanted}
    for index in range(chosen.rounds):
        for case in wanted if index % 2 == 0 else wanted[::-1]:
            case.start(lab, tools)
            try:
                found[case.name].append(ping_pong(lab, tools, 2000 if chosen.quick else 20000))
            finally:
                case.stop(lab)
    print(f"\nround trip, us {'':8}{'p50':>8}{'p90':>8}{'p99':>8}{'p99.9':>8}{'lost':>6}"
          "   (medians of the rounds)")
    rows = []
    for name, rounds in found.items():
        row = {"case": f"rtt-{name}", "flows": 1, "rtt_us": {
            key: spread([r[key] for r in rounds], 1) for key in ("p50", "p90", "p99", "p99.9")},
            "lost": sum(r["lost"] for r in rounds), "rounds": len(rounds)}
        rows.append(row)
        print(f"{name:22}" + "".join(f"{row['rtt_us'][key]['median']:8.1f}"
                                     for key in ("p50", "p90", "p99", "p99.9")) + f"{row['lost']:6}")
    return rows


# --- new connections ------------------------------------------------------------------------------

def cps(lab, tools, chosen):
    """SYNs, every one of a flow that was never seen before; what is delivered is accepted flows."""
    wanted = [cases.Sluice("sluice-afxdp", "", "afxdp", proto="tcp", flows_max=1 << 22),
              cases.Sluice("sluice-afxdp-2arm", "", "afxdp", two_arm=True, proto="tcp", flows_max=1 << 22),
              cases.BY_NAME["limit-afxdp"]]
    reason = wanted[0].missing(tools)
    if reason:
        raise BenchError(reason)
    found = {case.name: [] for case in wanted}
    for index in range(chosen.rounds):
        turn = index % len(wanted)
        for case in wanted[turn:] + wanted[:turn]:
            case.start(lab, tools)
            try:
                out = generate(lab, tools, case.sink, "--flows", "0", "--proto", "tcp", "--search",
                               "--start-rate", "0.4", "--step-ms", "80")
                found[case.name].append(out["delivered_mpps"])
            finally:
                case.stop(lab)
    print(f"\nnew connections, M/s {'min':>6}{'median':>9}{'max':>7}   (limit-afxdp has no flows)")
    rows = []
    for name, values in found.items():
        row = {"case": f"cps-{name}", "flows": 0, "new_flows_m": spread(values),
               "rounds": len(values)}
        rows.append(row)
        v = row["new_flows_m"]
        print(f"{name:20}{v['min']:7.2f}{v['median']:9.2f}{v['max']:7.2f}")
    return rows


# --- a change while packets flow -------------------------------------------------------------------

def change_servers(lab, tools, load):
    """Adds and removes a real server until `load` ends, at least CHANGES times; ms of each.

    lbctl has no preference for the CPU: the cost of the change is wanted, not that of the command."""
    command = [tools.lbctl, "--socket", f"{lab.directory.name}/lbd.sock"]
    service, server = f"{VIP}:80/udp", "192.0.2.111"
    took, add = [], True
    while load.poll() is None:
        words = ["add-rs", service, server, "--mac", lab.gen_mac] if add else [
            "del-rs", service, server]
        started = time.monotonic()
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=20,
                              check=False)
        took.append((time.monotonic() - started) * 1000)
        if done.returncode != 0 and load.poll() is None:
            load.kill()
            raise BenchError(f"lbctl {words[0]}: {(done.stderr or done.stdout).strip()}")
        add = not add
    return took


def change(lab, tools, chosen):
    """The same paced traffic with and without changes, in turns: packets lost, longest gap."""
    case = cases.Sluice("sluice-afxdp", "", "afxdp")
    reason = case.missing(tools)
    if reason:
        raise BenchError(reason)
    rounds = {"still": [], "changes": []}
    changes = []
    seconds = 2 if chosen.quick else 5
    for index in range(chosen.rounds):
        for kind in ("still", "changes") if index % 2 == 0 else ("changes", "still"):
            case.start(lab, tools)
            try:
                load = start_load(lab, tools, case.sink, "--flows", "1024", "--rate", "0.1",
                                  "--gaps", "--batch", "16", "--ms", str(seconds * 1000))
                if kind == "changes":
                    changes += change_servers(lab, tools, load)
                rounds[kind].append(parse_load(load.communicate(timeout=60)))
            finally:
                case.stop(lab)
    print(f"\n{len(changes)} changes of real servers under 0.1 Mpps, a change took "
          f"{statistics.median(changes):.1f} ms (median)\n"
          f"{'':10}{'packets':>10}{'lost':>7}   longest gap, ms: min, median, max")
    rows = []
    for kind, outs in rounds.items():
        lost = sum(o["sent"] - o["received"] for o in outs)
        gap = spread([o["longest_gap_ms"] for o in outs])
        rows.append({"case": f"change-{kind}", "flows": 1024, "lost": lost,
                     "packets": sum(o["sent"] for o in outs), "longest_gap_ms": gap,
                     "changes": len(changes) if kind == "changes" else 0, "rounds": len(outs)})
        print(f"{kind:10}{rows[-1]['packets']:10}{lost:7}   {gap['min']:6.2f}{gap['median']:8.2f}"
              f"{gap['max']:8.2f}")
    if len(changes) < CHANGES:
        print(f"only {len(changes)} changes, {CHANGES} were meant: more --rounds", file=sys.stderr)
    return rows
