-- core/jobs/client, driven through `hob run` against a real mosquitto. The spec itself plays the
-- Jobs service, so that it can answer as no good service would.

local exec = require("hob.exec")
local fs = require("hob.fs")
local json = require("hob.json")
local mqtt = require("hob.mqtt")
local time = require("hob.time")

local broker = require("spec.support.broker")
local exec_user = require("spec.support.exec_user")
local lfs = require("lfs")
local wait_until = require("spec.support.wait").wait_until

local HOB = lfs.symlinkattributes("/proc/self/exe", "target")
local DYNAMIC_SECURITY = "/usr/lib/%s/mosquitto_dynamic_security.so"
local THING = "gw-1"
local PREFIX = "$aws/things/gw-1/jobs/"
local EVENTS = { PREFIX .. "notify-next", PREFIX .. "notify" }
local ANSWERS = {
    PREFIX .. "get/+", PREFIX .. "start-next/+", PREFIX .. "+/get/+", PREFIX .. "+/update/+",
}
local LONG = 30 -- seconds, for what comes in milliseconds

local dir
local cleanups

local function finally(fn)
    table.insert(cleanups, 1, fn)
end

local function join(...)
    local out = {}
    for _, list in ipairs({ ... }) do
        table.move(list, 1, #list, #out + 1, out)
    end
    return out
end

-- ---- the gateway ----

local gateway = {}
gateway.__index = gateway

local function start_gateway(port, settings)
    local config = {
        ('endpoint = "localhost", port = %d, tls = false, thing_name = %q,'):format(port, THING),
        ('scripts = %q, data = %q,'):format(dir .. "/scripts", dir .. "/data"),
        'log_level = "debug", log_format = "json", backoff_base = 0.05, backoff_cap = 0.2,',
        exec_user.name() and ('exec_user = %q,'):format(exec_user.name()) or "",
        settings or "",
    }
    assert(fs.mkdir(dir .. "/scripts"))
    assert(fs.mkdir(dir .. "/data"))
    assert(fs.write(dir .. "/hob.conf.lua", "return {" .. table.concat(config, "\n") .. "}\n"))
    local self = setmetatable({ events = {}, lines = {} }, gateway)
    self.process = assert(exec.spawn({
        HOB, "run", "--config", dir .. "/hob.conf.lua",
        on_line = function(line)
            local event = json.decode(line)
            table.insert(self.lines, line)
            if type(event) == "table" then
                table.insert(self.events, event)
            end
        end,
    }))
    finally(function()
        self.process:kill("TERM")
        local ended = self.process:wait(LONG)
        if not ended then
            self.process:kill("KILL")
        end
        assert(ended and ended.code == 0, "hob run did not end well:\n" .. self:log())
    end)
    return self
end

function gateway:log()
    return table.concat(self.lines, "\n")
end

-- The n-th log event with this id.
function gateway:wait_event(id, n)
    local ok, found = pcall(wait_until, function()
        local seen = 0
        for _, event in ipairs(self.events) do
            seen = seen + (event.event == id and 1 or 0)
            if seen == (n or 1) then
                return event
            end
        end
    end, LONG, "the log event " .. id)
    return ok and found or error(found .. "; the log:\n" .. self:log(), 2)
end

function gateway:count(id)
    local count = 0
    for _, event in ipairs(self.events) do
        count = count + (event.event == id and 1 or 0)
    end
    return count
end

-- How many came before another event, which may not have been the latest when it was looked at.
function gateway:count_before(id, other)
    local count = 0
    for _, event in ipairs(self.events) do
        if event == other then
            break
        end
        count = count + (event.event == id and 1 or 0)
    end
    return count
end

-- ---- the Jobs service ----

local service = {}
service.__index = service

local function start_service(at)
    local self = setmetatable({ requests = {} }, service)
    self.connection = mqtt.connect({
        host = at.host, port = at.port, tls = false, client_id = "service", backoff_base = 0.05,
        on_message = function(topic, payload)
            local rest = topic:sub(#PREFIX + 1)
            if not rest:find("accepted", 1, true) and not rest:find("rejected", 1, true) then
                table.insert(self.requests, { topic = rest, body = assert(json.decode(payload)) })
            end
        end,
    })
    finally(function()
        self.connection:close()
    end)
    assert(self.connection:wait_up(LONG))
    assert(self.connection:subscribe({
        PREFIX .. "get", PREFIX .. "start-next", PREFIX .. "+/get", PREFIX .. "+/update",
    }, 1))
    return self
end

-- The n-th request on a topic.
function service:wait_request(rest, n)
    return wait_until(function()
        local seen = 0
        for _, request in ipairs(self.requests) do
            seen = seen + (request.topic == rest and 1 or 0)
            if seen == (n or 1) then
                return request
            end
        end
    end, LONG, "request " .. (n or 1) .. " on " .. rest)
end

function service:count(rest)
    local count = 0
    for _, request in ipairs(self.requests) do
        count = count + (request.topic == rest and 1 or 0)
    end
    return count
end

-- Publish to a topic of the thing; a table is sent as JSON.
function service:send(rest, body)
    local text = type(body) == "table" and json.encode(body) or body
    assert(self.connection:publish(PREFIX .. rest, text, { qos = 1 }))
end

local function offer(job_id)
    local now = math.floor(time.now())
    return {
        jobId = job_id, status = "QUEUED", queuedAt = now, lastUpdatedAt = now,
        versionNumber = 1, executionNumber = 1,
        jobDocument = { operation = "nothing-knows-this" },
    }
end

-- ---- what mosquitto saw ----

-- Each SUBSCRIBE of the gateway: its filters with their QoS, in the broker's order.
local function subscribes(at)
    local out, list = {}, nil
    for line in at:log():gmatch("[^\n]+") do
        local filter, qos = line:match("^%d+: \t(%S+) %(QoS (%d)%)")
        if line:find("Received SUBSCRIBE from " .. THING, 1, true) then
            list = {}
            table.insert(out, list)
        elseif list and filter then
            table.insert(list, filter .. " " .. qos)
        elseif line:find("SUBACK", 1, true) then
            list = nil
        end
    end
    return out
end

local function with_qos(filters, qos)
    local out = {}
    for i, filter in ipairs(filters) do
        out[i] = filter .. " " .. qos
    end
    return out
end

describe("hob_jobs_client", function()
    before_each(function()
        cleanups = {}
        dir = assert(fs.tempdir())
        finally(function()
            fs.remove(dir, { recursive = true })
        end)
    end)

    after_each(function()
        for _, fn in ipairs(cleanups) do
            fn()
        end
    end)

    local function start_broker(options)
        local at = broker.start(options)
        finally(function()
            at:stop()
        end)
        return at
    end

    describe("subscribing", function()
        it("asks for the events and the answers at QoS 0, in two SUBSCRIBEs", function()
            local at = start_broker()
            start_gateway(at.port):wait_event("jobs.subscribed")
            assert.same({ with_qos(EVENTS, 0), with_qos(ANSWERS, 0) }, subscribes(at))
        end)

        it("comes before the first question", function()
            local at = start_broker()
            local jobs = start_service(at)
            start_gateway(at.port)
            jobs:wait_request("$next/get")
            local log = at:log()
            local suback, from = 0, 1
            for _ = 1, 2 do
                suback = assert(log:find("Sending SUBACK to " .. THING, from, true))
                from = suback + 1
            end
            local asked = log:find("Received PUBLISH from " .. THING, 1, true)
            assert.truthy(suback < asked)
        end)

        it("is done again on every connect, and the question asked again", function()
            local at = start_broker()
            local jobs = start_service(at)
            local hob = start_gateway(at.port)
            jobs:wait_request("$next/get")
            at:kill()
            at:start_again()
            hob:wait_event("jobs.subscribed", 2)
            assert.equal(4, #subscribes(at))
            wait_until(function()
                local asked = "Received PUBLISH from gw%-1"
                return at:log():find(asked .. ".* running.*" .. asked)
            end, LONG, "a question after the broker came back")
        end)
    end)

    describe("a refused filter", function()
        local function start_refusing(filter)
            local plugin = DYNAMIC_SECURITY:format("x86_64-linux-gnu")
            if not fs.stat(plugin) then
                plugin = DYNAMIC_SECURITY:format("aarch64-linux-gnu")
            end
            local rules = dir .. "/rules.json"
            local yes = {
                publishClientSend = true, publishClientReceive = true,
                subscribe = true, unsubscribe = true,
            }
            assert(fs.write(rules, assert(json.encode({
                defaultACLAccess = yes,
                anonymousGroup = "everybody",
                groups = { { groupname = "everybody", roles = { { rolename = "device" } } } },
                roles = {
                    {
                        rolename = "device",
                        acls = {
                            {
                                acltype = "subscribeLiteral", topic = filter, priority = 9,
                                allow = false,
                            },
                        },
                    },
                },
            }))))
            return start_broker({
                conf = "plugin " .. plugin .. "\nplugin_opt_config_file " .. rules,
            })
        end

        it("is named with the policy action, and tried again (field failure 15)", function()
            local at = start_refusing(PREFIX .. "notify")
            local jobs = start_service(at)
            local hob = start_gateway(at.port)
            local refused = hob:wait_event("jobs.subscribe_refused")
            local words = "refused the subscription to " .. PREFIX .. "notify;"
            assert.matches(words, refused.msg, 1, true)
            assert.equal(
                "the policy of this certificate must allow iot:Subscribe on topicfilter/"
                    .. PREFIX .. "notify and iot:Receive on topic/" .. PREFIX .. "notify",
                refused.action
            )
            assert.equal(THING, refused.thing)
            local request = jobs:wait_request("$next/get")
            jobs:send("$next/get/accepted", {
                clientToken = request.body.clientToken, execution = offer("job-1"),
            })
            jobs:wait_request("job-1/update")
            hob:wait_event("jobs.subscribe_refused", 2)
            local seen = subscribes(at)
            assert.same({ PREFIX .. "notify 0" }, seen[3])
        end)

        it("names each one where all are refused, with the wildcards of a policy", function()
            local at = start_refusing(PREFIX .. "+/update/+")
            local refused = start_gateway(at.port):wait_event("jobs.subscribe_refused")
            assert.matches("topicfilter/" .. PREFIX .. "*/update/*", refused.action, 1, true)
        end)
    end)

    -- Forbids one filter. Its port, and what it says, which grows.
    local function start_strict_broker(...)
        local seen, port = {}, nil
        local peer = assert(exec.spawn({
            "lua5.4", "spec/support/peers/strict_broker.lua", PREFIX .. "notify", ...,
            on_line = function(line)
                port = port or tonumber(line:match("^port (%d+)"))
                table.insert(seen, line)
            end,
        }))
        finally(function()
            peer:kill("KILL")
        end)
        wait_until(function()
            return port
        end, LONG, "the strict broker's port")
        return port, seen
    end

    -- The connection on which the question is asked has every filter but the forbidden one.
    local function assert_left_out(seen)
        wait_until(function()
            return seen[#seen] == "publish " .. PREFIX .. "$next/get"
        end, LONG, "the question")
        local last = {}
        for _, line in ipairs(seen) do
            last = line == "connect" and {} or join(last, { line })
        end
        assert.same({
            "subscribe " .. PREFIX .. "notify-next",
            "subscribe " .. ANSWERS[1],
            "subscribe " .. ANSWERS[2],
            "subscribe " .. ANSWERS[3],
            "subscribe " .. ANSWERS[4],
            "publish " .. PREFIX .. "$next/get",
        }, last)
    end

    describe("a connection that is closed in place of a SUBACK", function()
        it("is explained, and the forbidden filter left out (field failure 15)", function()
            local port, seen = start_strict_broker()
            local hob = start_gateway(port)
            local closed = hob:wait_event("jobs.subscribe_closed", 2)
            local words = "closed while subscribing to " .. PREFIX .. "notify:"
            assert.matches(words, closed.msg, 1, true)
            assert.matches(
                "iot:Subscribe on topicfilter/$aws/things/gw-1/jobs/* and iot:Receive on "
                    .. "topic/$aws/things/gw-1/jobs/*",
                closed.action, 1, true
            )
            local first = hob:wait_event("jobs.subscribe_closed", 1)
            for _, filter in ipairs(join(EVENTS, ANSWERS)) do
                assert.matches(filter, first.msg, 1, true)
            end
            assert.equal(0, hob:count("jobs.subscribe_timeout"))
            assert_left_out(seen)
        end)
    end)

    describe("a SUBACK that never comes", function()
        it("ends the connection after the time-out; the rest works on the next ones", function()
            local port, seen = start_strict_broker("mute")
            local hob = start_gateway(port, "request_timeout = 2,")
            local none = hob:wait_event("jobs.subscribe_timeout")
            assert.equal("ETIMEDOUT", none.code)
            assert.equal(
                ("no SUBACK within 2000 ms for %s; connecting anew"):format(
                    table.concat(EVENTS, ", ")
                ),
                none.msg
            )
            none = hob:wait_event("jobs.subscribe_timeout", 2)
            assert.equal(
                ("no SUBACK within 2000 ms for %s; connecting anew"):format(EVENTS[2]),
                none.msg
            )
            assert_left_out(seen)
        end)
    end)

    describe("an answer", function()
        local at, jobs, hob, request

        local function start(settings)
            at = start_broker()
            jobs = start_service(at)
            hob = start_gateway(at.port, settings)
            request = jobs:wait_request("$next/get")
        end

        local function answer(body)
            body.clientToken = request.body.clientToken
            jobs:send("$next/get/accepted", body)
        end

        it("is found by its clientToken, whatever else comes before", function()
            start()
            jobs:send("$next/get/accepted", { clientToken = "other", execution = offer("job-x") })
            jobs:send("$next/get/accepted", { execution = offer("job-y") })
            jobs:send("job-1/get/accepted", {
                clientToken = request.body.clientToken, execution = offer("job-z"),
            })
            local unknown = hob:wait_event("jobs.unknown_answer")
            assert.matches("clientToken 'other'", unknown.msg, 1, true)
            hob:wait_event("jobs.unknown_answer", 3)
            answer({ execution = offer("job-1") })
            jobs:wait_request("job-1/update")
            for _, id in ipairs({ "job-x", "job-y", "job-z" }) do
                assert.equal(0, jobs:count(id .. "/update"))
            end
        end)

        it("ends its request only once: a second copy is nobody's", function()
            start()
            answer({ execution = offer("job-1") })
            answer({ execution = offer("job-2") })
            jobs:wait_request("job-1/update")
            hob:wait_event("jobs.unknown_answer")
            assert.equal(0, jobs:count("job-2/update"))
        end)

        it("that cannot be read is logged with topic and reason; the request goes on", function()
            start()
            jobs:send("$next/get/accepted", "{")
            local bad = hob:wait_event("jobs.bad_message")
            assert.equal("warn", bad.level)
            assert.equal("EJSON", bad.code)
            assert.matches(PREFIX .. "$next/get/accepted was dropped: ", bad.msg, 1, true)
            jobs:send("$next/get/accepted", {
                clientToken = request.body.clientToken, execution = { jobId = "../x" },
            })
            bad = hob:wait_event("jobs.bad_message", 2)
            assert.equal("EPROTO", bad.code)
            assert.matches("execution.jobId: '../x'", bad.msg, 1, true)
            answer({ execution = offer("job-1") })
            jobs:wait_request("job-1/update")
        end)

        it("that does not come ends the request after the time-out, named in the log", function()
            start("request_timeout = 0.3,")
            local none = hob:wait_event("jobs.no_answer")
            assert.equal(
                "no answer within 300 ms to the request on " .. PREFIX .. "$next/get",
                none.msg
            )
            assert.equal("ETIMEDOUT", none.code)
            local again = jobs:wait_request("$next/get", 2)
            assert.are_not.equal(request.body.clientToken, again.body.clientToken)
        end)

        it("that never comes makes the connection doubtful, less and less often", function()
            start("request_timeout = 0.2,")
            local lost = hob:wait_event("conn.lost")
            assert.matches("no answer came to 2 requests in a row", lost.msg, 1, true)
            lost = hob:wait_event("conn.lost", 2)
            assert.matches("no answer came to 4 requests in a row", lost.msg, 1, true)
            assert.equal(6, hob:count_before("jobs.no_answer", lost))
        end)

        it("that comes at last makes it trusted again", function()
            start("request_timeout = 3,")
            local again = jobs:wait_request("$next/get", 2)
            jobs:send("$next/get/accepted", { clientToken = again.body.clientToken })
            hob:wait_event("jobs.no_answer")
            jobs:send("notify-next", { timestamp = 1, execution = offer("job-1") })
            jobs:wait_request("job-1/update")
            hob:wait_event("jobs.no_answer", 2)
            jobs:send("notify-next", { timestamp = 1, execution = offer("job-1") })
            jobs:wait_request("job-1/update", 2)
            assert.equal(0, hob:count("conn.lost"))
        end)

        it("InvalidJson, which has no token, ends the one request on its topic", function()
            start("request_timeout = 600,")
            jobs:send("$next/get/rejected", { code = "InvalidJson", message = "not JSON" })
            jobs:wait_request("$next/get", 2)
            assert.equal(0, hob:count("jobs.no_answer"))
            assert.equal(0, hob:count("jobs.unknown_answer"))
        end)

        it("that the link was lost for is said, and the question asked anew", function()
            start("request_timeout = 600,")
            at:kill()
            local lost = hob:wait_event("jobs.request_lost")
            assert.matches(PREFIX .. "$next/get", lost.msg, 1, true)
            assert.matches("iot:Publish on topic/" .. PREFIX .. "$next/get", lost.action, 1, true)
        end)
    end)

    describe("the events", function()
        it("of notify-next and notify are told to whoever looks for work", function()
            local at = start_broker()
            local jobs = start_service(at)
            start_gateway(at.port)
            local request = jobs:wait_request("$next/get")
            jobs:send("$next/get/accepted", { clientToken = request.body.clientToken })
            jobs:send("notify-next", { timestamp = 1, execution = offer("job-1") })
            jobs:wait_request("job-1/update")
        end)

        it("that cannot be read, or are somebody else's, stop nothing", function()
            local at = start_broker()
            local jobs = start_service(at)
            local hob = start_gateway(at.port)
            jobs:wait_request("$next/get")
            for _, payload in ipairs({
                "", "[]", "\xff", '{"execution":7}', ('{"a":'):rep(200) .. "1" .. ("}"):rep(200),
            }) do
                jobs:send("notify-next", payload)
            end
            hob:wait_event("jobs.bad_message", 5)
            jobs:send("notify-next", { timestamp = 1, execution = offer("job-1") })
            jobs:wait_request("job-1/update")
        end)
    end)

    describe("tokens", function()
        it("of two processes differ", function()
            local at = start_broker()
            local jobs = start_service(at)
            local prefixes = {}
            for i = 1, 2 do
                local hob = start_gateway(at.port)
                local token = jobs:wait_request("$next/get", i).body.clientToken
                assert.truthy(#token <= 64)
                prefixes[i] = token:match("^%x+")
                hob.process:kill("TERM")
                assert(hob.process:wait(LONG))
            end
            assert.are_not.equal(prefixes[1], prefixes[2])
        end)
    end)
end)
