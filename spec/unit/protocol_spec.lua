local protocol = require("hob_units").protocol

local THING = "gw-1"
local PREFIX = "$aws/things/gw-1/jobs/"
local LONG_THING = ("T"):rep(128)
local LONG_ID = ("J"):rep(64)

local function decode(rest, payload)
    return protocol.decode(PREFIX .. rest, THING, payload)
end

local function characters(text)
    return assert(utf8.len(text))
end

describe("names", function()
    it("of statuses: known ones, and which are terminal", function()
        local terminal = {
            QUEUED = false,
            IN_PROGRESS = false,
            SUCCEEDED = true,
            FAILED = true,
            TIMED_OUT = true,
            REJECTED = true,
            REMOVED = true,
            CANCELED = true,
        }
        for name, expected in pairs(terminal) do
            assert.same({ name, expected }, { protocol.status(name) })
        end
        for _, name in ipairs({ "", "queued", "CANCELLED", "SUCCEEDED " }) do
            assert.same({ "", false }, { protocol.status(name) })
        end
        assert.same({ "", false }, { protocol.status(nil) })
    end)

    it("of rejections: the nine codes, of which two are worth another try", function()
        local retryable = {
            InvalidTopic = false,
            InvalidJson = false,
            InvalidRequest = false,
            InvalidStateTransition = false,
            ResourceNotFound = false,
            VersionMismatch = false,
            InternalError = true,
            RequestThrottled = true,
            TerminalStateReached = false,
        }
        for name, expected in pairs(retryable) do
            assert.same({ name, expected }, { protocol.code(name) })
        end
        assert.same({ "", false }, { protocol.code("InternalServerError") })
        assert.same({ "", false }, { protocol.code(nil) })
    end)

    it("of jobs: 1 to 64 of a-z A-Z 0-9 _ -", function()
        for _, id in ipairs({ "j", LONG_ID, "get", "AFR_OTA-x_1", "-", "_" }) do
            assert.is_true(protocol.id_valid(id), id)
        end
        for _, id in ipairs({ "", LONG_ID .. "J", "$next", "a/b", "a b", "a.b", "a:b", "ä" }) do
            assert.is_false(protocol.id_valid(id), id)
        end
        assert.is_false(protocol.id_valid(nil))
    end)

    it("of things: 1 to 128, and ':' too", function()
        for _, thing in ipairs({ "t", LONG_THING, "site:1:gw_2-a" }) do
            assert.is_true(protocol.thing_valid(thing), thing)
        end
        for _, thing in ipairs({ "", LONG_THING .. "T", "a/b", "a+", "#", "a b", "a\n" }) do
            assert.is_false(protocol.thing_valid(thing), thing)
        end
        assert.is_false(protocol.thing_valid(nil))
    end)
end)

