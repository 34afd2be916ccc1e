// Connections of the AWS IoT Device SDK to the broker: MQTT 3.1.1 and MQTT 5, each in the clear and
// over mutual TLS.
"use strict";

const { io, iot, iotjobs, mqtt, mqtt5 } = require("aws-iot-device-sdk-v2");
const { within } = require("./report");

const SECONDS = 15;

const POOL = {
  maxRequestResponseSubscriptions: 8, maxStreamingSubscriptions: 4,
  operationTimeoutInSeconds: 10,
};

async function mqtt311(world, secure, id) {
  const config = secure
    ? iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(world.cert, world.key)
      .with_certificate_authority_from_path(undefined, world.ca)
      .with_endpoint("localhost").with_port(world.tls_port).with_client_id(id)
      .with_clean_session(true).build()
    : {
      host_name: "localhost", port: world.tcp_port, client_id: id, clean_session: true,
      use_websocket: false, socket_options: new io.SocketOptions(),
    };
  const connection = new mqtt.MqttClient().new_connection(config);
  await within(connection.connect(), SECONDS * 1000, "the MQTT 3.1.1 connection");
  return {
    v1: () => new iotjobs.IotJobsClient(connection),
    v2: (more) => iotjobs.IotJobsClientv2.newFromMqtt311(connection, { ...POOL, ...more }),
    close: () => connection.disconnect(),
  };
}

async function mqtt5Client(world, secure, id) {
  let config = {
    hostName: "localhost", port: world.tcp_port,
    connectProperties: { clientId: id, keepAliveIntervalSeconds: 60 },
  };
  if (secure) {
    config = iot.AwsIotMqtt5ClientConfigBuilder
      .newDirectMqttBuilderWithMtlsFromPath("localhost", world.cert, world.key)
      .withCertificateAuthorityFromPath(undefined, world.ca).withPort(world.tls_port)
      .withConnectProperties(config.connectProperties).build();
  }
  const client = new mqtt5.Mqtt5Client(config);
  const up = new Promise((resolve, reject) => {
    client.once("connectionSuccess", resolve);
    client.once("connectionFailure", (event) => reject(event.error));
  });
  client.start();
  await within(up, SECONDS * 1000, "the MQTT 5 connection");
  return {
    v1: () => iotjobs.IotJobsClient.newFromMqtt5Client(client),
    v2: (more) => iotjobs.IotJobsClientv2.newFromMqtt5(client, { ...POOL, ...more }),
    close: () => within(new Promise((resolve) => {
      client.once("stopped", resolve);
      client.stop();
    }), SECONDS * 1000, "the MQTT 5 client's stop").finally(() => client.close()),
  };
}

/** @param {"3.1.1"|"5"} version  @param {"tcp"|"tls"} transport */
function connect(world, version, transport, id) {
  return (version === "5" ? mqtt5Client : mqtt311)(world, transport === "tls", id);
}

module.exports = { connect };
