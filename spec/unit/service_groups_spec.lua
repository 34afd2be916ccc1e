-- Thing groups, and the continuous jobs that follow them.
local benches = require("spec.support.service_bench")

local function names(list)
  local out = {}
  for i, item in ipairs(list) do
    out[i] = type(item) == "string" and item or item.groupName
  end
  return table.concat(out, " ")
end

local CONTINUOUS = { targetSelection = "CONTINUOUS" }

describe("the Jobs service's thing groups", function()
  local bench

  before_each(function() bench = benches.new() end)

  it("are created, described and updated", function()
    local _, parent = bench:control("create_group", "all", {}, bench.now)
    assert.equal("arn:aws:iot:us-east-1:123456789012:thinggroup/all", parent.thingGroupArn)
    bench:control("create_group", "lamps", { parentGroupName = "all", thingGroupProperties = {
      thingGroupDescription = "what shines",
      attributePayload = { attributes = { a = "b" } } } }, bench.now)
    local group = bench.engine:describe_group("lamps")
    assert.same({ "lamps", 1, "what shines", { a = "b" }, "all", math.floor(bench.now) },
      { group.thingGroupName, group.version, group.thingGroupProperties.thingGroupDescription,
        group.thingGroupProperties.attributePayload.attributes,
        group.thingGroupMetadata.parentGroupName, group.thingGroupMetadata.creationDate })
    assert.equal("all", names(group.thingGroupMetadata.rootToParentThingGroups))
    bench:control("update_group", "lamps", { expectedVersion = 1,
      thingGroupProperties = { thingGroupDescription = "new" } })
    group = bench.engine:describe_group("lamps")
    assert.same({ 2, "new" },
      { group.version, group.thingGroupProperties.thingGroupDescription })
    assert.equal("VersionConflictException", bench:refused("update_group", "lamps",
      { expectedVersion = 1, thingGroupProperties = {} }).type)
  end)

  it("may be created again only as they are", function()
    local _, first = bench:control("create_group", "g", {}, bench.now)
    local _, again = bench:control("create_group", "g", {}, bench.now)
    assert.same(first, again)
    assert.equal("ResourceAlreadyExistsException", bench:refused("create_group", "g",
      { thingGroupProperties = { thingGroupDescription = "x" } }, bench.now).type)
    assert.equal("ResourceNotFoundException",
      bench:refused("create_group", "h", { parentGroupName = "none" }, bench.now).type)
    assert.equal("InvalidRequestException", bench:refused("create_group", "a b", {},
      bench.now).type)
  end)

  it("are listed by name, parent and prefix, in pages", function()
    for _, case in ipairs{ { "a" }, { "ab", "a" }, { "abc", "ab" }, { "x" } } do
      bench:control("create_group", case[1], { parentGroupName = case[2] }, bench.now)
    end
    assert.equal("a ab abc x", names(bench:pages("list_groups", "thingGroups", 3)))
    assert.equal("a x", names(bench.engine:list_groups{ recursive = "false" }.thingGroups))
    assert.equal("ab abc", names(bench.engine:list_groups{ parentGroup = "a" }.thingGroups))
    assert.equal("ab", names(bench.engine:list_groups{ parentGroup = "a",
      recursive = "false" }.thingGroups))
    assert.equal("ab abc", names(bench.engine:list_groups{ namePrefixFilter = "ab" }.thingGroups))
    assert.equal(404, bench:refused("list_groups", { parentGroup = "none" }).status)
  end)

  it("have things, which know their groups", function()
    bench:group("g", { "t2", "t1", "t3" })
    bench:group("h", {})
    bench:join("h", "t1")
    bench:join("h", "t1")
    assert.equal("t1 t2 t3", names(bench:pages("list_things_in_group", "things", 2, "g")))
    assert.equal("g h", names(bench:pages("list_groups_of_thing", "thingGroups", 1, "t1")))
    bench:leave("g", "t1")
    bench:leave("g", "t1")
    assert.equal("t2 t3", names(bench:pages("list_things_in_group", "things", 2, "g")))
    assert.equal("h", names(bench.engine:list_groups_of_thing("t1", {}).thingGroups))
  end)

  it("list the things of their children when asked to", function()
    bench:control("create_group", "top", {}, bench.now)
    bench:control("create_group", "sub", { parentGroupName = "top" }, bench.now)
    bench:group("other", { "t1", "t2" })
    bench:join("top", "t1")
    bench:join("sub", "t2")
    assert.equal("t1", names(bench.engine:list_things_in_group("top", {}).things))
    assert.equal("t1 t2",
      names(bench.engine:list_things_in_group("top", { recursive = "true" }).things))
  end)

  it("take ARNs in the place of names, and refuse what they do not know", function()
    bench:group("g", {})
    bench:control("create_thing", "t", {})
    bench:control("add_to_group", { thingGroupArn = benches.group_arn("g"),
      thingArn = benches.arn("t") }, bench.now)
    assert.equal("t", names(bench.engine:list_things_in_group("g", {}).things))
    for _, case in ipairs{
      { "ResourceNotFoundException", { thingGroupName = "none", thingName = "t" } },
      { "ResourceNotFoundException", { thingGroupName = "g", thingName = "none" } },
      { "InvalidRequestException", { thingGroupName = "g" } },
      { "InvalidRequestException", { thingName = "t" } },
      { "InvalidRequestException", { thingGroupName = "g", thingArn = benches.group_arn("t") } },
      { "InvalidRequestException", { thingGroupName = "g", thingName = "t",
        thingArn = benches.arn("u") } },
    } do
      assert.equal(case[1], bench:refused("add_to_group", case[2], bench.now).type)
      assert.equal(case[1], bench:refused("remove_from_group", case[2], bench.now).type)
    end
  end)

  it("are deleted with their memberships, unless they have children", function()
    bench:group("g", { "t" })
    bench:control("create_group", "sub", { parentGroupName = "g" }, bench.now)
    assert.equal("InvalidRequestException", bench:refused("delete_group", "g", {},
      bench.now).type)
    bench:control("delete_group", "sub", {}, bench.now)
    assert.equal("VersionConflictException", bench:refused("delete_group", "g",
      { expectedVersion = "7" }, bench.now).type)
    bench:control("delete_group", "g", { expectedVersion = "1" }, bench.now)
    bench:control("delete_group", "g", {}, bench.now)
    assert.equal(404, bench:refused("describe_group", "g").status)
    assert.equal("", names(bench.engine:list_groups_of_thing("t", {}).thingGroups))
  end)

  it("lose a thing that is deleted", function()
    bench:group("g", { "t", "u" })
    bench:control("delete_thing", "t", {}, bench.now)
    assert.equal("u", names(bench.engine:list_things_in_group("g", {}).things))
  end)

  describe("as targets of a job", function()
    it("reach each of their things once, also through child groups", function()
      bench:group("g", { "t1", "t2" })
      bench:group("h", { "t3" })
      bench:control("create_group", "sub", { parentGroupName = "h" }, bench.now)
      bench:join("sub", "t1")
      bench:create_for_groups("j", { "g", "h" })
      assert.equal("t1#1 QUEUED, t2#1 QUEUED, t3#1 QUEUED", bench:executions("j"))
      assert.same({ benches.group_arn("g"), benches.group_arn("h") },
        setmetatable(bench:job("j").targets, nil))
    end)

    it("are refused when they are unknown, and nothing is created", function()
      local why = bench:refused("create_job", "j", { document = "{}",
        targets = { benches.arn("t"), benches.group_arn("none") } }, bench.now)
      assert.same({ "ResourceNotFoundException", 404 }, { why.type, why.status })
      assert.is_nil(bench.engine.jobs.j)
      assert.is_nil(next(bench.engine.things))
    end)

    it("of a snapshot job are looked at once", function()
      bench:group("g", { "t1", "t2" })
      bench:create_for_groups("j", { "g" })
      bench:control("create_thing", "t3", {})
      assert.equal("", bench:join("g", "t3"):text())
      assert.equal("", bench:leave("g", "t1"):text())
      assert.equal("t1#1 QUEUED, t2#1 QUEUED", bench:executions("j"))
    end)

    it("that are empty end a snapshot job at once, and leave a continuous one open", function()
      bench:group("g", {})
      bench:create_for_groups("j", { "g" })
      bench:create_for_groups("k", { "g" }, CONTINUOUS)
      assert.same({ "COMPLETED", "IN_PROGRESS" }, { bench:job("j").status,
        bench:job("k").status })
    end)
  end)

  describe("of a continuous job", function()
    before_each(function()
      bench:group("g", { "t1" })
      bench:create_for_groups("j", { "g" }, CONTINUOUS)
      bench:control("create_thing", "t2", {})
    end)

    it("give an execution to a thing that joins", function()
      assert.equal("CONTINUOUS", bench:job("j").targetSelection)
      assert.equal("notify notify-next", bench:join("g", "t2"):text())
      assert.equal("t1#1 QUEUED, t2#1 QUEUED", bench:executions("j"))
      assert.equal("", bench:join("g", "t2"):text())
    end)

    it("leave the job open when all have ended, for whoever comes later", function()
      bench:ask("t1", "j/update", { status = "SUCCEEDED" })
      assert.equal("IN_PROGRESS", bench:job("j").status)
      bench:join("g", "t2")
      assert.equal("j", bench:answer("t2", "start-next").execution.jobId)
    end)

    it("take it from a thing that leaves: REMOVED, also IN_PROGRESS", function()
      bench:join("g", "t2")
      bench:ask("t2", "start-next")
      assert.equal("notify notify-next", bench:leave("g", "t1"):text())
      local said = bench:leave("g", "t2")
      assert.equal("notify notify-next", said:text())
      assert.is_nil(said[2].body.execution)
      assert.equal("t1#1 REMOVED, t2#1 REMOVED", bench:executions("j"))
      local body = bench:answer("t2", "j/update", { status = "SUCCEEDED" })
      assert.same({ "InvalidStateTransition", "REMOVED" },
        { body.code, body.executionState.status })
      assert.equal("IN_PROGRESS", bench:job("j").status)
    end)

    it("leave an execution that has ended as it is", function()
      bench:ask("t1", "j/update", { status = "SUCCEEDED" })
      assert.equal("", bench:leave("g", "t1"):text())
      assert.equal("t1#1 SUCCEEDED", bench:executions("j"))
    end)

    it("give a thing that comes back an execution with the next number", function()
      bench:leave("g", "t1")
      bench:join("g", "t1")
      assert.equal("t1#1 REMOVED, t1#2 QUEUED", bench:executions("j"))
      assert.equal(2, bench:answer("t1", "$next/get").execution.executionNumber)
    end)

    it("are not all left while another target still reaches the thing", function()
      bench:group("h", {})
      bench:create_for_groups("k", { "g", "h" }, { targetSelection = "CONTINUOUS" })
      assert.equal("", bench:join("h", "t1"):text())
      local said = bench:leave("g", "t1")
      assert.equal("notify notify-next", said:text())
      assert.equal("t1#1 REMOVED", bench:executions("j"))
      assert.equal("t1#1 QUEUED", bench:executions("k"))
      bench:leave("h", "t1")
      assert.equal("t1#1 REMOVED", bench:executions("k"))
    end)

    it("reach a thing that joins a child group", function()
      bench:control("create_group", "sub", { parentGroupName = "g" }, bench.now)
      bench:join("sub", "t2")
      assert.equal("t1#1 QUEUED, t2#1 QUEUED", bench:executions("j"))
    end)

    it("are no longer followed once the job is cancelled or deleted", function()
      bench:control("cancel_job", "j", {}, false, bench.now)
      assert.equal("", bench:join("g", "t2"):text())
      bench:create_for_groups("k", { "g" }, CONTINUOUS)
      bench:control("delete_job", "k", true, bench.now)
      assert.equal("", bench:leave("g", "t2"):text())
    end)

    it("take their executions along when they are deleted", function()
      assert.equal("notify notify-next",
        bench:control("delete_group", "g", {}, bench.now):text())
      assert.equal("t1#1 REMOVED", bench:executions("j"))
    end)

    it("may become more", function()
      bench:group("h", { "t3", "t1" })
      bench:group("empty", {})
      local said, answer = bench:control("associate_targets", "j", { comment = "more",
        targets = { benches.group_arn("h"), benches.group_arn("empty"),
          benches.group_arn("g") } }, bench.now)
      assert.equal("notify notify-next", said:text())
      assert.equal("j", answer.jobId)
      assert.equal("t1#1 QUEUED, t3#1 QUEUED", bench:executions("j"))
      assert.same({ 3, "more" }, { #bench:job("j").targets, bench:job("j").comment })
      assert.equal("notify notify-next", bench:join("empty", "t2"):text())
    end)
  end)

  describe("associate_targets", function()
    it("refuses things, snapshot jobs, ended jobs, unknown groups and more than 100", function()
      bench:group("g", {})
      bench:create("snap", "t")
      bench:create_for_groups("j", { "g" }, CONTINUOUS)
      local function refused(id, arns)
        return bench:refused("associate_targets", id, { targets = arns }, bench.now).type
      end
      local group = { benches.group_arn("g") }
      assert.equal("InvalidRequestException", refused("j", { benches.arn("t") }))
      assert.equal("InvalidRequestException", refused("j", {}))
      assert.equal("InvalidRequestException", refused("snap", group))
      assert.equal("ResourceNotFoundException", refused("none", group))
      assert.equal("ResourceNotFoundException", refused("j", { benches.group_arn("none") }))
      local many = {}
      for i = 1, 100 do
        bench:group("g" .. i, {})
        many[i] = benches.group_arn("g" .. i)
      end
      local why = bench:refused("associate_targets", "j", { targets = many }, bench.now)
      assert.same({ "LimitExceededException", 410 }, { why.type, why.status })
      bench:control("cancel_job", "j", {}, false, bench.now)
      assert.equal("InvalidRequestException", refused("j", group))
    end)
  end)
end)
