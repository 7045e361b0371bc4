-- advance: the claimed link is done, the next one may be claimed.
-- KEYS[2]: payload of this link. KEYS[3]: payload of the next link, written just before with a short life.
-- ARGV: lane, chain, link, next link, nonce, microseconds that the link ran, payload: keep | stored | given, the payload
-- if given (the server was full).
local lane = ARGV[1]
local chain, link, claim, outcome, advanced = held(lane, 'chain', 'link', 'claim', 'outcome', 'advanced')
local is_next = chain == ARGV[2] and link == ARGV[4] and not outcome

local function answer(text)
  if not is_next then redis.call('DEL', KEYS[3]) end
  return text
end

if chain == ARGV[2] and link == ARGV[4] and advanced == ARGV[5] then return answer('yes') end -- the answer was lost
if chain ~= ARGV[2] or link ~= ARGV[3] or outcome or not claim
  or string.sub(claim, -#ARGV[5] - 1) ~= ' ' .. ARGV[5] then return answer('no') end

if ARGV[7] == 'stored' and redis.call('EXPIRE', KEYS[3], KEEP_S) == 0 then return 'no payload' end
if ARGV[7] == 'keep' then
  if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
else
  redis.call('DEL', KEYS[2])
  if ARGV[7] == 'given' then redis.call('SET', KEYS[3], ARGV[8], 'EX', KEEP_S) end
end
redis.call('HDEL', KEYS[1], lane .. '.claim')
redis.call('HSET', KEYS[1], lane .. '.link', ARGV[4], lane .. '.advanced', ARGV[5])
raise(lane .. '.slowest', ARGV[6])
return 'yes'
