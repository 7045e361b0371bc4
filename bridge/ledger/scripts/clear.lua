-- clear: forgets what the partition's lanes did; the owner stays. ARGV: owner, bridge.
if not is_owner(ARGV[1], ARGV[2]) then return 0 end
drop_lanes()
redis.call('HDEL', KEYS[1], 'base', 'rule', 'topic_id')
redis.call('EXPIRE', KEYS[1], KEEP_S)
return 1
