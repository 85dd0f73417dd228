// MQTT.js at the door. Steps, arguments and words: tests/system/door_clients.rs.
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import mqtt from "mqtt";

const [step, version, port, ca, ident, password, up, otherUp, down, otherDown] = process.argv.slice(2);
const payloads = readFileSync(0, "utf8").split("\n").filter(Boolean);
const say = (...words) => console.log(...words);
const acknowledged = new Set();
let connected = 0;
let refused = false;
let ended = false;

const wait = async (isThere, seconds = 30) => {
  const until = Date.now() + seconds * 1000;
  while (!isThere() && Date.now() < until) await pause(20);
};

const client = mqtt.connect({
  host: "localhost",
  port: Number(port),
  protocol: "mqtts",
  ca: readFileSync(ca),
  protocolVersion: Number(version),
  clientId: "mqtt-js",
  username: ident,
  password: step === "refused" ? "wrong" : password,
  keepalive: 5,
  clean: step !== "keep",
  reconnectPeriod: step === "keep" ? 500 : 0,
  properties: version === "5" && step === "keep" ? { sessionExpiryInterval: 600 } : undefined,
});
client.on("connect", (packet) => {
  connected += 1;
  say("present", Number(packet.sessionPresent));
});
client.on("error", (error) => {
  if (error.code && typeof error.code === "number") {
    refused = true;
    say("refused", error.code);
  }
});
client.on("close", () => (ended = true));
client.on("message", (topic, payload) => say("heard", topic, payload.toString()));
client.on("packetreceive", (packet) => {
  if (packet.cmd === "suback") for (const code of packet.granted) say("granted", code);
});
const publish = (number, qos, topic = up) =>
  client.publish(topic, payloads[number], { qos }, (error) => {
    if (error) return;
    acknowledged.add(number);
    say("acknowledged", number);
  });

await wait(() => connected || refused);
if (step === "talk") {
  client.subscribe([down, otherDown], { qos: 1 }, () => {});
  for (const number of [0, 1, 2]) publish(number, number);
  await wait(() => acknowledged.size === 3);
  await pause(9000); // longer than 1.5 times the keep-alive
  publish(3, 1);
  await wait(() => acknowledged.size === 4);
  await pause(1500); // an answer may come a second late
} else if (step === "foreign") {
  publish(0, 1, otherUp);
  await wait(() => ended, 10);
  if (ended) say("ended");
} else if (step === "keep") {
  for (const number of payloads.keys()) {
    publish(number, 1 + (number % 2));
    await pause(100);
  }
  await wait(() => acknowledged.size === payloads.length, 40);
}
client.end(step !== "talk");
await pause(300);
process.exit(0);
