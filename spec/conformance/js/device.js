// A thing, by either of the SDK's two Jobs clients, behind one form:
//
//     const answer = await thing.ask("update", { jobId, status: "SUCCEEDED" });
//     answer.kind                 "accepted" or "rejected"
//     answer.body                 as the SDK gave it
//     thing.lists, thing.nexts    the events heard so far, in the order in which they came
"use strict";

const { randomUUID } = require("node:crypto");
const { mqtt } = require("aws-iot-device-sdk-v2");
const { within } = require("./report");

const QOS = mqtt.QoS.AtLeastOnce;
const ANSWER_MS = 10000;
const OPS = {
  get: "GetPendingJobExecutions", "start-next": "StartNextPendingJobExecution",
  describe: "DescribeJobExecution", update: "UpdateJobExecution",
};
const NAMES_A_JOB = { describe: true, update: true };

/** Lists that can be waited for. */
class Heard {
  constructor() {
    this.items = [];
    this.waiting = [];
  }

  push(item) {
    this.items.push(item);
    this.waiting = this.waiting.filter((wake) => !wake());
  }

  /** The one with that number, counted from 1. */
  reach(number, what) {
    return within(new Promise((resolve) => {
      const wake = () => this.items.length >= number && (resolve(this.items[number - 1]), true);
      if (!wake()) this.waiting.push(wake);
    }), ANSWER_MS, what);
  }
}

function topic(thing, op, jobId) {
  const names = { get: "get", "start-next": "start-next", describe: "get", update: "update" };
  return `$aws/things/${thing}/jobs/${NAMES_A_JOB[op] ? jobId + "/" : ""}${names[op]}`;
}

/** IotJobsClient: subscriptions for each topic, answers told apart by their clientToken. */
class DeviceV1 {
  constructor(link, name) {
    this.name = name;
    this.client = link.v1();
    this.subscribed = new Map();
    this.pending = new Map();
    this.tokenless = new Heard(); // answers without a token
    this.strays = []; // answers that nobody waits for
    this.lists = new Heard();
    this.nexts = new Heard();
  }

  hear(kind, error, body) {
    const answer = { kind, body, error };
    const resolve = body && this.pending.get(body.clientToken);
    if (resolve) {
      this.pending.delete(body.clientToken);
      resolve(answer);
    } else if (error || body.clientToken === undefined) {
      this.tokenless.push(answer);
    } else {
      this.strays.push(answer);
    }
  }

  /** Subscribe to both answers of an operation, once. */
  subscribe(op, jobId) {
    const request = NAMES_A_JOB[op] ? { thingName: this.name, jobId } : { thingName: this.name };
    const key = JSON.stringify([op, request]);
    if (!this.subscribed.has(key)) {
      this.subscribed.set(key, Promise.all(["Accepted", "Rejected"].map((kind) =>
        this.client[`subscribeTo${OPS[op]}${kind}`](request, QOS,
          (error, body) => this.hear(kind.toLowerCase(), error, body)))));
    }
    return within(this.subscribed.get(key), ANSWER_MS, `SUBACK of ${op}`);
  }

  async ask(op, request = {}) {
    await this.subscribe(op, request.jobId);
    const clientToken = randomUUID();
    const answer = new Promise((resolve) => this.pending.set(clientToken, resolve));
    await within(this.client[`publish${OPS[op]}`]({ thingName: this.name, clientToken, ...request },
      QOS), ANSWER_MS, `PUBACK of ${op}`);
    return within(answer, ANSWER_MS, `the answer to ${op}`);
  }

  /** Ask with a payload that the SDK would not make: the answer has no token. */
  async askBadly(op, jobId, payload) {
    await this.subscribe(op, jobId);
    const number = this.tokenless.items.length + 1;
    await this.client.mqttAdapter.publish(topic(this.name, op, jobId), payload, QOS);
    return this.tokenless.reach(number, `the answer to ${payload}`);
  }

  /** Ask on a topic that is none of the API's. */
  async askElsewhere(tail) {
    const where = `$aws/things/${this.name}/jobs/${tail}`;
    const heard = new Heard();
    await this.client.mqttAdapter.subscribe(`${where}/rejected`, QOS, (_, payload) =>
      heard.push({ kind: "rejected", body: JSON.parse(Buffer.from(payload).toString()) }));
    await this.client.mqttAdapter.publish(where, JSON.stringify({ clientToken: "elsewhere" }), QOS);
    return heard.reach(1, `the rejection of ${tail}`);
  }

  async listen() {
    const request = { thingName: this.name };
    const into = (heard) => (error, body) => heard.push(error || body);
    await within(Promise.all([
      this.client.subscribeToJobExecutionsChangedEvents(request, QOS, into(this.lists)),
      this.client.subscribeToNextJobExecutionChangedEvents(request, QOS, into(this.nexts)),
    ]), ANSWER_MS, "the SUBACKs of the events");
  }

  close() {}
}

/** IotJobsClientv2: it subscribes, makes the token and matches the answer by itself. */
class DeviceV2 {
  constructor(link, name) {
    this.name = name;
    this.link = link;
    this.client = link.v2();
    this.strays = [];
    this.streams = [];
    this.lists = new Heard();
    this.nexts = new Heard();
  }

  async ask(op, request = {}, client = this.client) {
    const method = OPS[op][0].toLowerCase() + OPS[op].slice(1);
    try {
      const body = await client[method]({ thingName: this.name, ...request });
      return { kind: "accepted", body };
    } catch (error) {
      if (!error.modeledError) throw error;
      return { kind: "rejected", body: error.modeledError };
    }
  }

  /** The client cannot match an answer without a token: it is heard beside it. */
  async askBadly(op, jobId, payload) {
    const beside = new DeviceV1(this.link, this.name);
    return beside.askBadly(op, jobId, payload);
  }

  /** The client's own machinery, turned to another topic. */
  async askElsewhere(tail) {
    const client = this.link.v2();
    const model = client.serviceModel.requestResponseOperations.get("getPendingJobExecutions");
    const where = `$aws/things/${this.name}/jobs/${tail}`;
    const paths = model.responsePathGenerator({ thingName: this.name });
    model.publishTopicGenerator = () => where;
    model.subscriptionGenerator = () => [`${where}/+`];
    model.responsePathGenerator = () => paths.map((path) =>
      ({ ...path, topic: `${where}/${path.topic.split("/").pop()}` }));
    try {
      return await this.ask("get", {}, client);
    } finally {
      client.close();
    }
  }

  async listen() {
    const config = { thingName: this.name };
    await Promise.all([
      [this.client.createJobExecutionsChangedStream(config), this.lists],
      [this.client.createNextJobExecutionChangedStream(config), this.nexts],
    ].map(([stream, heard]) => {
      this.streams.push(stream);
      stream.on("incomingPublish", (event) => heard.push(event.message));
      stream.on("incomingPublishError", (event) => heard.push(event.error));
      const open = new Promise((resolve) =>
        stream.on("subscriptionStatus", (event) => event.type === 0 && resolve()));
      stream.open();
      return within(open, ANSWER_MS, "a stream's subscription");
    }));
  }

  close() {
    this.streams.forEach((stream) => stream.close());
    this.client.close();
  }
}

module.exports = { DeviceV1, DeviceV2, topic };
