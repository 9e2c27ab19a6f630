"""`calls-doctor check` as a whole: how long, how heavy, how steady, and beside programs that own its ports.

python -m benchmarks.self_test [RUNS]
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.process import CALLS_DOCTOR, LIMIT_S, Times, peak_pss_bytes, timed_s, without_credentials
from benchmarks.quality import Figure, record

CHECK = [CALLS_DOCTOR, "check"]
TIMED_RUNS, WEIGHED_RUNS, RUNS_IN_A_ROW = 5, 3, 30
TIME_BAR_S, MEMORY_BAR_BYTES = 1.5, 150 * 1000 * 1000
COMMAND = "python -m benchmarks.self_test"
OWNER = """
import socket, sys, time
kept = []
for kind, port in ((socket.SOCK_DGRAM, 8443), (socket.SOCK_STREAM, 8443), (socket.SOCK_STREAM, 8045),
                   (socket.SOCK_DGRAM, 3478), (socket.SOCK_STREAM, 3478)):
    one = socket.socket(socket.AF_INET, kind)
    one.bind(("0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        one.listen()
    kept.append(one)
print("ready", flush=True)
sys.stdin.read()
"""
TAKEN = ("8443/udp", "8443/tcp", "8045/tcp", "3478/udp", "3478/tcp")


def duration() -> Figure:
    """The median of whole runs; one before them is not counted."""
    timed_s(CHECK)
    times = Times([timed_s(CHECK) for _ in range(TIMED_RUNS)])
    return Figure(
        f"`check`, whole process, median of {TIMED_RUNS}", f"at most {TIME_BAR_S} s", str(times),
        times.median_s <= TIME_BAR_S, COMMAND,
    )  # fmt: skip


def weight() -> Figure:
    """The peak of the memory of all processes, sampled every 10 ms; the worst run."""
    peak = max(peak_pss_bytes(CHECK) for _ in range(WEIGHED_RUNS))
    name = f"`check`, peak memory of all its processes (PSS, sampled every 10 ms, worst of {WEIGHED_RUNS})"
    return Figure(name, "at most 150 MB", f"{peak / 1e6:.0f} MB", peak <= MEMORY_BAR_BYTES, COMMAND)


def steadiness(runs: int) -> Figure:
    """Runs one after the other: each must end well."""
    ended = [subprocess.run(CHECK, check=False, capture_output=True, timeout=LIMIT_S) for _ in range(runs)]
    good = sum(one.returncode == 0 for one in ended)
    return Figure("`check`, runs in a row that exit 0", "all", f"{good} of {runs}", good == runs, f"{COMMAND} {runs}")


def beside_others() -> Figure:
    """8443, 8045 and 3478 belong to another program: a warning that names it, and exit code 0."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n", "one of the ports is taken already"
        done = subprocess.run(
            CHECK, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=without_credentials()
        )
        owner.communicate()
    named = [port for port in TAKEN if f"{port} by" in " ".join(done.stdout.split())]
    with_owner = str(owner.pid) in done.stdout
    said = f"{len(named)} of {len(TAKEN)} ports named, owner {'' if with_owner else 'not '}named"
    return Figure(
        "`check` beside a program that owns 8443, 8045 and 3478",
        "exit 0, a warning that names ports and owner",
        f"exit {done.returncode}, {said}",
        done.returncode == 0 and len(named) == len(TAKEN) and with_owner,
        COMMAND,
    )


if __name__ == "__main__":
    in_a_row = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS_IN_A_ROW
    sys.exit(record(duration(), weight(), beside_others(), steadiness(in_a_row)))
