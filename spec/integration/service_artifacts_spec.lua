-- The files that the service hands to devices: URLs, ranges, errors, and what no URL leads to.
local brokers = require("spec.support.broker")
local exec = require("hob.exec")
local exec_user = require("spec.support.exec_user")
local fs = require("hob.fs")
local json = require("hob.json")
local ltn12 = require("ltn12")
local services = require("spec.support.jobs_service")
local socket = require("socket")
local socket_http = require("socket.http")
local wait_until = require("spec.support.wait").wait_until

local SECONDS = 30
local ROLE = { roleArn = "arn:aws:iam::123456789012:role/x" }

describe("hob service --artifacts", function()
  local broker, dir, service, count

  setup(function()
    broker = brokers.start()
    dir = assert(fs.tempdir())
    assert(fs.mkdir(dir .. "/files/b/deep er"))
    assert(fs.write(dir .. "/files/b/k.bin", "0123456789"))
    assert(fs.write(dir .. "/files/b/empty", ""))
    assert(fs.write(dir .. "/files/b/deep er/k+1.bin", "deep"))
    assert(fs.write(dir .. "/secret", "secret"))
    os.execute(("ln -s %s/secret %s/files/b/link; ln -s %s %s/files/out; mkfifo %s/files/b/pipe")
      :format(dir, dir, dir, dir, dir))
    service = services.start{ broker = broker, flags = { "--artifacts", dir .. "/files",
      "--minute-ms", "1000" } }
    count = 0
  end)

  teardown(function()
    service:stop()
    broker:stop()
    fs.remove(dir, { recursive = true })
  end)

  --- A fresh URL of a file; the job and its device.
  local function url_of(key, config)
    count = count + 1
    local job, thing = "j" .. count, "t" .. count
    service:create(job, thing, { presignedUrlConfig = config or ROLE,
      document = '{"f":"${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/' .. key .. '}"}' })
    local peer = service:peer(thing)
    return peer:ask("$next/get", "{}").execution.jobDocument.f, peer
  end

  --- A client that is not ours.
  local function get(url, headers, method)
    local chunks = {}
    local _, status, answer = socket_http.request{ url = url, headers = headers, method = method,
      sink = ltn12.sink.table(chunks) }
    return { status = status, headers = answer, body = table.concat(chunks) }
  end

  local function code_of(answer)
    assert.equal("application/xml", answer.headers["content-type"])
    return answer.body:match('^<%?xml version="1.0" encoding="UTF%-8"%?>\n<Error><Code>(%w+)</Code>'
      .. "<Message>[^<]*</Message><Resource>[^<]*</Resource><RequestId>%x+</RequestId></Error>$")
  end

  it("gives a file by its URL", function()
    local answer = get((url_of("b/k.bin")))
    assert.equal(200, answer.status)
    assert.equal("0123456789", answer.body)
    assert.equal("10", answer.headers["content-length"])
    assert.equal("bytes", answer.headers["accept-ranges"])
    assert.is_truthy(answer.headers.etag:find('^"%x+-%x+"$'))
    assert.equal("deep", get((url_of("b/deep er/k+1.bin"))).body)
    local empty = get((url_of("b/empty")))
    assert.equal("200 0", empty.status .. " " .. empty.headers["content-length"])
  end)

  it("gives parts of it", function()
    local url = url_of("b/k.bin")
    for range, expected in pairs{
      ["bytes=2-4"] = { "234", "bytes 2-4/10" }, ["bytes=8-"] = { "89", "bytes 8-9/10" },
      ["bytes=-3"] = { "789", "bytes 7-9/10" }, ["bytes=0-"] = { "0123456789", "bytes 0-9/10" },
      ["bytes=5-99"] = { "56789", "bytes 5-9/10" },
      ["bytes=-99"] = { "0123456789", "bytes 0-9/10" },
    } do
      local answer = get(url, { Range = range })
      assert.equal("206 " .. expected[1], answer.status .. " " .. answer.body)
      assert.equal(expected[2], answer.headers["content-range"])
    end
    for _, range in ipairs{ "bytes=10-", "bytes=5-4", "bytes=-0" } do
      local answer = get(url, { Range = range })
      assert.equal("416 InvalidRange", answer.status .. " " .. code_of(answer))
      assert.equal("bytes */10", answer.headers["content-range"])
    end
    for _, range in ipairs{ "bytes=0-1,4-5", "lines=1-2", "bytes=x" } do
      assert.equal(200, get(url, { Range = range }).status)
    end
    local tag = get(url).headers.etag
    assert.equal(206, get(url, { Range = "bytes=1-", ["If-Range"] = tag }).status)
    assert.equal(200, get(url, { Range = "bytes=1-", ["If-Range"] = '"other"' }).status)
  end)

  it("gives nothing without a signature, with a wrong one, or by another method", function()
    local url = url_of("b/k.bin")
    local other = url_of("b/empty")
    for given, code in pairs{
      [url:match("^[^?]+")] = "AccessDenied",
      [url:gsub("Signature=%x", "Signature=g")] = "SignatureDoesNotMatch",
      [url:gsub("b/k.bin", "b/empty")] = "SignatureDoesNotMatch",
      [url:gsub("Until=%d", "Until=9")] = "SignatureDoesNotMatch",
      [url:gsub("Until=%d+", "Until=x")] = "SignatureDoesNotMatch",
      [url:match("^[^?]+") .. other:match("%?.*$")] = "SignatureDoesNotMatch",
      [url:gsub("Nonce=%x+", "Nonce=")] = "SignatureDoesNotMatch",
    } do
      local answer = get(given)
      assert.equal("403 " .. code, answer.status .. " " .. tostring(code_of(answer)), given)
    end
    assert.equal(403, get(url, nil, "HEAD").status)
    assert.equal("SignatureDoesNotMatch", code_of(get(url, { ["Content-Length"] = "0" }, "PUT")))
  end)

  it("gives nothing that is not there", function()
    for _, key in ipairs{ "b/none", "none/k", "b/deep er", "b/k.bin/x", ("x"):rep(300) .. "/k" } do
      local answer = get((url_of(key)))
      assert.equal("404 NoSuchKey", answer.status .. " " .. code_of(answer), key)
    end
  end)

  it("gives nothing from outside its directory, whatever the name is", function()
    for _, key in ipairs{ "b/../../secret", "../secret", "b/link", "out/secret", "b//k.bin",
      "b/./k.bin", "b/pipe", "./b/k.bin" } do
      local answer = get((url_of(key)))
      assert.is_true(answer.status == 403 or answer.status == 404, key .. " " .. answer.status)
      assert.is_nil(answer.body:find("^secret"))
    end
    local host, port = service.url:match("//(.+):(%d+)$")
    for _, path in ipairs{ "/hob/artifacts/../secret", "/hob/artifacts/b/%00", "/hob/artifacts/",
      "/hob/artifacts/b/%2e%2e/%2e%2e/secret", "/hob/artifacts/\255\254/%ff" } do
      local client = assert(socket.connect(host, tonumber(port)))
      client:settimeout(SECONDS)
      client:send(("GET %s?X-Hob-Until=99999999999999&X-Amz-Signature=0 HTTP/1.1\r\nHost: x\r\n"
        .. "Connection: close\r\n\r\n"):format(path))
      local answer = client:receive("*a")
      client:close()
      assert.is_truthy(answer:find("^HTTP/1.1 40[034]"), answer)
    end
  end)

  it("gives URLs that end, scaled as minutes are; a device asks for a new one", function()
    local url, peer = url_of("b/k.bin", { roleArn = ROLE.roleArn, expiresInSec = 60 })
    local expired = wait_until(function()
      local answer = get(url)
      return answer.status ~= 200 and answer
    end, SECONDS, "the URL's end")
    assert.equal("403 AccessDenied", expired.status .. " " .. code_of(expired))
    assert.is_truthy(expired.body:find("Request has expired", 1, true))
    local fresh = peer:ask("$next/get", "{}").execution.jobDocument.f
    assert.equal("0123456789", get(fresh).body)
  end)

  it("serves the handler download-file on a gateway", function()
    count = count + 1
    local gateway = assert(exec.spawn{ services.BINARY, "run", "--endpoint", broker.host, "--port",
      tostring(broker.port), "--no-tls", "--thing-name", "gw", "--scripts", "scripts", "--data",
      dir .. "/gateway", exec_user.name() and "--exec-user", exec_user.name() })
    finally(function()
      gateway:kill("TERM")
      gateway:wait(SECONDS)
    end)
    local function run(id, name, digest)
      service:create(id, "gw", { presignedUrlConfig = ROLE, document = json.encode{
        operation = "download-file", to = dir .. "/" .. id, sha256 = digest,
        url = "${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/b/" .. name .. "}" } })
      return wait_until(function()
        local execution = service:call("GET", "/things/gw/jobs/" .. id).execution
        return execution.status ~= "QUEUED" and execution.status ~= "IN_PROGRESS" and execution
      end, SECONDS, "the end of " .. id)
    end
    local digest = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
    assert.equal("SUCCEEDED", run("fetched", "k.bin", digest).status)
    assert.equal("0123456789", fs.read(dir .. "/fetched"))
    local missing = run("missing", "none", digest)
    assert.equal("FAILED", missing.status)
    assert.is_truthy(missing.statusDetails.detailsMap.reason:find("404", 1, true))
    assert.is_nil(fs.read(dir .. "/missing"))
  end)

  describe("hob job create", function()
    local function create(...)
      return assert(exec.run{ services.BINARY, "job", "create", "--service", service.url,
        timeout = 60, ... })
    end

    it("makes documents by AWS's templates, for things and groups", function()
      service:call("POST", "/thing-groups/lamps", {})
      service:call("POST", "/things/lamp9", {})
      service:call("PUT", "/thing-groups/addThingToThingGroup",
        { thingGroupName = "lamps", thingName = "lamp9" })
      local result = create("--template", "AWS-Run-Command", "--parameter", "command=echo,a=b",
        "--group", "lamps", "--thing", "shelf", "--job-id", "run")
      assert.equal("created job run for shelf, group lamps\n", result.stdout, result.stderr)
      local document = json.decode(service:call("GET", "/jobs/run/job-document").document)
      assert.equal("echo,a=b", document.steps[1].action.input.command)
      for _, thing in ipairs{ "lamp9", "shelf" } do
        assert.equal("QUEUED", service:call("GET", "/things/" .. thing .. "/jobs/run")
          .execution.status)
      end
      assert.is_nil(service:call("GET", "/jobs/run").job.presignedUrlConfig)
    end)

    it("gives a role for URLs, and says how long they are good", function()
      local file = dir .. "/url.json"
      assert(fs.write(file,
        '{"f":"${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/b/k.bin}"}'))
      local result = create("--document", file, "--thing", "shelf", "--job-id", "url",
        "--url-seconds", "120")
      assert.equal(0, result.code, result.stderr)
      assert.equal(120, service:call("GET", "/jobs/url").job.presignedUrlConfig.expiresInSec)
    end)

    it("names the parameter that is missing or is none", function()
      local head = { "--thing", "shelf", "--template", "AWS-Run-Command" }
      for parameter, words in pairs{ ["x=1"] = "--parameter x: ", ["y"] = "--parameter: " } do
        local result = create("--parameter", parameter, table.unpack(head))
        assert.equal(1, result.code)
        assert.is_truthy(result.stderr:find(words, 1, true), result.stderr)
      end
      local result = create(table.unpack(head))
      assert.is_truthy(result.stderr:find("--parameter command: required", 1, true))
    end)
  end)

  local function memory_kb(pid)
    for line in io.lines(("/proc/%d/status"):format(pid)) do
      local kb = line:match("^VmHWM:%s*(%d+) kB")
      if kb then
        return tonumber(kb)
      end
    end
  end

  it("does not take a large file into memory, and serves others meanwhile", function()
    local gigabyte = 1 << 30
    os.execute(("truncate -s %d %s/files/b/large"):format(gigabyte, dir))
    local url = url_of("b/large")
    local before = memory_kb(service.process:pid())
    local host, port, path = url:match("//([^:]+):(%d+)(/.+)$")
    local client = assert(socket.connect(host, tonumber(port)))
    client:settimeout(SECONDS)
    client:send(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):format(path))
    assert.equal("HTTP/1.1 200 OK", client:receive("*l"))
    assert(client:receive(1 << 20)) -- it is under way, and the client has stopped reading
    assert.equal(200, select(2, service:call("GET", "/hob/health")))
    client:close()
    local tail = get(url, { Range = "bytes=-5" })
    assert.equal("206 " .. ("\0"):rep(5), tail.status .. " " .. tail.body)
    assert.is_true(memory_kb(service.process:pid()) - before < 50000)
    assert.equal(200, select(2, service:call("GET", "/hob/health")))
  end)
end)
