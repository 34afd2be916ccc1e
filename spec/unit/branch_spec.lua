-- Several things on one connection: who hears what, whose turn it is, and that none of them shuts
-- the others out. The connection is a product's that these specs play.

local units = require("hob_units")
local wait_until = require("spec.support.wait").wait_until

describe("things on one connection", function()
  local c, seen

  before_each(function()
    c = units.connection.new(true)
    seen = {}
  end)

  after_each(function() c:close() end)

  -- What was said since the last time, without the log.
  local function words()
    c:turn()
    local kept = {}
    for _, line in ipairs(c:words()) do
      seen[#seen + 1] = line
      if not line:find("^log ") then
        kept[#kept + 1] = line
      end
    end
    return kept
  end

  local function things(...)
    for _, name in ipairs({ ... }) do
      assert(c:thing(name))
    end
  end

  -- Wait until lines have been said that match; other lines are kept in `seen`.
  local function wait_said(pattern, count)
    wait_until(function()
      words()
      local found = 0
      for _, line in ipairs(seen) do
        found = found + (line:find(pattern) and 1 or 0)
      end
      return found >= (count or 1)
    end, 20, pattern)
  end

  local function said(list, pattern)
    local found = 0
    for _, line in ipairs(list) do
      found = found + (line:find(pattern) and 1 or 0)
    end
    return found
  end

  -- The token of the first line that matches, "subscribe 12 1 x" -> 12.
  local function token_of(list, pattern)
    for _, line in ipairs(list) do
      if line:find(pattern) then
        return tonumber(line:match("^%a+ (%d+)"))
      end
    end
    error("nothing matches " .. pattern .. ":\n" .. table.concat(list, "\n"))
  end

  local function granted(token) c:tell_subscribed(token, 0, 1) end

  -- The broker closes the connection at what a thing asks for, until that is left out.
  local function leave_out(name, ask)
    for i = 1, 2 do
      wait_said("^" .. name .. " up", i)
      ask()
      words()
      c:tell_down("closed")
      c:tell_up()
    end
    wait_said("^log conn.branch_left_out " .. name)
  end

  describe("messages", function()
    it("on a thing's topics go to it alone, subscribed to or not", function()
      things("a", "b", "ab")
      c:tell_up()
      words()
      c:tell_message("$aws/things/b/jobs/notify", "1")
      c:tell_message("$aws/things/ab/shadow/update", "2")
      c:tell_message("$aws/things/c/jobs/notify", "3")
      assert.same({ "b message $aws/things/b/jobs/notify 1",
        "ab message $aws/things/ab/shadow/update 2" }, words())
    end)

    it("go to each who has subscribed, once, however many of its filters match", function()
      things("a", "b", "c")
      c:tell_up()
      words()
      assert(c:subscribe("a", 1, { "plant/+/alarm", "plant/1/alarm", "plant/#" }))
      assert(c:subscribe("b", 2, { "plant/1/alarm" }))
      assert(c:subscribe("c", 3, { "plant/2/alarm" }))
      words()
      c:tell_message("plant/1/alarm", "x")
      local list = words()
      table.sort(list)
      assert.same({ "a message plant/1/alarm x", "b message plant/1/alarm x" }, list)
    end)

    it("may be answered from inside, and be the last that a thing hears", function()
      things("a", "b")
      c:tell_up()
      words()
      c:again("a")
      assert(c:subscribe("a", 1, { "plant/1" }))
      assert(c:subscribe("b", 2, { "plant/1" }))
      words()
      c:tell_message("plant/1", "x")
      assert.equal(1, said(words(), "^publish %d+ 1 again"))
      c:tell_message("plant/1", "y")
      c:remove("b")
      assert.equal(0, said(words(), "^b message"))
    end)
  end)

  describe("a subscription", function()
    it("is held once, and let go of when the last holder goes", function()
      things("a", "b")
      c:tell_up()
      words()
      assert(c:subscribe("a", 1, { "plant/1" }))
      assert(c:subscribe("b", 2, { "plant/1", "plant/2" }))
      local list = words()
      granted(token_of(list, "^subscribe %d+ 1 plant/1$"))
      c:tell_subscribed(token_of(list, "plant/1 plant/2"), 0, 1, 1)
      words()
      assert.equal(2, c:held())
      assert(c:unsubscribe("a", 3, { "plant/1" }))
      assert.same({ "a done 3 OK" }, words()) -- b still has it
      c:remove("b")
      list = words()
      assert.equal(1, said(list, "^unsubscribe %d+ plant/[12] plant/[12]$"))
      assert.equal(0, c:held())
    end)

    it("is not held for one that let go of it while the link was down", function()
      things("a")
      c:tell_up()
      words()
      for i = 1, 3 do
        assert(c:subscribe("a", i, { "reply/" .. i }))
        words()
        granted(i)
        assert.equal(1, #words())
        c:tell_down("gone")
        words()
        local ok, code = c:unsubscribe("a", i, { "reply/" .. i })
        assert.is_nil(ok)
        assert.equal("ENOTCONN", code)
        c:tell_up()
        wait_said("^a up", i + 1)
      end
      assert.equal(0, c:held())
      assert.equal(0, said(seen, "^unsubscribe")) -- the broker does not know them
      c:tell_message("reply/1", "x")
      assert.same({}, words())
    end)

    it("of eight at a time is let go of by a thing that goes", function()
      things("a", "b")
      c:tell_up()
      words()
      for i = 1, 20 do
        assert(c:subscribe("a", i, { "plant/" .. i }))
      end
      assert.equal(20, said(words(), "^subscribe"))
      c:remove("a")
      local list = words()
      assert.equal(3, said(list, "^unsubscribe"))
      assert.equal(0, c:held())
      assert.equal(20, said(list, "^a subscribed %d+ ECANCELED"))
    end)
  end)

  describe("coming up", function()
    it("is in portions, so that a broker is not asked for all at once", function()
      for i = 1, 100 do
        assert(c:thing("t" .. i))
      end
      c:tell_up()
      assert.equal(10, said(words(), " up$"))
      wait_said(" up$", 100)
    end)

    it("waits while those before are at it", function()
      for i = 1, 30 do
        assert(c:thing("t" .. i))
      end
      c:tell_up()
      words()
      for i = 1, 10 do
        for n = 1, 12 do
          assert(c:publish("t" .. i, n, "x", "x"))
        end
      end
      local list = words()
      assert.equal(100, said(list, "^publish")) -- of 120: as many as AWS takes
      local other = units.connection.new(true)
      for i = 1, 40 do
        assert(other:thing("t" .. i))
      end
      other:tell_up()
      wait_until(function() -- four portions
        other:turn()
        words()
        return said(other:words(), "^t40 up$") > 0
      end, 20, "the other connection's things")
      other:close()
      assert.equal(10, said(seen, "^t%d+ up$"))
      for token = 1, 120 do
        c:tell_done(token)
        c:turn()
      end
      wait_said("^t%d+ up$", 30)
    end)

    it("goes on for one that is added later", function()
      things("a")
      c:tell_up()
      words()
      things("b")
      assert.same({ "b up" }, words())
      local ok, message, code = c:thing("a")
      assert.is_nil(ok)
      assert.equal("EEXIST", code)
      assert.matches("the connection for thing 'a'", message)
    end)

    it("goes on for one that is added while another is left out", function()
      things("a", "b")
      c:tell_up()
      leave_out("a", function() assert(c:subscribe("a", 1, { "x" })) end)
      wait_said("^b up", 3)
      things("first") -- after which only the one that is left out waits, for 5 s
      wait_said("^first up")
      things("late")
      assert.same({ "late up" }, words())
    end)
  end)

  describe("turns", function()
    it("are taken: who floods does not keep the others waiting", function()
      things("flood", "b")
      c:tell_up()
      words()
      local taken = 0
      while c:publish("flood", taken, "x", "x") do
        taken = taken + 1
      end
      assert.equal(512, taken)
      assert.equal(100, said(words(), "^publish"))
      assert(c:publish("b", 1, "mine", "x")) -- behind 412 of the other
      c:tell_done(1)
      assert.equal(0, said(words(), "mine"))
      c:tell_done(2)
      assert.equal(1, said(words(), "mine"))
    end)

    it("are taken while things come up one by one: a flood keeps none waiting", function()
      things("a", "flood", "b", "c")
      c:tell_up()
      words()
      for _, name in ipairs({ "a", "flood" }) do
        assert(c:subscribe(name, 1, { "of/" .. name }))
      end
      words()
      c:tell_down("closed")
      words()
      c:tell_up()
      wait_said("^flood up", 2)
      assert(c:publish("flood", 2, "first", "x"))
      wait_said("^publish %d+ 1 first x$")
      local next_answer = token_of(seen, "^publish %d+ 1 first x$")
      wait_until(function() -- it has always more than may be on its way
        while c:publish("flood", 3, "x", "x") do end
        c:tell_done(next_answer)
        next_answer = next_answer + 1
        words()
        return said(seen, "^c up") == 2
      end, 20, "c")
    end)

    it("are limited in bytes, too", function()
      things("flood", "b")
      c:tell_up()
      words()
      local taken, big = 0, ("x"):rep(200 * 1024)
      while c:publish("flood", taken, "x", big) do
        taken = taken + 1
      end
      assert.equal(5, taken) -- 1 MB
      assert(c:publish("b", 1, "x", big))
    end)
  end)

  -- As AWS does with what a policy does not allow.
  describe("a broker that closes the connection instead of refusing", function()
    local standing

    local function play_line(line, bad)
      local name = line:match("^(%w+) up$")
      if name then
        assert(c:subscribe(name, 1, { "of/" .. name }))
      end
      local token, who = line:match("^subscribe (%d+) 1 of/(%w+)$")
      if who == bad then
        standing = {}
        c:tell_down("closed")
        c:turn()
        c:tell_up()
      elseif who then
        standing[who] = true
        granted(tonumber(token))
      end
      return who == bad
    end

    -- Play that broker until something is so.
    local function play(bad, is_so, what)
      wait_until(function()
        for _, line in ipairs(words()) do
          if play_line(line, bad) then
            break
          end
        end
        return is_so()
      end, 20, what)
    end

    it("is found out: the others stand, the one comes last, and is left out then", function()
      local names = {}
      for i = 1, 12 do
        names[i] = "t" .. i
      end
      things(table.unpack(names))
      local function others_stand()
        local count = 0
        for _ in pairs(standing) do
          count = count + 1
        end
        return count == 11
      end
      standing = {}
      c:tell_up()
      play("t3", others_stand, "all but one")
      local before = said(seen, "^t3 up")
      assert.is_true(before <= 2, before) -- in the first portion, and once alone
      play("t3", function()
        return said(seen, "^log conn.branch_left_out t3") > 0
      end, "the verdict")
      play("t3", others_stand, "all but one")
      for _, line in ipairs(seen) do
        assert.is_nil(line:find("^log conn.branch_left_out t[^3]"))
        assert.is_true(not line:find("down suspect") or line:find("^t3 ") ~= nil, line)
      end
      before = said(seen, "^t3 up")
      assert.equal(3, before)
      words()
      assert.equal(3, said(seen, "^t3 up")) -- not for some seconds
    end)

    it("is asked for one thing at a time, until it is clear which it was", function()
      things("a", "b")
      c:tell_up()
      words()
      for _, name in ipairs({ "a", "b" }) do
        assert(c:subscribe(name, 1, { "of/" .. name }))
      end
      assert.equal(2, said(words(), "^subscribe"))
      c:tell_down("closed")
      c:tell_up()
      wait_said("^a up", 2)
      for i = 1, 3 do
        assert(c:subscribe("a", i, { "of/a/" .. i }))
      end
      for i = 1, 3 do
        local list = words()
        assert.equal(1, said(list, "^subscribe"))
        granted(token_of(list, "of/a/" .. i))
      end
    end)

    it("is found out, too, if it took the same on an earlier link", function()
      things("a", "b")
      c:tell_up()
      words()
      assert(c:publish("a", 1, "mine", "x"))
      c:tell_done(token_of(words(), "mine"))
      assert.same({ "a done 1 OK" }, words())
      c:tell_down("the policy was changed")
      c:tell_up()
      wait_said("^a up", 2)
      seen = { "a up" } -- for the count of leave_out
      leave_out("a", function() assert(c:publish("a", 2, "mine", "x")) end)
      assert.equal(1, said(seen, "^a down suspect left out for 5 s, .*: closed$"))
      assert.equal(0, said(seen, "^b down .*left out"))
    end)

    it("is no reason to leave out the only one", function()
      things("a")
      c:tell_up()
      words()
      for i = 1, 3 do
        assert(c:subscribe("a", 1, { "x" }))
        words()
        c:tell_down("closed")
        c:tell_up()
        wait_said("^a up", i + 1)
      end
      assert.equal(0, said(seen, "left_out"))
    end)
  end)

  describe("one that gets no answers", function()
    it("begins afresh by itself while others hear something", function()
      things("a", "b")
      c:tell_up()
      words()
      c:tell_message("$aws/things/b/jobs/notify", "x")
      assert(c:publish("a", 1, "x", "x"))
      words()
      c:reconnect("a", "no answer came")
      local list = words()
      assert.equal("a done 1 ENOTCONN", list[1])
      assert.matches("^a down .*no answer came", list[2])
      wait_said("^a up", 2)
      assert.equal(0, said(seen, "^doubt"))
      assert.equal(0, said(seen, "^b down"))
      assert.equal(1, said(seen, "^log conn.branch_renewed a"))
    end)

    it("keeps nobody from coming up alone with what it still waits for", function()
      things("a", "b", "c")
      c:tell_up()
      words()
      assert(c:subscribe("a", 1, { "x" })) -- once to blame: it comes up last
      words()
      c:tell_down("closed")
      words()
      c:tell_up()
      wait_said("^c up", 2)
      assert(c:subscribe("b", 1, { "x" }))
      words()
      c:tell_message("$aws/things/c/jobs/notify", "x")
      words()
      c:reconnect("b", "no SUBACK")
      wait_said("^b up", 3)
      wait_said("^a up", 2)
    end)

    it("keeps nobody from coming up, either, if it goes on waiting", function()
      things("a", "b", "c")
      c:tell_up()
      words()
      for _, name in ipairs({ "a", "b" }) do
        assert(c:subscribe(name, 1, { "of/" .. name }))
      end
      words()
      c:tell_down("closed") -- of two: one at a time from now on
      words()
      c:tell_up()
      wait_said("^a up", 2)
      assert(c:publish("a", 2, "throttled", "x"))
      assert(c:publish("a", 3, "behind it", "x"))
      wait_said("^publish %d+ 1 behind it")
      c:tell_done(token_of(seen, "^publish %d+ 1 behind it"))
      wait_said("^c up", 2)
      assert.equal(0, said(seen, "^a done 2"))
    end)

    it("is not comforted by what others heard on an earlier link", function()
      things("a", "b")
      c:tell_up()
      words()
      c:tell_message("$aws/things/b/jobs/notify", "x")
      c:tell_message("plant/1", "x")
      c:tell_down("gone")
      words()
      c:tell_up()
      wait_said("^a up", 2)
      c:reconnect("a", "no answer came")
      assert.same({ "doubt no answer came" }, words())
    end)

    it("makes the link doubtful when nobody hears anything", function()
      things("a", "b")
      c:tell_up()
      words()
      c:reconnect("a", "no answer came")
      assert.same({ "doubt no answer came" }, words())
    end)
  end)

  describe("more subscriptions than AWS allows a connection", function()
    local function hold(count)
      things("a")
      c:tell_up()
      words()
      for i = 1, count do
        assert(c:subscribe("a", i, { "plant/" .. i }))
        words()
        c:tell_subscribed(i, 0, 1)
      end
      words()
      return said(seen, "^log conn.many_subscriptions")
    end

    it("are said, once", function()
      c:close()
      c = units.connection.new(true, "tls://abc-ats.iot.eu-central-1.amazonaws.com:8883")
      assert.equal(0, hold(50))
      assert(c:subscribe("a", 51, { "plant/51" }))
      words()
      assert.equal(1, said(seen, "^log conn.many_subscriptions"))
      assert(c:unsubscribe("a", 52, { "plant/51" }))
      words()
      assert(c:subscribe("a", 53, { "plant/53" }))
      words()
      assert.equal(51, c:held())
      assert.equal(1, said(seen, "^log conn.many_subscriptions"))
    end)

    it("are nobody's trouble elsewhere", function()
      assert.equal(0, hold(60))
    end)
  end)

  it("end with all that is unanswered, also after their connection", function()
    things("a", "b")
    c:tell_up()
    words()
    assert(c:publish("a", 1, "x", "x"))
    assert(c:publish("b", 2, "x", "x"))
    words()
    c:remove("a")
    assert.same({ "a done 1 ECANCELED", "a closed" }, words())
    c:tell_done(1)
    assert.same({}, words())
  end)
end)
