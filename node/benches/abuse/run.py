#!/usr/bin/env python3
"""Abuse, measured: a cluster of three on this machine, and those who want too much of it.

    node/benches/abuse/run.py [--binary target/release/lastunit] [--seconds 15]

Each step says what a buyer met meanwhile (calls done or refused, p50, p99 and the longest), and each node's memory before
and after; at the end, whether the lead moved. It needs Debian's slowhttptest (a step is left out, and says so, without
it) and some 25,000 open files. Prints Markdown. Exit code 1: an answer made no sense, a sale was lost, or a term changed.

    idle       10,000 connections to the leader that send nothing
    slow head  slowhttptest -H: heads a few bytes at a time
    slow body  slowhttptest -B: bodies likewise
    slow read  slowhttptest -X: answers taken a few bytes at a time
    overload   ten times as many calls a second as the cluster answered when it was asked for all that it can
    flood      one customer as fast as it can, against customer_requests_per_second
"""

import argparse
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

IDS = (1, 2, 3)
CUSTOMER_RATE, CUSTOMER_BURST = 50, 100
IDLE = 10_000
SLOW = 2_000
BUYERS = ["spread", "--rate", "200", "--connections", "64", "--customers", "10000", "--skus", "100", "--warm-up", "0s"]


class Cluster:
    """Three nodes in a directory that goes away."""

    def __init__(self, binary):
        self.binary = binary
        self.directory = tempfile.mkdtemp(prefix="lastunit-abuse-")
        ports = free_ports(6)
        self.http = dict(zip(IDS, ports[:3]))
        self.config = os.path.join(self.directory, "cluster.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write('[cluster]\nname = "abuse"\n[rate_limits]\n')
            file.write(f"customer_requests_per_second = {CUSTOMER_RATE}\ncustomer_burst = {CUSTOMER_BURST}\n")
            for node, raft in zip(IDS, ports[3:]):
                file.write(f'[[node]]\nid = {node}\nhttp = "127.0.0.1:{self.http[node]}"\n')
                file.write(f'raft = "127.0.0.1:{raft}"\ndata_dir = "{self.directory}/{node}"\n')
        self.nodes = {node: self.start(node) for node in IDS}
        for node in IDS:
            wait_until(lambda node=node: self.status(node) == 200)

    def start(self, node):
        log = open(os.path.join(self.directory, f"{node}.log"), "wb")
        return subprocess.Popen([self.binary, "serve", "--config", self.config, "--node", str(node)], stderr=log)

    def status(self, node):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.http[node]}/readyz", timeout=5).status
        except OSError:
            return 0

    def view(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http[1]}/api/cluster", timeout=30) as answer:
            return json.load(answer)

    def figure(self, node, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http[node]}/metrics", timeout=30) as answer:
            found = re.search(rf"^{re.escape(name)} (\d+)$", answer.read().decode(), re.M)
        return int(found[1]) if found else None

    def memory_mib(self):
        """What each node has resident, in MiB."""
        told = []
        for node in self.nodes.values():
            with open(f"/proc/{node.pid}/status", encoding="utf-8") as file:
                told.append(int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) // 1024)
        return told

    def bench(self, *arguments):
        """Starts `lastunit bench` on it."""
        command = [self.binary, "bench", *arguments, "--cluster", self.config, "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def stop(self):
        for node in self.nodes.values():
            node.send_signal(signal.SIGTERM)
        return [node.wait(timeout=120) for node in self.nodes.values()]

    def remove(self):
        """Whatever became of the run, nothing of it is left."""
        for node in self.nodes.values():
            node.kill()
        shutil.rmtree(self.directory)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(look, patience=120):
    deadline = time.monotonic() + patience
    while not look():
        if time.monotonic() > deadline:
            sys.exit("it does not come")
        time.sleep(0.1)


def ended(bench):
    """The result of a load; a failed check ends everything."""
    text, _ = bench.communicate(timeout=600)
    result = json.loads(text)
    failed = [check["text"] for check in result["checks"] if check["result"] == "failed"]
    if failed:
        sys.exit(f"a check failed: {failed}")
    return result


def told(result):
    total = result["total"]
    latency = total["latency_ms"] or {"p50": "-", "p99": "-", "max": "-"}
    refused = ", ".join(f"{count} {code}" for code, count in sorted(total["refused"].items())) or "-"
    cells = [f"{total['done_per_second']:.0f}", refused, total["unknown"], latency["p50"], latency["p99"], latency["max"]]
    return " | ".join(str(cell) for cell in cells)


class Report:
    """The table, a line for each step."""

    def __init__(self, cluster, seconds):
        self.cluster, self.seconds, self.terms = cluster, seconds, []
        print("| step | who | done/s | refused | unknown | p50 ms | p99 ms | longest ms | MiB before | MiB after |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        self.note_term()

    def note_term(self):
        self.terms.append(self.cluster.view()["term"])

    def step(self, name, abuse=None, buyers=BUYERS):
        before = self.cluster.memory_mib()
        running = abuse() if abuse else None
        result = ended(self.cluster.bench(*buyers, "--duration", f"{self.seconds}s"))
        during = self.cluster.memory_mib()
        self.line(name, "buyers", told(result), before, during)
        if running:
            other = running()
            if other:
                self.line(name, "the others", told(other), "", "")
        self.note_term()
        return result

    def line(self, name, who, figures, before, after):
        print(f"| {name} | {who} | {figures} | {before} | {after} |", flush=True)


def idle(cluster, node):
    """Opens connections, and answers how to close them."""
    streams = [socket.create_connection(("127.0.0.1", cluster.http[node])) for _ in range(IDLE)]
    wait_until(lambda: (cluster.figure(node, "lastunit_http_connections_open") or IDLE) >= IDLE)

    def close():
        for stream in streams:
            stream.close()

    return close


def slow(cluster, node, seconds, *flags):
    url = f"http://127.0.0.1:{cluster.http[node]}/api/checkout/reserve"
    if "-X" in flags:
        url = f"http://127.0.0.1:{cluster.http[node]}/docs"
    command = ["slowhttptest", *flags, "-c", str(SLOW), "-r", "500", "-l", str(seconds + 5), "-p", "5", "-u", url]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # As many as open 500 a second.
    time.sleep(SLOW / 500)
    return lambda: running.wait(timeout=600) and None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/lastunit")
    parser.add_argument("--seconds", type=int, default=15)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    cluster = Cluster(os.path.abspath(options.binary))
    try:
        run(cluster, options.seconds)
    finally:
        cluster.remove()


def run(cluster, seconds):
    report = Report(cluster, seconds)
    leader = cluster.view()["leader_id"]
    report.step("nothing else")
    report.step(f"{IDLE} idle connections", lambda: idle(cluster, leader))
    if shutil.which("slowhttptest"):
        for name, flags in [
            ("slow heads", ["-H", "-i", "5"]),
            ("slow bodies", ["-B", "-i", "5", "-s", "8192", "-t", "POST", "-f", "application/json"]),
            ("slow readers", ["-X", "-w", "256", "-y", "1024", "-n", "5", "-z", "32", "-k", "3"]),
        ]:
            report.step(f"{SLOW} {name}", lambda flags=flags: slow(cluster, leader, seconds, *flags))
    else:
        print("slowhttptest is missing: slow clients are left out", file=sys.stderr)
    asked = ["spread", "--skus", "100", "--connections", "256"]
    most = report.step("all that it can", buyers=asked)["total"]["done_per_second"]
    rate = str(int(10 * most))
    report.step(f"ten times that ({rate}/s)", buyers=["spread", "--skus", "100", "--connections", "12000", "--rate", rate])
    report.step("nothing else, after it")
    flood = ["spread", "--skus", "100", "--customers", "1", "--connections", "256", "--duration", f"{seconds}s", "--warm-up", "0s"]

    def begin():
        running = cluster.bench(*flood)
        return lambda: ended(running)

    report.step(f"one customer floods, {CUSTOMER_RATE}/s allowed", begin)
    report.step("nothing else, at the end")
    print(f"\nTerms, before the first step and after each: {report.terms}")
    codes = cluster.stop()
    if len(set(report.terms)) > 1 or any(codes):
        sys.exit(f"the lead moved, or a node failed: {codes}")


if __name__ == "__main__":
    main()
