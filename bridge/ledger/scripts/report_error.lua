-- Tells the partition's owner of an error that Celery stores nowhere. ARGV: notice.
local bridge = redis.call('HGET', KEYS[1], 'bridge')
if not bridge then return 0 end
redis.call('PUBLISH', 'lanebridge.error.' .. bridge, ARGV[1])
return 1
