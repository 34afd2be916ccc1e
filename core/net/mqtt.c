#include "net/mqtt.h"
const char *hob_mqtt_library_version(char *out, size_t len) { out[0] = 0; return out; }
