-- keep: a partition that stands still does not expire while it has an owner. ARGV: owner, bridge.
if not is_owner(ARGV[1], ARGV[2]) then return 0 end
redis.call('EXPIRE', KEYS[1], KEEP_S)
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  local lane = string.match(name, '^(%d+)%.chain$')
  if lane then redis.call('EXPIRE', payload_of(held(lane, 'chain', 'link')), KEEP_S) end
end
return 1
