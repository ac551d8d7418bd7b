"""A message on its way: accept, intake, queue, route, deliver. Sync; called by servers, tasks and commands."""
