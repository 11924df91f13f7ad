#!/usr/bin/env python3
"""The command table of crates/core: reads its facts from a server, and writes it.

    scripts/commands/generate.py read [--port 6379]   COMMAND of a running redis-server 7.0 → redis-7.0.txt
    scripts/commands/generate.py write                the three data files → src/command/table.rs
    scripts/commands/generate.py check                fails when table.rs is not what `write` would write

The data files are in crates/core/data/commands: redis-7.0.txt (from the server, never edited), newer.txt (by hand, from
public documentation) and ring.txt (by hand: what a ring does with each command). Needs nothing but Python 3.9 and
rustfmt.
"""

import argparse
import pathlib
import re
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "crates/core/data/commands"
TABLE = ROOT / "crates/core/src/command/table.rs"

FLAGS = (
    "readonly write denyoom admin pubsub noscript blocking loading stale fast no_auth no_multi movablekeys "
    "no_mandatory_keys no_async_loading allow_busy skip_monitor skip_slowlog asking"
).split()


CATEGORIES = (
    "keyspace read write set sortedset list hash string bitmap hyperloglog geo stream pubsub admin fast slow blocking "
    "dangerous connection transaction scripting"
).split()


# Reading a server


def ask(port, *words):
    """The reply to one command, from a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        packed = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in (word.encode() for word in words))
        connection.sendall(b"*%d\r\n%s" % (len(words), packed))
        return reply(connection.makefile("rb"))


def reply(stream):
    line = stream.readline().rstrip(b"\r\n").decode()
    kind, rest = line[0], line[1:]
    if kind == "*":
        return [reply(stream) for _ in range(max(int(rest), 0))]
    if kind == "$":
        return stream.read(int(rest) + 2)[:-2].decode()
    if kind == ":":
        return int(rest)
    if kind == "-":
        sys.exit(f"the server says: {rest}")
    return rest


def pairs(flat):
    return dict(zip(flat[::2], flat[1::2]))


def spec_text(spec):
    """One key specification in the form of the data files; None where it names no key or only says that it cannot."""
    spec = pairs(spec)
    begin, find = pairs(spec["begin_search"]), pairs(spec["find_keys"])
    if begin["type"] == "unknown" or "not_key" in spec["flags"]:
        return None
    at, how = pairs(begin["spec"]), pairs(find["spec"])
    start = str(at["index"]) if begin["type"] == "index" else f"{at['keyword']}>{at['startfrom']}"
    if find["type"] == "range":
        which = f"{how['lastkey']},{how['keystep']},{how['limit']}"
    else:
        which = f"#{how['keynumidx']},{how['firstkey']},{how['keystep']}"
    writes = "RO" not in spec["flags"]
    access = ("r" if "access" in spec["flags"] else "") + (
        "w" if {"insert", "update", "delete"} & set(spec["flags"]) else ""
    )
    usual = "rw" if writes else "r"
    return f"{'W' if writes else 'R'}{'' if access == usual else access or '-'}{start}:{which}"


def implied(flags, scripting):
    """The categories that servers conclude from a command's flags."""
    found = {flag for flag in ("write", "admin", "pubsub", "blocking") if flag in flags}
    found |= {"dangerous"} if "admin" in flags else set()
    found |= {"read"} if "readonly" in flags and not scripting else set()
    return found | {"fast" if "fast" in flags else "slow"}


