#!/usr/bin/env python3
"""Lists what a bundle holds: one JSON line per kind of block, and one per interface for packets.

Written from docs/bundle-format.md alone, as a check of that text. Needs the `zstandard` module (Debian:
python3-zstandard). Usage: bundle_reader.py BUNDLE
"""
import json
import struct
import sys

import zstandard

ZSTD_MAGIC = 0xFD2FB528
SECTION, INTERFACE, PACKET, OWN = 0x0A0D0D0A, 1, 6, 0x80484E44
KINDS = {1: "socket_data", 2: "socket_state", 4: "process_fork", 5: "process_exec", 6: "process_exit",
         7: "stack_sample", 0x100: "manifest", 0x101: "clock", 0x102: "processes", 0x103: "sockets",
         0x104: "interfaces", 0x105: "mappings", 0x106: "symbols", 0x107: "losses", 0x108: "cost", 0x109: "networks",
         0x10A: "index", 0x10B: "summary", 0x10C: "prologue", 0x10D: "counters"}
MANIFEST, INDEX, PROLOGUE = 0x100, 0x10A, 0x10C


def seek_table(data):
    """Compressed and content lengths of all frames, from the end of the file; None without a seek table."""
    if len(data) < 17 or data[-4:] != struct.pack("<I", 0x8F92EAB1):
        return None
    frames, descriptor = struct.unpack_from("<IB", data, len(data) - 9)
    size = 12 if descriptor & 0x80 else 8
    start = len(data) - 9 - frames * size
    if start < 8 or struct.unpack_from("<II", data, start - 8) != (0x184D2A5E, frames * size + 9):
        return None
    return [struct.unpack_from("<II", data, start + i * size) for i in range(frames)]


def contents(data):
    """Offset and content of every frame that can be read, by decompressing one after the other."""
    at = 0
    while at + 8 <= len(data):
        magic, length = struct.unpack_from("<II", data, at)
        if magic & 0xFFFFFFF0 == 0x184D2A50:
            at += 8 + length
            continue
        if magic != ZSTD_MAGIC:
            at = data.find(struct.pack("<I", ZSTD_MAGIC), at + 1)
            if at < 0:
                return
            continue
        frame = zstandard.ZstdDecompressor().decompressobj()
        content, end = b"", at
        try:
            while not frame.eof and end < len(data):
                content += frame.decompress(data[end:end + 131072])
                end += 131072
            end = min(end, len(data)) - len(frame.unused_data)
        except zstandard.ZstdError:
            # Damaged: nothing tells which part of it is right.
            content = b""
            end = data.find(struct.pack("<I", ZSTD_MAGIC), at + 1)
            end = len(data) if end < 0 else end
        if content:
            yield at, content
        at = end


def blocks(content):
    """Type and body of every whole pcapng block."""
    at = 0
    while at + 12 <= len(content):
        kind, length = struct.unpack_from("<II", content, at)
        if length < 12 or at + length > len(content):
            return
        yield kind, content[at + 8:at + length - 4]
        at += length


def interface_name(body):
    """if_name, option 2."""
    at = 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from("<HH", body, at)
        if code == 0:
            break
        if code == 2:
            return body[at + 4:at + 4 + length].decode("utf-8", "replace")
        at += 4 + (length + 3) // 4 * 4
    return ""


class Tally:
    """Blocks, records and times of one kind."""

    def __init__(self):
        self.blocks = self.count = self.lost = 0
        self.first = self.last = None

    def add(self, count, lost, first, last):
        self.blocks += 1
        self.count += count
        self.lost += lost
        if first:
            self.first = first if self.first is None else min(self.first, first)
            self.last = last if self.last is None else max(self.last, last)

    def line(self, **names):
        return json.dumps({**names, "count": self.count, "first_ts": self.first, "last_ts": self.last,
                           "blocks": self.blocks, "lost": self.lost})


def main(path):
    with open(path, "rb") as file:
        data = file.read()
    kinds, packets, per_interface = {}, Tally(), {}
    interfaces, offset, frames, index = [], 0, 0, None
    for place, content in contents(data):
        frames += 1
        for kind, body in blocks(content):
            if kind == INTERFACE:
                interfaces.append(interface_name(body))
            elif kind == PACKET:
                number, high, low = struct.unpack_from("<III", body)
                ts = high << 32 | low
                packets.add(1, 0, ts, ts)
                per_interface.setdefault(number, Tally()).add(1, 0, ts, ts)
            elif kind == OWN and body[:4] == b"HSB1":
                own, _cpu, count, length, _zero, first, last, lost = struct.unpack_from("<HIIIIQQQ", body, 6)
                payload = body[48:48 + length]
                if own == PROLOGUE:
                    _number, known, offset, _recording = struct.unpack_from("<IIqQ", payload)
                    for i, (_, copy) in enumerate(blocks(payload[24:])):
                        if i >= len(interfaces):
                            interfaces.append(interface_name(copy))
                    continue
                if own == MANIFEST and MANIFEST in kinds:
                    continue
                if own == INDEX:
                    index = json.loads(payload)
                if first:
                    first, last = first + offset, last + offset
                kinds.setdefault(own, Tally()).add(count, lost, first, last)
    table = seek_table(data)
    # The index names all frames but its own.
    whole = index is not None and table is not None and frames == len(index["frames"]) + 1
    print(json.dumps({"frames": frames, "bytes": len(data), "whole": whole, "indexed_frames":
                      len(index["frames"]) if index else None}))
    if packets.count:
        print(packets.line(kind="packet"))
    for number, tally in sorted(per_interface.items()):
        name = interfaces[number] if number < len(interfaces) else ""
        print(tally.line(kind="packet", interface=number, name=name))
    for own, tally in sorted(kinds.items()):
        print(tally.line(kind=KINDS.get(own, f"unknown-{own:#x}")))
    return 0 if whole else 2


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: bundle_reader.py BUNDLE")
    sys.exit(main(sys.argv[1]))