describe("topics", function()
    -- op, job id, what the request's topic ends in
    local requests = {
        { "get", nil, "get" },
        { "start-next", nil, "start-next" },
        { "describe", "job-1", "job-1/get" },
        { "describe", "$next", "$next/get" },
        { "describe", "get", "get/get" },
        { "describe", LONG_ID, LONG_ID .. "/get" },
        { "update", "job-1", "job-1/update" },
        { "update", "update", "update/update" },
        { "update", "notify", "notify/update" },
        { "update", "notify-next", "notify-next/update" },
        { "update", "start-next", "start-next/update" },
        { "update", LONG_ID, LONG_ID .. "/update" },
    }

    for _, case in ipairs(requests) do
        it(("of %s %s: the request and its answers"):format(case[1], case[2] or ""), function()
            for _, thing in ipairs({ THING, LONG_THING, "a:b" }) do
                local topic = ("$aws/things/%s/jobs/%s"):format(thing, case[3])
                assert.equal(topic, protocol.topic_request(thing, case[1], case[2]))
                for _, kind in ipairs({ "accepted", "rejected" }) do
                    assert.same(
                        { kind = kind, op = case[1], job_id = case[2] or "" },
                        protocol.topic_parse(topic .. "/" .. kind, thing)
                    )
                end
                assert.same({ kind = "foreign" }, protocol.topic_parse(topic, thing))
            end
        end)
    end

    it("of the longest names have 226 bytes, and fit", function()
        local topic = protocol.topic_request(LONG_THING, "update", LONG_ID) .. "/accepted"
        assert.equal(226, #topic)
        assert.equal(LONG_ID, protocol.topic_parse(topic, LONG_THING).job_id)
    end)

    it("of the two events", function()
        assert.same({ kind = "notify" }, protocol.topic_parse(PREFIX .. "notify", THING))
        assert.same({ kind = "notify-next" }, protocol.topic_parse(PREFIX .. "notify-next", THING))
    end)

    local foreign = {
        "",
        "$aws/things/gw-2/jobs/notify",
        "$aws/things/gw-11/jobs/notify",
        "$aws/things/gw-/jobs/notify",
        "$aws/things/GW-1/jobs/notify",
        "x$aws/things/gw-1/jobs/notify",
        "$aws/things/gw-1/shadow/update/accepted",
        "$aws/things/gw-1/jobs",
        PREFIX,
        PREFIX .. "/notify",
        PREFIX .. "notify/",
        PREFIX .. "notify-namespace-aws-gg-deployment",
        PREFIX .. "notify/accepted",
        PREFIX .. "get/accepted/",
        PREFIX .. "/get/accepted",
        PREFIX .. "get/ACCEPTED",
        PREFIX .. "get/acceptedx",
        PREFIX .. "start-next/x",
        PREFIX .. "foo/rejected",
        PREFIX .. "job-1/frob/accepted",
        PREFIX .. "job 1/get/accepted",
        PREFIX .. "$next/update/accepted",
        PREFIX .. "$nextx/get/accepted",
        PREFIX .. "job-1/namespace-x/get/accepted",
        PREFIX .. LONG_ID .. "J/get/accepted",
        PREFIX .. ("a/"):rep(5000),
    }
    it("of somebody else, or of nothing, are foreign", function()
        for _, topic in ipairs(foreign) do
            assert.same({ kind = "foreign" }, protocol.topic_parse(topic, THING), topic)
        end
    end)

    it("are not made of names that are none", function()
        for _, case in ipairs({
            { "a/b", "get" },
            { LONG_THING .. "T", "get" },
            { "+", "start-next" },
            { THING, "describe", "a/b" },
            { THING, "describe", "#" },
            { THING, "describe" },
            { THING, "update", "$next" },
            { THING, "update", LONG_ID .. "J" },
        }) do
            local topic, _, code = protocol.topic_request(table.unpack(case))
            assert.is_nil(topic)
            assert.equal("EINVAL", code)
        end
    end)

    it("to subscribe to are six, the two events first", function()
        local expected = {
            "notify-next", "notify", "get/+", "start-next/+", "+/get/+", "+/update/+",
        }
        for i, rest in ipairs(expected) do
            assert.same({ PREFIX .. rest, i <= 2 }, { protocol.filter(THING, i - 1) })
        end
        assert.equal("ENOENT", select(3, protocol.filter(THING, 6)))
        assert.equal("EINVAL", select(3, protocol.filter("a/b", 0)))
    end)
end)

describe("requests", function()
    it("of an update: only what is set is sent", function()
        assert.equal(
            '{"status":"IN_PROGRESS","clientToken":"t-1"}',
            protocol.encode_update({ job_id = "j", status = "IN_PROGRESS" }, "t-1")
        )
        assert.equal(
            '{"status":"FAILED","statusDetails":{"a":"b"},"expectedVersion":3,"executionNumber":2,'
                .. '"stepTimeoutInMinutes":-1,"includeJobExecutionState":true,'
                .. '"includeJobDocument":true,"clientToken":"t-2"}',
            protocol.encode_update({
                job_id = "j",
                status = "FAILED",
                details = '{"a":"b"}',
                expected_version = 3,
                execution_number = 2,
                step_timeout_minutes = -1,
                include_state = 1,
                include_document = 1,
            }, "t-2")
        )
    end)

    it("of an update: numbers go out whole", function()
        local large = 2 ^ 53 | 0
        assert.matches(
            '"expectedVersion":9007199254740992,',
            protocol.encode_update(
                { job_id = "j", status = "FAILED", expected_version = large, execution_number = 1 }
            ),
            1,
            true
        )
    end)

    it("of the others", function()
        assert.equal('{"includeJobDocument":true}', protocol.encode_describe(0, true))
        assert.equal(
            '{"executionNumber":7,"includeJobDocument":false,"clientToken":"t"}',
            protocol.encode_describe(7, false, "t")
        )
        assert.equal("{}", protocol.encode_start_next())
        assert.equal(
            '{"statusDetails":{},"stepTimeoutInMinutes":10080,"clientToken":"t"}',
            protocol.encode_start_next("{}", 10080, "t")
        )
        assert.equal("{}", protocol.encode_get())
        assert.equal('{"clientToken":"t"}', protocol.encode_get("t"))
        assert.equal('{"clientToken":"a\\"b"}', protocol.encode_get('a"b'))
    end)

    local function update(more)
        local u = { job_id = "j", status = "IN_PROGRESS" }
        for key, value in pairs(more) do
            u[key] = value
        end
        return function()
            return protocol.encode_update(u)
        end
    end

    local refusals = {
        { update({ job_id = "$next" }), "jobId: '$next', expected 1 to 64 of a-z A-Z 0-9 _ -" },
        { update({ job_id = false }), "jobId: '', expected 1 to 64 of a-z A-Z 0-9 _ -" },
        {
            update({ status = "QUEUED" }),
            "status: 'QUEUED', expected IN_PROGRESS, SUCCEEDED, FAILED or REJECTED",
        },
        {
            update({ status = "CANCELED" }),
            "status: 'CANCELED', expected IN_PROGRESS, SUCCEEDED, FAILED or REJECTED",
        },
        {
            update({ status = "NONSENSE" }),
            "status: '', expected IN_PROGRESS, SUCCEEDED, FAILED or REJECTED",
        },
        { update({ details = "[1]" }), "statusDetails: expected a JSON object, got '[1]'" },
        { update({ details = "" }), "statusDetails: expected a JSON object, got ''" },
        { update({ expected_version = -1 }), "expectedVersion: -1, expected a number from 0 on" },
        { update({ execution_number = -2 }), "executionNumber: -2, expected a number from 0 on" },
        {
            update({ step_timeout_minutes = 10081 }),
            "stepTimeoutInMinutes: 10081, expected 1 to 10080, or -1",
        },
        {
            update({ step_timeout_minutes = -2 }),
            "stepTimeoutInMinutes: -2, expected 1 to 10080, or -1",
        },
        {
            function()
                return protocol.encode_start_next(nil, -1)
            end,
            "stepTimeoutInMinutes: -1, expected 1 to 10080",
        },
        {
            function()
                return protocol.encode_describe(-1, true)
            end,
            "executionNumber: -1, expected a number from 0 on",
        },
        {
            function()
                return protocol.encode_get(("t"):rep(65))
            end,
            "clientToken: 65 bytes, at most 64 are allowed",
        },
    }
    for _, case in ipairs(refusals) do
        it("are refused: " .. case[2], function()
            local text, message, code = case[1]()
            assert.is_nil(text)
            assert.equal("EINVAL", code)
            assert.equal(case[2], message)
        end)
    end

    it("take a token of 64 bytes", function()
        assert.matches(("t"):rep(64), protocol.encode_get(("t"):rep(64)), 1, true)
    end)

    it("that do not fit say the limit", function()
        local details = '{"a":"' .. ("x"):rep(200) .. '"}'
        local request = { job_id = "j", status = "FAILED", details = details }
        local text, message, code = protocol.encode_update(request, "t", 100)
        assert.is_nil(text)
        assert.equal("EMSGSIZE", code)
        assert.equal("the request does not fit: too large (limit 100 bytes)", message)
    end)
end)

describe("answers", function()
    it("to $next/get with nothing pending: the real one", function()
        local answer = decode(
            "$next/get/accepted",
            '{"clientToken":"0:gw-1","timestamp":1629735402}'
        )
        assert.equal("0:gw-1", answer.token)
        assert.equal(1629735402, answer.timestamp)
        assert.is_false(answer.execution.present)
    end)

    for what, payload in pairs({
        ["absent"] = "{}",
        ["null"] = '{"execution":null}',
        ["empty"] = '{"execution":{}}',
        ["an empty list"] = '{"execution":[]}',
        ["without a jobId"] = '{"execution":{"status":"QUEUED","versionNumber":1}}',
        ["with a null jobId"] = '{"execution":{"jobId":null}}',
        ["with an empty jobId"] = '{"execution":{"jobId":""}}',
    }) do
        it("with an execution that is " .. what .. " hold none", function()
            for _, topic in ipairs({ "j/get/accepted", "start-next/accepted", "notify-next" }) do
                assert.is_false(decode(topic, payload).execution.present)
            end
        end)
    end

    it("carry an execution with its document byte for byte", function()
        local document = '{ "operation":"install",  "list":[], "n":1.50, "u":"\\u00e4\\/", "x":{} }'
        local answer = decode(
            "job-1/get/accepted",
            '{"timestamp":1700000009,"clientToken":"c",'
                .. '"execution":{"jobId":"job-1","thingName":"gw-1","status":"IN_PROGRESS",'
                .. '"statusDetails":{"step": "two"},"queuedAt":1700000001,'
                .. '"startedAt":1700000002,"lastUpdatedAt":1700000003,"versionNumber":5,'
                .. '"executionNumber":2,"approximateSecondsBeforeTimedOut":60,"future":[1,{}],'
                .. '"jobDocument":'
                .. document
                .. "}}"
        )
        assert.same({
            present = true,
            job_id = "job-1",
            status = "IN_PROGRESS",
            execution_number = 2,
            version_number = 5,
            queued_at = 1700000001,
            started_at = 1700000002,
            last_updated_at = 1700000003,
            seconds_before_timeout = 60,
            document = document,
            details = '{"step": "two"}',
        }, answer.execution)
    end)

    it("have nothing where nothing was sent", function()
        local answer = decode("job-1/get/accepted", '{"execution":{"jobId":"job-1"}}')
        assert.same({
            present = true,
            job_id = "job-1",
            status = "",
            execution_number = 0,
            version_number = 0,
            queued_at = 0,
            started_at = 0,
            last_updated_at = 0,
            seconds_before_timeout = -1,
        }, answer.execution)
        assert.equal("", answer.token)
        assert.equal(0, answer.timestamp)
    end)

    it("deliver a document of any type as it is: judging it is not the protocol's", function()
        for _, document in ipairs({ '"a string"', "[1, 2]", "7", "true", "[]", '""' }) do
            local payload = ('{"execution":{"jobId":"j","jobDocument":%s}}'):format(document)
            assert.equal(document, decode("start-next/accepted", payload).execution.document)
        end
        local none = decode("start-next/accepted", '{"execution":{"jobId":"j","jobDocument":null}}')
        assert.is_nil(none.execution.document)
    end)

    describe("with a document that cannot be parsed give it on as it came:", function()
        local function nested(depth)
            return ('{"a":'):rep(depth) .. "1" .. ("}"):rep(depth)
        end
        for what, document in pairs({
            ["31 deep"] = nested(31),
            ["40 deep"] = nested(40),
            ["1000 deep"] = nested(1000),
            ["1000 deep in lists"] = ("["):rep(1000) .. ("]"):rep(1000),
            ["an integer over 2^53"] = '{"n":9007199254740993}',
            ["nothing but such an integer"] = "9007199254740993",
            ["a number too large to hold"] = '{"n":1e999}',
            ["a byte that is not UTF-8"] = '{"operation":"\xff"}',
            ["a control character"] = '{"operation":"\1"}',
            ["braces and quotes in strings"] = ('{"s":"}]\\"{[\\\\","d":%s}'):format(nested(40)),
            ["no JSON between its brackets"] = '{"operation":}',
        }) do
            it(what, function()
                local execution = ('{"jobDocument" : %s , "jobId":"j","versionNumber":3}'):format(
                    document
                )
                local payload = '{"clientToken":"t","execution":' .. execution .. "}"
                for _, topic in ipairs({
                    "notify-next", "start-next/accepted", "$next/get/accepted",
                }) do
                    local answer = assert(decode(topic, payload))
                    assert.equal("t", answer.token)
                    assert.is_true(answer.execution.present)
                    assert.equal("j", answer.execution.job_id)
                    assert.equal(3, answer.execution.version_number)
                    assert.equal(document, answer.execution.document)
                end
                payload = ('{"jobDocument":%s,"clientToken":"t"}'):format(document)
                local answer = assert(decode("j/update/accepted", payload))
                assert.equal("t", answer.token)
                assert.equal(document, answer.execution.document)
            end)
        end

        it("the last, where there are several", function()
            local deep, last = nested(40), nested(50)
            local execution = ('{"jobId":"j","jobDocument":%s,"jobDocument":%s}')
            local payload = ('{"execution":%s,"execution":%s}'):format(
                execution:format(deep, deep), execution:format(deep, last))
            assert.equal(last, assert(decode("notify-next", payload)).execution.document)
            payload = ('{"execution":%s}'):format(execution:format(deep, "null"))
            assert.is_nil(assert(decode("notify-next", payload)).execution.document)
        end)

        it("also with escapes in the names", function()
            local payload = [[{"\u0065xecution":{"jobId":"j","job\u0044ocument":%s}}]]
            payload = payload:format(nested(40))
            assert.equal(nested(40), assert(decode("notify-next", payload)).execution.document)
        end)

        it("not if the message around it is no JSON", function()
            for _, payload in ipairs({
                '{"execution":{"jobId":"j","jobDocument":%s}',
                '{"execution":{"jobId":"j","jobDocument":%s}}}',
                '{"execution":{"jobId":"j","jobDocument":%s "x":1}}',
                '{"execution":{"jobId":"j","jobDocument" %s}}',
                '{"execution":{"jobId":9007199254740993,"jobDocument":%s}}',
                '{"execution":{"jobId":"j","jobDocument":{"a":%s}}',
            }) do
                local answer, _, code = decode("notify-next", payload:format(nested(40)))
                assert.same({ nil, "EJSON" }, { answer, code }, payload)
            end
            for _, document in ipairs({ "", "}", "]", "," }) do
                local payload = ('{"execution":{"jobId":"j","jobDocument":%s}}'):format(document)
                assert.equal("EJSON", select(3, decode("notify-next", payload)), payload)
            end
        end)

        it("not where no document belongs", function()
            local payload = ('{"jobDocument":%s}'):format(nested(40))
            assert.equal("EJSON", select(3, decode("get/accepted", payload)))
            assert.equal("EJSON", select(3, decode("notify", payload)))
        end)
    end)

    it("take a document of 32,768 bytes", function()
        local document = '{"x":"' .. ("d"):rep(32768 - 8) .. '"}'
        assert.equal(32768, #document)
        local payload = ('{"execution":{"jobId":"j","jobDocument":%s}}'):format(document)
        assert.equal(document, decode("j/get/accepted", payload).execution.document)
    end)

    it("with times in milliseconds become seconds", function()
        local answer = decode(
            "notify-next",
            '{"timestamp":1489096425069,"execution":{"jobId":"j","queuedAt":1489096425069,'
                .. '"startedAt":1489096426,"lastUpdatedAt":1489096427999}}'
        )
        assert.equal(1489096425, answer.timestamp)
        assert.equal(1489096425, answer.execution.queued_at)
        assert.equal(1489096426, answer.execution.started_at)
        assert.equal(1489096427, answer.execution.last_updated_at)
    end)

    it("to get: in progress first, then queued, without documents", function()
        local answer = decode(
            "get/accepted",
            '{"queuedJobs":[{"jobId":"q1","queuedAt":5,"versionNumber":1,"executionNumber":1},'
                .. '{"jobId":"q2"}],'
                .. '"inProgressJobs":[{"jobId":"p1","startedAt":4,"executionNumber":3}],'
                .. '"timestamp":9,"clientToken":"t"}'
        )
        local list = {}
        for i, execution in ipairs(answer.pending) do
            list[i] = execution.job_id .. " " .. execution.status
        end
        assert.same({ "p1 IN_PROGRESS", "q1 QUEUED", "q2 QUEUED" }, list)
        assert.equal(3, answer.pending[1].execution_number)
        assert.equal(5, answer.pending[2].queued_at)
    end)

    it("to get and notify with nothing pending hold an empty list", function()
        for _, case in ipairs({
            { "get/accepted", '{"inProgressJobs":[],"queuedJobs":[],"timestamp":1}' },
            { "get/accepted", "{}" },
            { "notify", '{"jobs":{},"timestamp":1}' },
            { "notify", '{"jobs":[],"timestamp":1}' },
            { "notify", '{"timestamp":1}' },
            { "notify", '{"jobs":{"QUEUED":[]}}' },
            { "notify", '{"jobs":{"QUEUED":null}}' },
            { "notify", '{"jobs":{"QUEUED":[{},{"jobId":""}]}}' },
        }) do
            assert.same({}, decode(case[1], case[2]).pending, case[2])
        end
    end)

    it("with a list that is longer than any that AWS sends are cut, not refused", function()
        local list = {}
        for i = 1, 300 do
            list[i] = ('{"jobId":"j%d"}'):format(i)
        end
        local payload = '{"jobs":{"QUEUED":[' .. table.concat(list, ",") .. "]}}"
        local answer = decode("notify", payload)
        assert.equal(20, #answer.pending)
        assert.equal("j20", answer.pending[20].job_id)
    end)

    it("to update: nothing, or the state and the document that were asked for", function()
        local bare = decode("j/update/accepted", '{"clientToken":"t","timestamp":1}')
        assert.is_nil(bare.state)
        assert.is_nil(bare.execution.document)
        local full = decode(
            "j/update/accepted",
            '{"executionState":'
                .. '{"status":"IN_PROGRESS","statusDetails":{"a":"b"},"versionNumber":4},'
                .. '"jobDocument":{"a":1}}'
        )
        assert.same({ status = "IN_PROGRESS", version_number = 4 }, full.state)
        assert.equal('{"a":1}', full.execution.document)
        assert.is_false(full.execution.present)
    end)

    it("that reject: code, message and, with two codes, the state", function()
        local answer = decode(
            "j/update/rejected",
            '{"code":"VersionMismatch","message":"Expected version 99 but found version 1",'
                .. '"clientToken":"t","timestamp":1,"executionState":{"status":"CANCELED",'
                .. '"versionNumber":1}}'
        )
        assert.equal("VersionMismatch", answer.code)
        assert.equal("VersionMismatch", answer.code_text)
        assert.equal("Expected version 99 but found version 1", answer.message)
        assert.same({ status = "CANCELED", version_number = 1 }, answer.state)
    end)

    it("that reject with a code from the future keep its words", function()
        local answer = decode("get/rejected", '{"code":"Teapot","message":"short and stout"}')
        assert.same({ "", "Teapot" }, { answer.code, answer.code_text })
        answer = decode("get/rejected", "{}")
        assert.same({ "", "", "" }, { answer.code, answer.code_text, answer.message })
    end)

    it("with a message that is too long are cut between two characters", function()
        local payload = ('{"code":"InternalError","message":"%s"}'):format(("ä"):rep(1000))
        local message = decode("get/rejected", payload).message
        assert.equal(510, #message)
        assert.equal(255, characters(message))
    end)

    it("of notify-next: the real one, which has no thingName", function()
        local answer = decode(
            "notify-next",
            '{"timestamp":1605788182,"execution":{"jobId":"c2f7","status":"QUEUED",'
                .. '"queuedAt":1605788182,"lastUpdatedAt":1605788182,"versionNumber":1,'
                .. '"executionNumber":1,"jobDocument":{"operation":"app_fw_update","size":297176}}}'
        )
        assert.equal("c2f7", answer.execution.job_id)
        assert.equal("QUEUED", answer.execution.status)
        assert.equal('{"operation":"app_fw_update","size":297176}', answer.execution.document)
    end)
end)

describe("hostile payloads", function()
    local wrong = {
        { "get/accepted", '{"timestamp":"1"}', "timestamp: expected number, got string" },
        { "get/accepted", '{"clientToken":7}', "clientToken: expected string, got number" },
        { "get/accepted", '{"queuedJobs":{"a":1}}', "queuedJobs: expected array, got object" },
        { "get/accepted", '{"queuedJobs":"x"}', "queuedJobs: expected array, got string" },
        { "get/accepted", '{"queuedJobs":[1]}', "queuedJobs[0]: expected object, got number" },
        {
            "get/accepted",
            '{"inProgressJobs":[{"jobId":"a"},{"jobId":{}}]}',
            "inProgressJobs[1].jobId: expected string, got object",
        },
        { "notify", '{"jobs":7}', "jobs: expected object, got number" },
        { "notify", '{"jobs":[1]}', "jobs: expected object, got array" },
        { "notify", '{"jobs":{"QUEUED":7}}', "jobs.QUEUED: expected array, got number" },
        {
            "notify",
            '{"jobs":{"QUEUED":[{"jobId":"../../etc"}]}}',
            "jobs.QUEUED[0].jobId: '../../etc', expected 1 to 64 of a-z A-Z 0-9 _ -",
        },
        { "notify-next", '{"execution":"x"}', "execution: expected object, got string" },
        { "notify-next", '{"execution":[1]}', "execution: expected object, got array" },
        {
            "notify-next",
            '{"execution":{"jobId":true}}',
            "execution.jobId: expected string, got boolean",
        },
        {
            "notify-next",
            ('{"execution":{"jobId":"%s"}}'):format(LONG_ID .. "J"),
            ("execution.jobId: '%sJ', expected 1 to 64 of a-z A-Z 0-9 _ -"):format(LONG_ID),
        },
        {
            "notify-next",
            '{"execution":{"jobId":"j","versionNumber":"1"}}',
            "execution.versionNumber: expected number, got string",
        },
        {
            "notify-next",
            '{"execution":{"jobId":"j","queuedAt":[1]}}',
            "execution.queuedAt: expected number, got array",
        },
        {
            "notify-next",
            '{"execution":{"jobId":"j","status":3}}',
            "execution.status: expected string, got number",
        },
        {
            "notify-next",
            '{"execution":{"jobId":"j","statusDetails":"x"}}',
            "execution.statusDetails: expected object, got string",
        },
        { "j/update/rejected", '{"code":7}', "code: expected string, got number" },
        { "j/update/rejected", '{"message":{}}', "message: expected string, got object" },
        {
            "j/update/rejected",
            '{"executionState":"x"}',
            "executionState: expected object, got string",
        },
        {
            "j/update/accepted",
            '{"executionState":{"versionNumber":null,"status":[1]}}',
            "executionState.status: expected string, got array",
        },
        { "notify", "[]", "payload: expected a JSON object, got '[]'" },
        { "notify", '[{"jobs":1}]', "payload: expected a JSON object, got '[{\"jobs\":1}]'" },
        { "notify", "7", "payload: expected a JSON object, got '7'" },
        { "notify", '"text"', "payload: expected a JSON object, got '\"text\"'" },
        { "notify", " null", "payload: expected a JSON object, got 'null'" },
    }
    for _, case in ipairs(wrong) do
        it("of a wrong type: " .. case[3], function()
            local answer, message, code = decode(case[1], case[2])
            assert.is_nil(answer)
            assert.equal(case[3], message)
            assert.equal("EPROTO", code)
        end)
    end

    for what, payload in pairs({
        ["empty"] = "",
        ["blank"] = " \n ",
        ["cut"] = '{"timestamp":1',
        ["not JSON"] = "hello",
        ["not UTF-8"] = '{"clientToken":"\xff\xfe"}',
        ["a NUL"] = "\0",
        ["followed by more"] = "{} {}",
        ["200 deep"] = ('{"a":'):rep(200) .. "1" .. ("}"):rep(200),
        ["200 deep in lists"] = '{"execution":{"jobId":"j","statusDetails":'
            .. ("["):rep(200)
            .. ("]"):rep(200)
            .. "}}",
        ["not a number"] = '{"timestamp":NaN}',
    }) do
        it("that are " .. what .. " are EJSON with a reason", function()
            for _, topic in ipairs({ "notify", "notify-next", "get/accepted", "j/get/rejected" }) do
                local answer, message, code = decode(topic, payload)
                assert.is_nil(answer)
                assert.equal("EJSON", code)
                assert.truthy(#message > 0)
            end
        end)
    end

    it("that are over 256 KB are EMSGSIZE", function()
        local payload = '{"a":"' .. ("x"):rep(256 * 1024) .. '"}'
        local answer, _, code = decode("notify", payload)
        assert.is_nil(answer)
        assert.equal("EMSGSIZE", code)
    end)

    it("with huge or broken numbers give a value or a reason, never a crash", function()
        for _, number in ipairs({
            "1e300", "-1e300", "1e999", "9007199254740993", "-5", "0.5", "99999999999999999999999",
        }) do
            local payload = ('{"execution":{"jobId":"j","versionNumber":%s,"queuedAt":%s}}'):format(
                number,
                number
            )
            local answer, message = decode("notify-next", payload)
            assert.truthy(answer and answer.execution.present or #message > 0, number)
        end
    end)

    it("never give a longer token than a request of ours has", function()
        local payload = ('{"clientToken":"%s"}'):format(("t"):rep(1000))
        assert.equal(("t"):rep(64), decode("get/accepted", payload).token)
    end)
end)

describe("details", function()
    it("keys are 1 to 128 of a-z A-Z 0-9 : _ -", function()
        for _, key in ipairs({ "a", ("k"):rep(128), "a:b_c-9" }) do
            assert.is_true(protocol.key_valid(key))
        end
        for _, key in ipairs({ "", ("k"):rep(129), "a b", "a.b", "ä", "a\0b" }) do
            assert.is_false(protocol.key_valid(key))
        end
    end)

    local fits = {
        { "a value that fits is left alone", "50 % – done ✓ 😀", "50 % – done ✓ 😀" },
        { "an empty value is a dash", "", "-" },
        { "newlines and controls are blanks", "a\nb\tc\r\nd\0e\x1b[0m\x7f", "a b c  d e [0m " },
        { "C1 controls are blanks", "a\u{85}b\u{9f}c", "a b c" },
        { "format and private ones are blanks", "a\u{200b}b\u{feff}c\u{e000}d\u{ad}", "a b c d " },
        { "what is no character is a blank", "a\u{fffe}b\u{fdd0}c\u{10ffff}", "a b c " },
        { "a byte that is not UTF-8 is U+FFFD", "a\xffb\xc3", "a\u{fffd}b\u{fffd}" },
        { "an overlong form is U+FFFD, byte by byte", "\xc0\xaf", "\u{fffd}\u{fffd}" },
        { "a surrogate is U+FFFD, byte by byte", "\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}" },
        { "quotes are not escaped here", 'say "hi" \\', 'say "hi" \\' },
    }
    for _, case in ipairs(fits) do
        it(case[1], function()
            assert.equal(case[3], protocol.detail_fit(case[2], false))
            assert.equal(case[3], protocol.detail_fit(case[2], true))
        end)
    end

    it("of 1024 characters fit, whatever their bytes", function()
        for _, character in ipairs({ "x", "ä", "✓", "\n" }) do
            local value = protocol.detail_fit(character:rep(1024), true)
            assert.equal(1024, characters(value))
            assert.is_nil(value:find("cut", 1, true))
        end
    end)

    it("over 1024 characters are cut at the front, and say by how much", function()
        local value = protocol.detail_fit(("ä"):rep(1800) .. "end", true)
        assert.truthy(characters(value) <= 1024 and characters(value) >= 1020)
        local cut, rest = value:match("^%[cut (%d+) characters%] (.*)$")
        assert.equal(1803, tonumber(cut) + characters(rest))
        assert.matches("end$", rest)
    end)

    it("over 1024 characters are cut at the end where the start matters", function()
        local value = protocol.detail_fit("start" .. ("ä"):rep(1800), false)
        assert.truthy(characters(value) <= 1024 and characters(value) >= 1020)
        local rest, cut = value:match("^(.*) %[cut (%d+) characters%]$")
        assert.equal(1805, tonumber(cut) + characters(rest))
        assert.matches("^start", rest)
    end)

    it("are never over the limit, and never cut a character, at any length near it", function()
        for extra = 0, 40 do
            for _, character in ipairs({ "x", "ä", "😀" }) do
                for _, keep_tail in ipairs({ true, false }) do
                    local value = protocol.detail_fit("y" .. character:rep(1000 + extra), keep_tail)
                    assert.truthy(characters(value) <= 1024)
                end
            end
        end
    end)

    it("of a megabyte are cut too", function()
        local value = protocol.detail_fit(("z"):rep(1024 * 1024), true)
        assert.matches("^%[cut 1047577 characters%] z+$", value)
        assert.equal(1024, #value)
    end)

    it("count a character outside the first plane twice, as UTF-16 does", function()
        assert.is_nil(protocol.detail_fit(("😀"):rep(512), true):find("cut", 1, true))
        assert.matches("^%[cut ", protocol.detail_fit(("😀"):rep(513), true))
    end)

    local function fit(list, limit)
        local text, dropped = protocol.details_fit(list, limit)
        return text:match("^before:(.*)$"), dropped
    end

    it("together are one JSON object", function()
        local text, dropped = fit({
            { key = "reason", value = 'a "b"\n' },
            { key = "empty" },
            { key = "out", value = ("o"):rep(2000) .. "!", keep_tail = true },
        })
        assert.equal(0, dropped)
        assert.matches('^{"reason":"a \\"b\\" ","empty":"%-",', text)
        assert.matches(',"out":"%[cut 999 characters%] o+!"}$', text)
        assert.same({ "{}", 0 }, { fit({}) })
    end)

    it("together are at most ten; more, bad keys and doubles are dropped and counted", function()
        local list = {}
        for i = 1, 12 do
            list[i] = { key = "k" .. i, value = "v" }
        end
        table.insert(list, 2, { key = "not a key", value = "v" })
        table.insert(list, 3, { key = "k1", value = "again" })
        table.insert(list, 4, { value = "no key" })
        table.insert(list, 5, { key = ("k"):rep(200), value = "v" })
        local text, dropped = fit(list)
        assert.equal(6, dropped)
        assert.matches('^{"k1":"v","k2":"v",', text)
        assert.matches('"k10":"v"}$', text)
    end)

    it("together of ten times the longest value fit", function()
        local list = {}
        for i = 1, 10 do
            list[i] = { key = "k" .. i, value = ("✓"):rep(5000) }
        end
        local text, dropped = fit(list)
        assert.equal(0, dropped)
        assert.truthy(#text > 30000 and #text < 32768)
    end)

    it("that do not fit in the buffer leave it as it was", function()
        local text, code = protocol.details_fit({ { key = "a", value = ("v"):rep(100) } }, 50)
        assert.equal("before:", text)
        assert.truthy(code < 0)
    end)
end)
