"""The measuring half of cutover.sh: updates a service under clients of each kind, and one with a published port by
cimandat and by docker compose in turns, and prints tables. Everything is taken from the environment that cutover.sh makes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PROGRAMS = Path("tests/it/cutover/programs")
KINDS = json.loads(Path("tests/it/cutover/kinds.json").read_text())
CIMANDAT, IMAGE, PORT = (os.environ[f"BENCH_{name}"] for name in ("CIMANDAT", "NODE_IMAGE", "PORT"))
PROJECT = "cimandat-bench-cutover"
OURS, THEIRS = "cimandat", "docker compose"
# A client that has the address from its start is of interest where that can be kept.
ORDER = {"resolved-once": "stop-first"}
# How long the server with a published port takes to start.
BOOTS = [60, 1000]
# Asks about every 4 ms, also while one of its requests gets no answer.
VISITOR = {"WORKERS": "4", "PAUSE_MS": "16"}
# For so long clients go on after an update, so that what goes wrong late is seen.
AFTERWARDS = 2
# The longest wait for a report, in which hanging requests come to their end.
PATIENCE = 30


def run(*command, code=0):
    """Runs a command that has to end with this code; gives its seconds and its standard output."""
    start = time.perf_counter()
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if ended.returncode != code:
        sys.exit(f"{command} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
    return time.perf_counter() - start, ended.stdout


def docker(*arguments):
    return run("docker", *arguments)[1]


# --- Clients ----------------------------------------------------------------------------------------------------------


def reports(log):
    return [json.loads(line.removeprefix("report ")) for line in log.splitlines() if line.startswith("report ")]


class Inside:
    """A client in a container of the project."""

    def __init__(self, service):
        self.container = f"{PROJECT}-{service}-1"

    def report(self):
        before = len(reports(docker("logs", self.container)))
        docker("kill", "--signal", "USR2", self.container)
        until = time.perf_counter() + PATIENCE
        while time.perf_counter() < until:
            found = reports(docker("logs", self.container))
            if len(found) > before:
                return found[-1]
            time.sleep(0.1)
        sys.exit(f"{self.container} does not report")

    def end(self):
        pass


class Here:
    """A client on this machine, which asks the published port."""

    def __init__(self, path, env):
        url = f"http://127.0.0.1:{PORT}{path}"
        command = ["node", str(PROGRAMS / "client.js")]
        self.process = subprocess.Popen(command, env=os.environ | env | {"URL": url}, stdout=subprocess.PIPE, text=True)
        self.await_line("first answers")

    def await_line(self, start):
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        sys.exit("a client has ended")

    def report(self):
        self.process.send_signal(12)
        return reports(self.await_line("report "))[0]

    def end(self):
        self.process.kill()
        self.process.wait()


# --- Updates under clients --------------------------------------------------------------------------------------------


def kdl_env(env):
    return " ".join(f"{key}={json.dumps(value)}" for key, value in env.items())


def stand(name, version):
    """A manifest of a service `web`, of `page` in front of it, and of a client."""
    kind = KINDS[name]
    client = "" if kind.get("published") else f"""
        service "client" {{
            image "{IMAGE}"
            command "/node" "/programs/client.js"
            env URL="http://web:8080{kind["path"]}" {kdl_env(kind["env"])}
            depends-on "web"
            ready {{ log "first answers"; }}
        }}"""
    return f"""
        project "{PROJECT}"
        deploy stabilize="1s"
        template "server" {{
            image "{IMAGE}"
            command "/node" "/programs/server.js"
            ready {{ http 8080; }}
        }}
        service "back" {{ use "server"; env TEXT="back"; }}
        service "web" {{
            use "server"
            env TEXT="{version}" UPSTREAM="http://back:8080/"
            depends-on "back"
            update order="{ORDER.get(name, "start-first")}"
        }}
        service "page" {{
            use "server"
            env TEXT="page" UPSTREAM="http://web:8080/"
            port "127.0.0.1:{PORT}:8080"
            depends-on "web"
        }}
        {client}
    """


class Cimandat:
    def __init__(self, folder):
        self.manifest = Path(folder) / "cimandat.kdl"

    def call(self, *arguments, code=0):
        return run(CIMANDAT, "--file", str(self.manifest), *arguments, code=code)[0]

    def up(self, manifest, code=0):
        self.manifest.write_text(manifest)
        return self.call("up", code=code)

    def down(self):
        self.call("down", "--volumes", "--timeout", "1")


def under_client(name, rounds, folder):
    """Updates under one kind of client; gives a report and the seconds of each update."""
    cimandat = Cimandat(folder)
    cimandat.up(stand(name, "v0"))
    kind = KINDS[name]
    client = Here(kind["path"], kind["env"]) if kind.get("published") else Inside("client")
    client.report()
    found = []
    try:
        for turn in range(1, rounds + 1):
            seconds = cimandat.up(stand(name, f"v{turn}"))
            time.sleep(AFTERWARDS)
            found.append((client.report(), seconds))
    finally:
        client.end()
        cimandat.down()
    return found


def show_clients(names, rounds, folder):
    rows = []
    for name in names:
        found = under_client(name, rounds, folder)
        each = [report for report, _ in found]
        total = {key: sum(report[key] for report in each) for key in ("total", "failed", "hanging", "slow", "idle_resets")}
        errors = {}
        for report in each:
            for error, count in report["errors"].items():
                errors[error] = errors.get(error, 0) + count
        rows.append([
            f"{name}: {KINDS[name]['about']}",
            *(str(total[key]) for key in ("total", "failed", "hanging", "slow", "idle_resets")),
            spread([report["longest_ms"] / 1000 for report in each]),
            spread([report["longest_gap_ms"] / 1000 for report in each]),
            spread([seconds for _, seconds in found]),
            ", ".join(f"{count} {error}" for error, count in sorted(errors.items())) or "–",
        ])
        progress(f"client {name}: {rows[-1][1:6]}")
    table(["client", "requests", "failed", "hanging", "slow", "idle resets", "longest wait", "no answer", "`up`", "failures"], rows)


# --- A published port -------------------------------------------------------------------------------------------------


def published(version, boot, ready="http 8080"):
    """A manifest of a service with a published port, which meets what it depends on in a network of its own."""
    return f"""
        project "{PROJECT}-port"
        network "edge"
        network "data" internal=#true
        template "server" {{
            image "{IMAGE}"
            command "/node" "/programs/server.js"
            network "data"
        }}
        service "back" {{
            use "server"
            env TEXT="back"
            ready {{ http 8080; }}
        }}
        service "web" {{
            use "server"
            network "edge"
            ready timeout="5s" {{ {ready}; }}
            env TEXT="{version}" BOOT_MS="{boot}" UPSTREAM="http://back:8080/"
            port "127.0.0.1:{PORT}:8080"
            depends-on "back"
        }}
    """


def composed(version, boot):
    """The same for docker compose."""
    question = "fetch('http://127.0.0.1:8080/').then((it) => process.exit(it.ok ? 0 : 1), () => process.exit(1))"
    check = {"test": ["CMD", "/node", "-e", question], "interval": "1s", "timeout": "3s", "retries": 30}
    # Looks at the start more often, where the engine can.
    api = docker("version", "--format", "{{.Server.APIVersion}}").strip()
    if tuple(map(int, api.split("."))) >= (1, 44):
        check |= {"start_period": "90s", "start_interval": "100ms"}
    server = {"image": IMAGE, "command": ["/node", "/programs/server.js"], "init": True, "healthcheck": check}
    environment = {"TEXT": version, "BOOT_MS": str(boot), "UPSTREAM": "http://back:8080/"}
    return json.dumps({
        "name": f"{PROJECT}-compose",
        "networks": {"edge": {}, "data": {"internal": True}},
        "services": {
            "back": server | {"environment": {"TEXT": "back"}, "networks": ["data"]},
            "web": server | {
                "environment": environment,
                "networks": ["edge", "data"],
                "ports": [f"127.0.0.1:{PORT}:8080"],
                "depends_on": {"back": {"condition": "service_healthy"}},
            },
        },
    })


class Compose:
    def __init__(self, folder):
        self.file = Path(folder) / "compose.json"

    def call(self, *arguments):
        return run("docker", "compose", "--file", str(self.file), *arguments)[0]

    def up(self, text):
        self.file.write_text(text)
        return self.call("up", "--detach", "--wait")

    def down(self):
        self.call("down", "--timeout", "1")


def visited(tool, definition, changed, code=0):
    """Updates once under a visitor of the port; gives its report and the seconds of the update."""
    tool.up(definition)
    visitor = Here("/", VISITOR)
    visitor.report()
    try:
        seconds = tool.up(changed) if code == 0 else tool.up(changed, code)
        time.sleep(AFTERWARDS)
        return visitor.report(), seconds
    finally:
        visitor.end()
        tool.down()


def show_published(rounds, folder):
    ours, theirs = Cimandat(folder), Compose(folder)
    failing = "cimandat, failing update"
    rows = []
    for boot in BOOTS:
        each = {OURS: [], THEIRS: [], failing: []}
        never = published("v2", boot, ready='http 8080 contains="never said"')
        turns = [
            lambda: each[OURS].append(visited(ours, published("v1", boot), published("v2", boot))),
            lambda: each[THEIRS].append(visited(theirs, composed("v1", boot), composed("v2", boot))),
            lambda: each[failing].append(visited(ours, published("v1", boot), never, code=5)),
        ]
        for turn in range(rounds):
            # Nobody always comes first, or always after the same other.
            for take in turns[turn % 3:] + turns[:turn % 3]:
                take()
            progress(f"port, server starts in {boot} ms: {turn + 1} of {rounds}")
        for who, found in each.items():
            won = sum(mine[1] < other[1] for mine, other in zip(each[OURS], found))
            rows.append([
                f"{boot} ms",
                who,
                spread([report["longest_gap_ms"] / 1000 for report, _ in found]),
                str(sum(report["failed"] + report["hanging"] for report, _ in found)),
                spread([seconds for _, seconds in found]),
                f"cimandat in {won} of {rounds}" if who == THEIRS else "–",
            ])
    table(["server starts in", "by", "port away", "failed", "`up` of one changed variable", "quicker"], rows)


# --- What comes out ---------------------------------------------------------------------------------------------------


def spread(seconds):
    return f"{median(seconds):.2f} s (≤ {max(seconds):.2f})"


def progress(text):
    print(text, file=sys.stderr, flush=True)


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    chosen = sys.argv[2:] or ["clients", "published"]
    names = list(KINDS) if "clients" in chosen else [name for name in chosen if name != "published"]
    version = docker("version", "--format", "{{.Server.Version}}").strip()
    print(f"Engine {version}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, {rounds} updates each.\n")
    with tempfile.TemporaryDirectory() as folder:
        if names:
            show_clients(names, rounds, folder)
        if "published" in chosen:
            show_published(rounds, folder)
    print(f"Load {os.getloadavg()[0]:.1f} at the end.")


main()
