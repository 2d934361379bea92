#!/usr/bin/env python3
"""Turns the figures of scripts/bench into JSON for machines and docs/benchmarks.md for people. Run by scripts/bench."""

import argparse
import datetime
import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

RATIOS = {
    # name: (what it says, must, goal); smaller is better for _vs_floor, _bytes_ and _cpu_.
    "book_vs_hftbacktest_roivector": ("book, against hftbacktest's ROIVector", 2.0, 3.5),
    "book_vs_hftbacktest_hashmap": ("book, against hftbacktest's HashMap", 4.0, 7.0),
    "book_vs_btreemap_twin": ("book, against its twin on BTreeMap", 8.0, 15.0),
    "book_vs_floor": ("book, cost against a bare store into an array", 6.0, 3.0),
    "parse_depth_vs_simd_json_tape": ("depth frames, against the simd-json tape", 2.5, 4.0),
    "parse_depth_vs_serde_json_typed": ("depth frames, against serde_json typed", 4.0, 7.0),
    "parse_trade_vs_serde_json_typed": ("trades and book tickers, against serde_json typed", 4.0, 6.0),
    "parse_general_vs_serde_json_typed": ("unknown key order, against serde_json typed", 1.5, 1.7),
    "ring_vs_arrayqueue": ("event handed over, against crossbeam's ArrayQueue", 1.0, 1 / 0.55),
    "wire_p99_spin_plain_vs_floor": ("wire to event ring, p99, spin, against the bare transport", 1.35, 1.1),
    "wire_p99_spin_tls_vs_floor": ("the same over TLS", 1.35, 1.1),
    "wire_p99_epoll_plain_vs_floor": ("the same, epoll", 1.35, 1.15),
    "wire_p99_epoll_tls_vs_floor": ("the same, epoll over TLS", 1.35, 1.15),
    "parquet_rows_vs_pyarrow": ("Parquet rows per second, against pyarrow", 1.0, 1.3),
    "book_delta_bytes_per_row": ("bytes per row of book_delta, USD-M", 4.3, 4.0),
    "capture_cpu_vs_minimal_reader": ("CPU of a whole capture, against a minimal reader", 0.25, 0.10),
}
PROMISED = [
    n for n in RATIOS if n not in ("book_vs_btreemap_twin", "parse_general_vs_serde_json_typed") and not n.startswith("wire_")
]


def small_is_good(name: str) -> bool:
    return any(word in name for word in ("_vs_floor", "_bytes_", "_cpu_"))


