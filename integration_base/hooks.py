def post_init_hook(env):
    """Start the engine's heartbeat right after the installation."""
    env["integration.watchdog"]._keep_alive()


def uninstall_hook(env):
    """Remove the jobs that would call models which are gone."""
    env["queue.job"].search([("model_name", "=", "integration.flow")]).unlink()
