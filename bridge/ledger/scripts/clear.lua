-- clear: forgets what the partition's lanes did; the owner stays.
-- ARGV: owner, bridge, then the links that have ended or were waited for: another one that is claimed may be running.
if not is_owner(ARGV[1], ARGV[2]) then return 0 end
local ended = {}
for i = 3, #ARGV do ended[ARGV[i]] = true end
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  local lane = string.match(name, '^(%d+)%.claim$')
  if lane then
    local chain, link, outcome = held(lane, 'chain', 'link', 'outcome')
    if not outcome and not ended[chain .. '-' .. link] then return 0 end
  end
end
drop_lanes()
redis.call('HDEL', KEYS[1], 'base', 'rule', 'topic_id')
redis.call('EXPIRE', KEYS[1], KEEP_S)
return 1
