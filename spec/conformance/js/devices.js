// IotJobsClient and IotJobsClientv2 over one kind of connection:
//     node devices.js WORLD.json 3.1.1|5 tcp|tls
"use strict";

const fs = require("node:fs");
const { codes } = require("./codes");
const { connect } = require("./connect");
const { DeviceV1, DeviceV2 } = require("./device");
const { events } = require("./events");
const { operations } = require("./operations");
const { Owner } = require("./owner");
const { check, run, section } = require("./report");

const SCENES = { operations, codes, events };

async function scene(world, version, transport, kind, name) {
  section(`${kind.words}, ${name}`);
  const thing = `${kind.short}-${version === "5" ? 5 : 3}-${transport}-${name}`;
  let link, device;
  await check("connect", async () => {
    link = await connect(world, version, transport, thing);
    device = new kind.make(link, thing);
  });
  if (!device) return;
  await SCENES[name](device, new Owner(world), kind.make === DeviceV1);
  device.close();
  await check("disconnect", () => link.close());
}

run(async () => {
  const [file, version, transport] = process.argv.slice(2);
  const world = JSON.parse(fs.readFileSync(file, "utf8"));
  for (const kind of [
    { words: "IotJobsClient", short: "v1", make: DeviceV1 },
    { words: "IotJobsClientv2", short: "v2", make: DeviceV2 },
  ]) {
    for (const name of Object.keys(SCENES)) {
      await scene(world, version, transport, kind, name);
    }
  }
});
