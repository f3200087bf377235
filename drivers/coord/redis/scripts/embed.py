#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes C of Lua scripts: embed.py OUTPUT COMMON SCRIPT... (each SCRIPT with COMMON before it)."""
import hashlib
import pathlib
import sys

output, common, *scripts = map(pathlib.Path, sys.argv[1:])


def quoted(line: str) -> str:
    escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'\t\t"{escaped}\\n"'


def embedded(path: pathlib.Path) -> str:
    text = common.read_text("ascii") + path.read_text("ascii")
    sha1 = hashlib.sha1(text.encode("ascii")).hexdigest()
    lines = "\n".join(map(quoted, text.splitlines()))
    return (f"const struct weir_coord_script weir_coord_script_{path.stem} = {{\n"
            f'\t.sha1 = "{sha1}",\n\t.text =\n{lines},\n}};\n')


output.write_text('#include "coord/redis/text.h"\n\n' + "\n".join(map(embedded, scripts)))
