"""The measuring half of against.sh: runs the candidates in turns and prints tables.

`measure.py RUNS` measures, `measure.py clean` removes what a broken-off measurement left. Everything else is taken from
the environment that against.sh makes; BENCH_BEFORE there may name an earlier build of cimandat, which is measured too.
Nothing is judged by hand: the targets are below.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

FLOOR, OURS, BEFORE, SLOW = "floor", "cimandat", "cimandat, before", "compose, 5 s"
# An engine without faster looks at the start looks every second.
WITHOUT_START_INTERVAL = "BENCH_INTERVAL" in os.environ
FAST = "compose, 1 s" if WITHOUT_START_INTERVAL else "compose, 100 ms"
# With the faster looks at the start, compose's containers are in their start period for as long as the measurement takes.
START_PERIOD = {FAST: "90s", SLOW: "0s"}
OUR_PROJECT, FLOOR_PROJECT, THEIR_PROJECT = "cimandat-bench", "cimandat-bench-floor", "cimandat-bench-compose"
# Between two looks at the memory of a program that runs; its peak is kept by the kernel.
LOOK = 0.005
# In a round: the first one meets services that have answered next to nothing so far, which is slow with node.
NO_OPS = 3
# In a round: each changes all four services.
UPDATES = 2
# Those with a published port, each changed alone, by one variable.
PUBLISHED = {"backend": "/api/v1/health", "frontend": "/"}
# Between two questions of a visitor, and the longest that one may wait for an answer.
ASKING, PATIENCE = 0.004, 1.0


def ours(*arguments, build="BENCH_CIMANDAT"):
    return [os.environ[build], "--file", "benches/stack.kdl", *arguments]


def theirs(*arguments):
    return ["docker", "compose", "--file", os.environ["BENCH_COMPOSE"], *arguments]


# --- One measurement --------------------------------------------------------------------------------------------------


def peaks(pid):
    """Peak memory in KiB of a process and of those it has started, which `docker` does for its plugins."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        # A child is listed with the thread that started it.
        children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return
    yield from (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    for child in children:
        yield from peaks(child)


def run(command, pace=FAST, version=0, changes=None):
    """Runs a command; gives its seconds, its peak memory in MiB and its standard output."""
    environment = os.environ | {"BENCH_START_PERIOD": START_PERIOD[pace], "BENCH_VERSION": str(version)} | (changes or {})
    highest = [0]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=environment)
        ended = threading.Event()

        def watch():
            while not ended.wait(LOOK):
                highest[0] = max([highest[0], *peaks(process.pid)])

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - start
        ended.set()
        watcher.join()
        output.seek(0)
        errors.seek(0)
        told = output.read().decode()
        if code != 0:
            sys.exit(f"{command} ended with {code}:\n{told}\n{errors.read().decode()}")
    return seconds, highest[0] / 1024, told