def read(port):
    version = re.search(r"redis_version:(\S+)", ask(port, "INFO", "server")).group(1)
    if not version.startswith("7.0."):
        sys.exit(f"the server is {version}; these facts are about 7.0, newer commands go into newer.txt")
    lines = []

    def row(entry):
        name, arity, flags = entry[0], entry[1], [flag for flag in entry[2] if flag in FLAGS]
        specs = [text for text in map(spec_text, entry[8]) if text]
        groups = {group.removeprefix("@") for group in entry[6]}
        concluded = implied(flags, "scripting" in groups)
        if not concluded <= groups or not groups <= set(CATEGORIES):
            sys.exit(f"{name}: the categories are {groups}, the flags say {concluded}")
        groups = ",".join("@" + group for group in CATEGORIES if group in groups - concluded) or "-"
        fields = f"{name:<24}{arity:>3}  {','.join(flags) or '-':<44}  {groups:<12}  {' '.join(specs) or '-':<26}"
        lines.append(f"{fields}  {' '.join(entry[7]) or '-'}".rstrip())
        for subcommand in sorted(entry[9]):
            row(subcommand)

    for entry in sorted(ask(port, "COMMAND")):
        row(entry)
    (DATA / "redis-7.0.txt").write_text(
        f"# The reply of COMMAND of redis-server {version}, written by scripts/commands/generate.py read. Do not edit.\n"
        "#\n# name  arity  flags  categories  keys  tips; for `categories` and `keys` see newer.txt\n\n" + "\n".join(lines) + "\n"
    )
    print(f"{len(lines)} commands of redis-server {version}")


# Writing the table


class Row:
    def __init__(self, line):
        fields = line.split()
        self.name, self.arity = fields[0], int(fields[1])
        self.flags = [] if fields[2] == "-" else fields[2].split(",")
        self.keys = [field for field in fields[3:] if re.match(r"[RW]", field)]
        groups = [group[1:] for field in fields[3:] if field[0] == "@" for group in field.split(",")]
        self.groups = [group for group in CATEGORIES if group in groups]
        self.care, self.wait, self.library = "Care::None", "Wait::Never", "Library::None"
        self.absent, self.options = None, None
        self.kind, self.subcommands = None, []
        unknown = set(self.flags) - set(FLAGS)
        if unknown:
            sys.exit(f"{self.name}: unknown flags {unknown}")
        if set(groups) - set(CATEGORIES):
            sys.exit(f"{self.name}: unknown categories {groups}")


def facts():
    rows = {}
    for name in ("redis-7.0.txt", "newer.txt"):
        for line in (DATA / name).read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                row = Row(line)
                if row.name in rows:
                    sys.exit(f"{name}: {row.name} is there twice")
                rows[row.name] = row
    return rows


def overlay(rows):
    section = None
    for line in (DATA / "ring.txt").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line.startswith("["):
            section = line[1:-1].partition(" ")
            continue
        for name in line.split():
            if name not in rows:
                sys.exit(f"ring.txt: no facts about {name}")
            apply(rows[name], section[0], section[2])


def apply(row, verb, value):
    if verb in ("class", "refused", "never"):
        if row.kind:
            sys.exit(f"ring.txt: {row.name} has two classes")
        if verb == "class":
            row.kind = f"Class::{value}"
        else:
            allowable = "true" if verb == "refused" else "false"
            row.kind = f'Class::Refused {{ because: "{value}", allowable: {allowable} }}'
    elif verb == "keys":
        row.keys = value.split()
    elif verb == "options":
        begin, *valued = value.split()
        row.options = (int(begin), *(tuple(option.split("=")) for option in valued))
    elif verb == "care":
        row.care = f"Care::{value}"
    elif verb == "wait":
        row.wait = "Wait::" + value
    elif verb == "library":
        row.library = f"Library::{value}"
    elif verb == "absent":
        row.absent = f"Absent::{value}"
    elif verb == "idempotent":
        row.flags.append("idempotent")
    elif verb == "arity":
        row.arity = int(value)
    else:
        sys.exit(f"ring.txt: unknown section {verb}")


def nest(rows):
    top = []
    for name in sorted(rows):
        row = rows[name]
        container = name.partition("|")[0]
        if container != name:
            rows[container].subcommands.append(row)
        else:
            top.append(row)
    for row in rows.values():
        if row.kind is None:
            if row.keys:
                row.kind = "Class::Keys"
            elif row.name.endswith("|help"):
                row.kind = "Class::Any"
            elif row.subcommands:
                row.kind = "Class::Container"
            else:
                sys.exit(f"ring.txt: what does a ring do with {row.name}?")
    return top


