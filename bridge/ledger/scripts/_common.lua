-- Stands before every step. KEYS[1] is the hash of the partition; a lane's fields are named <lane>.<name>.
-- A server that is full refuses a script's first write if it needs memory: what needs none comes first.

local KEEP_S = 2592000 -- 30 days: hash and payloads outlive the last step of an owner by this

local function held(lane, ...)
  local names = {...}
  for i, name in ipairs(names) do names[i] = lane .. '.' .. name end
  return unpack(redis.call('HMGET', KEYS[1], unpack(names)))
end

local function is_owner(number, bridge)
  local own = redis.call('HMGET', KEYS[1], 'owner', 'bridge')
  return own[1] == number and own[2] == bridge
end

-- The higher of two decimal texts, exactly: Lua's own numbers end at 2^53. A missing one is the lowest.
local function highest(a, b)
  if not a or #a < #b then return b end
  if #a > #b then return a end
  return a > b and a or b
end

-- A negative value says that nothing is known.
local function raise(name, value)
  if string.sub(value, 1, 1) == '-' then return end
  redis.call('HSET', KEYS[1], name, highest(redis.call('HGET', KEYS[1], name), value))
end

local function payload_of(chain, link)
  return KEYS[1] .. ':' .. chain .. '-' .. link
end

-- Gives a chain its outcome, frees its payload (KEYS[2]) and tells the owner.
local function conclude(partition, lane, chain, link, claim, outcome, watermark, unsettled)
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], lane .. '.outcome', outcome)
  if unsettled == '1' then redis.call('HSET', KEYS[1], lane .. '.unsettled', '1') end
  raise(lane .. '.mark', watermark)
  local bridge = redis.call('HGET', KEYS[1], 'bridge')
  if bridge then
    redis.call('PUBLISH', 'lanebridge.ack.' .. bridge,
      table.concat({partition, lane, chain, link, claim, outcome}, '\n'))
  end
end

-- Forgets every lane, and the payloads of chains in flight.
local function drop_lanes()
  local names = redis.call('HKEYS', KEYS[1])
  for _, name in ipairs(names) do
    local lane = string.match(name, '^(%d+)%.chain$')
    if lane then redis.call('DEL', payload_of(held(lane, 'chain', 'link'))) end
  end
  for _, name in ipairs(names) do
    if string.find(name, '.', 1, true) then redis.call('HDEL', KEYS[1], name) end
  end
end
