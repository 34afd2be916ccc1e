// The owner of the fleet: AWS's control plane by @aws-sdk/client-iot, and the faults that only this
// service has.
"use strict";

const iot = require("@aws-sdk/client-iot");
const data = require("@aws-sdk/client-iot-jobs-data-plane");

const ACCOUNT = "123456789012";
const REGION = "us-east-1";

function settings(world) {
  return {
    endpoint: world.aws_url, region: REGION, maxAttempts: 1,
    credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "none" },
    requestHandler: { requestTimeout: 15000, connectionTimeout: 5000 },
  };
}

function thingArn(name) {
  return `arn:aws:iot:${REGION}:${ACCOUNT}:thing/${name}`;
}

class Owner {
  constructor(world) {
    this.world = world;
    this.iot = new iot.IoTClient(settings(world));
    this.data = new data.IoTJobsDataPlaneClient(settings(world));
  }

  /** Send a command by its name: await owner.send("CreateJob", { … }). */
  send(name, input) {
    return this.iot.send(new iot[name + "Command"](input));
  }

  sendData(name, input) {
    return this.data.send(new data[name + "Command"](input));
  }

  create(thing, jobId, document, more = {}) {
    return this.send("CreateJob", {
      jobId, targets: [thingArn(thing)], document: JSON.stringify(document), ...more,
    });
  }

  async fault(members) {
    const answer = await fetch(this.world.hob_url + "/hob/faults", {
      method: "POST", body: JSON.stringify(members), headers: { "content-type": "application/json" },
      signal: AbortSignal.timeout(10000),
    });
    if (!answer.ok) {
      throw new Error(`POST /hob/faults: HTTP ${answer.status} ${await answer.text()}`);
    }
  }
}

module.exports = { Owner, thingArn };
