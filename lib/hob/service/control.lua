--- What the owner of the fleet asks of the service: AWS IoT's control plane, as functions of the
--- engine. Each returns its answer's members and the messages that are to be published, or nil and
--- an error {type, status, message} in AWS's words (see hob.service.control.answers).
--- Spec: spec/unit/service_control_spec.lua
local answers = require("hob.service.control.answers")
require("hob.service.engine.adopt")
require("hob.service.control.executions")
require("hob.service.control.groups")
require("hob.service.control.jobs")
require("hob.service.control.settings")
require("hob.service.control.things")

return { fail = answers.fail }
