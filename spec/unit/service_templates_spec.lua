-- The job templates that AWS manages.
local benches = require("spec.support.service_bench")
local json = require("hob.json")
local templates = require("hob.service.documents.templates")

local NAMES = {
  "AWS-Download-File", "AWS-Install-Application", "AWS-Reboot", "AWS-Remove-Application",
  "AWS-Restart-Application", "AWS-Run-Command", "AWS-Start-Application", "AWS-Stop-Application",
}

local function parameter(key)
  return "${aws:iot:parameter:" .. key .. "}"
end

-- Handler and args of each, by AWS's documentation.
local HANDLERS = {
  ["AWS-Download-File"] = { "download-file.sh", { "downloadUrl", "filePath" } },
  ["AWS-Install-Application"] = { "install-packages.sh", { "packages" } },
  ["AWS-Reboot"] = { "reboot.sh" },
  ["AWS-Remove-Application"] = { "remove-packages.sh", { "packages" } },
  ["AWS-Restart-Application"] = { "restart-services.sh", { "services" } },
  ["AWS-Start-Application"] = { "start-services.sh", { "services" } },
  ["AWS-Stop-Application"] = { "stop-services.sh", { "services" } },
}

describe("hob.service.documents.templates", function()
  it("lists all of them, page by page, or the versions of one", function()
    local names, token = {}, nil
    repeat
      local answer = assert(templates.page({ maxResults = "3", nextToken = token }, "eu-west-1"))
      for _, one in ipairs(answer.managedJobTemplates) do
        names[#names + 1] = one.templateName
        assert.equal("1.0", one.templateVersion)
        assert.same({ "LINUX" }, one.environments)
        assert.equal(("arn:aws:iot:eu-west-1::jobtemplate/%s:1.0"):format(one.templateName),
          one.templateArn)
      end
      token = answer.nextToken
    until not token
    assert.same(NAMES, names)
    local one = assert(templates.page({ templateName = "AWS-Reboot" }, "eu-west-1"))
    assert.equal("AWS-Reboot", one.managedJobTemplates[1].templateName)
    assert.equal(1, #one.managedJobTemplates)
    local _, why = templates.page({ maxResults = "0" }, "eu-west-1")
    assert.equal("InvalidRequestException", why.type)
  end)

  it("describes the documents as AWS documents them", function()
    for name, handler in pairs(HANDLERS) do
      local document = json.decode(templates.describe(name, nil, "eu-west-1").document)
      local args
      for i, key in ipairs(handler[2] or {}) do
        args = args or {}
        args[i] = parameter(key)
      end
      assert.same({ version = "1.0", steps = { { action = {
        name = name:gsub("^AWS%-", ""), type = "runHandler", runAsUser = parameter("runAsUser"),
        input = { handler = handler[1], args = args, path = parameter("pathToHandler") },
      } } } }, document)
    end
    assert.same({ version = "1.0", steps = { { action = {
      name = "Run-Command", type = "runCommand", runAsUser = parameter("runAsUser"),
      input = { command = parameter("command") },
    } } } }, json.decode(templates.describe("AWS-Run-Command", "1.0", "eu-west-1").document))
  end)

  it("describes each parameter in a document, and no other", function()
    for _, name in ipairs(NAMES) do
      local members = templates.describe(name, nil, "eu-west-1")
      local left = members.document
      for _, one in ipairs(members.documentParameters) do
        local first, last = left:find(parameter(one.key), 1, true)
        assert.is_truthy(first, name .. " " .. one.key)
        left = left:sub(1, first - 1) .. left:sub(last + 1)
        assert.equal("boolean", type(one.optional))
        assert.equal("stringstringstring", type(one.regex) .. type(one.example)
          .. type(one.description))
      end
      assert.is_nil(left:find("${aws", 1, true), name)
    end
  end)

  it("says that there is none of a name or a version", function()
    for _, case in ipairs{ { "AWS-Paint" }, { "AWS-Reboot", "2.0" } } do
      local _, why = templates.describe(case[1], case[2], "eu-west-1")
      assert.equal("ResourceNotFoundException", why.type)
      assert.is_truthy(why.message:find(case[1], 1, true))
    end
  end)

  it("makes a job of each", function()
    local bench = benches.new()
    for i, name in ipairs(NAMES) do
      local parameters
      for _, one in ipairs(templates.describe(name, nil, "eu-west-1").documentParameters) do
        parameters = parameters or {}
        parameters[one.key] = not one.optional and one.example or nil
      end
      bench:control("create_job", "j" .. i, { targets = { benches.arn("lamp") },
        documentParameters = parameters and next(parameters) and parameters or nil,
        jobTemplateArn = ("arn:aws:iot:x::jobtemplate/%s:1.0"):format(name) }, bench.now)
      local document = bench.engine:job_document("j" .. i).document
      assert.is_nil(document:find("${", 1, true), document)
    end
  end)
end)
