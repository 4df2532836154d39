-- What becomes of placed tasks: the ranks of distributed ones find each other, and what is not started goes back. Not a
-- script by itself: see prelude.lua.

-- The workers of the ranks of a placed task of this run, and its attempt; none when it is not placed.
local function spots_of(index, known)
  local found, workers = known or redis.call('HGET', K.placed, index), {}
  if not found then return workers, nil end
  for spot in string.gmatch(found, '|([^|]*)') do workers[#workers + 1] = string.match(spot, '^(.*):[^:]*$') end
  return workers, string.match(found, '^(%d+) ')
end

-- Sends a word to who waits at a bell: a delivery to a pool child, by its token.
local function ring(token, word)
  redis.call('XADD', 'tek:bell:' .. token, '*', 'w', word)
  redis.call('EXPIRE', 'tek:bell:' .. token, 3600)
end

local PARTED = '!'  -- stands for the token of a rank that is over

-- Token of a rank of a distributed task of this run that has begun, or nil.
local function begun_as(index, attempt, rank)
  local found = redis.call('HGET', K.gang, index .. ':' .. rank)
  return found and string.match(found, '^' .. attempt .. ' (%S+)')
end

-- Has what was taken for a rank go by the token of the delivery that begins it.
local function hold_by_token(worker, token, index, attempt, rank, known)
  local name, holds = meta('run') .. ':' .. index .. ':' .. attempt .. ':' .. rank, 'tek:holds:' .. worker
  local found = known or redis.call('HGET', holds, name)
  if not found then return end
  local hold = string.gsub(found, '^([^|]*|[^|]*|[^|]*|[^|]*|)[^|]*', '%1,' .. index .. ':' .. attempt .. ',')
  if redis.call('HSETNX', holds, token, hold) == 1 then redis.call('HDEL', holds, name) end
end

-- Has what was taken for a rank go by the token of the delivery that has begun it: it returns when that one is over.
local function begin_rank(worker, token, index, attempt, rank, told)
  hold_by_token(worker, token, index, attempt, rank)
  redis.call('HSET', K.gang, index .. ':' .. rank, attempt .. ' ' .. token .. ' ' .. told)
end

-- Ends the ranks of a distributed attempt of this run: their leases, and what was taken for those that have not begun.
-- Those that have are told, and give back what they hold when their processes have ended.
local function close_gang(index, word, known)
  local workers, attempt = spots_of(index, known)
  if #workers < 2 then return end
  for at, worker in ipairs(workers) do
    local token = begun_as(index, attempt, at - 1)
    if token then
      redis.call('ZREM', K.lease, index .. '|' .. attempt .. '|' .. token)
      redis.call('HDEL', K.gang, index .. ':' .. (at - 1))
      if token ~= PARTED and (at > 1 or word ~= 'over') then ring(token, word) end  -- who leads it has said so itself
    else
      give_back(worker, meta('run') .. ':' .. index .. ':' .. attempt .. ':' .. (at - 1))
    end
  end
end

-- Takes a task of this run off the workers that it was placed on and has not started on.
local function unplace(index, known)
  local placed = known or redis.call('HGET', K.placed, index)
  if not placed then return end
  local workers, attempt = spots_of(index, placed)
  close_gang(index, 'lost', placed)
  for rank, worker in ipairs(workers) do
    give_back(worker, meta('run') .. ':' .. index .. ':' .. attempt .. ':' .. (rank - 1))
  end
  redis.call('HDEL', K.placed, index)
  redis.call('ZREM', K.assigned, index)
end

-- Takes tasks of this run that are cancelled out of everything that waits to be placed.
local function stop_wanting()
  if not meta('has_asks') then return end
  for _, index in ipairs(redis.call('ZRANGE', K.assigned, 0, -1)) do unplace(index) end
  redis.call('DEL', K.wanting, K.wide, K.wanted)
  redis.call('ZREM', 'tek:wanting', meta('run'))
  local marks, owners = redis.call('HGETALL', 'tek:earmarks'), meta('run') .. ':'
  for at = 1, #marks, 2 do
    if string.sub(marks[at + 1], 1, #owners) == owners then
      redis.call('HDEL', 'tek:earmarks', marks[at])
      roomy[marks[at]], is_news = true, true
    end
  end
end
