--- Job documents: where one comes from when a job is created, and how it goes out to a device.
--- Spec: spec/unit/service_documents_spec.lua
local httpd = require("hob.httpd")
local json_text = require("hob.service.json_text")
local packages = require("hob.service.documents.packages")
local placeholders = require("hob.service.documents.placeholders")
local rules = require("hob.service.rules")
local templates = require("hob.service.documents.templates")

local M = {}

local SOURCE_MAX = 1350
local EXPIRES = 3600

--- What `engine.documents` is; without it placeholders stay as they are.
---@class hob.service.documents
---@field dir string?        where documentSource may take file:// from
---@field artifacts table?   see hob.service.documents.artifacts
---@field packages table?    see hob.service.documents.packages

local function from_file(context, source)
  local path = source:match("^file://(/.*)$")
  if not path then
    return nil, "documentSource: expected file:///PATH, got " .. source
  elseif not context.dir then
    return nil, "documentSource: the service was started without --documents DIR"
  end
  local root = context.dir:gsub("/*$", "/")
  if path:sub(1, #root) ~= root then
    return nil, ("documentSource: expected a file below %s, got %s"):format(root, path)
  end
  local file, message = httpd.open(root, path:sub(#root + 1))
  if not file then
    return nil, "documentSource: " .. message
  end
  local text, why = file:read(rules.DOCUMENT_BYTES + 1)
  file:close()
  return text, why and "documentSource: " .. why
end

local function from_bucket(context, source)
  local artifacts, bucket, key = context.artifacts, nil, nil
  if artifacts then
    bucket, key = artifacts:own_location(source)
  end
  if not bucket then
    bucket, key = placeholders.s3_location(source)
  end
  if not bucket then
    return nil, "documentSource: " .. key
  elseif not artifacts then
    return nil, "documentSource: the service was started without --artifacts DIR"
  end
  local text, message = artifacts:read(bucket, key, rules.DOCUMENT_BYTES + 1)
  return text, message and "documentSource: " .. message
end

--- @return string|nil text, string|nil message
local function from_source(context, source)
  if type(source) ~= "string" or #source < 1 or #source > SOURCE_MAX then
    return nil, ("documentSource: expected a URL of 1-%d characters"):format(SOURCE_MAX)
  elseif source:find("^file:") then
    return from_file(context, source)
  end
  return from_bucket(context, source)
end

--- @return table|nil parameters  nil without a message: not given
--- @return string|nil message
local function parameters_of(body)
  local given = rules.present(body.documentParameters)
  if given ~= nil and type(given) ~= "table" then
    return nil, "documentParameters: expected an object"
  end
  for key, value in pairs(given or {}) do
    if type(value) ~= "string" or not utf8.len(value) then
      return nil, ("documentParameters.%s: expected a string"):format(tostring(key))
    end
  end
  return given
end

--- A template's document, and what may be put into it.
--- @return string|nil text
--- @return string|nil message
--- @return table|string|nil template_or_kind
local function from_template(arn, parameters)
  if type(arn) ~= "string" then
    return nil, "jobTemplateArn: expected a string"
  end
  local template = templates.find(arn)
  if not template then
    return nil, ("jobTemplateArn: no template of AWS's is %s"):format(rules.cut(arn, 200)),
      "ResourceNotFoundException"
  end
  local ok, message = templates.check_parameters(template, parameters)
  if not ok then
    return nil, message
  end
  return template.document, nil, template
end

local function one_source(body)
  local given = {}
  for _, name in ipairs{ "document", "documentSource", "jobTemplateArn" } do
    if rules.present(body[name]) ~= nil then
      given[#given + 1] = name
    end
  end
  if #given ~= 1 then
    return nil, ("expected one of document, documentSource and jobTemplateArn, got %s"):format(
      given[1] and table.concat(given, " and ") or "none of them")
  end
  return given[1]
end

--- The text as it was given, before anything is replaced.
local function find_text(context, body, parameters)
  local name, message = one_source(body)
  if not name then
    return nil, message
  elseif name == "jobTemplateArn" then
    return from_template(body.jobTemplateArn, parameters or {})
  end
  local text = body.document
  if name == "documentSource" then
    text, message = from_source(context, body.documentSource)
    if not text then
      return nil, message
    elseif #text > rules.DOCUMENT_BYTES then
      return nil, ("documentSource: the document is over %d bytes"):format(rules.DOCUMENT_BYTES)
    end
  end
  return rules.document(text)
end

--- Replace what is known now.
local function fill(context, text, body, parameters, template)
  local catalogue = context.packages or packages.new()
  local filled, message = placeholders.create(text, {
    parameters = parameters or template and {} or nil,
    optional = template and templates.optional(template),
    package = function(reference)
      return catalogue:value(reference, rules.present(body.destinationPackageVersions))
    end,
  })
  if filled and #filled > rules.DOCUMENT_BYTES then
    return nil, ("document: at most %d bytes are allowed, got %d with its placeholders replaced")
      :format(rules.DOCUMENT_BYTES, #filled)
  end
  return filled, message
end

local function check_urls(context, text, body)
  local config = rules.present(body.presignedUrlConfig)
  if not placeholders.has_urls(text) then
    return true
  elseif not context.artifacts then
    return nil, "document: ${aws:iot:s3-presigned-url...} needs a service that was started with "
      .. "--artifacts DIR"
  elseif type(config) ~= "table" or rules.present(config.roleArn) == nil then
    return nil, "presignedUrlConfig.roleArn: required, since the document holds "
      .. "${aws:iot:s3-presigned-url...}"
  end
  return true
end

--- The document of a CreateJob request.
---@param body table      the request, decoded; hob.service.control.job_request has checked
--- presignedUrlConfig and documentParameters
---@param engine table    its `documents` says what there is
---@return string|nil text
---@return string|nil message  what is wrong with the request
---@return table|string|nil    what the job is to keep beside its document; beside a message: the
--- error's type, unless it is InvalidRequestException
function M.from_request(body, engine)
  local context = engine and engine.documents
  local parameters, message = parameters_of(body)
  if message then
    return nil, message
  end
  local text, why, template = find_text(context or {}, body, parameters)
  if not text then
    return nil, why, template
  end
  if context or template then
    text, message = fill(context or {}, text, body, parameters, template)
    if not text then
      return nil, message
    end
  end
  local ok = true
  if context then
    ok, message = check_urls(context, text, body)
  end
  if not ok then
    return nil, message
  end
  return text, nil, {
    document_source = rules.present(body.documentSource),
    template_arn = rules.present(body.jobTemplateArn),
    artifacts = context and placeholders.has_urls(text) and context.artifacts or nil,
  }
end

--- What a job that was stored needs again.
---@param job table
---@param engine table
function M.adopt(job, engine)
  local context = engine.documents
  job.artifacts = context and placeholders.has_urls(job.document) and context.artifacts or nil
end

--- The text of a document as a device gets it. URLs are put in anew each time.
---@param execution table
---@param now number
---@return string
function M.text_for(execution, now)
  local job = execution.job
  local artifacts = job.artifacts
  if not artifacts then
    return job.document
  end
  local expires = job.presigned and job.presigned.expiresInSec or EXPIRES
  return placeholders.hand_out(job.document, function(bucket, key)
    return artifacts:url_of(bucket, key, expires, now)
  end)
end

--- The same, for `json_text.encode`.
---@param execution table
---@param now number
---@return table
function M.hand_out(execution, now)
  return json_text.raw(M.text_for(execution, now))
end

return M
