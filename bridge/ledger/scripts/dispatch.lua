-- dispatch: compare and set. The lane gets a new chain if it still is as the owner has seen it.
-- KEYS[2]: payload of the new chain, written just before with a short life (given here when small, or the server full).
-- ARGV: owner, bridge, lane, chain, first, last, links, base, counters, milliseconds until it may be published, payload,
-- then what was seen: chain, link, claim, outcome; the lane rule the owner follows ("" is not compared); the outcome
-- that the chain is asked about ("": it carries the batch), 1 when that one names rejected records.
local lane, new = ARGV[3], ARGV[4]
local chain, link, claim, outcome, unsettled = held(lane, 'chain', 'link', 'claim', 'outcome', 'unsettled')

local function refuse(answer)
  if chain ~= new or link ~= '1' or outcome then redis.call('DEL', KEYS[2]) end
  return answer
end

if not is_owner(ARGV[1], ARGV[2]) then return refuse('not owner') end
if ARGV[16] ~= '' and redis.call('HGET', KEYS[1], 'rule') ~= ARGV[16] then
  return refuse('not owner') -- an older state, or one that nothing was restored to
end
if chain == new then return refuse('ok') end -- done before: the answer was lost
if (chain or '') ~= ARGV[12] or (link or '0') ~= ARGV[13] or (claim or '') ~= ARGV[14]
  or (outcome or '') ~= ARGV[15] or (unsettled and ARGV[18] == '0') then return refuse('changed') end

if ARGV[11] == '' and redis.call('EXPIRE', KEYS[2], KEEP_S) == 0 then return 'no payload' end
if chain and not outcome then redis.call('DEL', payload_of(chain, link)) end
if ARGV[11] ~= '' then redis.call('SET', KEYS[2], ARGV[11], 'EX', KEEP_S) end
redis.call('HDEL', KEYS[1], lane .. '.claim', lane .. '.outcome',
  lane .. '.publish_after', lane .. '.superseded', lane .. '.judged', lane .. '.disposing',
  lane .. '.slowest')
redis.call('HSET', KEYS[1], lane .. '.chain', new, lane .. '.first', ARGV[5], lane .. '.last', ARGV[6],
  lane .. '.link', '1', lane .. '.links', ARGV[7], lane .. '.counters', ARGV[9])
if ARGV[17] ~= '' then redis.call('HSET', KEYS[1], lane .. '.judged', ARGV[17]) end
-- until the rejected records are settled no chain takes the lane that is not asked about them
if ARGV[18] == '1' then redis.call('HSET', KEYS[1], lane .. '.unsettled', '1') end
if ARGV[10] ~= '0' then
  local now = redis.call('TIME')
  redis.call('HSET', KEYS[1], lane .. '.publish_after',
    string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[10]))
  -- behind an outcome, too: a link that timed out has been given one, and may still be running
  if chain then redis.call('HSET', KEYS[1], lane .. '.superseded', chain .. '-' .. link) end
end
raise('base', ARGV[8])
redis.call('EXPIRE', KEYS[1], KEEP_S)
return 'ok'
