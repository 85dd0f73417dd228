#!/usr/bin/env python3
"""Seeds of the fuzzer from real packets: seeds.py CORPUS FUZZ_CORPUS (standard library only).

CORPUS is what RIDEGUARD_CORPUS names; FUZZ_CORPUS/<target>/<id> is written, bytes as on the wire. The seeds
stay out of the repository (their licences)."""
import json
import pathlib
import sys

LANGUAGES = {"jt808", "gt06", "h02", "teltonika", "owntracks", "osmand"}
corpus, target = pathlib.Path(sys.argv[1]) / "packets", pathlib.Path(sys.argv[2])


def write(folder, name, data):
    (target / folder).mkdir(parents=True, exist_ok=True)
    (target / folder / name).write_bytes(data)


for file in sorted(corpus.glob("*.jsonl")) + sorted(corpus.glob("external/*.jsonl")):
    for line in file.open():
        row = json.loads(line)
        if "stream" in row:
            write("frames", row["id"], bytes.fromhex(row["stream"]))
        elif row.get("payload") and row["protocol"] in LANGUAGES:
            text = row["payload"]
            data = bytes.fromhex(text) if row.get("encoding") == "hex" else text.encode()
            write(row["protocol"], row["id"], data)
            write("frames", row["id"], data)
            write("connected", row["id"], data)
for language, kinds in {"jt808_json": (512, 1796), "json": (1,)}.items():
    for kind in kinds:
        place = {"alarm": 1, "status": 3, "latitude": 28550000, "longitude": 112350000, "altitude": 41, "speed": 234,
                 "direction": 181, "time": "260615105725", "extra": {"gnss_sat_num": 12, "rssi": 31, "mileage": 100}}
        body = place if kind == 512 else {"type": 1, "length": 1, "location": [place]}
        message = {"header": {"msg_id": kind, "phone": "013800138000"}, "body": body}
        if language == "json":
            fix = {"t": 1790000000000, "lat": 28.55, "lon": 112.35, "alt": 41, "kmh": 23.4, "deg": 181, "sats": 11, "hdop": 0.9}
            message = {"v": 1, "id": "a", "seq": 42, "fixes": [fix], "status": {"battery": 87, "ignition": True}, "alarms": ["sos"]}
        write(language, f"made-{kind}", json.dumps(message).encode())
for topic in ("v1/7/yy000001/up", "v1/63/013800138000/up", "v1/1/gw/g1/up", "v1//up", "v1/64/a/up"):
    write("topics", topic.replace("/", "_"), topic.encode())
for name, data in {
    "hello-4": b"\x10\x16\0\4MQTT\4\xc2\0\x3c\0\2T1\0\2T1\0\2pw",
    "hello-5": b"\x10\x1c\0\4MQTT\5\xc2\0\x3c\5\x11\0\0\0\x3c\0\2T1\0\2T1\0\2pw",
    "words-4": b"\x32\x06\0\1a\0\1b\x40\2\0\5\x62\2\0\6\x82\6\0\7\0\1a\1\xa2\5\0\x08\0\1a\xc0\0\xe0\0",
    "words-5": b"\x32\x09\0\1a\0\1\2\1\1b\x40\4\0\5\0\0\x82\7\0\7\0\0\1a\1\xa2\6\0\x08\0\0\1a\xe0\2\0\0",
}.items():
    write("door_mqtt", name, data)
