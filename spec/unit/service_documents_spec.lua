-- Where job documents come from, and what their placeholders become.
local artifacts = require("hob.service.documents.artifacts")
local benches = require("spec.support.service_bench")
local fs = require("hob.fs")
local json = require("hob.json")
local packages = require("hob.service.documents.packages")
local placeholders = require("hob.service.documents.placeholders")

local ROLE = { roleArn = "arn:aws:iam::123456789012:role/download" }
local URL = "${aws:iot:s3-presigned-url:https://s3.eu-west-1.amazonaws.com/b/k.bin}"
local TEMPLATE = "arn:aws:iot:us-east-1::jobtemplate/AWS-Download-File:1.0"

local function text_of(value)
  return (assert(json.encode(value)))
end

describe("a job's document", function()
  local dir, bench

  before_each(function()
    dir = assert(fs.tempdir())
    for _, name in ipairs{ "documents/more", "artifacts/docs" } do
      assert(fs.mkdir(dir .. "/" .. name))
    end
    bench = benches.new()
    bench.engine.documents = {
      dir = dir .. "/documents",
      packages = assert(packages.new(text_of{ sampler = {
        ["$default"] = "2.1",
        ["2.1"] = { attributes = { signature = 'a"b', key = "k.bin" },
          artifact = { s3Location = { bucket = "b", key = "x y/k" } } },
        ["3"] = {} } })),
      artifacts = artifacts.new{ dir = dir .. "/artifacts", key = "secret",
        base = "http://127.0.0.1:1" },
    }
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function body(more)
    local request = { targets = { benches.arn("lamp") } }
    for name, value in pairs(more) do
      request[name] = value
    end
    return request
  end

  local function create(more)
    bench:control("create_job", "j", body(more), bench.now)
    return bench.engine:job_document("j").document
  end

  local function refused(more)
    local why = bench:refused("create_job", "j", body(more), bench.now)
    assert.is_nil(bench.engine.jobs.j)
    return why.type .. ": " .. why.message
  end

  local function refused_with(words, more)
    local message = refused(more)
    assert.is_truthy(message:find(words, 1, true), message)
  end

  describe("comes from", function()
    it("the request", function()
      assert.equal('{"a": [1]}', create{ document = '{"a": [1]}' })
    end)

    it("a file below --documents", function()
      local path = dir .. "/documents/more/x.json"
      assert(fs.write(path, '{"from":"file"}'))
      assert.equal('{"from":"file"}', create{ documentSource = "file://" .. path })
      assert.equal("file://" .. path, bench.engine:describe_job("j").documentSource)
    end)

    it("a bucket, by either form of S3's URLs, or by the service's own", function()
      assert(fs.write(dir .. "/artifacts/docs/x.json", '{"from":"bucket"}'))
      for _, source in ipairs{
        "https://s3.eu-west-1.amazonaws.com/docs/x.json", "https://s3.amazonaws.com/docs/x.json",
        "https://docs.s3.eu-west-1.amazonaws.com/x.json", "https://docs.s3.amazonaws.com/x.json",
        "http://127.0.0.1:1/hob/artifacts/docs/x.json",
      } do
        assert.equal('{"from":"bucket"}', create{ documentSource = source })
        bench:control("delete_job", "j", true, bench.now)
      end
    end)

    it("nowhere else", function()
      assert(fs.write(dir .. "/secret.json", "{}"))
      assert(fs.write(dir .. "/documents/list.json", "[]"))
      assert(fs.write(dir .. "/documents/large.json", '{"a":"' .. ("x"):rep(32768) .. '"}'))
      os.execute(("ln -s %s/secret.json %s/documents/link.json"):format(dir, dir))
      local head = "file://" .. dir
      refused_with("expected a file below", { documentSource = head .. "/secret.json" })
      refused_with("..", { documentSource = head .. "/documents/../secret.json" })
      refused_with("link.json: Permission denied",
        { documentSource = head .. "/documents/link.json" })
      refused_with("none.json: No such file", { documentSource = head .. "/documents/none.json" })
      refused_with("more", { documentSource = head .. "/documents/more" })
      refused_with("expected a JSON object", { documentSource = head .. "/documents/list.json" })
      refused_with("over 32768 bytes", { documentSource = head .. "/documents/large.json" })
      refused_with("expected https://s3.", { documentSource = "https://example.com/x.json" })
      refused_with("No such file",
        { documentSource = "https://s3.eu-west-1.amazonaws.com/docs/none.json" })
      refused_with("1350", { documentSource = ("x"):rep(1351) })
      bench.engine.documents = { packages = packages.new() }
      refused_with("without --documents DIR", { documentSource = head .. "/documents/x" })
      refused_with("without --artifacts DIR",
        { documentSource = "https://s3.eu-west-1.amazonaws.com/docs/x.json" })
    end)

    it("exactly one place", function()
      refused_with("one of document, documentSource and jobTemplateArn, got none", {})
      refused_with("got document and jobTemplateArn",
        { document = "{}", jobTemplateArn = TEMPLATE })
      refused_with("got document and documentSource",
        { document = "{}", documentSource = "file:///x" })
    end)
  end)

  describe("made by a template", function()
    it("has its parameters, escaped, and nothing for those that may be unset", function()
      local text = create{ jobTemplateArn = TEMPLATE, documentParameters = {
        downloadUrl = 'https://example.com/"},{"x', filePath = "/tmp/\\a" } }
      local input = json.decode(text).steps[1].action.input
      assert.same({ 'https://example.com/"},{"x', "/tmp/\\a" }, input.args)
      assert.equal("", input.path)
      assert.equal("", json.decode(text).steps[1].action.runAsUser)
    end)

    it("may get a URL's placeholder as a parameter", function()
      create{ jobTemplateArn = TEMPLATE, presignedUrlConfig = ROLE, documentParameters = {
        downloadUrl = URL, filePath = "/tmp/a" } }
      local told = bench:answer("lamp", "start-next").execution.jobDocument
      local url = told.steps[1].action.input.args[1]
      assert.is_truthy(url:find("^http://127.0.0.1:1/hob/artifacts/b/k"), url)
    end)

    it("needs what is required, and takes nothing else", function()
      refused_with("InvalidRequestException: documentParameters.filePath: required",
        { jobTemplateArn = TEMPLATE, documentParameters = { downloadUrl = "x" } })
      refused_with("documentParameters.downloadUrl: required", { jobTemplateArn = TEMPLATE,
        documentParameters = { filePath = "x" } })
      refused_with("documentParameters.colour: AWS-Download-File has no such parameter",
        { jobTemplateArn = TEMPLATE, documentParameters = { colour = "red" } })
      refused_with("runAsUser: at most 256", { jobTemplateArn = TEMPLATE,
        documentParameters = { downloadUrl = "x", filePath = "y", runAsUser = ("u"):rep(257) } })
      refused_with("ResourceNotFoundException: ",
        { jobTemplateArn = (TEMPLATE:gsub("File", "Fire")) })
      refused_with("at most 32768 bytes", { jobTemplateArn = TEMPLATE, documentParameters = {
        downloadUrl = ("x"):rep(20000), filePath = ("y"):rep(20000) } })
    end)
  end)

  describe("has placeholders that", function()
    it("are parameters, where documentParameters are given", function()
      assert.equal('{"a":"x-1-y","b":["1"]}', create{ documentParameters = { n = "1" },
        document = '{"a":"x-${aws:iot:parameter:n}-y","b":["${aws:iot:parameter:n}"]}' })
      bench:control("delete_job", "j", true, bench.now)
      refused_with("documentParameters.m: required", { documentParameters = { n = "1" },
        document = '{"a":"${aws:iot:parameter:m}"}' })
      local text = '{"a":"${aws:iot:parameter:n}"}'
      assert.equal(text, create{ document = text })
    end)

    it("are a package's attributes", function()
      local head = "${aws:iot:package:sampler:version:"
      assert.equal('{"a":"<a\\"b>","b":"k.bin","c":{"key":"k.bin","signature":"a\\"b"},"d":{}}',
        create{ document = ('{"a":"<%s2.1:attributes:signature}>","b":"%s$default:attributes:key}",'
          .. '"c":"%s2.1:attributes}","d":"%s3:attributes}"}'):format(head, head, head, head) })
    end)

    it("take the package from destinationPackageVersions where it is not named", function()
      local arn = "arn:aws:iot:us-east-1:123456789012:package/sampler/version/2.1"
      local text = '{"a":"${aws:iot:package::version::attributes:key}"}'
      assert.equal('{"a":"k.bin"}', create{ document = text, destinationPackageVersions = { arn } })
      bench:control("delete_job", "j", true, bench.now)
      refused_with("exactly one of destinationPackageVersions", { document = text })
      refused_with("exactly one of destinationPackageVersions", { document = text,
        destinationPackageVersions = { arn, arn } })
    end)

    it("are refused by name where the package does not have it", function()
      for reference, words in pairs{
        ["none:version:1:attributes:a"] = "there is no package none",
        ["sampler:version:9:attributes:a"] = "package sampler has no version 9",
        ["sampler:version:$null:attributes:a"] = "has no version $null",
        ["sampler:version:2.1:attributes:zz"] = "has no attributes:zz",
        ["sampler:version::attributes:a"] = "both names or neither",
        ["sampler:version:3:artifact:s3-presigned-url"] = "sampler version 3 has no artifact",
      } do
        local whole = "${aws:iot:package:" .. reference .. "}"
        local message = refused{ document = '{"a":"' .. whole .. '"}', presignedUrlConfig = ROLE }
        assert.is_truthy(message:find(whole, 1, true), message)
        assert.is_truthy(message:find(words, 1, true), message)
      end
      refused_with("must be a value by itself",
        { document = '{"a":"x${aws:iot:package:sampler:version:2.1:attributes}"}' })
    end)

    it("are URLs: another one each time, escaped, and none in GetJobDocument", function()
      local text = '{"f":"' .. URL .. '"}'
      assert.equal(text, create{ document = text, presignedUrlConfig = ROLE })
      local seen = {}
      local function note(document)
        local url = document.f
        assert.is_truthy(url:find("^http://127.0.0.1:1/hob/artifacts/b/k%.bin%?X%-Amz%-"), url)
        assert.is_nil(seen[url], url)
        seen[url] = true
      end
      note(bench:answer("lamp", "$next/get").execution.jobDocument)
      note(bench:answer("lamp", "j/get").execution.jobDocument)
      note(bench:answer("lamp", "start-next").execution.jobDocument)
      note(bench:answer("lamp", "start-next").execution.jobDocument)
      note(bench:answer("lamp", "j/update",
        { status = "IN_PROGRESS", includeJobDocument = true }).jobDocument)
      local said = benches.new()
      said.engine.documents = bench.engine.documents
      note(said:create("j", "lamp", { document = text, presignedUrlConfig = ROLE })[2]
        .body.execution.jobDocument)
    end)

    it("are URLs that end when presignedUrlConfig says so", function()
      create{ document = '{"f":"' .. URL .. '"}',
        presignedUrlConfig = { roleArn = ROLE.roleArn, expiresInSec = 90 } }
      local url = bench:answer("lamp", "$next/get").execution.jobDocument.f
      assert.equal(("%d"):format((bench.now + 90) * 1000), url:match("X%-Hob%-Until=(%d+)"))
      assert.equal("90", url:match("X%-Amz%-Expires=(%d+)"))
    end)

    it("are URLs in the second form, with an encoded key, a version, an attribute, an artifact",
      function()
        local head = "${aws:iot:s3-presigned-url-v2:https://b.s3.eu-west-1.amazonaws.com/"
        create{ presignedUrlConfig = ROLE, document = text_of{
          a = head .. "x%20y/%7Bk%7D%3FversionId%3D7}",
          b = head .. "${aws:iot:package:sampler:version:2.1:attributes:key}}",
          c = "${aws:iot:package:sampler:version:2.1:artifact:s3-presigned-url}",
        } }
        local told = bench:answer("lamp", "$next/get").execution.jobDocument
        assert.equal("/hob/artifacts/b/x%20y/%7Bk%7D", told.a:match("1(/hob[^?]*)"))
        assert.equal("/hob/artifacts/b/k.bin", told.b:match("1(/hob[^?]*)"))
        assert.equal("/hob/artifacts/b/x%20y/k", told.c:match("1(/hob[^?]*)"))
      end)

    it("are URLs only with a role, and only where artifacts are served", function()
      local document = '{"f":"' .. URL .. '"}'
      refused_with("presignedUrlConfig.roleArn: required", { document = document })
      refused_with("presignedUrlConfig.roleArn: required",
        { document = document, presignedUrlConfig = { expiresInSec = 60 } })
      bench.engine.documents.artifacts = nil
      refused_with("--artifacts DIR", { document = document, presignedUrlConfig = ROLE })
    end)

    it("stand in a value, end, are known, and are ten at most", function()
      for text, words in pairs{
        ['{"${aws:iot:parameter:a}":1}'] = "stands in a member's name",
        ['{"a":"${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/b/k"}'] = "it has no end",
        ['{"a":"${aws:iot:frob:x}"}'] = "${aws:iot:frob:x}: it is not known here",
        ['{"a":"${aws:iot:s3-presigned-url-upload:https://s3.x.amazonaws.com/b/k}"}'] =
          "it is not known here",
        ['{"a":"${aws:iot:s3-presigned-url:ftp://x}"}'] = "expected https://s3.",
        ['{"a":"${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/b/}"}'] =
          "expected https://s3.",
        ['{"a":"' .. ("${aws:iot:parameter:a}"):rep(11) .. '"}'] = "at most 10 placeholders",
      } do
        local message = refused{ document = text, presignedUrlConfig = ROLE }
        assert.is_truthy(message:find("InvalidRequestException: document: ", 1, true), message)
        assert.is_truthy(message:find(words, 1, true), message)
      end
      create{ document = '{"a":"' .. ("${aws:iot:parameter:a}"):rep(10) .. '"}' }
    end)

    it("do not reach over the end of their string", function()
      refused_with("it has no end", { documentParameters = { n = "1" },
        document = '{"a":"${aws:iot:parameter:n","b":"}"}' })
      refused_with("it has no end", { presignedUrlConfig = ROLE,
        document = '{"a":"' .. URL:sub(1, -2) .. '","b":"}"}' })
    end)

    it("cannot be brought in without end by a parameter", function()
      refused_with("at most 10 placeholders", { documentParameters = { a = URL:rep(11) },
        document = '{"a":"${aws:iot:parameter:a}"}', presignedUrlConfig = ROLE })
      refused_with("${aws:iot:parameter:a}: it is not known here", { document =
        '{"a":"${aws:iot:parameter:a}"}', documentParameters = { a = "${aws:iot:parameter:a}" } })
    end)
  end)

  it("is left alone where nothing was said of placeholders", function()
    bench.engine.documents = nil
    local text = '{"a":"${aws:iot:s3-presigned-url:x}"}'
    assert.equal(text, create{ document = text })
    assert.equal("${aws:iot:s3-presigned-url:x}",
      bench:answer("lamp", "$next/get").execution.jobDocument.a)
  end)
end)

describe("hob.service.documents.packages", function()
  it("names what is wrong in its file", function()
    for text, words in pairs{
      ["["] = "", ['{"a":1}'] = "a: expected", ['{"a":{"1":1}}'] = "a.1: expected",
      ['{"a":{"1":{"attributes":{"k":1}}}}'] = "a.1.attributes.k: expected a string",
      ['{"a":{"$default":"2"}}'] = "a.$default: expected the name of one of its versions",
      ['{"a":{"1":{"artifact":{"s3Location":{"bucket":"b"}}}}}'] = "a.1.artifact: expected",
    } do
      local found, message = packages.new(text)
      assert.is_nil(found)
      assert.is_truthy(message:find(words, 1, true), message)
    end
  end)
end)

describe("hob.service.documents.placeholders", function()
  it("puts in a URL as JSON text", function()
    local text = placeholders.hand_out('{"a":"' .. URL:gsub("k.bin", "k\\u0022.bin") .. '"}',
      function(bucket, key) return bucket .. "|" .. key end)
    assert.same({ a = 'b|k".bin' }, json.decode(text))
  end)
end)
