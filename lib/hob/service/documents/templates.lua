--- The job templates that AWS manages, and the documents they make. Facts: AWS IoT Core Developer
--- Guide, "Use AWS managed templates to deploy common remote operations".
--- Spec: spec/unit/service_templates_spec.lua
local answers = require("hob.service.control.answers")
local json_text = require("hob.service.json_text")

local M = {}

local VERSION = "1.0"

local RUN_AS = {
  key = "runAsUser", optional = true, regex = "(.){0,256}", example = "user1", max = 256,
  description = "The user that runs the handler; unset: the user of the device's agent.",
}
local HANDLER_PATH = {
  key = "pathToHandler", optional = true, regex = "(.){0,4096}", max = 4096,
  example = "/path/to/handler/script",
  description = "Where the handler is on the device; unset: where the agent looks for handlers.",
}

local function required(key, description, example)
  return { key = key, description = description, regex = "(.*?)", example = example,
    optional = false }
end

local PACKAGES = required("packages", "The packages, separated by blanks.", "tree curl")
local SERVICES = required("services", "The services, separated by blanks.", "httpd mosquitto")

local function placeholder(key)
  return json_text.encode("${aws:iot:parameter:" .. key .. "}")
end

--- The documents are written out, so that their members keep AWS's order.
local function document(action, kind, input)
  return ('{"version":"1.0","steps":[{"action":{"name":"%s","type":"%s","input":{%s},'
    .. '"runAsUser":%s}}]}'):format(action, kind, input, placeholder("runAsUser"))
end

local function handler_template(name, handler, description, parameters)
  local args = {}
  for i, parameter in ipairs(parameters) do
    args[i] = placeholder(parameter.key)
  end
  local list = args[1] and ('"args":[%s],'):format(table.concat(args, ",")) or ""
  local all = table.move(parameters, 1, #parameters, 1, {})
  table.move({ RUN_AS, HANDLER_PATH }, 1, 2, #all + 1, all)
  return {
    name = name, description = description, parameters = all,
    document = document(name:match("^AWS%-(.+)$"), "runHandler",
      ('"handler":"%s",%s"path":%s'):format(handler, list, placeholder("pathToHandler"))),
  }
end

local COMMAND = required("command",
  "The program and its arguments, separated by commas; a comma of its own is written \\,",
  "touch,/tmp/file")

local TEMPLATES = {
  handler_template("AWS-Download-File", "download-file.sh", "Download a file.", {
    required("downloadUrl", "Where the file is.", "https://example.com/file"),
    required("filePath", "Where the file is put on the device.", "/path/to/file"),
  }),
  handler_template("AWS-Install-Application", "install-packages.sh", "Install applications.",
    { PACKAGES }),
  handler_template("AWS-Reboot", "reboot.sh", "Restart the device.", {}),
  handler_template("AWS-Remove-Application", "remove-packages.sh", "Remove applications.",
    { PACKAGES }),
  handler_template("AWS-Restart-Application", "restart-services.sh", "Restart services.",
    { SERVICES }),
  {
    name = "AWS-Run-Command", description = "Run a command.", parameters = { COMMAND, RUN_AS },
    document = document("Run-Command", "runCommand", '"command":' .. placeholder("command")),
  },
  handler_template("AWS-Start-Application", "start-services.sh", "Start services.", { SERVICES }),
  handler_template("AWS-Stop-Application", "stop-services.sh", "Stop services.", { SERVICES }),
}

local BY_NAME = {}
for _, template in ipairs(TEMPLATES) do
  BY_NAME[template.name] = template
end

--- @param arn string  arn:aws:iot:REGION::jobtemplate/AWS-Reboot:1.0
--- @return table|nil template
function M.find(arn)
  local name, version = arn:match("^arn:[^:]+:iot:[^:]*:[^:]*:jobtemplate/([^:]+):?(.*)$")
  if not name or version ~= "" and version ~= VERSION then
    return nil
  end
  return BY_NAME[name]
end

--- Whether the parameters of a request are a template's, and fit it.
---@return boolean|nil ok
---@return string|nil message
function M.check_parameters(template, parameters)
  local known, names = {}, {}
  for i, parameter in ipairs(template.parameters) do
    known[parameter.key], names[i] = parameter, parameter.key
  end
  for key, value in pairs(parameters) do
    local parameter = known[key]
    if not parameter then
      return nil, ("documentParameters.%s: %s has no such parameter; it has %s"):format(key,
        template.name, table.concat(names, ", "))
    elseif parameter.max and utf8.len(value) > parameter.max then
      return nil, ("documentParameters.%s: at most %d characters are allowed"):format(key,
        parameter.max)
    end
  end
  return true
end

--- @return table<string, boolean>  the parameters that may be unset
function M.optional(template)
  local names = {}
  for _, parameter in ipairs(template.parameters) do
    names[parameter.key] = parameter.optional or nil
  end
  return names
end

local function summary(template, region)
  return {
    templateName = template.name, templateVersion = VERSION, description = template.description,
    templateArn = ("arn:aws:iot:%s::jobtemplate/%s:%s"):format(region, template.name, VERSION),
    environments = json_text.list{ "LINUX" },
  }
end

--- DescribeManagedJobTemplate.
---@param name string
---@param version string|nil
---@param region string
---@return table|nil members
---@return table|nil error
function M.describe(name, version, region)
  local template = BY_NAME[name]
  if not template or version and version ~= VERSION then
    return answers.fail("ResourceNotFoundException", "No template of AWS's is %s%s", name,
      version and ":" .. version or "")
  end
  local members, parameters = summary(template, region), {}
  for i, parameter in ipairs(template.parameters) do
    parameters[i] = {
      key = parameter.key, description = parameter.description, regex = parameter.regex,
      example = parameter.example, optional = parameter.optional,
    }
  end
  members.document = template.document
  members.documentParameters = json_text.list(parameters)
  return members
end

--- ListManagedJobTemplates.
---@param query table<string, string>  templateName, maxResults, nextToken
---@param region string
---@return table|nil members
---@return table|nil error
function M.page(query, region)
  return answers.page(TEMPLATES, query, {
    name = "managed-job-templates", member = "managedJobTemplates", kind = "string",
    key = function(template) return template.name end,
    view = function(template) return summary(template, region) end,
    keep = function(template)
      return not query.templateName or template.name == query.templateName
    end,
  })
end

return M
