"""The same tasks in an app that acknowledges late and hands a lost task out again: a team's own settings."""

from tests.workers.apps.plain import app

app.conf.task_acks_late = True
app.conf.task_reject_on_worker_lost = True
app.conf.broker_transport_options = {"visibility_timeout": 2, "unacked_restore_interval": 1}
