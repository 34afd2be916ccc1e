typedef int hob_stub_mqtt_pump;
