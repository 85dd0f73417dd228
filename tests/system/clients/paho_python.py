"""Eclipse Paho's Python client at the door. Steps, arguments and words: tests/system/door_clients.rs."""

import ssl
import sys
import time

import paho.mqtt.client as paho

step, version, port, ca, ident, password, up, other_up, down, other_down = sys.argv[1:11]
payloads = sys.stdin.read().splitlines()
is_5 = version == "5"
# From version 2 on the library asks which callbacks are meant.
first = [paho.CallbackAPIVersion.VERSION1] if hasattr(paho, "CallbackAPIVersion") else []
sent, acknowledged, connected, ended = {}, [], [], []


def say(*words):
    print(*words, flush=True)


def on_connect(client, _userdata, flags, reason, _properties=None):
    code = getattr(reason, "value", reason)
    connected.append(code)
    if code:
        say("refused", code)
    else:
        say("present", int(flags["session present"]))


def on_disconnect(_client, _userdata, reason, _properties=None):
    ended.append(reason)


def on_subscribe(_client, _userdata, _mid, granted, _properties=None):
    for qos in granted:
        say("granted", getattr(qos, "value", qos))


def on_message(_client, _userdata, message):
    say("heard", message.topic, message.payload.decode())


def on_publish(_client, _userdata, mid):
    acknowledged.append(mid)


def wait(is_there, seconds=30):
    until = time.time() + seconds
    while not is_there() and time.time() < until:
        time.sleep(0.02)


def publish(number, qos, topic=up):
    sent[number] = client.publish(topic, payloads[number], qos).mid


keeps = {} if is_5 else {"clean_session": step != "keep"}
client = paho.Client(*first, client_id="paho-python", protocol=paho.MQTTv5 if is_5 else paho.MQTTv311, **keeps)
client.username_pw_set(ident, "wrong" if step == "refused" else password)
client.tls_set(ca, tls_version=ssl.PROTOCOL_TLS_CLIENT)
client.reconnect_delay_set(1, 1)
client.on_connect, client.on_disconnect, client.on_subscribe = on_connect, on_disconnect, on_subscribe
client.on_message, client.on_publish = on_message, on_publish
arguments = {"keepalive": 5}
if is_5 and step == "keep":
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    arguments |= {"clean_start": False, "properties": properties}
client.connect("localhost", int(port), **arguments)
client.loop_start()
wait(lambda: connected)
if step == "talk":
    client.subscribe([(down, paho.SubscribeOptions(1)), (other_down, paho.SubscribeOptions(1))] if is_5 else [(down, 1), (other_down, 1)])
    for number in range(3):
        publish(number, number)
    wait(lambda: len(acknowledged) == 3)
    time.sleep(9)  # longer than 1.5 times the keep-alive
    publish(3, 1)
    wait(lambda: len(acknowledged) == 4)
    time.sleep(1.5)  # an answer may come a second late
elif step == "foreign":
    publish(0, 1, other_up)
    wait(lambda: ended, 10)
    if ended:
        say("ended")
elif step == "keep":
    for number in range(len(payloads)):
        publish(number, 1 + number % 2)
        time.sleep(0.1)
    wait(lambda: len(acknowledged) == len(payloads), 40)
client.disconnect()
client.loop_stop()
for number, mid in sent.items():
    if mid in acknowledged:
        say("acknowledged", number)
