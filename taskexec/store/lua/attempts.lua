-- What happens to attempts and to the run, shared by every script of a run. Not a script by itself: see prelude.lua.

-- In a run that is being stopped, what became ready is cancelled instead of queued. The number behind C is how
-- many attempts were started.
local function cancel_ready()
  local indexes, states = {}, {}
  for at, member in ipairs(ready) do indexes[at] = member[1] end
  for at, state in ipairs(fetch(K.state, indexes)) do
    local index, attempts = ready[at][1], ready[at][2] - 1
    if not state or string.sub(state, 1, 1) ~= 'C' then  -- fail-fast may have cancelled it in this very call
      states[#states + 1] = index
      states[#states + 1] = 'C' .. attempts
      line('C', index, attempts)
    end
  end
  set_states(states)
  add('cancelled', #states / 2)
  add('left', -#states / 2)
end

-- Members of one message: as many as leave work for every slot that has no message waiting for it yet, and as last
-- about `batch_target` together. Of unknown tasks as many as may be: what stands behind a long one is given back.
local function batch_size(count, record, settings)
  local slots = tonumber(redis.call('HGET', 'tek:slots', record.route) or '1')
  local idle = math.max(slots - redis.call('LLEN', record.list), 1)
  local each = math.max(tonumber(meta('ewma:' .. record.kind) or '0'), 1)
  local size = math.min(math.ceil(count / idle), math.floor(settings.target / each), settings.max)
  return math.max(size, 1)
end

-- Takes out of `ready` what asks for a place of its own.
local function want_places()
  local indexes, others, wishes = {}, {}, {}
  for at, member in ipairs(ready) do indexes[at] = member[1] end
  local placed = fetch(K.placed, indexes)
  for at, ask in ipairs(fetch(K.ask, indexes)) do
    if ask then
      if placed[at] then unplace(indexes[at], placed[at]) end
      wishes[#wishes + 1] = {indexes[at], ready[at][2], ask}
    else
      others[#others + 1] = ready[at]
    end
  end
  ready = others
  if #wishes > 0 then want(wishes) end
end

-- How many more tasks of a route this run may have in its lists: as many as keep the slots busy. What is beyond waits in
-- the run's backlog, so that the tasks of another run are not behind all of them.
local FEW = 8  -- so many may be there however few slots there are
local function room_on(route, count, kind, settings)
  local slots = tonumber(redis.call('HGET', 'tek:slots', route) or '1')
  local known = tonumber(meta('ewma:' .. kind) or '0')
  local likely = known > 0 and math.floor(settings.target / known) or FEW  -- they may all be long
  local size = math.max(math.min(math.ceil(count / math.max(slots, 1)), likely, settings.max), 1)
  local most = math.ceil(math.max(2 * slots, FEW) * size * settings.weight)
  return most - redis.call('ZCARD', K['queued:' .. route]), most
end

-- Leaves in `ready` what may be queued now, and takes from the backlog what has its turn; returns the records of `ready`.
local function keep_window(settings)
  local by_route, kept, records = {}, {}, {}
  for _, route in ipairs(ROUTES) do by_route[route] = {} end
  local indexes, backlogged = {}, settings.backlogged
  for at, member in ipairs(ready) do indexes[at] = member[1] end
  for at, record in ipairs(fetch(K.task, indexes)) do
    local list = by_route[string.match(record, '^.-\t(.-)\t')]
    list[#list + 1] = {ready[at], record}
  end
  local left = {}
  for _, route in ipairs(ROUTES) do
    local list, backlog = by_route[route], K['backlog:' .. route]
    local waiting = backlogged and string.find(backlogged, route, 1, true) and redis.call('ZCARD', backlog) or 0
    if #list > 0 or waiting > 0 then
      local room, most = 0, 0
      local is_few = waiting == 0 and redis.call('ZCARD', K['queued:' .. route]) + #list <= FEW * settings.weight
      if not is_few then
        local first = list[1] and list[1][2] or redis.call('HGET', K.task, redis.call('ZRANGE', backlog, 0, 0)[1])
        room, most = room_on(route, #list + waiting, parse(first).kind, settings)
      end
      if is_few or waiting == 0 and #list <= room then
        for _, item in ipairs(list) do
          kept[#kept + 1] = item[1]
          records[#records + 1] = item[2]
        end
      else
        local ranked, states = {}, {}
        local names = {}
        for at, item in ipairs(list) do names[at] = item[1][1] end
        local ranks = meta('has_ranks') and fetch(K.rank, names) or {}
        for at = 1, #names do
          ranked[#ranked + 1] = ranks[at] or names[at]
          ranked[#ranked + 1] = names[at]
          states[#states + 1] = names[at]
          states[#states + 1] = 'H' .. text(list[at][1][2])
        end
        set_states(states)
        sliced(ranked, function(slice) redis.call('ZADD', backlog, unpack(slice)) end)
        waiting = waiting + #list
        if 2 * room >= most then
          local turn = redis.call('ZRANGE', backlog, 0, math.min(room, waiting) - 1)
          sliced(turn, function(slice) redis.call('ZREM', backlog, unpack(slice)) end)
          local found = fetch(K.state, turn)
          for at, record in ipairs(fetch(K.task, turn)) do
            kept[#kept + 1] = {turn[at], tonumber(string.sub(found[at], 2))}
            records[#records + 1] = record
          end
          waiting = waiting - #turn
        end
        if waiting > 0 then left[#left + 1] = route .. ' ' .. most end
      end
    end
  end
  left = table.concat(left, ',')
  if left ~= '' and left ~= backlogged then put_meta('has_backlog', left) end
  if left == '' and backlogged then drop_meta('has_backlog') end
  ready = kept
  return records
end

-- Whether so few tasks are queued on a route that more of the backlog has its turn.
local function is_backlog_due()
  for route, most in string.gmatch(meta('has_backlog') or '', '(%a+) (%d+)') do
    if looks_again or 2 * redis.call('ZCARD', K['queued:' .. route]) <= tonumber(most) then return true end
  end
  return false
end

-- Queues everything in `ready`: states, queue times, messages. Called once, at the end of a script.
local function push()
  if #ready == 0 and (is_claim or not is_backlog_due()) then return end
  if meta('stopping') then return cancel_ready() end
  local settings = {run = meta('run'), template = meta('template'), max = tonumber(meta('batch_max')),
    target = tonumber(meta('batch_target_us')), weight = tonumber(meta('weight') or '1'), backlogged = meta('has_backlog')}
  if meta('has_asks') then want_places() end
  local records = keep_window(settings)
  local indexes, states, times, groups, order, at_now = {}, {}, {}, {}, {}, stamp
  for _, route in ipairs(ROUTES) do times[route] = {} end
  for at, member in ipairs(ready) do indexes[at] = member[1] end
  local losses = meta('has_lost') and fetch(K.lost, indexes) or {}
  for at, record in ipairs(records) do
    local index, attempt = ready[at][1], ready[at][2]
    states[#states + 1] = index
    states[#states + 1] = 'Q' .. attempt
    local route = times[string.match(record, '^.-\t(.-)\t')]
    route[#route + 1] = at_now
    route[#route + 1] = index
    line('Q', index, attempt)
    local name = string.match(record, '^[^\t]*\t[^\t]*\t[^\t]*')
    -- one that was lost travels alone: if it is what kills its process, it takes nobody along again
    if tonumber(losses[at] or '0') > 0 then name = name .. '\t' .. index end
    local group = groups[name]
    if not group then
      group = {}
      groups[name] = group
      order[#order + 1] = name
    end
    group[#group + 1] = {index, attempt, record}
  end
  set_states(states)
  for route, list in pairs(times) do
    sliced(list, function(slice) redis.call('ZADD', K['queued:' .. route], unpack(slice)) end)
  end
  for _, name in ipairs(order) do
    local group = groups[name]
    local size = batch_size(#group, parse(group[1][3]), settings)
    for start = 1, #group, size do
      local members = {}
      for at = start, math.min(start + size - 1, #group) do members[#members + 1] = group[at] end
      publish(members, parse(members[1][3]), settings)
    end
  end
end

-- Marks everything downstream of a failed task as skipped, breadth first.
local function skip_after(index)
  local front = {index}
  while #front > 0 do
    local found, seen = {}, {}
    for _, list in ipairs(fetch(K.successors, front)) do
      for successor in string.gmatch(list or '', '%d+') do
        if not seen[successor] then
          seen[successor] = true
          found[#found + 1] = successor
        end
      end
    end
    local states, changes = fetch(K.state, found), {}
    front = {}
    for at, successor in ipairs(found) do
      if not states[at] then
        changes[#changes + 1] = successor
        changes[#changes + 1] = 'X0'
        front[#front + 1] = successor
        line('X', successor, index)
      end
    end
    set_states(changes)
    add('skipped', #front)
    add('left', -#front)
  end
end

-- Cancels what has not started (and, with `running`, what has); waiting and queued tasks become cancelled.
local function cancel_all(running)
  local count, changes = tonumber(meta('tasks')), {}
  put_meta('stopping', running and 'kill' or 'drain')
  local first = 0
  while first < count do
    local indexes = {}
    for index = first, math.min(first + MANY, count) - 1 do indexes[#indexes + 1] = tostring(index) end
    for at, state in ipairs(fetch(K.state, indexes)) do
      local letter = state and string.sub(state, 1, 1) or 'W'
      if letter == 'W' or letter == 'Q' or letter == 'H' or (running and letter == 'R') then
        local attempt = state and tonumber(string.sub(state, 2)) or 0
        if letter == 'Q' or letter == 'H' then attempt = attempt - 1 end
        changes[#changes + 1] = indexes[at]
        changes[#changes + 1] = 'C' .. attempt
        line('C', indexes[at], attempt)
      end
    end
    first = first + MANY
  end
  for _, field in ipairs(running and redis.call('HKEYS', K.gang) or {}) do
    local led = string.match(field, '^(%d+):0$')
    if led then close_gang(led, 'cancelled') end
  end
  set_states(changes)
  stop_wanting()
  redis.call('DEL', K.delayed, K.suspects)
  for _, route in ipairs(ROUTES) do redis.call('DEL', K['queued:' .. route], K['backlog:' .. route]) end
  if running then redis.call('DEL', K.lease) end
  add('cancelled', #changes / 2)
  add('left', -#changes / 2)
end

-- Records the final failure of a task; its dependents are skipped, and fail-fast cancels the rest.
local function fail(index, attempt, json)
  redis.call('HSET', K.state, index, 'F' .. attempt)
  add('failed', 1)
  add('left', -1)
  line('F', index, attempt, json)
  skip_after(index)
  if meta('fail_fast') == '1' and not meta('stopping') then cancel_all(false) end
end

-- Attempts of a task in earlier lives of it: before the run was taken up again, or before somebody had it run again.
local function attempts_before(index)
  return meta('has_tried') and tonumber(redis.call('HGET', K.tried, index) or '0') or 0
end

-- Makes tasks whose latches are open ready for their first attempt (of this life).
local function open(indexes)
  local tried = meta('has_tried') and fetch(K.tried, indexes) or {}
  for at, index in ipairs(indexes) do ready[#ready + 1] = {index, tonumber(tried[at] or '0') + 1} end
end

local DEFAULT = {  -- `domain/retry.py` NO_POLICY
  retries = 0, on = {'exit', 'signal', 'timeout', 'out_of_memory', 'lost_worker', 'infrastructure'},
  delay_us = 0, factor = 1, max_us = 0, jitter = 0, memory = 1, budget_us = 0, deadline_us = 0,
}
local LONGEST = 3155760000000000

local function policy_of(index)
  local kept = meta('has_policies') and redis.call('HGET', K.policy, index)
  return kept and cjson.decode(kept) or DEFAULT
end

-- The delay before the attempt after the `number`th failure of its kind; the same as domain/rules.py.
local function delay_after(index, attempt, reason, policy, number)
  local delay, factor = policy.delay_us, policy.factor
  if delay == 0 and reason == 'infrastructure' then delay, factor = 1000000, 2 end
  local longest = policy.max_us > 0 and policy.max_us or LONGEST
  while number > 1 and delay > 0 and delay < longest and factor > 1 do
    delay, number = delay * factor, number - 1
  end
  local name = meta('run') .. '|' .. index .. '|' .. text(attempt)
  local draw = tonumber(string.sub(redis.sha1hex(name), 1, 8), 16) / 4294967295
  return math.floor(math.min(delay, longest) * (1 - policy.jitter * draw))
end

-- Returns the delay until the next attempt after one that did not succeed, or nil when the task has failed with it.
-- One that its worker gave back because it was told to leave counts neither as a loss nor as a failure.
local function fate_after(index, attempt, reason, status)
  local policy = policy_of(index)
  local is_given_back = reason == 'given_back'
  if is_given_back then
    reason = 'lost_worker'
    redis.call('HINCRBY', K.tried, index, 1)
    put_meta('has_tried', '1')
  end
  local lost = tonumber(redis.call('HGET', K.lost, index) or '0')
  local is_lost = not is_given_back and (reason == 'lost_worker' or reason == 'infrastructure')
  if is_lost then
    lost = redis.call('HINCRBY', K.lost, index, 1)
    put_meta('has_lost', '1')
  end
  if reason == 'out_of_memory' and policy.memory > 1 then redis.call('HINCRBY', K.starved, index, 1) end
  local number = is_lost and lost or attempt - attempts_before(index) - lost
  local listed = false
  for _, name in ipairs(policy.on) do listed = listed or name == reason or name == 'exit ' .. status end
  if not listed then return nil end
  if is_lost then
    if number >= tonumber(meta('lost_max')) then return nil end
  elseif number > policy.retries and not is_given_back then
    return nil
  end
  local delay = reason == 'lost_worker' and 0 or delay_after(index, attempt, reason, policy, number)
  if policy.deadline_us > 0 and now + delay >= policy.deadline_us then return nil end
  if policy.budget_us > 0 then
    local first = tonumber(redis.call('HGET', K.first, index) or '0')
    if now + delay >= first + policy.budget_us then return nil end
  end
  return delay
end

-- Has a task tried again as attempt `attempt`, after a delay.
local function try_again(index, attempt, delay)
  if delay == 0 or meta('stopping') then
    ready[#ready + 1] = {index, attempt}
    return
  end
  redis.call('HSET', K.state, index, 'H' .. text(attempt))
  redis.call('ZADD', K.delayed, text(now + delay), index)
  line('H', index, text(attempt), text(now + delay))
end

-- Queues what is held and whose time has come.
local function release_due()
  for _, index in ipairs(redis.call('ZRANGEBYSCORE', K.delayed, '-inf', stamp, 'LIMIT', 0, MANY)) do
    redis.call('ZREM', K.delayed, index)
    local state = redis.call('HGET', K.state, index)
    if state and string.sub(state, 1, 1) == 'H' then ready[#ready + 1] = {index, tonumber(string.sub(state, 2))} end
  end
end

-- What has lost all attempts but one goes on trial before it may fail for what another one did to its worker: of such
-- tasks one at a time is queued, the others are held until it has ended or was tried again.
local function is_last_chance(index)
  local most = tonumber(meta('lost_max'))
  return most > 1 and tonumber(redis.call('HGET', K.lost, index) or '0') == most - 1
end

local function put_on_trial(index, attempt)
  if not meta('trial') then
    put_meta('trial', index .. ' ' .. text(attempt))
    ready[#ready + 1] = {index, attempt}
    return
  end
  redis.call('HSET', K.state, index, 'H' .. text(attempt))
  redis.call('ZADD', K.suspects, stamp, index)
  line('H', index, text(attempt))
end

-- Queues the next suspect once the one on trial has ended, or is on another attempt by now.
local function end_trial()
  local index, attempt = string.match(meta('trial') or '', '^(%d+) (%d+)$')
  if not index then return end
  local state = redis.call('HGET', K.state, index)
  local goes_on = state == 'H' .. attempt or state == 'Q' .. attempt or state == 'R' .. attempt
  for _, member in ipairs(ready) do  -- what is about to be queued has its former state as yet
    if tostring(member[1]) == index then goes_on = text(member[2]) == attempt end
  end
  if goes_on then return end
  drop_meta('trial')
  while true do
    local suspect = redis.call('ZPOPMIN', K.suspects)[1]
    if not suspect then return end
    local held = redis.call('HGET', K.state, suspect)
    if held and string.sub(held, 1, 1) == 'H' then
      return put_on_trial(suspect, tonumber(string.sub(held, 2)))
    end
  end
end

-- Ends an attempt that was lost with its worker: next attempt, or failure when they are used up.
local function lose(index, attempt, json)
  line('L', index, attempt, json)
  local reason = string.match(json, '"reason":"([a-z_]+)"') or 'lost_worker'
  local is_given_back = string.find(json, '"given_back":true', 1, true)
  local record = redis.call('HGET', K.task, index)
  local outcome, kind = is_given_back and 'given_back' or 'lost', record and parse(record).kind or ''
  count('attempts ' .. outcome .. ' ' .. reason .. ' ' .. (kind ~= '' and kind or 'other'))
  if is_given_back then reason = 'given_back' end
  local delay = fate_after(index, attempt, reason, '')
  if not delay then
    fail(index, attempt, json)
  elseif is_last_chance(index) and not meta('stopping') then
    put_on_trial(index, attempt + 1)
  else
    try_again(index, attempt + 1, delay)
  end
end

-- Returns queued tasks to look at: those that wait longest and, behind a long backlog, the others in turn from call
-- to call, so that a list that nobody serves does not hide what was lost from another.
local function long_queued(route, before)
  local queued, looked = K['queued:' .. route], 'looked:' .. route
  local found = redis.call('ZRANGEBYSCORE', queued, '-inf', text(before), 'LIMIT', 0, MANY)
  if #found < MANY then return found end
  local from = tonumber(meta(looked) or '0') + MANY
  local others = redis.call('ZRANGEBYSCORE', queued, '-inf', text(before), 'LIMIT', from, MANY)
  put_meta(looked, #others < MANY and 0 or from)
  for _, index in ipairs(others) do found[#found + 1] = index end
  return found
end

-- Ends a lease (a member of <run>:lease) and the attempt that holds it, if it still runs; returns how many: 0 or 1.
local function end_lease(member, json)
  local index, attempt = string.match(member, '^(%d+)|(%d+)|')
  if redis.call('ZREM', K.lease, member) == 0 then return 0 end  -- it has gone with that of another rank
  local state = redis.call('HGET', K.state, index)
  if state == 'Q' .. attempt then  -- a rank has begun before the one that leads it
    unplace(index)
    ready[#ready + 1] = {index, tonumber(attempt)}
    return 1
  end
  if state ~= 'R' .. attempt then return 0 end
  if meta('has_gangs') then close_gang(index, 'lost') end
  lose(index, tonumber(attempt), json)
  return 1
end

-- Queues again the attempts whose message left its queue before `before` and that nobody has claimed.
-- A message still in a live worker's hands is then there twice; the second claim finds the first.
local function requeue_popped(before)
  local tails, count = {}, 0
  for _, route in ipairs(ROUTES) do
    for _, index in ipairs(long_queued(route, before)) do
      local record = parse(redis.call('HGET', K.task, index))
      local oldest = tails[record.list]
      if oldest == nil then
        local tail = redis.call('LINDEX', record.list, -1)
        oldest = tail and tonumber(string.match(tail, '"tek_at":%s*(%d+)') or '0') or math.huge
        tails[record.list] = oldest
      end
      if oldest > tonumber(redis.call('ZSCORE', K['queued:' .. route], index)) then
        local state = redis.call('HGET', K.state, index)
        if state and string.sub(state, 1, 1) == 'Q' then
          ready[#ready + 1] = {index, tonumber(string.sub(state, 2))}
          redis.call('ZREM', K['queued:' .. route], index)
          count = count + 1
        end
      end
    end
  end
  return count
end

-- Has placed attempts wait for another place that nobody has started and whose worker is gone, or was (it then holds
-- nothing for them), or that were placed before `before` and are not in its list any more.
local function requeue_unassigned(before, gone)
  local count, tails = 0, {}
  local flat = redis.call('ZRANGE', K.assigned, 0, MANY - 1, 'WITHSCORES')
  for at = 1, #flat, 2 do
    local index, since = flat[at], tonumber(flat[at + 1])
    local workers, attempt = spots_of(index)
    local is_lost = false
    for rank, worker in ipairs(workers) do
      local name = begun_as(index, attempt, rank - 1) or meta('run') .. ':' .. index .. ':' .. attempt .. ':' .. (rank - 1)
      is_lost = is_lost or worker == gone or redis.call('HEXISTS', 'tek:holds:' .. worker, name) == 0
      if not is_lost and rank == 1 and since <= before then
        if tails[worker] == nil then
          local tail = redis.call('LINDEX', 'tek.' .. worker, -1)
          tails[worker] = tail and tonumber(string.match(tail, '"tek_at":%s*(%d+)') or '0') or math.huge
        end
        is_lost = tails[worker] > since
      end
    end
    if is_lost and redis.call('HGET', K.state, index) == 'Q' .. attempt then
      ready[#ready + 1] = {index, tonumber(attempt)}
      count = count + 1
    end
  end
  return count
end

-- Ends attempts that wait for a rank which does not come any more: its worker is gone, or was, with what was taken for it.
local function end_broken_gangs(json)
  local count, led = 0, {}
  for _, field in ipairs(meta('has_gangs') and redis.call('HKEYS', K.gang) or {}) do
    local index = string.match(field, '^(%d+):0$')
    if index then led[#led + 1] = index end
  end
  table.sort(led, function(one, other) return tonumber(one) < tonumber(other) end)
  for _, index in ipairs(led) do
    local workers, attempt = spots_of(index)
    for at, worker in ipairs(workers) do
      local name = meta('run') .. ':' .. index .. ':' .. attempt .. ':' .. (at - 1)
      local leader = begun_as(index, attempt, 0)
      if leader and not begun_as(index, attempt, at - 1) and redis.call('HEXISTS', 'tek:holds:' .. worker, name) == 0 then
        count = count + end_lease(index .. '|' .. attempt .. '|' .. leader, json)
      end
    end
  end
  return count
end

-- Results of what some tasks depend on, by their specs: {index, result, …}.
local function inputs_of(specs)
  local wanted, inputs, seen = {}, {}, {}
  for _, spec in ipairs(specs) do
    for index in string.gmatch(string.sub(spec, 1, string.find(spec, '\n', 1, true)), '%d+') do
      if not seen[index] then
        seen[index] = true
        wanted[#wanted + 1] = index
      end
    end
  end
  for at, value in ipairs(fetch(K.result, wanted)) do
    if value then
      inputs[#inputs + 1] = wanted[at]
      inputs[#inputs + 1] = value
    end
  end
  return inputs
end

-- Time left to a task that starts now, and how many times its memory it gets.
local function limits_of(index)
  local policy, left = policy_of(index), math.huge
  if policy.budget_us > 0 then
    redis.call('HSETNX', K.first, index, stamp)
    left = tonumber(redis.call('HGET', K.first, index)) + policy.budget_us - now
  end
  if policy.deadline_us > 0 then left = math.min(left, policy.deadline_us - now) end
  local starved = policy.memory > 1 and tonumber(redis.call('HGET', K.starved, index) or '0') or 0
  return (left < math.huge and text(math.max(left, 0)) or '') .. ' ' .. string.format('%.17g', policy.memory ^ starved)
end

-- When the run's time is up, in server time; nil when it has no limit.
local function deadline()
  local limit, at = tonumber(meta('timeout_us') or '0'), tonumber(meta('deadline_at_us') or '0')
  local ends = limit > 0 and now + limit or math.huge
  if at > 0 then ends = math.min(ends, at) end
  return ends < math.huge and ends or nil
end

-- Makes a stored run a started one. Its satisfied tasks enter the log in the order of the plan, but in a further life
-- of a run, whose ledger has them; a run that has nothing to do ends with this call.
local function begin(starts)
  put_meta('status', 'running', 'started_us', stamp)
  local ends = deadline()
  if ends then put_meta('deadline_us', text(ends)) end
  local head = meta('head')
  if head and head ~= '' then line('U', 0, 0, head .. '\t' .. meta('head_key') .. '\t' .. meta('head_signature')) end
  if starts then line('A', 0, 0) end
  add('left', 0)
  if meta('is_continued') then return end
  local satisfied, flat = {}, redis.call('HGETALL', K.state)
  for at = 1, #flat, 2 do
    if flat[at + 1] == 'P0' then satisfied[#satisfied + 1] = flat[at] end
  end
  table.sort(satisfied, function(one, other) return tonumber(one) < tonumber(other) end)
  for at, reused in ipairs(fetch(K.reused, satisfied)) do line('P', satisfied[at], 0, reused or nil) end
end

-- Ends every script: pushes, moves the counters, closes the run when nothing is left, writes the log entry.
-- `seal`: {key, signature, digests} of what a worker has signed, or nil.
local function finish(worker, seal)
  end_trial()
  push()
  local others = {}  -- lines of other runs, whose tasks were placed
  for _, note in ipairs(place()) do
    if note[1] == meta('run') then
      lines[#lines + 1] = note[2]
    else
      others[note[1]] = (others[note[1]] and others[note[1]] .. '\n' or '') .. note[2]
    end
  end
  for run, told in pairs(others) do redis.call('XADD', key_of(run, 'log'), '*', 't', stamp, 'w', worker, 'd', told) end
  wake()
  for name, amount in pairs(tally) do
    if amount ~= 0 then move_meta(name, amount) end
    if amount > 0 and name ~= 'left' and name ~= 'succeeded' then count('tasks ' .. name, amount) end
  end
  if tally.left and tonumber(meta('left')) == 0 and meta('status') == 'running' then
    local failed, cancelled = tonumber(meta('failed') or '0'), tonumber(meta('cancelled') or '0')
    local status = (failed > 0 or meta('expired')) and 'failed' or (cancelled > 0 and 'cancelled' or 'succeeded')
    put_meta('status', status, 'finished_us', stamp)
    redis.call('SREM', 'tek:active', meta('run'))
    lines[#lines + 1] = 'E ' .. status .. ' 0'
    count('runs ' .. status)
  end
  write_counted()
  if #lines > 0 then
    local fields = {'t', stamp, 'w', worker, 'd', table.concat(lines, '\n')}
    for at, value in ipairs(seal or {}) do
      fields[#fields + 1] = string.sub('ksl', at, at)
      fields[#fields + 1] = value
    end
    redis.call('XADD', K.log, '*', unpack(fields))
  end
  if tally.left and meta('finished_us') then
    local retention = meta('retention_s')  -- read before the meta hash itself may go
    for _, key in ipairs(all_keys()) do redis.call('EXPIRE', key, retention) end
  end
end
