"""The peer of `cargo bench --bench converter -- --pyarrow PYTHON`: pyarrow writes the table of a file again.

Takes a Parquet file, reads it into memory, and for each line on standard input writes it once to the file named there, with the
encodings, codec, row groups and page index of the first; answers with the CPU time of the process in ns and the size of
the file. Columns with dictionaries are given to pyarrow as the file has them: texts as dictionaries, numbers plain.
"""

import os
import sys
import time

import pyarrow
import pyarrow.parquet as pq


def main(path: str) -> None:
    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    table = pq.read_table(path, partitioning=None)
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunks = [group.column(i) for i in range(group.num_columns)]
    dictionary = [c.path_in_schema for c in chunks if "RLE_DICTIONARY" in c.encodings]
    encodings = {
        c.path_in_schema: "DELTA_BINARY_PACKED" if "DELTA_BINARY_PACKED" in c.encodings else "PLAIN"
        for c in chunks
        if c.path_in_schema not in dictionary
    }
    print(pyarrow.__version__, table.num_rows, flush=True)
    for line in sys.stdin:
        out = line.strip()
        begin = time.process_time_ns()
        pq.write_table(
            table,
            out,
            row_group_size=group.num_rows,
            compression="zstd",
            compression_level=1,
            use_dictionary=dictionary,
            column_encoding=encodings,
            dictionary_pagesize_limit=2 << 20,
            write_page_index=True,
        )
        spent = time.process_time_ns() - begin
        print(spent, os.path.getsize(out), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
