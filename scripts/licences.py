#!/usr/bin/env python3
"""Licences, bans and sources of all crates of the build, held against deny.toml, where cargo-deny is not installed.

Needs Python 3.11 and cargo. Exits 1 and names each crate that does not fit.
"""
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def host() -> str:
    """The platform that cargo builds for."""
    text = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return re.search(r"^host: (\S+)$", text, re.M).group(1)


def satisfied(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with the allowed licences. `/` is the old way to write OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def term() -> bool:
        nonlocal at
        if tokens[at] == "(":
            at += 1
            value = either()
            at += 1  # the closing bracket
            return value
        name = tokens[at]
        at += 1
        if at < len(tokens) and tokens[at] == "WITH":
            name += " WITH " + tokens[at + 1]
            at += 2
        return name in allowed

    def both() -> bool:
        nonlocal at
        value = term()
        while at < len(tokens) and tokens[at] == "AND":
            at += 1
            value = term() and value
        return value

    def either() -> bool:
        nonlocal at
        value = both()
        while at < len(tokens) and tokens[at] == "OR":
            at += 1
            value = both() or value
        return value

    return either() and at == len(tokens)


def main() -> int:
    deny = tomllib.loads((ROOT / "deny.toml").read_text())
    allowed = set(deny["licenses"]["allow"])
    banned = {d["crate"]: d["reason"] for d in deny["bans"]["deny"]}
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host()]
    packages = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)["packages"]
    faults = []
    for p in packages:
        name = f"{p['name']} {p['version']}"
        licence = p["license"]
        if not licence or not satisfied(licence, allowed):
            faults.append(f"{name}: licence {licence!r} is not in deny.toml")
        if p["name"] in banned:
            faults.append(f"{name}: banned, {banned[p['name']]}")
        if p["source"] and not p["source"].startswith("registry+https://github.com/rust-lang/crates.io-index"):
            faults.append(f"{name}: from {p['source']}")
    for f in faults:
        print(f, file=sys.stderr)
    print(f"{len(packages)} crates, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
