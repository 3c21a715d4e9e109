#!/usr/bin/env python3
"""Runs the hostile corpus through `fettle run` and `fettle compile`.

usage: hostile.py FETTLE CORPUS

CORPUS is what make_hostile.py wrote: models and expected.tsv (file, class, expected, mention). For every model both verbs must
end by themselves within 10 s, without a signal, a sanitizer's report or more than 2 GB; what must be rejected is
rejected with exit status 1 and a message that matches `mention`; what must be accepted is. A model may be rejected by
either verb or only when it runs.
Ends with `N passed, N failed`, exit status 1 if any failed."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

SECONDS = 10 # of processor time
WALL = 120    # of waiting
BYTES = 2 << 30
# AddressSanitizer's shadow and quarantine are not the product's memory
ENV = dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=16:allocator_may_return_null=1:exitcode=99", UBSAN_OPTIONS="exitcode=99")


def call(args):
    """(exit status or None if it did not end, text, peak bytes, seconds)"""
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=ENV)
        timer = subprocess.Popen(["sh", "-c", f"sleep {WALL}; kill -9 {p.pid}"], stderr=subprocess.DEVNULL)
        _, status, use = os.wait4(p.pid, 0)
        late = timer.poll() is not None
        timer.kill()
        timer.wait()
        out.seek(0)
        text = out.read(1 << 20).decode("utf-8", "replace")
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return None if late and code < 0 else code, text, use.ru_maxrss * 1024, use.ru_utime + use.ru_stime


def check(fettle, path, expected, mention):
    work = tempfile.mkdtemp()
    faults, codes, said = [], [], ""
    try:
        for verb in (["run", path], ["compile", path, "--emit", "c", "-o", os.path.join(work, "m.c")]):
            code, text, peak, seconds = call([fettle] + verb)
            codes.append(code)
            if code is None:
                faults.append(f"{verb[0]}: still going after {WALL} s")
            elif code not in (0, 1) or "Sanitizer" in text or "runtime error:" in text:
                faults.append(f"{verb[0]}: exit status {code}: {text.strip()[-300:]}")
            elif code == 1 and "fettle: " not in text:
                faults.append(f"{verb[0]}: failed without a message")
            if seconds > SECONDS:
                faults.append(f"{verb[0]}: took {seconds:.0f} s")
            if peak > BYTES:
                faults.append(f"{verb[0]}: {peak >> 20} MB")
            if code == 1:
                said += text
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if faults:
        return faults
    if expected == "must_reject" and 1 not in codes:
        faults.append("accepted, must be rejected")
    elif expected == "must_reject" and mention and not re.search(mention, said, re.I):
        faults.append(f"the message does not say why (/{mention}/): {said.strip()[:300]}")
    elif expected == "must_accept" and codes != [0, 0]:
        faults.append(f"rejected, must be accepted: {said.strip()[:300]}")
    return faults


def main():
    fettle, corpus = sys.argv[1:3]
    failed = passed = 0
    with open(os.path.join(corpus, "expected.tsv"), encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f][1:]
    for row in rows:
        name, expected, mention = row[0], row[2], row[3] if len(row) > 3 else ""
        faults = check(fettle, os.path.join(corpus, name), expected, mention)
        for fault in faults:
            print(f"FAIL {name} ({expected}): {fault}", flush=True)
        failed += bool(faults)
        passed += not faults
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
