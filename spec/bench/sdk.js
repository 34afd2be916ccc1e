// The AWS IoT Device SDK v2 for JavaScript as a peer of `./dev bench`: the same messages as the
// floor's (floor.c), by the SDK's v1 or v2 Jobs client. It keeps nothing and has no handlers.
//
//     NODE_PATH=MODULES node sdk.js WORLD THING ops|jobs v1|v2 tcp|tls
//
// WORLD is JSON: { tcp_port, tls_port, ca, cert, key }. In the mode `ops` it asks for the next job at
// once, in the mode `jobs` when the service says that there is one.
//
// By MQTT 3.1.1, with which the SDK is faster: over MQTT 5 its v1 client cannot subscribe to the
// updates of all jobs at once, and its v2 client took 60 ms more for a job over TLS.
"use strict";

const { iotjobs, mqtt } = require("aws-iot-device-sdk-v2");
const { connect } = require("../conformance/js/connect");

const { JobStatus } = iotjobs.model;
const QOS = mqtt.QoS.AtLeastOnce;

function die(error) {
  process.stderr.write(`sdk.js: ${(error && error.stack) || error}\n`);
  process.exit(1);
}

/** What both modes have in common: one job at a time, and none is forgotten. */
class Agent {
  constructor(thing, mode) {
    this.thing = thing;
    this.mode = mode;
    this.busy = false;
    this.again = false;
    this.token = 0;
  }

  ask() {
    this.busy = true;
    this.again = false;
    this.startNext();
  }

  answered(execution) {
    if (execution && execution.jobId) {
      this.update(execution.jobId, execution.versionNumber);
    } else {
      this.over();
    }
  }

  over() {
    this.busy = false;
    if (this.again) this.ask();
  }

  updated() {
    this.again = this.again || this.mode === "ops";
    this.over();
  }

  heard(event) {
    if (this.mode !== "jobs" || !(event.execution && event.execution.jobId)) return;
    if (this.busy) this.again = true;
    else this.ask();
  }
}

/** IotJobsClient; one subscription for the answers to all updates, as in AWS's samples. */
class AgentV1 extends Agent {
  async start(link) {
    const client = this.client = link.v1();
    const all = { thingName: this.thing, jobId: "+" };
    const accepted = (fn) => (error, body) => error ? die(error) : fn(body);
    const rejected = (error, body) => die(error || JSON.stringify(body));
    await client.subscribeToNextJobExecutionChangedEvents(all, QOS,
      accepted((event) => this.heard(event)));
    await client.subscribeToStartNextPendingJobExecutionAccepted(all, mqtt.QoS.AtMostOnce,
      accepted((answer) => this.answered(answer.execution)));
    await client.subscribeToStartNextPendingJobExecutionRejected(all, mqtt.QoS.AtMostOnce,
      rejected);
    await client.subscribeToUpdateJobExecutionAccepted(all, mqtt.QoS.AtMostOnce,
      accepted(() => this.updated()));
    await client.subscribeToUpdateJobExecutionRejected(all, mqtt.QoS.AtMostOnce, rejected);
  }

  clientToken() {
    return `sdk-${this.token++}`;
  }

  startNext() {
    this.client.publishStartNextPendingJobExecution(
      { thingName: this.thing, clientToken: this.clientToken() }, QOS).catch(die);
  }

  update(jobId, expectedVersion) {
    this.client.publishUpdateJobExecution({ thingName: this.thing, jobId, expectedVersion,
      status: JobStatus.SUCCEEDED, clientToken: this.clientToken() }, QOS).catch(die);
  }
}

/** IotJobsClientv2: it subscribes and matches answers by itself. */
class AgentV2 extends Agent {
  async start(link) {
    this.client = link.v2();
    if (this.mode !== "jobs") return;
    this.stream = this.client.createNextJobExecutionChangedStream({ thingName: this.thing });
    this.stream.on("incomingPublish", (event) => this.heard(event.message));
    await new Promise((resolve) => {
      this.stream.on("subscriptionStatus", (event) => event.type === 0 && resolve());
      this.stream.open();
    });
  }

  startNext() {
    this.client.startNextPendingJobExecution({ thingName: this.thing })
      .then((answer) => this.answered(answer.execution)).catch(die);
  }

  update(jobId, expectedVersion) {
    this.client.updateJobExecution({ thingName: this.thing, jobId, expectedVersion,
      status: JobStatus.SUCCEEDED }).then(() => this.updated()).catch(die);
  }
}

async function main() {
  const [world, thing, mode, client, transport] = process.argv.slice(2);
  const agent = new (client === "v1" ? AgentV1 : AgentV2)(thing, mode);
  await agent.start(await connect(JSON.parse(world), "3.1.1", transport, thing));
  agent.ask();
}

process.on("unhandledRejection", die);
main().catch(die);