class Visitor:
    """Asks a published port again and again, with a new connection each time."""

    def __init__(self, port, path):
        self.port, self.path = int(port), path
        self.answered, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self.ask_on)
        self.thread.start()

    def ask_on(self):
        while not self.ended.wait(ASKING):
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as stream:
                    stream.sendall(f"GET {self.path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                    # A 429 is an answer of the service, too: the visitor asks more often than it allows.
                    if stream.recv(12)[9:12] in (b"200", b"429"):
                        self.answered.append(time.perf_counter())
            except OSError:
                pass

    def gap(self):
        """Ends, and gives the longest time in seconds between two answers."""
        self.ended.set()
        self.thread.join()
        return max(later - earlier for earlier, later in zip(self.answered, self.answered[1:]))


def quietly(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split()


def clean():
    """Removes everything of the three projects, whoever made it."""
    for project in (OUR_PROJECT, FLOOR_PROJECT, THEIR_PROJECT):
        named = f"name=^/?{project}[-_](postgres|redis|backend|frontend|app|data|pdf)"
        for kind, *query in (("container", "ls", "-a"), ("network", "ls"), ("volume", "ls")):
            found = quietly("docker", kind, *query, "-q", "--filter", named)
            if found:
                quietly("docker", kind, "rm", *(["-f", "-v"] if kind == "container" else []), *found)


# --- All measurements -------------------------------------------------------------------------------------------------


class Results:
    def __init__(self):
        self.values = {}

    def add(self, what, who, value):
        self.values.setdefault(what, {}).setdefault(who, []).append(value)

    def of(self, what, who):
        return self.values[what][who]


def measure_floor(results):
    seconds, _, told = run([os.environ["BENCH_FLOOR"]])
    results.add("first up", FLOOR, seconds)
    for line in told.splitlines():
        at, service = line.split()
        results.add(f"ready: {service}", FLOOR, float(at))


def measure_ours(results):
    seconds, memory, told = run(ours("up", "--progress", "json"))
    results.add("first up", OURS, seconds)
    results.add("memory", OURS, memory)
    for event in map(json.loads, told.splitlines()):
        if event["event"] == "ready":
            results.add(f"ready: {service_of(event['subject'])}", OURS, event["at"])
    for _ in range(NO_OPS):
        results.add("no-op up", OURS, run(ours("up"))[0])
    measure_updates(results, OURS, ours("up"))
    results.add("down", OURS, run(ours("down"))[0])


def measure_before(results):
    def before(*arguments):
        return ours(*arguments, build="BENCH_BEFORE")

    results.add("first up", BEFORE, run(before("up"))[0])
    measure_updates(results, BEFORE, before("up"))
    run(before("down"))


def measure_updates(results, who, up):
    """All four services change, then those with ports alone; their visitors are without an answer for a time."""
    for version in range(1, UPDATES + 1):
        visitors = {service: visitor(service) for service in PUBLISHED}
        results.add("update", who, run(up, version=version)[0])
        for service, asking in visitors.items():
            results.add(f"{service} away", who, asking.gap())
    changes = {}
    for service in PUBLISHED:
        changes[f"BENCH_{service.upper()}_CHANGE"] = "1"
        asking = visitor(service)
        results.add(f"update of {service} alone", who, run(up, version=UPDATES, changes=changes)[0])
        results.add(f"{service} away, alone", who, asking.gap())


def visitor(service):
    return Visitor(os.environ[f"BENCH_{service.upper()}_PORT"], PUBLISHED[service])


def service_of(subject):
    return subject.get("service") or subject["name"]


def measure_theirs(results, pace):
    seconds, memory, _ = run(theirs("up", "--detach", "--wait"), pace)
    results.add("first up", pace, seconds)
    results.add("memory", pace, memory)
    for _ in range(NO_OPS):
        results.add("no-op up", pace, run(theirs("up", "--detach", "--wait"), pace)[0])
    if pace == FAST:
        measure_updates(results, pace, theirs("up", "--detach", "--wait"))
    results.add("down", pace, run(theirs("down"), pace)[0])


def measure(rounds):
    results = Results()
    candidates = [lambda: measure_ours(results), lambda: measure_theirs(results, FAST)]
    if not WITHOUT_START_INTERVAL:
        candidates.append(lambda: measure_theirs(results, SLOW))
    if os.environ["BENCH_FLOOR"]:
        candidates.append(lambda: measure_floor(results))
    if os.environ.get("BENCH_BEFORE"):
        candidates.append(lambda: measure_before(results))
    clean()
    for turn in range(rounds):
        # Nobody always comes first, or always after the same other.
        shift = turn % len(candidates)
        for candidate in candidates[shift:] + candidates[:shift]:
            candidate()
            clean()
        print(f"round {turn + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return results


# --- What comes out ---------------------------------------------------------------------------------------------------


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def show(results, what, unit, digits):
    base = median(results.of(what, OURS))
    rows = []
    for who, values in results.values[what].items():
        middle = median(values)
        each = ", ".join(f"{value:.{digits}f}" for value in values)
        rows.append([who, f"{middle:.{digits}f} {unit}", f"{middle / base:.2f}", each])
    order = [FLOOR, OURS, BEFORE, FAST, SLOW]
    rows.sort(key=lambda row: order.index(row[0]))
    table([what, "median", "× cimandat", "all, in order"], rows)


def judge(results):
    def middle(what, who):
        return median(results.of(what, who))

    def ratio(what, who):
        return middle(what, who) / middle(what, OURS)

    def won(what):
        pairs = list(zip(results.of(what, OURS), results.of(what, FAST)))
        quicker = sum(mine < other for mine, other in pairs)
        return "every run", f"{quicker} of {len(pairs)}", quicker == len(pairs)

    first, no_op, memory = "first up", "no-op up", "memory"
    rows = []

    def target(name, wanted, measured, met):
        rows.append([name, wanted, measured, "yes" if met else "**no**"])

    if FLOOR in results.values[first]:
        to_floor = 1 / ratio(first, FLOOR)
        target("first up, against the floor", "≤ 1.15 ×", f"{to_floor:.2f} ×", to_floor <= 1.15)
    target(f"first up, faster than {FAST}", *won(first))
    if SLOW in results.values[first]:
        to_slow = ratio(first, SLOW)
        target("first up, against compose, 5 s", "≥ 4 × faster", f"{to_slow:.1f} ×", to_slow >= 4)
    quiet = middle(no_op, OURS)
    target("no-op up", "< 0.05 s", f"{quiet:.3f} s", quiet < 0.05)
    target("no-op up, against compose", "≥ 30 × faster", f"{ratio(no_op, FAST):.0f} ×", ratio(no_op, FAST) >= 30)
    lighter = 1 / ratio(memory, FAST)
    target("peak memory, against compose", "< 1/3", f"{lighter:.2f}", lighter < 1 / 3)
    target("down, against compose", "faster", f"{ratio('down', FAST):.1f} ×", ratio("down", FAST) > 1)
    for service in PUBLISHED:
        away = f"{service} away"
        target(f"{away}, all changed, against compose", "≥ 2 × shorter", f"{ratio(away, FAST):.1f} ×", ratio(away, FAST) >= 2)
        alone = middle(f"{away}, alone", OURS)
        target(f"{away}, it alone changed", "≤ 0.25 s", f"{alone:.2f} s", alone <= 0.25)
        target(f"update of {service} alone, quicker than compose", *won(f"update of {service} alone"))
    if BEFORE in results.values[first]:
        more = 1 / ratio(first, BEFORE)
        target("first up, against before", "< 1.10 ×", f"{more:.2f} ×", more < 1.1)
    table(["target", "wanted", "measured", "met"], rows)


def main():
    if sys.argv[1:] == ["clean"]:
        clean()
        return
    before = os.getloadavg()[0]
    results = measure(int(sys.argv[1]))
    versions = quietly("docker", "version", "--format", "{{.Server.Version}}"), quietly("docker", "compose", "version", "--short")
    print(f"Engine {versions[0][0]}, compose {versions[1][0]}, {os.cpu_count()} processors; load {before:.1f} at the beginning, "
          f"{os.getloadavg()[0]:.1f} at the end.\n")
    judge(results)
    show(results, "first up", "s", 2)
    show(results, "no-op up", "s", 3)
    show(results, "down", "s", 2)
    show(results, "update", "s", 2)
    for service in PUBLISHED:
        show(results, f"{service} away", "s", 2)
        show(results, f"update of {service} alone", "s", 2)
        show(results, f"{service} away, alone", "s", 2)
    show(results, "memory", "MiB", 1)
    if os.environ["BENCH_FLOOR"]:
        show_floor(results)


def show_floor(results):
    services = ["postgres", "redis", "backend", "frontend"]
    rows = []
    for service in services:
        floor, mine = (median(results.of(f"ready: {service}", who)) for who in (FLOOR, OURS))
        rows.append([service, f"{floor:.2f} s", f"{mine:.2f} s", f"{mine - floor:+.2f} s"])
    table(["ready after", "floor", "cimandat", "difference"], rows)


if __name__ == "__main__":
    main()