def spec_rust(text):
    kind, access, begin, find = re.fullmatch(r"([RW])([-rw]?)([^:]+):(.+)", text).groups()
    access = {"-": "Any", "r": "Read", "w": "Write", "": "Both" if kind == "W" else "Read"}[access]
    if begin.isdigit():
        start = f"Begin::Index({begin})"
    elif begin.startswith("~"):
        start = f"Begin::Otherwise({begin[1:]})"
    elif begin.startswith("?"):
        start = f'Begin::Option("{begin[1:]}")'
    else:
        word, at = begin.split(">")
        start = f'Begin::Keyword {{ word: std::borrow::Cow::Borrowed("{word}"), from: {at} }}'
    if find.startswith("#"):
        which = "Find::Count {{ number: {}, first: {}, step: {} }}".format(*find[1:].split(","))
    else:
        which = "Find::Range {{ last: {}, step: {}, limit: {} }}".format(*find.split(","))
    return (
        f"KeySpec {{ begin: {start}, find: {which}, writes: {str(kind == 'W').lower()}, "
        f"access: Access::{access} }}"
    )


def rust():
    rows = facts()
    overlay(rows)
    top = nest(rows)
    shapes, options = {}, {}
    for row in rows.values():
        if row.keys:
            shapes.setdefault(tuple(row.keys), f"KEYS_{len(shapes)}")
        if row.options:
            options.setdefault(row.options, f"OPTIONS_{len(options)}")

    plain = ("Wait::Never", "Care::None", "Library::None")

    def expression(row):
        flags = [f"Flags::{flag.upper()}" for flag in row.flags] or ["Flags::NONE"]
        flags = flags[0] + "".join(f".and({flag})" for flag in flags[1:])
        keys = f"&{shapes[tuple(row.keys)]}" if row.keys else "&[]"
        extra = (row.wait, row.care, row.library)
        extra = "PLAIN" if extra == plain else f"({', '.join(extra)})"
        below = f"&{constant(row)}" if row.subcommands else "&[]"
        groups = [f"Categories::{group.upper()}" for group in row.groups]
        groups = f".about({groups[0]}{''.join(f'.and({group})' for group in groups[1:])})" if groups else ""
        walked = f".options(&{options[row.options]})" if row.options else ""
        absent = f".absent({row.absent})" if row.absent else ""
        built = f'row("{row.name}", {row.arity}, {flags}, {keys}, {row.kind}, {extra}, {below})'
        return f"{built}{groups}{walked}{absent},"

    def constant(row):
        return row.name.upper().replace("-", "_")

    out = [
        "// Written by scripts/commands/generate.py from the files in data/commands. Do not edit.",
        "",
        "use super::{Absent, Access, Anchor, Begin, Care, Categories, Class, Find, Flags, KeySpec, Library, LocalCommand, Response, Row,",
        "Subscription, Transaction, Wait, options::Options, row::{PLAIN, row}};",
        "",
        "/// Every command, in the order of its name.",
        f"pub(super) static ROWS: [Row; {len(top)}] = [",
        *(expression(row) for row in top),
        "];",
    ]
    for row in top:
        if row.subcommands:
            out += ["", f"static {constant(row)}: [Row; {len(row.subcommands)}] = ["]
            out += [*(expression(below) for below in row.subcommands), "];"]
    for shape, name in shapes.items():
        specs = ", ".join(map(spec_rust, shape))
        out += ["", f"static {name}: [KeySpec; {len(shape)}] = [{specs}];"]
    for (begin, *valued), name in options.items():
        valued = ", ".join(f'("{word}", {"Options::REST" if count == "*" else count})' for word, count in valued)
        out += ["", f"static {name}: Options = Options {{ from: {begin}, valued: &[{valued}] }};"]
    formatted = subprocess.run(
        ["rustfmt", "--edition", "2024", "--config-path", str(ROOT / "rustfmt.toml")],
        input="\n".join(out) + "\n", capture_output=True, text=True, check=True,
    )
    return formatted.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["read", "write", "check"])
    parser.add_argument("--port", type=int, default=6379)
    arguments = parser.parse_args()
    if arguments.verb == "read":
        read(arguments.port)
    elif arguments.verb == "write":
        TABLE.write_text(rust())
    elif TABLE.read_text() != rust():
        sys.exit(f"{TABLE.relative_to(ROOT)} is not what `generate.py write` writes")


if __name__ == "__main__":
    main()