def shell(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> str:
    cpu = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        cpu.setdefault(key.strip(), value.strip())
    memory = next((int(l.split()[1]) for l in Path("/proc/meminfo").read_text().splitlines() if l.startswith("MemTotal")), 0)
    load = " ".join(Path("/proc/loadavg").read_text().split()[:3])
    return (
        f"{os.cpu_count()} × {cpu.get('model name', platform.machine())} (family {cpu.get('cpu family')}, model {cpu.get('model')}), "
        f"{memory / 2**20:.0f} GiB, Linux {platform.release()}, {shell('rustc', '--version')}, load average {load}"
    )


def commit() -> str:
    dirty = "+changes" if shell("git", "status", "--porcelain", "--untracked-files=no") else ""
    return shell("git", "rev-parse", "--short=12", "HEAD") + dirty


def read(path: Path):
    figures, skipped = {}, {}
    for line in path.read_text().splitlines():
        f = json.loads(line)
        if "skipped" in f:
            skipped[f["skipped"]] = f["why"]
        else:
            figures[f["name"]] = f
            for key, one in f.get("sets", {}).items():
                figures[f"{f['name']}/{key}"] = {"name": f"{f['name']}/{key}", **one}
    return figures, skipped


def part_of(name: str) -> str:
    return {"capture": "load", "parquet": "parquet", "wire": "wire", "book": "parquet" if "delta" in name else "book"}.get(name.split("_")[0], name.split("_")[0])


def why_not(name: str, skipped: dict) -> str:
    return skipped.get(part_of(name), "its bench was not run")


def spread(f: dict, key: str) -> str:
    text = f"{f[key]:.2f}"
    if "min" in f and "max" in f and (f["min"], f["max"]) != (f[key], f[key]):
        text += f" ({f['min']:.2f}–{f['max']:.2f})"
    return text


def document(args, figures: dict, skipped: dict) -> str:
    out = [
        "# Benchmarks",
        "",
        "Written by `scripts/bench`; do not edit. Each bench checks that all sides have the same result before it times any, then",
        "runs them in turn, round by round. A ratio is the median of the rounds' ratios, with the smallest and the largest;",
        "where several recordings are measured, the worst one stands for all. Ratios of one run can be compared; absolute",
        "times on a shared machine cannot.",
        "",
        f"- Machine: {args.machine}.",
        f"- Date: {args.date}. Commit: {args.commit}. Command: `{args.command}`.",
        "",
        "## Ratios",
        "",
        "Times faster, larger is better; for rows with ≤, smaller is better.",
        "",
        "| what | ratio | at least | goal | |",
        "|---|---|---|---|---|",
    ]
    for name, (what, must, goal) in RATIOS.items():
        sign = "≤" if small_is_good(name) else "≥"
        f = figures.get(name)
        if f is None:
            out.append(f"| {what} | not gated here: {why_not(name, skipped)} | {sign} {must:g} | {sign} {goal:.2g} | – |")
            continue
        reached = lambda limit: f["ratio"] <= limit if small_is_good(name) else f["ratio"] >= limit
        word = "goal" if reached(goal) else "must" if reached(must) else "**missed**"
        out.append(f"| {what} | {spread(f, 'ratio')} | {sign} {must:g} | {sign} {goal:.2g} | {word} |")
    others = sorted(n for n, f in figures.items() if "ratio" in f and n not in RATIOS)
    if others:
        out += ["", "## Ratios one by one", "", "| name | ratio |", "|---|---|"]
        out += [f"| `{n}` | {spread(figures[n], 'ratio')} |" for n in others]
    absolute = [f for f in figures.values() if "value" in f]
    if absolute:
        out += ["", "## Absolute figures", "", "| name | value | unit |", "|---|---|---|"]
        out += [f"| {f['name']} | {spread(f, 'value')} | {f['unit']} |" for f in absolute]
    out += ["", "## Output of the benches"]
    for line in (args.work / "parts.tsv").read_text().splitlines():
        name, title, command = line.split("\t")
        text = "\n".join(l.rstrip() for l in (args.work / f"{name}.out").read_text().splitlines()).strip()
        out += ["", f"### {title}: `{command.strip()}`", "", "```text", text or f"did not run: {skipped.get(name, '')}", "```"]
    return "\n".join(out) + "\n"


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--command", required=True)
    p.add_argument("--json", type=Path)
    p.add_argument("--document", type=Path)
    args = p.parse_args()
    args.machine, args.commit = machine(), commit()
    args.date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    figures, skipped = read(args.work / "figures.jsonl")
    names = PROMISED + [n for n in RATIOS if n not in PROMISED]
    ratios = {n: figures[n]["ratio"] if n in figures else None for n in names}
    if args.json:
        result = {
            "ratios": ratios,
            "not_gated_here": {n: why_not(n, skipped) for n in names if ratios[n] is None},
            "machine": args.machine,
            "date": args.date,
            "commit": args.commit,
            "command": args.command,
            "figures": list(figures.values()),
        }
        args.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if args.document:
        args.document.write_text(document(args, figures, skipped))
    for name in names:
        print(f"{name:<36} {ratios[name]:.3f}" if ratios[name] is not None else f"{name:<36} not gated here: {why_not(name, skipped)}")


if __name__ == "__main__":
    main()
