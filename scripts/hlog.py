#!/usr/bin/env python3
"""Reads the interval logs of a dataset with HdrHistogram's own Python reader: hlog.py DATASET.

Every line must decode, carry a tag of a stream and a hop, and hold values. Needs the package hdrhistogram.
"""
import sys
from pathlib import Path

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

HOPS = {"venue_receive", "venue_receive_negative", "kernel_read", "read_ring", "ring_parsed", "parsed_applied", "applied_journaled"}
HOUR_NS = 3_600_000_000_000


def main() -> int:
    files = sorted(Path(sys.argv[1]).glob("_hlog/*/*.hlog"))
    if not files:
        print(f"{sys.argv[1]}: no interval logs", file=sys.stderr)
        return 1
    histograms = values = 0
    for file in files:
        reader = HistogramLogReader(str(file), HdrHistogram(1, HOUR_NS, 2))
        lines = sum(1 for line in file.read_text().splitlines() if line.startswith("Tag="))
        seen = 0
        while (h := reader.get_next_interval_histogram()) is not None:
            hop = h.get_tag().rsplit(":", 1)[-1] if hasattr(h, "get_tag") else h.tag.rsplit(":", 1)[-1]
            if hop not in HOPS or h.get_total_count() <= 0:
                print(f"{file}: {h.tag}: {h.get_total_count()} values", file=sys.stderr)
                return 1
            seen += 1
            values += h.get_total_count()
        if seen != lines:
            print(f"{file}: {seen} of {lines} lines were read", file=sys.stderr)
            return 1
        histograms += seen
    print(f"{len(files)} interval logs, {histograms} histograms, {values} values")
    return 0


if __name__ == "__main__":
    sys.exit(main())
